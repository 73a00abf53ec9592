//! What `WriteLoan` and `ReadLoan` have in common: arrays over slots, and an end.
//!
//! A loan's arrays are views of its slots, and Python lets views live as long as anybody refers to them. So a loan that ends
//! looks who is left. It gives up its own references first; then a leaf's array has one reference, unless somebody else has
//! the array, or something that was made of it without a copy.
//!
//! | | nobody has a view | somebody has |
//! |---|---|---|
//! | commit | published | copied into another slot, which is published; the first one lingers |
//! | abort | free | lingers |
//! | release | free | lingers |
//! | give_back, of a queue's | comes first again | does so when the last view has died |
//!
//! D1. From the look at the references to the end of the hold no Python code runs that can come to have a view: none at all, or, while
//!     many slots are ended, that of other threads, which have nothing that leads to the hold.
//! D2. No lock is held while Python code runs: a user's unflatten function may use the loan.
//! D3. A loan that was inherited through a fork is the parent's: the end of its block does nothing here.
//! D4. A loan that has ended refers to its queue or topic no more, and so keeps neither memory nor descriptors.

use std::ffi::CStr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::PyClass;
use pyo3::exceptions::{PyResourceWarning, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyTuple;
use treequeues::Corrupted;

use crate::arguments::Timeout;
use crate::detached::{claiming, is_long};
use crate::hold::{AnyHold, HoldObject};
use crate::kept::Kept;
use crate::outcome;
use crate::tree::{SharedTree, reference_count};

/// What lends slots: an open queue or topic.
pub trait Lender: Sync + 'static {
    /// What messages call it.
    fn noun(&self) -> &'static str;

    fn capacity(&self) -> usize;

    fn tree(&self) -> &SharedTree;

    fn kept(&self) -> &Arc<Kept>;

    /// Publishes what was written.
    ///
    /// # Errors
    ///
    /// If a state word was damaged.
    fn commit(&self, py: Python<'_>, hold: &HoldObject, len: usize) -> PyResult<()>;

    /// Whether there are slots enough to copy so many somewhere else.
    fn has_room_elsewhere(&self, len: usize) -> bool;

    /// Publishes a copy of what was written to slots that linger. False if no slots surely become free for it.
    ///
    /// # Errors
    ///
    /// As a put that waits as long as that.
    fn commit_elsewhere(
        &self,
        py: Python<'_>,
        hold: &HoldObject,
        len: usize,
        timeout: Timeout,
    ) -> PyResult<bool>;
}

/// An object that lends slots, whatever its class. To refer to it costs what a reference of Python's does.
pub struct AnyLender {
    object: Py<PyAny>,
    of: for<'a> fn(&'a Bound<'_, PyAny>) -> &'a (dyn Lender + 'static),
}

impl AnyLender {
    pub fn new<O: Lender + PyClass<Frozen = True>>(py: Python<'_>, object: Py<O>) -> Self {
        Self { object: object.into_bound(py).into_any().unbind(), of: lender_of::<O> }
    }

    pub fn bind<'py>(&self, py: Python<'py>) -> BoundLender<'py> {
        BoundLender { object: self.object.bind(py).clone(), of: self.of }
    }

    fn into_bound(self, py: Python<'_>) -> BoundLender<'_> {
        BoundLender { object: self.object.into_bound(py), of: self.of }
    }
}

fn lender_of<'a, O: Lender + PyClass<Frozen = True>>(
    object: &'a Bound<'_, PyAny>,
) -> &'a (dyn Lender + 'static) {
    object.cast::<O>().expect("made of this class").get()
}

/// The same while attached to the interpreter.
pub struct BoundLender<'py> {
    object: Bound<'py, PyAny>,
    of: for<'a> fn(&'a Bound<'_, PyAny>) -> &'a (dyn Lender + 'static),
}

impl Deref for BoundLender<'_> {
    type Target = dyn Lender;

    fn deref(&self) -> &(dyn Lender + 'static) {
        (self.of)(&self.object)
    }
}

/// What both kinds of loan consist of.
pub struct Loan {
    pub len: usize,
    /// Whether the leaves have a dimension for the items.
    pub is_stack: bool,
    state: Mutex<State>,
}

pub struct State {
    /// `None` once the loan has ended.
    pub hold: Option<Py<HoldObject>>,
    /// Its queue or topic. `None` then too: a name for a loan that has ended must not keep one.
    lender: Option<AnyLender>,
    /// The tree, once somebody asked for it.
    pub tree: Option<Py<PyAny>>,
    /// Its leaves.
    pub arrays: Vec<Py<PyAny>>,
    /// How it ended, once it has.
    pub end: Option<End>,
}

/// How a loan ended.
#[derive(Clone, Copy)]
pub enum End {
    Commit,
    /// With a view alive that the item could not be copied away from, or in a process that it does not belong to.
    FailedCommit,
    Abort,
    Release,
    GiveBack,
    /// Where it was inherited through a fork.
    Inherited,
}

/// A loan that has just ended.
pub struct Ended<'py> {
    pub hold: Bound<'py, HoldObject>,
    pub lender: BoundLender<'py>,
    /// The leaves whose arrays somebody has.
    pub outlived_by: Vec<String>,
    pub has_views: bool,
}

impl Loan {
    pub fn new(
        py: Python<'_>,
        lender: AnyLender,
        hold: AnyHold,
        is_stack: bool,
        is_writable: bool,
    ) -> PyResult<Self> {
        let len = hold.slots();
        let hold = Py::new(py, HoldObject::new(hold, is_writable, Arc::clone(lender.bind(py).kept())))?;
        let state =
            State { hold: Some(hold), lender: Some(lender), tree: None, arrays: Vec::new(), end: None };
        Ok(Self { len, is_stack, state: Mutex::new(state) })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        // Each change leaves a whole state behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tree<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let hold = {
            let state = self.state();
            let hold = state.hold.as_ref().ok_or_else(ended)?;
            if let Some(tree) = &state.tree {
                return Ok(tree.bind(py).clone());
            }
            hold.bind(py).clone()
        };
        let lender = self.lender(py)?;
        let tree = lender.tree();
        let arrays = HoldObject::arrays(&hold, tree, self.is_stack)?;
        // D2: this may run the user's code.
        let tree = tree.tree_of(py, &arrays)?;
        let mut state = self.state();
        if state.hold.is_none() {
            // It ended meanwhile, and has seen that these arrays keep its slots.
            drop(state);
            return Err(ended());
        }
        if let Some(theirs) = &state.tree {
            // Another thread was faster.
            return Ok(theirs.bind(py).clone());
        }
        state.tree = Some(tree.clone().unbind());
        state.arrays = arrays.into_iter().map(Bound::unbind).collect();
        Ok(tree)
    }

    /// What keeps the slots. As long as the caller has it, the loan's end does not give them up.
    pub fn held<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, HoldObject>> {
        Ok(self.state().hold.as_ref().ok_or_else(ended)?.bind(py).clone())
    }

    /// The loan's queue or topic.
    pub fn lender<'py>(&self, py: Python<'py>) -> PyResult<BoundLender<'py>> {
        Ok(self.state().lender.as_ref().ok_or_else(ended)?.bind(py))
    }

    /// Gives up the loan's own references, and looks who else has some.
    pub fn end<'py>(&self, py: Python<'py>, how: End) -> PyResult<Ended<'py>> {
        let (hold, lender, tree, arrays) = {
            let mut state = self.state();
            let (Some(hold), Some(lender)) = (state.hold.take(), state.lender.take()) else {
                return Err(ended_already(state.end));
            };
            state.end = Some(how);
            (hold, lender.into_bound(py), state.tree.take(), std::mem::take(&mut state.arrays))
        };
        drop(tree);
        let structure = lender.tree().schema().leaves();
        let outlived_by = arrays
            .iter()
            .zip(structure)
            .filter(|(array, _)| reference_count(array.bind(py)) > 1)
            .map(|(_, leaf)| leaf.path.clone())
            .collect();
        drop(arrays);
        let hold = hold.into_bound(py);
        // D1. Last, because the death of an array may have called somebody who has a weak reference to another one.
        let has_views = reference_count(hold.as_any()) > 1;
        Ok(Ended { hold, lender, outlived_by, has_views })
    }

    /// Ends the loan without an item, or after one was read.
    pub fn end_by(
        &self,
        py: Python<'_>,
        how: End,
        end: impl FnOnce(&mut AnyHold) -> Result<(), Corrupted> + Send,
    ) -> PyResult<()> {
        let ended = self.end(py, how)?;
        let (hold, has_views) = (ended.hold.get(), ended.has_views);
        let outcome = claiming(py, is_long(self.len), || {
            let mut hold = hold.lock();
            if has_views { hold.linger() } else { end(&mut hold) }
        });
        ended.keep_for_views(self.len);
        outcome.map_err(outcome::corrupted_error)
    }

    /// Ends a loan that was inherited through a fork; true if it was.
    pub fn end_if_inherited(&self, py: Python<'_>) -> bool {
        let is_inherited = self.held(py).is_ok_and(|hold| !hold.get().lock().is_this_process());
        if is_inherited {
            // Only its references are given up: the hold knows that it is the parent's.
            let _ = self.end(py, End::Inherited);
        }
        is_inherited
    }

    /// The end of a `with` block: `finish` where it is clean, and else `undo`. Nothing, where the loan has ended, or is a
    /// parent's.
    pub fn leave_block(
        &self,
        py: Python<'_>,
        exception: &Bound<'_, PyTuple>,
        finish: impl FnOnce() -> PyResult<()>,
        undo: impl FnOnce() -> PyResult<()>,
    ) -> PyResult<()> {
        if self.has_ended() || self.end_if_inherited(py) {
            return Ok(());
        }
        if is_clean(exception)? {
            return finish();
        }
        // The user's error is what counts.
        let _ = undo();
        Ok(())
    }

    /// For a loan that dies: ends it, if nobody has, and if it is not a parent's.
    pub fn end_unended(&self, end: impl FnOnce(Python<'_>)) {
        if self.has_ended() {
            return;
        }
        // At the interpreter's end there is nobody left to tell, and the hold ends itself.
        Python::try_attach(|py| {
            // An error may be on its way through the frame whose end this is.
            let on_its_way = PyErr::take(py);
            if !self.end_if_inherited(py) {
                end(py);
            }
            if let Some(error) = on_its_way {
                error.restore(py);
            }
        });
    }

    pub fn repr(&self, name: &str, noun: &str) -> String {
        let (len, state) = (self.len, if self.has_ended() { ", ended" } else { "" });
        let plural = if len == 1 { "" } else { "s" };
        format!("<{name} of {len} {noun}{plural}{state}>")
    }

    pub fn has_ended(&self) -> bool {
        self.state().hold.is_none()
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Locked by nobody for longer than a few instructions, in which no collection begins.
        match self.state.try_lock() {
            Ok(state) => {
                visit.call(&state.tree)?;
                state.lender.as_ref().map_or(Ok(()), |lender| visit.call(&lender.object))
            }
            Err(_) => Ok(()),
        }
    }

    pub fn clear(&self) {
        let tree = self.state().tree.take();
        drop(tree);
    }
}

impl Ended<'_> {
    /// Remembers whose views keep the slots, if any do.
    pub fn keep_for_views(&self, slots: usize) {
        if self.has_views {
            self.hold.get().outlived_by(slots, self.outlived_by.clone());
        }
    }
}

pub fn warn_of_death(py: Python<'_>, message: &CStr) {
    if let Err(error) = PyErr::warn(py, &py.get_type::<PyResourceWarning>(), message, 1) {
        error.write_unraisable(py, None);
    }
}

/// Whether a block ended without an exception.
fn is_clean(exception: &Bound<'_, PyTuple>) -> PyResult<bool> {
    Ok(exception.is_empty() || exception.get_item(0)?.is_none())
}

pub fn ended() -> PyErr {
    PyValueError::new_err("the loan has ended; use it inside its block, or copy what you want to keep")
}

/// For a call that would end it once more.
pub fn ended_already(end: Option<End>) -> PyErr {
    PyValueError::new_err(match end {
        Some(End::Commit) => "the loan has been committed already",
        Some(End::FailedCommit) => "the loan has ended already: its commit failed, and nothing was put",
        Some(End::Abort) => "the loan has been aborted already",
        Some(End::Release) => "the loan has been released already",
        Some(End::GiveBack) => "the loan has been given back already",
        Some(End::Inherited) | None => {
            "the loan has ended here: it is that of the process that this one was forked from"
        }
    })
}

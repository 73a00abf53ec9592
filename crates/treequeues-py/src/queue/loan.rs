//! `WriteLoan` and `ReadLoan` as Python sees them.
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
//! | give_back | comes first again | does so when the last view has died |
//!
//! D1. From the look at the references to the end of the hold no Python code runs that can come to have a view: none at all, or, while
//!     many slots are ended, that of other threads, which have nothing that leads to the hold.
//! D2. No lock is held while Python code runs: a user's unflatten function may use the loan.
//! D3. A loan that was inherited through a fork is the parent's: the end of its block does nothing here.
//! D4. A loan that has ended refers to its queue no more, and so keeps neither memory nor descriptors.

use std::ffi::CStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyBufferError, PyResourceWarning, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use treequeues::{Corrupted, Hold, ItemInfo};

use super::opened::Opened;
use super::refused;
use crate::arguments::Timeout;
use crate::detached::{claiming, copying, is_long};
use crate::hold::HoldObject;
use crate::info;
use crate::kept;
use crate::outcome;
use crate::tree::{Sources, Stack, reference_count};

/// What both kinds of loan consist of.
struct Loan {
    len: usize,
    /// Whether the leaves have a dimension for the items.
    is_stack: bool,
    is_writable: bool,
    state: Mutex<State>,
}

struct State {
    /// `None` once the loan has ended.
    hold: Option<Py<HoldObject>>,
    /// Its queue. `None` then too: a name for a loan that has ended must not keep a queue.
    opened: Option<Py<Opened>>,
    /// The tree, once somebody asked for it.
    tree: Option<Py<PyAny>>,
    /// Its leaves.
    arrays: Vec<Py<PyAny>>,
    /// How it ended, once it has.
    end: Option<End>,
}

/// How a loan ended.
#[derive(Clone, Copy)]
enum End {
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
struct Ended<'py> {
    hold: Bound<'py, HoldObject>,
    opened: Bound<'py, Opened>,
    /// The leaves whose arrays somebody has.
    outlived_by: Vec<String>,
    has_views: bool,
}

impl Loan {
    fn new(
        py: Python<'_>,
        opened: Py<Opened>,
        hold: Hold,
        is_stack: bool,
        is_writable: bool,
    ) -> PyResult<Self> {
        assert!(hold.is_side_by_side(), "an array is one piece of memory");
        let len = hold.len();
        let hold = Py::new(py, HoldObject::new(hold, Arc::clone(&opened.get().kept)))?;
        let state =
            State { hold: Some(hold), opened: Some(opened), tree: None, arrays: Vec::new(), end: None };
        Ok(Self { len, is_stack, is_writable, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change leaves a whole state behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tree<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let hold = {
            let state = self.state();
            let hold = state.hold.as_ref().ok_or_else(ended)?;
            if let Some(tree) = &state.tree {
                return Ok(tree.bind(py).clone());
            }
            hold.bind(py).clone()
        };
        let opened = self.opened(py)?;
        let tree = &opened.get().tree;
        let first_row = |leaf| hold.get().lock().first_row(leaf);
        let stacked = self.is_stack.then_some(self.len);
        // SAFETY: the base of the arrays is the hold of these very rows; a batch's lie side by side.
        let arrays = unsafe { tree.arrays_over(hold.as_any(), first_row, stacked, self.is_writable) }?;
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
    fn held<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, HoldObject>> {
        Ok(self.state().hold.as_ref().ok_or_else(ended)?.bind(py).clone())
    }

    /// The loan's queue.
    fn opened<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Opened>> {
        Ok(self.state().opened.as_ref().ok_or_else(ended)?.bind(py).clone())
    }

    fn write(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let opened = self.opened(py)?;
        let tree = &opened.get().tree;
        let hold = self.held(py)?;
        if self.is_stack {
            let stack = tree.stacked_sources(value)?;
            if stack.len() != self.len {
                return Err(refused::other_length(self.len, stack.len()));
            }
            self.fill_stack(py, &hold, stack)?;
        } else {
            self.fill(py, &hold, tree.sources(py, value)?)?;
        }
        // What was replaced in the tree so far is overwritten with the rest.
        let (tree, arrays) = {
            let mut state = self.state();
            if state.hold.is_none() {
                // It ended under the copy, by another thread or by a flatten function.
                return Err(ended());
            }
            (state.tree.take(), std::mem::take(&mut state.arrays))
        };
        drop((tree, arrays));
        Ok(())
    }

    /// Gives up the loan's own references, and looks who else has some.
    fn end<'py>(&self, py: Python<'py>, how: End) -> PyResult<Ended<'py>> {
        let (hold, opened, tree, arrays) = {
            let mut state = self.state();
            let (Some(hold), Some(opened)) = (state.hold.take(), state.opened.take()) else {
                return Err(ended_already(state.end));
            };
            state.end = Some(how);
            (hold, opened.into_bound(py), state.tree.take(), std::mem::take(&mut state.arrays))
        };
        drop(tree);
        let structure = opened.get().tree.schema().leaves();
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
        Ok(Ended { hold, opened, outlived_by, has_views })
    }

    /// Ends the loan without an item, or after one was read.
    fn end_by(
        &self,
        py: Python<'_>,
        how: End,
        end: impl FnOnce(&mut Hold) -> Result<(), Corrupted> + Send,
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

    /// Copies into the slots what the user put in the place of their arrays: `loan.tree["reward"] = 5.0`.
    fn write_replaced(&self, py: Python<'_>) -> PyResult<()> {
        let (hold, root, arrays) = {
            let state = self.state();
            let hold = state.hold.as_ref().ok_or_else(ended)?;
            let Some(root) = &state.tree else { return Ok(()) };
            // New references: the walk may run the user's code, which may end the loan.
            let arrays: Vec<_> = state.arrays.iter().map(|array| array.clone_ref(py)).collect();
            (hold.bind(py).clone(), root.bind(py).clone(), arrays)
        };
        let opened = self.opened(py)?;
        let tree = &opened.get().tree;
        if self.is_stack {
            let stack = tree.stacked_sources_but(&root, self.len, &arrays)?;
            if !stack.is_in_place() {
                self.fill_stack(py, &hold, stack)?;
            }
        } else {
            let sources = tree.sources_but(&root, &arrays)?;
            if !sources.are_in_place() {
                self.fill(py, &hold, sources)?;
            }
        }
        Ok(())
    }

    /// Copies a tree into the one slot of a hold.
    fn fill(&self, py: Python<'_>, hold: &Bound<'_, HoldObject>, mut sources: Sources) -> PyResult<()> {
        let opened = self.opened(py)?;
        sources.leave(py, &opened.get().tree, |data| hold.get().lock().is_in_segment(data))?;
        let mut slots = hold.get().slots();
        copying(py, sources.nbytes(), || sources.copy_to(&mut slots));
        Ok(())
    }

    /// Copies a stacked tree into the slots of a hold.
    fn fill_stack(&self, py: Python<'_>, hold: &Bound<'_, HoldObject>, mut stack: Stack) -> PyResult<()> {
        let opened = self.opened(py)?;
        stack.leave(py, &opened.get().tree, |data| hold.get().lock().is_in_segment(data))?;
        let mut slots = hold.get().slots();
        copying(py, opened.get().nbytes_of(self.len), || slots.write_stack(&stack));
        Ok(())
    }

    fn commit(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        let end = self.state().end;
        if end.is_some() {
            return Err(ended_already(end));
        }
        if let Err(error) = self.write_replaced(py) {
            // What does not fit is not put, and no slot is kept for it.
            if !self.has_ended() {
                let _ = self.end_by(py, End::FailedCommit, Hold::abort);
            }
            return Err(error);
        }
        // Until it is done.
        let ended = self.end(py, End::FailedCommit)?;
        self.commit_ended(py, &ended, timeout)?;
        self.state().end = Some(End::Commit);
        Ok(())
    }

    fn commit_ended(&self, py: Python<'_>, ended: &Ended<'_>, timeout: Timeout) -> PyResult<()> {
        if !ended.hold.get().lock().is_this_process() {
            return Err(PyValueError::new_err(
                "the loan belongs to the process that this one was forked from, and only that one can commit it",
            ));
        }
        if !ended.has_views {
            let hold = ended.hold.get();
            return ended.opened.get().committing(py, self.len, || hold.lock().commit());
        }
        // Both first, so that a wait for the other slot holds none, and says whose views it may be waiting for.
        ended.keep_for_views(self.len);
        ended.hold.get().lock().linger().map_err(outcome::corrupted_error)?;
        self.commit_copy(py, ended, timeout)
    }

    /// Publishes the item from another slot, because somebody could write to this one while others read.
    fn commit_copy(&self, py: Python<'_>, ended: &Ended<'_>, timeout: Timeout) -> PyResult<()> {
        let opened = ended.opened.get();
        let kept = || {
            PyBufferError::new_err(format!(
                "the item cannot be put: a view of {} is still alive at the end of its reserve, and the queue has no other \
                 slot to copy the item into (maxsize={}), nor will one surely become free; drop the view (del) before the \
                 block ends",
                kept::named(&ended.outlived_by),
                opened.queue.capacity()
            ))
        };
        if 2 * self.len > opened.queue.capacity() {
            return Err(kept());
        }
        opened.kept.warn_of_copy(py, &ended.outlived_by)?;
        let item = ended.hold.get().lock().elsewhere();
        let mut batch = opened.reserve_elsewhere(py, item, timeout)?.ok_or_else(kept)?;
        let mut slots = ended.hold.get().slots();
        copying(py, opened.nbytes_of(self.len), || slots.copy_to(&mut batch));
        opened.committing(py, self.len, || batch.commit())
    }

    /// Ends a loan that was inherited through a fork; true if it was.
    fn end_if_inherited(&self, py: Python<'_>) -> bool {
        let is_inherited = self.held(py).is_ok_and(|hold| !hold.get().lock().is_this_process());
        if is_inherited {
            // Only its references are given up: the hold knows that it is the parent's.
            let _ = self.end(py, End::Inherited);
        }
        is_inherited
    }

    fn has_ended(&self) -> bool {
        self.state().hold.is_none()
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Locked by nobody for longer than a few instructions, in which no collection begins.
        match self.state.try_lock() {
            Ok(state) => {
                visit.call(&state.tree)?;
                visit.call(&state.opened)
            }
            Err(_) => Ok(()),
        }
    }

    fn clear(&self) {
        let tree = self.state().tree.take();
        drop(tree);
    }
}

impl Ended<'_> {
    /// Remembers whose views keep the slots, if any do.
    fn keep_for_views(&self, slots: usize) {
        if self.has_views {
            self.hold.get().outlived_by(slots, self.outlived_by.clone());
        }
    }
}

/// A reserved slot, or several side by side, until commit or abort.
///
/// As a context manager it commits at the clean end of the block, and aborts at an exception. One that dies without either
/// aborts, with a ResourceWarning.
#[pyclass(frozen, generic, weakref, module = "treequeues", name = "WriteLoan")]
pub struct WriteLoan {
    loan: Loan,
    /// How long a commit may wait for the slot that it copies into, if it has to.
    timeout: Timeout,
}

impl WriteLoan {
    pub fn new(
        py: Python<'_>,
        opened: Py<Opened>,
        hold: Hold,
        is_stack: bool,
        timeout: Timeout,
    ) -> PyResult<Self> {
        Ok(Self { loan: Loan::new(py, opened, hold, is_stack, true)?, timeout })
    }
}

#[pymethods]
impl WriteLoan {
    /// The slot as a tree like the example, whose leaves are writable arrays. They begin with what an older item left there.
    ///
    /// Raises ValueError when the loan has ended.
    #[getter]
    fn tree<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.loan.tree(py)
    }

    /// Copy a tree into the slot, as put would.
    ///
    /// Raises SchemaError if it does not fit, and ValueError when the loan has ended.
    fn write(&self, py: Python<'_>, tree: &Bound<'_, PyAny>) -> PyResult<()> {
        self.loan.write(py, tree)
    }

    /// Publish: readers see the item when this returns.
    ///
    /// Raises SchemaError if a leaf was replaced by what does not fit, and BufferError, queue.Full or ShutDown if a view is
    /// still alive and the item cannot be copied into another slot: then it is not put. ValueError when the loan has ended.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        self.loan.commit(py, self.timeout)
    }

    /// Give the slot back unwritten. ValueError when the loan has ended.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.loan.end_by(py, End::Abort, Hold::abort)
    }

    fn __len__(&self) -> usize {
        self.loan.len
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().loan.held(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.loan.has_ended() || self.loan.end_if_inherited(py) {
            return Ok(());
        }
        if is_clean(exception)? {
            return self.loan.commit(py, self.timeout);
        }
        // The user's error is what counts.
        let _ = self.loan.end_by(py, End::Abort, Hold::abort);
        Ok(())
    }

    fn __repr__(&self) -> String {
        self.loan.repr("WriteLoan", "slot")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.loan.traverse(&visit)
    }

    fn __clear__(&self) {
        self.loan.clear();
    }
}

/// A borrowed item, or several side by side, until release or give_back.
///
/// As a context manager it releases at the clean end of the block, and gives back at an exception.
#[pyclass(frozen, generic, weakref, module = "treequeues", name = "ReadLoan")]
pub struct ReadLoan {
    loan: Loan,
    infos: Vec<ItemInfo>,
}

impl ReadLoan {
    pub fn new(py: Python<'_>, opened: Py<Opened>, hold: Hold, is_stack: bool) -> PyResult<Self> {
        let infos = hold.infos().collect();
        Ok(Self { loan: Loan::new(py, opened, hold, is_stack, false)?, infos })
    }
}

#[pymethods]
impl ReadLoan {
    /// The item as a tree like the example, whose leaves are read-only arrays.
    ///
    /// Raises ValueError when the loan has ended.
    #[getter]
    fn tree<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.loan.tree(py)
    }

    /// The ItemInfo of the first item.
    #[getter]
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        info::to_python(py, self.infos[0])
    }

    /// One ItemInfo for each item.
    #[getter]
    fn infos<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let infos: Vec<_> =
            self.infos.iter().map(|&info| info::to_python(py, info)).collect::<PyResult<_>>()?;
        PyList::new(py, infos)
    }

    /// End the read: the slot is free again. ValueError when the loan has ended.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.loan.end_by(py, End::Release, Hold::release)
    }

    /// Put the item back: it comes first again, once no view of it lives. ValueError when the loan has ended.
    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        let ended = self.loan.end(py, End::GiveBack)?;
        if ended.has_views {
            // The hold does it when it dies.
            ended.keep_for_views(self.loan.len);
            return Ok(());
        }
        let hold = ended.hold.get();
        claiming(py, is_long(self.loan.len), || hold.lock().give_back()).map_err(outcome::corrupted_error)
    }

    fn __len__(&self) -> usize {
        self.loan.len
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().loan.held(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.loan.has_ended() || self.loan.end_if_inherited(py) {
            return Ok(());
        }
        if is_clean(exception)? {
            return self.release(py);
        }
        // The user's error is what counts.
        let _ = self.give_back(py);
        Ok(())
    }

    fn __repr__(&self) -> String {
        self.loan.repr("ReadLoan", "item")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.loan.traverse(&visit)
    }

    fn __clear__(&self) {
        self.loan.clear();
    }
}

impl Drop for WriteLoan {
    fn drop(&mut self) {
        self.loan.end_unended(|py| {
            let _ = self.loan.end_by(py, End::Abort, Hold::abort);
            // A program that ends with a reserve open has not lost sight of it.
            if !is_finalizing(py) {
                let message = c"a WriteLoan died without commit() or abort(): what was written to it is not put, and its slots \
                                are free again; use `with`, which commits, or call one of them";
                warn_of_death(py, message);
            }
        });
    }
}

impl Drop for ReadLoan {
    fn drop(&mut self) {
        self.loan.end_unended(|py| {
            let _ = self.give_back(py);
            let message = c"a ReadLoan died without release() or give_back(): what it borrowed goes back to the queue, and \
                            comes again; use `with`, or call one of them";
            warn_of_death(py, message);
        });
    }
}

impl Loan {
    /// For a loan that dies: ends it, if nobody has, and if it is not a parent's.
    fn end_unended(&self, end: impl FnOnce(Python<'_>)) {
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

    fn repr(&self, name: &str, noun: &str) -> String {
        let (len, state) = (self.len, if self.has_ended() { ", ended" } else { "" });
        let plural = if len == 1 { "" } else { "s" };
        format!("<{name} of {len} {noun}{plural}{state}>")
    }
}

fn warn_of_death(py: Python<'_>, message: &CStr) {
    if let Err(error) = PyErr::warn(py, &py.get_type::<PyResourceWarning>(), message, 1) {
        error.write_unraisable(py, None);
    }
}

/// Whether the interpreter is about to end, and drops what is left.
fn is_finalizing(py: Python<'_>) -> bool {
    let asked = py.import(intern!(py, "sys")).and_then(|sys| sys.call_method0(intern!(py, "is_finalizing")));
    // Where modules can no longer be asked, it is.
    asked.and_then(|is_finalizing| is_finalizing.extract()).unwrap_or(true)
}

/// Whether a block ended without an exception.
fn is_clean(exception: &Bound<'_, PyTuple>) -> PyResult<bool> {
    Ok(exception.is_empty() || exception.get_item(0)?.is_none())
}

fn ended() -> PyErr {
    PyValueError::new_err("the loan has ended; use it inside its block, or copy what you want to keep")
}

/// For a call that would end it once more.
fn ended_already(end: Option<End>) -> PyErr {
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

//! What an open queue or topic consists of, whichever it is.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use treequeues::{Peers, QueueName, Wait};

use crate::arguments::Timeout;
use crate::detached::DropDetached;
use crate::kept::Kept;
use crate::left_behind::WarnsAtItsEnd;
use crate::outcome;
use crate::shared::Shared;
use crate::tree::SharedTree;
use crate::unshared::{Unshared, Watch, What};
use crate::waiting::{self, Awaited, Closed, Lookout, Refusal};

/// Leaves named by `repr`.
const REPR_LEAVES: usize = 4;

/// One object's queue or topic, and its schema bound to this process's Python classes.
pub struct Open<S: Shared> {
    pub shared: DropDetached<S>,
    pub tree: SharedTree,
    pub kept: Arc<Kept>,
    pub unshared: Unshared,
    /// Set once the object is closed: calls that wait end then.
    pub closed: Closed,
    _warns: WarnsAtItsEnd,
}

impl<S: Shared> Open<S> {
    /// # Errors
    ///
    /// As `Unshared::new`.
    pub fn new(py: Python<'_>, shared: S, tree: SharedTree) -> PyResult<Self> {
        let what = What { noun: S::NOUN, class: S::CLASS };
        Ok(Self {
            shared: DropDetached::new(shared),
            tree,
            kept: Arc::new(Kept::of(S::NOUN)),
            unshared: Unshared::new(py, what)?,
            closed: Closed::default(),
            _warns: WarnsAtItsEnd,
        })
    }

    /// The same by another object of the core.
    pub fn with(&self, py: Python<'_>, shared: S) -> Self {
        Self {
            shared: DropDetached::new(shared),
            tree: self.tree.clone_ref(py),
            kept: Arc::new(Kept::of(S::NOUN)),
            unshared: self.unshared.clone(),
            closed: Closed::default(),
            _warns: WarnsAtItsEnd,
        }
    }

    /// Ends calls that wait, and keeps no idle memory from now on: loans, and views of their arrays, may keep the rest.
    pub fn close(&self) {
        self.closed.set();
        self.shared.wake_all();
        self.tree.retire();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.is_set()
    }

    /// Bytes of so many items.
    pub fn nbytes_of(&self, items: usize) -> usize {
        self.tree.schema().item_nbytes().saturating_mul(items)
    }

    /// Claims what is awaited: see `waiting::claim`.
    ///
    /// # Errors
    ///
    /// What `refused` makes of the reason that nothing was claimed.
    #[inline(always)]
    pub fn claim<T: Send, E: Refusal>(
        &self,
        py: Python<'_>,
        timeout: Timeout,
        claim: (Awaited, bool),
        at_once: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, E> + Send,
        waiting: impl FnOnce(Wait<'_>) -> Result<T, E> + Send,
        refused: impl FnOnce(E, Option<PyErr>) -> PyErr,
    ) -> PyResult<T> {
        self.claim_until(py, (timeout, &self.closed), claim, at_once, waiting, refused)
    }

    /// The same until something of the object was closed, as it is with the object.
    ///
    /// # Errors
    ///
    /// As `claim`.
    #[inline(always)]
    pub fn claim_until<T: Send, E: Refusal>(
        &self,
        py: Python<'_>,
        (timeout, closed): (Timeout, &Closed),
        (awaited, may_be_long): (Awaited, bool),
        at_once: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, E> + Send,
        waiting: impl FnOnce(Wait<'_>) -> Result<T, E> + Send,
        refused: impl FnOnce(E, Option<PyErr>) -> PyErr,
    ) -> PyResult<T> {
        let look_out = || OpenLookout::of(self, awaited);
        waiting::claim(py, (timeout, closed), may_be_long, look_out, at_once, waiting, refused)
    }

    /// How many items are left that no other thread of this process can have known of; 0 of one that this process is not attached to.
    ///
    /// # Errors
    ///
    /// If the system refuses to tell who lives, or the segment is damaged.
    pub fn left_unshared(&self) -> PyResult<usize> {
        if !self.shared.is_attached_here() {
            return Ok(0);
        }
        match self.shared.peers().map_err(outcome::attach_error)? {
            Peers::Thread => Ok(0),
            _ => self.shared.len().map_err(outcome::attach_error),
        }
    }

    /// Takes its name away.
    ///
    /// # Errors
    ///
    /// `ValueError` if it was created without one, and `OSError` if the system refuses.
    pub fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        let shared: &S = &self.shared;
        if shared.name().is_none() {
            return Err(PyValueError::new_err(format!("the {} has no name", S::NOUN)));
        }
        py.detach(|| shared.unlink()).map_err(outcome::attach_error)?;
        Ok(())
    }

    /// `<TreeQueue "actors" maxsize=64 of {obs: float32[84, 84]}>`.
    pub fn describe(&self, class: &str) -> String {
        let leaves = self.tree.schema().leaves();
        let mut shown: Vec<String> =
            leaves.iter().take(REPR_LEAVES).map(|leaf| format!("{}: {leaf}", leaf.path)).collect();
        if leaves.len() > REPR_LEAVES {
            shown.push(format!("... {} more", leaves.len() - REPR_LEAVES));
        }
        let called = self.shared.name().map_or_else(String::new, |name| format!(" {:?}", name.as_str()));
        format!("<{class}{called} maxsize={} of {{{}}}>", self.shared.capacity(), shown.join(", "))
    }

    /// The first call in a forked child, which attaches: that may take time, and other threads may run meanwhile.
    ///
    /// # Errors
    ///
    /// If the child cannot attach.
    #[cold]
    pub fn attach_after_fork(&self, py: Python<'_>) -> PyResult<()> {
        let shared: &S = &self.shared;
        py.detach(|| shared.attach_after_fork()).map_err(outcome::attach_error)
    }

    /// For the collector of cycles, from the object that consists of this.
    ///
    /// # Errors
    ///
    /// What the collector says.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.tree.traverse(visit)
    }
}

/// What a call that waits warns of: views of this process that keep what it waits for, and that nobody else uses the queue or topic.
struct OpenLookout<'o, S: Shared> {
    open: &'o Open<S>,
    awaits: Awaited,
    watch: Watch,
    /// What was seen last of others, if it is worth a warning.
    alone: Option<Peers>,
}

impl<'o, S: Shared> OpenLookout<'o, S> {
    #[inline]
    fn of(open: &'o Open<S>, awaits: Awaited) -> Self {
        Self { open, awaits, watch: Watch::default(), alone: None }
    }
}

impl<S: Shared> Lookout for OpenLookout<'_, S> {
    fn has_seen(&mut self) -> bool {
        let Open { shared, unshared, .. } = self.open;
        if !S::IS_TAKEN_FROM && matches!(self.awaits, Awaited::Slot) {
            // Nobody but those who have the slots could free one.
            return false;
        }
        self.alone = unshared.found_alone(&mut self.watch, || shared.peers().ok());
        self.alone.is_some()
    }

    fn say(&mut self, py: Python<'_>) -> PyResult<()> {
        let Open { shared, kept, unshared, .. } = self.open;
        let capacity = shared.capacity();
        if kept.is_wait_suspicious(self.awaits, capacity) {
            kept.warn_of_wait(py, capacity)?;
        }
        let name = shared.name().map(QueueName::as_str);
        self.alone.map_or(Ok(()), |peers| unshared.warn_of_wait(py, name, self.awaits, peers))
    }
}

/// What an object that has just come to a queue or a topic lets be done when the process ends: close it, if it has a name, since its file
/// outlives a process that does not leave; and warn of what is left in it, if it was made anew where nobody looks.
///
/// # Errors
///
/// What Python raises.
pub fn look_after(object: &Bound<'_, PyAny>, has_name: bool, is_made_anew: bool) -> PyResult<()> {
    let py = object.py();
    if has_name {
        py.import(intern!(py, "treequeues._exit"))?.call_method1(intern!(py, "close_at_exit"), (object,))?;
    }
    if is_made_anew {
        let sharing = py.import(intern!(py, "treequeues._sharing"))?;
        sharing.call_method1(intern!(py, "warn_at_exit"), (object,))?;
    }
    Ok(())
}

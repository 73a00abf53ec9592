//! What an open queue or topic consists of, whichever it is.

use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use treequeues::{Peers, QueueName, Wait};

use crate::arguments::Timeout;
use crate::detached::DropDetached;
use crate::kept::Kept;
use crate::left_behind::WarnsAtItsEnd;
use crate::shared::Shared;
use crate::tree::SharedTree;
use crate::unshared::{Unshared, Watch, What};
use crate::waiting::{self, Awaited, Closed, Lookout, Refusal};

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
        (awaited, may_be_long): (Awaited, bool),
        at_once: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, E> + Send,
        waiting: impl FnOnce(Wait<'_>) -> Result<T, E> + Send,
        refused: impl FnOnce(E, Option<PyErr>) -> PyErr,
    ) -> PyResult<T> {
        let look_out = || OpenLookout::of(self, awaited);
        waiting::claim(py, (timeout, &self.closed), may_be_long, look_out, at_once, waiting, refused)
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
pub struct OpenLookout<'o, S: Shared> {
    open: &'o Open<S>,
    awaits: Awaited,
    watch: Watch,
    /// What was seen last of others, if it is worth a warning.
    alone: Option<Peers>,
}

impl<'o, S: Shared> OpenLookout<'o, S> {
    #[inline]
    pub fn of(open: &'o Open<S>, awaits: Awaited) -> Self {
        Self { open, awaits, watch: Watch::default(), alone: None }
    }
}

impl<S: Shared> Lookout for OpenLookout<'_, S> {
    fn has_seen(&mut self) -> bool {
        let Open { shared, unshared, .. } = self.open;
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

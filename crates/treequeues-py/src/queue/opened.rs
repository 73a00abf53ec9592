//! An open queue: what it consists of, and what is claimed of it.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use treequeues::{
    BatchSize, BorrowError, Corrupted, Elsewhere, Peers, Queue, QueueName, ReadBatch, ReadLoan, ReserveError,
    Wait, WriteBatch, WriteLoan,
};

use super::blocks::Blocks;
use super::on_drop::OnDrop;
use super::refused;
use crate::arguments::{Timeout, count, given};
use crate::detached::{DropDetached, Leaves, claiming, is_long};
use crate::kept::Kept;
use crate::left_behind::WarnsAtItsEnd;
use crate::outcome;
use crate::tree::SharedTree;
use crate::unshared::{Unshared, Watch};
use crate::waiting::{self, Awaited, Closed, Lookout};

/// A queue, and its schema bound to this process's Python classes. An object of Python's, so that to refer to it costs
/// little.
#[pyclass(frozen, module = "treequeues._core", name = "_Opened")]
pub struct Opened {
    pub queue: DropDetached<Queue>,
    pub tree: SharedTree,
    /// The queue's hook.
    pub on_drop: Option<Arc<OnDrop>>,
    pub kept: Arc<Kept>,
    pub unshared: Unshared,
    /// Of producers, that began with this object.
    pub blocks: Blocks,
    /// Set once the queue object is closed: calls that wait end then.
    closed: Closed,
    _warns: WarnsAtItsEnd,
}

impl Opened {
    /// # Errors
    ///
    /// As `Unshared::new`.
    pub fn new(py: Python<'_>, queue: Queue, tree: SharedTree) -> PyResult<Self> {
        Ok(Self {
            queue: DropDetached::new(queue),
            tree,
            on_drop: None,
            kept: Arc::default(),
            unshared: Unshared::new(py)?,
            blocks: Blocks::default(),
            closed: Closed::default(),
            _warns: WarnsAtItsEnd,
        })
    }

    /// The same with a function, or a queue, that items which are dropped are handed to.
    pub fn with_on_drop(&self, py: Python<'_>, on_drop: Arc<OnDrop>) -> Self {
        Self {
            queue: DropDetached::new(on_drop.hooked(self.queue.clone())),
            tree: self.tree.clone_ref(py),
            on_drop: Some(on_drop),
            kept: Arc::default(),
            unshared: self.unshared.clone(),
            blocks: Blocks::default(),
            closed: Closed::default(),
            _warns: WarnsAtItsEnd,
        }
    }

    /// Ends calls that wait, and keeps no idle memory from now on: loans, and views of their arrays, may keep the rest.
    pub fn close(&self) {
        self.closed.set();
        self.blocks.end_all();
        self.queue.wake_all();
        self.tree.retire();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.is_set()
    }

    #[inline(always)]
    pub fn reserve(&self, py: Python<'_>, timeout: Timeout) -> PyResult<WriteLoan<'_>> {
        let queue = &self.queue;
        self.reserve_by(
            py,
            timeout,
            queue.reserve_may_be_long(),
            |_| queue.try_reserve_briefly(),
            |wait| queue.reserve_briefly_with(wait),
        )
    }

    #[inline(always)]
    pub fn borrow(&self, py: Python<'_>, timeout: Timeout) -> PyResult<ReadLoan<'_>> {
        let queue = &self.queue;
        self.borrow_by(
            py,
            timeout,
            (1, queue.borrow_may_be_long()),
            |_| queue.try_borrow_briefly(),
            |wait| queue.borrow_briefly_with(wait),
        )
    }

    pub fn reserve_batch(
        &self,
        py: Python<'_>,
        size: BatchSize,
        timeout: Timeout,
    ) -> PyResult<WriteBatch<'_>> {
        let queue = &self.queue;
        self.reserve_by(
            py,
            timeout,
            is_long(size.max()),
            |interrupted| queue.try_reserve_batch_or_until(size, interrupted),
            |wait| queue.reserve_batch_with(size, wait),
        )
    }

    /// Slots for an item whose own ones views keep; `None` if there are no others that surely become free.
    pub fn reserve_elsewhere(
        &self,
        py: Python<'_>,
        item: Elsewhere,
        timeout: Timeout,
    ) -> PyResult<Option<WriteBatch<'_>>> {
        let queue = &self.queue;
        let at_once = |interrupted: &mut dyn FnMut() -> bool| {
            queue.try_reserve_batch_or_until(item.size(), interrupted).map(Some)
        };
        let waiting = |wait: Wait<'_>| match queue.reserve_elsewhere_with(item, wait) {
            Err(ReserveError::Kept) => Ok(None),
            outcome => outcome.map(Some),
        };
        self.reserve_by(py, timeout, is_long(item.size().max()), at_once, waiting)
    }

    pub fn borrow_batch(&self, py: Python<'_>, size: BatchSize, timeout: Timeout) -> PyResult<ReadBatch<'_>> {
        let queue = &self.queue;
        self.borrow_by(
            py,
            timeout,
            (size.min(), is_long(size.max())),
            |interrupted| queue.try_borrow_batch_or_until(size, interrupted),
            |wait| queue.borrow_batch_with(size, wait),
        )
    }

    /// Bytes of so many items.
    pub fn nbytes_of(&self, items: usize) -> usize {
        self.tree.schema().item_nbytes().saturating_mul(items)
    }

    /// A batch of this very size; `None` of none.
    ///
    /// # Errors
    ///
    /// `ValueError` if the queue has fewer slots.
    pub fn exactly(&self, what: &str, count: usize) -> PyResult<Option<BatchSize>> {
        if count > self.queue.capacity() {
            return Err(refused::too_large_a_batch(what, count, self.queue.capacity()));
        }
        Ok((count > 0).then(|| BatchSize::exactly(count)))
    }

    /// The size of a batch, and whether it is exactly n.
    ///
    /// # Errors
    ///
    /// `TypeError` or `ValueError` if `n` or `min` is no such number.
    pub fn batch_size(
        &self,
        n: &Bound<'_, PyAny>,
        min: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(BatchSize, bool)> {
        let (given_n, capacity) = (n, self.queue.capacity());
        let n = count("n", n, "")?;
        if n > capacity as u64 {
            return Err(refused::too_large_a_batch("n", given_n, capacity));
        }
        let Some(min) = given(min) else { return Ok((BatchSize::exactly(n as usize), true)) };
        let given_min = min;
        let min = count("min", min, "")?;
        if min > n {
            return Err(PyValueError::new_err(format!(
                "min must be at most n, which is {n}, got {given_min}"
            )));
        }
        Ok((BatchSize::between(min as usize, n as usize), min == n))
    }

    #[inline(always)]
    fn reserve_by<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Timeout,
        may_be_long: bool,
        at_once: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, ReserveError> + Send,
        waiting: impl FnOnce(Wait<'_>) -> Result<T, ReserveError> + Send,
    ) -> PyResult<T> {
        let look_out = || QueueLookout::of(self, Awaited::Slot);
        let refused = |error, interruption| refused::reserve_error(py, &self.queue, error, interruption);
        waiting::claim(py, (timeout, &self.closed), may_be_long, look_out, at_once, waiting, refused)
    }

    #[inline(always)]
    fn borrow_by<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Timeout,
        (wanted, may_be_long): (usize, bool),
        at_once: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, BorrowError> + Send,
        waiting: impl FnOnce(Wait<'_>) -> Result<T, BorrowError> + Send,
    ) -> PyResult<T> {
        let look_out = || QueueLookout::of(self, Awaited::Items(wanted));
        let refused =
            |error, interruption| refused::borrow_error(py, &self.queue, wanted, error, interruption);
        waiting::claim(py, (timeout, &self.closed), may_be_long, look_out, at_once, waiting, refused)
    }

    /// Commits a batch of so many items.
    pub fn committing(
        &self,
        py: Python<'_>,
        len: usize,
        commit: impl FnOnce() -> Result<(), Corrupted> + Send,
    ) -> PyResult<()> {
        let may_be_long = is_long(len) || (len > 1 && self.queue.commit_may_be_long());
        claiming(py, may_be_long, commit).map_err(outcome::corrupted_error)
    }
}

#[pymethods]
impl Opened {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.tree.traverse(&visit)?;
        self.on_drop.as_ref().map_or(Ok(()), |on_drop| on_drop.traverse(&visit))
    }
}

/// What a call that waits warns of: views of this process that keep what it waits for, and that nobody else uses the queue.
struct QueueLookout<'q> {
    opened: &'q Opened,
    awaits: Awaited,
    watch: Watch,
    /// What was seen last of others, if it is worth a warning.
    alone: Option<Peers>,
}

impl<'q> QueueLookout<'q> {
    #[inline]
    fn of(opened: &'q Opened, awaits: Awaited) -> Self {
        Self { opened, awaits, watch: Watch::default(), alone: None }
    }
}

impl Lookout for QueueLookout<'_> {
    fn has_seen(&mut self) -> bool {
        let Opened { queue, unshared, .. } = self.opened;
        self.alone = unshared.found_alone(&mut self.watch, || queue.peers().ok());
        self.alone.is_some()
    }

    fn say(&mut self, py: Python<'_>) -> PyResult<()> {
        let Opened { queue, kept, unshared, .. } = self.opened;
        let capacity = queue.capacity();
        if kept.is_wait_suspicious(self.awaits, capacity) {
            kept.warn_of_wait(py, capacity)?;
        }
        let name = queue.name().map(QueueName::as_str);
        self.alone.map_or(Ok(()), |peers| unshared.warn_of_wait(py, name, self.awaits, peers))
    }
}

impl Leaves for Queue {
    fn leaves(&self) -> bool {
        self.is_last_here()
    }
}

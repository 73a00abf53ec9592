//! An open queue: what it consists of, and what is claimed of it.

use std::ops::Deref;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use treequeues::{
    BatchSize, BorrowError, Corrupted, Elsewhere, Queue, ReadBatch, ReadLoan, ReserveError, Wait, WriteBatch,
    WriteLoan,
};

use super::blocks::Blocks;
use super::on_drop::OnDrop;
use super::refused;
use crate::arguments::{Timeout, count, given};
use crate::detached::{claiming, is_long};
use crate::open::Open;
use crate::outcome;
use crate::waiting::Awaited;

/// A queue, and its schema bound to this process's Python classes. An object of Python's, so that to refer to it costs
/// little.
#[pyclass(frozen, module = "treequeues._core", name = "_OpenQueue")]
pub struct Opened {
    /// The queue's hook.
    pub on_drop: Option<Arc<OnDrop>>,
    /// Of producers, that began with this object.
    pub blocks: Blocks,
    /// Last, as it says.
    open: Open<Queue>,
}

impl Deref for Opened {
    type Target = Open<Queue>;

    #[inline]
    fn deref(&self) -> &Open<Queue> {
        &self.open
    }
}

impl Opened {
    pub fn new(open: Open<Queue>) -> Self {
        Self { on_drop: None, blocks: Blocks::default(), open }
    }

    /// The same with a function, or a queue, that items which are dropped are handed to.
    pub fn with_on_drop(&self, py: Python<'_>, on_drop: Arc<OnDrop>) -> Self {
        let open = self.open.with(py, on_drop.hooked(self.shared.clone()));
        Self { on_drop: Some(on_drop), blocks: Blocks::default(), open }
    }

    /// Ends calls that wait, and keeps no idle memory from now on: loans, and views of their arrays, may keep the rest.
    pub fn close(&self) {
        self.blocks.end_all();
        self.open.close();
    }

    #[inline(always)]
    pub fn reserve(&self, py: Python<'_>, timeout: Timeout) -> PyResult<WriteLoan<'_>> {
        let queue = &self.shared;
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
        let queue = &self.shared;
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
        let queue = &self.shared;
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
        let queue = &self.shared;
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
        let queue = &self.shared;
        self.borrow_by(
            py,
            timeout,
            (size.min(), is_long(size.max())),
            |interrupted| queue.try_borrow_batch_or_until(size, interrupted),
            |wait| queue.borrow_batch_with(size, wait),
        )
    }

    /// A batch of this very size; `None` of none.
    ///
    /// # Errors
    ///
    /// `ValueError` if the queue has fewer slots.
    pub fn exactly(&self, what: &str, count: usize) -> PyResult<Option<BatchSize>> {
        if count > self.shared.capacity() {
            return Err(refused::too_large_a_batch(what, count, self.shared.capacity()));
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
        let (given_n, capacity) = (n, self.shared.capacity());
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
        let refused = |error, interruption| refused::reserve_error(py, &self.shared, error, interruption);
        self.open.claim(py, timeout, (Awaited::Slot, may_be_long), at_once, waiting, refused)
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
        let refused =
            |error, interruption| refused::borrow_error(py, &self.shared, wanted, error, interruption);
        self.open.claim(py, timeout, (Awaited::Items(wanted), may_be_long), at_once, waiting, refused)
    }

    /// Commits a batch of so many items.
    pub fn committing(
        &self,
        py: Python<'_>,
        len: usize,
        commit: impl FnOnce() -> Result<(), Corrupted> + Send,
    ) -> PyResult<()> {
        let may_be_long = is_long(len) || (len > 1 && self.shared.commit_may_be_long());
        claiming(py, may_be_long, commit).map_err(outcome::corrupted_error)
    }
}

#[pymethods]
impl Opened {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.open.traverse(&visit)?;
        self.on_drop.as_ref().map_or(Ok(()), |on_drop| on_drop.traverse(&visit))
    }
}

//! The calls that copy: put and get, of one item, of a stacked batch, of many.
//!
//! They find out what can fail, claim, copy, and give back what failed.
//!
//! B1. What a call needs to fail early, it finds out before it takes a slot; what fails later gives the slot back.

use pyo3::prelude::*;
use pyo3::types::PyList;
use treequeues::{BatchSize, Corrupted, ReadBatch, ReadLoan, WriteBatch};

use super::opened::Opened;
use super::refused;
use crate::arguments::Timeout;
use crate::detached::{claiming, copying, is_long};
use crate::info;
use crate::outcome;
use crate::tree::SlotOf;

impl Opened {
    pub fn put(&self, py: Python<'_>, value: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<()> {
        // B1: a tree that does not fit takes no slot.
        let sources = self.tree.sources(py, value)?;
        let mut loan = self.reserve(py, timeout)?;
        copying(py, sources.nbytes(), || sources.copy_to(&mut loan));
        loan.commit().map_err(outcome::corrupted_error)
    }

    pub fn put_batch(&self, py: Python<'_>, stacked: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<()> {
        self.tree.check_stackable()?;
        let stack = self.tree.stacked_sources(stacked)?;
        self.put_all(py, ("n", stack.len()), timeout, |batch| stack.copy_to(batch))
    }

    pub fn put_many(&self, py: Python<'_>, trees: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<()> {
        // One more than fit, so that there is an end to a generator that has none.
        let enough = self.shared.capacity() + 1;
        let given = trees;
        let trees: Vec<Bound<'_, PyAny>> = given.try_iter()?.take(enough).collect::<PyResult<_>>()?;
        refused::check_count_of_trees(given, trees.len(), self.shared.capacity())?;
        let sources: Vec<_> =
            trees.iter().map(|tree| self.tree.sources(py, tree)).collect::<PyResult<_>>()?;
        self.put_all(py, ("the number of trees", sources.len()), timeout, |batch| {
            for (item, sources) in sources.iter().enumerate() {
                sources.copy_to(&mut SlotOf(batch, item));
            }
        })
    }

    /// Puts so many items, all or none. Where there are none, nothing happens.
    fn put_all(
        &self,
        py: Python<'_>,
        (what, len): (&str, usize),
        timeout: Timeout,
        copy: impl FnOnce(&mut WriteBatch<'_>) + Send,
    ) -> PyResult<()> {
        let Some(size) = self.exactly(what, len)? else { return Ok(()) };
        let mut batch = self.reserve_batch(py, size, timeout)?;
        copying(py, self.nbytes_of(len), || copy(&mut batch));
        self.committing(py, len, || batch.commit())
    }

    /// The oldest tree, or a pair of it and its info.
    pub fn get<'py>(
        &self,
        py: Python<'py>,
        timeout: Timeout,
        out: Option<&Bound<'py, PyAny>>,
        with_info: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        // B1: an `out` that does not fit takes no item, nor does a want of memory.
        let prepared = match out {
            Some(out) => Some(self.tree.destinations(py, out)?),
            None if self.is_likely_to_take(timeout) => Some(self.tree.allocate(py)?),
            None => None,
        };
        let loan = self.borrow(py, timeout)?;
        taking(py, loan, |loan| {
            let mut destinations = prepared.map_or_else(|| self.tree.allocate(py), Ok)?;
            copying(py, destinations.nbytes(), || destinations.copy_from(loan));
            let tree = destinations.into_tree(&self.tree, py)?;
            if !with_info {
                return Ok(tree);
            }
            Ok((tree, info::to_python(py, loan.info())?).into_pyobject(py)?.into_any())
        })
    }

    pub fn get_batch<'py>(
        &self,
        py: Python<'py>,
        size: BatchSize,
        is_exact: bool,
        timeout: Timeout,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.tree.check_stackable()?;
        // B1: as for `get`. How many rows are needed is only known in advance if it is exact.
        let prepared = match out {
            Some(out) => Some(self.tree.stacked_destinations(out, size.max())?),
            None if is_exact && self.is_likely_to_take(timeout) => {
                Some(self.tree.allocate_stack(py, size.max())?)
            }
            None => None,
        };
        let batch = self.borrow_batch(py, size, timeout)?;
        taking(py, batch, |batch| {
            let len = batch.len();
            let mut stack = prepared.map_or_else(|| self.tree.allocate_stack(py, len), Ok)?;
            copying(py, self.nbytes_of(len), || stack.copy_from(batch));
            stack.into_tree(&self.tree, py, len)
        })
    }

    pub fn get_many<'py>(
        &self,
        py: Python<'py>,
        max_items: usize,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyList>> {
        let size = BatchSize::between(1, max_items.min(self.shared.capacity()));
        let batch = self.borrow_batch(py, size, timeout)?;
        taking(py, batch, |batch| {
            let take = |item: usize| {
                let mut destinations = self.tree.allocate(py)?;
                let copy = || destinations.copy_from_rows(|leaf| batch.leaf_bytes(item, leaf));
                copying(py, self.nbytes_of(1), copy);
                destinations.into_tree(&self.tree, py)
            };
            let trees: Vec<_> = (0..batch.len()).map(take).collect::<PyResult<_>>()?;
            PyList::new(py, trees)
        })
    }

    /// Whether memory for what is taken is needed in advance. Only a call that is about to find nothing and will not wait for it
    /// does not allocate it.
    #[inline]
    fn is_likely_to_take(&self, timeout: Timeout) -> bool {
        timeout.waits() || self.shared.may_borrow()
    }
}

/// Items that were borrowed to be copied.
trait Borrowed: Send {
    fn count(&self) -> usize;

    fn release(self) -> Result<(), Corrupted>;

    fn give_back(self) -> Result<(), Corrupted>;
}

impl Borrowed for ReadLoan<'_> {
    #[inline]
    fn count(&self) -> usize {
        1
    }

    #[inline]
    fn release(self) -> Result<(), Corrupted> {
        ReadLoan::release(self)
    }

    #[inline]
    fn give_back(self) -> Result<(), Corrupted> {
        ReadLoan::give_back(self)
    }
}

impl Borrowed for ReadBatch<'_> {
    fn count(&self) -> usize {
        self.len()
    }

    fn release(self) -> Result<(), Corrupted> {
        ReadBatch::release(self)
    }

    fn give_back(self) -> Result<(), Corrupted> {
        ReadBatch::give_back(self)
    }
}

/// What `take` makes of items, which are released then. If it fails they go back, and so they do if they are many and a handler of
/// a signal that came meanwhile raises: once they are taken it would be too late.
#[inline(always)]
fn taking<B: Borrowed, T>(py: Python<'_>, borrowed: B, take: impl FnOnce(&B) -> PyResult<T>) -> PyResult<T> {
    let is_long = is_long(borrowed.count());
    let taken = take(&borrowed).and_then(|taken| {
        if is_long {
            py.check_signals()?;
        }
        Ok(taken)
    });
    let is_taken = taken.is_ok();
    let ended = claiming(py, is_long, || if is_taken { borrowed.release() } else { borrowed.give_back() });
    let taken = taken?;
    ended.map_err(outcome::corrupted_error)?;
    Ok(taken)
}

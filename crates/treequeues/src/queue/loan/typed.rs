//! The rows of batches as slices of Rust types.

use super::{ReadBatch, WriteBatch};
use crate::item::dtype::Element;
use crate::item::leaf::{self, LeafError, LeafIndex};
use crate::loan::typed::{check_len, read_bools, write_bools};

impl WriteBatch<'_> {
    /// One leaf's elements in one of the slots, in C order, to be filled.
    ///
    /// # Errors
    /// If there is no such leaf, or its elements are not `T`.
    ///
    /// # Panics
    /// If the batch has no such item.
    pub fn leaf_mut<T: Element>(
        &mut self,
        item: usize,
        which: impl LeafIndex,
    ) -> Result<&mut [T], LeafError> {
        let leaf = leaf::find_of::<T>(self.schema(), which)?;
        Ok(leaf::elements_mut(self.leaf_bytes_mut(item, leaf)))
    }

    /// Calls `fill` with one leaf's elements, run by run: the number of the run's first slot within the batch, and the
    /// elements of all its rows, one after the other.
    ///
    /// ```
    /// use treequeues::{BatchSize, Queue, Schema, Wait};
    ///
    /// let queue = Queue::create(Schema::array::<u16>([2])?, 8)?;
    /// let mut batch = queue.reserve_batch_with(BatchSize::exactly(3), Wait::forever())?;
    /// let values = [0, 1, 10, 11, 20, 21];
    /// batch.for_each_run_of::<u16>(0, |first, run| run.copy_from_slice(&values[first * 2..][..run.len()]))?;
    /// batch.commit()?;
    ///
    /// let batch = queue.borrow_batch_with(BatchSize::exactly(3), Wait::forever())?;
    /// assert_eq!(batch.leaf::<u16>(1, 0)?, [10, 11]);
    /// assert_eq!(batch.runs_of::<u16>(0)?.flat_map(|(_, run)| run.to_vec()).collect::<Vec<_>>(), values);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such leaf, or its elements are not `T`. Then `fill` was not called.
    pub fn for_each_run_of<T: Element>(
        &mut self,
        which: impl LeafIndex,
        mut fill: impl FnMut(usize, &mut [T]),
    ) -> Result<(), LeafError> {
        let leaf = leaf::find_of::<T>(self.schema(), which)?;
        self.for_each_run(leaf, |first, run| fill(first, leaf::elements_mut(run)));
        Ok(())
    }

    /// One leaf's elements in all slots, one row after the other, to be filled.
    ///
    /// # Errors
    /// If there is no such leaf, its elements are not `T`, or the slots do not lie side by side.
    pub fn rows_mut<T: Element>(&mut self, which: impl LeafIndex) -> Result<&mut [T], LeafError> {
        let leaf = leaf::find_of::<T>(self.schema(), which)?;
        self.only_run_mut(leaf).map(leaf::elements_mut).ok_or(LeafError::Scattered)
    }

    /// Copies bools into a leaf of them in one of the slots: see [`WriteLoan::set_bools`](crate::WriteLoan::set_bools).
    ///
    /// # Errors
    /// If there is no such leaf, its elements are not bools, or there are more or fewer of them.
    ///
    /// # Panics
    /// If the batch has no such item.
    pub fn set_bools(
        &mut self,
        item: usize,
        which: impl LeafIndex,
        values: &[bool],
    ) -> Result<(), LeafError> {
        let leaf = leaf::find_bools(self.schema(), which)?;
        check_len(self.schema(), leaf, values.len())?;
        write_bools(self.leaf_bytes_mut(item, leaf), values);
        Ok(())
    }
}

impl ReadBatch<'_> {
    /// One leaf's elements in one of the items, in C order.
    ///
    /// # Errors
    /// If there is no such leaf, or its elements are not `T`.
    ///
    /// # Panics
    /// If the batch has no such item.
    pub fn leaf<T: Element>(&self, item: usize, which: impl LeafIndex) -> Result<&[T], LeafError> {
        let leaf = leaf::find_of::<T>(self.schema(), which)?;
        Ok(leaf::elements(self.leaf_bytes(item, leaf)))
    }

    /// One leaf's elements, run by run: the number of the run's first item within the batch, and the elements of all its
    /// rows, one after the other. [`WriteBatch::for_each_run_of`] has an example.
    ///
    /// # Errors
    /// If there is no such leaf, or its elements are not `T`.
    pub fn runs_of<T: Element>(
        &self,
        which: impl LeafIndex,
    ) -> Result<impl Iterator<Item = (usize, &[T])>, LeafError> {
        let leaf = leaf::find_of::<T>(self.schema(), which)?;
        Ok(self.runs(leaf).map(|(first, run)| (first, leaf::elements(run))))
    }

    /// One leaf's elements in all items, one row after the other.
    ///
    /// # Errors
    /// If there is no such leaf, its elements are not `T`, or the items do not lie side by side:
    /// [`BatchSize::side_by_side`](crate::BatchSize::side_by_side) asks for such.
    pub fn rows<T: Element>(&self, which: impl LeafIndex) -> Result<&[T], LeafError> {
        let mut runs = self.runs_of::<T>(which)?;
        match (runs.next(), runs.next()) {
            (Some((_, rows)), None) => Ok(rows),
            _ => Err(LeafError::Scattered),
        }
    }

    /// The elements of a leaf of bools in one of the items, each byte looked at: see [`ReadLoan::bools`](crate::ReadLoan::bools).
    ///
    /// # Errors
    /// If there is no such leaf, its elements are not bools, or one of its bytes is none.
    ///
    /// # Panics
    /// If the batch has no such item.
    pub fn bools(&self, item: usize, which: impl LeafIndex) -> Result<&[bool], LeafError> {
        let leaf = leaf::find_bools(self.schema(), which)?;
        read_bools(self.schema(), leaf, self.leaf_bytes(item, leaf))
    }
}

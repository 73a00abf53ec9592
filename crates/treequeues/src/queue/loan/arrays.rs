//! The rows of batches as views of the crate `ndarray`: with the feature of that name.

use ndarray::{ArrayViewD, ArrayViewMutD, IxDyn};

use super::{ReadBatch, WriteBatch};
use crate::item::dtype::Element;
use crate::item::leaf::{LeafError, LeafIndex};
use crate::item::schema::Schema;
use crate::loan::arrays::{shape_of, view, view_mut};

impl WriteBatch<'_> {
    /// One leaf in one of the slots as an array of its shape, to be filled.
    ///
    /// # Errors
    /// If there is no such leaf, or its elements are not `T`.
    ///
    /// # Panics
    /// If the batch has no such item.
    pub fn array_mut<T: Element>(
        &mut self,
        item: usize,
        which: impl LeafIndex,
    ) -> Result<ArrayViewMutD<'_, T>, LeafError> {
        let leaf = which.find_in(self.schema())?;
        let shape = shape_of(self.schema(), leaf);
        view_mut(shape, self.leaf_mut(item, leaf)?)
    }

    /// One leaf in all slots as one array, to be filled: its first dimension counts the slots.
    ///
    /// # Errors
    /// If there is no such leaf, its elements are not `T`, or the slots do not lie side by side.
    pub fn stack_mut<T: Element>(
        &mut self,
        which: impl LeafIndex,
    ) -> Result<ArrayViewMutD<'_, T>, LeafError> {
        let leaf = which.find_in(self.schema())?;
        let shape = stacked_shape_of(self.len(), self.schema(), leaf);
        view_mut(shape, self.rows_mut(leaf)?)
    }
}

impl ReadBatch<'_> {
    /// One leaf in one of the items as an array of its shape.
    ///
    /// # Errors
    /// If there is no such leaf, or its elements are not `T`.
    ///
    /// # Panics
    /// If the batch has no such item.
    pub fn array<T: Element>(
        &self,
        item: usize,
        which: impl LeafIndex,
    ) -> Result<ArrayViewD<'_, T>, LeafError> {
        let leaf = which.find_in(self.schema())?;
        view(shape_of(self.schema(), leaf), self.leaf(item, leaf)?)
    }

    /// One leaf of all items as one array: its first dimension counts the items.
    ///
    /// ```
    /// use treequeues::{BatchSize, Queue, Schema, Wait};
    ///
    /// let queue = Queue::create(Schema::builder().array::<f32>("x", [2]).build()?, 8)?;
    /// for number in 0..3 {
    ///     let mut loan = queue.reserve()?;
    ///     loan.array_mut("x")?.fill(number as f32);
    ///     loan.commit()?;
    /// }
    /// let batch = queue.borrow_batch_with(BatchSize::exactly(3).side_by_side(), Wait::forever())?;
    /// assert_eq!(batch.stack::<f32>("x")?, ndarray::array![[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]].into_dyn());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such leaf, its elements are not `T`, or the items do not lie side by side.
    pub fn stack<T: Element>(&self, which: impl LeafIndex) -> Result<ArrayViewD<'_, T>, LeafError> {
        let leaf = which.find_in(self.schema())?;
        view(stacked_shape_of(self.len(), self.schema(), leaf), self.rows(leaf)?)
    }
}

fn stacked_shape_of(count: usize, schema: &Schema, leaf: usize) -> IxDyn {
    let shape = &schema.leaves()[leaf].shape;
    IxDyn(&[&[count], &shape[..]].concat())
}

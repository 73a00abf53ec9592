//! Rows: where in held slots the leaves are copied to.

use treequeues::{TopicWriteLoan, WriteBatch, WriteLoan};

/// One slot's rows, to be written.
pub trait RowsMut {
    /// The row of one leaf: its bytes in C order.
    fn row_mut(&mut self, leaf: usize) -> &mut [u8];
}

impl RowsMut for WriteLoan<'_> {
    #[inline]
    fn row_mut(&mut self, leaf: usize) -> &mut [u8] {
        self.leaf_bytes_mut(leaf)
    }
}

impl RowsMut for TopicWriteLoan<'_> {
    fn row_mut(&mut self, leaf: usize) -> &mut [u8] {
        self.leaf_bytes_mut(leaf)
    }
}

/// One slot of a batch.
pub struct SlotOf<'b, 'q>(pub &'b mut WriteBatch<'q>, pub usize);

impl RowsMut for SlotOf<'_, '_> {
    fn row_mut(&mut self, leaf: usize) -> &mut [u8] {
        self.0.leaf_bytes_mut(self.1, leaf)
    }
}

//! The rows of one claimed slot.

use crate::item::schema::Schema;
use crate::memory::segment::Segment;

/// The rows of a slot, to be filled. What fresh rows hold is unspecified: an earlier item's bytes, or zeros.
#[derive(Debug)]
pub(crate) struct WriteRows<'l> {
    segment: &'l Segment,
    slot: usize,
}

/// The rows of an item, to be read.
#[derive(Debug)]
pub(crate) struct ReadRows<'l> {
    segment: &'l Segment,
    slot: usize,
}

impl<'l> WriteRows<'l> {
    /// # Safety
    /// While this lives, this process has claimed the slot to write to it (N1), and nothing else in it has the rows.
    #[inline]
    pub(crate) unsafe fn of(segment: &'l Segment, slot: usize) -> Self {
        Self { segment, slot }
    }

    /// The same for a shorter time.
    #[inline]
    pub(crate) fn reborrow(&mut self) -> WriteRows<'_> {
        WriteRows { segment: self.segment, slot: self.slot }
    }

    /// The schema that the rows are of.
    pub(crate) fn schema(&self) -> &'l Schema {
        self.segment.schema()
    }

    /// The row of one leaf: its bytes in C order.
    #[inline]
    pub(crate) fn leaf_bytes_mut(self, leaf: usize) -> &'l mut [u8] {
        let (row, nbytes) = self.segment.row(leaf, self.slot);
        // SAFETY: the row is mapped, since the segment is borrowed, and is these rows' alone (`of`); they end here, so this is the only
        // reference.
        unsafe { std::slice::from_raw_parts_mut(row.as_ptr(), nbytes) }
    }
}

impl<'l> ReadRows<'l> {
    /// # Safety
    /// While this lives, this process has claimed the slot to read it: nobody writes to it (N1).
    #[inline]
    pub(crate) unsafe fn of(segment: &'l Segment, slot: usize) -> Self {
        Self { segment, slot }
    }

    /// The schema that the rows are of.
    pub(crate) fn schema(&self) -> &'l Schema {
        self.segment.schema()
    }

    /// The row of one leaf: its bytes in C order.
    #[inline]
    pub(crate) fn leaf_bytes(&self, leaf: usize) -> &'l [u8] {
        let (row, nbytes) = self.segment.row_to_read(leaf, self.slot);
        // SAFETY: the row is mapped, since the segment is borrowed, and nobody writes to it (`of`).
        unsafe { std::slice::from_raw_parts(row.as_ptr(), nbytes) }
    }
}

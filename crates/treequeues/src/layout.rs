//! Where everything lies in a segment: schema and capacity to checked offsets. Arithmetic only.
//!
//! L1. All offsets are within `total_nbytes`, which is at most `isize::MAX`.
//! L2. No two parts overlap, and each part's offset is a multiple of its alignment.

use crate::format::{Control, Entry, Header, Slot};
use crate::schema::{LeafSpec, Schema};
use crate::word::OWNER_BITS;

/// The largest number of slots of one queue.
pub const MAX_CAPACITY: u64 = 1 << 24;
/// The largest number of processes that can share one queue. It leaves 9 bits of an owner word for generations.
pub const MAX_PARTICIPANTS: u32 = 1 << 12;
/// How many processes can share a queue unless its creator says otherwise.
pub const DEFAULT_PARTICIPANTS: u32 = 256;
/// Segments come in whole pages of this size.
pub(crate) const PAGE_NBYTES: usize = 4096;

const LEAF_ALIGN: usize = 64;
/// A leaf of this many bytes and more begins on a page.
const PAGE_ALIGNED_FROM: usize = 64 * 1024;

/// One leaf's array of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeafPlace {
    /// Of slot 0's row, from the segment's base.
    pub(crate) offset: usize,
    /// Bytes of one row, and from each row to the next.
    pub(crate) nbytes: usize,
}

/// The parts of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) capacity: usize,
    pub(crate) participants: u32,
    pub(crate) control_offset: usize,
    pub(crate) entries_offset: usize,
    pub(crate) slots_offset: usize,
    pub(crate) schema_offset: usize,
    pub(crate) schema_nbytes: usize,
    pub(crate) leaves: Box<[LeafPlace]>,
    pub(crate) total_nbytes: usize,
}

/// The parts do not fit the address space, or their numbers are out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayoutError {
    Capacity,
    Participants,
    TooLarge,
}

impl Layout {
    pub(crate) fn new(
        schema: &Schema,
        schema_nbytes: usize,
        capacity: u64,
        participants: u64,
    ) -> Result<Self, LayoutError> {
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return Err(LayoutError::Capacity);
        }
        if !(1..=u64::from(MAX_PARTICIPANTS)).contains(&participants) {
            return Err(LayoutError::Participants);
        }
        Self::place(schema.leaves(), schema_nbytes, capacity as usize, participants as u32)
            .ok_or(LayoutError::TooLarge)
    }

    fn place(leaves: &[LeafSpec], schema_nbytes: usize, capacity: usize, participants: u32) -> Option<Self> {
        let Front { control_offset, entries_offset, slots_offset, mut end } =
            Front::place(capacity, participants)?;
        let schema_offset = end.take(1, schema_nbytes, 1)?;
        let leaves = leaves
            .iter()
            .map(|leaf| {
                let nbytes = leaf.nbytes();
                let align = if nbytes >= PAGE_ALIGNED_FROM { PAGE_NBYTES } else { LEAF_ALIGN };
                Some(LeafPlace { offset: end.take(capacity, nbytes, align)?, nbytes })
            })
            .collect::<Option<_>>()?;
        let total_nbytes =
            end.0.checked_next_multiple_of(PAGE_NBYTES).filter(|&total| total <= isize::MAX as usize)?;
        Some(Self {
            capacity,
            participants,
            control_offset,
            entries_offset,
            slots_offset,
            schema_offset,
            schema_nbytes,
            leaves,
            total_nbytes,
        })
    }

    /// Where the schema begins: to be known before the schema is.
    pub(crate) fn schema_offset(capacity: u64, participants: u64) -> Option<usize> {
        let front = Front::place(usize::try_from(capacity).ok()?, u32::try_from(participants).ok()?)?;
        Some(front.end.0)
    }

    /// How many bits of an owner word hold a participant's id; the others hold its generation.
    pub(crate) fn id_bits(&self) -> u32 {
        let bits = u32::BITS - (self.participants - 1).leading_zeros();
        debug_assert!(bits < OWNER_BITS);
        bits
    }
}

/// The parts before the schema.
struct Front {
    control_offset: usize,
    entries_offset: usize,
    slots_offset: usize,
    end: End,
}

impl Front {
    fn place(capacity: usize, participants: u32) -> Option<Self> {
        let mut end = End(0);
        end.take(1, size_of::<Header>(), align_of::<Header>())?;
        let control_offset = end.take(1, size_of::<Control>(), align_of::<Control>())?;
        let entries_offset = end.take(participants as usize, size_of::<Entry>(), align_of::<Entry>())?;
        let slots_offset = end.take(capacity, size_of::<Slot>(), align_of::<Slot>())?;
        Some(Self { control_offset, entries_offset, slots_offset, end })
    }
}

/// The end of what is placed so far.
struct End(usize);

impl End {
    /// Places `count` times `nbytes` at the next multiple of `align`, and says where.
    fn take(&mut self, count: usize, nbytes: usize, align: usize) -> Option<usize> {
        let offset = self.0.checked_next_multiple_of(align)?;
        self.0 = offset.checked_add(count.checked_mul(nbytes)?)?;
        Some(offset)
    }
}

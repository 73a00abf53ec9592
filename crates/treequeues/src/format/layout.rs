//! Where everything lies in a segment: kind, schema and capacity to checked offsets. Arithmetic only.
//!
//! L1. All offsets are within `total_nbytes`, which is at most `isize::MAX`.
//! L2. No two parts overlap, and each part's offset is a multiple of its alignment.

use std::ops::RangeInclusive;

use crate::format::word::OWNER_BITS;
use crate::format::{Control, Entry, HOSTS, Header, HostName, Kind, Slot, topic_words, words_below_root};
use crate::item::schema::{LeafSpec, Schema};
use crate::sync::AtomicU64;

/// The largest number of slots of one queue.
pub const MAX_CAPACITY: u64 = 1 << 24;
/// The largest number of slots of one topic: more leave its tickets too few bits.
pub const MAX_TOPIC_CAPACITY: u64 = 1 << 16;
/// The largest number of processes that can share one queue or topic. It leaves 9 bits of an owner word for generations.
pub const MAX_PARTICIPANTS: u32 = 1 << 12;
/// How many processes can share a queue unless its creator says otherwise.
pub const DEFAULT_PARTICIPANTS: u32 = 256;
/// The longest schema as text: twice what the most leaves take with ordinary keys. Who attaches reads it whole, and believes no
/// header that asks for more.
pub(crate) const MAX_SCHEMA_NBYTES: usize = 1 << 28;
/// Segments come in whole pages of this size.
pub(crate) const PAGE_NBYTES: usize = 4096;

/// A cache line: words of few slots each are not to share one with a slot.
const WORDS_ALIGN: usize = 64;
const LEAF_ALIGN: usize = 64;
/// A leaf of this many bytes and more begins on a page.
const PAGE_ALIGNED_FROM: usize = 64 * 1024;

/// One leaf's array of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeafPlace {
    /// Of slot 0's row, from the segment's base.
    pub(crate) offset: usize,
    /// Bytes of one row.
    pub(crate) nbytes: usize,
    /// Bytes from each row to the next.
    pub(crate) stride: usize,
}

/// The parts of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) capacity: usize,
    pub(crate) participants: u32,
    pub(crate) front: Front,
    pub(crate) schema_nbytes: usize,
    pub(crate) leaves: Box<[LeafPlace]>,
    pub(crate) total_nbytes: usize,
}

/// The parts before the schema, and where that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) control_offset: usize,
    pub(crate) entries_offset: usize,
    pub(crate) slots_offset: usize,
    pub(crate) words_offset: usize,
    /// Words of the structure beside the slots: looked at by each call.
    pub(crate) words: usize,
    pub(crate) hosts_offset: usize,
    pub(crate) hosts: usize,
    pub(crate) schema_offset: usize,
}

/// The parts do not fit the address space, or their numbers are out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayoutError {
    Capacity,
    Participants,
    SchemaTooLong,
    TooLarge,
}

impl Layout {
    pub(crate) fn new(
        kind: Kind,
        schema: &Schema,
        schema_nbytes: usize,
        capacity: u64,
        participants: u64,
    ) -> Result<Self, LayoutError> {
        if !capacities(kind).contains(&capacity) {
            return Err(LayoutError::Capacity);
        }
        if !(1..=u64::from(MAX_PARTICIPANTS)).contains(&participants) {
            return Err(LayoutError::Participants);
        }
        if schema_nbytes > MAX_SCHEMA_NBYTES {
            return Err(LayoutError::SchemaTooLong);
        }
        Self::place(kind, schema.leaves(), schema_nbytes, capacity as usize, participants as u32)
            .ok_or(LayoutError::TooLarge)
    }

    fn place(
        kind: Kind,
        leaves: &[LeafSpec],
        schema_nbytes: usize,
        capacity: usize,
        participants: u32,
    ) -> Option<Self> {
        let front = Front::place(kind, capacity, participants)?;
        let mut end = End(front.schema_offset);
        end.take(1, schema_nbytes, 1)?;
        let leaves = leaves
            .iter()
            .map(|leaf| {
                let nbytes = leaf.nbytes();
                let align = if nbytes >= PAGE_ALIGNED_FROM { PAGE_NBYTES } else { LEAF_ALIGN };
                let stride = match kind {
                    // Rows of consecutive slots are a batch as they lie.
                    Kind::Queue => nbytes,
                    // Readers of one item and the writer of the next share no cache line.
                    Kind::Topic => nbytes.checked_next_multiple_of(align)?,
                };
                Some(LeafPlace { offset: end.take(capacity, stride, align)?, nbytes, stride })
            })
            .collect::<Option<_>>()?;
        let total_nbytes =
            end.0.checked_next_multiple_of(PAGE_NBYTES).filter(|&total| total <= isize::MAX as usize)?;
        Some(Self { capacity, participants, front, schema_nbytes, leaves, total_nbytes })
    }

    /// Where the schema begins: to be known before the schema is.
    pub(crate) fn schema_offset(kind: Kind, capacity: u64, participants: u64) -> Option<usize> {
        let front = Front::place(kind, usize::try_from(capacity).ok()?, u32::try_from(participants).ok()?)?;
        Some(front.schema_offset)
    }

    /// How many bits of an owner word hold a participant's id; the others hold its generation.
    pub(crate) fn id_bits(&self) -> u32 {
        let bits = u32::BITS - (self.participants - 1).leading_zeros();
        debug_assert!(bits < OWNER_BITS);
        bits
    }
}

/// How many slots there can be.
pub(crate) fn capacities(kind: Kind) -> RangeInclusive<u64> {
    match kind {
        Kind::Queue => 1..=MAX_CAPACITY,
        // The newest item stays while the next one is written.
        Kind::Topic => 2..=MAX_TOPIC_CAPACITY,
    }
}

impl Front {
    fn place(kind: Kind, capacity: usize, participants: u32) -> Option<Self> {
        let (words, hosts) = match kind {
            // One for each item is enough.
            Kind::Queue => (words_below_root(capacity), HOSTS.min(capacity)),
            Kind::Topic => (topic_words::all(capacity, participants)?, 0),
        };
        let mut end = End(0);
        end.take(1, size_of::<Header>(), align_of::<Header>())?;
        let control_offset = end.take(1, size_of::<Control>(), align_of::<Control>())?;
        let entries_offset = end.take(participants as usize, size_of::<Entry>(), align_of::<Entry>())?;
        let slots_offset = end.take(capacity, size_of::<Slot>(), align_of::<Slot>())?;
        let words_offset = end.take(words, size_of::<AtomicU64>(), WORDS_ALIGN)?;
        let hosts_offset = end.take(hosts, size_of::<HostName>(), align_of::<HostName>())?;
        Some(Self {
            control_offset,
            entries_offset,
            slots_offset,
            words_offset,
            words,
            hosts_offset,
            hosts,
            schema_offset: end.0,
        })
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

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::item::dtype::Dtype;
    use crate::item::schema::{Key, LeafKind, Node, Structure};

    fn schema(leaves: &[usize]) -> Schema {
        let keys = (0..leaves.len()).map(|leaf| Key::Str(format!("leaf_{leaf}"))).collect();
        let nodes = std::iter::once(Node::Dict(keys)).chain(leaves.iter().map(|_| Node::Leaf)).collect();
        let uint8 = || Dtype::from_name("uint8").expect("known");
        let leaves =
            leaves.iter().map(|&nbytes| LeafSpec::new(uint8(), vec![nbytes], LeafKind::Array)).collect();
        Schema::new(Structure::new(nodes).expect("one dict"), leaves).expect("as many leaves")
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Queue), Just(Kind::Topic)]
    }

    fn layout(kind: Kind, schema: &Schema, capacity: u64, participants: u64) -> Layout {
        Layout::new(kind, schema, schema.to_json().len(), capacity, participants).expect("small")
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn parts_are_apart_aligned_and_inside(
            kind in kinds(),
            leaves in prop::collection::vec(0_usize..200_000, 0..20),
            capacity in 2_u64..200,
            participants in 1_u64..300,
        ) {
            let schema = schema(&leaves);
            let layout = layout(kind, &schema, capacity, participants);
            let mut parts = vec![
                (0, size_of::<Header>(), align_of::<Header>()),
                (layout.front.control_offset, size_of::<Control>(), align_of::<Control>()),
                (layout.front.entries_offset, layout.participants as usize * size_of::<Entry>(), align_of::<Entry>()),
                (layout.front.slots_offset, layout.capacity * size_of::<Slot>(), align_of::<Slot>()),
                (layout.front.words_offset, layout.front.words * 8, 64),
                (layout.front.hosts_offset, layout.front.hosts * size_of::<HostName>(), 64),
                (layout.front.schema_offset, layout.schema_nbytes, 1),
            ];
            for (place, &nbytes) in layout.leaves.iter().zip(&leaves) {
                let align = if nbytes >= PAGE_ALIGNED_FROM { PAGE_NBYTES } else { LEAF_ALIGN };
                let is_batch = kind == Kind::Queue;
                prop_assert_eq!(place.nbytes, nbytes);
                prop_assert_eq!(place.stride, if is_batch { nbytes } else { nbytes.next_multiple_of(align) });
                parts.push((place.offset, layout.capacity * place.stride, align));
            }
            let mut end = 0;
            for (offset, nbytes, align) in parts {
                prop_assert!(offset >= end && offset % align == 0);
                end = offset + nbytes;
            }
            prop_assert!(end <= layout.total_nbytes);
            prop_assert_eq!(Layout::schema_offset(kind, capacity, participants), Some(layout.front.schema_offset));
        }

        #[test]
        fn memory_beyond_the_items_is_bounded(
            leaves in prop::collection::vec(prop_oneof![0_usize..100, 60_000_usize..70_000], 0..100),
            capacity in 1_u64..500,
        ) {
            let schema = schema(&leaves);
            let layout = layout(Kind::Queue, &schema, capacity, u64::from(DEFAULT_PARTICIPANTS));
            let items = layout.capacity * schema.item_nbytes();
            let a_leaf = |&nbytes: &usize| if nbytes >= PAGE_ALIGNED_FROM { PAGE_NBYTES } else { 256 };
            let allowed = layout.capacity * 256 + leaves.iter().map(a_leaf).sum::<usize>() + (256 << 10);
            prop_assert!(layout.total_nbytes - items <= allowed);
        }
    }

    #[test]
    fn numbers_out_of_range_are_told_apart() {
        let schema = schema(&[1 << 40]);
        let refused = |capacity, participants| {
            Layout::new(Kind::Queue, &schema, 0, capacity, participants).expect_err("refused")
        };
        assert_eq!(refused(0, 1), LayoutError::Capacity);
        assert_eq!(refused(MAX_CAPACITY + 1, 1), LayoutError::Capacity);
        assert_eq!(refused(1, 0), LayoutError::Participants);
        assert_eq!(refused(1, u64::from(MAX_PARTICIPANTS) + 1), LayoutError::Participants);
        assert_eq!(refused(MAX_CAPACITY, 1), LayoutError::TooLarge);
        let too_long = Layout::new(Kind::Queue, &schema, MAX_SCHEMA_NBYTES + 1, 1, 1);
        assert_eq!(too_long, Err(LayoutError::SchemaTooLong));
    }

    #[test]
    fn ids_and_generations_share_the_owner_field() {
        let bits = |participants| layout(Kind::Queue, &schema(&[1]), 1, participants).id_bits();
        assert_eq!([bits(1), bits(2), bits(3), bits(256), bits(257), bits(4096)], [0, 1, 2, 8, 9, 12]);
    }
}

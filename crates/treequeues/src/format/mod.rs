//! The segment's format, version 7: what lies where in the one mapped region of a queue or a topic.
//!
//! ```text
//!  offset            size             content
//!  0                 256              Header: written once, before anyone else can see the segment
//!  256               896              Control: two wake-up words, marks of those who spin, time of the last sweep, shutdown; of a queue its
//!                                     cursors, the tree's root, gap, whose turn it is to claim a batch, and what has arrived from elsewhere;
//!                                     of a topic which item is the newest; a cache line each
//!  1152              384 * P          participants: P entries, with what each has counted
//!  1152 + 384 * P    64 * capacity    slots: state word and metadata, a cache line each
//!  ...               8 * words        of a queue its tree: the words below the root, the last level first (`ring::tree`); from 33 slots on.
//!                                     Of a topic its pins, a word for each slot and participant, then its subscriptions (`topic`)
//!  ...               64 * hosts       of a queue: the names of the hosts that items came from, as many as slots, and 256 at most
//!  ...               schema_nbytes    schema: UTF-8 JSON, `Schema::to_json`
//!  ...                                leaves: one array of rows a leaf, a row a slot. Of a queue it is [capacity, *shape], its base aligned to
//!                                     64 bytes, to 4096 for a leaf of 64 KiB and more. Of a topic each row is aligned so
//! ```
//!
//! All numbers are little-endian. `layout::Layout` computes every offset from the kind, the schema, the capacity and P, so the
//! header holds no offset that could point elsewhere.
//!
//! A segment is valid when
//! F1. magic, version and `header_nbytes` are those of this file;
//! F2. `checksum` is the FNV-1a hash of the header's bytes before it, and `kind` is a `Kind`;
//! F3. the file is `total_nbytes` long, and that is what the layout of kind, schema, capacity and P needs;
//! F4. the schema parses, and its fingerprint is `fingerprint`.
//! All four are checked once, at attach, into plain values; later only atomics are read from the mapping.
//!
//! What a crash leaves behind: nothing before the header is complete (an anonymous segment dies with its last
//! descriptor, and a named one has no name yet); afterwards each slot in one of the states of its structure, which a sweep
//! returns, and the file of a named segment, which `names` tells from a living one.
//!
//! Bytes of the file are also places of locks, whatever is stored there: byte p that participant p lives (`liveness`), and
//! all of them at once that a name changes hands (`names`).

pub(crate) mod layout;
pub(crate) mod name;
pub(crate) mod word;

use crate::sync::{AtomicU32, AtomicU64};

/// The first bytes of every segment.
pub(crate) const MAGIC: [u8; 8] = *b"TREEQ\r\n\x1a";
/// This format's version: any change of a byte's meaning is a new one.
pub(crate) const VERSION: u32 = 7;

/// F1 to F4. Plain bytes: copied out of the mapping before a field is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u32,
    pub(crate) header_nbytes: u32,
    /// 128 random bits: what a handle names.
    pub(crate) id: [u8; 16],
    pub(crate) total_nbytes: u64,
    pub(crate) capacity: u64,
    pub(crate) schema_nbytes: u64,
    pub(crate) fingerprint: u64,
    /// Nanoseconds since the Unix epoch; for people.
    pub(crate) created_at_ns: u64,
    /// For people.
    pub(crate) creator_pid: u32,
    pub(crate) participants: u32,
    /// `FLAG_*`.
    pub(crate) flags: u32,
    /// An item that has killed so many takers is dropped by the next one; 0 for no limit.
    pub(crate) max_deliveries: u32,
    /// The name, padded with zeros; all zero for an anonymous segment.
    pub(crate) name: [u8; NAME_NBYTES],
    /// `Kind`.
    pub(crate) kind: u32,
    /// How many producers there will be; 0 if that was not said.
    pub(crate) producers: u32,
    pub(crate) reserved: [u8; 48],
    pub(crate) checksum: u64,
}

/// Which structure lies in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// Each item for one consumer.
    Queue = 1,
    /// Each item for every subscriber.
    Topic = 2,
}

impl Kind {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        [Self::Queue, Self::Topic].into_iter().find(|kind| *kind as u32 == number)
    }

    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Topic => "topic",
        }
    }
}

/// Room for a name (`names`: at most 100 bytes).
pub(crate) const NAME_NBYTES: usize = 104;
/// Whoever maps the segment makes its page tables at once.
pub(crate) const FLAG_POPULATE: u32 = 1;
/// The segment is a file with a name, so it is not sealed.
pub(crate) const FLAG_NAMED: u32 = 2;
/// The name outlives all participants.
pub(crate) const FLAG_KEEP: u32 = 4;
/// A put into the full queue drops the oldest item: see `queue::overflow`.
pub(crate) const FLAG_DROP_OLDEST: u32 = 8;

/// A cache line of its own.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Line<T>(pub(crate) T);

impl<T> std::ops::Deref for Line<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What all participants share beside the slots. A queue has no use for `newest`, and a topic none for the cursors, the tree, the gap,
/// the turns of batches and what has arrived. What every call reads lies apart from what a call writes that waits.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Control {
    /// A ticket at or before the first one not used up.
    pub(crate) head: Line<AtomicU64>,
    /// A ticket at or before the first one that a borrow may take.
    pub(crate) tail: Line<AtomicU64>,
    /// The root of the tree that tells where items are RETURNED: see `ring`.
    pub(crate) returned: Line<AtomicU64>,
    /// What was used up otherwise than by items that were taken in order: see `ring`.
    pub(crate) gap: Line<Gap>,
    /// The wake-up word of consumers. Bit 0: waiters; above: a sequence.
    pub(crate) not_empty: Line<AtomicU32>,
    /// That of producers.
    pub(crate) not_full: Line<AtomicU32>,
    /// The marks of consumers that spin: see `wait` E6.
    pub(crate) spinning_consumers: Line<Marks>,
    /// Those of producers.
    pub(crate) spinning_producers: Line<Marks>,
    /// Who is claiming a batch of items, a `Slot::holder`; 0 for nobody: see `batch` T4.
    pub(crate) batch_of_items: Line<AtomicU64>,
    /// The same of free slots.
    pub(crate) batch_of_slots: Line<AtomicU64>,
    /// CLOCK_MONOTONIC in nanoseconds when somebody last began a sweep: one sweeper serves all who sleep.
    pub(crate) swept_at_ns: Line<AtomicU64>,
    pub(crate) shutdown: Line<ShutdownLine>,
    /// Of a topic: the ticket of its newest item, and the slot: see `topic::board`.
    pub(crate) newest: Line<AtomicU64>,
    /// The last batch from elsewhere that has arrived, by its name: see `ring::publish` U5.
    pub(crate) arrived: Line<AtomicU64>,
}

/// Tickets that were used up otherwise than by an item that was taken in order.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Gap {
    /// One past the highest of them, or lower where the tail has passed that.
    pub(crate) ticket: AtomicU64,
    /// How often a slot was freed whose last ticket the tail had not passed.
    pub(crate) frees: AtomicU64,
}

/// A mark for each of those who may spin at once: CLOCK_MONOTONIC in nanoseconds until which its holder does; 0 for nobody.
pub(crate) type Marks = [AtomicU64; SPINNERS];

/// How many of one side spin at once: one that has got something is not back at once, and more fight for the same slot.
pub(crate) const SPINNERS: usize = 2;

/// Whether the queue is shut down, which every call looks at, and what is written once, when it is.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ShutdownLine {
    /// `SHUTDOWN_*`.
    pub(crate) flag: AtomicU32,
    pub(crate) reserved: AtomicU32,
    pub(crate) notes: ShutdownNotes,
    /// What the end of a stream says of its producers: those that died above 32 bits for those that came; 0 for none.
    pub(crate) producers: AtomicU64,
}

/// Who shut the queue down, and when: a `ShutdownNote` each, for people.
///
/// A note is written before its bit of the flag is set, and says nothing while that is not set: a process may have died in
/// between. Of several that shut down at once, it names one.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ShutdownNotes {
    /// Of the first shutdown.
    pub(crate) first: AtomicU64,
    /// Of the first immediate one.
    pub(crate) immediate: AtomicU64,
}

/// A process and a time in one word, so that nobody reads the one without the other: milliseconds since the Unix epoch above
/// `PID_BITS` of its number; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShutdownNote(pub(crate) u64);

/// Linux numbers processes below 2^22.
const PID_BITS: u32 = 22;
/// Whose note the end of a stream leaves: nobody's.
pub(crate) const NOBODY: u32 = 0;

impl ShutdownNote {
    pub(crate) fn new(pid: u32, at_ns: u64) -> Self {
        Self((at_ns / 1_000_000) << PID_BITS | u64::from(pid) & ((1 << PID_BITS) - 1))
    }

    /// The process, as it sees its own number.
    pub(crate) fn pid(self) -> u32 {
        (self.0 & ((1 << PID_BITS) - 1)) as u32
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn at_ms(self) -> u64 {
        self.0 >> PID_BITS
    }
}

/// Open for puts and gets.
pub(crate) const SHUTDOWN_NONE: u32 = 0;
/// Puts end at once, gets when the queue is drained.
pub(crate) const SHUTDOWN_DRAIN: u32 = 1;
/// Puts and gets end at once. It has the bit of `SHUTDOWN_DRAIN` too, so that shutting down is one `fetch_or`.
pub(crate) const SHUTDOWN_IMMEDIATE: u32 = 3;

/// One participant's place.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Entry {
    /// Deaths of tenants * 2^41 + tenancies that have ended * 2 + (1 if in use): `liveness::EntryState`.
    pub(crate) state: AtomicU64,
    /// For people: decisions rest on the lock of byte p alone.
    pub(crate) pid: AtomicU32,
    pub(crate) reserved: AtomicU32,
    /// Nanoseconds since the Unix epoch when the participant registered; for people.
    pub(crate) attached_at_ns: AtomicU64,
    /// Puts and gets of the thread that registered the participant: no other thread writes these.
    pub(crate) own: [AtomicU64; COUNTERS_OF_THREADS],
    /// What all tenants of this place have counted so far (`counters`), but for `own`. It is never set back, so that a sum
    /// over all places is right whoever came and went.
    pub(crate) counts: [AtomicU64; COUNTERS],
    /// What the counts, `own` included, were when the present tenant came.
    pub(crate) counts_before: [AtomicU64; COUNTERS],
    /// The batch that the tenant is publishing, as its slots say it in `batch`; 0 for none. A sweep completes it (`ring::publish`).
    pub(crate) publishing: AtomicU64,
    /// Blocks of producers, of all tenants together: see `queue::producers`.
    pub(crate) blocks: Blocks,
}

/// How many blocks of producers came, left, and died with their process.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Blocks {
    pub(crate) came: AtomicU64,
    pub(crate) left: AtomicU64,
    pub(crate) died: AtomicU64,
}

/// Counters of an entry.
pub(crate) const COUNTERS: usize = 15;
/// The first of them, which the registering thread counts apart: it needs no locked instructions.
pub(crate) const COUNTERS_OF_THREADS: usize = 2;

/// One slot's state and metadata.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Slot {
    /// `word::Word`.
    pub(crate) state: AtomicU64,
    /// The ticket of the item, from its reserve until the slot is free.
    pub(crate) ticket: AtomicU64,
    /// CLOCK_REALTIME in nanoseconds at the commit.
    pub(crate) put_time_ns: AtomicU64,
    pub(crate) producer_pid: AtomicU32,
    /// Borrows of this item so far. Written by the slot's holder alone: 0 before the commit, one more after each claim.
    pub(crate) delivery_count: AtomicU32,
    /// While the slot is held: who began that, the owner's bits of the state word above 32 bits for one of its threads. Said
    /// after the claim and unsaid before its end: else 0, or what a dead one left.
    pub(crate) holder: AtomicU64,
    /// CLOCK_MONOTONIC_COARSE in nanoseconds when a loan of the slot began; 0 in a put or a get. For people.
    pub(crate) held_since_ns: AtomicU64,
    /// Deliveries of this item that ended by giving it back. Written by the slot's holder alone: 0 before the commit, one more
    /// before the compare-and-swap that gives back. `delivery_count - give_backs` is how many takers died with the item, the
    /// present one included while there is one. Who is killed between a claim and its count, or between a count and its
    /// compare-and-swap, is not counted: a death too few, never one too many.
    pub(crate) give_backs: AtomicU32,
    /// Of an item that was brought from another host, which one, and how often it was delivered there: see `queue::hosts`. 0 of all others.
    pub(crate) origin: AtomicU32,
    /// The batch that the item was put with: the ticket of its first item, plus one; 0 for an item that was put alone. Written before
    /// the commit, and `delivery_count` after it (`ring::publish`).
    pub(crate) batch: AtomicU64,
}

/// The name of a host that items came from, padded with zeros; all zero for none: see `queue::hosts`.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct HostName(pub(crate) [AtomicU64; HOST_NAME_NBYTES / size_of::<u64>()]);

/// Linux lets no host have a longer name.
pub(crate) const HOST_NAME_NBYTES: usize = 64;
/// Hosts that the items of one queue may come from at a time, if it has so many slots.
pub(crate) const HOSTS: usize = 256;

/// The words of a topic beside its slots.
pub(crate) mod topic_words {
    /// Words of a cache line.
    const LINE: usize = 8;
    /// Words of one subscription's record: a cache line.
    pub(crate) const OF_A_SUBSCRIPTION: usize = LINE;
    /// Subscriptions that are seen from outside, for each participant that there may be. More of them are not listed.
    pub(crate) const SUBSCRIPTIONS_OF_A_PARTICIPANT: usize = 4;

    /// Words from the pins of one slot to those of the next: slots share no cache line.
    pub(crate) fn pins_of_a_slot(participants: u32) -> usize {
        (participants as usize).next_multiple_of(LINE)
    }

    /// All pins.
    pub(crate) fn pins(capacity: usize, participants: u32) -> Option<usize> {
        capacity.checked_mul(pins_of_a_slot(participants))
    }

    /// Pins and subscriptions.
    pub(crate) fn all(capacity: usize, participants: u32) -> Option<usize> {
        let records = SUBSCRIPTIONS_OF_A_PARTICIPANT * OF_A_SUBSCRIPTION * participants as usize;
        pins(capacity, participants)?.checked_add(records)
    }
}

/// Bits of a word of the tree, below its version.
pub(crate) const TREE_FAN: usize = 32;

/// Words of the tree below its root.
pub(crate) fn words_below_root(capacity: usize) -> usize {
    let mut words = 0;
    let mut level = capacity.div_ceil(TREE_FAN);
    while level > 1 {
        words += level;
        level = level.div_ceil(TREE_FAN);
    }
    words
}

#[cfg(any(loom, test))]
impl Control {
    /// As fresh memory is: all zero.
    pub(crate) fn fresh() -> Self {
        Self {
            head: Line(AtomicU64::new(0)),
            tail: Line(AtomicU64::new(0)),
            returned: Line(AtomicU64::new(0)),
            gap: Line(Gap { ticket: AtomicU64::new(0), frees: AtomicU64::new(0) }),
            not_empty: Line(AtomicU32::new(0)),
            not_full: Line(AtomicU32::new(0)),
            spinning_consumers: Line([(); SPINNERS].map(|()| AtomicU64::new(0))),
            spinning_producers: Line([(); SPINNERS].map(|()| AtomicU64::new(0))),
            batch_of_items: Line(AtomicU64::new(0)),
            batch_of_slots: Line(AtomicU64::new(0)),
            swept_at_ns: Line(AtomicU64::new(0)),
            newest: Line(AtomicU64::new(0)),
            arrived: Line(AtomicU64::new(0)),
            shutdown: Line(ShutdownLine {
                flag: AtomicU32::new(SHUTDOWN_NONE),
                reserved: AtomicU32::new(0),
                notes: ShutdownNotes { first: AtomicU64::new(0), immediate: AtomicU64::new(0) },
                producers: AtomicU64::new(0),
            }),
        }
    }
}

#[cfg(any(loom, test))]
impl Slot {
    /// As fresh memory is: all zero.
    pub(crate) fn fresh() -> Self {
        Self {
            state: AtomicU64::new(0),
            ticket: AtomicU64::new(0),
            put_time_ns: AtomicU64::new(0),
            producer_pid: AtomicU32::new(0),
            delivery_count: AtomicU32::new(0),
            holder: AtomicU64::new(0),
            held_since_ns: AtomicU64::new(0),
            give_backs: AtomicU32::new(0),
            origin: AtomicU32::new(0),
            batch: AtomicU64::new(0),
        }
    }
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 256);
    assert!(size_of::<Control>() == 896);
    assert!(size_of::<Entry>() == 384);
    assert!(size_of::<Slot>() == 64);
    assert!(size_of::<HostName>() == HOST_NAME_NBYTES);
    assert!(size_of::<Header>().is_multiple_of(align_of::<Control>()));
    assert!(cfg!(target_endian = "little"), "the format is little-endian");
};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn five_levels_are_enough_for_the_largest_queue() {
        let words = words_below_root(1 << 24);
        assert_eq!(words, (1 << 19) + (1 << 14) + (1 << 9) + (1 << 4));
        assert_eq!([1, 32, 33, 1024, 1025].map(words_below_root), [0, 0, 2, 32, 33 + 2]);
    }
}

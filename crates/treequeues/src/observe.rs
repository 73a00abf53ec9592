//! Looks from outside, at a queue that has a name.
//!
//! V1. An observer reads the segment's file and maps nothing, so it is in nobody's way: it holds no slot, has no place in the
//!     table and no lock, and may be killed or stopped at any time.

use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::AttachError;
use crate::format::layout::Layout;
use crate::format::name::QueueName;
use crate::format::word::{Phase, Word};
use crate::format::{Control, Entry, FLAG_DROP_OLDEST, FLAG_KEEP, Kind, Slot};
use crate::item::schema::Schema;
use crate::long_look::LongLook;
use crate::memory::fork::{self, Descriptor};
use crate::memory::segment::{Preamble, SegmentId, has_name, read_at};
use crate::presence::liveness::is_alive;
use crate::presence::names::{self, NameState};
use crate::queue::stats::Stats;
use crate::queue::stats::values::{EntryValues, ShutdownValues, SlotValues};

/// Slots that are read at a time.
const CHUNK_SLOTS: usize = 4096;
/// Items that a peek goes after before it says that they are all gone too fast.
const MAX_PEEKS: usize = 64;

/// A look at a named queue from outside: no participant, in nobody's way, and able to look at one that is stale.
///
/// ```
/// # use treequeues::{CreateOptions, Dtype, LeafKind, LeafSpec, Observer, Queue, Schema, Structure};
/// # let leaf = LeafSpec::new(Dtype::from_name("uint8")?, vec![2], LeafKind::Array);
/// # let schema = Schema::new(Structure::leaf(), vec![leaf])?;
/// # let name = format!("observer-example-{}", std::process::id());
/// let queue = Queue::create_named(&name, schema, 8, CreateOptions::default())?;
/// queue.reserve()?.commit()?;
///
/// let observer = Observer::open(&name.parse()?)?;
/// let stats = observer.look()?;
/// assert_eq!((stats.snapshot.ready, stats.counters.puts, stats.participants.len()), (1, 1, 1));
/// assert_eq!(observer.peek()?.expect("an item").rows, [[0, 0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Observer {
    name: QueueName,
    file: Descriptor,
    preamble: Preamble,
    schema: Arc<Schema>,
    slots_seen: LongLook<Stats>,
}

/// An item as it was when somebody looked, still in the queue then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeekedItem {
    /// Its place in the order of all items.
    pub ticket: u64,
    /// When it was put.
    pub put_time: SystemTime,
    /// The process that put it.
    pub producer_pid: u32,
    /// How often it was delivered so far.
    pub delivery_count: u32,
    /// The bytes of each leaf's row, in C order.
    pub rows: Vec<Vec<u8>>,
}

impl Observer {
    /// Opens the queue of this name, live or not.
    ///
    /// # Errors
    /// `NotFound`, `OtherKind` if it is a topic, or `At` if what is there is no sound queue of this version.
    pub fn open(name: &QueueName) -> Result<Self, AttachError> {
        let (file, preamble) = names::look_at(name)?;
        if preamble.kind != Kind::Queue {
            return Err(AttachError::OtherKind { found: preamble.kind.name(), wanted: Kind::Queue.name() });
        }
        file.leave_to_children(&mut fork::hold_off());
        let schema = Arc::new(preamble.schema.clone());
        Ok(Self { name: name.clone(), file, preamble, schema, slots_seen: LongLook::default() })
    }

    /// The queue's name.
    pub fn name(&self) -> &QueueName {
        &self.name
    }

    /// The queue's schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How many items fit in.
    pub fn capacity(&self) -> usize {
        self.preamble.layout.capacity
    }

    /// Bytes of the whole segment.
    pub fn nbytes(&self) -> usize {
        self.preamble.layout.total_nbytes
    }

    /// How many processes can be attached at a time.
    pub fn max_participants(&self) -> u32 {
        self.preamble.layout.participants
    }

    /// How many takers an item may kill before it is dropped; `None` for no limit.
    pub fn max_deliveries(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.preamble.header.max_deliveries)
    }

    /// How many producers there will be; `None` if that was not said.
    pub fn producers(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.preamble.header.producers)
    }

    /// Whether a put that finds the queue full drops the oldest item.
    pub fn drops_oldest(&self) -> bool {
        self.preamble.header.flags & FLAG_DROP_OLDEST != 0
    }

    /// The random name of the segment.
    pub fn id(&self) -> SegmentId {
        self.preamble.header.id
    }

    /// When the queue was created.
    pub fn created_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.preamble.header.created_at_ns)
    }

    /// The process that created the queue, as that one sees its own number.
    pub fn creator_pid(&self) -> u32 {
        self.preamble.header.creator_pid
    }

    /// Whether the queue was made to outlive its participants.
    pub fn is_kept(&self) -> bool {
        self.preamble.header.flags & FLAG_KEEP != 0
    }

    /// Whether the file still has its name: if not, the queue was removed, and another one may have the name.
    pub fn has_name(&self) -> bool {
        has_name(&self.file)
    }

    /// Whether somebody is attached.
    ///
    /// # Errors
    /// If the system refuses to tell.
    pub fn state(&self) -> Result<NameState, AttachError> {
        names::state_of(&self.file, &self.name)
    }

    /// What is in the queue now, what was done to it, and who holds what: of slots as old as in `Queue::stats`.
    ///
    /// # Errors
    /// If the segment is damaged, or cannot be read.
    pub fn look(&self) -> Result<Stats, AttachError> {
        let Layout { control_offset, entries_offset, slots_offset, capacity, participants, .. } =
            self.preamble.layout;
        let entries = self.read(entries_offset, participants as usize * size_of::<Entry>())?;
        let entries: Vec<_> = entries.chunks_exact(size_of::<Entry>()).map(EntryValues::parse).collect();
        let control = self.read(control_offset, size_of::<Control>())?;
        let shutdown = ShutdownValues::parse(&control);
        let is_alive = |id| is_alive(self.file.as_fd(), id);
        Stats::of(&self.preamble.layout, &entries, is_alive, shutdown, &self.slots_seen, |tally| {
            for first in (0..capacity).step_by(CHUNK_SLOTS) {
                let count = CHUNK_SLOTS.min(capacity - first);
                let slots = self.read(slots_offset + first * size_of::<Slot>(), count * size_of::<Slot>())?;
                for slot in slots.chunks_exact(size_of::<Slot>()) {
                    tally.count(&SlotValues::parse(slot))?;
                }
            }
            Ok(())
        })
        .map(|stats| stats.with_producers(self.preamble.header.producers, &entries))
    }

    /// The oldest item, as it is now: it stays in the queue. `None` if there is none, or if others were faster each time.
    ///
    /// # Errors
    /// If the segment is damaged, or cannot be read.
    pub fn peek(&self) -> Result<Option<PeekedItem>, AttachError> {
        for _ in 0..MAX_PEEKS {
            let Some((slot, before)) = self.oldest()? else { return Ok(None) };
            let place = |leaf: usize| self.preamble.layout.leaves[leaf];
            let rows = (0..self.schema.leaves().len())
                .map(|leaf| self.read(place(leaf).offset + slot * place(leaf).stride, place(leaf).nbytes))
                .collect::<Result<_, _>>()?;
            // The word names the lap: if it is the same, nobody had the slot in between.
            if self.slot(slot)? == before {
                return Ok(Some(PeekedItem {
                    ticket: before.ticket,
                    put_time: SystemTime::UNIX_EPOCH + Duration::from_nanos(before.put_time_ns),
                    producer_pid: before.producer_pid,
                    delivery_count: before.delivery_count,
                    rows,
                }));
            }
        }
        Ok(None)
    }

    /// The slot of the item that comes next: a returned one with the lowest ticket, or the lowest ticket of all.
    fn oldest(&self) -> Result<Option<(usize, SlotValues)>, AttachError> {
        let capacity = self.capacity();
        let mut oldest: Option<(bool, u64, usize, SlotValues)> = None;
        for first in (0..capacity).step_by(CHUNK_SLOTS) {
            let count = CHUNK_SLOTS.min(capacity - first);
            let offset = self.preamble.layout.slots_offset + first * size_of::<Slot>();
            let slots = self.read(offset, count * size_of::<Slot>())?;
            for (slot, bytes) in (first..).zip(slots.chunks_exact(size_of::<Slot>())) {
                let values = SlotValues::parse(bytes);
                let in_order = match Word(values.state).phase() {
                    Some(Phase::Ready) => true,
                    Some(Phase::Returned) => false,
                    _ => continue,
                };
                let found = (in_order, values.ticket, slot, values);
                if oldest.is_none_or(|(o, t, ..)| (found.0, found.1) < (o, t)) {
                    oldest = Some(found);
                }
            }
        }
        Ok(oldest.map(|(_, _, slot, values)| (slot, values)))
    }

    fn slot(&self, slot: usize) -> Result<SlotValues, AttachError> {
        let offset = self.preamble.layout.slots_offset + slot * size_of::<Slot>();
        Ok(SlotValues::parse(&self.read(offset, size_of::<Slot>())?))
    }

    fn read(&self, offset: usize, nbytes: usize) -> Result<Vec<u8>, AttachError> {
        read_at(&self.file, offset, nbytes)
    }
}

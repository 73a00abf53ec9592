//! Looks at queues.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use super::Observed;
use crate::error::AttachError;
use crate::format::name::QueueName;
use crate::format::word::{Phase, Word};
use crate::format::{FLAG_DROP_OLDEST, Kind};
use crate::long_look::LongLook;
use crate::presence::values::{ShutdownValues, SlotValues};
use crate::queue::stats::Stats;

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
    observed: Observed,
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

impl Deref for Observer {
    type Target = Observed;

    fn deref(&self) -> &Observed {
        &self.observed
    }
}

impl Observer {
    /// Opens the queue of this name, live or not.
    ///
    /// # Errors
    /// `NotFound`, `OtherKind` if it is a topic, or `At` if what is there is no sound queue of this version.
    pub fn open(name: &QueueName) -> Result<Self, AttachError> {
        Self::of(Observed::open(name)?)
    }

    /// # Errors
    /// `OtherKind` if it is a topic.
    pub(super) fn of(observed: Observed) -> Result<Self, AttachError> {
        if observed.kind() != Kind::Queue {
            return Err(AttachError::OtherKind { found: observed.kind().name(), wanted: Kind::Queue.name() });
        }
        Ok(Self { observed, slots_seen: LongLook::default() })
    }

    /// How many takers an item may kill before it is dropped; `None` for no limit.
    pub fn max_deliveries(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.preamble().header.max_deliveries)
    }

    /// How many producers there will be; `None` if that was not said.
    pub fn producers(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.preamble().header.producers)
    }

    /// Whether a put that finds the queue full drops the oldest item.
    pub fn drops_oldest(&self) -> bool {
        self.preamble().header.flags & FLAG_DROP_OLDEST != 0
    }

    /// What is in the queue now, what was done to it, and who holds what: of slots as old as in `Queue::stats`.
    ///
    /// # Errors
    /// If the segment is damaged, or cannot be read.
    pub fn look(&self) -> Result<Stats, AttachError> {
        let entries = self.entries()?;
        let shutdown = ShutdownValues::parse(&self.control()?);
        let is_alive = |id| self.is_alive(id);
        Stats::of(self.layout(), &entries, is_alive, shutdown, &self.slots_seen, |tally| {
            for first in (0..self.capacity()).step_by(CHUNK_SLOTS) {
                let slots = self.slots(first, CHUNK_SLOTS.min(self.capacity() - first))?;
                slots.iter().try_for_each(|slot| tally.count(slot))?;
            }
            Ok(())
        })
        .map(|stats| stats.with_producers(self.preamble().header.producers, &entries))
    }

    /// The oldest item, as it is now: it stays in the queue. `None` if there is none, or if others were faster each time.
    ///
    /// # Errors
    /// If the segment is damaged, or cannot be read.
    pub fn peek(&self) -> Result<Option<PeekedItem>, AttachError> {
        for _ in 0..MAX_PEEKS {
            let Some((slot, before)) = self.oldest()? else { return Ok(None) };
            let rows = self.rows(slot)?;
            // The word names the lap: if it is the same, nobody had the slot in between.
            if self.slots(slot, 1)? == [before] {
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
            let slots = self.slots(first, CHUNK_SLOTS.min(capacity - first))?;
            for (slot, values) in (first..).zip(slots) {
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
}

//! Looks at topics.

use std::mem::offset_of;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use super::Observed;
use crate::error::AttachError;
use crate::format::name::QueueName;
use crate::format::{Control, Kind};
use crate::long_look::LongLook;
use crate::presence::values::{ShutdownValues, u64_at};
use crate::topic::stats::{TopicStats, has_item, newest_of};

/// Items that a peek goes after before it says that they are all gone too fast.
const MAX_PEEKS: usize = 64;

/// A look at a named topic from outside: no participant, in nobody's way, and able to look at one that is stale.
///
/// ```
/// # use treequeues::{Schema, Topic, TopicObserver, TopicOptions};
/// # let schema = Schema::builder().array::<u8>("pixels", [2]).build()?;
/// # let name = format!("topic-observer-example-{}", std::process::id());
/// let topic = Topic::create_named(&name, schema, 4, TopicOptions::default())?;
/// topic.reserve()?.commit()?;
///
/// let observer = TopicObserver::open(&name.parse()?)?;
/// let stats = observer.look()?;
/// assert_eq!((stats.version, stats.items, stats.participants.len()), (1, 1, 1));
/// assert_eq!(observer.peek()?.expect("an item").rows, [[0, 0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TopicObserver {
    observed: Observed,
    seen: LongLook<TopicStats>,
}

/// The newest item as it was when somebody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeekedTopicItem {
    /// Its place in the order of all items, from 1 on.
    pub ticket: u64,
    /// When it was put.
    pub put_time: SystemTime,
    /// The process that put it.
    pub producer_pid: u32,
    /// The bytes of each leaf's row, in C order.
    pub rows: Vec<Vec<u8>>,
}

impl Deref for TopicObserver {
    type Target = Observed;

    fn deref(&self) -> &Observed {
        &self.observed
    }
}

impl TopicObserver {
    /// Opens the topic of this name, live or not.
    ///
    /// # Errors
    /// `NotFound`, `OtherKind` if it is a queue, or `At` if what is there is no sound topic of this version.
    pub fn open(name: &QueueName) -> Result<Self, AttachError> {
        Self::of(Observed::open(name)?)
    }

    /// # Errors
    /// `OtherKind` if it is a queue.
    pub(super) fn of(observed: Observed) -> Result<Self, AttachError> {
        if observed.kind() != Kind::Topic {
            return Err(AttachError::OtherKind { found: observed.kind().name(), wanted: Kind::Topic.name() });
        }
        Ok(Self { observed, seen: LongLook::default() })
    }

    /// What is in the topic now, what was done to it, and who reads what: as old as in `Topic::stats`.
    ///
    /// # Errors
    /// If the segment is damaged, or cannot be read.
    pub fn look(&self) -> Result<TopicStats, AttachError> {
        let look = || {
            let words =
                self.read(self.layout().front.words_offset, self.layout().front.words * size_of::<u64>())?;
            let words: Vec<_> =
                (0..self.layout().front.words).map(|word| u64_at(&words, word * size_of::<u64>())).collect();
            let (entries, slots, control) =
                (self.entries()?, self.slots(0, self.capacity())?, self.control()?);
            TopicStats::of(
                self.layout(),
                (&entries, &slots, &words),
                newest_in(&control),
                ShutdownValues::parse(&control),
                |id| self.is_alive(id),
            )
        };
        if TopicStats::is_long(self.layout().front.words) { self.seen.get(look) } else { look() }
    }

    /// The newest item, as it is now. `None` if there is none, or if publishers were faster each time.
    ///
    /// # Errors
    /// If the segment is damaged, or cannot be read.
    pub fn peek(&self) -> Result<Option<PeekedTopicItem>, AttachError> {
        for _ in 0..MAX_PEEKS {
            let Some((ticket, slot)) = newest_of(newest_in(&self.control()?), self.capacity())? else {
                return Ok(None);
            };
            let before = self.slots(slot, 1)?[0];
            let rows = self.rows(slot)?;
            // The word names the ticket: while it is that one's, nobody writes to the slot.
            let is_it = |word| has_item(slot, word, ticket);
            if is_it(before.state)? && is_it(self.slots(slot, 1)?[0].state)? {
                return Ok(Some(PeekedTopicItem {
                    ticket,
                    put_time: SystemTime::UNIX_EPOCH + Duration::from_nanos(before.put_time_ns),
                    producer_pid: before.producer_pid,
                    rows,
                }));
            }
        }
        Ok(None)
    }
}

fn newest_in(control: &[u8]) -> u64 {
    u64_at(control, offset_of!(Control, newest))
}

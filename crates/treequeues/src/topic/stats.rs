//! What is in a topic, what was done to it, who reads what, and how far each subscription has come: looks that take nothing and change
//! nothing.
//!
//! A look is not one moment: its parts are of slightly different ones. Each word in it was true when it was read.

use std::io;
use std::time::Duration;

use super::subscriptions::{Listed, Subscriptions};
use super::word::{Low, Newest, Pin, State};
use crate::clock::monotonic_coarse_ns;
use crate::error::{AttachError, Corrupted, Damage, Shutdown};
use crate::format::layout::Layout;
use crate::format::{SHUTDOWN_NONE, topic_words};
use crate::memory::segment::Segment;
use crate::presence::attached::shut_down_how;
use crate::presence::counters::Counters;
use crate::presence::liveness::Locks;
use crate::presence::table::{ParticipantStats, Table};
use crate::presence::values::{EntryValues, ShutdownValues, SlotValues};
use crate::sync::{AtomicU64, Ordering};

/// Words of a topic that are looked at each time: some twenty microseconds.
const MAX_WORDS_ALWAYS_LOOKED_AT: usize = 16_384;
/// Slots that a look lists one by one. All of them are counted.
const MAX_LISTED: usize = 4096;

/// One look at a topic: see `Topic::stats` and `TopicObserver::look`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// The ticket of the newest item; 0 while there is none.
    pub version: u64,
    /// Items that are there.
    pub items: usize,
    /// Of these, items that somebody reads.
    pub reading: usize,
    /// Slots without an item that nobody has.
    pub free: usize,
    /// Slots that publishers are writing.
    pub writing: usize,
    /// Slots without an item that views of their writers keep.
    pub lingering: usize,
    /// What all participants have done since the topic was created, those that are gone included.
    pub counters: Counters,
    /// Those who are attached, by their place in the table. A dead one is among them until a sweep finds it. `reading` counts the items that it
    /// reads, or keeps by views.
    pub participants: Vec<ParticipantStats>,
    /// Slots that somebody writes to, reads or keeps, by their number; at most 4096 of them.
    pub held: Vec<HeldTopicSlot>,
    /// Subscriptions: of each participant four at most.
    pub subscriptions: Vec<SubscriptionStats>,
    /// Who shut the topic down first; `None` if nobody has.
    pub shutdown: Option<Shutdown>,
}

/// A slot of a topic that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldTopicSlot {
    /// Its number.
    pub slot: usize,
    /// The ticket of its item; `None` if it has none.
    pub ticket: Option<u64>,
    /// Who writes to it: the participant's place in the table.
    pub writer: Option<u32>,
    /// For how long, to about 10 ms, if a loan is written; `None` if a put is under way.
    pub written_for: Option<Duration>,
    /// Who reads it, or keeps it by views, and how often: places in the table.
    pub readers: Vec<(u32, u64)>,
}

/// A subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// Its own number while it lasts; a later subscription may have it again.
    pub number: usize,
    /// Whose it is: the participant's place in the table.
    pub participant: u32,
    /// The lowest ticket that it may come to.
    pub next_ticket: u64,
    /// How many items it has passed over.
    pub missed: u64,
}

impl SubscriptionStats {
    /// How many items it has not come to yet, of all up to this version.
    pub fn lag(&self, version: u64) -> u64 {
        (version + 1).saturating_sub(self.next_ticket)
    }
}

impl TopicStats {
    /// Of a topic that this process is attached to, as participant `me`.
    pub(crate) fn of_attached(
        segment: &Segment,
        locks: &Locks,
        me: u32,
        words: &[AtomicU64],
    ) -> Result<Self, AttachError> {
        // A descriptor that was closed and opened again as another file would call everybody dead.
        locks.are_of(segment)?;
        let entries: Vec<_> = segment.entries().iter().map(EntryValues::load).collect();
        let slots: Vec<_> = segment.slots().iter().map(SlotValues::load).collect();
        // Relaxed: one more look among many.
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let words: Vec<_> = words.iter().map(load).collect();
        Self::of(
            segment.layout(),
            (&entries, &slots, &words),
            load(&segment.control().newest),
            ShutdownValues::load(segment.control()),
            |id| if id == me { Ok(true) } else { locks.is_locked(id) },
        )
    }

    /// Whether a look at so many words takes long.
    pub(crate) fn is_long(words: usize) -> bool {
        words > MAX_WORDS_ALWAYS_LOOKED_AT
    }

    /// Of what was read: entries, slots, and words of the structure.
    pub(crate) fn of(
        layout: &Layout,
        (entries, slots, words): (&[EntryValues], &[SlotValues], &[u64]),
        newest: u64,
        shutdown: ShutdownValues,
        is_alive: impl Fn(u32) -> io::Result<bool>,
    ) -> Result<Self, AttachError> {
        let Table { participants, counters, tenants } = Table::of(layout, entries, is_alive)?;
        if shutdown.flag != SHUTDOWN_NONE {
            shut_down_how(shutdown.flag)?;
        }
        let mut stats = Self {
            version: Newest::unpack(newest).ticket,
            items: 0,
            reading: 0,
            free: 0,
            writing: 0,
            lingering: 0,
            counters,
            participants,
            held: Vec::new(),
            subscriptions: Vec::new(),
            shutdown: shutdown.first(),
        };
        let now_ns = monotonic_coarse_ns();
        let pins =
            topic_words::pins(layout.capacity, layout.participants).expect("the layout has room for them");
        let (pins, records) = words.split_at(pins);
        let pins_of_a_slot = topic_words::pins_of_a_slot(layout.participants);
        for (slot, (values, pins)) in slots.iter().zip(pins.chunks_exact(pins_of_a_slot)).enumerate() {
            let mut held =
                HeldTopicSlot { slot, ticket: None, writer: None, written_for: None, readers: Vec::new() };
            for (place, pin) in (0..).zip(pins) {
                let Some(pin) = Pin::unpack(*pin) else { continue };
                let Some(reader) = tenants.of_tenancy(place, pin.tenancy) else { continue };
                stats.participants[reader].reading += 1;
                held.readers.push((place, pin.count));
            }
            match state(slot, values.state)? {
                State::Free(_) if held.readers.is_empty() => stats.free += 1,
                State::Free(_) => {
                    stats.lingering += 1;
                    for (place, _) in &held.readers {
                        let keeper =
                            stats.participants.iter_mut().find(|participant| participant.id == *place);
                        if let Some(keeper) = keeper {
                            (keeper.reading, keeper.lingering) = (keeper.reading - 1, keeper.lingering + 1);
                        }
                    }
                }
                State::Ready(ticket) => {
                    stats.items += 1;
                    stats.reading += usize::from(!held.readers.is_empty());
                    held.ticket = Some(ticket);
                }
                State::Writing(owner, _) => {
                    stats.writing += 1;
                    let (place, writer) = tenants.of_owner(owner);
                    held.writer = Some(place);
                    held.written_for = (values.held_since_ns > 0)
                        .then(|| Duration::from_nanos(now_ns.saturating_sub(values.held_since_ns)));
                    if let Some(writer) = writer {
                        let writer = &mut stats.participants[writer];
                        writer.writing += 1;
                        writer.longest_hold = writer.longest_hold.max(held.written_for);
                    }
                }
            }
            if (held.writer.is_some() || !held.readers.is_empty()) && stats.held.len() < MAX_LISTED {
                stats.held.push(held);
            }
        }
        stats.subscriptions = Subscriptions::parse(records)
            .filter(|listed| tenants.of_tenancy(listed.place, listed.tenancy).is_some())
            .map(|Listed { number, place, cursor, missed, .. }| SubscriptionStats {
                number,
                participant: place,
                next_ticket: cursor,
                missed,
            })
            .collect();
        Ok(stats)
    }
}

/// The newest item, as the words say: its ticket and its slot, if there is one. A slot that is about to be helped counts.
pub(crate) fn newest_of(newest: u64, capacity: usize) -> Result<Option<(u64, usize)>, Corrupted> {
    let Newest { ticket, slot } = Newest::unpack(newest);
    if slot >= capacity {
        return Err(Damage::Newest { found: newest }.into());
    }
    Ok((ticket > 0).then_some((ticket, slot)))
}

/// Whether a slot's word says that it has the item of this ticket: it is READY, or linked and not helped yet.
pub(crate) fn has_item(slot: usize, word: u64, ticket: u64) -> Result<bool, Corrupted> {
    Ok(match state(slot, word)? {
        State::Ready(found) => found == ticket,
        State::Writing(_, last) => last != Low::of(ticket) && last.is_before(ticket),
        State::Free(_) => false,
    })
}

fn state(slot: usize, word: u64) -> Result<State, Corrupted> {
    State::unpack(word).ok_or_else(|| Damage::StateWord { slot, word }.into())
}

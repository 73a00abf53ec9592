//! What is in a queue, what was done to it, and by whom: looks that take nothing and change nothing.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | what `snapshot` says, the counters, the participants, and who holds what |
//! | `snapshot` | how many slots are in which state |
//!
//! V1. A look is not one moment: its parts are of slightly different ones. Each word in it was true when it was read.

mod snapshot;

use std::io;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::monotonic_coarse_ns;
use crate::error::{AttachError, Corrupted, Shutdown};
use crate::format::layout::Layout;
use crate::format::word::{Phase, Word};
use crate::long_look::LongLook;
use crate::memory::segment::Segment;
use crate::presence::counters::Counters;
use crate::presence::liveness::Locks;
use crate::presence::table::{ParticipantStats, Table, Tenants};
use crate::presence::values::{BlockCounts, EntryValues, ShutdownValues, SlotValues};
pub use snapshot::Snapshot;

/// So many slots are looked at each time: some ten microseconds.
const MAX_ALWAYS_LOOKED_AT: usize = 4096;
/// Held slots that a look lists one by one. All of them are counted.
const MAX_HELD_LISTED: usize = 4096;

/// One look at a queue: see `Queue::stats` and `Observer::look`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Slots, by their state.
    pub snapshot: Snapshot,
    /// What all participants have done since the queue was created, those that are gone included.
    pub counters: Counters,
    /// Those who are attached, by their place in the table. A dead one is among them until a sweep finds it.
    pub participants: Vec<ParticipantStats>,
    /// Slots that somebody holds, by their number; at most 4096 of them.
    pub held: Vec<HeldSlot>,
    /// How many takers died with that item, of all items in the queue or being read, with which most have died.
    pub most_deaths: u32,
    /// Who shut the queue down first; `None` if nobody has.
    pub shutdown: Option<Shutdown>,
    /// The producers' blocks, of a queue that was made with a number of producers.
    pub producers: Option<ProducerStats>,
}

/// The blocks of producers: see [`CreateOptions::producers`](crate::CreateOptions::producers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerStats {
    /// How many there will be, as it was said.
    pub said: NonZeroU32,
    /// How many have come.
    pub came: u64,
    /// How many of these have left.
    pub left: u64,
    /// How many have died, as far as sweeps have found them.
    pub died: u64,
}

/// A slot that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldSlot {
    /// Its number.
    pub slot: usize,
    /// The ticket of its item.
    pub ticket: u64,
    /// Who holds it: the participant's place in the table.
    pub participant: u32,
    /// What for.
    pub what_for: WhatFor,
    /// For how long, to about 10 ms, if a loan holds it; `None` if a put or a get is under way.
    pub held_for: Option<Duration>,
}

/// What a slot is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhatFor {
    /// A producer fills it.
    Writing,
    /// A consumer reads it.
    Reading,
    /// Nothing any more, but views of it live.
    Lingering,
}

impl Stats {
    /// Of a queue that this process is attached to, as participant `me`.
    pub(crate) fn of_attached(
        segment: &Segment,
        locks: &Locks,
        me: u32,
        slots_seen: &LongLook<Self>,
    ) -> Result<Self, AttachError> {
        // A descriptor that was closed and opened again as another file would call everybody dead.
        locks.are_of(segment)?;
        let entries: Vec<_> = segment.entries().iter().map(EntryValues::load).collect();
        let shutdown = ShutdownValues::load(segment.control());
        let is_alive = |id| if id == me { Ok(true) } else { locks.is_locked(id) };
        Self::of(segment.layout(), &entries, is_alive, shutdown, slots_seen, |tally| {
            Ok(segment.slots().iter().try_for_each(|slot| tally.count(&SlotValues::load(slot)))?)
        })
        .map(|stats| stats.with_producers(segment.producers(), &entries))
    }

    /// The same with what its entries say of producers, if so many were said.
    pub(crate) fn with_producers(self, said: u32, entries: &[EntryValues]) -> Self {
        let producers = NonZeroU32::new(said).map(|said| {
            let BlockCounts { came, left, died } = entries.iter().map(|entry| entry.blocks).sum();
            ProducerStats { said, came, left, died }
        });
        Self { producers, ..self }
    }

    /// Whether what is said of slots may be of an earlier look.
    pub(crate) fn may_be_of_an_earlier_look(capacity: usize) -> bool {
        capacity > MAX_ALWAYS_LOOKED_AT
    }

    /// Of a table of participants, and of slots that `count_slots` looks at if a look is due, or if they are few.
    pub(crate) fn of(
        layout: &Layout,
        entries: &[EntryValues],
        is_alive: impl Fn(u32) -> io::Result<bool>,
        shutdown: ShutdownValues,
        slots_seen: &LongLook<Self>,
        count_slots: impl FnOnce(&mut Tally) -> Result<(), AttachError>,
    ) -> Result<Self, AttachError> {
        let mut tally = Tally::new(layout, entries, is_alive)?;
        if layout.capacity <= MAX_ALWAYS_LOOKED_AT {
            count_slots(&mut tally)?;
            return Ok(tally.finish(shutdown)?);
        }
        let mut tally = Some(tally);
        let seen = slots_seen.get(|| {
            let mut tally = tally.take().expect("the one look of this call");
            count_slots(&mut tally)?;
            Ok::<_, AttachError>(tally.finish(shutdown)?)
        })?;
        match tally {
            Some(tally) => Ok(tally.with_slots_of(seen).finish(shutdown)?),
            None => Ok(seen),
        }
    }
}

/// Stats in the making, slot by slot.
pub(crate) struct Tally {
    stats: Stats,
    tenants: Tenants,
    next_slot: usize,
    now_ns: u64,
}

impl Tally {
    /// Begins with the table of participants.
    pub(crate) fn new(
        layout: &Layout,
        entries: &[EntryValues],
        is_alive: impl Fn(u32) -> io::Result<bool>,
    ) -> Result<Self, AttachError> {
        let Table { participants, counters, tenants } = Table::of(layout, entries, is_alive)?;
        let snapshot = Snapshot { participants: participants.len(), ..Snapshot::default() };
        let stats = Stats {
            snapshot,
            counters,
            participants,
            held: Vec::new(),
            most_deaths: 0,
            shutdown: None,
            producers: None,
        };
        Ok(Self { stats, tenants, next_slot: 0, now_ns: monotonic_coarse_ns() })
    }

    /// Counts the next slot.
    pub(crate) fn count(&mut self, values: &SlotValues) -> Result<(), Corrupted> {
        let slot = self.next_slot;
        self.next_slot += 1;
        let word = Word(values.state);
        let phase = self.stats.snapshot.count(slot, word)?;
        let (id, holder) = self.tenants.of_owner(word.owner());
        let is_reader_dead = holder.is_some_and(|index| !self.stats.participants[index].is_alive);
        self.stats.most_deaths = self.stats.most_deaths.max(deaths(phase, values, is_reader_dead));
        let what_for = match phase {
            Phase::Free | Phase::Ready | Phase::Returned => return Ok(()),
            Phase::Writing | Phase::Late => WhatFor::Writing,
            Phase::Reading => WhatFor::Reading,
            Phase::Lingering => WhatFor::Lingering,
        };
        let held_for = (values.held_since_ns > 0)
            .then(|| Duration::from_nanos(self.now_ns.saturating_sub(values.held_since_ns)));
        if let Some(index) = holder {
            let participant = &mut self.stats.participants[index];
            match what_for {
                WhatFor::Writing => participant.writing += 1,
                WhatFor::Reading => participant.reading += 1,
                WhatFor::Lingering => participant.lingering += 1,
            }
            participant.longest_hold = participant.longest_hold.max(held_for);
        }
        if self.stats.held.len() < MAX_HELD_LISTED {
            let ticket = values.ticket;
            self.stats.held.push(HeldSlot { slot, ticket, participant: id, what_for, held_for });
        }
        Ok(())
    }

    /// Takes over what an earlier look has seen of the slots.
    fn with_slots_of(mut self, seen: Stats) -> Self {
        let stats = &mut self.stats;
        stats.snapshot = Snapshot { participants: stats.snapshot.participants, ..seen.snapshot };
        (stats.held, stats.most_deaths) = (seen.held, seen.most_deaths);
        for participant in &mut stats.participants {
            let is_the_same = |other: &&ParticipantStats| {
                (other.id, other.pid, other.attached_at)
                    == (participant.id, participant.pid, participant.attached_at)
            };
            if let Some(then) = seen.participants.iter().find(is_the_same) {
                (participant.writing, participant.reading) = (then.writing, then.reading);
                (participant.lingering, participant.longest_hold) = (then.lingering, then.longest_hold);
            }
        }
        self
    }

    pub(crate) fn finish(mut self, shutdown: ShutdownValues) -> Result<Stats, Corrupted> {
        self.stats.snapshot.apply_shutdown(shutdown.flag)?;
        self.stats.shutdown = shutdown.first();
        Ok(self.stats)
    }
}

/// How many takers died with a slot's item, who reads it included if that one is dead; none where there is no item.
fn deaths(phase: Phase, values: &SlotValues, is_reader_dead: bool) -> u32 {
    let died_or_has_it = values.delivery_count.saturating_sub(values.give_backs);
    match phase {
        Phase::Ready | Phase::Returned => died_or_has_it,
        Phase::Reading => died_or_has_it.saturating_sub(u32::from(!is_reader_dead)),
        Phase::Free | Phase::Writing | Phase::Late | Phase::Lingering => 0,
    }
}

//! Counters: what each participant has done, for people and tools. Nothing decides by them.
//!
//! C1. A counter belongs to a participant's place, not to its tenant, and never goes down. So the sum over all places is
//!     right whoever came, left or died, and no count has to be moved anywhere in between. What one tenant has done is the
//!     difference to what was there when it came.
//! C2. Puts and gets are counted in two parts: those of the thread that registered the participant by a load and a store, which
//!     cost next to nothing, and those of all other threads by a locked instruction.
//! C3. A count follows what it counts. Who is killed in between has done something that is not counted. Deaths are the
//!     exception: the whole queue's are counted by the very compare-and-swap that frees a dead participant's entry
//!     (`liveness::EntryState`), so each counts once. A participant's own counter says how many of them it was first to find.
//!
//! Bytes are not counted: all items have the same size.

use std::time::Duration;

use crate::format::{COUNTERS, COUNTERS_OF_THREADS, Entry};
use crate::sync::{AtomicU64, Ordering};

/// Whether anything is counted, and held slots say since when: what that costs is measured against a build without it
/// (`benchmarks/instructions.py`).
pub(crate) const COUNTING: bool = !cfg!(treequeues_uncounted);

/// What is counted, by its place in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    Puts = 0,
    Gets = 1,
    Full = 2,
    Empty = 3,
    PutWaits = 4,
    PutWaitNs = 5,
    GetWaits = 6,
    GetWaitNs = 7,
    GiveBacks = 8,
    Redeliveries = 9,
    Sweeps = 10,
    Deaths = 11,
    Dropped = 12,
    Overwritten = 13,
    Missed = 14,
}

/// What a participant, or all of them, have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Items put: slots committed.
    pub puts: u64,
    /// Items taken for good: slots released.
    pub gets: u64,
    /// Calls that found too few free slots when they came, and could make none.
    pub full: u64,
    /// Calls that found too few items when they came.
    pub empty: u64,
    /// Of the calls that found too few free slots, those that waited.
    pub put_waits: u64,
    /// How long those waited, all together, those that still wait included, but for their last sleep: at
    /// most 500 ms.
    pub put_wait: Duration,
    /// Of the calls that found too few items, those that waited.
    pub get_waits: u64,
    /// How long those waited, all together, those that still wait included, but for their last sleep: at
    /// most 500 ms.
    pub get_wait: Duration,
    /// Items given back by their takers.
    pub give_backs: u64,
    /// Deliveries of items that had been delivered before: given back, or taken by somebody who died.
    pub redeliveries: u64,
    /// Looks for dead participants.
    pub sweeps: u64,
    /// Participants that ended without leaving: of the queue, all that were found, exactly; of one participant, those that
    /// it was the first to find.
    pub deaths: u64,
    /// Items dropped because they had killed as many takers as the queue allows: neither delivered then, nor got.
    pub dropped: u64,
    /// Items dropped by puts into a full queue that drops its oldest items.
    pub overwritten: u64,
    /// Items of a topic that subscriptions passed over: replaced before they were seen, or skipped on the way to the newest.
    pub missed: u64,
}

impl Counters {
    /// All tenants of a place together, from what is stored there.
    pub(crate) fn of_place(own: [u64; COUNTERS_OF_THREADS], mut counts: [u64; COUNTERS]) -> [u64; COUNTERS] {
        for (count, own) in counts.iter_mut().zip(own) {
            *count = count.wrapping_add(own);
        }
        counts
    }

    pub(crate) fn from_array(counts: [u64; COUNTERS]) -> Self {
        let of = |counter: Counter| counts[counter as usize];
        Self {
            puts: of(Counter::Puts),
            gets: of(Counter::Gets),
            full: of(Counter::Full),
            empty: of(Counter::Empty),
            put_waits: of(Counter::PutWaits),
            put_wait: Duration::from_nanos(of(Counter::PutWaitNs)),
            get_waits: of(Counter::GetWaits),
            get_wait: Duration::from_nanos(of(Counter::GetWaitNs)),
            give_backs: of(Counter::GiveBacks),
            redeliveries: of(Counter::Redeliveries),
            sweeps: of(Counter::Sweeps),
            deaths: of(Counter::Deaths),
            dropped: of(Counter::Dropped),
            overwritten: of(Counter::Overwritten),
            missed: of(Counter::Missed),
        }
    }
}

impl Entry {
    /// Counts one put or get of the registering thread (C2): no other thread may call this.
    #[inline]
    pub(crate) fn count_own(&self, counter: Counter) {
        if !COUNTING {
            return;
        }
        let own = &self.own[counter as usize];
        // Relaxed, here and below: nothing is decided by a count.
        own.store(own.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Counts, from any thread of the participant.
    #[inline]
    pub(crate) fn count(&self, counter: Counter, by: u64) {
        if COUNTING {
            self.counts[counter as usize].fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Remembers what was counted by the tenants before (C1).
    pub(crate) fn begin_counting(&self) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = Counters::of_place(self.own.each_ref().map(load), self.counts.each_ref().map(load));
        for (before, count) in self.counts_before.iter().zip(counts) {
            before.store(count, Ordering::Relaxed);
        }
    }
}

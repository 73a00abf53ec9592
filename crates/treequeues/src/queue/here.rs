//! A queue as one process has it: the ring over its mapping, and what the process remembers of it.

use std::sync::{Arc, Mutex};

use super::hosts::Hosts;
use super::producers::end_blocks_of_the_dead;
use super::ring::{Claim, Holes, Kept, Ring, phase_of};
use super::stats::Stats;
use crate::error::{AttachError, Corrupted};
use crate::format::word::{Phase, Tenant};
use crate::format::{Entry, Kind, Slot};
use crate::long_look::LongLook;
use crate::memory::segment::Parts;
use crate::presence::attached;
use crate::presence::structure::Structure;
use crate::sync::local;
use crate::wait::{Event, Patience, Wakes};

/// This process's attachment to a queue.
pub(crate) type Attached = attached::Attached<Here>;

/// What the threads of this process share of a queue.
#[derive(Debug)]
pub(crate) struct Here {
    /// Only handed out for as long as this is borrowed.
    ring: Ring<'static>,
    /// Likewise.
    hosts: Hosts<'static>,
    /// Held by a thread while it publishes a batch: the entry names one at a time. A forked child may inherit it locked, but the child
    /// uses another attachment (`attached` A2).
    pub(super) publishing_turn: Mutex<()>,
    producers: Patience,
    consumers: Patience,
    /// What was found RETURNED, what lies between tail and gap, and what all slots were seen to be.
    pub(super) kept: Kept,
    pub(super) holes: LongLook<Holes>,
    slots_seen: LongLook<Stats>,
    /// The slot that a drain was last seen to wait for.
    pub(super) held_in_drain: local::AtomicU64,
}

// SAFETY: 1. `ring` and `hosts` hand out what they have for as long as `self` is borrowed, and nothing else does. 2. Neither has a
// destructor of its own.
unsafe impl Structure for Here {
    fn kind() -> Kind {
        Kind::Queue
    }

    fn over(parts: Parts<'static>) -> Self {
        Self {
            ring: Ring::new(parts.control, parts.slots, parts.words, Arc::default()),
            hosts: Hosts(parts.hosts),
            publishing_turn: Mutex::default(),
            producers: Patience::new(),
            consumers: Patience::new(),
            kept: Kept::of_a_process(),
            holes: LongLook::default(),
            slots_seen: LongLook::default(),
            held_in_drain: local::AtomicU64::new(0),
        }
    }

    fn recover(
        &self,
        dead: &Tenant,
        entry: &Entry,
        is_still_theirs: &dyn Fn() -> bool,
    ) -> Result<usize, Corrupted> {
        end_blocks_of_the_dead(&entry.blocks, is_still_theirs);
        self.ring().recover(dead.owner, &entry.publishing, is_still_theirs)
    }

    fn wake_everyone(&self) {
        self.not_empty().notify_all();
        self.not_full().notify_all();
    }

    fn count_held(&self, by: &Tenant) -> usize {
        let words = self.ring().words();
        words.filter(|word| word.owner() == by.owner && word.phase().is_some_and(Phase::is_held)).count()
    }

    fn count_items(&self, and_borrowed: bool) -> usize {
        let is_item = |phase| match phase {
            Phase::Ready | Phase::Returned => true,
            // What its dead participants had borrowed would have come again.
            Phase::Reading => and_borrowed,
            _ => false,
        };
        let words = self.ring().words().enumerate();
        words.filter(|(slot, word)| phase_of(*slot, *word).is_ok_and(is_item)).count()
    }
}

impl Here {
    #[inline]
    pub(super) fn ring(&self) -> &Ring<'_> {
        &self.ring
    }

    pub(super) fn hosts(&self) -> Hosts<'_> {
        self.hosts
    }

    fn not_empty(&self) -> Event<'_> {
        let control = self.ring().control();
        Event { word: &control.not_empty, marks: &control.spinning_consumers, wakes: Wakes::One }
    }

    fn not_full(&self) -> Event<'_> {
        let control = self.ring().control();
        Event { word: &control.not_full, marks: &control.spinning_producers, wakes: Wakes::One }
    }
}

impl Attached {
    #[inline]
    pub(crate) fn ring(&self) -> &Ring<'_> {
        self.structure().ring()
    }

    #[inline]
    pub(crate) fn slot(&self, claim: &Claim) -> &Slot {
        &self.ring().slots()[claim.slot]
    }

    pub(crate) fn not_empty(&self) -> Event<'_> {
        self.structure().not_empty()
    }

    pub(crate) fn not_full(&self) -> Event<'_> {
        self.structure().not_full()
    }

    pub(crate) fn producers(&self) -> &Patience {
        &self.structure().producers
    }

    pub(crate) fn consumers(&self) -> &Patience {
        &self.structure().consumers
    }

    /// What is in the queue, what was done to it, and who holds what.
    pub(crate) fn stats(&self) -> Result<Stats, AttachError> {
        let me = self.participant();
        let mut stats =
            Stats::of_attached(self.segment(), me.locks(), me.id(), &self.structure().slots_seen)?;
        if Stats::may_be_of_an_earlier_look(self.segment().layout().capacity) {
            stats.snapshot.ready = self.len()?;
        }
        Ok(stats)
    }
}

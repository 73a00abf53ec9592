//! The ring protocol, one shared access a step.
//!
//! [`Protocol::step`] takes a process's next step: from a [`Pc`], which holds all that the process remembers, to the
//! next one. The verbs are told in `put`, `get`, `tree` and `sweep`.
//!
//! P1. A step makes at most one access to [`Memory`].
//! P2. What a process remembers lies in its [`Pc`] alone, so two states that differ in nothing else are one.
//! P3. A step changes a word that another process owns only by burning or passing its ticket or, in a sweep, by returning
//!     what a dead owner held.
//! P4. What no honest ring has is a [`Fault::Damage`], in the very step that sees it.

use crate::memory::{Fault, Items, Memory, Owner, Phase, Ticket, Word};
use crate::steps::Pc;
use crate::tree::Shape;

/// Steps left out or made wrong, to see that the exploration notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mutation {
    /// Set the bits, but do not move the root's version after a word became RETURNED.
    pub no_second_raise: bool,
    /// Set the bits only after a word became RETURNED, not before.
    pub raises_after: bool,
    /// Set the bits from the root down.
    pub root_before_leaf: bool,
    /// Set the bits of a middle level after the root's.
    pub middle_after_root: bool,
    /// Leave out what is set already.
    pub skips_what_is_set: bool,
    /// Leave out what is above a word that had bits already.
    pub skips_the_rest_of_a_word: bool,
    /// B3: take a candidate without the look at the remembered tickets.
    pub no_second_look: bool,
    /// B3: take a candidate without the look at the root's version.
    pub no_version_before_taking: bool,
    /// T5: take the lowest RETURNED found without the second load of the root.
    pub no_version_before_taking_returned: bool,
    /// T2: take the first RETURNED found, not the one with the lowest ticket.
    pub any_returned: bool,
    /// T3, T4: take bits away whatever the word is by now.
    pub clears_any_version: bool,
    /// T3: take bits of the last level away if the bits are the same.
    pub last_level_without_version: bool,
    /// T4: the same of a middle level.
    pub middle_without_version: bool,
    /// T4: the same of the root.
    pub root_without_version: bool,
    /// T3: take the bit of a READY slot away.
    pub clears_ready: bool,
    /// T3: of a READING one.
    pub clears_reading: bool,
    /// T3: of a LATE one.
    pub clears_late: bool,
    /// Use the list of an earlier look whatever the root's version.
    pub keeps_for_ever: bool,
    /// Keep the list when a call starts over.
    pub keeps_at_restart: bool,
    /// Say empty although an earlier call has made the look.
    pub empty_by_an_old_look: bool,
    /// B3: pass the last ticket that is still being written at the first look, without a second one.
    pub passes_without_a_look: bool,
    /// B3: pass a ticket behind one that was not passed.
    pub passes_any: bool,
    /// B3: go on after a pass that failed.
    pub pass_goes_on: bool,
    /// BJ: jump without moving the root's version.
    pub jumps_without_raise: bool,
    /// BJ: move it after the jump.
    pub jumps_before_raise: bool,
    /// BJ: jump one ticket further.
    pub jumps_too_far: bool,
    /// B5, B6: move the tail past the tickets that are still being written.
    pub tail_passes_writing: bool,
    /// B6: after a look at the whole ring start over even if the tail has not moved.
    pub start_over_without_progress: bool,
    /// R6: report full without moving the head over used-up tickets.
    pub no_head_help: bool,
    /// R2: claim the candidate and leave the tickets in the way as they are.
    pub no_burn: bool,
    /// A: do not raise the gap before an abort.
    pub no_gap_at_abort: bool,
    /// A: raise it after the abort.
    pub gap_after_abort: bool,
    /// RG: do not raise it before a burn.
    pub no_gap_at_burn: bool,
    /// LT: do not raise it before a release.
    pub no_gap_at_release: bool,
    /// LT: nor before a view that lingered is let go.
    pub no_gap_at_let_go: bool,
    /// LT: nor before a give back.
    pub no_gap_at_give_back: bool,
    /// S: nor in a sweep.
    pub no_gap_at_sweep: bool,
    /// AV: do not move the version of what is freed after an abort.
    pub no_version_at_abort: bool,
    /// LV: nor after a release.
    pub no_version_at_release: bool,
    /// LV: nor after a view was let go.
    pub no_version_at_let_go: bool,
    /// S: nor in a sweep.
    pub no_version_at_sweep: bool,
    /// RV: keep what a look has found whatever the version is when it ends.
    pub version_of_any_time: bool,
    /// Raise it with a store, not to the maximum.
    pub gap_by_store: bool,
    /// RF: look as far as the tail says.
    pub full_without_the_gap: bool,
    /// RF: look as far as the gap says.
    pub full_without_the_tail: bool,
    /// Sweep: free the entry first, then return the slots.
    pub entry_freed_first: bool,
    /// Sweep: compare the owner's id alone.
    pub generation_ignored: bool,
    /// Sweep: read the entry's generation after its lock was seen free.
    pub lock_before_entry: bool,
    /// Sweep: after a failed CAS go on to the next slot.
    pub sweep_tries_once: bool,
    /// Sweep: free the entry without moving the root's version.
    pub sweep_without_raise: bool,
    /// Sweep: return a LINGERING slot as if it were READING.
    pub sweep_returns_lingering: bool,
    /// let_go: free the slot for the ticket that it has used up.
    pub let_go_without_reach: bool,
    /// Batch: keep the claims and wait for more when it falls short.
    pub waits_holding: bool,
    /// Batch: give back in the order of the claims, not lowest ticket first.
    pub gives_back_as_claimed: bool,
    /// Batch of a put: commit each slot as soon as it is claimed.
    pub commits_as_it_claims: bool,
    /// Batch of a put: commit the last claim first.
    pub commits_backwards: bool,
    /// Batch: count only up to the first ticket that the ring has not come to.
    pub counts_in_order: bool,
    /// Shutdown: no look at the flag before a claim.
    pub no_flag_before: bool,
    /// Shutdown: no look at the flag after the claim of a put.
    pub no_flag_after: bool,
    /// Drain: do not wait for those who write.
    pub drain_ignores_writers: bool,
    /// Drain: do not wait for those who read.
    pub drain_ignores_readers: bool,
    /// Drain: say so when the ring was found empty, without a look at the slots.
    pub drain_without_a_look: bool,
    /// Shutdown: set the flag to what this call asks for, and forget what it was.
    pub shutdown_by_store: bool,
    /// Publish: a batch is known by its first slot, so that its number comes again.
    pub batches_come_again: bool,
    /// Publish: set a slot's delivery count back before its batch.
    pub count_before_batch: bool,
    /// Publish: a single put leaves the slot's batch as it was.
    pub no_batch_reset_at_put: bool,
    /// Publish: say so before all slots say their batch.
    pub publishes_early: bool,
    /// Publish: say so after the first commit.
    pub publishes_late: bool,
    /// Publish: do not say when it is over.
    pub publishes_for_ever: bool,
    /// Publish: do not wait for another thread's batch.
    pub overwrites_publishing: bool,
    /// Arrival: note it before the entry says that the batch is being published.
    pub arrives_early: bool,
    /// Arrival: note it when all is committed.
    pub arrives_late: bool,
    /// Arrival: note it with a store, not the maximum.
    pub arrives_by_store: bool,
    /// Arrival: a sweep that completes a batch does not note it.
    pub completes_without_arrival: bool,
    /// Arrival: say whether a batch has arrived while its first slot is still being written.
    pub arrival_told_early: bool,
    /// Join: leave what the last tenant was publishing.
    pub no_publishing_reset_at_join: bool,
    /// Sweep: complete all that the dead was writing.
    pub completes_all: bool,
    /// Sweep: complete whatever says the batch, taken before or not.
    pub completes_taken: bool,
    /// Sweep: complete in the order of the slots.
    pub completes_by_slot: bool,
    /// Sweep: after a failed CAS go on to the next item of the batch.
    pub completes_once: bool,
    /// Sweep: complete what lies within one lap of the batch's first ticket.
    pub completes_one_lap: bool,
    /// Sweep: complete without moving the root's version first.
    pub completes_without_raise: bool,
    /// Sweep: move the root's version before the first item that is completed alone.
    pub completes_raising_once: bool,
    /// Sweep: complete without moving the root's version afterwards.
    pub completes_without_second_raise: bool,
    /// Sweep: return the slots first, then complete.
    pub returns_first: bool,
    /// A look for a release: by the word's reach, which burns move on.
    pub released_by_reach: bool,
    /// A look for a release: a LATE slot still has the item whose ticket it says.
    pub released_before_its_ticket: bool,
    /// A look for a release: not while views of the item live on.
    pub released_after_its_views: bool,
    /// Linger of a write: make a LATE slot LINGERING with the reach that it was reserved under.
    pub linger_unburns: bool,
}

/// The rules of one ring.
#[derive(Clone, Debug)]
pub struct Protocol {
    pub capacity: u8,
    /// Whether tickets that are still being written are passed: the real ring does so with what is far behind alone.
    pub passes: bool,
    /// Whether the gap is raised and looked at.
    pub has_gap: bool,
    pub shape: Shape,
    /// Whether batches are published as a whole.
    pub publishes: bool,
    /// Whether the arrival of batches is noted.
    pub arrives: bool,
    pub mutation: Mutation,
    /// For each item all items of its producer.
    pub same_producers: [Items; 16],
}

impl Protocol {
    pub fn slot(&self, t: Ticket) -> usize {
        usize::from(t % self.capacity)
    }

    pub fn lap(&self, t: Ticket) -> u8 {
        t / self.capacity
    }

    pub fn delta(&self, w: Word, t: Ticket) -> i8 {
        w.reach as i8 - self.lap(t) as i8
    }

    pub fn word(&self, m: &Memory, t: Ticket) -> Word {
        m.slots[self.slot(t)].word
    }

    /// One past the last ticket that the slot of ticket `t` has used up, in a word that was seen there.
    pub fn used_up_to(&self, w: Word, t: Ticket) -> Ticket {
        let laps = if w.phase == Phase::Free { w.reach } else { w.reach + 1 };
        match laps {
            0 => 0,
            laps => (laps - 1) * self.capacity + self.slot(t) as u8 + 1,
        }
    }

    /// Whether the item that was put under ticket `t` is done with.
    pub fn is_released(&self, m: &Memory, t: Ticket) -> bool {
        let (w, there) = (self.word(m, t), m.slots[self.slot(t)].ticket);
        match w.phase {
            Phase::Free | Phase::Writing | Phase::Ready => self.delta(w, t) > 0,
            _ if self.mutation.released_by_reach => self.delta(w, t) > 0,
            Phase::Reading | Phase::Returned => there > t,
            Phase::Late if self.mutation.released_before_its_ticket => there > t,
            Phase::Lingering if self.mutation.released_after_its_views => there > t,
            Phase::Late | Phase::Lingering => there >= t,
        }
    }

    /// One past the last ticket that slot `s` has used up once it leaves the word `w` for FREE.
    pub fn used_up_by(&self, s: u8, w: Word) -> Ticket {
        w.reach * self.capacity + s + 1
    }

    pub fn raise_gap(&self, m: &mut Memory, to: Ticket) {
        m.gap = if self.mutation.gap_by_store { to } else { m.gap.max(to) };
    }

    /// Moves the tail, which was read as `from`: past nothing that is an item in order or may become one.
    pub fn move_tail(&self, m: &mut Memory, from: Ticket, to: Ticket) {
        if !m.cas_tail(from, to) {
            return;
        }
        let passed = (from..to).map(|t| (self.word(m, t), t));
        if passed
            .into_iter()
            .any(|(w, t)| self.delta(w, t) == 0 && matches!(w.phase, Phase::Writing | Phase::Ready))
        {
            m.ledger.fail(Fault::TailPassed);
        }
    }

    pub fn cas(&self, m: &mut Memory, slot: usize, from: Word, to: Word) -> bool {
        m.cas_word(slot, from, to, |item| self.same_producers.get(usize::from(item)).copied().unwrap_or(0))
    }

    /// The next step of a process: `me` is its owner word, `item` what it puts.
    pub fn step(&self, m: &mut Memory, me: Owner, item: u8, pc: Pc) -> Pc {
        match pc {
            Pc::Idle
            | Pc::Full { .. }
            | Pc::PutDone
            | Pc::Empty
            | Pc::GetDone
            | Pc::SweepDone
            | Pc::J { .. }
            | Pc::J2 => {
                unreachable!("{pc:?} takes no step of the ring")
            }
            Pc::N0
            | Pc::NLook
            | Pc::NTail { .. }
            | Pc::N { .. }
            | Pc::NTicket { .. }
            | Pc::NVersion { .. }
            | Pc::Enough
            | Pc::Short
            | Pc::P1 { .. }
            | Pc::P1Count { .. }
            | Pc::P2
            | Pc::PN
            | Pc::Publishing
            | Pc::P3 => unreachable!("{pc:?} is a step of a batch"),
            Pc::F0 | Pc::F1 { .. } | Pc::D0 | Pc::D { .. } | Pc::ShutDown | Pc::X { .. } | Pc::Down => {
                unreachable!("{pc:?} is a step around the ring")
            }
            Pc::R0
            | Pc::R1 { .. }
            | Pc::RV { .. }
            | Pc::RT { .. }
            | Pc::RF { .. }
            | Pc::RG { .. }
            | Pc::R1Head { .. }
            | Pc::R1Again { .. }
            | Pc::R2 { .. }
            | Pc::R2Raise { .. }
            | Pc::R2Cas { .. }
            | Pc::R2RaiseAgain { .. }
            | Pc::R3 { .. }
            | Pc::R4 { .. }
            | Pc::R5 { .. }
            | Pc::R6 { .. } => self.reserve(m, me, item, pc),
            Pc::Reserved { .. }
            | Pc::M2 { .. }
            | Pc::C1 { .. }
            | Pc::C2 { .. }
            | Pc::C2Raise { .. }
            | Pc::C2Cas { .. }
            | Pc::C2Again { .. }
            | Pc::C2RaiseAgain { .. }
            | Pc::A1 { .. }
            | Pc::AF { .. }
            | Pc::AV { .. }
            | Pc::A2 { .. }
            | Pc::W1 { .. }
            | Pc::W2 { .. } => self.end_put(m, me, pc),
            Pc::B1
            | Pc::T1 { .. }
            | Pc::T2 { .. }
            | Pc::T2Ticket { .. }
            | Pc::T3 { .. }
            | Pc::T4 { .. }
            | Pc::T5 { .. }
            | Pc::T6Word { .. }
            | Pc::T6Ticket { .. }
            | Pc::T6 { .. }
            | Pc::T7 { .. } => self.borrow_returned(m, me, pc),
            Pc::B2Tail { .. }
            | Pc::BJ { .. }
            | Pc::BJLook { .. }
            | Pc::BJHead { .. }
            | Pc::BJRaise { .. }
            | Pc::BJCas { .. }
            | Pc::B2 { .. }
            | Pc::B3 { .. }
            | Pc::B3Pass { .. }
            | Pc::B3Version { .. }
            | Pc::B4 { .. }
            | Pc::B5 { .. }
            | Pc::B6 { .. } => self.borrow_ready(m, me, pc),
            Pc::Count { .. }
            | Pc::Borrowed { .. }
            | Pc::L1 { .. }
            | Pc::LT { .. }
            | Pc::LF { .. }
            | Pc::LV { .. }
            | Pc::L2 { .. }
            | Pc::Lingering { .. }
            | Pc::L4 { .. }
            | Pc::G0 { .. }
            | Pc::G1 { .. }
            | Pc::G2 { .. }
            | Pc::G3 { .. } => self.end_get(m, me, pc),
            Pc::SP { .. }
            | Pc::SPNote { .. }
            | Pc::SPWord { .. }
            | Pc::SPMeta { .. }
            | Pc::SPAgain { .. }
            | Pc::SPRaise { .. }
            | Pc::SPCas { .. }
            | Pc::SPRaiseAgain { .. } => self.complete(m, pc),
            Pc::S1 { .. }
            | Pc::S1Entry { .. }
            | Pc::S2 { .. }
            | Pc::S2Raise { .. }
            | Pc::S2F { .. }
            | Pc::S2Cas { .. }
            | Pc::S3 { .. }
            | Pc::S3V { .. }
            | Pc::S4 { .. } => self.sweep(m, pc),
        }
    }
}

//! Publish: several items that are put as one, whoever is killed.
//!
//! A batch is committed slot by slot. If its producer is killed in the middle, the sweep commits the rest (`recover`), so that it
//! must find out which slots these are, and that the batch was not killed before its first commit. For that
//!
//! U1. a batch has a name that no other one ever has: its first ticket, plus one;
//! U2. each of its slots says the name, and that nobody has taken its item (`delivery_count` is 0). After that the entry of the
//!     participant says that the batch is being published, and after that comes the first commit. There is no way back: what
//!     the entry names comes whole;
//! U3. a slot that says the name, is still being written and was never taken has an item of the batch. Whoever takes an item counts
//!     that before the slot is free, and whoever puts the next one there says its batch before it sets that count back;
//! U4. an entry names one batch at a time: threads of one process publish one after the other. A new tenant of the entry
//!     begins with none, before it claims anything;
//! U5. a batch from elsewhere has a bit of its own in its name. Whoever publishes it, or completes it, raises the note of what has arrived
//!     to its name: after the entry says that it is being published, and before the first commit. Tickets are used up in order (R2), so
//!     who raises it late, for a batch of before, changes nothing. One process at a time brings batches, and the note is of the last.

use super::{Claim, Ring, phase_of};
use crate::error::{Corrupted, Damage};
use crate::format::word::Phase;
use crate::sync::{AtomicU64, Ordering};

/// The name of a batch (U1), once all its slots say it (U2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch(pub(super) u64);

impl Batch {
    /// What the slot of an item says that is put alone, and an entry that publishes nothing.
    pub(super) const NONE: Self = Self(0);
    /// Of those from elsewhere (U5). No ring comes to tickets that high.
    const FROM_ELSEWHERE: u64 = 1 << 63;

    fn new(first_ticket: u64, comes: Comes) -> Self {
        let name = first_ticket.wrapping_add(1) & !Self::FROM_ELSEWHERE;
        Self(if comes == Comes::FromElsewhere { name | Self::FROM_ELSEWHERE } else { name })
    }

    /// The ticket of its first item.
    pub(super) fn first_ticket(self) -> u64 {
        (self.0 & !Self::FROM_ELSEWHERE).wrapping_sub(1)
    }

    fn is_from_elsewhere(self) -> bool {
        self.0 & Self::FROM_ELSEWHERE != 0
    }
}

/// Whose items a batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comes {
    /// Of a producer here.
    FromHere,
    /// Of another queue, by one who brings them.
    FromElsewhere,
}

/// Where a participant says which batch it publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publisher<'s> {
    /// The number of its place.
    pub(crate) participant: u32,
    /// `Entry::publishing`.
    pub(crate) word: &'s AtomicU64,
}

impl Ring<'_> {
    /// Says in the slots that their items are one batch; lowest ticket first. `describe` writes what else a slot says.
    pub(crate) fn mark_batch(
        &self,
        claims: &[Claim],
        comes: Comes,
        mut describe: impl FnMut(&Claim),
    ) -> Batch {
        debug_assert!(claims.is_sorted_by_key(|claim| claim.ticket), "in order");
        let batch = claims.first().map_or(Batch::NONE, |first| Batch::new(first.ticket, comes));
        for claim in claims {
            describe(claim);
            self.mark(claim, batch);
        }
        batch
    }

    /// Commits a batch whose slots say so, in the order of `claims`, and calls `committed` after each item. A damaged slot does not
    /// keep those after it from being committed.
    ///
    /// No other thread of the participant publishes meanwhile (U4). Fails before the first commit, and frees all slots, if the
    /// entry says that somebody does.
    pub(crate) fn publish(
        &self,
        publisher: Publisher<'_>,
        batch: Batch,
        claims: Vec<Claim>,
        committed: impl Fn(),
    ) -> Result<(), Corrupted> {
        let Publisher { participant, word } = publisher;
        // Release: pairs with the Acquire in `recover`. Whoever sees the name sees the marks of all slots (U2). The commits that
        // follow stay behind it: each has a Release of its own.
        let begins = word.compare_exchange(Batch::NONE.0, batch.0, Ordering::Release, Ordering::Relaxed);
        if let Err(found) = begins {
            claims.into_iter().map(|claim| self.abort(claim)).fold(Ok(()), Result::and)?;
            return Err(Damage::Publishing { participant, found }.into());
        }
        self.note_arrival(batch);
        let commit = |claim| self.commit_marked(claim).inspect(|()| committed());
        let outcome = claims.into_iter().map(commit).fold(Ok(()), Result::and);
        // Release: pairs with the Acquire in `recover`. It stays behind the commits.
        word.store(Batch::NONE.0, Ordering::Release);
        outcome
    }

    /// Of a batch that is being published (U5).
    pub(super) fn note_arrival(&self, batch: Batch) {
        if batch.is_from_elsewhere() {
            // Release: stays before the commits that follow, each of which has a Release too, and pairs with the Acquire in `arrival_of`.
            // Acquire: stays behind the word that says that it is being published.
            self.control.arrived.fetch_max(batch.0, Ordering::AcqRel);
        }
    }

    /// Whether the last batch from elsewhere, whose first item was to have this ticket, has come: whole, or it never will. `None` while
    /// that is open: its first slot is being written, by one who lives, or whom no sweep has found dead.
    ///
    /// In this order: a slot that is not being written any more has left that by a commit, and the note was raised before; or it was freed,
    /// and then nobody raises it any more. A slot that is written for another item may say this ticket still, from before: open then,
    /// until that one says its own.
    pub(crate) fn arrival_of(&self, ticket: u64) -> Result<Option<bool>, Corrupted> {
        let at = self.position(ticket);
        let is_written = matches!(phase_of(at.slot, self.word(at.slot))?, Phase::Writing | Phase::Late);
        // Relaxed: of a slot that its holder writes. One that has left it meanwhile is no reason to wait longer than for a look.
        if is_written && self.slots[at.slot].ticket.load(Ordering::Relaxed) == ticket {
            return Ok(None);
        }
        // Acquire: pairs with `note_arrival`.
        let arrived = self.control.arrived.load(Ordering::Acquire);
        Ok(Some(arrived == Batch::new(ticket, Comes::FromElsewhere).0))
    }

    /// Says which batch an item belongs to that is about to be committed, and that nobody has taken it (U2, U3).
    #[inline]
    pub(super) fn mark(&self, claim: &Claim, batch: Batch) {
        let slot = &self.slots[claim.slot];
        // Relaxed: the store that follows publishes it.
        slot.batch.store(batch.0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `ticket_of`. Whoever sees the count set back sees no batch from before.
        slot.delivery_count.store(0, Ordering::Release);
    }

    /// The ticket of the item that is being written to a slot, if it belongs to the batch (U3).
    pub(super) fn ticket_of(&self, slot: usize, batch: Batch) -> Option<u64> {
        let slot = &self.slots[slot];
        // Acquire: pairs with the Release in `mark`. Before the batch is looked at.
        let is_untaken = slot.delivery_count.load(Ordering::Acquire) == 0;
        // Relaxed, both: the writer is dead, and the caller has seen its word.
        (is_untaken && slot.batch.load(Ordering::Relaxed) == batch.0)
            .then(|| slot.ticket.load(Ordering::Relaxed))
    }
}

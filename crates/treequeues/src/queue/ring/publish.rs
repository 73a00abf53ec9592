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
//!     begins with none, before it claims anything.

use super::{Claim, Ring};
use crate::error::{Corrupted, Damage};
use crate::sync::{AtomicU64, Ordering};

/// The name of a batch (U1), once all its slots say it (U2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch(pub(super) u64);

impl Batch {
    /// What the slot of an item says that is put alone, and an entry that publishes nothing.
    pub(super) const NONE: Self = Self(0);

    /// The ticket of its first item.
    pub(super) fn first_ticket(self) -> u64 {
        self.0.wrapping_sub(1)
    }
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
    pub(crate) fn mark_batch(&self, claims: &[Claim], describe: impl Fn(&Claim)) -> Batch {
        debug_assert!(claims.is_sorted_by_key(|claim| claim.ticket), "in order");
        let batch = claims.first().map_or(Batch::NONE, |first| Batch(first.ticket.wrapping_add(1)));
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
        let commit = |claim| self.commit_marked(claim).inspect(|()| committed());
        let outcome = claims.into_iter().map(commit).fold(Ok(()), Result::and);
        // Release: pairs with the Acquire in `recover`. It stays behind the commits.
        word.store(Batch::NONE.0, Ordering::Release);
        outcome
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

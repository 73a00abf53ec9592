//! Recover: returns what a dead participant held, after completing the batch that it was publishing.

use super::{Batch, Position, Ring, phase_of};
use crate::error::Corrupted;
use crate::format::word::{Owner, Phase, Word};
use crate::sync::{AtomicU64, Ordering};

impl Ring<'_> {
    /// Returns what `dead` held: what it was publishing is committed (`publish`), other unwritten and finished slots become free,
    /// unfinished reads are redelivered. `publishing` is the word of its entry.
    ///
    /// Any number of sweepers may do this at once, and each may die half-way. A word names its owner by a few bits of the
    /// generation, so `is_still_theirs` is asked before each change: a sweeper that slept for hundreds of generations must
    /// not take the slots of a living tenant. Returns how many slots it moved.
    pub(crate) fn recover(
        &self,
        dead: Owner,
        publishing: &AtomicU64,
        is_still_theirs: impl Fn() -> bool,
    ) -> Result<usize, Corrupted> {
        // Acquire: pairs with `publish`. Before any slot is looked at.
        let batch = Batch(publishing.load(Ordering::Acquire));
        let mut moved = if batch == Batch::NONE { 0 } else { self.complete(dead, batch, &is_still_theirs)? };
        'slots: for index in 0..self.slots.len() {
            loop {
                let word = self.word(index);
                let phase = phase_of(index, word)?;
                if word.owner() != dead || !phase.is_held() {
                    break;
                }
                if !is_still_theirs() {
                    break 'slots;
                }
                self.raise_gap(self.used_up_in(index, word));
                let to = match phase {
                    Phase::Reading => {
                        self.raise(index);
                        word.with(Phase::Returned, Owner::NOBODY)
                    }
                    _ => word.freed(),
                };
                if self.swap(index, word, to) {
                    moved += 1;
                    break;
                }
            }
        }
        self.raise_again();
        self.has_freed_beyond_the_tail();
        Ok(moved)
    }

    /// Commits what is left of a batch that `dead` was publishing, lowest ticket first. Returns how many slots that were.
    ///
    /// The slots are looked at in the order of the tickets, beginning with the batch's first one, a lap at a time; mostly the
    /// batch ends within that. So nothing has to be remembered or sorted, whatever the capacity.
    #[cold]
    fn complete(
        &self,
        dead: Owner,
        batch: Batch,
        is_still_theirs: &impl Fn() -> bool,
    ) -> Result<usize, Corrupted> {
        self.note_arrival(batch);
        let mut completed = 0;
        let mut next = Some(batch.first_ticket());
        while let Some(first) = next.take() {
            // What was passed by may be of the batch, and another sweeper that has completed it may have died before its last
            // raise. Whoever finds a later item must find it, too.
            let mut has_passed_by = true;
            let mut at_most = u64::MAX;
            for at in self.lap_from(self.position(first)) {
                loop {
                    let Some((word, ticket)) = self.unfinished(dead, batch, at)? else {
                        has_passed_by = true;
                        break;
                    };
                    if ticket != at.ticket {
                        if ticket > at.ticket && self.position(ticket).slot == at.slot && ticket <= at_most {
                            at_most = ticket;
                            next = Some(ticket);
                        }
                        has_passed_by = true;
                        break;
                    }
                    if !is_still_theirs() {
                        return Ok(completed);
                    }
                    if std::mem::take(&mut has_passed_by) {
                        self.raise_again();
                    }
                    if self.commit_for_another(at.slot, word) {
                        completed += 1;
                        break;
                    }
                }
            }
        }
        Ok(completed)
    }

    /// The word and the ticket of a slot that `dead` was writing for the batch.
    fn unfinished(&self, dead: Owner, batch: Batch, at: Position) -> Result<Option<(Word, u64)>, Corrupted> {
        let word = self.word(at.slot);
        let is_written = matches!(phase_of(at.slot, word)?, Phase::Writing | Phase::Late);
        if !is_written || word.owner() != dead {
            return Ok(None);
        }
        Ok(self.ticket_of(at.slot, batch).map(|ticket| (word, ticket)))
    }

    /// `commit` by one who does not hold the slot; false if its word has changed.
    fn commit_for_another(&self, slot: usize, word: Word) -> bool {
        if word.phase() == Some(Phase::Writing) {
            return self.swap(slot, word, word.with(Phase::Ready, Owner::NOBODY));
        }
        self.raise(slot);
        let is_done = self.swap(slot, word, word.with(Phase::Returned, Owner::NOBODY));
        self.raise_again();
        is_done
    }
}

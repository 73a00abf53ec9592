//! Recover: returns what a dead participant held.

use super::{Ring, phase_of};
use crate::error::Corrupted;
use crate::word::{Owner, Phase};

impl Ring<'_> {
    /// Returns what `dead` held: unwritten and finished slots become free, unfinished reads are redelivered.
    ///
    /// Any number of sweepers may do this at once, and each may die half-way. A word names its owner by a few bits of the
    /// generation, so `is_still_theirs` is asked before each change: a sweeper that slept for hundreds of generations must
    /// not take the slots of a living tenant. Returns how many slots it moved.
    pub(crate) fn recover(self, dead: Owner, is_still_theirs: impl Fn() -> bool) -> Result<usize, Corrupted> {
        let mut moved = 0;
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
                let to = match phase {
                    Phase::Reading => word.with(Phase::Returned, Owner::NOBODY),
                    _ => word.freed(),
                };
                if self.swap(index, word, to) {
                    moved += 1;
                    break;
                }
            }
        }
        self.raise_hint();
        Ok(moved)
    }
}

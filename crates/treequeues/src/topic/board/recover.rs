//! Recover: what a dead tenant was writing, and its pins (B8).

use super::Board;
use crate::error::Corrupted;
use crate::format::word::Tenant;
use crate::sync::{Ordering, load_to_swap};
use crate::topic::word::{Pin, State};

impl Board<'_> {
    /// Returns what `dead` held. Any number of sweepers may do this at once, and each may die half-way. The caller notifies everybody,
    /// whatever the bits say, since the dead may have cleared one and woken nobody; and only then frees the entry. Returns how many
    /// slots and pins changed.
    pub(crate) fn recover(
        &self,
        dead: &Tenant,
        is_still_theirs: impl Fn() -> bool,
    ) -> Result<usize, Corrupted> {
        let mut moved = 0;
        for slot in 0..self.slots.len() {
            let state = self.state_to_swap(slot)?;
            if let State::Writing(owner, last) = state
                && owner == dead.owner
            {
                let newest = self.newest()?;
                // What was linked is there. Else the slot's last ticket is not above the newest one.
                let to = match newest.ticket > 0 && newest.slot == slot {
                    true => State::Ready(newest.ticket),
                    false => State::Free(last.whole(newest.ticket)),
                };
                if !is_still_theirs() {
                    return Ok(moved);
                }
                // If it fails, somebody has helped, or swept.
                moved += usize::from(self.swap(slot, state, to));
            }
            moved += usize::from(self.take_pin(slot, dead));
        }
        Ok(moved)
    }

    fn take_pin(&self, slot: usize, dead: &Tenant) -> bool {
        let word = &self.pins_of(slot)[dead.place as usize];
        let found = load_to_swap(word, Ordering::Relaxed);
        // SeqCst: B9. If it fails, another sweeper has taken it: the dead change nothing.
        Pin::unpack(found).is_some_and(|pin| pin.tenancy == dead.tenancy)
            && word.compare_exchange(found, Pin::NONE, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

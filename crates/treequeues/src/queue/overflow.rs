//! Overflow: a put into the full queue drops the oldest item, if the queue was made so.
//!
//! The put borrows the oldest item as any taker would, releases it, and reserves a slot then. Nothing new is written to a slot's word.
//!
//! W1. What is dropped is what a borrow would take at that moment. So it is never an item that somebody reads, nor the one that the put
//!     has yet to write; an item that came back goes first.
//! W2. A process that is killed between the borrow and the release has dropped nothing: the sweep returns the item, and nobody counts as
//!     having died of it. One that is killed between the release and its own reserve, or that aborts that, has dropped an item for
//!     nothing: the slot is free. So has a put that a shutdown refuses in that very moment; after a shutdown nothing is dropped.
//! W3. A put drops no more than it lacks, and only while it lacks it. If others take the slots that it made free, it drops once more; each
//!     such round is a put of theirs, and there are `MAX_ROUNDS` of them at most.
//! W4. The slot that a single put frees is for itself, so it wakes nobody. What a batch frees it may leave to others: it wakes one, who
//!     passes that on (`wait` E2).
//! W5. A producer waits while every slot is held. So whatever makes an item of a slot wakes one, as what makes it free does
//!     (`item_may_be_dropped`).
//! W6. An item over the limit of deaths that is met on the way is dropped as a take drops it, and counted as that; a put has no hook.

use super::here::Attached;
use crate::error::Corrupted;
use crate::format::SHUTDOWN_NONE;

/// How often a call makes room for others before it gives up (W3).
pub(crate) const MAX_ROUNDS: usize = 1000;
/// How often a call looks for free slots and items before it says that there are too few. A consumer that is done with one item and takes
/// the next one, between a look for the one and a look for the other, hides both.
const MAX_LOOKS: usize = 4;

impl Attached {
    /// Drops the oldest items until `wanted` slots are free. False, and nothing is dropped, if there are not enough; false too, if
    /// others took them meanwhile.
    #[cold]
    #[inline(never)]
    pub(crate) fn drop_oldest(&self, wanted: usize) -> Result<bool, Corrupted> {
        for _ in 0..MAX_LOOKS {
            let lacking = wanted.saturating_sub(self.ring().count_free(wanted)?);
            if lacking > 1 && self.count_items(lacking)? < lacking {
                continue;
            }
            let is_done = self.drop_so_many(lacking);
            if wanted > 1 {
                self.not_full().notify();
            }
            if is_done? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether there were so many.
    fn drop_so_many(&self, count: usize) -> Result<bool, Corrupted> {
        for _ in 0..count {
            let me = self.participant().owner();
            if self.shutdown_flag() != SHUTDOWN_NONE {
                return Ok(false);
            }
            let Some(claim) = self.ring().borrow(me, &self.structure().kept, |_| true)? else {
                return Ok(false);
            };
            self.hold_begins(self.slot(&claim));
            if self.shutdown_flag() != SHUTDOWN_NONE {
                self.put_back(claim)?;
                return Ok(false);
            }
            if claim.has_met_holds() {
                self.sweep_while_busy();
            }
            if self.is_over_limit(&claim) {
                self.drop_item(claim)?;
            } else {
                self.overwrite(claim)?;
                self.wake_drains();
            }
        }
        Ok(true)
    }

    /// There is an item that a waiting put may drop (W5).
    #[inline]
    pub(super) fn item_may_be_dropped(&self) {
        if self.segment().drops_oldest() {
            self.not_full().notify();
        }
    }
}

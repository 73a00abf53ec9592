//! Deliveries: how often an item was taken, how many takers died with it, and the end of one that killed too many.
//!
//! A borrow that ends without a release or a give-back is the taker's death. So the deaths are what is left of the deliveries
//! when those that were given back are subtracted, and nobody has to find out who died of what.
//!
//! K1. Both counts are written by the slot's holder alone (`ring` R3). Sweepers, however many, count nothing.
//! K2. A claim of an item that is over the limit counts as a delivery too, before anything is done with it. So a hook that
//!     kills its process does so once: who finds the item after that drops it without calling a hook.
//! K3. While a hook runs, its call holds that one slot, and nothing else: the hook may wait, and use the queue.

use super::here::Attached;
use super::ring::Claim;
use crate::error::{BorrowError, Corrupted};
use crate::format::Slot;
use crate::presence::counters::Counter;
use crate::sync::Ordering;

impl Attached {
    /// Counts the claim of an item as its delivery. False if the item is over the limit, and is to be dropped instead.
    #[inline]
    pub(crate) fn count_delivery(&self, claim: &Claim) -> bool {
        let deliveries = &self.slot(claim).delivery_count;
        // Relaxed, here and below: only the slot's holder touches it (K1).
        let before = deliveries.load(Ordering::Relaxed);
        deliveries.store(before.saturating_add(1), Ordering::Relaxed);
        before == 0 || self.count_redelivery(claim, before)
    }

    /// After the delivery was counted.
    #[cold]
    fn count_redelivery(&self, claim: &Claim, before: u32) -> bool {
        let is_fit = !self.is_too_many(deaths_after(before, self.slot(claim)));
        if is_fit {
            self.count(Counter::Redeliveries, 1);
        }
        is_fit
    }

    /// Whether a claimed item, whose delivery is not counted yet, is to be dropped.
    pub(crate) fn is_over_limit(&self, claim: &Claim) -> bool {
        let slot = self.slot(claim);
        self.is_too_many(deaths_after(slot.delivery_count.load(Ordering::Relaxed), slot))
    }

    /// For an item over the limit whose delivery was counted: whether nobody died of dropping it yet (K2).
    pub(crate) fn is_at_limit(&self, claim: &Claim) -> bool {
        let slot = self.slot(claim);
        let before = slot.delivery_count.load(Ordering::Relaxed).saturating_sub(1);
        deaths_after(before, slot) <= self.segment().max_deliveries()
    }

    /// Drops the item that was claimed, and those after it that are over the limit too; claims the first one that is not. Each
    /// round takes an item away, so there are no more rounds than items.
    #[cold]
    #[inline(never)]
    pub(super) fn drop_and_go_on(
        &self,
        mut claim: Claim,
        drop_item: impl Fn(Claim) -> Result<(), BorrowError>,
    ) -> Result<Option<Claim>, BorrowError> {
        loop {
            drop_item(claim)?;
            let next = self.try_borrow_where(|_| true)?;
            let Some(next) = next else {
                self.refuse_if_drained(1)?;
                return Ok(None);
            };
            if self.count_delivery(&next) {
                return Ok(Some(next));
            }
            claim = next;
        }
    }

    /// The end of an item that is over the limit.
    pub(crate) fn drop_item(&self, claim: Claim) -> Result<(), Corrupted> {
        self.hold_ends(self.slot(&claim));
        self.ring().release(claim)?;
        self.count(Counter::Dropped, 1);
        self.slot_became_free();
        Ok(())
    }

    /// The end of an item that is dropped by a put into the full queue (`overflow`). It is no delivery, and nobody is to have died of it
    /// if this process is killed here: so the give-back is said first, and the delivery because the next item of the slot needs it
    /// (`ring::publish` U3).
    pub(super) fn overwrite(&self, claim: Claim) -> Result<(), Corrupted> {
        let slot = self.slot(&claim);
        for count in [&slot.give_backs, &slot.delivery_count] {
            // Release: in this order, for whoever finds the item after a death. Only the slot's holder writes them (K1).
            count.store(count.load(Ordering::Relaxed).saturating_add(1), Ordering::Release);
        }
        self.hold_ends(slot);
        self.ring().release(claim)?;
        self.count(Counter::Overwritten, 1);
        Ok(())
    }

    pub(crate) fn give_back(&self, claim: Claim) -> Result<(), Corrupted> {
        // Before the item can be another's. A process that is killed in between has given it back as far as the counts know.
        let give_backs = &self.slot(&claim).give_backs;
        give_backs.store(give_backs.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
        self.put_back(claim)?;
        self.count(Counter::GiveBacks, 1);
        Ok(())
    }

    fn is_too_many(&self, deaths: u32) -> bool {
        let limit = self.segment().max_deliveries();
        limit != 0 && deaths >= limit
    }
}

/// How many takers died with the item, if it was delivered so often and nobody has it now.
fn deaths_after(deliveries: u32, slot: &Slot) -> u32 {
    deliveries.saturating_sub(slot.give_backs.load(Ordering::Relaxed))
}

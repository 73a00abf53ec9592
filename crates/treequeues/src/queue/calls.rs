//! Reserve and borrow, wait, and end what was begun.

use super::here::Attached;
use super::ring::Claim;
use crate::error::{BorrowError, Corrupted, ReserveError};
use crate::format::{SHUTDOWN_NONE, Slot};
use crate::presence::attached::{How, shut_down_how};
use crate::presence::counters::Counter;
use crate::sync::Ordering;

impl Attached {
    /// Claims a slot if one is free now.
    #[inline(always)] // As for `Ring::reserve`.
    pub(crate) fn try_reserve(&self) -> Result<Option<Claim>, ReserveError> {
        self.try_reserve_where(|_| true)
    }

    /// Claims the next free slot, unless `accept` refuses it.
    #[inline(always)] // As for `Ring::reserve`.
    pub(crate) fn try_reserve_where(
        &self,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<Claim>, ReserveError> {
        let flag = self.shutdown_flag();
        if flag != SHUTDOWN_NONE {
            shut_down_how(flag)?;
            return Err(ReserveError::ShutDown(self.first_shutdown()));
        }
        let Some(claim) = self.ring().reserve(self.participant().owner(), accept)? else { return Ok(None) };
        self.hold_begins(self.slot(&claim));
        if self.shutdown_flag() != SHUTDOWN_NONE {
            // A drain that has looked at this slot before must not miss an item in it.
            self.abort(claim)?;
            return Err(ReserveError::ShutDown(self.first_shutdown()));
        }
        if claim.has_met_holds() {
            self.sweep_while_busy();
        }
        Ok(Some(claim))
    }

    /// Claims the oldest item if there is one now. Items that are over the limit of deaths go to `drop_item`, whose failure is
    /// that of the call.
    #[inline(always)] // As for `Ring::reserve`.
    pub(crate) fn try_borrow(
        &self,
        drop_item: impl Fn(Claim) -> Result<(), BorrowError>,
    ) -> Result<Option<Claim>, BorrowError> {
        let claim = self.try_borrow_where(|_| true)?;
        match &claim {
            Some(delivered) => {
                if !self.count_delivery(delivered) {
                    return claim.map_or(Ok(None), |claim| self.drop_and_go_on(claim, drop_item));
                }
                let next = delivered.slot + 1;
                self.segment().prefetch(if next == self.segment().layout().capacity { 0 } else { next });
            }
            None => self.refuse_if_drained(1)?,
        }
        Ok(claim)
    }

    /// Claims the oldest item, unless `accept` refuses its slot. It does not count as delivered yet.
    #[inline(always)] // As for `Ring::reserve`.
    pub(crate) fn try_borrow_where(
        &self,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<Claim>, BorrowError> {
        let flag = self.shutdown_flag();
        if flag != SHUTDOWN_NONE && shut_down_how(flag)? == How::Immediate {
            return Err(BorrowError::ShutDown(self.immediate_shutdown()));
        }
        let me = self.participant().owner();
        let Some(claim) = self.ring().borrow(me, &self.structure().kept, accept)? else { return Ok(None) };
        self.hold_begins(self.slot(&claim));
        if claim.has_met_holds() {
            self.sweep_while_busy();
        }
        Ok(Some(claim))
    }

    /// Fails if the queue is shut down, fewer than `wanted` items are left, and no more can come: from other participants,
    /// or from other threads of this one.
    pub(crate) fn refuse_if_drained(&self, wanted: usize) -> Result<(), BorrowError> {
        let flag = self.shutdown_flag();
        if flag == SHUTDOWN_NONE {
            return Ok(());
        }
        if shut_down_how(flag)? == How::Immediate {
            return Err(BorrowError::ShutDown(self.immediate_shutdown()));
        }
        let me = self.holder();
        // Relaxed: a thread sees what it wrote itself, and whatever else it sees counts.
        let is_own = |slot: &Slot| slot.holder.load(Ordering::Relaxed) == me;
        match self.ring().left_to_drain(is_own, &self.structure().held_in_drain)? {
            Some(left) if left < wanted => Err(BorrowError::ShutDown(self.first_shutdown())),
            _ => Ok(()),
        }
    }

    /// How many items there are, at most `enough`.
    pub(crate) fn count_items(&self, enough: usize) -> Result<usize, Corrupted> {
        self.ring().count_items(enough, &self.structure().kept)
    }

    /// See `Ring::items_at_most`.
    pub(crate) fn items_at_most(&self) -> Result<Option<usize>, Corrupted> {
        self.ring().items_at_most(&self.structure().kept)
    }

    /// See `Ring::items_towards`.
    pub(crate) fn items_towards(&self, enough: usize) -> Result<usize, Corrupted> {
        self.ring().items_towards(enough, &self.structure().kept)
    }

    /// How many items can be had.
    pub(crate) fn len(&self) -> Result<usize, Corrupted> {
        if self.nothing_can_be_had()? {
            Ok(0)
        } else {
            self.ring().size(&self.structure().kept, &self.structure().holes)
        }
    }

    /// Whether no item can be had.
    pub(crate) fn is_empty(&self) -> Result<bool, Corrupted> {
        Ok(self.nothing_can_be_had()? || self.count_items(1)? == 0)
    }

    fn nothing_can_be_had(&self) -> Result<bool, Corrupted> {
        let flag = self.shutdown_flag();
        Ok(flag != SHUTDOWN_NONE && shut_down_how(flag)? == How::Immediate)
    }

    /// Whether there is an item; damage is for the attempt to report.
    pub(crate) fn any_item(&self) -> bool {
        self.count_items(1).is_ok_and(|count| count > 0)
    }

    pub(crate) fn may_borrow(&self) -> bool {
        self.ring().may_borrow(&self.structure().kept)
    }

    pub(crate) fn size_may_be_long(&self, long: usize) -> bool {
        self.ring().size_may_be_long(long, &self.structure().kept)
    }

    pub(crate) fn borrow_may_be_long(&self, long: usize) -> bool {
        self.ring().borrow_may_be_long(long, &self.structure().kept)
    }

    pub(crate) fn may_borrow_many(&self, count: usize) -> bool {
        self.ring().may_borrow_many(count, &self.structure().kept)
    }

    pub(crate) fn abort(&self, claim: Claim) -> Result<(), Corrupted> {
        self.hold_ends(self.slot(&claim));
        self.ring().abort(claim)?;
        self.slot_became_free();
        Ok(())
    }

    pub(crate) fn release(&self, claim: Claim) -> Result<(), Corrupted> {
        self.hold_ends(self.slot(&claim));
        self.ring().release(claim)?;
        self.count_one(Counter::Gets);
        self.slot_became_free();
        Ok(())
    }

    /// Returns an item that was claimed but not delivered.
    pub(crate) fn put_back(&self, claim: Claim) -> Result<(), Corrupted> {
        self.hold_ends(self.slot(&claim));
        self.ring().give_back(claim)?;
        self.not_empty().notify();
        self.item_may_be_dropped();
        Ok(())
    }

    /// Ends a reserve or a borrow whose views still live: the slot stays held, for nothing.
    pub(crate) fn linger(&self, claim: Claim, was_read: bool) -> Result<Claim, Corrupted> {
        self.hold_ends(self.slot(&claim));
        let claim = self.ring().linger(claim)?;
        if was_read {
            self.count_one(Counter::Gets);
        }
        self.wake_drains();
        Ok(claim)
    }

    /// The last view of a lingering slot has died.
    pub(crate) fn let_go(&self, claim: Claim) -> Result<(), Corrupted> {
        self.ring().let_go(claim)?;
        self.not_full().notify();
        Ok(())
    }

    pub(super) fn slot_became_free(&self) {
        self.not_full().notify();
        self.wake_drains();
    }

    /// A drain may be waiting for a slot's item to be done.
    pub(super) fn wake_drains(&self) {
        if self.is_shut_down() {
            self.not_empty().notify_all();
        }
    }
}

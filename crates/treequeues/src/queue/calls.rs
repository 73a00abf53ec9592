//! Reserve and borrow, wait, and end what was begun.

use super::here::{Attached, Here};
use super::ring::Claim;
use crate::error::{BorrowError, Corrupted, ReserveError};
use crate::format::{SHUTDOWN_NONE, Slot};
use crate::presence::attached::{CountedWait, How, shut_down_how};
use crate::presence::counters::Counter;
use crate::sync::Ordering;
use crate::wait::{Goal, Next, Wait, Waited, wait_for};

/// The most free slots that a producer waits for: more save little.
const MAX_FEW: usize = 8;

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

    /// For a call that does not wait: claims a slot if a sweep frees one.
    #[cold]
    pub(crate) fn reserve_after_sweep(&self) -> Result<Claim, ReserveError> {
        self.count(Counter::Full, 1);
        let claim = if self.sweep_for_failing()? { self.try_reserve()? } else { None };
        claim.ok_or(ReserveError::Full)
    }

    /// For a call that does not wait: claims an item if a sweep returns one.
    #[cold]
    pub(crate) fn borrow_after_sweep(
        &self,
        drop_item: impl Fn(Claim) -> Result<(), BorrowError>,
    ) -> Result<Claim, BorrowError> {
        self.count(Counter::Empty, 1);
        let claim = if self.sweep_for_failing()? { self.try_borrow(drop_item)? } else { None };
        claim.ok_or(BorrowError::Empty)
    }

    /// Waits for a free slot.
    #[cold]
    pub(crate) fn reserve_slowly(&self, mut wait: Wait<'_>) -> Result<Claim, ReserveError> {
        let waiting = self.waiting_for_room(&wait);
        let goal = Goal {
            plenty: || self.ring().may_reserve_many(self.a_few()) || self.is_shut_down(),
            ready: || self.ring().may_reserve() || self.is_shut_down(),
            available: || self.ring().any_free(),
            is_held: || self.ring().may_be_held(),
            before_sleep: || Ok(waiting.sweep_before_sleep()?),
            next: |_| Next::Sleep,
            attempt: |_: &mut Wait<'_>, _| self.try_reserve(),
        };
        match wait_for(self.not_full(), self.producers(), &mut wait, goal)? {
            Waited::Got(claim) => Ok(claim),
            Waited::TimedOut => Err(ReserveError::Full),
            Waited::Interrupted => Err(ReserveError::Interrupted),
        }
    }

    /// Waits for an item.
    #[cold]
    pub(crate) fn borrow_slowly(
        &self,
        mut wait: Wait<'_>,
        drop_item: impl Fn(Claim) -> Result<(), BorrowError> + Copy,
    ) -> Result<Claim, BorrowError> {
        let waiting = self.waiting_for_items(&wait);
        let goal = Goal {
            plenty: || self.may_borrow() || self.is_shut_down(),
            ready: || self.may_borrow() || self.is_shut_down(),
            available: || self.any_item(),
            is_held: || self.ring().may_be_held(),
            before_sleep: || Ok(waiting.sweep_before_sleep()?),
            next: |_| Next::Sleep,
            attempt: |_: &mut Wait<'_>, _| self.try_borrow(drop_item),
        };
        match wait_for(self.not_empty(), self.consumers(), &mut wait, goal)? {
            Waited::Got(claim) => Ok(claim),
            Waited::TimedOut => Err(BorrowError::Empty),
            Waited::Interrupted => Err(BorrowError::Interrupted),
        }
    }

    /// Counts a wait for free slots, and how long it takes.
    pub(crate) fn waiting_for_room(&self, wait: &Wait<'_>) -> CountedWait<'_, Here> {
        CountedWait::begin(self, wait, [Counter::Full, Counter::PutWaits, Counter::PutWaitNs])
    }

    /// Counts a wait for items, and how long it takes.
    pub(crate) fn waiting_for_items(&self, wait: &Wait<'_>) -> CountedWait<'_, Here> {
        CountedWait::begin(self, wait, [Counter::Empty, Counter::GetWaits, Counter::GetWaitNs])
    }

    /// How many free slots a producer that found none waits for at first, busily: one that takes each slot as it becomes free
    /// fights with its consumer over the slots' cache lines. Half the queue, so that the consumer never finds it empty.
    fn a_few(&self) -> usize {
        (self.segment().layout().capacity / 2).clamp(1, MAX_FEW)
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
        self.not_empty().notify_one();
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
        self.not_full().notify_one();
        Ok(())
    }

    pub(super) fn slot_became_free(&self) {
        self.not_full().notify_one();
        self.wake_drains();
    }

    /// A drain may be waiting for a slot's item to be done.
    fn wake_drains(&self) {
        if self.is_shut_down() {
            self.not_empty().notify_all();
        }
    }
}

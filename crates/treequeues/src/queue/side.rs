//! The two sides of a queue: free slots for producers, items for consumers. What is done at both is written once, for a `Side`.

use super::here::{Attached, Here};
use super::ring::Claim;
use crate::error::{BorrowError, Corrupted, ReserveError};
use crate::presence::attached::Waiter;
use crate::presence::counters::Counter;
use crate::sync::AtomicU64;
use crate::wait::{Event, Patience};

/// Slots of a batch up to which its attempts count how many are there, and do not first ask for a bound.
const FEW_TO_COUNT: usize = 16;
/// The most free slots that a producer waits for: more save little.
const MAX_FEW: usize = 8;

/// One side of a queue, and a call that claims there.
pub(crate) trait Side: Waiter<Structure = Here, Error: From<Corrupted>> {
    /// Whose turn it is to claim several (`batch` T4).
    fn turn(&self) -> &AtomicU64;

    /// Claims the next one if there is one now, and delivers it.
    fn claim(&self) -> Result<Option<Claim>, Self::Error>;

    /// Claims the next one, unless `accept` refuses its slot. It does not count as delivered yet.
    fn claim_where(&self, accept: impl Fn(usize) -> bool) -> Result<Option<Claim>, Self::Error>;

    /// Undoes a claim that does not count as delivered.
    fn unclaim(&self, claim: Claim) -> Result<(), Corrupted>;

    /// Whether a claim is not to be delivered, but dropped.
    fn is_to_be_dropped(&self, claim: &Claim) -> bool;

    /// Drops what is claimed.
    fn drop_claim(&self, claim: Claim) -> Result<(), Self::Error>;

    /// Counts a claim as delivered, which is not to be dropped.
    fn deliver(&self, claim: &Claim);

    /// Whether a claim in vain may make room for itself.
    fn makes_room(&self) -> bool;

    /// After a claim of so many in vain: makes room for it. False if that is not to be.
    fn make_room(&self, wanted: usize) -> Result<bool, Self::Error>;

    /// Fails if the queue is shut down and `wanted` cannot come any more.
    fn refuse_if_over(&self, wanted: usize) -> Result<(), Self::Error>;

    /// How many there are, at most `wanted`. If that is more than a few, a number below it is an upper bound.
    fn count_towards(&self, wanted: usize) -> Result<usize, Corrupted>;

    /// The same, and what room there may be made for.
    fn count_with_room(&self, wanted: usize) -> Result<usize, Corrupted>;

    /// Whether there is any; damage is for the attempt to report.
    fn is_any(&self) -> bool;

    /// Whether a claim is worth trying: a cheap look.
    fn may_claim(&self) -> bool;

    /// The same of so many claims.
    fn may_claim_many(&self, count: usize) -> bool;

    /// What a single claim waits for at first, busily.
    fn may_claim_plenty(&self) -> bool;
}

/// The side of producers.
#[derive(Clone, Copy)]
pub(crate) struct Slots<'a>(pub(crate) &'a Attached);

/// The side of consumers. Items that are over the limit of deaths go to `drop_item`, whose failure is that of the call.
#[derive(Clone, Copy)]
pub(crate) struct Items<'a, D> {
    pub(crate) attached: &'a Attached,
    pub(crate) drop_item: D,
}

impl Waiter for Slots<'_> {
    type Structure = Here;
    type Error = ReserveError;

    const COUNTERS: [Counter; 3] = [Counter::Full, Counter::PutWaits, Counter::PutWaitNs];

    #[inline(always)]
    fn attached(&self) -> &Attached {
        self.0
    }

    fn event(&self) -> Event<'_> {
        self.0.not_full()
    }

    fn patience(&self) -> &Patience {
        self.0.producers()
    }

    /// The sweep may have found the last producer dead.
    fn has_changed(&self) -> bool {
        self.0.end_if_all_have_left()
    }

    fn in_vain(&self) -> ReserveError {
        ReserveError::Full
    }

    fn interrupted() -> ReserveError {
        ReserveError::Interrupted
    }
}

impl Side for Slots<'_> {
    fn turn(&self) -> &AtomicU64 {
        &self.0.segment().control().batch_of_slots
    }

    #[inline(always)] // As for `Ring::reserve`.
    fn claim(&self) -> Result<Option<Claim>, ReserveError> {
        self.0.try_reserve()
    }

    #[inline(always)] // As for `Ring::reserve`.
    fn claim_where(&self, accept: impl Fn(usize) -> bool) -> Result<Option<Claim>, ReserveError> {
        self.0.try_reserve_where(accept)
    }

    fn unclaim(&self, claim: Claim) -> Result<(), Corrupted> {
        self.0.abort(claim)
    }

    fn is_to_be_dropped(&self, _: &Claim) -> bool {
        false
    }

    fn drop_claim(&self, claim: Claim) -> Result<(), ReserveError> {
        Ok(self.0.abort(claim)?)
    }

    fn deliver(&self, _: &Claim) {}

    #[inline]
    fn makes_room(&self) -> bool {
        self.0.segment().drops_oldest()
    }

    #[inline]
    fn make_room(&self, wanted: usize) -> Result<bool, ReserveError> {
        if self.makes_room() { Ok(self.0.drop_oldest(wanted)?) } else { Ok(false) }
    }

    fn refuse_if_over(&self, _: usize) -> Result<(), ReserveError> {
        // Only for what it has to say about a queue that is shut down.
        self.0.try_reserve_where(|_| false).map(drop)
    }

    fn count_towards(&self, wanted: usize) -> Result<usize, Corrupted> {
        let ring = self.0.ring();
        if FEW_TO_COUNT < wanted {
            let at_most = ring.free_at_most();
            if at_most < wanted {
                return Ok(at_most);
            }
        }
        ring.count_free(wanted)
    }

    fn count_with_room(&self, wanted: usize) -> Result<usize, Corrupted> {
        let free = self.count_towards(wanted)?;
        let to_drop =
            if self.makes_room() && free < wanted { self.0.count_items(wanted - free)? } else { 0 };
        Ok(free + to_drop)
    }

    fn is_any(&self) -> bool {
        self.0.ring().any_free() || (self.makes_room() && self.0.any_item())
    }

    fn may_claim(&self) -> bool {
        self.0.ring().may_reserve() || (self.makes_room() && self.0.may_borrow())
    }

    fn may_claim_many(&self, count: usize) -> bool {
        self.0.ring().may_reserve_many(count) || (self.makes_room() && self.0.may_borrow())
    }

    /// A producer that takes each slot as it becomes free fights with its consumer over the slots' cache lines. Half the queue, so
    /// that the consumer never finds it empty.
    fn may_claim_plenty(&self) -> bool {
        let a_few = (self.0.segment().layout().capacity / 2).clamp(1, MAX_FEW);
        self.0.ring().may_reserve_many(a_few) || (self.makes_room() && self.0.may_borrow())
    }
}

impl<D: Fn(Claim) -> Result<(), BorrowError> + Copy> Waiter for Items<'_, D> {
    type Structure = Here;
    type Error = BorrowError;

    const COUNTERS: [Counter; 3] = [Counter::Empty, Counter::GetWaits, Counter::GetWaitNs];

    #[inline(always)]
    fn attached(&self) -> &Attached {
        self.attached
    }

    fn event(&self) -> Event<'_> {
        self.attached.not_empty()
    }

    fn patience(&self) -> &Patience {
        self.attached.consumers()
    }

    /// As for producers.
    fn has_changed(&self) -> bool {
        self.attached.end_if_all_have_left()
    }

    fn in_vain(&self) -> BorrowError {
        BorrowError::Empty
    }

    fn interrupted() -> BorrowError {
        BorrowError::Interrupted
    }
}

impl<D: Fn(Claim) -> Result<(), BorrowError> + Copy> Side for Items<'_, D> {
    fn turn(&self) -> &AtomicU64 {
        &self.attached.segment().control().batch_of_items
    }

    #[inline(always)] // As for `Ring::reserve`.
    fn claim(&self) -> Result<Option<Claim>, BorrowError> {
        self.attached.try_borrow(self.drop_item)
    }

    #[inline(always)] // As for `Ring::reserve`.
    fn claim_where(&self, accept: impl Fn(usize) -> bool) -> Result<Option<Claim>, BorrowError> {
        self.attached.try_borrow_where(accept)
    }

    fn unclaim(&self, claim: Claim) -> Result<(), Corrupted> {
        self.attached.put_back(claim)
    }

    fn is_to_be_dropped(&self, claim: &Claim) -> bool {
        self.attached.is_over_limit(claim)
    }

    fn drop_claim(&self, claim: Claim) -> Result<(), BorrowError> {
        self.attached.count_delivery(&claim);
        (self.drop_item)(claim)
    }

    fn deliver(&self, claim: &Claim) {
        // It is not over the limit.
        self.attached.count_delivery(claim);
    }

    fn makes_room(&self) -> bool {
        false
    }

    fn make_room(&self, _: usize) -> Result<bool, BorrowError> {
        Ok(false)
    }

    fn refuse_if_over(&self, wanted: usize) -> Result<(), BorrowError> {
        self.attached.refuse_if_drained(wanted)
    }

    fn count_towards(&self, wanted: usize) -> Result<usize, Corrupted> {
        if wanted <= FEW_TO_COUNT {
            return self.attached.count_items(wanted);
        }
        match self.attached.items_at_most()? {
            Some(at_most) if at_most < wanted => Ok(at_most),
            _ => self.attached.items_towards(wanted),
        }
    }

    fn count_with_room(&self, wanted: usize) -> Result<usize, Corrupted> {
        self.count_towards(wanted)
    }

    fn is_any(&self) -> bool {
        self.attached.any_item()
    }

    fn may_claim(&self) -> bool {
        self.attached.may_borrow()
    }

    fn may_claim_many(&self, count: usize) -> bool {
        self.attached.may_borrow_many(count)
    }

    fn may_claim_plenty(&self) -> bool {
        self.attached.may_borrow()
    }
}

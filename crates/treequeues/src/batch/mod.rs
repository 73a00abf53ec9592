//! Several slots for one call: claimed one by one, and all or none.
//!
//! T1. Nothing waits while it holds slots. Two calls that each waited with a part of the ring in hand would wait for each
//!     other for ever. So a call waits until enough slots look ready, claims them, and if it falls short returns them all
//!     and waits again.
//! T2. Items that are returned so were not delivered: they keep their count, come first again, and in their order. To others
//!     it is as if they had been borrowed and given back: who took a later item meanwhile has it before.
//! T3. Calls that fall short again and again, because they take from each other, come back at different times.
//! T4. Calls that claim from the same side take turns at it, for the few microseconds that it takes: else each would have a part of what
//!     both want, and all would give back. A turn is a courtesy, not a lock. Nothing depends on it, and one that lasts too long, since
//!     its holder was killed or stopped, is taken away.

mod elsewhere;
mod turn;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::attached::Attached;
use crate::counters::Counter;
use crate::error::{BorrowError, Corrupted, ReserveError};
use crate::ring::{Claim, Ring};
use crate::wait::{Goal, Next, Wait, Waited, wait_for};

pub use elsewhere::Elsewhere;
use turn::Turn;

/// The shortest nap between two looks: about what the system's timer can do.
const MIN_NAP: Duration = Duration::from_micros(50);
/// The longest one: what a batch may come late by, after a lull.
const MAX_NAP: Duration = Duration::from_millis(5);
/// After falling short, the first pause is at most this, and each one at most twice the one before (T3).
const FIRST_PAUSE: Duration = Duration::from_micros(20);
/// Room for so many claims at first, where a call may be content with one of many.
const FEW: usize = 16;
/// Claims between two questions whether the call is to go on.
const CLAIMS_BETWEEN_QUESTIONS: usize = 1 << 18;

/// How many slots a call wants.
///
/// ```
/// use treequeues::BatchSize;
///
/// let exactly = BatchSize::exactly(32);
/// let whatever_is_there = BatchSize::between(1, 32);
/// let in_one_piece = BatchSize::exactly(32).side_by_side();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    min: usize,
    max: usize,
    is_side_by_side: bool,
}

impl BatchSize {
    /// So many.
    ///
    /// # Panics
    /// If that is none.
    pub fn exactly(count: usize) -> Self {
        Self::between(count, count)
    }

    /// What is there, once that are `min`, and at most `max`.
    ///
    /// # Panics
    /// Unless `1 <= min <= max`.
    pub fn between(min: usize, max: usize) -> Self {
        assert!(1 <= min && min <= max, "a batch of {min} to {max}");
        Self { min, max, is_side_by_side: false }
    }

    /// Once so many are there, the first one, and those after it that lie side by side in memory: fewer where the ring
    /// ends, or a slot in between is not to be had.
    #[must_use]
    pub fn side_by_side(self) -> Self {
        Self { is_side_by_side: true, ..self }
    }

    /// The fewest slots.
    pub fn min(self) -> usize {
        self.min
    }

    /// The most slots.
    pub fn max(self) -> usize {
        self.max
    }

    /// What a call is content with, when it claims.
    fn enough(self) -> usize {
        if self.is_side_by_side { 1 } else { self.min }
    }

    /// Room for the claims of a call.
    fn room(self) -> Vec<Claim> {
        Vec::with_capacity(self.min.max(FEW).min(self.max))
    }

    /// Whether the slot may be the next one after those claimed.
    fn accepts(self, claims: &[Claim], slot: usize) -> bool {
        !self.is_side_by_side || claims.last().is_none_or(|last| last.slot + 1 == slot)
    }
}

impl Attached {
    /// Claims free slots if enough are there now. In the middle of very many it asks `interrupted`.
    pub(crate) fn try_reserve_batch(
        &self,
        size: BatchSize,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<Claim>>, ReserveError> {
        let _turn = Turn::take(&self.segment().control().batch_of_slots, self.holder(), size.min);
        if self.free_towards(size.min)? < size.min {
            // Only for what it has to say about a queue that is shut down.
            self.try_reserve_where(|_| false)?;
            return Ok(None);
        }
        let mut claims = size.room();
        while claims.len() < size.max {
            let next = self.try_reserve_where(|slot| size.accepts(&claims, slot));
            let ended = match next {
                Ok(Some(claim)) => {
                    claims.push(claim);
                    if !is_time_to_ask(claims.len()) || !interrupted() {
                        continue;
                    }
                    ReserveError::Interrupted
                }
                Ok(None) => break,
                Err(error) => error,
            };
            self.abort_all(claims)?;
            return Err(ended);
        }
        if claims.len() < size.enough() {
            self.abort_all(claims)?;
            return Ok(None);
        }
        Ok(Some(claims))
    }

    /// Claims the oldest items if enough are there now. Items that are over the limit of deaths go to `drop_item`, whose failure
    /// is that of the call. In the middle of very many it asks `interrupted`.
    pub(crate) fn try_borrow_batch(
        &self,
        size: BatchSize,
        interrupted: &mut dyn FnMut() -> bool,
        drop_item: impl Fn(Claim) -> Result<(), BorrowError>,
    ) -> Result<Option<Vec<Claim>>, BorrowError> {
        loop {
            match self.try_claim_items(size, interrupted)? {
                Claimed::Enough(claims) => {
                    for claim in &claims {
                        // None is over the limit.
                        self.count_delivery(claim);
                    }
                    return Ok(Some(claims));
                }
                Claimed::TooFew => return Ok(None),
                // Each round takes an item away, so there are no more rounds than items.
                Claimed::ToDrop(claim) => {
                    self.count_delivery(&claim);
                    drop_item(claim)?;
                }
            }
        }
    }

    fn try_claim_items(
        &self,
        size: BatchSize,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<Claimed, BorrowError> {
        let _turn = Turn::take(&self.segment().control().batch_of_items, self.holder(), size.min);
        if self.items_towards(size.min)? < size.min {
            self.refuse_if_drained(size.min)?;
            return Ok(Claimed::TooFew);
        }
        let mut claims = size.room();
        while claims.len() < size.max {
            let next = self.try_borrow_where(|slot| size.accepts(&claims, slot));
            let ended = match next {
                Ok(Some(claim)) if self.is_over_limit(&claim) => {
                    // A hook may wait: nothing but this item is held meanwhile (T1).
                    if let Err(error) = self.put_back_all(claims) {
                        self.put_back(claim)?;
                        return Err(error.into());
                    }
                    return Ok(Claimed::ToDrop(claim));
                }
                Ok(Some(claim)) => {
                    claims.push(claim);
                    if !is_time_to_ask(claims.len()) || !interrupted() {
                        continue;
                    }
                    BorrowError::Interrupted
                }
                Ok(None) => break,
                Err(error) => error,
            };
            self.put_back_all(claims)?;
            return Err(ended);
        }
        if claims.len() < size.enough() {
            self.put_back_all(claims)?;
            return Ok(Claimed::TooFew);
        }
        Ok(Claimed::Enough(claims))
    }

    /// For a call that does not wait: claims slots if a sweep frees them.
    #[cold]
    pub(crate) fn reserve_batch_after_sweep(
        &self,
        size: BatchSize,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<Claim>, ReserveError> {
        self.count(Counter::Full, 1);
        let claims =
            if self.sweep_for_failing()? { self.try_reserve_batch(size, interrupted)? } else { None };
        claims.ok_or(ReserveError::Full)
    }

    /// For a call that does not wait: claims items if a sweep returns them.
    #[cold]
    pub(crate) fn borrow_batch_after_sweep(
        &self,
        size: BatchSize,
        interrupted: &mut dyn FnMut() -> bool,
        drop_item: impl Fn(Claim) -> Result<(), BorrowError>,
    ) -> Result<Vec<Claim>, BorrowError> {
        self.count(Counter::Empty, 1);
        let claims = if self.sweep_for_failing()? {
            self.try_borrow_batch(size, interrupted, drop_item)?
        } else {
            None
        };
        claims.ok_or(BorrowError::Empty)
    }

    /// Waits for free slots.
    #[cold]
    pub(crate) fn reserve_batch_slowly(
        &self,
        size: BatchSize,
        wait: Wait<'_>,
    ) -> Result<Vec<Claim>, ReserveError> {
        self.reserve_batch_slowly_while(size, wait, || Ok(ControlFlow::Continue(())))
    }

    /// The same while `has_hope`, which is asked before each sleep, neither fails nor wants another attempt first.
    fn reserve_batch_slowly_while(
        &self,
        size: BatchSize,
        mut wait: Wait<'_>,
        mut has_hope: impl FnMut() -> Result<ControlFlow<()>, ReserveError>,
    ) -> Result<Vec<Claim>, ReserveError> {
        let waiting = self.waiting_for_room(&wait);
        // For the pace alone: damage is reported by the attempt that comes next.
        let free = || self.free_towards(size.min).unwrap_or(0);
        let mut pace = Pace::new(size.min, free());
        let goal = Goal {
            plenty: || self.ring().may_reserve_many(size.min) || self.is_shut_down(),
            ready: || self.ring().may_reserve_many(size.min) || self.is_shut_down(),
            available: || self.ring().any_free(),
            is_held: || self.ring().may_be_held(),
            before_sleep: || match waiting.sweep_before_sleep()? {
                ControlFlow::Continue(()) => has_hope(),
                again => Ok(again),
            },
            next: |was_woken| pace.next(was_woken, free(), self.ring()),
            attempt: |wait: &mut Wait<'_>| self.try_reserve_batch(size, &mut || wait.is_interrupted()),
        };
        match wait_for(self.not_full(), self.producers(), &mut wait, goal)? {
            Waited::Got(claims) => Ok(claims),
            Waited::TimedOut => Err(ReserveError::Full),
            Waited::Interrupted => Err(ReserveError::Interrupted),
        }
    }

    /// Waits for items.
    #[cold]
    pub(crate) fn borrow_batch_slowly(
        &self,
        size: BatchSize,
        mut wait: Wait<'_>,
        drop_item: impl Fn(Claim) -> Result<(), BorrowError> + Copy,
    ) -> Result<Vec<Claim>, BorrowError> {
        let waiting = self.waiting_for_items(&wait);
        // As for `free` above.
        let items = || self.items_towards(size.min).unwrap_or(0);
        let mut pace = Pace::new(size.min, items());
        let goal = Goal {
            plenty: || self.may_borrow_many(size.min) || self.is_shut_down(),
            ready: || self.may_borrow_many(size.min) || self.is_shut_down(),
            available: || self.any_item(),
            is_held: || self.ring().may_be_held(),
            before_sleep: || Ok(waiting.sweep_before_sleep()?),
            next: |was_woken| pace.next(was_woken, items(), self.ring()),
            attempt: |wait: &mut Wait<'_>| {
                self.try_borrow_batch(size, &mut || wait.is_interrupted(), drop_item)
            },
        };
        match wait_for(self.not_empty(), self.consumers(), &mut wait, goal)? {
            Waited::Got(claims) => Ok(claims),
            Waited::TimedOut => Err(BorrowError::Empty),
            Waited::Interrupted => Err(BorrowError::Interrupted),
        }
    }

    /// How many slots are free, at most `wanted`. Of more than a few, what is fewer than that may be too many.
    fn free_towards(&self, wanted: usize) -> Result<usize, Corrupted> {
        if FEW < wanted {
            let at_most = self.ring().free_at_most();
            if at_most < wanted {
                return Ok(at_most);
            }
        }
        self.ring().count_free(wanted)
    }

    /// The same of items.
    fn items_towards(&self, wanted: usize) -> Result<usize, Corrupted> {
        if FEW < wanted
            && let Some(at_most) = self.items_at_most()?
            && at_most < wanted
        {
            return Ok(at_most);
        }
        self.count_items(wanted)
    }

    fn abort_all(&self, claims: Vec<Claim>) -> Result<(), Corrupted> {
        self.end_all(claims, Self::abort)
    }

    fn put_back_all(&self, claims: Vec<Claim>) -> Result<(), Corrupted> {
        self.end_all(claims, Self::put_back)
    }

    /// Ends several claims, all of them, also behind a damaged one (`attached` A3). Lowest ticket first: an item that came back
    /// between two claims was claimed behind higher ones, and who takes meanwhile should have them in their order (T2).
    pub(crate) fn end_all(
        &self,
        mut claims: Vec<Claim>,
        how: impl Fn(&Self, Claim) -> Result<(), Corrupted>,
    ) -> Result<(), Corrupted> {
        claims.sort_unstable_by_key(|claim| claim.ticket);
        claims.into_iter().map(|claim| how(self, claim)).fold(Ok(()), Result::and)
    }
}

/// Whether a call that has claimed so many asks if it is to go on: every 20 ms or so.
fn is_time_to_ask(claims: usize) -> bool {
    claims.is_multiple_of(CLAIMS_BETWEEN_QUESTIONS)
}

/// What one round of a borrow came to.
enum Claimed {
    Enough(Vec<Claim>),
    TooFew,
    /// An item over the limit of deaths, and nothing else: what was claimed before it was put back.
    ToDrop(Claim),
}

/// How fast the slots that a call waits for become ready, guessed from what it sees between its attempts.
pub(crate) struct Pace {
    wanted: usize,
    /// What was there at the last look, and when that was.
    count: usize,
    looked: Instant,
    /// What was there when a wake-up was last passed on, and the ring's movements. Two batches that cannot use what is there
    /// would wake each other for ever; so who is woken for the same again naps, and others are found (`wait` E2).
    passed_on_at: Option<(usize, [u64; 3])>,
    /// The longest next pause after falling short.
    pause: Duration,
}

impl Pace {
    pub(crate) fn new(wanted: usize, count: usize) -> Self {
        Self { wanted, count, looked: Instant::now(), passed_on_at: None, pause: FIRST_PAUSE }
    }

    /// What to do after an attempt in vain that left so many ready.
    pub(crate) fn next(&mut self, was_woken: bool, count: usize, ring: &Ring<'_>) -> Next {
        let now = Some((count, ring.movements()));
        if was_woken && count > 0 {
            let again = now == self.passed_on_at;
            self.passed_on_at = now;
            return Next::PassOn(again.then_some(MAX_NAP));
        }
        let (arrived, passed) = (count.saturating_sub(self.count), self.looked.elapsed());
        (self.count, self.looked) = (count, Instant::now());
        match self.wanted.saturating_sub(count) {
            // They are there, but some were taken by others, who may be in the same case (T3).
            0 => {
                let pause = self.pause;
                self.pause = (pause * 2).min(MAX_NAP);
                Next::Nap(pause.mul_f32(0.25 + 0.75 * random_fraction()))
            }
            1 => Next::Sleep,
            // Until all but the last one should be there; whoever makes that one wakes this call.
            missing => match passed.checked_div(arrived as u32) {
                Some(one) => Next::Nap((one * (missing as u32 - 1)).clamp(MIN_NAP, MAX_NAP)),
                None => Next::Sleep,
            },
        }
    }
}

/// From 0 to 1, other for each call.
fn random_fraction() -> f32 {
    (RandomState::new().build_hasher().finish() >> 40) as f32 / (1 << 24) as f32
}

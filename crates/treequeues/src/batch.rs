//! Several slots for one call: claimed one by one, and all or none.
//!
//! T1. Nothing waits while it holds slots. Two calls that each waited with a part of the ring in hand would wait for each
//!     other for ever. So a call waits until enough slots look ready, claims them, and if it falls short returns them all
//!     and waits again.
//! T2. Items that are returned so were not delivered: they keep their count, come first again, and in their order.
//! T3. Calls that fall short again and again, because they take from each other, come back at different times.

use std::time::{Duration, Instant};

use crate::attached::Attached;
use crate::error::{BorrowError, ReserveError};
use crate::ring::Claim;
use crate::wait::{Goal, Wait, Waited, wait_for};

/// The shortest nap between two looks: about what the system's timer can do.
const MIN_NAP: Duration = Duration::from_micros(50);
/// The longest one: what a batch may come late by, after a lull.
const MAX_NAP: Duration = Duration::from_millis(5);
/// After falling short, the first pause is at most this, and each one at most twice the one before (T3).
const FIRST_PAUSE: Duration = Duration::from_micros(20);

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

    /// The most slots.
    pub fn max(self) -> usize {
        self.max
    }

    /// What a call is content with, when it claims.
    fn enough(self) -> usize {
        if self.is_side_by_side { 1 } else { self.min }
    }

    /// Whether the slot may be the next one after those claimed.
    fn accepts(self, claims: &[Claim], slot: usize) -> bool {
        !self.is_side_by_side || claims.last().is_none_or(|last| last.slot + 1 == slot)
    }
}

impl Attached {
    /// Claims free slots if enough are there now.
    pub(crate) fn try_reserve_batch(&self, size: BatchSize) -> Result<Option<Vec<Claim>>, ReserveError> {
        if self.ring().count_free(size.min) < size.min {
            // Only for what it has to say about a queue that is shut down.
            self.try_reserve_where(|_| false)?;
            return Ok(None);
        }
        let mut claims = Vec::with_capacity(size.max);
        while claims.len() < size.max {
            match self.try_reserve_where(|slot| size.accepts(&claims, slot)) {
                Ok(Some(claim)) => claims.push(claim),
                Ok(None) => break,
                Err(error) => {
                    self.abort_all(claims)?;
                    return Err(error);
                }
            }
        }
        if claims.len() < size.enough() {
            self.abort_all(claims)?;
            return Ok(None);
        }
        Ok(Some(claims))
    }

    /// Claims the oldest items if enough are there now.
    pub(crate) fn try_borrow_batch(&self, size: BatchSize) -> Result<Option<Vec<Claim>>, BorrowError> {
        if self.ring().count_items(size.min, self.take_turn_to_look()) < size.min {
            self.refuse_if_drained(size.min)?;
            return Ok(None);
        }
        let mut claims = Vec::with_capacity(size.max);
        while claims.len() < size.max {
            match self.try_borrow_where(|slot| size.accepts(&claims, slot)) {
                Ok(Some(claim)) => claims.push(claim),
                Ok(None) => break,
                Err(error) => {
                    self.give_back_all(claims)?;
                    return Err(error);
                }
            }
        }
        if claims.len() < size.enough() {
            self.give_back_all(claims)?;
            return Ok(None);
        }
        for claim in &claims {
            self.count_delivery(claim);
        }
        Ok(Some(claims))
    }

    /// For a call that does not wait: claims slots if a sweep frees them.
    #[cold]
    pub(crate) fn reserve_batch_after_sweep(&self, size: BatchSize) -> Result<Vec<Claim>, ReserveError> {
        let claims = if self.sweep_for_failing()? { self.try_reserve_batch(size)? } else { None };
        claims.ok_or(ReserveError::Full)
    }

    /// For a call that does not wait: claims items if a sweep returns them.
    #[cold]
    pub(crate) fn borrow_batch_after_sweep(&self, size: BatchSize) -> Result<Vec<Claim>, BorrowError> {
        let claims = if self.sweep_for_failing()? { self.try_borrow_batch(size)? } else { None };
        claims.ok_or(BorrowError::Empty)
    }

    /// Waits for free slots.
    #[cold]
    pub(crate) fn reserve_batch_slowly(
        &self,
        size: BatchSize,
        mut wait: Wait<'_>,
    ) -> Result<Vec<Claim>, ReserveError> {
        let free = || self.ring().count_free(size.min);
        let mut pace = Pace::new(size.min, self.participant().id(), free());
        let goal = Goal {
            ready: || self.ring().may_reserve_many(size.min) || self.is_shut_down(),
            available: || self.ring().any_free(),
            before_sleep: || Ok(self.sweep_before_sleep()?),
            lull: || pace.lull(free()),
            attempt: || self.try_reserve_batch(size),
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
    ) -> Result<Vec<Claim>, BorrowError> {
        let items = || self.ring().count_items(size.min, false);
        let mut pace = Pace::new(size.min, self.participant().id(), items());
        let goal = Goal {
            ready: || self.ring().may_borrow_many(size.min) || self.is_shut_down(),
            available: || self.ring().any_item(),
            before_sleep: || Ok(self.sweep_before_sleep()?),
            lull: || pace.lull(items()),
            attempt: || self.try_borrow_batch(size),
        };
        match wait_for(self.not_empty(), self.consumers(), &mut wait, goal)? {
            Waited::Got(claims) => Ok(claims),
            Waited::TimedOut => Err(BorrowError::Empty),
            Waited::Interrupted => Err(BorrowError::Interrupted),
        }
    }

    fn abort_all(&self, claims: Vec<Claim>) -> Result<(), ReserveError> {
        claims.into_iter().try_for_each(|claim| self.abort(claim)).map_err(ReserveError::from)
    }

    fn give_back_all(&self, claims: Vec<Claim>) -> Result<(), BorrowError> {
        claims.into_iter().try_for_each(|claim| self.give_back(claim)).map_err(BorrowError::from)
    }
}

/// How fast the slots that a call waits for become ready, guessed from what it sees between its attempts.
struct Pace {
    wanted: usize,
    count: usize,
    looked: Instant,
    /// The next pause after falling short, and what tells this call from others that fall short with it.
    pause: Duration,
    seed: u32,
}

impl Pace {
    fn new(wanted: usize, seed: u32, count: usize) -> Self {
        Self { wanted, count, looked: Instant::now(), pause: FIRST_PAUSE, seed }
    }

    /// How long to sleep after an attempt in vain that left so many ready; `None` for until somebody calls.
    fn lull(&mut self, count: usize) -> Option<Duration> {
        let (arrived, passed) = (count.saturating_sub(self.count), self.looked.elapsed());
        (self.count, self.looked) = (count, Instant::now());
        match self.wanted.saturating_sub(count) {
            // They are there, but some were taken by others, who may be in the same case (T3).
            0 => {
                let pause = self.pause;
                self.pause = (pause * 2).min(MAX_NAP);
                self.seed = self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(0x7f4a_7c15);
                Some(pause.mul_f32(0.25 + 0.75 * (self.seed >> 8) as f32 / (1 << 24) as f32))
            }
            1 => None,
            // All but the last one: whoever makes that one calls.
            missing => {
                let one = passed.checked_div(arrived as u32)?;
                Some((one * (missing as u32 - 1)).clamp(MIN_NAP, MAX_NAP))
            }
        }
    }
}

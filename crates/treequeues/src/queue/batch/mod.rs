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
//! T5. Nobody is asked whether to go on while slots are held: signal handlers may run then, and wait. So a call that claims for long
//!     gives all back, asks, and begins anew. It does so seldom: each time it may go on for longer.

mod elsewhere;
pub(crate) mod turn;

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::error::{BorrowError, Corrupted, ReserveError};
use crate::presence::counters::Counter;
use crate::queue::here::Attached;
use crate::queue::ring::{Claim, KEPT_FOR_LOOKS, Ring};
use crate::wait::{Goal, Next, Seen, Wait, Waited, wait_for};

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
/// Slots of a batch up to which its attempts count how many are there, and do not first ask for a bound.
const FEW_TO_COUNT: usize = 16;
/// A claim that takes longer is given up, and begun anew (T5): more than a million slots. Each further one may take so many times as long.
const FIRST_STINT: Duration = Duration::from_millis(if cfg!(test) { 2 } else { 100 });
const STINTS_GROW: u32 = 4;
/// Claims between two looks at the clock.
const CLAIMS_A_LOOK: usize = 4096;

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
    /// Claims free slots if enough are there now. A claim that takes long is begun anew unless `interrupted`, which is asked meanwhile
    /// (T5).
    pub(crate) fn try_reserve_batch(
        &self,
        size: BatchSize,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<Claim>>, ReserveError> {
        let mut at_most = FIRST_STINT;
        loop {
            let (claims, is_over) = self.try_claim_slots(size, at_most)?;
            if !is_over {
                return Ok(claims);
            }
            if interrupted() {
                return Err(ReserveError::Interrupted);
            }
            at_most *= STINTS_GROW;
        }
    }

    /// What one stint has claimed, and whether it was over before that was enough.
    fn try_claim_slots(
        &self,
        size: BatchSize,
        at_most: Duration,
    ) -> Result<(Option<Vec<Claim>>, bool), ReserveError> {
        let _turn = Turn::take(&self.segment().control().batch_of_slots, self.holder(), size.min);
        if self.count_free_towards(size.min)? < size.min {
            // Only for what it has to say about a queue that is shut down.
            self.try_reserve_where(|_| false)?;
            return Ok((None, false));
        }
        let stint = Stint::new(at_most);
        let mut claims = size.room();
        while claims.len() < size.max {
            match self.try_reserve_where(|slot| size.accepts(&claims, slot)) {
                Ok(Some(claim)) => claims.push(claim),
                Ok(None) => break,
                Err(error) => {
                    self.abort_all(claims)?;
                    return Err(error);
                }
            }
            if stint.is_over(claims.len()) && claims.len() < size.max {
                self.abort_all(claims)?;
                return Ok((None, true));
            }
        }
        if claims.len() < size.enough() {
            self.abort_all(claims)?;
            return Ok((None, false));
        }
        Ok((Some(claims), false))
    }

    /// Claims the oldest items if enough are there now. Items that are over the limit of deaths go to `drop_item`, whose failure
    /// is that of the call. `interrupted` is asked as by `try_reserve_batch`.
    pub(crate) fn try_borrow_batch(
        &self,
        size: BatchSize,
        interrupted: &mut dyn FnMut() -> bool,
        drop_item: impl Fn(Claim) -> Result<(), BorrowError>,
    ) -> Result<Option<Vec<Claim>>, BorrowError> {
        let mut at_most = FIRST_STINT;
        loop {
            match self.try_claim_items(size, at_most)? {
                Claimed::Enough(claims) => {
                    for claim in &claims {
                        // None is over the limit.
                        self.count_delivery(claim);
                    }
                    return Ok(Some(claims));
                }
                Claimed::TooFew => return Ok(None),
                Claimed::TooLong => {
                    if interrupted() {
                        return Err(BorrowError::Interrupted);
                    }
                    at_most *= STINTS_GROW;
                }
                // Each round takes an item away, so there are no more rounds than items.
                Claimed::ToDrop(claim) => {
                    self.count_delivery(&claim);
                    drop_item(claim)?;
                }
            }
        }
    }

    fn try_claim_items(&self, size: BatchSize, at_most: Duration) -> Result<Claimed, BorrowError> {
        let _turn = Turn::take(&self.segment().control().batch_of_items, self.holder(), size.min);
        if self.count_items_towards(size.min)? < size.min {
            self.refuse_if_drained(size.min)?;
            return Ok(Claimed::TooFew);
        }
        let stint = Stint::new(at_most);
        let mut claims = size.room();
        while claims.len() < size.max {
            match self.try_borrow_where(|slot| size.accepts(&claims, slot)) {
                Ok(Some(claim)) if self.is_over_limit(&claim) => {
                    // A hook may wait: nothing but this item is held meanwhile (T1).
                    if let Err(error) = self.put_back_all(claims) {
                        self.put_back(claim)?;
                        return Err(error.into());
                    }
                    return Ok(Claimed::ToDrop(claim));
                }
                Ok(Some(claim)) => claims.push(claim),
                Ok(None) => break,
                Err(error) => {
                    self.put_back_all(claims)?;
                    return Err(error);
                }
            }
            if stint.is_over(claims.len()) && claims.len() < size.max {
                self.put_back_all(claims)?;
                return Ok(Claimed::TooLong);
            }
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
        let free = || self.count_free_towards(size.min).unwrap_or(0);
        let rest = Rest::new();
        // A count of more takes longer than a spin.
        let spins = size.min <= CLAIMS_A_LOOK;
        let mut pace = Pace::new(size.min, spins.then(free));
        let goal = Goal {
            plenty: || self.is_shut_down() || (spins && self.ring().may_reserve_many(size.min)),
            ready: || self.is_shut_down() || (spins && self.ring().may_reserve_many(size.min)),
            available: || self.ring().any_free(),
            is_held: || self.ring().may_be_held(),
            before_sleep: || match waiting.sweep_before_sleep()? {
                ControlFlow::Continue(()) => has_hope(),
                again => Ok(again),
            },
            next: |was_woken| pace.next(was_woken, rest.count().unwrap_or_else(free), self.ring()),
            attempt: |wait: &mut Wait<'_>, seen| {
                if rest.is_for(self, size, seen, || self.count_free_towards(size.min))? {
                    return Ok(None);
                }
                self.try_reserve_batch(size, &mut || wait.is_interrupted())
            },
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
        let items = || self.count_items_towards(size.min).unwrap_or(0);
        let rest = Rest::new();
        // A count of more takes longer than a spin.
        let spins = size.min <= CLAIMS_A_LOOK;
        let mut pace = Pace::new(size.min, spins.then(items));
        let goal = Goal {
            plenty: || self.is_shut_down() || (spins && self.may_borrow_many(size.min)),
            ready: || self.is_shut_down() || (spins && self.may_borrow_many(size.min)),
            available: || self.any_item(),
            is_held: || self.ring().may_be_held(),
            before_sleep: || Ok(waiting.sweep_before_sleep()?),
            next: |was_woken| pace.next(was_woken, rest.count().unwrap_or_else(items), self.ring()),
            attempt: |wait: &mut Wait<'_>, seen| {
                if rest.is_for(self, size, seen, || self.count_items_towards(size.min))? {
                    return Ok(None);
                }
                self.try_borrow_batch(size, &mut || wait.is_interrupted(), drop_item)
            },
        };
        match wait_for(self.not_empty(), self.consumers(), &mut wait, goal)? {
            Waited::Got(claims) => Ok(claims),
            Waited::TimedOut => Err(BorrowError::Empty),
            Waited::Interrupted => Err(BorrowError::Interrupted),
        }
    }

    /// How many slots are free, at most `wanted`. If that is more than a few, a number below it is an upper bound.
    fn count_free_towards(&self, wanted: usize) -> Result<usize, Corrupted> {
        if FEW_TO_COUNT < wanted {
            let at_most = self.ring().free_at_most();
            if at_most < wanted {
                return Ok(at_most);
            }
        }
        self.ring().count_free(wanted)
    }

    /// The same of items.
    fn count_items_towards(&self, wanted: usize) -> Result<usize, Corrupted> {
        if wanted <= FEW_TO_COUNT {
            return self.count_items(wanted);
        }
        match self.items_at_most()? {
            Some(at_most) if at_most < wanted => Ok(at_most),
            _ => self.items_towards(wanted),
        }
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

/// How long a call claims in one go (T5).
struct Stint {
    began: Instant,
    at_most: Duration,
}

impl Stint {
    fn new(at_most: Duration) -> Self {
        Self { began: Instant::now(), at_most }
    }

    /// Asked after each claim.
    fn is_over(&self, claims: usize) -> bool {
        claims.is_multiple_of(CLAIMS_A_LOOK) && self.began.elapsed() >= self.at_most
    }
}

/// What one round of a borrow came to.
enum Claimed {
    Enough(Vec<Claim>),
    TooFew,
    /// More than a stint can claim.
    TooLong,
    /// An item over the limit of deaths, and nothing else: what was claimed before it was put back.
    ToDrop(Claim),
}

/// What a wait for many slots has counted, so that it does not count them again before anything has changed (`wait` E9).
struct Rest {
    /// The last count, if it fell short.
    count: Cell<Option<usize>>,
    /// The word that it was made in, and until when it stands: as for any long look, a quarter of a percent of a processor.
    stands: Cell<Option<(Seen, Instant)>>,
}

impl Rest {
    fn new() -> Self {
        Self { count: Cell::new(None), stands: Cell::new(None) }
    }

    fn count(&self) -> Option<usize> {
        self.count.get()
    }

    /// Whether there is nothing to attempt: too few were there at the last count, which still stands, or are there now.
    fn is_for(
        &self,
        attached: &Attached,
        size: BatchSize,
        seen: Option<Seen>,
        count: impl Fn() -> Result<usize, Corrupted>,
    ) -> Result<bool, Corrupted> {
        let began = Instant::now();
        if self.stands.get().is_some_and(|(word, until)| Some(word) == seen && began < until) {
            return Ok(true);
        }
        let found = Some(count()?).filter(|count| *count < size.min && !attached.is_shut_down());
        self.count.set(found);
        let until = began + KEPT_FOR_LOOKS * began.elapsed();
        self.stands.set(found.and(seen).map(|seen| (seen, until)));
        Ok(found.is_some())
    }
}

/// How fast the slots that a call waits for become ready, guessed from what it sees between its attempts.
pub(crate) struct Pace {
    wanted: usize,
    /// What was there at the last look, and when that was.
    count: Option<usize>,
    looked: Instant,
    /// What was there when a wake-up was last passed on, and the ring's movements. Two batches that cannot use what is there
    /// would wake each other for ever; so who is woken for the same again naps, and others are found (`wait` E2).
    passed_on_at: Option<(usize, [u64; 3])>,
    /// The longest next pause after falling short.
    pause: Duration,
}

impl Pace {
    pub(crate) fn new(wanted: usize, count: Option<usize>) -> Self {
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
        let arrived = count.saturating_sub(self.count.replace(count).unwrap_or(count));
        let passed = self.looked.elapsed();
        self.looked = Instant::now();
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

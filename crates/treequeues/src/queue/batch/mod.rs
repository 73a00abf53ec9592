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

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::here::Attached;
use super::overflow::MAX_ROUNDS;
use super::ring::{Claim, Ring};
use super::side::Side;
use crate::error::Corrupted;
use crate::long_look::KEPT_FOR_LOOKS;
use crate::wait::{Attempt, Next, Seen, Wait};

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

/// Claims at one side if enough are there now. A claim that takes long is begun anew unless the call is `interrupted`, which is asked
/// meanwhile (T5).
pub(crate) fn claim_many<S: Side>(
    side: S,
    size: BatchSize,
    mut is_interrupted: impl FnMut() -> bool,
) -> Result<Option<Vec<Claim>>, S::Error> {
    let mut at_most = FIRST_STINT;
    let mut rounds_left = MAX_ROUNDS;
    loop {
        match claim_in_one_go(side, size, at_most)? {
            Claimed::Enough(claims) => {
                claims.iter().for_each(|claim| side.deliver(claim));
                return Ok(Some(claims));
            }
            // What it made room by was taken by others.
            Claimed::TooFew
                if side.makes_room() && rounds_left > 0 && side.count_with_room(size.min)? >= size.min =>
            {
                rounds_left -= 1;
            }
            Claimed::TooFew => return Ok(None),
            Claimed::TooLong => {
                if is_interrupted() {
                    return Err(S::interrupted());
                }
                at_most *= STINTS_GROW;
            }
            // Each round takes an item away, so there are no more rounds than items.
            Claimed::ToDrop(claim) => side.drop_claim(claim)?,
        }
    }
}

fn claim_in_one_go<S: Side>(side: S, size: BatchSize, at_most: Duration) -> Result<Claimed, S::Error> {
    let _turn = Turn::take(side.turn(), side.attached().holder(), size.min);
    if side.count_towards(size.min)? < size.min && !side.make_room(size.min)? {
        side.refuse_if_over(size.min)?;
        return Ok(Claimed::TooFew);
    }
    let unclaim_all = |claims| side.attached().end_all(claims, |_, claim| side.unclaim(claim));
    let stint = Stint::new(at_most);
    let mut claims = size.room();
    while claims.len() < size.max {
        match side.claim_where(|slot| size.accepts(&claims, slot)) {
            Ok(Some(claim)) if side.is_to_be_dropped(&claim) => {
                // A hook may wait: nothing but this item is held meanwhile (T1).
                if let Err(error) = unclaim_all(claims) {
                    side.unclaim(claim)?;
                    return Err(error.into());
                }
                return Ok(Claimed::ToDrop(claim));
            }
            Ok(Some(claim)) => claims.push(claim),
            Ok(None) => break,
            Err(error) => {
                unclaim_all(claims)?;
                return Err(error);
            }
        }
        if stint.is_over(claims.len()) && claims.len() < size.max {
            unclaim_all(claims)?;
            return Ok(Claimed::TooLong);
        }
    }
    if claims.len() < size.enough() {
        unclaim_all(claims)?;
        return Ok(Claimed::TooFew);
    }
    Ok(Claimed::Enough(claims))
}

/// Several slots, or several items. `has_hope` is asked before each sleep.
pub(crate) struct Many<S, H> {
    side: S,
    size: BatchSize,
    has_hope: H,
    rest: Rest,
    /// Of a call that waits.
    pace: Option<Pace>,
}

impl<S: Side> Many<S, ()> {
    pub(crate) fn new(
        side: S,
        size: BatchSize,
    ) -> Many<S, impl FnMut() -> Result<ControlFlow<()>, S::Error>> {
        Many::while_there_is_hope(side, size, || Ok(ControlFlow::Continue(())))
    }
}

impl<S: Side, H: FnMut() -> Result<ControlFlow<()>, S::Error>> Many<S, H> {
    fn while_there_is_hope(side: S, size: BatchSize, has_hope: H) -> Self {
        Self { side, size, has_hope, rest: Rest::new(), pace: None }
    }

    /// For the pace alone: damage is reported by the attempt that comes next.
    fn count(&self) -> usize {
        self.side.count_with_room(self.size.min).unwrap_or(0)
    }

    /// A count of more takes longer than a spin.
    fn spins(&self) -> bool {
        self.size.min <= CLAIMS_A_LOOK
    }
}

impl<S: Side, H: FnMut() -> Result<ControlFlow<()>, S::Error>> Attempt for Many<S, H> {
    type Got = Vec<Claim>;
    type Error = S::Error;

    fn attempt(&mut self, wait: &mut Wait<'_>, seen: Option<Seen>) -> Result<Option<Vec<Claim>>, S::Error> {
        let Self { side, size, rest, pace, .. } = self;
        if pace.is_some() && rest.is_for(*side, *size, seen)? {
            return Ok(None);
        }
        claim_many(*side, *size, || wait.is_interrupted())
    }

    fn begin_waiting(&mut self) {
        let count = self.spins().then(|| self.count());
        self.pace = Some(Pace::new(self.size.min, count));
    }

    fn is_plenty(&self) -> bool {
        self.is_ready()
    }

    fn is_ready(&self) -> bool {
        self.side.attached().is_shut_down() || (self.spins() && self.side.may_claim_many(self.size.min))
    }

    fn is_available(&self) -> bool {
        self.side.is_any()
    }

    fn is_held(&self) -> bool {
        let attached = self.side.attached();
        attached.ring().may_be_held() || attached.awaits_producers()
    }

    fn has_hope(&mut self) -> Result<ControlFlow<()>, S::Error> {
        (self.has_hope)()
    }

    fn next(&mut self, was_woken: bool) -> Next {
        let count = self.rest.count.unwrap_or_else(|| self.count());
        let pace = self.pace.get_or_insert_with(|| Pace::new(self.size.min, None));
        pace.next(was_woken, count, self.side.attached().ring())
    }
}

impl Attached {
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

/// What one round of claims came to.
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
    count: Option<usize>,
    /// The word that it was made in, and until when it stands: as for any long look, a quarter of a percent of a processor.
    stands: Option<(Seen, Instant)>,
}

impl Rest {
    fn new() -> Self {
        Self { count: None, stands: None }
    }

    /// Whether there is nothing to attempt: too few were there at the last count, which still stands, or are there now.
    fn is_for<S: Side>(&mut self, side: S, size: BatchSize, seen: Option<Seen>) -> Result<bool, Corrupted> {
        let began = Instant::now();
        if self.stands.is_some_and(|(word, until)| Some(word) == seen && began < until) {
            return Ok(true);
        }
        let count = side.count_with_room(size.min)?;
        self.count = Some(count).filter(|count| *count < size.min && !side.attached().is_shut_down());
        let until = began + KEPT_FOR_LOOKS * began.elapsed();
        self.stands = self.count.and(seen).map(|seen| (seen, until));
        Ok(self.count.is_some())
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

//! Attempts: to take what is there now, or to wait for it.

use super::overflow::MAX_ROUNDS;
use super::ring::Claim;
use super::side::Side;
use crate::presence::attached::wait_counted;
use crate::wait::{Attempt, Seen, Wait};

/// Takes it if it is there now, or if a sweep returns it.
pub(crate) fn take_now<S: Side, A: Attempt<Error = S::Error>>(
    side: S,
    mut attempt: A,
    mut wait: Wait<'_>,
) -> Result<A::Got, S::Error> {
    match attempt.attempt(&mut wait, None)? {
        Some(got) => Ok(got),
        None => take_after_sweep(side, attempt, wait),
    }
}

/// Takes it, or waits for it as long as `wait` says.
pub(crate) fn take<S: Side, A: Attempt<Error = S::Error>>(
    side: S,
    mut attempt: A,
    mut wait: Wait<'_>,
) -> Result<A::Got, S::Error> {
    if !wait.has_tried()
        && let Some(got) = attempt.attempt(&mut wait, None)?
    {
        return Ok(got);
    }
    take_slowly(side, attempt, wait)
}

/// After an attempt in vain: once more, if a sweep returns anything.
#[cold]
#[inline(never)]
pub(super) fn take_after_sweep<S: Side, A: Attempt<Error = S::Error>>(
    side: S,
    mut attempt: A,
    mut wait: Wait<'_>,
) -> Result<A::Got, S::Error> {
    if side.makes_room()
        && let Some(got) = attempt.attempt(&mut wait, None)?
    {
        return Ok(got);
    }
    let [in_vain, ..] = S::COUNTERS;
    side.attached().count(in_vain, 1);
    let has_found_some = side.attached().sweep_for_failing()?;
    // After the sweep, which may have found the last producer dead.
    let may_have_ended = side.attached().end_if_all_have_left();
    let got = if has_found_some || may_have_ended { attempt.attempt(&mut wait, None)? } else { None };
    got.ok_or_else(|| side.in_vain())
}

/// Waits, after an attempt in vain.
#[cold]
#[inline(never)]
pub(super) fn take_slowly<S: Side, A: Attempt<Error = S::Error>>(
    side: S,
    mut attempt: A,
    mut wait: Wait<'_>,
) -> Result<A::Got, S::Error> {
    if side.makes_room()
        && let Some(got) = attempt.attempt(&mut wait, None)?
    {
        return Ok(got);
    }
    wait_counted(side, attempt, wait)
}

/// One slot, or one item.
pub(crate) struct One<S>(pub(crate) S);

impl<S: Side> Attempt for One<S> {
    type Got = Claim;
    type Error = S::Error;

    #[inline(always)] // As for `Ring::reserve`.
    fn attempt(&mut self, _: &mut Wait<'_>, _: Option<Seen>) -> Result<Option<Claim>, S::Error> {
        for _ in 0..MAX_ROUNDS {
            let got = self.0.claim()?;
            if got.is_some() || !self.0.make_room(1)? {
                return Ok(got);
            }
        }
        Ok(None)
    }

    fn is_plenty(&self) -> bool {
        self.0.may_claim_plenty() || self.0.attached().is_shut_down()
    }

    fn is_ready(&self) -> bool {
        self.0.may_claim() || self.0.attached().is_shut_down()
    }

    fn is_available(&self) -> bool {
        self.0.is_any()
    }

    fn is_held(&self) -> bool {
        let attached = self.0.attached();
        attached.ring().may_be_held() || attached.awaits_producers()
    }
}

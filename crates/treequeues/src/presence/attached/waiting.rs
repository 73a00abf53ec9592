//! Waits at an event of a structure: counted, and with sweeps before sleeps.

use std::ops::ControlFlow;

use super::{Attached, CountedWait};
use crate::error::AttachError;
use crate::presence::counters::Counter;
use crate::presence::structure::Structure;
use crate::wait::{Attempt, Event, Patience, Wait, Waited, wait_for};

/// What a call waits at, and how it fails.
pub(crate) trait Waiter: Copy {
    type Structure: Structure;
    type Error: From<AttachError>;

    /// Calls that found nothing, calls that waited, and how long.
    const COUNTERS: [Counter; 3];

    fn attached(&self) -> &Attached<Self::Structure>;

    /// What is signalled when there may be more.
    fn event(&self) -> Event<'_>;

    /// For those who wait for that.
    fn patience(&self) -> &Patience;

    /// Before each sleep, after the sweep: whether there is reason to attempt it once more, whoever is asleep.
    fn has_changed(&self) -> bool {
        false
    }

    /// There was nothing, or not in time.
    fn in_vain(&self) -> Self::Error;

    /// The wait was interrupted.
    fn interrupted() -> Self::Error;
}

/// Waits, after an attempt in vain.
pub(crate) fn wait_counted<W: Waiter, A: Attempt<Error = W::Error>>(
    waiter: W,
    mut attempt: A,
    mut wait: Wait<'_>,
) -> Result<A::Got, W::Error> {
    let counted = CountedWait::begin(waiter.attached(), &wait, W::COUNTERS);
    attempt.begin_waiting();
    let before_sleep = |attempt: &mut A| match counted.sweep_before_sleep()? {
        ControlFlow::Continue(()) if waiter.has_changed() => Ok(ControlFlow::Break(())),
        ControlFlow::Continue(()) => attempt.has_hope(),
        again => Ok(again),
    };
    match wait_for(waiter.event(), waiter.patience(), &mut wait, &mut attempt, before_sleep)? {
        Waited::Got(got) => Ok(got),
        Waited::TimedOut => Err(waiter.in_vain()),
        Waited::Interrupted => Err(W::interrupted()),
    }
}

//! When to look for the dead: before a sleep, before a call fails, and now and then in a queue that is always busy.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::Attached;
use crate::clock::monotonic_ns;
use crate::error::AttachError;
use crate::presence::counters::Counter;
use crate::presence::structure::Structure;
use crate::presence::sweep::{self, Swept};
use crate::sync::Ordering;
use crate::wait::Wait;

/// Between two sweeps that sleepers make, all of them together: a sweep asks about every participant.
const SLEEPERS_SWEEP_INTERVAL: Duration = Duration::from_millis(50);
/// Since the last sweep, for a call that finds nothing and does not wait.
const FAILING_SWEEP_INTERVAL: Duration = Duration::from_millis(5);
/// Since the last sweep, for a call that succeeds, but met a hold on its way.
const BUSY_SWEEP_INTERVAL: Duration = Duration::from_millis(100);

impl<S: Structure> Attached<S> {
    /// Returns what dead participants held.
    pub(crate) fn sweep(&self) -> Result<Swept, AttachError> {
        let swept = sweep::sweep(
            &self.segment,
            self.structure(),
            self.participant.locks(),
            Some(self.participant.id()),
        )?;
        self.count(Counter::Sweeps, 1);
        self.count(Counter::Deaths, swept.deaths as u64);
        if swept.has_found_some() {
            self.wake_everyone();
        }
        Ok(swept)
    }

    pub(crate) fn sweep_for_failing(&self) -> Result<bool, AttachError> {
        match self.sweep_after(FAILING_SWEEP_INTERVAL) {
            // It does not wait, so it needs no descriptor: whether this call's turn to sweep has come makes no difference.
            Err(AttachError::DescriptorsClosed) => Ok(false),
            swept => swept,
        }
    }

    fn sweep_before_sleep(&self) -> Result<ControlFlow<()>, AttachError> {
        let found_some = self.sweep_after(SLEEPERS_SWEEP_INTERVAL)?;
        Ok(if found_some { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Now and then, for a queue that is so busy that nobody ever waits.
    #[cold]
    pub(crate) fn sweep_while_busy(&self) {
        // The call has succeeded, and must not fail for this (A3); the next one that waits will say what is wrong.
        let _ = self.sweep_after(BUSY_SWEEP_INTERVAL);
    }

    /// Sweeps if the last sweep, anybody's, began at least `interval` ago; true if it found somebody dead.
    fn sweep_after(&self, interval: Duration) -> Result<bool, AttachError> {
        let swept_at = &self.segment.control().swept_at_ns;
        // Relaxed: a clock value, and nothing depends on it but who sweeps.
        let last = swept_at.load(Ordering::Relaxed);
        let now = monotonic_ns();
        // A time in the future is that of another time namespace, or damage.
        let is_due = now < last || now - last >= interval.as_nanos() as u64;
        let is_ours =
            is_due && swept_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        Ok(is_ours && self.sweep()?.has_found_some())
    }
}

/// A wait that is counted as it goes on: before each sleep, and at its end. So who looks from outside sees the time of a
/// call that still waits, all but the last sleep of it.
pub(crate) struct CountedWait<'a, S: Structure> {
    attached: &'a Attached<S>,
    time_ns: Counter,
    /// What is counted reaches up to here.
    counted: Cell<Instant>,
}

impl<'a, S: Structure> CountedWait<'a, S> {
    pub(crate) fn begin(
        attached: &'a Attached<S>,
        wait: &Wait<'_>,
        [in_vain, waits, time_ns]: [Counter; 3],
    ) -> Self {
        if !wait.has_tried() {
            attached.count(in_vain, 1);
        }
        attached.count(waits, 1);
        attached.remember_this_thread();
        Self { attached, time_ns, counted: Cell::new(Instant::now()) }
    }

    /// What a wait does before each sleep.
    pub(crate) fn sweep_before_sleep(&self) -> Result<ControlFlow<()>, AttachError> {
        self.count();
        self.attached.sweep_before_sleep()
    }

    fn count(&self) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.counted.replace(now));
        self.attached.count(self.time_ns, passed.as_nanos() as u64);
    }
}

impl<S: Structure> Drop for CountedWait<'_, S> {
    fn drop(&mut self) {
        self.count();
    }
}

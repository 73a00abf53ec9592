//! The clocks: nanoseconds as one number.

use rustix::time::{ClockId, clock_gettime};

/// CLOCK_REALTIME: since the Unix epoch.
#[inline]
pub(crate) fn realtime_ns() -> u64 {
    read(ClockId::Realtime)
}

/// CLOCK_MONOTONIC: the same for all processes of a machine, but for those in a time namespace of their own.
pub(crate) fn monotonic_ns() -> u64 {
    read(ClockId::Monotonic)
}

/// CLOCK_MONOTONIC as of the kernel's last tick: up to 10 ms old, and a quarter of the price.
#[inline]
pub(crate) fn monotonic_coarse_ns() -> u64 {
    read(ClockId::MonotonicCoarse)
}

#[inline]
fn read(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

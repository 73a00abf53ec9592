//! Death at every instruction: a tracer runs an operation up to its n-th instruction and kills the process there, for every n.
//!
//! | module | what it is | unsafe |
//! |---|---|---|
//! | `children` | forks | yes |
//! | `tracer` | ptrace: a child that runs up to one instruction | yes |
//! | `items` | what is in the queue, and a page where a victim says what it did | yes |
//! | `scenes`, `operations` | the rings that operations begin on, what victims do | |
//! | `verdict` | what a survivor must find | |
//! | `short` | every instruction of the short operations; killed, stopped and killed, stopped and let go on | |
//! | `sleepers` | every instruction again, while somebody sleeps who waits for it | |
//! | `double` | the sweeper is killed too, or stopped and let go on | |
//! | `journeys` | creating, attaching, leaving, names: before and after each store and system call | |
//! | `pool`, `tally` | the cases, each in a process of its own, a few at a time; the table, and the record | |
//!
//! A case that hangs is killed by the watchdog, and says where it was.
//!
//! The tracer knows breakpoints of x86-64 alone, so elsewhere this crate is empty.
#![cfg(target_arch = "x86_64")]
#![deny(unsafe_code)]

use std::process::ExitCode;

#[allow(unsafe_code)]
mod children;
mod double;
#[allow(unsafe_code)]
mod items;
mod journeys;
mod operations;
mod pool;
mod scenes;
mod short;
mod sleepers;
mod tally;
#[allow(unsafe_code)]
mod tracer;
mod verdict;

/// The command: all cases, or those that the arguments choose.
pub fn main() -> ExitCode {
    let cases: Vec<_> = [short::cases(), sleepers::cases(), double::cases(), journeys::cases()]
        .into_iter()
        .flatten()
        .collect();
    pool::main(&cases)
}

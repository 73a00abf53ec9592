//! Death at every instruction: a tracer runs an operation up to its n-th instruction and kills the process there, for every n.
//!
//! | module | what it is | unsafe |
//! |---|---|---|
//! | `children` | forks, and waiting for what they come to | yes |
//! | `tracer` | ptrace: a child that runs up to one instruction | yes |
//! | `ledger` | a page where a victim says what it did | yes |
//! | `tally`, `pool` | the cases, each in a process of its own, a few at a time; the table, and the record | |
//! | `structure` | what is killed: operations on scenes of a structure, and the verdict of each structure | |
//! | `short` | every instruction of the short operations; killed, stopped and killed, stopped and let go on | |
//! | `sleepers` | every instruction again, while somebody sleeps who waits for it | |
//! | `double` | the sweeper is killed too, or stopped and let go on | |
//! | `queues` | queues: rings, victims, verdicts; those that drop their oldest items, and those that know their producers | |
//! | `topics` | the same of topics | |
//! | `journeys` | creating, attaching, leaving, names: before and after each store and system call | |
//!
//! Each imports only what is above it.
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
mod journeys;
#[allow(unsafe_code)]
mod ledger;
mod pool;
mod queues;
mod short;
mod sleepers;
mod structure;
mod tally;
mod topics;
#[allow(unsafe_code)]
mod tracer;

/// The command: all cases, or those that the arguments choose.
pub fn main() -> ExitCode {
    let cases: Vec<_> = [queues::cases(), topics::cases(), journeys::cases()].into_iter().flatten().collect();
    pool::main(&cases)
}

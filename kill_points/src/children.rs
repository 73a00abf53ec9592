//! Forks of this process.
//!
//! C1. This process has one thread, so a fork of it is whole, and may do whatever it could do.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Pid};

/// Far above the bound of a sleep: over it, a sleeper hangs.
pub const WATCHDOG: Duration = Duration::from_secs(20);
pub const PAUSE: Duration = Duration::from_micros(100);
/// The exit code of a child that panicked.
const PANICKED: i32 = 101;

/// The bare fork: two go on from here.
#[inline(always)]
pub fn fork() -> ForkResult {
    // SAFETY: C1.
    unsafe { unistd::fork() }.expect("a process")
}

/// A child that does something, and exits.
pub fn fork_child(life: impl FnOnce()) -> Pid {
    match fork() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // Else its panic would go on as a second tracer.
            let outcome = catch_unwind(AssertUnwindSafe(life));
            exit_at_once(if outcome.is_ok() { 0 } else { PANICKED })
        }
    }
}

/// A child does something and dies of SIGKILL with what it holds then; nobody has looked for the dead since.
pub fn die<T>(life: impl FnOnce() -> T) {
    let child = fork_child(|| {
        let _held = life();
        raise(Signal::SIGKILL).expect("killed");
    });
    match waitpid(child, None).expect("a child") {
        WaitStatus::Signaled(_, Signal::SIGKILL, _) => {}
        other => panic!("it was to die by itself, and was {other:?}"),
    }
}

pub fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + WATCHDOG;
    while !condition() {
        assert!(Instant::now() < deadline, "within {WATCHDOG:?} it did not happen that {what}");
        thread::sleep(PAUSE);
    }
}

/// Whether a process is in a system call that sleeps.
pub fn is_asleep(pid: Pid) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).expect("a child");
    let number = call.split_whitespace().next().and_then(|number| number.parse().ok());
    [libc::SYS_futex, libc::SYS_nanosleep, libc::SYS_clock_nanosleep].map(Some).contains(&number)
}

/// Ends a child without the destructors and exit handlers that are its parent's.
fn exit_at_once(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

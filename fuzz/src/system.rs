//! What the fuzz asks of the system: forks, words that processes share, signals, the clock.
//!
//! S1. Shared words are only touched as atomics, so another process may write them at any time.
//! S2. A mapping lives as long as its `SharedWords`, and covers exactly its words.
//! S3. The process has one thread when it forks, so its child may do whatever it could do.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, waitpid,
};
use rustix::time::{ClockId, clock_gettime};

/// 64-bit words of a file that several processes have mapped.
#[derive(Debug)]
pub struct SharedWords {
    base: NonNull<AtomicU64>,
    len: usize,
}

/// A process that this one started, or had started.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// What is sent signals: never another process that has got its number.
    fd: OwnedFd,
}

impl SharedWords {
    /// Makes the file, of so many words, all zero.
    pub fn create(path: &Path, len: usize) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len((len * size_of::<AtomicU64>()) as u64)?;
        Self::map(&file, len)
    }

    /// Maps what is there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let len = file.metadata()?.len() as usize / size_of::<AtomicU64>();
        Self::map(&file, len)
    }

    fn map(file: &File, len: usize) -> io::Result<Self> {
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                len * size_of::<AtomicU64>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )?
        };
        Ok(Self { base: NonNull::new(base.cast()).expect("the kernel maps nothing at 0"), len })
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: S1 and S2.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: S2: the mapping is this value's, and nobody has its words any more.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len * size_of::<AtomicU64>()) };
    }
}

impl Process {
    /// The process of this number, which nobody has waited for yet.
    pub fn of(pid: u32) -> io::Result<Self> {
        let number = Pid::from_raw(pid as i32).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { pid, fd: pidfd_open(number, PidfdFlags::empty())? })
    }

    /// Sends it a signal; it may have ended already.
    pub fn signal(&self, signal: Signal) {
        // The only error here is that it is gone.
        let _ = pidfd_send_signal(&self.fd, signal);
    }

    /// Whether it has ended, at the latest after `at_most`.
    pub fn has_ended(&self, at_most: Duration) -> bool {
        !wait_for_ends([self], at_most).is_empty()
    }
}

/// The places of those processes that have ended, once any has, at the latest after `at_most`.
pub fn wait_for_ends<'p>(processes: impl IntoIterator<Item = &'p Process>, at_most: Duration) -> Vec<usize> {
    let mut polled: Vec<_> = processes
        .into_iter()
        .map(|process| PollFd::from_borrowed_fd(process.fd.as_fd(), PollFlags::IN))
        .collect();
    let at_most = at_most.try_into().expect("of this world");
    if poll(&mut polled, Some(&at_most)).is_err() {
        return Vec::new();
    }
    polled.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty()).map(|(place, _)| place).collect()
}

/// Starts a child that runs `work` and ends with what it returns, or with 101 if it panics. The child dies with this process.
pub fn fork(work: impl FnOnce() -> i32) -> io::Result<Process> {
    // SAFETY: S3.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // What fails here only leaves the child a longer life.
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            let status = catch_unwind(AssertUnwindSafe(work)).unwrap_or(101);
            // SAFETY: ends the process, without what the parent had registered for its own end.
            unsafe { libc::_exit(status) }
        }
        _ => Process::of(pid as u32),
    }
}

/// How a child of this process ended, which it has.
pub fn reap(process: &Process) -> io::Result<String> {
    let pid = Pid::from_raw(process.pid as i32).ok_or(io::ErrorKind::InvalidInput)?;
    let status = waitpid(Some(pid), WaitOptions::empty())?.map(|(_, status)| status);
    Ok(status.map_or_else(String::new, describe))
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => format!("{status:?}"),
    }
}

/// Lets this process stand back behind others, and wake up when it is to.
pub fn stand_back(nice: i32) {
    // What fails here only costs kills a second.
    let _ = rustix::process::nice(nice);
    // SAFETY: changes how exact this thread's timers are, and nothing else.
    let _ = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

//! A traced child and its way through one operation, instruction by instruction.
//!
//! The victim is a fork of the tracer, so both have the same code at the same addresses. Its way through an operation is
//! recorded once, by single steps. To stop a later victim of the same kind before its n-th instruction, a breakpoint is
//! put on an instruction nearby that was seldom met until then, and the rest is stepped: a stop costs a few switches between
//! the processes instead of n.
//!
//! V1. A victim dies with its tracer: PTRACE_O_EXITKILL.
//! V2. The breakpoint's byte is written into the victim's own copy of the page.
//! V3. While the victim is stepped, it and its tracer share one processor: a step is two switches between them, which cost many
//!     times as much from one processor to another, above all if that one was asleep. Before and after, both may run anywhere.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::c_void;
use std::hint::black_box;

use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::children::fork_child;

/// `int3`.
const BREAKPOINT: i64 = 0xcc;
/// More instructions than any operation takes.
const MAX_STEPS: usize = 4_000_000;
/// How far before a stop its breakpoint may be.
const MAX_STEPS_TO_A_STOP: usize = 64;

/// Ways that are recorded of each case, until so many of the shortest are alike.
const MAX_RECORDINGS: usize = 30;
const ALIKE: usize = 2;
/// A process that is about to run one operation, or is somewhere in it.
pub struct Victim {
    pid: Pid,
    is_reaped: bool,
}

/// A victim and its tracer on one processor, until this is dropped (V3).
struct SideBySide {
    victim: Pid,
    before: CpuSet,
}

/// Where an operation went: the address of each instruction, in order.
pub struct Path {
    addresses: Vec<u64>,
    /// How often the way had come to this address before.
    earlier: Vec<usize>,
}

/// Whether a victim came to the place that it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    Place,
    /// It took another way and was through before.
    End,
}

/// The shortest way of several, of which two are alike: the kernel's clock is read again when it was just moved, which single
/// steps run into more often than anybody else.
pub fn shortest(record: impl Fn() -> Option<Path>) -> Option<Path> {
    let mut shortest = record()?;
    let mut alike = 1;
    for _ in 1..MAX_RECORDINGS {
        let other = record()?;
        match other.len().cmp(&shortest.len()) {
            Ordering::Less => (shortest, alike) = (other, 1),
            Ordering::Equal => alike += 1,
            Ordering::Greater => {}
        }
        if alike == ALIKE {
            break;
        }
    }
    Some(shortest)
}

/// Called by a victim right before its operation.
#[inline(always)]
pub fn begin() {
    // SAFETY: it stops this process, which is traced, and changes nothing.
    unsafe { std::arch::asm!("int3", options(nomem, nostack)) };
}

/// Called by a victim right after its operation; never returns to it unless the tracer says so.
#[inline(never)]
pub extern "C" fn end() {
    black_box(());
}

impl Victim {
    /// A child that has done `first`, and waits until it is told to do the rest.
    pub fn start(first: impl FnOnce(), life: impl FnOnce()) -> Self {
        let pid = fork_child(|| {
            ptrace::traceme().expect("a tracer");
            first();
            raise(Signal::SIGSTOP).expect("stopped");
            life();
        });
        let mut victim = Self { pid, is_reaped: false };
        victim.expect_stop(Signal::SIGSTOP);
        ptrace::setoptions(pid, ptrace::Options::PTRACE_O_EXITKILL).expect("V1");
        victim
    }

    /// Lets the child come to its `begin`. False if it ended without one: there was nothing to do for it.
    pub fn begins(&mut self) -> bool {
        ptrace::cont(self.pid, None).expect("traced");
        match waitpid(self.pid, None).expect("a child") {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => true,
            WaitStatus::Exited(_, 0) => {
                self.is_reaped = true;
                false
            }
            other => panic!("before its operation the victim was {other:?}"),
        }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Steps to the end of the operation, and says which way that was. `before_each` sees the victim before each instruction,
    /// and its address.
    pub fn record(&mut self, mut before_each: impl FnMut(&Self, u64)) -> Path {
        let _steps = SideBySide::with(self.pid);
        let mut addresses = Vec::new();
        loop {
            let address = self.address();
            if address == end as *const () as u64 {
                return Path::new(addresses);
            }
            before_each(self, address);
            addresses.push(address);
            assert!(addresses.len() < MAX_STEPS, "an operation without an end");
            self.step();
        }
    }

    /// Lets the victim run until it is about to execute the n-th instruction of `path`; past the last one it is at its end.
    pub fn run_to(&mut self, path: &Path, n: usize) -> Reached {
        if n == path.addresses.len() {
            return self.run_to_address(end as *const () as u64);
        }
        let _steps = SideBySide::with(self.pid);
        let nearby = path.seldom_met_before(n);
        let address = path.addresses[nearby];
        for time in 0..=path.earlier[nearby] {
            while time > 0 && self.address() == address {
                // It is there from the last time.
                self.step();
            }
            if self.run_to_address(address) == Reached::End {
                return Reached::End;
            }
        }
        for _ in nearby..n {
            if self.address() == end as *const () as u64 {
                return Reached::End;
            }
            self.step();
        }
        Reached::Place
    }

    /// Lets the operation run to its end.
    pub fn run_to_end(&mut self) {
        self.run_to_address(end as *const () as u64);
    }

    fn run_to_address(&mut self, address: u64) -> Reached {
        let end = end as *const () as u64;
        if self.address() == address {
            return Reached::Place;
        }
        let places = if address == end { vec![end] } else { vec![address, end] };
        let words: Vec<_> = places.iter().map(|&place| (place, self.peek(place))).collect();
        for &(place, word) in &words {
            self.poke(place, word & !0xff | BREAKPOINT);
        }
        ptrace::cont(self.pid, None).expect("traced");
        self.expect_stop(Signal::SIGTRAP);
        // In reverse: the two places may share a word.
        for &(place, word) in words.iter().rev() {
            self.poke(place, word);
        }
        let mut registers = ptrace::getregs(self.pid).expect("stopped");
        registers.rip -= 1;
        ptrace::setregs(self.pid, registers).expect("stopped");
        if registers.rip == address { Reached::Place } else { Reached::End }
    }

    /// Lets the victim fork, and go on by itself; its child is at its first instruction, and the next victim.
    pub fn follow_fork(&mut self) -> Self {
        let options = ptrace::Options::PTRACE_O_EXITKILL | ptrace::Options::PTRACE_O_TRACEFORK;
        ptrace::setoptions(self.pid, options).expect("V1");
        ptrace::cont(self.pid, None).expect("traced");
        match waitpid(self.pid, None).expect("a child") {
            WaitStatus::PtraceEvent(_, Signal::SIGTRAP, libc::PTRACE_EVENT_FORK) => {}
            other => panic!("the victim was to fork, and was {other:?}"),
        }
        let child = ptrace::getevent(self.pid).expect("stopped");
        let mut child = Self { pid: Pid::from_raw(child as libc::pid_t), is_reaped: false };
        child.expect_stop(Signal::SIGSTOP);
        ptrace::cont(self.pid, None).expect("traced");
        child
    }

    /// SIGKILL, wherever it is.
    pub fn kill(mut self) {
        self.end();
    }

    /// Lets the victim go on by itself until it has exited, from its end.
    pub fn let_exit(mut self) {
        ptrace::cont(self.pid, None).expect("traced");
        match waitpid(self.pid, None).expect("a child") {
            WaitStatus::Exited(_, 0) => self.is_reaped = true,
            other => panic!("after its operation the victim was {other:?}"),
        }
    }

    pub fn step(&mut self) {
        ptrace::step(self.pid, None).expect("traced");
        self.expect_stop(Signal::SIGTRAP);
    }

    fn address(&self) -> u64 {
        ptrace::getregs(self.pid).expect("stopped").rip
    }

    /// Eight bytes of the victim's memory.
    pub fn peek(&self, address: u64) -> i64 {
        ptrace::read(self.pid, address as *mut c_void).expect("mapped")
    }

    fn poke(&self, address: u64, word: i64) {
        ptrace::write(self.pid, address as *mut c_void, word).expect("mapped");
    }

    fn expect_stop(&mut self, signal: Signal) {
        match waitpid(self.pid, None).expect("a child") {
            WaitStatus::Stopped(_, stopped_by) if stopped_by == signal => {}
            other => {
                self.is_reaped = matches!(other, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
                panic!("the victim was to stop by {signal}, and was {other:?}");
            }
        }
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.is_reaped, true) {
            kill(self.pid, Signal::SIGKILL).expect("there");
            waitpid(self.pid, None).expect("a child");
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.end();
    }
}

impl SideBySide {
    fn with(victim: Pid) -> Self {
        let before = sched_getaffinity(None).expect("of this thread");
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        let side_by_side = Self { victim, before };
        side_by_side.move_both_to(&here);
        side_by_side
    }

    fn move_both_to(&self, processors: &CpuSet) {
        for process in [None, rustix::process::Pid::from_raw(self.victim.as_raw())] {
            // A victim that has ended runs nowhere, and a processor that was taken away meanwhile costs time alone.
            let _ = sched_setaffinity(process, processors);
        }
    }
}

impl Drop for SideBySide {
    fn drop(&mut self) {
        self.move_both_to(&self.before);
    }
}

impl Path {
    fn new(addresses: Vec<u64>) -> Self {
        let mut met = HashMap::new();
        let mut earlier = Vec::with_capacity(addresses.len());
        let mut last = None;
        for &address in &addresses {
            let times: &mut usize = met.entry(address).or_default();
            // A string instruction is stepped once for each of its rounds, and met once by a breakpoint.
            let is_new = last.replace(address) != Some(address);
            earlier.push(if is_new { *times } else { usize::MAX });
            *times += usize::from(is_new);
        }
        Self { addresses, earlier }
    }

    /// Instructions.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// The instruction from which on to step to the n-th, so that the fewest stops are needed.
    fn seldom_met_before(&self, n: usize) -> usize {
        let cost = |&from: &usize| self.earlier[from].saturating_mul(2).saturating_add(n - from);
        (n.saturating_sub(MAX_STEPS_TO_A_STOP)..=n).min_by_key(cost).unwrap_or(n)
    }
}

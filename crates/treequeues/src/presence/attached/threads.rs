//! Who began a hold, since when, and what is counted.

use std::cell::Cell;

use super::Attached;
use crate::clock::monotonic_coarse_ns;
use crate::format::{Entry, Slot};
use crate::presence::counters::{COUNTING, Counter};
use crate::presence::structure::Structure;
use crate::sync::{Ordering, local};

static THREADS: local::AtomicU64 = local::AtomicU64::new(0);

thread_local! {
    /// This thread's number, from 1 on; 0 until it first holds a slot. What it holds says so (`Slot::holder`): a
    /// drain that ran into its own thread's holds would wait for ever.
    static THREAD: Cell<u32> = const { Cell::new(0) };
}

impl<S: Structure> Attached<S> {
    #[inline]
    pub(crate) fn hold_begins(&self, slot: &Slot) {
        // Relaxed: for this process alone.
        slot.holder.store(self.holder(), Ordering::Relaxed);
        if COUNTING {
            // Relaxed: for people.
            slot.held_since_ns.store(0, Ordering::Relaxed);
        }
    }

    /// Says since when these slots are held: for a loan that its user keeps, not for a put or a get, which spare the look at
    /// the clock.
    #[inline]
    pub(crate) fn say_since_when(&self, slots: impl IntoIterator<Item = usize>) {
        self.remember_this_thread();
        if COUNTING {
            let now_ns = monotonic_coarse_ns();
            for slot in slots {
                // Relaxed: for people.
                self.segment.slots()[slot].held_since_ns.store(now_ns, Ordering::Relaxed);
            }
        }
    }

    /// This thread of this participant.
    #[inline]
    pub(crate) fn holder(&self) -> u64 {
        let thread = if self.is_first_thread() { self.first_thread.number } else { self.other_thread() };
        self.participant.owner().bits() << 32 | u64::from(thread)
    }

    /// Whether this is the thread that registered the participant, or one that the system has put in its place since its end.
    #[inline]
    pub(super) fn is_first_thread(&self) -> bool {
        thread_pointer() == self.first_thread.pointer
    }

    /// Before the slot is left, so that nobody takes the next holder for this thread.
    #[inline]
    pub(crate) fn hold_ends(&self, slot: &Slot) {
        slot.holder.store(0, Ordering::Relaxed);
    }

    /// Counts a put or a get (`counters` C2).
    #[inline]
    pub(crate) fn count_one(&self, counter: Counter) {
        if COUNTING && self.is_first_thread() {
            self.entry().count_own(counter);
        } else {
            self.entry().count(counter, 1);
        }
    }

    pub(crate) fn count(&self, counter: Counter, by: u64) {
        self.entry().count(counter, by);
    }

    #[inline]
    pub(crate) fn entry(&self) -> &Entry {
        &self.segment.entries()[self.participant.id() as usize]
    }
}

/// The thread that registered a participant, which mostly is the only one that works with it.
#[derive(Debug)]
pub(super) struct FirstThread {
    pointer: usize,
    number: u32,
}

impl FirstThread {
    /// The calling one.
    pub(super) fn here() -> Self {
        Self { pointer: thread_pointer(), number: this_thread() }
    }
}

/// What tells the threads that live in this process apart, for the price of one instruction. A thread local of a library that
/// was loaded at run time, as Python's extensions are, takes more than a hundred, and a call of the C library a few.
#[inline(always)]
fn thread_pointer() -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let pointer: usize;
        // SAFETY: on Linux `fs` points to this thread's control block, whose first word is its own address (the System V ABI
        // for thread locals). The instruction reads that word and does nothing else.
        unsafe {
            std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly, pure));
        }
        pointer
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        // SAFETY: it asks nothing of its caller.
        let thread = unsafe { libc::pthread_self() };
        thread as usize
    }
}

/// The number of the calling thread: other threads of this process have others, until four billion were made.
#[inline]
pub(super) fn this_thread() -> u32 {
    match THREAD.get() {
        0 => number_this_thread(),
        number => number,
    }
}

#[cold]
fn number_this_thread() -> u32 {
    // Relaxed: only the number counts. Never 0.
    let number = (THREADS.fetch_add(1, Ordering::Relaxed) % u64::from(u32::MAX)) as u32 + 1;
    THREAD.set(number);
    number
}

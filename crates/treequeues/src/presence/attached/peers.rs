//! Who else uses the queue: a look for a call that has waited for long, and may wait for nobody.
//!
//! A thread that put, took, lent or waited has used it. What the thread that registered the participant put and took is in its
//! counters already, so its calls pay nothing for being remembered.

use super::Attached;
use super::threads::this_thread;
use crate::error::AttachError;
use crate::format::{COUNTERS_OF_THREADS, Entry};
use crate::presence::liveness::EntryState;
use crate::presence::structure::Structure;
use crate::sync::{Ordering, local};

/// Who else uses a queue, beside the thread that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Another thread of this process, which has used the queue.
    Thread,
    /// No other thread, but another process, which is attached and lives.
    Process,
    /// Others were attached, and all of them have left or died.
    Gone {
        /// The process that attached last, as it saw its own number, if the segment still says.
        last_pid: Option<u32>,
    },
    /// Nobody else has ever been attached, and no other thread of this process has used the queue.
    Never,
}

/// Several threads, where one has its number.
const SEVERAL: u64 = u64::MAX;

/// Which threads of this process have used the queue, as far as its counters do not tell.
#[derive(Debug)]
pub(super) struct Threads {
    /// Whether the first thread waited, or had a loan.
    first: local::AtomicBool,
    /// What the first thread had put and taken before: it has not.
    own_before: [u64; COUNTERS_OF_THREADS],
    /// The only other thread, `SEVERAL`, or 0 for none.
    others: local::AtomicU64,
}

impl Threads {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            first: local::AtomicBool::new(false),
            own_before: own(entry),
            others: local::AtomicU64::new(0),
        }
    }
}

impl<S: Structure> Attached<S> {
    /// The calling thread, which is not the first one, uses the queue: its number.
    #[inline]
    pub(super) fn other_thread(&self) -> u32 {
        let number = this_thread();
        // Relaxed, here and below: an old value costs a false look, and no order depends on it.
        let seen = self.threads.others.load(Ordering::Relaxed);
        if seen != u64::from(number) && seen != SEVERAL {
            self.remember_other_thread(number.into());
        }
        number
    }

    #[cold]
    fn remember_other_thread(&self, number: u64) {
        let others = &self.threads.others;
        if others.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            others.store(SEVERAL, Ordering::Relaxed);
        }
    }

    /// The calling thread waits, or has a loan: what its counters do not tell.
    pub(crate) fn remember_this_thread(&self) {
        if !self.is_first_thread() {
            self.other_thread();
        } else if !self.threads.first.load(Ordering::Relaxed) {
            self.threads.first.store(true, Ordering::Relaxed);
        }
    }

    /// Who else uses the queue.
    ///
    /// # Errors
    /// If the system refuses to tell who lives.
    pub(crate) fn peers(&self) -> Result<Peers, AttachError> {
        if self.another_thread_has_used_it() {
            return Ok(Peers::Thread);
        }
        let me = &self.participant;
        // A descriptor that was closed and opened again as another file would call everybody dead.
        me.locks().are_of(&self.segment)?;
        // Who had this very place before has left no number.
        let mut was_anybody = me.generation() > 0;
        let mut last: Option<(u64, u32)> = None;
        for (id, entry) in (0..).zip(self.segment.entries()) {
            if id == me.id() {
                continue;
            }
            let state = EntryState::load(entry);
            let lives = || {
                me.locks()
                    .is_locked(id)
                    .map_err(|source| AttachError::System { action: "look at a participant's lock", source })
            };
            if state.used && lives()? {
                return Ok(Peers::Process);
            }
            if state.used || state.generation > 0 {
                was_anybody = true;
                let load = |entry: &Entry| {
                    (entry.attached_at_ns.load(Ordering::Relaxed), entry.pid.load(Ordering::Relaxed))
                };
                last = last.max(Some(load(entry)));
            }
        }
        let last_pid = last.map(|(_, pid)| pid).filter(|&pid| pid != 0);
        Ok(if was_anybody { Peers::Gone { last_pid } } else { Peers::Never })
    }

    fn another_thread_has_used_it(&self) -> bool {
        let others = self.threads.others.load(Ordering::Relaxed);
        if self.is_first_thread() {
            return others != 0;
        }
        let entry = &self.segment.entries()[self.participant.id() as usize];
        let first = self.threads.first.load(Ordering::Relaxed) || own(entry) != self.threads.own_before;
        first || others != 0 && others != u64::from(this_thread())
    }
}

fn own(entry: &Entry) -> [u64; COUNTERS_OF_THREADS] {
    entry.own.each_ref().map(|count| count.load(Ordering::Relaxed))
}

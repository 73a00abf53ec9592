//! The end for everybody: a flag that every call reads, and notes of who has set it.

use super::Attached;
use crate::clock::realtime_ns;
use crate::error::{Corrupted, Damage, Shutdown};
use crate::format::{NOBODY, SHUTDOWN_DRAIN, SHUTDOWN_IMMEDIATE, SHUTDOWN_NONE, ShutdownNote};
use crate::presence::structure::Structure;
use crate::sync::{AtomicU64, Ordering};

/// Attempts of one shutdown to leave its note: each that fails has met another shutdown.
const MAX_SIGNINGS: usize = 64;

/// How a queue was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Items that are there can still be had.
    Drain,
    /// Nothing can be had.
    Immediate,
}

impl<S: Structure> Attached<S> {
    /// Shuts the queue down for everyone.
    pub(crate) fn shutdown(&self, immediate: bool) {
        let flag = if immediate { SHUTDOWN_IMMEDIATE } else { SHUTDOWN_DRAIN };
        let notes = &self.segment.control().shutdown.notes;
        let mine = ShutdownNote::new(self.participant.pid(), realtime_ns());
        self.sign_shutdown(&notes.first, SHUTDOWN_DRAIN, mine);
        if immediate {
            self.sign_shutdown(&notes.immediate, SHUTDOWN_IMMEDIATE, mine);
        }
        self.set_shutdown_flag(flag);
    }

    /// Shuts the queue down for draining because its producers have left: so many came, and so many of them died.
    pub(crate) fn shutdown_by_producers(&self, came: u64, died: u64) {
        let line = &self.segment.control().shutdown;
        if !self.is_shut_down() {
            let [came, died] = [came, died].map(|count| count.min(u64::from(u32::MAX)));
            // Relaxed: the note and the flag that follow publish it. Others that find the same end write as much.
            line.producers.store(died << 32 | came, Ordering::Relaxed);
        }
        self.sign_shutdown(&line.notes.first, SHUTDOWN_DRAIN, ShutdownNote::new(NOBODY, realtime_ns()));
        self.set_shutdown_flag(SHUTDOWN_DRAIN);
    }

    fn set_shutdown_flag(&self, flag: u32) {
        // SeqCst: pairs with the second look in `try_reserve`: a reserve sees the flag, or its slot is seen by a drain.
        self.segment.control().shutdown.flag.fetch_or(flag, Ordering::SeqCst);
        self.wake_everyone();
    }

    /// Leaves a note of who shuts the queue down, unless that bit of the flag is set already.
    fn sign_shutdown(&self, note: &AtomicU64, bits: u32, mine: ShutdownNote) {
        for _ in 0..MAX_SIGNINGS {
            // Acquire: the flag is looked at afterwards. A shutdown that sets it after that look leaves its note in between, or
            // has left the one that is seen here.
            let seen = note.load(Ordering::Acquire);
            // AcqRel: the note is there before the flag is set.
            if self.shutdown_flag() & bits == bits
                || note.compare_exchange(seen, mine.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                return;
            }
        }
    }

    /// Who shut the queue down first. It was: the flag was seen.
    #[cold]
    pub(crate) fn first_shutdown(&self) -> Shutdown {
        let line = &self.segment.control().shutdown;
        // Relaxed, and below: written before the flag, which the caller has seen.
        let [first, immediate, producers] = [&line.notes.first, &line.notes.immediate, &line.producers]
            .map(|note| note.load(Ordering::Relaxed));
        Shutdown::first(self.shutdown_flag(), first, immediate, producers)
    }

    /// Who shut the queue down immediately.
    #[cold]
    pub(crate) fn immediate_shutdown(&self) -> Shutdown {
        Shutdown::immediate(self.segment.control().shutdown.notes.immediate.load(Ordering::Relaxed))
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.shutdown_flag() != SHUTDOWN_NONE
    }

    #[inline]
    pub(crate) fn shutdown_flag(&self) -> u32 {
        // SeqCst: pairs with `shutdown`.
        self.segment.control().shutdown.flag.load(Ordering::SeqCst)
    }
}

pub(crate) fn shut_down_how(flag: u32) -> Result<How, Corrupted> {
    match flag {
        SHUTDOWN_DRAIN => Ok(How::Drain),
        SHUTDOWN_IMMEDIATE => Ok(How::Immediate),
        _ => Err(Damage::ShutdownFlag { found: flag }.into()),
    }
}

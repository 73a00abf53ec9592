//! How many slots are in which state: one quick look.

use crate::error::{Corrupted, Damage};
use crate::format::word::{Phase, Word};
use crate::format::{SHUTDOWN_DRAIN, SHUTDOWN_IMMEDIATE, SHUTDOWN_NONE};
use crate::memory::segment::Segment;
use crate::presence::liveness::EntryState;
use crate::queue::ring::{Ring, phase_of};
use crate::sync::Ordering;

/// How many slots were in which state. One look at each slot, not one at all of them: while others work, the sum is
/// exact and the parts are of slightly different moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Items to be had.
    pub ready: usize,
    /// Of these, items out of order: given back, or passed by the ring while a reader was late.
    pub returned: usize,
    /// Slots free to reserve.
    pub free: usize,
    /// Slots that producers are writing.
    pub writing: usize,
    /// Slots that consumers are reading.
    pub reading: usize,
    /// Slots whose readers or writers are done, but have views that still live.
    pub lingering: usize,
    /// Processes attached, dead ones that no sweep has found yet included.
    pub participants: usize,
    /// Whether the queue is shut down.
    pub is_shut_down: bool,
}

impl Snapshot {
    pub(crate) fn take(segment: &Segment, ring: &Ring<'_>) -> Result<Self, Corrupted> {
        let mut snapshot = Self::default();
        for (slot, word) in ring.words().enumerate() {
            snapshot.count(slot, word)?;
        }
        snapshot.participants = segment.entries().iter().filter(|entry| EntryState::load(entry).used).count();
        // Relaxed: one more look among many.
        snapshot.apply_shutdown(segment.control().shutdown.flag.load(Ordering::Relaxed))?;
        Ok(snapshot)
    }

    /// Counts one slot.
    pub(crate) fn count(&mut self, slot: usize, word: Word) -> Result<Phase, Corrupted> {
        let phase = phase_of(slot, word)?;
        match phase {
            Phase::Free => self.free += 1,
            Phase::Writing | Phase::Late => self.writing += 1,
            Phase::Ready => self.ready += 1,
            Phase::Returned => {
                self.ready += 1;
                self.returned += 1;
            }
            Phase::Reading => self.reading += 1,
            Phase::Lingering => self.lingering += 1,
        }
        Ok(phase)
    }

    /// After all slots: what the queue's shutdown means for them.
    pub(crate) fn apply_shutdown(&mut self, flag: u32) -> Result<(), Corrupted> {
        self.is_shut_down = match flag {
            SHUTDOWN_NONE => false,
            SHUTDOWN_DRAIN => true,
            SHUTDOWN_IMMEDIATE => {
                // What is left can no longer be had.
                (self.ready, self.returned) = (0, 0);
                true
            }
            found => return Err(Damage::ShutdownFlag { found }.into()),
        };
        Ok(())
    }
}

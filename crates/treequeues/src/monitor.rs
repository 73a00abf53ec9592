//! A read-only look at a queue, for people and tools. It takes nothing and changes nothing.

use crate::error::Corrupted;
use crate::format::{SHUTDOWN_IMMEDIATE, SHUTDOWN_NONE};
use crate::liveness::EntryState;
use crate::segment::Segment;
use crate::sync::Ordering;
use crate::word::Phase;

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
    pub(crate) fn take(segment: &Segment) -> Result<Self, Corrupted> {
        let mut snapshot = Self::default();
        for word in segment.ring().words() {
            match word.phase().ok_or(Corrupted("a slot's state word has no meaning"))? {
                Phase::Free => snapshot.free += 1,
                Phase::Writing | Phase::Late => snapshot.writing += 1,
                Phase::Ready => snapshot.ready += 1,
                Phase::Returned => {
                    snapshot.ready += 1;
                    snapshot.returned += 1;
                }
                Phase::Reading => snapshot.reading += 1,
                Phase::Lingering => snapshot.lingering += 1,
            }
        }
        snapshot.participants = segment.entries().iter().filter(|entry| EntryState::load(entry).used).count();
        // Relaxed: one more look among many.
        let flag = segment.control().not_full.shutdown.load(Ordering::Relaxed);
        snapshot.is_shut_down = flag != SHUTDOWN_NONE;
        if flag == SHUTDOWN_IMMEDIATE {
            // What is left can no longer be had.
            (snapshot.ready, snapshot.returned) = (0, 0);
        }
        Ok(snapshot)
    }
}

//! Slots for an item whose own slots cannot be published, because views of them could still write.
//!
//! The item is copied into other slots. A call that waits for these keeps its own ones, for views that may live as long as
//! the call waits. If views kept all slots of a queue, such calls would wait for each other for ever. Therefore:
//!
//! X1. A call that waits has let its own slots linger first. So whoever holds a slot that is not LINGERING does not wait
//!     here, and the slot comes back as surely as any slot that a put waits for.
//! X2. A thread that has another loan of the queue does not wait: that loan could not end meanwhile.
//! X3. While fewer slots than are wanted may come back, a wait is bounded. The call whose slots have the highest ticket fails
//!     first, and at once; each other call leaves a `GRACE` to each one above it. So of several calls that have come to a
//!     standstill one fails, and the others get the slots that it kept, if its views die with it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{BatchSize, Many, claim_many};
use crate::error::ReserveError;
use crate::format::word::Phase;
use crate::queue::attempts::take_slowly;
use crate::queue::here::Attached;
use crate::queue::ring::Claim;
use crate::queue::side::Slots;
use crate::sync::Ordering;
use crate::wait::Wait;

/// What a call without hope leaves to each call that should fail before it: enough for a process to come to its end.
const GRACE: Duration = Duration::from_secs(1);
/// The most of them: a wait without hope ends within seconds, whatever the others do.
const MAX_GRACES: usize = 10;

/// An item in slots that linger, which is to be copied into others: [`Hold::elsewhere`](crate::Hold::elsewhere).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Slots.
    pub(crate) len: usize,
    /// The highest of their tickets.
    pub(crate) ticket: u64,
}

impl Elsewhere {
    /// The slots that the item needs.
    pub fn size(self) -> BatchSize {
        BatchSize::exactly(self.len)
    }
}

impl Attached {
    /// Claims slots for an item that lingers, or waits for them (X1).
    ///
    /// # Errors
    /// `Kept` if too few slots can become free (X2, X3), and as a wait for slots.
    #[cold]
    pub(crate) fn reserve_elsewhere(
        &self,
        item: Elsewhere,
        mut wait: Wait<'_>,
    ) -> Result<Vec<Claim>, ReserveError> {
        let (side, size) = (Slots(self), item.size());
        if !wait.has_tried()
            && let Some(claims) = claim_many(side, size, || wait.is_interrupted())?
        {
            return Ok(claims);
        }
        if self.has_loan_of_this_thread() {
            return Err(ReserveError::Kept);
        }
        let mut without_hope_since = None;
        let many = Many::while_there_is_hope(side, size, || {
            let Err(calls_above) = self.hope(item) else {
                without_hope_since = None;
                return Ok(ControlFlow::Continue(()));
            };
            let Some(since) = without_hope_since else {
                without_hope_since = Some(Instant::now());
                // A slot that was looked at too early may be free by now: another attempt.
                return Ok(ControlFlow::Break(()));
            };
            if since.elapsed() < calls_above.min(MAX_GRACES) as u32 * GRACE {
                Ok(ControlFlow::Continue(()))
            } else {
                Err(ReserveError::Kept)
            }
        });
        take_slowly(side, many, wait)
    }

    fn has_loan_of_this_thread(&self) -> bool {
        let me = self.holder();
        // Relaxed: a thread sees what it wrote itself.
        self.segment().slots().iter().any(|slot| slot.holder.load(Ordering::Relaxed) == me)
    }

    /// Whether enough slots are free or may become free; else how many calls at most should fail before that of `item`.
    fn hope(&self, item: Elsewhere) -> Result<(), usize> {
        let (mut may_come, mut above) = (0, 0);
        for (slot, word) in self.segment().slots().iter().zip(self.ring().words()) {
            if word.phase() == Some(Phase::Lingering) {
                // Relaxed: a ticket stays while its slot lingers, and a stale one costs a grace more or less.
                above += usize::from(slot.ticket.load(Ordering::Relaxed) > item.ticket);
            } else {
                may_come += 1;
                if may_come == item.len {
                    return Ok(());
                }
            }
        }
        Err(above.div_ceil(item.len))
    }
}

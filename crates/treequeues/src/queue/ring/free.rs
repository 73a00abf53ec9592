//! How far a look for a FREE slot goes (R7, R8).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Position, Ring};
use crate::long_look::kept_for;
use crate::sync::{Ordering, local};

/// So many slots are looked at each time: nobody has to know about them.
const FEW: u64 = 64;

/// What this process knows of FREE slots. Never shared with others.
#[derive(Debug, Default)]
pub(crate) struct KnownFree {
    /// That none was FREE beyond the lap from the tail on: the count of R8 then, and when that is to be forgotten: a participant that is
    /// stopped between freeing a slot and counting that would keep the slot from this process.
    none: Mutex<Option<(u64, Instant)>>,
    /// A slot that was FREE when it was counted last.
    pub(super) seen: local::AtomicU64,
}

/// Where a look for a FREE slot ends.
#[derive(Clone, Copy)]
pub(super) struct FreeEnd {
    /// The ticket.
    pub(super) ticket: u64,
    /// When the look began, if it goes far beyond the lap from the tail on.
    far_since: Option<Instant>,
}

impl KnownFree {
    fn has_none(&self, frees: u64) -> bool {
        let known = *self.none.lock().unwrap_or_else(PoisonError::into_inner);
        known.is_some_and(|(count, until)| count == frees && Instant::now() < until)
    }

    fn remember_none(&self, frees: u64, took: Duration) {
        let until = Instant::now() + kept_for(took);
        *self.none.lock().unwrap_or_else(PoisonError::into_inner) = Some((frees, until));
    }
}

impl FreeEnd {
    /// After a lap.
    pub(super) fn of_lap(head: Position, capacity: usize) -> Self {
        Self { ticket: head.ticket.wrapping_add(capacity as u64), far_since: None }
    }
}

impl Ring<'_> {
    /// The count of R8, before any slot is looked at.
    pub(super) fn frees(&self) -> u64 {
        // Acquire: pairs with `has_freed_beyond_the_tail`.
        self.control.gap.frees.load(Ordering::Acquire)
    }

    /// Where a look for a free slot ends that began at `head`, whose own slot is none, with this count: at the latest after a lap.
    pub(super) fn end_of_free(&self, head: Position, frees: u64) -> FreeEnd {
        let capacity = self.slots.len() as u64;
        // The tail first: what is taken in order between the two loads is passed by a later tail, and it is not free yet.
        let tail = self.tail().ticket;
        // Acquire: pairs with `raise_gap`.
        let gap = self.control.gap.ticket.load(Ordering::Acquire);
        // Signed distances: a damaged number ends the look early or late, and no later than after a lap.
        let looks = |ticket: u64| {
            let distance = ticket.wrapping_add(capacity).wrapping_sub(head.ticket) as i64;
            distance.clamp(1, capacity as i64) as u64
        };
        let (near, far) = (looks(tail), looks(tail.max(gap)));
        if far <= near.saturating_add(FEW) {
            return FreeEnd { ticket: head.ticket.wrapping_add(near.max(far)), far_since: None };
        }
        let has_none = self.known_free.has_none(frees);
        FreeEnd {
            ticket: head.ticket.wrapping_add(if has_none { near } else { far }),
            far_since: (!has_none).then(Instant::now),
        }
    }

    /// A look that began with this count has found no slot free up to its end.
    pub(super) fn none_is_free(&self, frees: u64, end: FreeEnd) {
        if let Some(began) = end.far_since {
            self.known_free.remember_none(frees, began.elapsed());
        }
    }
}

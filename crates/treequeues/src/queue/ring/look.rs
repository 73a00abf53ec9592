//! Looks at the ring that take nothing: cheap ones for busy loops, and counts.

use super::returned::{Census, Kept};
use super::{Position, Ring, phase_of};
use crate::error::Corrupted;
use crate::format::Slot;
use crate::format::word::Phase;
use crate::sync::{Ordering, fence, local};

/// How far a busy loop looks past slots that are held.
const LOOK_AHEAD: usize = 8;
/// In place of a slot that a drain waits for: there is none, and no item.
const DRAINED: u64 = u64::MAX;
/// Counts beyond which the last one is believed although items came back meanwhile.
const PATIENT_COUNTS: u32 = 16;
/// The most slots that a waiter looks at before each sleep: some microseconds.
const MAX_HELD_LOOK: usize = 1024;

impl Ring<'_> {
    /// Whether a reserve is worth trying: a cheap look from the head on, past slots that are held, for busy loops.
    ///
    /// Not past items: they are taken in order, and looking at them takes their cache lines away from who takes them.
    pub(crate) fn may_reserve(&self) -> bool {
        let head = self.position(self.control.head.load(Ordering::Relaxed));
        for at in self.lap_from(head).take(LOOK_AHEAD) {
            let word = self.word(at.slot);
            if let Some(Phase::Free | Phase::Ready | Phase::Returned) = word.phase() {
                // An item of this lap says that the head was read too long ago.
                return word.laps_ahead_of(at.lap) >= 0;
            }
        }
        false
    }

    /// Whether a borrow is worth trying: a cheap look at the tree's root and from the tail on, for busy loops.
    pub(crate) fn may_borrow(&self, kept: &Kept) -> bool {
        if self.may_be_returned(kept) {
            return true;
        }
        let tail = self.position(self.control.tail.load(Ordering::Relaxed));
        for at in self.lap_from(tail).take(LOOK_AHEAD) {
            let word = self.word(at.slot);
            match (word.phase(), word.laps_ahead_of(at.lap)) {
                (Some(Phase::Returned), _) | (Some(Phase::Ready), 0..) => return true,
                (_, ..0) | (Some(Phase::Free), 0) => return false,
                _ => {}
            }
        }
        false
    }

    /// Whether an item is done with that was put under this ticket: released, or dropped, whether or not views of it live on.
    ///
    /// Two loads, of the word and then of the slot's ticket. Once an item was put, its slot never says a lower ticket. A slot that is
    /// READING or RETURNED has said the ticket of its item before, and says a higher one only after that item's end. A slot that is
    /// WRITING or LATE is a later item's, even if it still says the ticket of the one before it; one that is LINGERING is a later item's, or
    /// this one's after its read.
    pub(crate) fn is_released(&self, ticket: u64) -> Result<bool, Corrupted> {
        let at = self.position(ticket);
        let word = self.word(at.slot);
        // Relaxed: behind the Acquire of the word, which has seen what was said before the phase that it is in.
        let there = self.slots[at.slot].ticket.load(Ordering::Relaxed);
        let is_past = |least: i64| there.wrapping_sub(ticket) as i64 >= least;
        Ok(match phase_of(at.slot, word)? {
            Phase::Free | Phase::Writing | Phase::Ready => word.laps_ahead_of(at.lap) > 0,
            Phase::Reading | Phase::Returned => is_past(1),
            Phase::Late | Phase::Lingering => is_past(0),
        })
    }

    /// Whether a reserve of `count` slots is worth trying: one look at the last of them, for busy loops.
    pub(crate) fn may_reserve_many(&self, count: usize) -> bool {
        let head = self.control.head.load(Ordering::Relaxed);
        let last = self.position(head.wrapping_add(count as u64 - 1));
        self.word(last.slot).phase() == Some(Phase::Free)
    }

    /// Whether a borrow of `count` items is worth trying: one look at the last of them, for busy loops.
    pub(crate) fn may_borrow_many(&self, count: usize, kept: &Kept) -> bool {
        if self.may_be_returned(kept) {
            return true;
        }
        let tail = self.control.tail.load(Ordering::Relaxed);
        let last = self.position(tail.wrapping_add(count as u64 - 1));
        let word = self.word(last.slot);
        match word.laps_ahead_of(last.lap) {
            0 => word.phase() == Some(Phase::Ready),
            // The tail was read too long ago.
            ahead => ahead > 0,
        }
    }

    /// Whether a reserve may have to look at more than so many slots.
    #[inline]
    pub(crate) fn reserve_may_be_long(&self, long: usize) -> bool {
        let head = self.head();
        self.word(head.slot).phase() != Some(Phase::Free)
            && self.end_of_free(head, self.frees()).ticket.wrapping_sub(head.ticket) > long as u64
    }

    /// Whether a borrow may have to look at more than so many slots.
    #[inline]
    pub(crate) fn borrow_may_be_long(&self, long: usize, kept: &Kept) -> bool {
        let root = self.root();
        if root.has_any() {
            return !kept.is_of(root);
        }
        let tail = self.tail();
        self.word(tail.slot).phase() != Some(Phase::Ready) && self.is_far_behind_the_gap(tail, long)
    }

    #[cold]
    pub(super) fn is_far_behind_the_gap(&self, tail: Position, long: usize) -> bool {
        self.control.gap.ticket.load(Ordering::Relaxed).wrapping_sub(tail.ticket) as i64 > long as i64
    }

    fn may_be_returned(&self, kept: &Kept) -> bool {
        let root = self.root();
        root.has_any() && !kept.knows_of_none(root)
    }

    /// What changes when slots are reserved, borrowed or returned: to tell that nothing happened.
    pub(crate) fn movements(&self) -> [u64; 3] {
        let [head, tail] =
            [&self.control.head, &self.control.tail].map(|cursor| cursor.load(Ordering::Relaxed));
        [head, tail, self.root().version().into()]
    }

    /// Whether any slot is held now: one look at each. A ring of more slots than a waiter looks at may have some.
    pub(crate) fn may_be_held(&self) -> bool {
        self.slots.len() > MAX_HELD_LOOK || self.words().any(|word| word.phase().is_none_or(Phase::is_held))
    }

    /// How many slots are FREE, at most `enough`: from the head on, and as far as they may lie (R7).
    pub(crate) fn count_free(&self, enough: usize) -> Result<usize, Corrupted> {
        debug_assert!(enough > 0, "what finds none of none would be remembered");
        let frees = self.frees();
        let head = self.head();
        let end = self.end_of_free(head, frees);
        let mut count = 0;
        for at in self.lap_from(head) {
            if count == enough || at.ticket == end.ticket {
                break;
            }
            if phase_of(at.slot, self.word(at.slot))? == Phase::Free {
                count += 1;
                self.known_free.seen.store(at.slot as u64, Ordering::Relaxed);
            }
        }
        if count == 0 {
            self.none_is_free(frees, end);
        }
        Ok(count)
    }

    /// Whether any slot is FREE; damage is for an attempt to report.
    pub(crate) fn any_free(&self) -> bool {
        self.has_free().is_ok_and(|has_free| has_free)
    }

    /// The same. The first look is at the slot that this process last found so: from the head on it may lie behind all others.
    pub(crate) fn has_free(&self) -> Result<bool, Corrupted> {
        // Relaxed, and below: any slot will do.
        let last = (self.known_free.seen.load(Ordering::Relaxed) as usize).min(self.slots.len() - 1);
        if self.word(last).phase() == Some(Phase::Free) {
            return Ok(true);
        }
        Ok(self.count_free(1)? > 0)
    }

    /// How many items there are, at most `enough`: those that are RETURNED, and from the tail on up to the first slot that the ring
    /// has not come to.
    pub(crate) fn count_items(&self, enough: usize, kept: &Kept) -> Result<usize, Corrupted> {
        let mut patience = PATIENT_COUNTS;
        loop {
            let root = self.root();
            let returned = self.census(root, kept)?;
            let count = self.count_with(&returned, enough)?;
            patience -= 1;
            // An item that became RETURNED meanwhile may not be among either.
            let is_right = returned.is_fresh && self.root().version() == root.version();
            if count == enough || is_right || patience == 0 {
                return Ok(count);
            }
            returned.forget();
        }
    }

    /// The same, but if it is fewer than `enough` it may be more than there are: those that are RETURNED are told by an earlier look, as
    /// long as that has missed none.
    pub(crate) fn items_towards(&self, enough: usize, kept: &Kept) -> Result<usize, Corrupted> {
        let root = self.root();
        let returned = self.census(root, kept)?;
        let count = self.count_with(&returned, enough)?;
        if count < enough && self.root().version() == root.version() {
            return Ok(count);
        }
        drop(returned);
        self.count_items(enough, kept)
    }

    /// The same with what is known of those that are RETURNED.
    fn count_with(&self, returned: &Census<'_>, enough: usize) -> Result<usize, Corrupted> {
        let mut count = returned.len().min(enough);
        let tail = self.position(self.control.tail.load(Ordering::Relaxed));
        for at in self.lap_from(tail) {
            if count == enough {
                break;
            }
            let word = self.word(at.slot);
            match (phase_of(at.slot, word)?, word.laps_ahead_of(at.lap)) {
                // Relaxed: published with the word.
                (Phase::Returned, _) => {
                    count += usize::from(!returned.has(self.slots[at.slot].ticket.load(Ordering::Relaxed)));
                }
                (Phase::Ready, 0..) => count += 1,
                (_, ..0) | (Phase::Free, 0) => break,
                _ => {}
            }
        }
        Ok(count)
    }

    /// How many items are left, once the queue is shut down and no more can come; `None` while some still can. Held slots
    /// that `is_own` says the caller holds itself do not count: it would wait for its own.
    ///
    /// One look at each slot, but the first at the slot that `held` names: the one that was held when this process last asked. So a call
    /// that waits for a hold to end does not look at all slots each time, and none does once nothing at all was left.
    pub(crate) fn left_to_drain(
        &self,
        is_own: impl Fn(&Slot) -> bool,
        held: &local::AtomicU64,
    ) -> Result<Option<usize>, Corrupted> {
        // Relaxed, and below: where the look begins makes no difference to what it finds.
        let first = held.load(Ordering::Relaxed);
        if first == DRAINED {
            return Ok(Some(0));
        }

        // SeqCst: pairs with the compare-and-swap of a reserve and its look at the flag after it: this look sees the slot,
        // or that reserve sees the flag.
        fence(Ordering::SeqCst);
        let (mut left, mut are_own) = (0, false);
        let first = first as usize;
        for index in (first..self.slots.len()).chain(0..first) {
            let word = self.word(index);
            match phase_of(index, word)? {
                Phase::Ready | Phase::Returned => left += 1,
                Phase::Writing | Phase::Late | Phase::Reading if is_own(&self.slots[index]) => are_own = true,
                Phase::Writing | Phase::Late | Phase::Reading => {
                    held.store(index as u64, Ordering::Relaxed);
                    return Ok(None);
                }
                Phase::Free | Phase::Lingering => {}
            }
        }
        if left == 0 && !are_own {
            held.store(DRAINED, Ordering::Relaxed);
        }
        Ok(Some(left))
    }
}

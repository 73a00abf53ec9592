//! Borrow: claims the oldest item.

use super::{Claim, HEAD, Position, Ring, TAIL, cleared, is_up, phase_of};
use crate::error::{Corrupted, Damage};
use crate::sync::{Ordering, spin_loop};
use crate::word::{Owner, Phase, Word};

/// Looks at all slots for the RETURNED one with the lowest ticket, beyond which a borrow takes the lowest that it found although
/// others gave items back meanwhile: somebody who gives back thousands would keep it from ever having any.
const PATIENT_LOOKS: u32 = 16;

/// A tail so many laps behind is taken for damage: hours of nothing but aborts in a ring of one slot, with no borrow that comes to
/// the tail meanwhile. From twice as many on, the words' laps could not be told apart.
const MAX_LAPS_BEHIND: i64 = 1 << 38;

/// What a walk from the tail on has ended at, and its ticket.
enum End {
    /// A READY one, with its word.
    Candidate(Position, Word),
    /// One that the ring has not come to.
    Untouched(u64),
    /// The end of the lap.
    Lap(u64),
}

impl End {
    fn ticket(&self) -> u64 {
        match *self {
            Self::Candidate(at, _) => at.ticket,
            Self::Untouched(ticket) | Self::Lap(ticket) => ticket,
        }
    }
}

/// Tickets that a walk found being written.
#[derive(Clone, Copy, Default)]
struct Written {
    has_met: bool,
    /// The first of those that were not passed: the tail goes no further.
    first_left: Option<u64>,
}

enum Returned {
    Claimed(Claim),
    Refused,
    Moved,
    None,
}

enum InOrder {
    Claimed(Claim),
    Refused,
    Moved,
    None,
}

impl Ring<'_> {
    /// Claims the oldest item: a RETURNED one first, else the lowest READY ticket. `None` when there is none.
    ///
    /// `look_everywhere` is asked before that is said whether to look at every slot (R4); a caller with a large ring may
    /// leave it out, for a bounded time, after a look that found nothing. `None` also when `accept` refuses the slot of
    /// the oldest item: then it stays what it was.
    #[inline(always)] // As for `reserve`.
    pub(crate) fn borrow(
        self,
        me: Owner,
        look_everywhere: impl Fn() -> bool,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<Claim>, Corrupted> {
        // Acquire: as in `borrow_further_on`, of which this is the case that the first look finds the item.
        if !is_up(self.control.hint.load(Ordering::Acquire)) {
            let tail = self.tail();
            let ready = Word::new(Phase::Ready, Owner::NOBODY, tail.lap);
            if self.word(tail.slot) == ready
                && !is_up(self.control.hint.load(Ordering::Acquire))
                && accept(tail.slot)
                && let Some(claim) = self.claim_ready(me, tail, tail, ready, Written::default())
            {
                return Ok(Some(claim));
            }
        }
        self.borrow_further_on(me, look_everywhere, accept)
    }

    /// The general case of `borrow`.
    #[inline(never)]
    fn borrow_further_on(
        self,
        me: Owner,
        look_everywhere: impl Fn() -> bool,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<Claim>, Corrupted> {
        let mut patience = PATIENT_LOOKS;
        loop {
            // Acquire: pairs with `raise_hint`, so that what was returned before is seen as RETURNED.
            let hint = self.control.hint.load(Ordering::Acquire);
            if is_up(hint) {
                match self.borrow_returned(me, hint, patience > 0, &accept)? {
                    Returned::Claimed(claim) => return Ok(Some(claim)),
                    Returned::Refused => return Ok(None),
                    Returned::Moved => {
                        patience = patience.saturating_sub(1);
                        spin_loop();
                        continue;
                    }
                    Returned::None => {}
                }
            }
            match self.borrow_in_order(me, &accept)? {
                InOrder::Claimed(claim) => return Ok(Some(claim)),
                InOrder::Refused => return Ok(None),
                InOrder::None if !look_everywhere() || !self.any(Phase::Returned)? => return Ok(None),
                InOrder::None => self.raise_hint(),
                InOrder::Moved => {}
            }
            spin_loop();
        }
    }

    /// Claims the RETURNED item with the lowest ticket, or clears the hint that was read as `hint`.
    #[cold]
    fn borrow_returned(
        self,
        me: Owner,
        hint: u64,
        is_patient: bool,
        accept: &impl Fn(usize) -> bool,
    ) -> Result<Returned, Corrupted> {
        let mut lowest: Option<(u64, usize, Word)> = None;
        for index in 0..self.slots.len() {
            let word = self.word(index);
            if phase_of(index, word)? == Phase::Returned {
                // Relaxed: written before the word that `self.word` acquired; a later tenant fails the swap (W2).
                let ticket = self.slots[index].ticket.load(Ordering::Relaxed);
                if lowest.is_none_or(|(lowest, ..)| ticket < lowest) {
                    lowest = Some((ticket, index, word));
                }
            }
        }
        let Some((ticket, slot, word)) = lowest else {
            // Only from the value read before looking: an item returned since then has changed it.
            let _ =
                self.control.hint.compare_exchange(hint, cleared(hint), Ordering::AcqRel, Ordering::Relaxed);
            return Ok(Returned::None);
        };
        // A lower ticket may have been returned behind the look; then the hint has moved. One that was returned before this
        // borrow began was seen in any case.
        // Acquire: keeps this load before the swap, and pairs with `raise_hint`.
        if is_patient && self.control.hint.load(Ordering::Acquire) != hint {
            return Ok(Returned::Moved);
        }
        if !accept(slot) {
            return Ok(Returned::Refused);
        }
        let taken = word.with(Phase::Reading, me);
        if !self.swap(slot, word, taken) {
            return Ok(Returned::Moved);
        }
        Ok(Returned::Claimed(Claim { slot, ticket, word: taken, met_holds: 0 }))
    }

    /// Claims the lowest READY ticket.
    fn borrow_in_order(self, me: Owner, accept: &impl Fn(usize) -> bool) -> Result<InOrder, Corrupted> {
        let Some(tail) = self.begin_walk()? else { return Ok(InOrder::Moved) };
        let mut first_written: Option<Position> = None;
        let mut end = End::Lap(tail.ticket.wrapping_add(self.slots.len() as u64));
        for at in self.lap_from(tail) {
            let word = self.word(at.slot);
            match (phase_of(at.slot, word)?, word.laps_ahead_of(at.lap)) {
                (Phase::Returned, _) => {
                    self.raise_hint();
                    return Ok(InOrder::Moved);
                }
                (Phase::Free, ..0) | (_, ..-1) => return Err(self.contradicted(TAIL, tail)),
                (_, ..0) | (Phase::Free, 0) => end = End::Untouched(at.ticket),
                (Phase::Ready, 0) => end = End::Candidate(at, word),
                (Phase::Writing, 0) => {
                    first_written = first_written.or(Some(at));
                    continue;
                }
                _ => continue,
            }
            break;
        }
        let written = match first_written {
            Some(first) => match self.look_again(first, end.ticket())? {
                Some(first_left) => Written { has_met: true, first_left },
                None => return Ok(InOrder::Moved),
            },
            None => Written::default(),
        };
        let End::Candidate(at, word) = end else {
            let passable = written.first_left.unwrap_or(end.ticket());
            if passable == tail.ticket {
                return Ok(InOrder::None);
            }
            self.advance(&self.control.tail, tail.ticket, passable);
            return Ok(if matches!(end, End::Lap(_)) { InOrder::Moved } else { InOrder::None });
        };
        // Acquire: pairs with `raise_hint`; what was returned before this candidate was committed comes first.
        if is_up(self.control.hint.load(Ordering::Acquire)) {
            return Ok(InOrder::Moved);
        }
        if !accept(at.slot) {
            return Ok(InOrder::Refused);
        }
        Ok(self.claim_ready(me, tail, at, word, written).map_or(InOrder::Moved, InOrder::Claimed))
    }

    /// The tail, for a walk from there on; `None` if it was more than a lap behind the head, and has jumped (R2).
    fn begin_walk(self) -> Result<Option<Position>, Corrupted> {
        let tail = self.tail();
        let head = self.head();
        let capacity = self.slots.len() as i64;
        match head.ticket.wrapping_sub(tail.ticket) as i64 {
            ahead if ahead < -capacity => {
                Err(Damage::Cursors { head: head.ticket, tail: tail.ticket, capacity: self.slots.len() }
                    .into())
            }
            ahead if ahead > capacity => {
                // R2: the ticket before the head is used up, and that of its slot's next lap may be, but none further.
                let before = self.position(head.ticket.wrapping_sub(1));
                let is_honest =
                    ahead / capacity < MAX_LAPS_BEHIND && matches!(self.laps_used_up(before)?, Some(0 | 1));
                if !is_honest {
                    let has_moved = self.head().ticket != head.ticket;
                    return if has_moved { Ok(None) } else { Err(self.contradicted(HEAD, head)) };
                }
                // Whoever burns an item may stand between making it RETURNED and its second raise: only a walk over the ticket
                // would find it, and none comes there any more.
                self.raise_hint();
                self.advance(&self.control.tail, tail.ticket, head.ticket.wrapping_sub(capacity as u64));
                Ok(None)
            }
            _ => Ok(Some(tail)),
        }
    }

    /// Claims the READY slot of ticket `at`, if it still is, and moves the tail, which was read as `tail`, as far as it may.
    #[inline(always)]
    fn claim_ready(
        self,
        me: Owner,
        tail: Position,
        at: Position,
        word: Word,
        written: Written,
    ) -> Option<Claim> {
        let taken = word.with(Phase::Reading, me);
        // Acquire: pairs with the Release of `commit` (O1).
        if !self.swap(at.slot, word, taken) {
            return None;
        }
        let passable = written.first_left.unwrap_or(at.ticket.wrapping_add(1));
        self.advance(&self.control.tail, tail.ticket, passable);
        Some(Claim { slot: at.slot, ticket: at.ticket, word: taken, met_holds: usize::from(written.has_met) })
    }

    /// The second look, at the tickets from `first` up to `end`, none of which was READY a moment ago. A producer that was met on
    /// the way may have committed since, and then the item at `end` is not its first: `None`. Else the first ticket that is still
    /// being written, of those that are not passed here.
    #[cold]
    fn look_again(self, first: Position, end: u64) -> Result<Option<Option<u64>>, Corrupted> {
        let mut first_left = None;
        for at in self.lap_from(first).take_while(|at| at.ticket != end) {
            let word = self.word(at.slot);
            match (phase_of(at.slot, word)?, word.laps_ahead_of(at.lap)) {
                (Phase::Returned, _) => {
                    self.raise_hint();
                    return Ok(None);
                }
                (Phase::Ready, 0) => return Ok(None),
                (Phase::Writing, 0) => {
                    let is_far_behind = end.wrapping_sub(at.ticket) >= self.far_behind;
                    // From the first one on: behind one that is left, none is passed.
                    if first_left.is_some() || !is_far_behind {
                        first_left = first_left.or(Some(at.ticket));
                    } else if !self.swap(at.slot, word, word.with(Phase::Late, word.owner())) {
                        return Ok(None);
                    }
                }
                _ => {}
            }
        }
        Ok(Some(first_left))
    }

    fn any(self, wanted: Phase) -> Result<bool, Corrupted> {
        for index in 0..self.slots.len() {
            if phase_of(index, self.word(index))? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

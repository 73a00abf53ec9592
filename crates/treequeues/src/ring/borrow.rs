//! Borrow: claims the oldest item.

use super::{Claim, Looks, Position, Ring, TAIL, cleared, is_up, phase_of};
use crate::error::Corrupted;
use crate::sync::{Ordering, spin_loop};
use crate::word::{Owner, Phase, Word};

/// Looks at all slots for the RETURNED one with the lowest ticket, beyond which a borrow takes the lowest that it found although
/// others gave items back meanwhile: somebody who gives back thousands would keep it from ever having any.
const PATIENT_LOOKS: u32 = 16;

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
            let tail = self.position(self.control.tail.load(Ordering::Relaxed));
            let ready = Word::new(Phase::Ready, Owner::NOBODY, tail.lap);
            if self.word(tail.slot) == ready
                && !is_up(self.control.hint.load(Ordering::Acquire))
                && accept(tail.slot)
                && let Some(claim) = self.claim_ready(me, tail, tail, ready, None)
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
        let mut looks = self.looks();
        let mut patience = PATIENT_LOOKS;
        loop {
            // Acquire: pairs with `raise_hint`, so that what was returned before is seen as RETURNED.
            let hint = self.control.hint.load(Ordering::Acquire);
            if is_up(hint) {
                // One, and not as many as there are slots: whatever makes this start over is the progress of others.
                looks.spend(|| self.lost(TAIL, &self.control.tail))?;
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
            match self.borrow_in_order(me, &mut looks, &accept)? {
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
    fn borrow_in_order(
        self,
        me: Owner,
        looks: &mut Looks,
        accept: &impl Fn(usize) -> bool,
    ) -> Result<InOrder, Corrupted> {
        let tail = self.position(self.control.tail.load(Ordering::Relaxed));
        let mut first_writing: Option<Position> = None;
        let mut candidate = None;
        let mut end = None;
        for at in self.lap_from(tail) {
            looks.spend(|| self.lost(TAIL, &self.control.tail))?;
            let word = self.word(at.slot);
            let ahead = word.laps_ahead_of(at.lap);
            match phase_of(at.slot, word)? {
                Phase::Returned => {
                    self.raise_hint();
                    return Ok(InOrder::Moved);
                }
                _ if ahead < 0 => end = Some(at.ticket),
                Phase::Free if ahead == 0 => end = Some(at.ticket),
                Phase::Ready if ahead == 0 => candidate = Some((at, word)),
                Phase::Writing if ahead == 0 => {
                    first_writing = first_writing.or(Some(at));
                    continue;
                }
                _ => continue,
            }
            break;
        }
        let Some((at, word)) = candidate else {
            let passable = first_writing
                .map(|at| at.ticket)
                .or(end)
                .unwrap_or_else(|| tail.ticket.wrapping_add(self.slots.len() as u64));
            if passable == tail.ticket {
                return Ok(InOrder::None);
            }
            self.advance(&self.control.tail, tail.ticket, passable);
            return Ok(if end.is_some() { InOrder::None } else { InOrder::Moved });
        };
        // The second look: a producer passed on the way may have committed since, and then this item is not its first.
        if let Some(first) = first_writing
            && self.any_committed_since(first, at)?
        {
            return Ok(InOrder::Moved);
        }
        // Acquire: pairs with `raise_hint`; what was returned before this candidate was committed comes first.
        if is_up(self.control.hint.load(Ordering::Acquire)) {
            return Ok(InOrder::Moved);
        }
        if !accept(at.slot) {
            return Ok(InOrder::Refused);
        }
        Ok(self.claim_ready(me, tail, at, word, first_writing).map_or(InOrder::Moved, InOrder::Claimed))
    }

    /// Claims the READY slot of ticket `at`, if it still is, and moves the tail, which was read as `tail`, as far as it may.
    #[inline(always)]
    fn claim_ready(
        self,
        me: Owner,
        tail: Position,
        at: Position,
        word: Word,
        first_writing: Option<Position>,
    ) -> Option<Claim> {
        let taken = word.with(Phase::Reading, me);
        // Acquire: pairs with the Release of `commit` (O1).
        if !self.swap(at.slot, word, taken) {
            return None;
        }
        let passable = first_writing.map_or(at.ticket.wrapping_add(1), |first| first.ticket);
        self.advance(&self.control.tail, tail.ticket, passable);
        let met_holds = usize::from(first_writing.is_some());
        Some(Claim { slot: at.slot, ticket: at.ticket, word: taken, met_holds })
    }

    /// Whether a ticket between `first` and `candidate`, none of them READY a moment ago, holds an item now.
    #[cold]
    fn any_committed_since(self, first: Position, candidate: Position) -> Result<bool, Corrupted> {
        for at in self.lap_from(first).take_while(|at| at.ticket != candidate.ticket) {
            let word = self.word(at.slot);
            match phase_of(at.slot, word)? {
                Phase::Returned => {
                    self.raise_hint();
                    return Ok(true);
                }
                Phase::Ready if word.laps_ahead_of(at.lap) == 0 => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
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

//! Borrow: claims the oldest item.

use super::returned::{Kept, Returned};
use super::tree::Bits;
use super::{Claim, HEAD, Notes, Position, Ring, TAIL, phase_of};
use crate::error::{Corrupted, Damage};
use crate::format::word::{Owner, Phase, Word};
use crate::sync::Backoff;

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

enum InOrder {
    Claimed(Claim),
    Refused,
    Moved,
    None,
}

impl Ring<'_> {
    /// Claims the oldest item: a RETURNED one first, else the lowest READY ticket. `None` when there is none, or when `accept`
    /// refuses the slot of the oldest item: then it stays what it was.
    #[inline(always)] // As for `reserve`.
    pub(crate) fn borrow(
        &self,
        me: Owner,
        kept: &Kept,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<Claim>, Corrupted> {
        // As in `borrow_further_on`, of which this is the case that the first look finds the item.
        let root = self.root();
        if !root.has_any() {
            let tail = self.tail();
            let ready = Word::new(Phase::Ready, Owner::NOBODY, tail.lap);
            if self.word(tail.slot) == ready
                && self.root() == root
                && accept(tail.slot)
                && let Some(claim) = self.claim_ready(me, tail, tail, ready, Written::default())
            {
                return Ok(Some(claim));
            }
        }
        self.borrow_further_on(me, kept, accept)
    }

    /// The general case of `borrow`.
    #[inline(never)]
    fn borrow_further_on(
        &self,
        me: Owner,
        kept: &Kept,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<Claim>, Corrupted> {
        let mut backoff = Backoff::new();
        loop {
            let mut root = self.root();
            let mut is_fresh = true;
            if root.has_any() {
                match self.borrow_returned(me, &mut root, kept, &accept)? {
                    Returned::Claimed(claim) => return Ok(Some(claim)),
                    Returned::Refused => return Ok(None),
                    Returned::Moved => {
                        backoff.pause();
                        continue;
                    }
                    Returned::None { is_fresh: has_looked } => is_fresh = has_looked,
                }
            }
            match self.borrow_in_order(me, root, &accept)? {
                InOrder::Claimed(claim) => return Ok(Some(claim)),
                InOrder::Refused => return Ok(None),
                InOrder::None if is_fresh => return Ok(None),
                // An earlier look is good enough to take what is in order, and not to say that there is nothing.
                InOrder::None | InOrder::Moved => kept.forget(),
            }
            backoff.pause();
        }
    }

    /// Claims the lowest READY ticket, if nothing was RETURNED below `root`, and nothing has become so since.
    fn borrow_in_order(
        &self,
        me: Owner,
        root: Bits,
        accept: &impl Fn(usize) -> bool,
    ) -> Result<InOrder, Corrupted> {
        let Some(tail) = self.begin_walk()? else { return Ok(InOrder::Moved) };
        let mut first_written: Option<Position> = None;
        let mut end = End::Lap(tail.ticket.wrapping_add(self.slots.len() as u64));
        for at in self.lap_from(tail) {
            let word = self.word(at.slot);
            match (phase_of(at.slot, word)?, word.laps_ahead_of(at.lap)) {
                (Phase::Returned, _) => {
                    self.expect_in_tree(at.slot, word)?;
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
        // What was returned before this candidate was committed comes first.
        if self.root().version() != root.version() {
            return Ok(InOrder::Moved);
        }
        if !accept(at.slot) {
            return Ok(InOrder::Refused);
        }
        Ok(self.claim_ready(me, tail, at, word, written).map_or(InOrder::Moved, InOrder::Claimed))
    }

    /// The tail, for a walk from there on; `None` if it was more than a lap behind the head, and has jumped (R2).
    fn begin_walk(&self) -> Result<Option<Position>, Corrupted> {
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
                // Whoever burns an item may stand between making it RETURNED and moving the root's version: only a walk over the
                // ticket would find it beside an old list, and none comes there any more.
                self.raise_again();
                self.advance(&self.control.tail, tail.ticket, head.ticket.wrapping_sub(capacity as u64));
                Ok(None)
            }
            _ => Ok(Some(tail)),
        }
    }

    /// Claims the READY slot of ticket `at`, if it still is, and moves the tail, which was read as `tail`, as far as it may.
    #[inline(always)]
    fn claim_ready(
        &self,
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
        let tail = self.advance(&self.control.tail, tail.ticket, passable);
        let is_passed = tail.wrapping_sub(at.ticket) as i64 > 0;
        let notes = Notes::MET_HOLDS.when(written.has_met).and(Notes::IS_PASSED.when(is_passed));
        Some(Claim { slot: at.slot, ticket: at.ticket, word: taken, notes })
    }

    /// The second look, at the tickets from `first` up to `end`, none of which was READY a moment ago. A producer that was met on
    /// the way may have committed since, and then the item at `end` is not its first: `None`. Else the first ticket that is still
    /// being written, of those that are not passed here.
    #[cold]
    fn look_again(&self, first: Position, end: u64) -> Result<Option<Option<u64>>, Corrupted> {
        let mut first_left = None;
        for at in self.lap_from(first).take_while(|at| at.ticket != end) {
            let word = self.word(at.slot);
            match (phase_of(at.slot, word)?, word.laps_ahead_of(at.lap)) {
                (Phase::Returned, _) => {
                    self.expect_in_tree(at.slot, word)?;
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
}

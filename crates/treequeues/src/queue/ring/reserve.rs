//! Reserve: claims the slot of the lowest free ticket.

use super::free::FreeEnd;
use super::{Claim, HEAD, Notes, Position, Ring, phase_of};
use crate::error::Corrupted;
use crate::format::word::{Owner, Phase, Word};
use crate::sync::{Backoff, Ordering};

/// What a ticket's slot means to a reserve.
enum Outlook {
    /// FREE for this very ticket.
    Candidate,
    /// The ticket is used up. `free`: the slot is FREE, for a later one. `far`: the ticket of the next lap is used up, too.
    UsedUp { free: bool, far: bool },
    /// Something of the lap before is still there.
    InTheWay(Phase),
    /// The ticket of the lap before is not used up.
    Behind,
}

impl Ring<'_> {
    /// Claims a slot to write: the lowest free ticket. `None` when no slot is free, or `accept` refuses the slot of that
    /// ticket: then nothing was changed.
    #[inline(always)] // A few instructions where nobody is in the way; what returns a claim by value costs as many.
    pub(crate) fn reserve(
        &self,
        me: Owner,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<Claim>, Corrupted> {
        let head = self.head();
        let free = Word::new(Phase::Free, Owner::NOBODY, head.lap);
        if self.word(head.slot) == free
            && accept(head.slot)
            && let Some(claim) = self.claim_free(me, head, (head, free), false)
        {
            return Ok(Some(claim));
        }
        self.reserve_further_on(me, accept)
    }

    /// The general case of `reserve`.
    #[inline(never)]
    fn reserve_further_on(
        &self,
        me: Owner,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<Claim>, Corrupted> {
        let mut backoff = Backoff::new();
        'moved: loop {
            let frees = self.frees();
            let head = self.head();
            let mut leading_used_up = 0;
            let mut in_the_way: Option<(usize, Word)> = None;
            let mut end = FreeEnd::of_lap(head, self.slots.len());
            let mut saw_free = false;
            let mut candidate = None;
            for at in self.lap_from(head) {
                if at.ticket == end.ticket {
                    break;
                }
                let word = self.word(at.slot);
                let outlook = Self::outlook(word, at)?;
                if at.ticket == head.ticket && !matches!(outlook, Outlook::Candidate) {
                    end = self.end_of_free(head, frees);
                }
                match outlook {
                    Outlook::Candidate => {
                        candidate = Some((at, word));
                        break;
                    }
                    Outlook::InTheWay(_) => in_the_way = in_the_way.or(Some((at.slot, word))),
                    Outlook::UsedUp { free, far } => {
                        // R2: whoever used up a ticket a lap further had a head beyond this one, and whoever used up one behind
                        // another that is in the way had burned that before.
                        let has_moved = match in_the_way {
                            _ if far => self.head().ticket != head.ticket,
                            Some((slot, seen)) => self.word(slot) != seen,
                            None => {
                                saw_free |= free;
                                leading_used_up += 1;
                                continue;
                            }
                        };
                        if !has_moved {
                            return Err(self.contradicted(HEAD, head));
                        }
                        backoff.pause();
                        continue 'moved;
                    }
                    Outlook::Behind => return Err(self.contradicted(HEAD, head)),
                }
            }
            if let Some((at, word)) = candidate {
                if !accept(at.slot) {
                    return Ok(None);
                }
                if in_the_way.is_some() && !self.burn(head, at)? {
                    continue;
                }
                if let Some(claim) = self.claim_free(me, head, (at, word), in_the_way.is_some()) {
                    return Ok(Some(claim));
                }
            } else {
                // A claimer that died before moving the head must not freeze it for everyone (R2).
                self.advance(&self.control.head, head.ticket, head.ticket.wrapping_add(leading_used_up));
                if !saw_free {
                    self.none_is_free(frees, end);
                    return Ok(None);
                }
            }
            backoff.pause();
        }
    }

    /// Claims the slot of the ticket at `at.0`, which was FREE for it in the word `at.1`, if it still is, and moves the head, which
    /// was read as `head`, past it.
    #[inline(always)]
    fn claim_free(
        &self,
        me: Owner,
        head: Position,
        at: (Position, Word),
        has_met_holds: bool,
    ) -> Option<Claim> {
        let (at, free) = at;
        let word = free.with(Phase::Writing, me);
        // Acquire: pairs with the release of the slot's last holder, whose reads of the rows are over.
        if !self.swap(at.slot, free, word) {
            return None;
        }
        // Relaxed: published by the compare-and-swap of the commit.
        self.slots[at.slot].ticket.store(at.ticket, Ordering::Relaxed);
        self.advance(&self.control.head, head.ticket, at.ticket.wrapping_add(1));
        let notes = Notes::MET_HOLDS.when(has_met_holds);
        Some(Claim { slot: at.slot, ticket: at.ticket, word, notes })
    }

    /// Burns the tickets in the way from `head` up to `candidate`; false when the ring has moved on meanwhile.
    #[cold]
    fn burn(&self, head: Position, candidate: Position) -> Result<bool, Corrupted> {
        self.raise_gap(candidate.ticket);
        for at in self.lap_from(head).take_while(|at| at.ticket != candidate.ticket) {
            let word = self.word(at.slot);
            let burned = match Self::outlook(word, at)? {
                Outlook::UsedUp { .. } => continue,
                Outlook::Candidate | Outlook::Behind => return Ok(false),
                Outlook::InTheWay(Phase::Ready) => {
                    self.raise(at.slot);
                    let burned =
                        self.swap(at.slot, word, word.with(Phase::Returned, Owner::NOBODY).one_lap_further());
                    self.raise_again();
                    burned
                }
                Outlook::InTheWay(Phase::Writing) => {
                    self.swap(at.slot, word, word.with(Phase::Late, word.owner()).one_lap_further())
                }
                Outlook::InTheWay(_) => self.swap(at.slot, word, word.one_lap_further()),
            };
            if !burned {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn outlook(word: Word, at: Position) -> Result<Outlook, Corrupted> {
        Ok(match (phase_of(at.slot, word)?, word.laps_ahead_of(at.lap)) {
            (Phase::Free, 0) => Outlook::Candidate,
            (Phase::Free, laps @ 1..) => Outlook::UsedUp { free: true, far: laps > 1 },
            (Phase::Free, _) => Outlook::Behind,
            (_, laps @ 0..) => Outlook::UsedUp { free: false, far: laps > 0 },
            (phase, -1) => Outlook::InTheWay(phase),
            _ => Outlook::Behind,
        })
    }

    /// How many laps beyond the ticket at `at` its slot has used up its tickets; `None` if it has not used up that one.
    pub(super) fn laps_used_up(&self, at: Position) -> Result<Option<u64>, Corrupted> {
        let word = self.word(at.slot);
        let next = i64::from(phase_of(at.slot, word)? == Phase::Free);
        Ok(u64::try_from(word.laps_ahead_of(at.lap) - next).ok())
    }
}

//! Reserve: claims the slot of the lowest free ticket.

use super::{Claim, HEAD, Position, Ring, phase_of};
use crate::error::Corrupted;
use crate::sync::{Ordering, spin_loop};
use crate::word::{Owner, Phase, Word};

/// What a ticket's slot means to a reserve.
enum Outlook {
    /// FREE for this very ticket.
    Candidate,
    /// The ticket is used up; the flag tells whether the slot is FREE, for a later ticket.
    UsedUp { free: bool },
    /// Something of the lap before is still there.
    InTheWay(Phase),
    /// The cursor was read too long ago.
    Stale,
}

impl Ring<'_> {
    /// Claims a slot to write: the lowest free ticket. `None` when no slot is free, or `accept` refuses the slot of that
    /// ticket: then nothing was changed.
    #[inline(always)] // A few instructions where nobody is in the way; what returns a claim by value costs as many.
    pub(crate) fn reserve(
        self,
        me: Owner,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<Claim>, Corrupted> {
        let head = self.position(self.control.head.load(Ordering::Relaxed));
        let free = Word::new(Phase::Free, Owner::NOBODY, head.lap);
        if self.word(head.slot) == free
            && accept(head.slot)
            && let Some(claim) = self.claim_free(me, head, head, 0)
        {
            return Ok(Some(claim));
        }
        self.reserve_further_on(me, accept)
    }

    /// The general case of `reserve`.
    #[inline(never)]
    fn reserve_further_on(
        self,
        me: Owner,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<Claim>, Corrupted> {
        let mut looks = self.looks();
        loop {
            let head = self.position(self.control.head.load(Ordering::Relaxed));
            let mut leading_used_up = 0;
            let mut met_holds = 0;
            let mut saw_free = false;
            let mut candidate = None;
            let mut stale = false;
            for at in self.lap_from(head) {
                looks.spend(|| self.lost(HEAD, &self.control.head))?;
                match Self::outlook(self.word(at.slot), at)? {
                    Outlook::Candidate => candidate = Some(at),
                    Outlook::UsedUp { free } => {
                        saw_free |= free;
                        leading_used_up += u64::from(met_holds == 0);
                        continue;
                    }
                    Outlook::InTheWay(_) => {
                        met_holds += 1;
                        continue;
                    }
                    Outlook::Stale => stale = true,
                }
                break;
            }
            if let Some(at) = candidate {
                if !accept(at.slot) {
                    return Ok(None);
                }
                if met_holds > 0 && !self.burn(head, at)? {
                    continue;
                }
                if let Some(claim) = self.claim_free(me, head, at, met_holds) {
                    return Ok(Some(claim));
                }
            } else if !stale {
                // A claimer that died before moving the head must not freeze it for everyone (R2).
                self.advance(&self.control.head, head.ticket, head.ticket.wrapping_add(leading_used_up));
                if !saw_free {
                    return Ok(None);
                }
            }
            spin_loop();
        }
    }

    /// Claims the FREE slot of ticket `at`, if it still is, and moves the head, which was read as `head`, past it.
    #[inline(always)]
    fn claim_free(self, me: Owner, head: Position, at: Position, met_holds: usize) -> Option<Claim> {
        let free = Word::new(Phase::Free, Owner::NOBODY, at.lap);
        let word = free.with(Phase::Writing, me);
        // Acquire: pairs with the release of the slot's last holder, whose reads of the rows are over.
        if !self.swap(at.slot, free, word) {
            return None;
        }
        // Relaxed: published by the compare-and-swap of the commit.
        self.slots[at.slot].ticket.store(at.ticket, Ordering::Relaxed);
        self.advance(&self.control.head, head.ticket, at.ticket.wrapping_add(1));
        Some(Claim { slot: at.slot, ticket: at.ticket, word, met_holds })
    }

    /// Burns the tickets in the way from `head` up to `candidate`; false when the ring has moved on meanwhile.
    #[cold]
    fn burn(self, head: Position, candidate: Position) -> Result<bool, Corrupted> {
        for at in self.lap_from(head).take_while(|at| at.ticket != candidate.ticket) {
            let word = self.word(at.slot);
            let burned = match Self::outlook(word, at)? {
                Outlook::UsedUp { .. } => continue,
                Outlook::Candidate | Outlook::Stale => return Ok(false),
                Outlook::InTheWay(Phase::Ready) => {
                    self.raise_hint();
                    let burned =
                        self.swap(at.slot, word, word.with(Phase::Returned, Owner::NOBODY).one_lap_further());
                    self.raise_hint();
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
            (Phase::Free, 1..) => Outlook::UsedUp { free: true },
            (_, 0..) => Outlook::UsedUp { free: false },
            (Phase::Free, _) => Outlook::Stale,
            (phase, -1) => Outlook::InTheWay(phase),
            _ => Outlook::Stale,
        })
    }
}

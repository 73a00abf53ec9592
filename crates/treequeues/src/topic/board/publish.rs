//! Claim, commit, abort (B1 to B5).

use super::{Board, Pinned};
use crate::error::{Corrupted, Damage};
use crate::format::word::{Owner, Tenant};
use crate::sync::{Backoff, Ordering, fence};
use crate::topic::word::{Low, Newest, State};

/// The right to write to a slot. Spent by exactly one of `commit` and `abort`.
#[derive(Debug)]
#[must_use]
pub(crate) struct Claim {
    /// The slot's index.
    pub(crate) slot: usize,
    /// The ticket of its last item.
    last: u64,
    /// The state that won the claim.
    state: State,
}

/// A slot that may be claimed, the best first: one that is FREE, else the oldest item.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// 0 for a slot that is FREE.
    ticket: u64,
    slot: usize,
    /// Of its last item.
    last: u64,
}

impl Candidate {
    fn state(self) -> State {
        if self.ticket == 0 { State::Free(self.last) } else { State::Ready(self.ticket) }
    }
}

impl Board<'_> {
    /// Claims a slot, if there is one (B1, B2). `gave_way` notifies everybody: a slot that was claimed is FREE again.
    pub(crate) fn claim(&self, me: Owner, gave_way: impl Fn()) -> Result<Option<Claim>, Corrupted> {
        let newest = self.newest()?.ticket;
        let mut best: Option<Candidate> = None;
        for slot in 0..self.slots.len() {
            if let Some(found) = self.candidate(slot, newest)? {
                best = Some(best.map_or(found, |best| best.min(found)));
            }
        }
        let Some(best) = best else { return Ok(None) };
        match self.claim_candidate(best, me, &gave_way)? {
            Some(claim) => Ok(Some(claim)),
            None => self.claim_another(best.slot, me, &gave_way),
        }
    }

    /// The same of all slots but one, each tried once, the best first.
    #[cold]
    fn claim_another(
        &self,
        tried: usize,
        me: Owner,
        gave_way: &impl Fn(),
    ) -> Result<Option<Claim>, Corrupted> {
        let newest = self.newest()?.ticket;
        let mut candidates = Vec::new();
        for slot in (0..self.slots.len()).filter(|slot| *slot != tried) {
            candidates.extend(self.candidate(slot, newest)?);
        }
        candidates.sort_unstable();
        for candidate in candidates {
            if let Some(claim) = self.claim_candidate(candidate, me, gave_way)? {
                return Ok(Some(claim));
            }
        }
        Ok(None)
    }

    /// Whether a claim is worth trying: a look that takes nothing.
    pub(crate) fn may_claim(&self) -> bool {
        let newest = self.version();
        (0..self.slots.len()).any(|slot| {
            // Damage is for the claim to report.
            self.candidate(slot, newest).is_ok_and(|found| found.is_some()) && !self.is_pinned(slot)
        })
    }

    fn candidate(&self, slot: usize, newest: u64) -> Result<Option<Candidate>, Corrupted> {
        Ok(match self.state_to_swap(slot)? {
            State::Free(last) => Some(Candidate { ticket: 0, slot, last }),
            State::Ready(ticket) if ticket < newest => Some(Candidate { ticket, slot, last: ticket }),
            State::Ready(_) | State::Writing(..) => None,
        })
    }

    fn claim_candidate(
        &self,
        candidate: Candidate,
        me: Owner,
        gave_way: &impl Fn(),
    ) -> Result<Option<Claim>, Corrupted> {
        let Candidate { slot, last, .. } = candidate;
        if self.is_pinned(slot) {
            return Ok(None);
        }
        let state = State::Writing(me, Low::of(last));
        if !self.swap(slot, candidate.state(), state) {
            return Ok(None);
        }
        let claim = Claim { slot, last, state };
        // SeqCst: B6, pairs with the fence of a reader.
        fence(Ordering::SeqCst);
        if !self.is_pinned(slot) {
            return Ok(Some(claim));
        }
        self.abort(claim)?;
        gave_way();
        Ok(None)
    }

    /// Publishes a written slot, and returns the item's ticket (B3). The caller notifies everybody.
    pub(crate) fn commit(&self, claim: Claim) -> Result<u64, Corrupted> {
        let mut backoff = Backoff::new();
        // Each round that fails is another publisher's commit.
        loop {
            let newest = self.newest_to_swap()?;
            if newest.ticket > 0 {
                self.help(newest)?;
            }
            let Some(mine) = newest.next(claim.slot) else {
                return Err(Damage::Newest { found: newest.pack() }.into());
            };
            if self.link(newest, mine) {
                // If it fails, somebody has helped: the item is READY, or gone already.
                self.swap(claim.slot, claim.state, State::Ready(mine.ticket));
                return Ok(mine.ticket);
            }
            backoff.pause();
        }
    }

    fn link(&self, from: Newest, to: Newest) -> bool {
        // SeqCst: B9. Release: the rows, for who helps. Acquire: the items before.
        let (from, to) = (from.pack(), to.pack());
        self.control.newest.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Frees a slot unwritten (B5). The caller notifies everybody.
    pub(crate) fn abort(&self, claim: Claim) -> Result<(), Corrupted> {
        if self.swap(claim.slot, claim.state, State::Free(claim.last)) {
            return Ok(());
        }
        // Relaxed: for the message.
        let found = self.slots[claim.slot].state.load(Ordering::Relaxed);
        Err(Damage::SlotTaken { slot: claim.slot, held: claim.state.pack(), found }.into())
    }

    /// Frees a slot unwritten which views keep: nobody gets it before it is released (B10). The caller notifies everybody.
    pub(crate) fn linger(&self, claim: Claim, me: &Tenant) -> Result<Pinned, Corrupted> {
        let kept = Pinned { slot: claim.slot, ticket: claim.last };
        self.pin_slot(claim.slot, me)?;
        self.abort(claim)?;
        Ok(kept)
    }
}

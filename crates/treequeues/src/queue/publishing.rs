//! Commits: of one item, and of several that are put as one, whoever is killed (`ring::publish`).

use std::sync::{PoisonError, TryLockError};

use super::here::Attached;
use super::ring::{Claim, Publisher};
use crate::clock::realtime_ns;
use crate::error::Corrupted;
use crate::presence::counters::Counter;
use crate::sync::Ordering;

impl Attached {
    pub(crate) fn commit(&self, claim: Claim) -> Result<(), Corrupted> {
        self.describe(&claim, realtime_ns());
        self.ring().commit(claim)?;
        self.has_put();
        Ok(())
    }

    /// Whether another thread of this process publishes a batch, which may take as long as it is large.
    pub(crate) fn is_publishing(&self) -> bool {
        matches!(self.structure().publishing_turn.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Commits several items, lowest ticket first. If this process is killed meanwhile, either all of them are in the queue after
    /// the next sweep, or none.
    pub(crate) fn commit_all(&self, mut claims: Vec<Claim>) -> Result<(), Corrupted> {
        if claims.len() < 2 {
            return claims.pop().map_or(Ok(()), |claim| self.commit(claim));
        }
        claims.sort_unstable_by_key(|claim| claim.ticket);
        let now_ns = realtime_ns();
        let batch = self.ring().mark_batch(&claims, |claim| self.describe(claim, now_ns));
        let publisher = Publisher { participant: self.participant().id(), word: &self.entry().publishing };
        // Poisoned, it is as good: the word of the entry is the truth.
        let _turn = self.structure().publishing_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.ring().publish(publisher, batch, claims, || self.has_put());
        if outcome.is_err() {
            // Slots may have become free.
            self.wake_everyone();
        }
        outcome
    }

    /// Writes what a slot says of the put.
    #[inline]
    fn describe(&self, claim: &Claim, now_ns: u64) {
        let slot = self.slot(claim);
        self.hold_ends(slot);
        // Relaxed: published by the commit.
        slot.put_time_ns.store(now_ns, Ordering::Relaxed);
        slot.producer_pid.store(self.participant().pid(), Ordering::Relaxed);
        slot.give_backs.store(0, Ordering::Relaxed);
    }

    #[inline]
    fn has_put(&self) {
        self.count_one(Counter::Puts);
        self.not_empty().notify();
        self.item_may_be_dropped();
    }
}

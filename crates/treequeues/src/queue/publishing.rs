//! Commits: of one item, and of several that are put as one, whoever is killed (`ring::publish`).

use std::sync::{MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};

use super::here::Attached;
use super::hosts::FromHost;
use super::ring::{Batch, Claim, Comes, Publisher};
use crate::clock::realtime_ns;
use crate::error::{ArrivalError, Corrupted};
use crate::presence::counters::Counter;
use crate::sync::Ordering;

/// What the queue that an item was put into first knows of it: see [`WriteBatch::commit_from`](crate::WriteBatch::commit_from).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemOrigin {
    /// When it was put there.
    pub put_time: SystemTime,
    /// The process that put it, as that process saw its own number.
    pub producer_pid: u32,
    /// How often it had been delivered before: 0 of an item that nobody has had. Beyond 65,535 it is that.
    pub delivery_count: u32,
}

/// What a slot says of the put.
#[derive(Clone, Copy)]
struct Put {
    time_ns: u64,
    pid: u32,
    from: FromHost,
}

impl Attached {
    pub(crate) fn commit(&self, claim: Claim) -> Result<(), Corrupted> {
        self.describe(&claim, self.put_here_now());
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
        let put = self.put_here_now();
        let batch = self.ring().mark_batch(&claims, Comes::FromHere, |claim| self.describe(claim, put));
        let turn = self.publishing_turn();
        self.publish(&turn, batch, claims)
    }

    /// The same of items that were put at another host first, in the order of their tickets: `origins` has one for each claim. Where it
    /// fails otherwise than by damage, the slots are free again.
    pub(crate) fn commit_all_from(
        &self,
        host: &str,
        origins: &[ItemOrigin],
        claims: Vec<Claim>,
    ) -> Result<(), ArrivalError> {
        debug_assert!(claims.is_sorted_by_key(|claim| claim.ticket), "tickets are used up in order");
        let turn = self.publishing_turn();
        let number = match self.structure().hosts().number_of(host, self.ring(), &claims) {
            Ok(number) => number,
            Err(error) => {
                self.end_all(claims, Attached::abort)?;
                return Err(error);
            }
        };
        let mut origins = origins.iter();
        let batch = self.ring().mark_batch(&claims, Comes::FromElsewhere, |claim| {
            let origin = origins.next().expect("one for each claim");
            let since_epoch =
                origin.put_time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
            let time_ns = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
            let from = FromHost::new(number, origin.delivery_count);
            self.describe(claim, Put { time_ns, pid: origin.producer_pid, from });
        });
        Ok(self.publish(&turn, batch, claims)?)
    }

    fn publishing_turn(&self) -> MutexGuard<'_, ()> {
        // Poisoned, it is as good: the word of the entry is the truth.
        self.structure().publishing_turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of a batch whose slots say so, by the thread whose turn it is.
    fn publish(&self, _: &MutexGuard<'_, ()>, batch: Batch, claims: Vec<Claim>) -> Result<(), Corrupted> {
        let publisher = Publisher { participant: self.participant().id(), word: &self.entry().publishing };
        let outcome = self.ring().publish(publisher, batch, claims, || self.has_put());
        if outcome.is_err() {
            // Slots may have become free.
            self.wake_everyone();
        }
        outcome
    }

    #[inline]
    fn put_here_now(&self) -> Put {
        Put { time_ns: realtime_ns(), pid: self.participant().pid(), from: FromHost::HERE }
    }

    /// Writes what a slot says of the put.
    #[inline]
    fn describe(&self, claim: &Claim, put: Put) {
        let slot = self.slot(claim);
        self.hold_ends(slot);
        // Relaxed: published by the commit.
        slot.put_time_ns.store(put.time_ns, Ordering::Relaxed);
        slot.producer_pid.store(put.pid, Ordering::Relaxed);
        slot.give_backs.store(0, Ordering::Relaxed);
        put.from.say(slot);
    }

    #[inline]
    fn has_put(&self) {
        self.count_one(Counter::Puts);
        self.not_empty().notify();
        self.item_may_be_dropped();
    }
}

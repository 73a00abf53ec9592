//! A subscription to a topic.

use crate::sync::Ordering;
use crate::sync::local::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use super::Topic;
use crate::error::{AttachError, SubscribeError};
use crate::format::word::Tenant;
use crate::memory::fork;
use crate::presence::counters::Counter;
use crate::topic::calls::{Taken, Wanted};
use crate::topic::here::Attached;
use crate::topic::loan::TopicReadLoan;
use crate::topic::subscriptions::{Record, owner_of};
use crate::wait::Wait;

/// A subscription to a topic: what comes, in order, each item once.
///
/// Threads may share one: each item goes to one of them. In a forked child it is another one, which begins where its parent's stood.
#[derive(Debug)]
pub struct Subscriber {
    topic: Topic,
    /// The lowest ticket that it may come to.
    cursor: AtomicU64,
    missed: AtomicU64,
    /// The participant that the next two are of.
    owner: AtomicU64,
    /// What `missed` was when it began: a forked child counts anew.
    missed_before: AtomicU64,
    /// The number of its record plus one; 0 if there was none to be had.
    record: AtomicU64,
    /// Held while these three change, and forks are held off, so that no child inherits it locked.
    beginning: Mutex<()>,
}

impl Subscriber {
    pub(super) fn at(topic: Topic, cursor: u64) -> Result<Self, AttachError> {
        let subscriber = Self {
            topic,
            cursor: AtomicU64::new(cursor),
            missed: AtomicU64::new(0),
            owner: AtomicU64::new(0),
            missed_before: AtomicU64::new(0),
            record: AtomicU64::new(0),
            beginning: Mutex::default(),
        };
        subscriber.say_where(subscriber.topic.attached()?, 0);
        Ok(subscriber)
    }

    /// The next item in order; waits for it, for ever.
    ///
    /// # Errors
    /// As `borrow_with`, but neither `Empty` nor `Interrupted`.
    pub fn borrow(&self) -> Result<TopicReadLoan<'_>, SubscribeError> {
        self.borrow_with(Wait::forever())
    }

    /// The next item in order, if it is there now.
    ///
    /// # Errors
    /// As `borrow_with`, but not `Interrupted`.
    pub fn try_borrow(&self) -> Result<TopicReadLoan<'_>, SubscribeError> {
        let attached = self.topic.attached()?;
        Ok(self.lend(attached, attached.pin_now(Wanted::Next(&self.cursor))?))
    }

    /// The next item in order; waits for it as long as `wait` says. Items that were replaced before it came to them are passed over, and
    /// counted: see `missed`.
    ///
    /// # Errors
    /// `Empty` when none came in time, `ShutDown` when the topic is shut down and this subscription has had what was left, `Interrupted`, or
    /// a damaged segment.
    pub fn borrow_with(&self, wait: Wait<'_>) -> Result<TopicReadLoan<'_>, SubscribeError> {
        let attached = self.topic.attached()?;
        Ok(self.lend(attached, attached.pin(Wanted::Next(&self.cursor), wait)?))
    }

    /// The newest item, of those that this subscription has not had; waits for one, for ever. Those before it count as missed.
    ///
    /// # Errors
    /// As `borrow_latest_with`, but neither `Empty` nor `Interrupted`.
    pub fn borrow_latest(&self) -> Result<TopicReadLoan<'_>, SubscribeError> {
        self.borrow_latest_with(Wait::forever())
    }

    /// The newest item, if this subscription has not had it yet.
    ///
    /// # Errors
    /// As `borrow_latest_with`, but not `Interrupted`.
    pub fn try_borrow_latest(&self) -> Result<TopicReadLoan<'_>, SubscribeError> {
        let attached = self.topic.attached()?;
        Ok(self.lend(attached, attached.pin_now(Wanted::NewestFrom(&self.cursor))?))
    }

    /// The newest item, of those that this subscription has not had; waits for one as long as `wait` says. Those before it count as missed.
    ///
    /// # Errors
    /// As `borrow_with`.
    pub fn borrow_latest_with(&self, wait: Wait<'_>) -> Result<TopicReadLoan<'_>, SubscribeError> {
        let attached = self.topic.attached()?;
        Ok(self.lend(attached, attached.pin(Wanted::NewestFrom(&self.cursor), wait)?))
    }

    /// How many items it has passed over since it began: replaced before it came to them, or skipped on the way to the newest. With those
    /// that it has had, these are all from its beginning on. In a forked child it counts anew.
    pub fn missed(&self) -> u64 {
        let is_ours = self.topic.is_attached_here()
            && self.topic.attached().is_ok_and(|attached| self.is_of(attached.participant().tenant()));
        // Relaxed, here and below: a count.
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        if is_ours { load(&self.missed) - load(&self.missed_before) } else { 0 }
    }

    /// The lowest ticket that it may come to.
    pub fn next_ticket(&self) -> u64 {
        self.cursor.load(Ordering::Relaxed)
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    fn lend<'s>(&'s self, attached: &'s Arc<Attached>, taken: Taken) -> TopicReadLoan<'s> {
        if taken.missed > 0 {
            attached.count(Counter::Missed, taken.missed);
        }
        self.say_where(attached, taken.missed);
        TopicReadLoan::new(attached, taken)
    }

    fn is_of(&self, me: &Tenant) -> bool {
        // Acquire: pairs with `begin`, which sets it last.
        self.owner.load(Ordering::Acquire) == owner_of(me)
    }

    /// Counts what was missed, and says in shared memory where it is; in a forked child, by a record and a count of its own.
    fn say_where(&self, attached: &Attached, missed: u64) {
        let me = attached.participant().tenant();
        if !self.is_of(me) {
            self.begin(attached, me);
        }
        let missed = self.missed.fetch_add(missed, Ordering::Relaxed) + missed;
        let missed = missed - self.missed_before.load(Ordering::Relaxed);
        if let Some(record) = self.record_of(me) {
            attached.subscriptions().has_moved(&record, self.next_ticket(), missed);
        }
    }

    #[cold]
    fn begin(&self, attached: &Attached, me: &Tenant) {
        let no_fork = fork::hold_off();
        let alone = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        if !self.is_of(me) {
            let record = attached.subscriptions().begin(me, self.next_ticket());
            self.missed_before.store(self.missed.load(Ordering::Relaxed), Ordering::Relaxed);
            self.record.store(record.map_or(0, |record| record.number() + 1), Ordering::Relaxed);
            self.owner.store(owner_of(me), Ordering::Release);
        }
        drop(alone);
        drop(no_fork);
    }

    fn record_of(&self, me: &Tenant) -> Option<Record> {
        let number = self.record.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Record::of(number, me))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // In a forked child it is the parent's, until the child has one of its own.
        if !self.topic.is_attached_here() {
            return;
        }
        let Ok(attached) = self.topic.attached() else { return };
        let me = attached.participant().tenant();
        if self.is_of(me)
            && let Some(record) = self.record_of(me)
        {
            attached.subscriptions().end(record);
        }
    }
}

//! Loans of a topic's slots. N1 to N4 are those of `loan`.

mod hold;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::board::{Claim, Pinned};
use super::calls::Taken;
use super::here::{Attached, Here};
use crate::error::Corrupted;
use crate::loan::{End, Guard, ReadRows, WriteRows, read_access, write_access};
use crate::sync::Ordering;
pub use hold::{TopicElsewhere, TopicHold};

/// What a topic knows about one item beside its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicItemInfo {
    /// Its place in the order of all items of the topic, from 1 on, without gaps.
    pub ticket: u64,
    /// When it was put, by CLOCK_REALTIME in the publisher's process.
    pub put_time: SystemTime,
    /// The process that put it, as that process sees its own number.
    pub producer_pid: u32,
    /// How many items the subscription passed over just before this one; 0 without a subscription.
    pub missed: u64,
}

impl TopicItemInfo {
    /// Of an item that this process has pinned.
    fn of(attached: &Attached, pinned: &Pinned, missed: u64) -> Self {
        let slot = attached.slot(pinned.slot);
        // Relaxed: published by the item's commit, and nobody writes while it is pinned.
        let put_time_ns = slot.put_time_ns.load(Ordering::Relaxed);
        Self {
            ticket: pinned.ticket,
            put_time: SystemTime::UNIX_EPOCH + Duration::from_nanos(put_time_ns),
            producer_pid: slot.producer_pid.load(Ordering::Relaxed),
            missed,
        }
    }
}

/// Write access to one slot of a topic, from reserve to commit.
///
/// Dropped without a commit it aborts: readers see nothing. What a fresh loan's rows hold is unspecified: an earlier item's bytes, or zeros.
#[derive(Debug)]
#[must_use = "dropped without a commit, a loan aborts"]
pub struct TopicWriteLoan<'q>(Guard<'q, Writing>);

/// Read access to one item of a topic, which any number of readers have at once. Dropped, it releases.
#[derive(Debug)]
#[must_use = "dropped, a loan releases its item"]
pub struct TopicReadLoan<'q> {
    guard: Guard<'q, Reading>,
    missed: u64,
}

write_access!(TopicWriteLoan, 0);
read_access!(TopicReadLoan, guard);

/// A slot of a publisher's.
#[derive(Debug)]
struct Writing;

/// An item that is read.
#[derive(Debug)]
struct Reading;

impl End for Writing {
    type Structure = Here;
    type Claim = Claim;

    fn dropped(attached: &Attached, claim: Claim) -> Result<(), Corrupted> {
        attached.abort(claim)
    }
}

impl End for Reading {
    type Structure = Here;
    type Claim = Pinned;

    fn dropped(attached: &Attached, pinned: Pinned) -> Result<(), Corrupted> {
        attached.release(pinned)
    }
}

impl<'q> TopicWriteLoan<'q> {
    pub(crate) fn new(attached: &'q Arc<Attached>, claim: Claim) -> Self {
        attached.say_since_when([claim.slot]);
        Self(Guard::new(attached, claim))
    }

    /// Publishes the item, and returns its ticket: it is visible to readers when this returns.
    ///
    /// # Errors
    /// If a state word was damaged.
    pub fn commit(self) -> Result<u64, Corrupted> {
        let mut ticket = 0;
        self.0.end(|attached, claim| {
            ticket = attached.commit(claim)?;
            Ok(())
        })?;
        Ok(ticket)
    }

    /// Gives the slot back unwritten.
    ///
    /// # Errors
    /// If a state word was damaged.
    pub fn abort(self) -> Result<(), Corrupted> {
        self.0.end(Attached::abort)
    }

    /// Keeps the slot without a lifetime: see [`TopicHold`].
    pub fn into_hold(self) -> TopicHold {
        TopicHold::writing(self.0.attached(), self.0.into_claim())
    }

    /// Its rows, for as long as nothing else is done with it.
    pub(crate) fn rows_mut(&mut self) -> WriteRows<'_> {
        // SAFETY: the claim is for writing, and these are its only rows, since the loan is borrowed for as long as they live (N1).
        unsafe { WriteRows::of(self.0.attached().segment(), self.0.claim().slot) }
    }
}

impl<'q> TopicReadLoan<'q> {
    pub(crate) fn new(attached: &'q Arc<Attached>, Taken { pinned, missed }: Taken) -> Self {
        attached.remember_this_thread();
        Self { guard: Guard::new(attached, pinned), missed }
    }

    /// The item's ticket: its place in the order of all items of the topic.
    pub fn ticket(&self) -> u64 {
        self.guard.claim().ticket
    }

    /// Ticket, put time, producer, and how many items were passed over before it.
    pub fn info(&self) -> TopicItemInfo {
        TopicItemInfo::of(self.guard.attached(), self.guard.claim(), self.missed)
    }

    /// Keeps the item without a lifetime: see [`TopicHold`].
    pub fn into_hold(self) -> TopicHold {
        TopicHold::reading(self.guard.attached(), self.guard.into_claim())
    }

    /// Ends the read.
    ///
    /// # Errors
    /// If the pin was damaged.
    pub fn release(self) -> Result<(), Corrupted> {
        self.guard.end(Attached::release)
    }

    /// Its rows, for as long as it is not ended.
    pub(crate) fn rows(&self) -> ReadRows<'_> {
        // SAFETY: the item is pinned, and the loan is borrowed for as long as they live (N1).
        unsafe { ReadRows::of(self.guard.attached().segment(), self.guard.claim().slot) }
    }
}

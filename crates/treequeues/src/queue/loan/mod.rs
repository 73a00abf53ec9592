//! Loans of a queue's slots.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | one slot: `WriteLoan`, `ReadLoan` |
//! | `batch` | several: `WriteBatch`, `ReadBatch` |
//! | `hold` | any of these without a lifetime, for bindings: `Hold` |
//! | `typed` | the rows of batches as slices of Rust types |
//! | `arrays` | the rows of batches as views of `ndarray`, with the feature of that name |
//!
//! N1 to N4 are those of `loan`.

#[cfg(feature = "ndarray")]
mod arrays;
mod batch;
mod hold;
mod typed;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use batch::{ReadBatch, WriteBatch};
pub use hold::Hold;

use super::here::{Attached, Here};
use super::ring::Claim;
use crate::error::Corrupted;
use crate::loan::{End, Guard, ReadRows, WriteRows, read_access, write_access};
use crate::queue::hosts::FromHost;
use crate::sync::Ordering;

/// What a queue knows about one item beside its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemInfo {
    /// Its place in the order of all items of the queue, from 0 on. Tickets may be missing: those of aborted loans.
    pub ticket: u64,
    /// When it was committed, by CLOCK_REALTIME in the producer's process.
    pub put_time: SystemTime,
    /// The process that committed it, as that process sees its own number.
    pub producer_pid: u32,
    /// How often it was borrowed, this time included: 1 at the first delivery.
    pub delivery_count: u32,
    /// The host that it was put at, if it was brought from there: put time and producer are of that host then, and deliveries count those
    /// there. `None` of an item that was put here.
    pub host: Option<Arc<str>>,
}

impl ItemInfo {
    /// Of an item that the caller holds for reading.
    fn of(attached: &Attached, claim: &Claim) -> Self {
        let slot = attached.slot(claim);
        // Relaxed, all: published by the item's commit, and since then written by holders alone, of which this is one.
        let put_time_ns = slot.put_time_ns.load(Ordering::Relaxed);
        let from = FromHost::of(slot);
        Self {
            ticket: claim.ticket,
            put_time: SystemTime::UNIX_EPOCH + Duration::from_nanos(put_time_ns),
            producer_pid: slot.producer_pid.load(Ordering::Relaxed),
            delivery_count: slot.delivery_count.load(Ordering::Relaxed).saturating_add(from.deliveries()),
            host: attached.structure().hosts().name_of(from),
        }
    }
}

/// Write access to one slot, from reserve to commit.
///
/// Dropped without a commit it aborts: the slot is free again and readers see nothing. What a fresh loan's rows hold is
/// unspecified: an earlier item's bytes, or zeros.
#[derive(Debug)]
#[must_use = "dropped without a commit, a loan aborts"]
pub struct WriteLoan<'q>(Guard<'q, Writing>);

/// Read access to one item, from borrow to release.
///
/// Dropped without more it releases: the slot is free again. Dropped by a panic it gives the item back.
#[derive(Debug)]
#[must_use = "dropped, a loan releases its item"]
pub struct ReadLoan<'q>(Guard<'q, Reading>);

write_access!(WriteLoan, 0);
read_access!(ReadLoan, 0);

/// A slot of a producer's.
#[derive(Debug)]
struct Writing;

/// A slot of a consumer's.
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
    type Claim = Claim;

    fn dropped(attached: &Attached, claim: Claim) -> Result<(), Corrupted> {
        end_of_dropped_read()(attached, claim)
    }
}

impl<'q> WriteLoan<'q> {
    /// A loan that its user keeps for a while.
    #[inline]
    pub(crate) fn new(attached: &'q Arc<Attached>, claim: Claim) -> Self {
        attached.say_since_when([claim.slot]);
        Self::brief(attached, claim)
    }

    /// A loan that ends within one call.
    #[inline]
    pub(crate) fn brief(attached: &'q Arc<Attached>, claim: Claim) -> Self {
        Self(Guard::new(attached, claim))
    }

    /// The ticket that the item will have: its place in the order of all items of the queue.
    pub fn ticket(&self) -> u64 {
        self.0.claim().ticket
    }

    /// Its rows, for as long as nothing else is done with it.
    #[inline]
    pub(crate) fn rows_mut(&mut self) -> WriteRows<'_> {
        // SAFETY: the claim is for writing, and these are its only rows, since the loan is borrowed for as long as they live (N1).
        unsafe { WriteRows::of(self.0.attached().segment(), self.0.claim().slot) }
    }

    /// The same hold without a lifetime.
    pub fn into_hold(self) -> Hold {
        let attached = self.0.attached();
        let claim = self.0.into_claim();
        // A brief loan has not said it, and a hold is kept for a while.
        attached.say_since_when([claim.slot]);
        Hold::writing(attached, [claim])
    }

    /// Publishes the item: it is visible to readers when this returns.
    ///
    /// # Errors
    /// If the slot's state word was damaged.
    pub fn commit(self) -> Result<(), Corrupted> {
        self.0.end(Attached::commit)
    }

    /// Gives the slot back unwritten.
    ///
    /// # Errors
    /// If the slot's state word was damaged.
    pub fn abort(self) -> Result<(), Corrupted> {
        self.0.end(Attached::abort)
    }
}

impl<'q> ReadLoan<'q> {
    /// A loan that its user keeps for a while.
    #[inline]
    pub(crate) fn new(attached: &'q Arc<Attached>, claim: Claim) -> Self {
        attached.say_since_when([claim.slot]);
        Self::brief(attached, claim)
    }

    /// A loan that ends within one call.
    #[inline]
    pub(crate) fn brief(attached: &'q Arc<Attached>, claim: Claim) -> Self {
        Self(Guard::new(attached, claim))
    }

    /// The item's ticket: its place in the order of all items of the queue.
    pub fn ticket(&self) -> u64 {
        self.0.claim().ticket
    }

    /// Ticket, put time, producer and delivery count.
    pub fn info(&self) -> ItemInfo {
        ItemInfo::of(self.0.attached(), self.0.claim())
    }

    /// Its rows, for as long as it is not ended.
    #[inline]
    pub(crate) fn rows(&self) -> ReadRows<'_> {
        // SAFETY: the claim is for reading, and the loan is borrowed for as long as they live (N1).
        unsafe { ReadRows::of(self.0.attached().segment(), self.0.claim().slot) }
    }

    /// The same hold without a lifetime.
    pub fn into_hold(self) -> Hold {
        let attached = self.0.attached();
        let claim = self.0.into_claim();
        // A brief loan has not said it, and a hold is kept for a while.
        attached.say_since_when([claim.slot]);
        Hold::reading(attached, [claim])
    }

    /// Ends the read: the slot is free again.
    ///
    /// # Errors
    /// If the slot's state word was damaged.
    pub fn release(self) -> Result<(), Corrupted> {
        self.0.end(Attached::release)
    }

    /// Ends an item that killed too many takers.
    pub(crate) fn drop_item(self) -> Result<(), Corrupted> {
        self.0.end(Attached::drop_item)
    }

    /// Puts the item back: it comes first again.
    ///
    /// # Errors
    /// If the slot's state word was damaged.
    pub fn give_back(self) -> Result<(), Corrupted> {
        self.0.end(Attached::give_back)
    }
}

/// What becomes of an item whose loan is dropped: whoever panics has not done with it what was to be done.
fn end_of_dropped_read() -> fn(&Attached, Claim) -> Result<(), Corrupted> {
    if std::thread::panicking() { Attached::give_back } else { Attached::release }
}

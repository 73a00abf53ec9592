//! Loans: zero-copy access to the rows of slots.
//!
//! A loan is proof that this process moved its slot out of FREE (to write) or out of READY or RETURNED (to read).
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | one slot: `WriteLoan`, `ReadLoan` |
//! | `batch` | several: `WriteBatch`, `ReadBatch` |
//! | `hold` | any of these without a lifetime, for bindings: `Hold` |
//! | `typed` | the rows as slices of Rust types |
//! | `arrays` | the rows as views of `ndarray`, with the feature of that name |
//!
//! N1. Across all processes, at most one loan names a slot: the ring's R1 and R3.
//! N2. A loan ends once: committed, aborted, released, given back, or swept after its owner's death.
//! N3. A loan borrows its queue, so the segment stays mapped and the participant registered while it lives.
//! N4. In a forked child an inherited loan is the parent's: dropping it does nothing there.

#[cfg(feature = "ndarray")]
mod arrays;
mod batch;
mod hold;
mod typed;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use batch::{ReadBatch, WriteBatch};
pub use hold::Hold;

use crate::error::Corrupted;
use crate::item::schema::Schema;
use crate::queue::here::Attached;
use crate::queue::ring::Claim;
use crate::sync::Ordering;

/// What a queue knows about one item beside its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemInfo {
    /// Its place in the order of all items of the queue, from 0 on. Tickets may be missing: those of aborted loans.
    pub ticket: u64,
    /// When it was committed, by CLOCK_REALTIME in the producer's process.
    pub put_time: SystemTime,
    /// The process that committed it, as that process sees its own number.
    pub producer_pid: u32,
    /// How often it was borrowed, this time included: 1 at the first delivery.
    pub delivery_count: u32,
}

impl ItemInfo {
    /// Of an item that the caller holds for reading.
    fn of(attached: &Attached, claim: &Claim) -> Self {
        let slot = attached.slot(claim);
        // Relaxed, all: published by the item's commit, and since then written by holders alone, of which this is one.
        let put_time_ns = slot.put_time_ns.load(Ordering::Relaxed);
        Self {
            ticket: claim.ticket,
            put_time: SystemTime::UNIX_EPOCH + Duration::from_nanos(put_time_ns),
            producer_pid: slot.producer_pid.load(Ordering::Relaxed),
            delivery_count: slot.delivery_count.load(Ordering::Relaxed),
        }
    }
}

/// Write access to one slot, from reserve to commit.
///
/// Dropped without a commit it aborts: the slot is free again and readers see nothing. What a fresh loan's rows hold is
/// unspecified: an earlier item's bytes, or zeros.
#[derive(Debug)]
#[must_use = "dropped without a commit, a loan aborts"]
pub struct WriteLoan<'q> {
    attached: &'q Arc<Attached>,
    claim: Option<Claim>,
}

/// Read access to one item, from borrow to release.
///
/// Dropped without more it releases: the slot is free again. Dropped by a panic it gives the item back.
#[derive(Debug)]
#[must_use = "dropped, a loan releases its item"]
pub struct ReadLoan<'q> {
    attached: &'q Arc<Attached>,
    claim: Option<Claim>,
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
        Self { attached, claim: Some(claim) }
    }

    /// The queue's schema.
    pub fn schema(&self) -> &Schema {
        self.attached.schema()
    }

    /// The ticket that the item will have: its place in the order of all items of the queue.
    pub fn ticket(&self) -> u64 {
        held(&self.claim).ticket
    }

    /// The row of one leaf, by its number in the schema: its bytes in C order, aligned for its dtype.
    ///
    /// # Panics
    /// If the schema has no such leaf.
    pub fn leaf_bytes_mut(&mut self, leaf: usize) -> &mut [u8] {
        let (row, nbytes) = self.attached.segment().row(leaf, held(&self.claim).slot);
        // SAFETY: the row is mapped (N3) and this loan's alone (N1); `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(row.as_ptr(), nbytes) }
    }

    /// The same hold without a lifetime.
    pub fn into_hold(mut self) -> Hold {
        // A brief loan has not said it, and a hold is kept for a while.
        self.attached.say_since_when(self.claim.iter().map(|claim| claim.slot));
        Hold::writing(self.attached, self.claim.take())
    }

    /// Publishes the item: it is visible to readers when this returns.
    ///
    /// # Errors
    /// If the slot's state word was damaged.
    pub fn commit(mut self) -> Result<(), Corrupted> {
        end(self.attached, self.claim.take(), Attached::commit)
    }

    /// Gives the slot back unwritten.
    ///
    /// # Errors
    /// If the slot's state word was damaged.
    pub fn abort(mut self) -> Result<(), Corrupted> {
        end(self.attached, self.claim.take(), Attached::abort)
    }
}

impl Drop for WriteLoan<'_> {
    fn drop(&mut self) {
        // A damaged word is reported by the next call that meets it.
        let _ = end(self.attached, self.claim.take(), Attached::abort);
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
        Self { attached, claim: Some(claim) }
    }

    /// The queue's schema.
    pub fn schema(&self) -> &Schema {
        self.attached.schema()
    }

    /// The item's ticket: its place in the order of all items of the queue.
    pub fn ticket(&self) -> u64 {
        held(&self.claim).ticket
    }

    /// Ticket, put time, producer and delivery count.
    pub fn info(&self) -> ItemInfo {
        ItemInfo::of(self.attached, held(&self.claim))
    }

    /// The same hold without a lifetime.
    pub fn into_hold(mut self) -> Hold {
        // A brief loan has not said it, and a hold is kept for a while.
        self.attached.say_since_when(self.claim.iter().map(|claim| claim.slot));
        Hold::reading(self.attached, self.claim.take())
    }

    /// The row of one leaf, by its number in the schema: its bytes in C order, aligned for its dtype.
    ///
    /// # Panics
    /// If the schema has no such leaf.
    pub fn leaf_bytes(&self, leaf: usize) -> &[u8] {
        let (row, nbytes) = self.attached.segment().row(leaf, held(&self.claim).slot);
        // SAFETY: the row is mapped (N3), and nobody writes to it while it is held for reading (N1).
        unsafe { std::slice::from_raw_parts(row.as_ptr(), nbytes) }
    }

    /// Ends the read: the slot is free again.
    ///
    /// # Errors
    /// If the slot's state word was damaged.
    pub fn release(mut self) -> Result<(), Corrupted> {
        end(self.attached, self.claim.take(), Attached::release)
    }

    /// Ends an item that killed too many takers.
    pub(crate) fn drop_item(mut self) -> Result<(), Corrupted> {
        end(self.attached, self.claim.take(), Attached::drop_item)
    }

    /// Puts the item back: it comes first again.
    ///
    /// # Errors
    /// If the slot's state word was damaged.
    pub fn give_back(mut self) -> Result<(), Corrupted> {
        end(self.attached, self.claim.take(), Attached::give_back)
    }
}

impl Drop for ReadLoan<'_> {
    fn drop(&mut self) {
        // A damaged word is reported by the next call that meets it.
        let _ = end(self.attached, self.claim.take(), end_of_dropped_read());
    }
}

/// What becomes of an item whose loan is dropped: whoever panics has not done with it what was to be done.
fn end_of_dropped_read() -> fn(&Attached, Claim) -> Result<(), Corrupted> {
    if std::thread::panicking() { Attached::give_back } else { Attached::release }
}

/// The claim of a loan that has not ended.
fn held(claim: &Option<Claim>) -> &Claim {
    claim.as_ref().expect("N2: only what consumes the loan takes its claim")
}

/// Ends a loan, once (N2), and in its own process alone (N4).
fn end(
    attached: &Attached,
    claim: Option<Claim>,
    how: impl FnOnce(&Attached, Claim) -> Result<(), Corrupted>,
) -> Result<(), Corrupted> {
    match claim {
        Some(claim) if attached.is_this_process() => how(attached, claim),
        _ => Ok(()),
    }
}

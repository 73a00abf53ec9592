//! Loans: zero-copy access to one slot's rows.
//!
//! A loan is proof that this process moved its slot out of FREE (to write) or out of READY or RETURNED (to read).
//!
//! N1. Across all processes, at most one loan names a slot: the ring's R1 and R3.
//! N2. A loan ends once: committed, aborted, released, given back, or swept after its owner's death.
//! N3. A loan borrows its queue, so the segment stays mapped and the participant registered while it lives.
//! N4. In a forked child an inherited loan is the parent's: dropping it does nothing there.

use crate::attached::Attached;
use crate::error::Corrupted;
use crate::ring::Claim;
use crate::schema::Schema;
use crate::sync::Ordering;

/// Write access to one slot, from reserve to commit.
///
/// Dropped without a commit it aborts: the slot is free again and readers see nothing. What a fresh loan's rows hold is
/// unspecified: an earlier item's bytes, or zeros.
#[derive(Debug)]
#[must_use = "dropped without a commit, a loan aborts"]
pub struct WriteLoan<'q> {
    attached: &'q Attached,
    claim: Option<Claim>,
}

/// Read access to one item, from borrow to release.
///
/// Dropped without more it releases: the slot is free again.
#[derive(Debug)]
#[must_use = "dropped, a loan releases its item"]
pub struct ReadLoan<'q> {
    attached: &'q Attached,
    claim: Option<Claim>,
}

impl<'q> WriteLoan<'q> {
    pub(crate) fn new(attached: &'q Attached, claim: Claim) -> Self {
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
    pub(crate) fn new(attached: &'q Attached, claim: Claim) -> Self {
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

    /// How often the item was borrowed, this time included: 1 at the first delivery.
    pub fn delivery_count(&self) -> u32 {
        // Relaxed: only the holder writes it, and this is the holder.
        self.attached.slot(held(&self.claim)).delivery_count.load(Ordering::Relaxed)
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
        let _ = end(self.attached, self.claim.take(), Attached::release);
    }
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

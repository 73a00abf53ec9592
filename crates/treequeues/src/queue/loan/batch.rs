//! Loans of several slots.
//!
//! Each of a leaf's rows that lie side by side in memory come as one run: a batch that is consecutive in the ring is one
//! run a leaf, one that goes past the ring's end two.

use std::sync::Arc;

use super::{Attached, Claim, Hold, ItemInfo, end_of_dropped_read};
use crate::error::{ArrivalError, Corrupted};
use crate::item::schema::Schema;
use crate::queue::publishing::ItemOrigin;

/// Write access to several slots, from reserve to commit.
///
/// Dropped without a commit it aborts: the slots are free again and readers see nothing.
#[derive(Debug)]
#[must_use = "dropped without a commit, a batch aborts"]
pub struct WriteBatch<'q> {
    attached: &'q Arc<Attached>,
    claims: Vec<Claim>,
}

/// Read access to several items, from borrow to release.
///
/// Dropped without more it releases: the slots are free again. Dropped by a panic it gives the items back.
#[derive(Debug)]
#[must_use = "dropped, a batch releases its items"]
pub struct ReadBatch<'q> {
    attached: &'q Arc<Attached>,
    claims: Vec<Claim>,
}

impl<'q> WriteBatch<'q> {
    pub(crate) fn new(attached: &'q Arc<Attached>, claims: Vec<Claim>) -> Self {
        attached.say_since_when(claims.iter().map(|claim| claim.slot));
        Self { attached, claims }
    }

    /// The queue's schema.
    pub fn schema(&self) -> &Schema {
        self.attached.schema()
    }

    /// Slots, at least one.
    #[expect(clippy::len_without_is_empty, reason = "no batch is empty")]
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// The row of one leaf in one of the slots, by their numbers in the schema and in the batch.
    ///
    /// # Panics
    /// If there is no such slot or leaf.
    pub fn leaf_bytes_mut(&mut self, item: usize, leaf: usize) -> &mut [u8] {
        let (row, nbytes) = self.attached.segment().row(leaf, self.claims[item].slot);
        // SAFETY: the row is mapped (N3) and this batch's alone (N1); `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(row.as_ptr(), nbytes) }
    }

    /// Calls `fill` with the rows of one leaf, run by run: the number of the run's first slot within the batch, and the
    /// bytes of all its rows, one after the other.
    ///
    /// # Panics
    /// If the schema has no such leaf.
    pub fn for_each_run(&mut self, leaf: usize, mut fill: impl FnMut(usize, &mut [u8])) {
        let row_nbytes = self.schema().leaves()[leaf].nbytes();
        for (first, slot, count) in runs(&self.claims) {
            let (row, _) = self.attached.segment().row(leaf, slot);
            // SAFETY: the rows are mapped (N3), one after the other, and this batch's alone (N1); `&mut self` makes this the
            // only reference.
            let run = unsafe { std::slice::from_raw_parts_mut(row.as_ptr(), count * row_nbytes) };
            fill(first, run);
        }
    }

    /// The rows of one leaf, if they are one run.
    pub(super) fn only_run_mut(&mut self, leaf: usize) -> Option<&mut [u8]> {
        let mut found = runs(&self.claims);
        let ((_, slot, count), None) = (found.next()?, found.next()) else { return None };
        let row_nbytes = self.schema().leaves()[leaf].nbytes();
        let (row, _) = self.attached.segment().row(leaf, slot);
        // SAFETY: as in `for_each_run` (N1, N3).
        Some(unsafe { std::slice::from_raw_parts_mut(row.as_ptr(), count * row_nbytes) })
    }

    /// The same hold without a lifetime.
    pub fn into_hold(mut self) -> Hold {
        Hold::writing(self.attached, std::mem::take(&mut self.claims))
    }

    /// Publishes the items, in order: they are visible to readers when this returns. If this process is killed meanwhile, all of them
    /// come, or none; others may see the first ones before the rest.
    ///
    /// # Errors
    /// If a slot's state word was damaged.
    pub fn commit(mut self) -> Result<(), Corrupted> {
        commit(self.attached, &mut self.claims)
    }

    /// The tickets that the items will have, in order.
    pub fn tickets(&self) -> impl Iterator<Item = u64> {
        self.claims.iter().map(|claim| claim.ticket)
    }

    /// Publishes items that were put into another host's queue first, as `commit` does: consumers see that host's name, put times and
    /// producers in their `ItemInfo`. For whoever brings items from there, one process at a time for a queue: after its death its successor
    /// learns by [`Queue::has_arrived`](crate::Queue::has_arrived) whether the last batch came.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use treequeues::{BatchSize, ItemOrigin, Queue, Schema};
    ///
    /// let queue = Queue::create_local(Schema::array::<f32>([3])?, 4)?;
    /// let batch = queue.try_reserve_batch(BatchSize::exactly(2))?;
    /// let first = batch.tickets().next().expect("two");
    /// let origin = ItemOrigin { put_time: SystemTime::now(), producer_pid: 77, delivery_count: 0 };
    /// batch.commit_from("actors-3", &[origin; 2])?;
    ///
    /// assert_eq!(queue.has_arrived(first)?, Some(true));
    /// assert_eq!(queue.try_borrow()?.info().host.as_deref(), Some("actors-3"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the host's name is empty, longer than 64 bytes or has a zero byte, or if the queue has items of 256 other hosts: nothing is put
    /// then, and the slots are free again. If a slot's state word was damaged.
    ///
    /// # Panics
    /// If there are not as many origins as slots.
    pub fn commit_from(mut self, host: &str, origins: &[ItemOrigin]) -> Result<(), ArrivalError> {
        assert_eq!(origins.len(), self.len(), "an origin for each slot");
        let claims = std::mem::take(&mut self.claims);
        if self.attached.is_this_process() {
            self.attached.commit_all_from(host, origins, claims)
        } else {
            Ok(())
        }
    }

    /// Gives the slots back unwritten.
    ///
    /// # Errors
    /// If a slot's state word was damaged.
    pub fn abort(mut self) -> Result<(), Corrupted> {
        end(self.attached, &mut self.claims, Attached::abort)
    }
}

impl Drop for WriteBatch<'_> {
    fn drop(&mut self) {
        // A damaged word is reported by the next call that meets it.
        let _ = end(self.attached, &mut self.claims, Attached::abort);
    }
}

impl<'q> ReadBatch<'q> {
    pub(crate) fn new(attached: &'q Arc<Attached>, claims: Vec<Claim>) -> Self {
        attached.say_since_when(claims.iter().map(|claim| claim.slot));
        Self { attached, claims }
    }

    /// The queue's schema.
    pub fn schema(&self) -> &Schema {
        self.attached.schema()
    }

    /// Items, at least one.
    #[expect(clippy::len_without_is_empty, reason = "no batch is empty")]
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Ticket, put time, producer and delivery count of each item, oldest first.
    pub fn infos(&self) -> impl Iterator<Item = ItemInfo> {
        self.claims.iter().map(|claim| ItemInfo::of(self.attached, claim))
    }

    /// The row of one leaf of one of the items, by their numbers in the schema and in the batch.
    ///
    /// # Panics
    /// If there is no such item or leaf.
    pub fn leaf_bytes(&self, item: usize, leaf: usize) -> &[u8] {
        let (row, nbytes) = self.attached.segment().row(leaf, self.claims[item].slot);
        // SAFETY: the row is mapped (N3), and nobody writes to it while it is held for reading (N1).
        unsafe { std::slice::from_raw_parts(row.as_ptr(), nbytes) }
    }

    /// The rows of one leaf, run by run: the number of the run's first item within the batch, and the bytes of all its
    /// rows, one after the other.
    ///
    /// # Panics
    /// If the schema has no such leaf.
    pub fn runs(&self, leaf: usize) -> impl Iterator<Item = (usize, &[u8])> {
        let row_nbytes = self.schema().leaves()[leaf].nbytes();
        runs(&self.claims).map(move |(first, slot, count)| {
            let (row, _) = self.attached.segment().row(leaf, slot);
            // SAFETY: the rows are mapped (N3), one after the other, and nobody writes to them while they are held for
            // reading (N1).
            (first, unsafe { std::slice::from_raw_parts(row.as_ptr(), count * row_nbytes) })
        })
    }

    /// The same hold without a lifetime.
    pub fn into_hold(mut self) -> Hold {
        Hold::reading(self.attached, std::mem::take(&mut self.claims))
    }

    /// Ends the read: the slots are free again.
    ///
    /// # Errors
    /// If a slot's state word was damaged.
    pub fn release(mut self) -> Result<(), Corrupted> {
        end(self.attached, &mut self.claims, Attached::release)
    }

    /// Puts the items back: they come first again.
    ///
    /// # Errors
    /// If a slot's state word was damaged.
    pub fn give_back(mut self) -> Result<(), Corrupted> {
        end(self.attached, &mut self.claims, Attached::give_back)
    }
}

impl Drop for ReadBatch<'_> {
    fn drop(&mut self) {
        // A damaged word is reported by the next call that meets it.
        let _ = end(self.attached, &mut self.claims, end_of_dropped_read());
    }
}

/// The maximal runs of slots that lie side by side: the index of the first claim, its slot, and how many they are.
fn runs(claims: &[Claim]) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let slot = claims.get(first)?.slot;
        let count =
            claims[first..].iter().zip(slot..).take_while(|(claim, slot)| claim.slot == *slot).count();
        let run = (first, slot, count);
        first += count;
        Some(run)
    })
}

/// Commits the loans of a batch as one, each once (N2), and in their own process alone (N4).
pub(super) fn commit(attached: &Attached, claims: &mut Vec<Claim>) -> Result<(), Corrupted> {
    let claims = std::mem::take(claims);
    if attached.is_this_process() { attached.commit_all(claims) } else { Ok(()) }
}

/// Ends all loans of a batch, each once (N2), and in their own process alone (N4). Reports the first error, and goes on.
pub(super) fn end(
    attached: &Attached,
    claims: &mut Vec<Claim>,
    how: impl Fn(&Attached, Claim) -> Result<(), Corrupted>,
) -> Result<(), Corrupted> {
    let claims = std::mem::take(claims);
    if attached.is_this_process() { attached.end_all(claims, how) } else { Ok(()) }
}

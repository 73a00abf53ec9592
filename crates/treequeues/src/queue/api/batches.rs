//! Several slots for one call.

use super::Queue;
use crate::error::{BorrowError, ReserveError};
use crate::queue::attempts::{take, take_now};
use crate::queue::batch::{BatchSize, Elsewhere, Many};
use crate::queue::loan::{ReadBatch, WriteBatch};
use crate::queue::side::{Items, Slots};
use crate::wait::Wait;

impl Queue {
    /// Takes free slots if enough are there now: see `BatchSize`.
    ///
    /// # Errors
    /// As `reserve_batch_with`, but not `Interrupted`.
    ///
    /// # Panics
    /// If the batch is larger than the queue's capacity.
    pub fn try_reserve_batch(&self, size: BatchSize) -> Result<WriteBatch<'_>, ReserveError> {
        self.try_reserve_batch_or_until(size, &mut || false)
    }

    /// The same, but a claim that takes long, of millions of slots, ends early when `interrupted` returns true. It is asked after a
    /// tenth of a second, then after four times as long, and so on, while the call holds nothing: it gives all back and begins anew.
    ///
    /// # Errors
    /// As `reserve_batch_with`.
    ///
    /// # Panics
    /// If the batch is larger than the queue's capacity.
    pub fn try_reserve_batch_or_until(
        &self,
        size: BatchSize,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<WriteBatch<'_>, ReserveError> {
        let attached = self.attached()?;
        self.check(size);
        let slots = Slots(attached);
        let claims = take_now(slots, Many::new(slots, size), Wait::not_at_all(Some(interrupted)))?;
        Ok(WriteBatch::new(attached, claims))
    }

    /// Waits for free slots as long as `wait` says. It holds none while it waits.
    ///
    /// # Errors
    /// `Full` when not enough became free in time, `ShutDown`, `Interrupted`, or a damaged segment.
    ///
    /// # Panics
    /// If the batch is larger than the queue's capacity.
    pub fn reserve_batch_with(
        &self,
        size: BatchSize,
        wait: Wait<'_>,
    ) -> Result<WriteBatch<'_>, ReserveError> {
        let attached = self.attached()?;
        self.check(size);
        let slots = Slots(attached);
        let claims = take(slots, Many::new(slots, size), wait)?;
        Ok(WriteBatch::new(attached, claims))
    }

    /// Takes free slots for an item whose own slots linger because views of them live, as many as it has, or waits for them
    /// as long as `wait` says: see [`Hold::elsewhere`](crate::Hold::elsewhere).
    ///
    /// A wait needs hope: slots that are free, or hold items, or that somebody reads or writes, and no other loan of the
    /// calling thread. While views keep all other slots, one of the calls that wait so fails, and the others some seconds later.
    ///
    /// # Errors
    /// `Kept` where there is no hope, `Full` when not enough slots became free in time, `ShutDown`, `Interrupted`, or a damaged
    /// segment.
    pub fn reserve_elsewhere_with(
        &self,
        item: Elsewhere,
        wait: Wait<'_>,
    ) -> Result<WriteBatch<'_>, ReserveError> {
        let attached = self.attached()?;
        Ok(WriteBatch::new(attached, attached.reserve_elsewhere(item, wait)?))
    }

    /// Takes the oldest items if enough are there now: see `BatchSize`.
    ///
    /// # Errors
    /// As `borrow_batch_with`, but not `Interrupted`.
    ///
    /// # Panics
    /// If the batch is larger than the queue's capacity.
    pub fn try_borrow_batch(&self, size: BatchSize) -> Result<ReadBatch<'_>, BorrowError> {
        self.try_borrow_batch_or_until(size, &mut || false)
    }

    /// The same, but a claim that takes long ends early when `interrupted` returns true: as `try_reserve_batch_or_until`.
    ///
    /// # Errors
    /// As `borrow_batch_with`.
    ///
    /// # Panics
    /// If the batch is larger than the queue's capacity.
    pub fn try_borrow_batch_or_until(
        &self,
        size: BatchSize,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<ReadBatch<'_>, BorrowError> {
        let attached = self.attached()?;
        self.check(size);
        let items = Items { attached, drop_item: |claim| self.drop_item(attached, claim) };
        let claims = take_now(items, Many::new(items, size), Wait::not_at_all(Some(interrupted)))?;
        Ok(ReadBatch::new(attached, claims))
    }

    /// Waits for items as long as `wait` says. It holds none while it waits, and takes none if there are too few.
    ///
    /// ```
    /// # use treequeues::{BatchSize, Dtype, LeafKind, LeafSpec, Queue, Schema, Structure, Wait};
    /// # let leaf = LeafSpec::new(Dtype::from_name("uint8")?, vec![2], LeafKind::Array);
    /// # let queue = Queue::create(Schema::new(Structure::leaf(), vec![leaf])?, 8)?;
    /// for number in 0..3 {
    ///     let mut loan = queue.reserve()?;
    ///     loan.leaf_bytes_mut(0).fill(number);
    ///     loan.commit()?;
    /// }
    /// let batch = queue.borrow_batch_with(BatchSize::exactly(3), Wait::forever())?;
    /// let rows: Vec<u8> = batch.runs(0).flat_map(|(_, run)| run.to_vec()).collect();
    /// assert_eq!(rows, [0, 0, 1, 1, 2, 2]);
    /// batch.release()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `Empty` when not enough came in time, `ShutDown` when the queue is shut down and fewer are left than wanted,
    /// `Interrupted`, `OnDrop`, or a damaged segment.
    ///
    /// # Panics
    /// If the batch is larger than the queue's capacity.
    pub fn borrow_batch_with(&self, size: BatchSize, wait: Wait<'_>) -> Result<ReadBatch<'_>, BorrowError> {
        let attached = self.attached()?;
        self.check(size);
        let items = Items { attached, drop_item: |claim| self.drop_item(attached, claim) };
        let claims = take(items, Many::new(items, size), wait)?;
        Ok(ReadBatch::new(attached, claims))
    }

    /// Takes batches of `n` items until the queue is shut down and drained; the last one is what is left, and may be smaller.
    ///
    /// ```
    /// # use treequeues::{Queue, Schema};
    /// let queue = Queue::create(Schema::array::<f32>([2])?, 8)?;
    /// for _ in 0..5 {
    ///     queue.reserve()?.commit()?;
    /// }
    /// queue.shutdown(false)?;
    /// let mut sizes = Vec::new();
    /// for batch in queue.batches(2) {
    ///     let batch = batch?;
    ///     sizes.push(batch.len());
    ///     batch.release()?;
    /// }
    /// assert_eq!(sizes, [2, 2, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If there are no batches of that size: of none, or of more than the queue's capacity.
    pub fn batches(&self, n: usize) -> Batches<'_> {
        let size = BatchSize::exactly(n);
        self.check(size);
        Batches { queue: self, size, takes_the_rest: true }
    }

    /// A batch that can never be had would be waited for in vain.
    fn check(&self, size: BatchSize) {
        let capacity = self.capacity();
        assert!(size.max() <= capacity, "a batch of {} from a queue of {capacity} slots", size.max());
    }
}

/// The batches of a queue until its end: see [`Queue::batches`].
#[derive(Clone, Debug)]
pub struct Batches<'q> {
    queue: &'q Queue,
    size: BatchSize,
    takes_the_rest: bool,
}

impl Batches<'_> {
    /// Without what is left at the end, if that is no whole batch: it stays in the queue.
    #[must_use]
    pub fn drop_last(self) -> Self {
        Self { takes_the_rest: false, ..self }
    }
}

impl<'q> Iterator for Batches<'q> {
    type Item = Result<ReadBatch<'q>, BorrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.queue.borrow_batch_with(self.size, Wait::forever()) {
            Err(BorrowError::ShutDown(_)) => {}
            taken => return Some(taken),
        }
        if !self.takes_the_rest {
            return None;
        }
        // Other consumers may take the rest too, or give more of it back.
        let rest = BatchSize::between(1, self.size.max());
        match self.queue.borrow_batch_with(rest, Wait::forever()) {
            Err(BorrowError::ShutDown(_)) => None,
            taken => Some(taken),
        }
    }
}

//! The queue: one process's access to a segment, and the verbs reserve, commit, borrow, release.
//!
//! What a process does to a segment is in `attached`; this is the public face of it.
//!
//! | module | what it is |
//! |---|---|
//! | `attaching` | creating queues, and ways to come to one: names, descriptors, handles |
//! | `batches` | several slots for one call |
//! | `dropping` | items that killed too many takers |
//! | `stand_ins` | other processes, in tests without any |

mod attaching;
mod batches;
mod dropping;
#[cfg(test)]
mod stand_ins;

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::error::{AttachError, BorrowError, ProducingError, ReserveError};
use crate::item::schema::Schema;
use crate::memory::segment::SegmentId;
use crate::presence::attached::Peers;
use crate::presence::door::Door;
use crate::queue::attempts::{One, take_after_sweep, take_slowly};
use crate::queue::here::{Attached, Here};
use crate::queue::loan::{ReadLoan, WriteLoan};
use crate::queue::producing::Producing;
use crate::queue::side::{Items, Side, Slots};
use crate::queue::stats::{Snapshot, Stats};
use crate::wait::Wait;

pub use batches::Batches;
use dropping::OnDrop;

/// A queue of trees of arrays, shared by processes.
///
/// Cheap to clone; clones, and queues attached again in the same process, are one participant. After a fork the child
/// becomes a participant of its own at its first call.
///
/// ```
/// use treequeues::{Dtype, LeafKind, LeafSpec, Queue, Schema, Structure};
///
/// let leaf = LeafSpec::new(Dtype::from_name("float32")?, vec![3], LeafKind::Array);
/// let queue = Queue::create(Schema::new(Structure::leaf(), vec![leaf])?, 8)?;
///
/// let mut loan = queue.reserve()?;
/// loan.leaf_bytes_mut(0).fill(0);
/// loan.commit()?;
///
/// let item = queue.borrow()?;
/// assert_eq!(item.leaf_bytes(0), [0; 12]);
/// item.release()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Queue {
    door: Door<Here>,
    /// Of this object and its clones, in forked children too.
    on_drop: Option<OnDrop>,
}

/// So many slots are passed in some 50 us.
const LONG_WALK: usize = 4096;

impl Queue {
    /// Waits for a free slot, for ever.
    ///
    /// # Errors
    /// As `reserve_with`, but neither `Full` nor `Interrupted`.
    pub fn reserve(&self) -> Result<WriteLoan<'_>, ReserveError> {
        self.reserve_with(Wait::forever())
    }

    /// Takes a free slot if there is one now.
    ///
    /// # Errors
    /// As `reserve_with`, but not `Interrupted`.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn try_reserve(&self) -> Result<WriteLoan<'_>, ReserveError> {
        let attached = self.attached()?;
        let slots = Slots(attached);
        let claim =
            slots.claim()?.map_or_else(|| take_after_sweep(slots, One(slots), Wait::not_at_all(None)), Ok)?;
        Ok(WriteLoan::new(attached, claim))
    }

    /// Waits for a free slot as long as `wait` says.
    ///
    /// # Errors
    /// `Full` when none became free in time, `ShutDown`, `Interrupted`, or a damaged segment.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn reserve_with(&self, wait: Wait<'_>) -> Result<WriteLoan<'_>, ReserveError> {
        let attached = self.attached()?;
        let slots = Slots(attached);
        let first = if wait.has_tried() { None } else { slots.claim()? };
        let claim = first.map_or_else(|| take_slowly(slots, One(slots), wait), Ok)?;
        Ok(WriteLoan::new(attached, claim))
    }

    /// Waits for an item, for ever.
    ///
    /// # Errors
    /// As `borrow_with`, but neither `Empty` nor `Interrupted`.
    pub fn borrow(&self) -> Result<ReadLoan<'_>, BorrowError> {
        self.borrow_with(Wait::forever())
    }

    /// Takes the oldest item if there is one now.
    ///
    /// # Errors
    /// As `borrow_with`, but not `Interrupted`.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn try_borrow(&self) -> Result<ReadLoan<'_>, BorrowError> {
        let attached = self.attached()?;
        let items = Items { attached, drop_item: |claim| self.drop_item(attached, claim) };
        let claim =
            items.claim()?.map_or_else(|| take_after_sweep(items, One(items), Wait::not_at_all(None)), Ok)?;
        Ok(ReadLoan::new(attached, claim))
    }

    /// Waits for an item as long as `wait` says.
    ///
    /// # Errors
    /// `Empty` when none came in time, `ShutDown` when the queue is shut down and drained, `Interrupted`, `OnDrop`, or a
    /// damaged segment.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn borrow_with(&self, wait: Wait<'_>) -> Result<ReadLoan<'_>, BorrowError> {
        let attached = self.attached()?;
        let items = Items { attached, drop_item: |claim| self.drop_item(attached, claim) };
        let first = if wait.has_tried() { None } else { items.claim()? };
        let claim = first.map_or_else(|| take_slowly(items, One(items), wait), Ok)?;
        Ok(ReadLoan::new(attached, claim))
    }

    /// As `reserve_with`, for a loan that ends within the caller's call: it does not say since when the slot is held, which
    /// spares a look at the clock.
    ///
    /// # Errors
    /// As `reserve_with`.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn reserve_briefly_with(&self, wait: Wait<'_>) -> Result<WriteLoan<'_>, ReserveError> {
        // Written out, here and in its kin: a function that they shared, and that returned the claim beside the attachment, took a
        // pair from 97 to 105 ns.
        let attached = self.attached()?;
        let slots = Slots(attached);
        let first = if wait.has_tried() { None } else { slots.claim()? };
        let claim = first.map_or_else(|| take_slowly(slots, One(slots), wait), Ok)?;
        Ok(WriteLoan::brief(attached, claim))
    }

    /// As `try_reserve`, for a loan that ends within the caller's call: see `reserve_briefly_with`.
    ///
    /// # Errors
    /// As `try_reserve`.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn try_reserve_briefly(&self) -> Result<WriteLoan<'_>, ReserveError> {
        let attached = self.attached()?;
        let slots = Slots(attached);
        let claim =
            slots.claim()?.map_or_else(|| take_after_sweep(slots, One(slots), Wait::not_at_all(None)), Ok)?;
        Ok(WriteLoan::brief(attached, claim))
    }

    /// As `borrow_with`, for a loan that ends within the caller's call: see `reserve_briefly_with`.
    ///
    /// # Errors
    /// As `borrow_with`.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn borrow_briefly_with(&self, wait: Wait<'_>) -> Result<ReadLoan<'_>, BorrowError> {
        let attached = self.attached()?;
        let items = Items { attached, drop_item: |claim| self.drop_item(attached, claim) };
        let first = if wait.has_tried() { None } else { items.claim()? };
        let claim = first.map_or_else(|| take_slowly(items, One(items), wait), Ok)?;
        Ok(ReadLoan::brief(attached, claim))
    }

    /// As `try_borrow`, for a loan that ends within the caller's call: see `reserve_briefly_with`.
    ///
    /// # Errors
    /// As `try_borrow`.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn try_borrow_briefly(&self) -> Result<ReadLoan<'_>, BorrowError> {
        let attached = self.attached()?;
        let items = Items { attached, drop_item: |claim| self.drop_item(attached, claim) };
        let claim =
            items.claim()?.map_or_else(|| take_after_sweep(items, One(items), Wait::not_at_all(None)), Ok)?;
        Ok(ReadLoan::brief(attached, claim))
    }

    /// Whether a borrow is likely to find an item: a cheap look that may be wrong either way.
    pub fn may_borrow(&self) -> bool {
        self.attached().is_ok_and(|attached| attached.may_borrow())
    }

    /// Shuts the queue down for everyone: reserves fail, borrows drain what is there and then fail; if `immediate`,
    /// they fail at once. Everybody who waits is woken. Shutting down twice is harmless.
    ///
    /// # Errors
    /// In a forked child that could not join the queue.
    pub fn shutdown(&self, immediate: bool) -> Result<(), AttachError> {
        self.attached()?.shutdown(immediate);
        Ok(())
    }

    /// Finds participants that died, and returns what they held. Calls that find nothing do this by themselves.
    ///
    /// # Errors
    /// If the segment is damaged, or the system refuses to tell who lives.
    pub fn sweep(&self) -> Result<usize, AttachError> {
        Ok(self.attached()?.sweep()?.deaths)
    }

    /// Wakes all who wait at the queue, in any process: those that find nothing ask what they were told to ask
    /// ([`Wait::or_until`](crate::Wait::or_until)), and wait on. Does nothing in a forked child that has not used the queue.
    pub fn wake_all(&self) {
        self.door.wake_all();
    }

    /// How many items can be taken. With up to 1024 slots, all are looked at. With more, it takes about as long, and slots that are
    /// being written or read may count as items.
    ///
    /// # Errors
    /// If the segment is damaged.
    pub fn len(&self) -> Result<usize, AttachError> {
        Ok(self.attached()?.len()?)
    }

    /// Whether no item can be taken.
    ///
    /// # Errors
    /// If the segment is damaged.
    pub fn is_empty(&self) -> Result<bool, AttachError> {
        Ok(self.attached()?.is_empty()?)
    }

    /// Whether an item that was put under this ticket is done with: a consumer released it, or it was dropped. An item that is being
    /// read, or has been given back, is not; one whose views live on is. For whoever forwards items, and may forget them only then:
    ///
    /// ```
    /// use treequeues::{Queue, Schema};
    ///
    /// let queue = Queue::create_local(Schema::array::<f32>([3])?, 4)?;
    /// let loan = queue.try_reserve()?;
    /// let ticket = loan.ticket();
    /// loan.commit()?;
    /// assert!(!queue.is_released(ticket)?);
    /// queue.try_borrow()?.release()?;
    /// assert!(queue.is_released(ticket)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Ask only once the put has returned. Of an item that is still being written, or was aborted, and of a ticket of another queue, the
    /// answer means nothing.
    ///
    /// # Errors
    /// If the segment is damaged.
    pub fn is_released(&self, ticket: u64) -> Result<bool, AttachError> {
        Ok(self.attached()?.ring().is_released(ticket)?)
    }

    /// Whether a batch that was brought from another host has come: all of it, or nothing, and nothing more. `ticket` is that of its first
    /// item, of the last batch for which [`WriteBatch::commit_from`](crate::WriteBatch::commit_from) was called, or was about to be, by a
    /// process that may have died there. `None` while that is open: the process lives, or no sweep has found it dead yet
    /// ([`Queue::sweep`]).
    ///
    /// # Errors
    /// If the segment is damaged.
    pub fn has_arrived(&self, ticket: u64) -> Result<Option<bool>, AttachError> {
        Ok(self.attached()?.ring().arrival_of(ticket)?)
    }

    /// Whether no slot can be filled: each holds an item, or is being written or read.
    ///
    /// # Errors
    /// If the segment is damaged.
    pub fn is_full(&self) -> Result<bool, AttachError> {
        Ok(!self.attached()?.ring().has_free()?)
    }

    /// Whether a call that reserves a slot now may have to pass thousands of others: a caller with a lock that others wait for
    /// gives that up first.
    #[inline]
    pub fn reserve_may_be_long(&self) -> bool {
        self.capacity() > LONG_WALK
            && self.attached().is_ok_and(|attached| attached.ring().reserve_may_be_long(LONG_WALK))
    }

    /// The same of a call that borrows an item.
    #[inline]
    pub fn borrow_may_be_long(&self) -> bool {
        self.capacity() > LONG_WALK
            && self.attached().is_ok_and(|attached| attached.borrow_may_be_long(LONG_WALK))
    }

    /// The same of `len`.
    #[inline]
    pub fn len_may_be_long(&self) -> bool {
        self.capacity() > LONG_WALK
            && self.attached().is_ok_and(|attached| attached.size_may_be_long(LONG_WALK))
    }

    /// The same of a batch's commit: another thread of this process may be committing one, and they do so one after the other.
    #[inline]
    pub fn commit_may_be_long(&self) -> bool {
        self.attached().is_ok_and(|attached| attached.is_publishing())
    }

    /// What is in the queue now, slot by slot counted.
    ///
    /// # Errors
    /// If a state word is damaged.
    pub fn snapshot(&self) -> Result<Snapshot, AttachError> {
        let attached = self.attached()?;
        Ok(Snapshot::take(attached.segment(), attached.ring())?)
    }

    /// What is in the queue now, what was done to it, and who holds what. With more than 4096 slots, what is said of slots may be
    /// up to 100 ms old, or 400 times as old as a look at all of them takes: about 4 s at a million slots.
    ///
    /// # Errors
    /// If the segment is damaged, or the system refuses to tell who lives.
    pub fn stats(&self) -> Result<Stats, AttachError> {
        self.attached()?.stats()
    }

    /// Who else uses the queue, beside the calling thread: for a call that has waited for long.
    ///
    /// # Errors
    /// If the system refuses to tell who lives.
    pub fn peers(&self) -> Result<Peers, AttachError> {
        self.attached()?.peers()
    }

    /// The queue's schema.
    pub fn schema(&self) -> &Arc<Schema> {
        self.door.segment().schema()
    }

    /// How many items fit in.
    pub fn capacity(&self) -> usize {
        self.door.segment().layout().capacity
    }

    /// How many takers an item may kill before it is dropped; `None` for no limit. See
    /// [`CreateOptions::max_deliveries`](crate::CreateOptions::max_deliveries).
    pub fn max_deliveries(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.door.segment().max_deliveries())
    }

    /// How many producers there will be; `None` if that was not said. See
    /// [`CreateOptions::producers`](crate::CreateOptions::producers).
    pub fn producers(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.door.segment().producers())
    }

    /// Begins the block of a producer, in a queue that was made with a number of producers
    /// ([`CreateOptions::producers`](crate::CreateOptions::producers)). It ends when the guard is dropped, in a panic too, or with this
    /// process. When so many blocks have begun, or more, and none is left, the queue is shut down for draining: consumers take what is
    /// there, and then get `ShutDown`.
    ///
    /// Blocks are counted, not processes: a process, or a thread, may have several, one after the other or at once. A forked child has
    /// none of its parent's.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use treequeues::{BorrowError, CreateOptions, Queue, Schema};
    ///
    /// let options = CreateOptions { producers: NonZeroU32::new(2), ..CreateOptions::default() };
    /// let queue = Queue::create_with(Schema::array::<f32>([2])?, 8, options)?;
    /// for _ in 0..2 {
    ///     let producing = queue.producing()?;
    ///     queue.reserve()?.commit()?;
    ///     producing.end();
    /// }
    /// queue.borrow()?.release()?;
    /// queue.borrow()?.release()?;
    /// let Err(BorrowError::ShutDown(end)) = queue.borrow() else { unreachable!() };
    /// assert_eq!(end.ended().map(|ended| (ended.came, ended.died)), Some((2, 0)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `NotCounted` if the queue was made without a number of producers, `ShutDown` if the stream has ended or the queue was shut down.
    pub fn producing(&self) -> Result<Producing, ProducingError> {
        Producing::begin(self.attached()?)
    }

    /// Whether a put that finds the queue full drops the oldest item. See
    /// [`CreateOptions::drop_oldest`](crate::CreateOptions::drop_oldest).
    pub fn drops_oldest(&self) -> bool {
        self.door.segment().drops_oldest()
    }

    /// Bytes of the whole segment.
    pub fn nbytes(&self) -> usize {
        self.door.segment().layout().total_nbytes
    }

    /// The random name of the segment.
    pub fn id(&self) -> SegmentId {
        self.door.segment().id()
    }

    /// Whether nothing else of this process uses the queue: its drop then leaves the queue, and unmaps its memory, which takes
    /// time. Other threads may change that at any moment.
    pub fn is_last_here(&self) -> bool {
        self.door.is_last_here()
    }

    /// Whether this process is attached. A forked child is not: it attaches at its first call, which may take time, or by
    /// `attach_after_fork`.
    #[inline]
    pub fn is_attached_here(&self) -> bool {
        self.door.is_attached_here()
    }

    /// Attaches a forked child, if it is not attached yet.
    ///
    /// # Errors
    /// If the segment cannot be mapped, or all its places are taken.
    pub fn attach_after_fork(&self) -> Result<(), AttachError> {
        self.attached().map(drop)
    }

    fn new(attached: Arc<Attached>) -> Self {
        Self::through(Door::new(attached))
    }

    fn through(door: Door<Here>) -> Self {
        Self { door, on_drop: None }
    }

    /// This process's attachment: in a forked child, one of its own.
    #[inline]
    pub(crate) fn attached(&self) -> Result<&Arc<Attached>, AttachError> {
        self.door.attached()
    }
}

impl Clone for Queue {
    fn clone(&self) -> Self {
        Self { door: self.door.clone(), on_drop: self.on_drop.clone() }
    }
}

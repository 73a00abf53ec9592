//! The queue: one process's access to a segment, and the verbs reserve, commit, borrow, release.
//!
//! What a process does to a segment is in `attached`; this is the public face of it. `dropping` is about items that killed too
//! many takers.

mod dropping;

use std::fs::OpenOptions;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, OnceLock};

use crate::attached::Attached;
use crate::batch::BatchSize;
use crate::error::{AttachError, BorrowError, CreateError, OpenError, ReserveError};
use crate::fork;
use crate::loan::{ReadBatch, ReadLoan, WriteBatch, WriteLoan};
use crate::monitor::{Snapshot, Stats};
use crate::name::QueueName;
use crate::schema::{Schema, SchemaDifference};
use crate::segment::{CreateOptions, Segment, SegmentId};
use crate::wait::Wait;
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
    attached: Arc<Attached>,
    /// What `attached` is replaced by in a forked child (`attached` A2).
    after_fork: OnceLock<Box<Queue>>,
    /// Of this object and its clones, in forked children too.
    on_drop: Option<OnDrop>,
}

/// What another process needs to attach to an anonymous queue, while the process that it names lives and has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The process that made this handle.
    pub pid: u32,
    /// That process's descriptor of the segment.
    pub fd: RawFd,
    /// What the receiver checks the segment against.
    pub id: SegmentId,
}

impl Queue {
    /// Creates an anonymous queue of `capacity` slots, all its memory reserved.
    ///
    /// # Errors
    /// If the capacity is out of range, or the memory is not there.
    pub fn create(schema: Schema, capacity: u64) -> Result<Self, CreateError> {
        Self::create_with(schema, capacity, CreateOptions::default())
    }

    /// Creates an anonymous queue with options.
    ///
    /// # Errors
    /// As `create`, and if an option is out of range.
    pub fn create_with(schema: Schema, capacity: u64, options: CreateOptions) -> Result<Self, CreateError> {
        if options.keep {
            return Err(CreateError::KeepWithoutName);
        }
        Attached::create(|| Segment::create(schema, capacity, options)).map(Self::new)
    }

    /// Creates a queue that any process of this user finds by its name.
    ///
    /// What is left of a queue of this name whose participants have all died is replaced. The name goes with the last
    /// participant, unless the queue is to be kept.
    ///
    /// # Errors
    /// `Exists` if a queue of this name is in use, or kept; as `create_with`.
    pub fn create_named(
        name: &str,
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Self, CreateError> {
        Attached::create_named(name.parse()?, schema, capacity, options).map(Self::new)
    }

    /// Attaches to the queue of this name. What its items look like stands in the queue: see `schema`.
    ///
    /// # Errors
    /// `NotFound`, `Stale` if all its participants have died, `At` if what is there is no sound queue, and `TableFull`.
    pub fn attach(name: &str) -> Result<Self, AttachError> {
        Attached::attach_named(&name.parse()?).map(Self::new)
    }

    /// Attaches to the queue of this name, or creates it if there is none. Of several processes that open one name at once, one
    /// creates and the others attach.
    ///
    /// # Errors
    /// `Misfit` if the queue that is there has another schema or capacity, with both side by side; and as `attach` and
    /// `create_named`. The options only count for who creates.
    pub fn open(
        name: &str,
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Self, OpenError> {
        let name: QueueName = name.parse().map_err(AttachError::Name)?;
        let queue = Self::new(Attached::open_named(&name, &schema, capacity, options)?);
        let mut difference = SchemaDifference::between(&schema, queue.schema());
        difference.compare_capacities(capacity, queue.capacity());
        if difference.is_empty() {
            Ok(queue)
        } else {
            Err(OpenError::Misfit { name, difference: Box::new(difference) })
        }
    }

    /// As `open`, but only the capacity has to fit.
    pub(crate) fn open_with_any_items(
        name: &str,
        schema: &Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Self, OpenError> {
        let name: QueueName = name.parse().map_err(AttachError::Name)?;
        let queue = Self::new(Attached::open_named(&name, schema, capacity, options)?);
        if capacity == queue.capacity() as u64 {
            return Ok(queue);
        }
        let mut difference = SchemaDifference::between(schema, queue.schema());
        difference.compare_capacities(capacity, queue.capacity());
        Err(OpenError::Misfit { name, difference: Box::new(difference) })
    }

    /// Takes the queue's name away: nobody finds it any more, and those who are attached go on. Whether it had one.
    ///
    /// # Errors
    /// If the system refuses, or another process that does the same does not go on.
    pub fn unlink(&self) -> Result<bool, AttachError> {
        self.attached()?.unlink()
    }

    /// The name that the queue was created with, whether it still has it or not.
    pub fn name(&self) -> Option<&QueueName> {
        self.attached.segment().name()
    }

    /// Creates a queue in this process's own memory, for its threads alone: no descriptor, no other participants.
    ///
    /// # Errors
    /// If the capacity is out of range.
    pub fn create_local(schema: Schema, capacity: u64) -> Result<Self, CreateError> {
        let options = CreateOptions { participants: 1, ..CreateOptions::default() };
        Attached::create(|| Segment::create_on_heap(schema, capacity, options)).map(Self::new)
    }

    /// Attaches to the segment behind `fd`, which must be the one named `id` if given.
    ///
    /// # Errors
    /// If the descriptor leads to no sound segment, or to another one, or if its table of participants is full.
    pub fn attach_fd(fd: OwnedFd, id: Option<SegmentId>) -> Result<Self, AttachError> {
        let segment = Segment::attach(Arc::new(fd))?;
        if id.is_some_and(|id| id != segment.id()) {
            return Err(AttachError::OtherSegment);
        }
        let attached = Attached::find(segment.id(), || Ok(Some(segment)))?;
        Ok(Self::new(attached.expect("there is a segment to attach to")))
    }

    /// The queue on segment `id`, if this process is attached to it already, or inherited it.
    ///
    /// # Errors
    /// In a forked child that could not join the queue.
    pub fn find(id: SegmentId) -> Result<Option<Self>, AttachError> {
        Ok(Attached::find(id, || Ok(None))?.map(Self::new))
    }

    /// Attaches through a handle: to this process's own attachment, else through the descriptor of the process that
    /// made the handle.
    ///
    /// # Errors
    /// If that process is gone, has closed the queue, is another user's, or lives in another pid namespace.
    pub fn attach_handle(handle: Handle) -> Result<Self, AttachError> {
        if let Some(queue) = Self::find(handle.id)? {
            return Ok(queue);
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            // A number that outlived its queue may lead to a terminal or a pipe by now.
            .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(format!("/proc/{}/fd/{}", handle.pid, handle.fd))
            .map_err(|source| AttachError::System {
                action: "open the descriptor of the handle's process",
                source,
            })?;
        Self::attach_fd(file.into(), Some(handle.id))
    }

    /// What another process can attach by: see `Handle`.
    ///
    /// # Errors
    /// For a local queue, and in a forked child that could not join the queue.
    pub fn handle(&self) -> Result<Handle, AttachError> {
        let attached = self.attached()?;
        let fd = attached.fd().ok_or(AttachError::Local)?;
        Ok(Handle { pid: attached.participant().pid(), fd: fd.as_raw_fd(), id: self.id() })
    }

    /// For a process that is about to end while threads of it still wait, or views live: takes the names of its queues that
    /// nobody else is attached to. Names that are to be kept stay.
    pub fn leave_names() {
        Attached::leave_names();
    }

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
        let claim = attached.try_reserve()?.map_or_else(|| attached.reserve_after_sweep(), Ok)?;
        Ok(WriteLoan::new(attached, claim))
    }

    /// Waits for a free slot as long as `wait` says.
    ///
    /// # Errors
    /// `Full` when none became free in time, `ShutDown`, `Interrupted`, or a damaged segment.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn reserve_with(&self, wait: Wait<'_>) -> Result<WriteLoan<'_>, ReserveError> {
        let attached = self.attached()?;
        let first = if wait.has_tried() { None } else { attached.try_reserve()? };
        let claim = first.map_or_else(|| attached.reserve_slowly(wait), Ok)?;
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
        let drop_item = |claim| self.drop_item(attached, claim);
        let claim =
            attached.try_borrow(drop_item)?.map_or_else(|| attached.borrow_after_sweep(drop_item), Ok)?;
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
        let drop_item = |claim| self.drop_item(attached, claim);
        let first = if wait.has_tried() { None } else { attached.try_borrow(drop_item)? };
        let claim = first.map_or_else(|| attached.borrow_slowly(wait, drop_item), Ok)?;
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
        let first = if wait.has_tried() { None } else { attached.try_reserve()? };
        let claim = first.map_or_else(|| attached.reserve_slowly(wait), Ok)?;
        Ok(WriteLoan::brief(attached, claim))
    }

    /// As `try_reserve`, for a loan that ends within the caller's call: see `reserve_briefly_with`.
    ///
    /// # Errors
    /// As `try_reserve`.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn try_reserve_briefly(&self) -> Result<WriteLoan<'_>, ReserveError> {
        let attached = self.attached()?;
        let claim = attached.try_reserve()?.map_or_else(|| attached.reserve_after_sweep(), Ok)?;
        Ok(WriteLoan::brief(attached, claim))
    }

    /// As `borrow_with`, for a loan that ends within the caller's call: see `reserve_briefly_with`.
    ///
    /// # Errors
    /// As `borrow_with`.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn borrow_briefly_with(&self, wait: Wait<'_>) -> Result<ReadLoan<'_>, BorrowError> {
        let attached = self.attached()?;
        let drop_item = |claim| self.drop_item(attached, claim);
        let first = if wait.has_tried() { None } else { attached.try_borrow(drop_item)? };
        let claim = first.map_or_else(|| attached.borrow_slowly(wait, drop_item), Ok)?;
        Ok(ReadLoan::brief(attached, claim))
    }

    /// As `try_borrow`, for a loan that ends within the caller's call: see `reserve_briefly_with`.
    ///
    /// # Errors
    /// As `try_borrow`.
    #[inline(always)] // A few instructions where nobody is in the way.
    pub fn try_borrow_briefly(&self) -> Result<ReadLoan<'_>, BorrowError> {
        let attached = self.attached()?;
        let drop_item = |claim| self.drop_item(attached, claim);
        let claim =
            attached.try_borrow(drop_item)?.map_or_else(|| attached.borrow_after_sweep(drop_item), Ok)?;
        Ok(ReadLoan::brief(attached, claim))
    }

    /// Takes free slots if enough are there now: see `BatchSize`.
    ///
    /// # Errors
    /// As `reserve_batch_with`, but not `Interrupted`.
    ///
    /// # Panics
    /// If the batch is larger than the queue's capacity.
    pub fn try_reserve_batch(&self, size: BatchSize) -> Result<WriteBatch<'_>, ReserveError> {
        let attached = self.attached()?;
        self.check(size);
        let claims =
            attached.try_reserve_batch(size)?.map_or_else(|| attached.reserve_batch_after_sweep(size), Ok)?;
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
        let first = if wait.has_tried() { None } else { attached.try_reserve_batch(size)? };
        let claims = first.map_or_else(|| attached.reserve_batch_slowly(size, wait), Ok)?;
        Ok(WriteBatch::new(attached, claims))
    }

    /// Takes the oldest items if enough are there now: see `BatchSize`.
    ///
    /// # Errors
    /// As `borrow_batch_with`, but not `Interrupted`.
    ///
    /// # Panics
    /// If the batch is larger than the queue's capacity.
    pub fn try_borrow_batch(&self, size: BatchSize) -> Result<ReadBatch<'_>, BorrowError> {
        let attached = self.attached()?;
        self.check(size);
        let drop_item = |claim| self.drop_item(attached, claim);
        let first = attached.try_borrow_batch(size, drop_item)?;
        let claims = first.map_or_else(|| attached.borrow_batch_after_sweep(size, drop_item), Ok)?;
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
        let drop_item = |claim| self.drop_item(attached, claim);
        let first = if wait.has_tried() { None } else { attached.try_borrow_batch(size, drop_item)? };
        let claims = first.map_or_else(|| attached.borrow_batch_slowly(size, wait, drop_item), Ok)?;
        Ok(ReadBatch::new(attached, claims))
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
        self.attached()?.sweep()
    }

    /// What is in the queue now, slot by slot counted.
    ///
    /// # Errors
    /// If a state word is damaged.
    pub fn snapshot(&self) -> Result<Snapshot, AttachError> {
        let attached = self.attached()?;
        Ok(Snapshot::take(attached.segment())?)
    }

    /// What is in the queue now, what was done to it, and who holds what.
    ///
    /// # Errors
    /// If the segment is damaged, or the system refuses to tell who lives.
    pub fn stats(&self) -> Result<Stats, AttachError> {
        let attached = self.attached()?;
        let participant = attached.participant();
        Stats::of_attached(attached.segment(), participant.locks(), participant.id())
    }

    /// The queue's schema.
    pub fn schema(&self) -> &Arc<Schema> {
        self.attached.segment().schema()
    }

    /// How many items fit in.
    pub fn capacity(&self) -> usize {
        self.attached.segment().layout().capacity
    }

    /// How many takers an item may kill before it is dropped; `None` for no limit. See [`CreateOptions::max_deliveries`].
    pub fn max_deliveries(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.attached.segment().max_deliveries())
    }

    /// Bytes of the whole segment.
    pub fn nbytes(&self) -> usize {
        self.attached.segment().layout().total_nbytes
    }

    /// The random name of the segment.
    pub fn id(&self) -> SegmentId {
        self.attached.segment().id()
    }

    /// A batch that can never be had would be waited for in vain.
    fn check(&self, size: BatchSize) {
        let capacity = self.capacity();
        assert!(size.max() <= capacity, "a batch of {} from a queue of {capacity} slots", size.max());
    }

    fn new(attached: Arc<Attached>) -> Self {
        Self { attached, after_fork: OnceLock::new(), on_drop: None }
    }

    /// This process's attachment: in a forked child, one of its own.
    #[inline]
    pub(crate) fn attached(&self) -> Result<&Arc<Attached>, AttachError> {
        if self.attached.is_this_process() { Ok(&self.attached) } else { self.attached_after_fork() }
    }

    #[cold]
    fn attached_after_fork(&self) -> Result<&Arc<Attached>, AttachError> {
        if self.after_fork.get().is_none() {
            if self.attached.fd().is_none() {
                return Err(AttachError::Local);
            }
            let attached = Attached::find(self.id(), || self.attached.segment().map_again().map(Some))?;
            let queue = Box::new(Self::new(attached.expect("there is a segment to attach to")));
            // Set with forks held off, so that no grandchild inherits a half-set cell. Another thread may have been first;
            // then what is dropped is not the last reference to the attachment, which both found.
            let no_fork = fork::hold_off();
            let late = self.after_fork.set(queue);
            drop(no_fork);
            drop(late);
        }
        self.after_fork.get().expect("set above").attached()
    }
}

impl Clone for Queue {
    fn clone(&self) -> Self {
        let newest = self.after_fork.get().filter(|_| !self.attached.is_this_process());
        let clone = newest.map_or_else(|| Self::new(Arc::clone(&self.attached)), |queue| Self::clone(queue));
        Self { on_drop: self.on_drop.clone(), ..clone }
    }
}

/// Stand-ins for other processes, in tests without any.
#[cfg(test)]
impl Queue {
    /// A queue on the heap with room for several participants.
    pub(crate) fn create_crowded(schema: Schema, capacity: u64, participants: u64) -> Self {
        let options = CreateOptions { participants, ..CreateOptions::default() };
        Self::create_crowded_with(schema, capacity, options)
    }

    /// The same with options.
    pub(crate) fn create_crowded_with(schema: Schema, capacity: u64, options: CreateOptions) -> Self {
        let attached = Attached::create(|| Segment::create_on_heap(schema, capacity, options));
        attached.map(Self::new).map_err(|error: CreateError| error).expect("small")
    }

    /// Another participant of the same segment.
    pub(crate) fn join(&self) -> Result<Self, AttachError> {
        Self::on(self.attached.segment().map_again()?)
    }

    /// A participant of a segment that was mapped.
    pub(crate) fn on(segment: Segment) -> Result<Self, AttachError> {
        Attached::register(segment, &mut fork::hold_off()).map(Self::new)
    }

    /// What a daemonizing library does that closes all descriptors and opens others.
    pub(crate) fn put_another_file_in_the_place_of_its_locks(&self) {
        self.attached.participant().locks().replace_by(&std::fs::File::open("/dev/null").expect("there"));
    }

    /// The attachment, for calls that are to be killed half-way.
    pub(crate) fn attachment(&self) -> &Arc<Attached> {
        &self.attached
    }

    /// What a SIGKILL of this participant leaves.
    pub(crate) fn die(self) {
        self.attached.die();
    }
}

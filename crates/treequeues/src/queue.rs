//! The queue: one process's access to a segment, and the verbs reserve, commit, borrow, release.
//!
//! Q1. A process attaches to a segment once: every `Queue` on it shares one `Attached`, so its threads are one
//!     participant. The list of attachments is only touched while forks are held off (`fork`).
//! Q2. A forked child's inherited `Attached` is its parent's. The first use in the child attaches anew; what the old one
//!     holds is left alone.

use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::error::{AttachError, BorrowError, Corrupted, CreateError, ReserveError};
use crate::fork::{self, NoFork};
use crate::format::{SHUTDOWN_DRAIN, SHUTDOWN_IMMEDIATE, SHUTDOWN_NONE, Slot};
use crate::layout::DEFAULT_PARTICIPANTS;
use crate::loan::{ReadLoan, WriteLoan};
use crate::monitor::Snapshot;
use crate::participant::Participant;
use crate::ring::{Claim, Ring};
use crate::schema::Schema;
use crate::segment::{Segment, SegmentId};
use crate::sweep;
use crate::sync::{Ordering, local};
use crate::wait::{Event, Patience, Wait, Waited, wait_for};

/// Up to this many slots, every borrow that finds nothing looks at all of them before it says so (`ring` R4).
const ALWAYS_LOOK_CAPACITY: usize = 64;
/// Above, at least this much time lies between two such looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// Between two sweeps of calls that do not wait, or that go to sleep for the first time.
const SWEEP_INTERVAL: Duration = Duration::from_millis(5);
/// Between two sweeps of calls that succeed, but met a hold on their way.
const BUSY_SWEEP_INTERVAL: Duration = Duration::from_millis(100);

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
    /// What `attached` is replaced by in a forked child (Q2).
    after_fork: OnceLock<Box<Queue>>,
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

/// This process's attachment to one segment.
#[derive(Debug)]
pub(crate) struct Attached {
    segment: Segment,
    participant: Participant,
    producers: Patience,
    consumers: Patience,
    started: Instant,
    last_look_ns: local::AtomicU64,
    last_sweep_ns: local::AtomicU64,
}

/// How a queue was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shutdown {
    /// Items that are there can still be had.
    Drain,
    /// Nothing can be had.
    Immediate,
}

static ATTACHED: Mutex<Vec<Weak<Attached>>> = Mutex::new(Vec::new());

impl Queue {
    /// Creates an anonymous queue of `capacity` slots, all its memory reserved.
    ///
    /// # Errors
    /// If the capacity is out of range, or the memory is not there.
    pub fn create(schema: Schema, capacity: u64) -> Result<Self, CreateError> {
        Self::create_for(schema, capacity, u64::from(DEFAULT_PARTICIPANTS))
    }

    /// Creates a queue that at most `participants` processes can attach to at a time.
    ///
    /// # Errors
    /// As `create`, and if `participants` is out of range.
    pub fn create_for(schema: Schema, capacity: u64, participants: u64) -> Result<Self, CreateError> {
        let segment = Segment::create(schema, capacity, participants)?;
        Ok(Self::new(Attached::to(segment, &mut fork::hold_off())?))
    }

    /// Creates a queue in this process's own memory, for its threads alone: no descriptor, no other participants.
    ///
    /// # Errors
    /// If the capacity is out of range.
    pub fn create_local(schema: Schema, capacity: u64) -> Result<Self, CreateError> {
        let segment = Segment::create_on_heap(schema, capacity, 1)?;
        Ok(Self::new(Attached::to(segment, &mut fork::hold_off())?))
    }

    /// Attaches to the segment behind `fd`, which must be the one named `id` if given.
    ///
    /// # Errors
    /// If the descriptor leads to no sound segment, or to another one, or if its table of participants is full.
    pub fn attach_fd(fd: OwnedFd, id: Option<SegmentId>) -> Result<Self, AttachError> {
        let mut no_fork = fork::hold_off();
        let segment = Segment::attach(Arc::new(fd))?;
        if id.is_some_and(|id| id != segment.id()) {
            return Err(AttachError::OtherSegment);
        }
        match Attached::find(segment.id(), &mut no_fork) {
            Some(attached) => Ok(Self::new(attached)),
            None => Ok(Self::new(Attached::to(segment, &mut no_fork)?)),
        }
    }

    /// The queue on segment `id`, if this process is attached to it already.
    pub fn find(id: SegmentId) -> Option<Self> {
        Attached::find(id, &mut fork::hold_off()).map(Self::new)
    }

    /// Attaches through a handle: to this process's own attachment, else through the descriptor of the process that
    /// made the handle.
    ///
    /// # Errors
    /// If that process is gone, has closed the queue, is another user's, or lives in another pid namespace.
    pub fn attach_handle(handle: Handle) -> Result<Self, AttachError> {
        if let Some(queue) = Self::find(handle.id) {
            return Ok(queue);
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{}/fd/{}", handle.pid, handle.fd))
            .map_err(|source| AttachError::System {
                action: "open the descriptor of the handle's process",
                source,
            })?;
        Self::attach_fd(file.into(), Some(handle.id))
    }

    /// Attaches through a descriptor that this process was given by number: passed on by the process that started it.
    ///
    /// The number becomes this queue's; if the process is attached already, a spare descriptor is closed.
    ///
    /// # Safety
    /// `fd` is open, and nobody else in this process uses or closes it.
    ///
    /// # Errors
    /// As `attach_fd`.
    pub unsafe fn attach_raw_fd(fd: RawFd, id: SegmentId) -> Result<Self, AttachError> {
        if let Some(queue) = Self::find(id) {
            if queue.attached.fd().map(|own| own.as_raw_fd()) != Some(fd) {
                // SAFETY: by this function's contract the descriptor is ours to close.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
            }
            return Ok(queue);
        }
        // SAFETY: by this function's contract the descriptor is ours.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).map_err(|errno| AttachError::System {
            action: "set up the segment's descriptor",
            source: errno.into(),
        })?;
        Self::attach_fd(fd, Some(id))
    }

    /// What another process can attach by: see `Handle`.
    ///
    /// # Errors
    /// For a local queue, and in a forked child that could not join the queue.
    pub fn handle(&self) -> Result<Handle, AttachError> {
        let attached = self.attached()?;
        let fd = attached.fd().ok_or(AttachError::Foreign("a local queue has no descriptor"))?;
        Ok(Handle { pid: attached.participant.pid(), fd: fd.as_raw_fd(), id: attached.segment.id() })
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
    #[inline]
    pub fn try_reserve(&self) -> Result<WriteLoan<'_>, ReserveError> {
        let attached = self.attached()?;
        match attached.try_reserve()? {
            Some(claim) => Ok(WriteLoan::new(attached, claim)),
            None => attached.reserve_after_sweep(),
        }
    }

    /// Waits for a free slot as long as `wait` says.
    ///
    /// # Errors
    /// `Full` when none became free in time, `ShutDown`, `Interrupted`, or a damaged segment.
    #[inline]
    pub fn reserve_with(&self, wait: Wait<'_>) -> Result<WriteLoan<'_>, ReserveError> {
        let attached = self.attached()?;
        match attached.try_reserve()? {
            Some(claim) => Ok(WriteLoan::new(attached, claim)),
            None => attached.reserve_slowly(wait),
        }
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
    #[inline]
    pub fn try_borrow(&self) -> Result<ReadLoan<'_>, BorrowError> {
        let attached = self.attached()?;
        match attached.try_borrow()? {
            Some(claim) => Ok(ReadLoan::new(attached, claim)),
            None => attached.borrow_after_sweep(),
        }
    }

    /// Waits for an item as long as `wait` says.
    ///
    /// # Errors
    /// `Empty` when none came in time, `ShutDown` when the queue is shut down and drained, `Interrupted`, or a damaged
    /// segment.
    #[inline]
    pub fn borrow_with(&self, wait: Wait<'_>) -> Result<ReadLoan<'_>, BorrowError> {
        let attached = self.attached()?;
        match attached.try_borrow()? {
            Some(claim) => Ok(ReadLoan::new(attached, claim)),
            None => attached.borrow_slowly(wait),
        }
    }

    /// Whether a borrow is likely to find an item: a cheap look that may be wrong either way.
    pub fn may_borrow(&self) -> bool {
        self.attached().is_ok_and(|attached| attached.ring().may_borrow())
    }

    /// Shuts the queue down for everyone: reserves fail, borrows drain what is there and then fail; if `immediate`,
    /// they fail at once. Everybody who waits is woken. Shutting down twice is harmless.
    ///
    /// # Errors
    /// In a forked child that could not join the queue.
    pub fn shutdown(&self, immediate: bool) -> Result<(), AttachError> {
        let attached = self.attached()?;
        let flag = if immediate { SHUTDOWN_IMMEDIATE } else { SHUTDOWN_DRAIN };
        // SeqCst: pairs with the second look in `try_reserve`: a reserve sees the flag, or its slot is seen by a drain.
        attached.segment.control().not_full.shutdown.fetch_or(flag, Ordering::SeqCst);
        attached.wake_everyone();
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
        Ok(Snapshot::take(&attached.segment)?)
    }

    /// The queue's schema.
    pub fn schema(&self) -> &Arc<Schema> {
        self.attached.segment.schema()
    }

    /// How many items fit in.
    pub fn capacity(&self) -> usize {
        self.attached.segment.layout().capacity
    }

    /// Bytes of the whole segment.
    pub fn nbytes(&self) -> usize {
        self.attached.segment.layout().total_nbytes
    }

    /// The random name of the segment.
    pub fn id(&self) -> SegmentId {
        self.attached.segment.id()
    }

    fn new(attached: Arc<Attached>) -> Self {
        Self { attached, after_fork: OnceLock::new() }
    }

    /// This process's attachment: in a forked child, one of its own.
    #[inline]
    fn attached(&self) -> Result<&Attached, AttachError> {
        if self.attached.is_this_process() { Ok(&self.attached) } else { self.attached_after_fork() }
    }

    #[cold]
    fn attached_after_fork(&self) -> Result<&Attached, AttachError> {
        if self.after_fork.get().is_none() {
            // Set with forks held off, so that no grandchild inherits a half-set cell.
            let mut no_fork = fork::hold_off();
            if self.after_fork.get().is_none() {
                let attached = match Attached::find(self.id(), &mut no_fork) {
                    Some(attached) => attached,
                    None => Attached::to(self.attached.segment.map_again()?, &mut no_fork)?,
                };
                let _ = self.after_fork.set(Box::new(Self::new(attached)));
            }
        }
        self.after_fork.get().expect("set above").attached()
    }
}

impl Clone for Queue {
    fn clone(&self) -> Self {
        let newest = self.after_fork.get().filter(|_| !self.attached.is_this_process());
        newest.map_or_else(|| Self::new(Arc::clone(&self.attached)), |queue| Self::clone(queue))
    }
}

impl Attached {
    /// Registers this process in `segment`.
    fn to(segment: Segment, no_fork: &mut NoFork) -> Result<Arc<Self>, AttachError> {
        let participant = Participant::register(&segment, no_fork)?;
        let attached = Arc::new(Self {
            segment,
            participant,
            producers: Patience::new(),
            consumers: Patience::new(),
            started: Instant::now(),
            last_look_ns: local::AtomicU64::new(0),
            last_sweep_ns: local::AtomicU64::new(0),
        });
        let mut all = all_attached(no_fork);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&attached));
        Ok(attached)
    }

    /// The attachment of this very process to segment `id`.
    fn find(id: SegmentId, no_fork: &mut NoFork) -> Option<Arc<Self>> {
        all_attached(no_fork)
            .iter()
            .filter_map(Weak::upgrade)
            .find(|attached| attached.is_this_process() && attached.segment.id() == id)
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn schema(&self) -> &Schema {
        self.segment.schema()
    }

    pub(crate) fn slot(&self, claim: &Claim) -> &Slot {
        &self.segment.slots()[claim.slot]
    }

    #[inline]
    pub(crate) fn is_this_process(&self) -> bool {
        self.participant.is_this_process()
    }

    pub(crate) fn commit(&self, claim: Claim) -> Result<(), Corrupted> {
        let slot = self.slot(&claim);
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        // Relaxed: published by the commit.
        slot.put_time_ns.store(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64, Ordering::Relaxed);
        slot.producer_pid.store(self.participant.pid(), Ordering::Relaxed);
        slot.delivery_count.store(0, Ordering::Relaxed);
        self.ring().commit(claim)?;
        self.not_empty().notify(1);
        Ok(())
    }

    pub(crate) fn abort(&self, claim: Claim) -> Result<(), Corrupted> {
        self.ring().abort(claim)?;
        self.slot_became_free();
        Ok(())
    }

    pub(crate) fn release(&self, claim: Claim) -> Result<(), Corrupted> {
        self.ring().release(claim)?;
        self.slot_became_free();
        Ok(())
    }

    pub(crate) fn give_back(&self, claim: Claim) -> Result<(), Corrupted> {
        self.ring().give_back(claim)?;
        self.not_empty().notify(1);
        Ok(())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.segment.fd()
    }

    fn ring(&self) -> Ring<'_> {
        self.segment.ring()
    }

    fn not_empty(&self) -> Event<'_> {
        Event(&self.segment.control().not_empty)
    }

    fn not_full(&self) -> Event<'_> {
        Event(&self.segment.control().not_full.event)
    }

    fn shutdown_flag(&self) -> u32 {
        // SeqCst: pairs with `Queue::shutdown`.
        self.segment.control().not_full.shutdown.load(Ordering::SeqCst)
    }

    /// What a flag other than `SHUTDOWN_NONE` means.
    #[cold]
    fn shut_down_how(flag: u32) -> Result<Shutdown, Corrupted> {
        match flag {
            SHUTDOWN_DRAIN => Ok(Shutdown::Drain),
            SHUTDOWN_IMMEDIATE => Ok(Shutdown::Immediate),
            _ => Err(Corrupted("the shutdown flag has no meaning")),
        }
    }

    fn slot_became_free(&self) {
        self.not_full().notify(1);
        if self.shutdown_flag() != SHUTDOWN_NONE {
            // A drain may be waiting for this slot's item to be done.
            self.not_empty().notify(u32::MAX);
        }
    }

    fn wake_everyone(&self) {
        self.not_empty().notify(u32::MAX);
        self.not_full().notify(u32::MAX);
    }

    #[inline]
    fn try_reserve(&self) -> Result<Option<Claim>, ReserveError> {
        let flag = self.shutdown_flag();
        if flag != SHUTDOWN_NONE {
            Self::shut_down_how(flag)?;
            return Err(ReserveError::ShutDown);
        }
        let Some(claim) = self.ring().reserve(self.participant.owner())? else { return Ok(None) };
        if self.shutdown_flag() != SHUTDOWN_NONE {
            // A drain that has looked at this slot before must not miss an item in it.
            self.abort(claim)?;
            return Err(ReserveError::ShutDown);
        }
        if claim.met_hold {
            self.sweep_after(BUSY_SWEEP_INTERVAL)?;
        }
        Ok(Some(claim))
    }

    #[inline]
    fn try_borrow(&self) -> Result<Option<Claim>, BorrowError> {
        let flag = self.shutdown_flag();
        if flag != SHUTDOWN_NONE && Self::shut_down_how(flag)? == Shutdown::Immediate {
            return Err(BorrowError::ShutDown);
        }
        let me = self.participant.owner();
        let Some(claim) = self.ring().borrow(me, self.is_time_to_look())? else {
            if flag != SHUTDOWN_NONE && self.ring().is_drained(me)? {
                return Err(BorrowError::ShutDown);
            }
            return Ok(None);
        };
        let deliveries = &self.slot(&claim).delivery_count;
        // Relaxed: only the slot's holder touches it.
        deliveries.store(deliveries.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
        if claim.met_hold {
            self.sweep_after(BUSY_SWEEP_INTERVAL)?;
        }
        Ok(Some(claim))
    }

    #[cold]
    fn reserve_after_sweep(&self) -> Result<WriteLoan<'_>, ReserveError> {
        let claim = if self.sweep_after(SWEEP_INTERVAL)? { self.try_reserve()? } else { None };
        claim.map(|claim| WriteLoan::new(self, claim)).ok_or(ReserveError::Full)
    }

    #[cold]
    fn borrow_after_sweep(&self) -> Result<ReadLoan<'_>, BorrowError> {
        let claim = if self.sweep_after(SWEEP_INTERVAL)? { self.try_borrow()? } else { None };
        claim.map(|claim| ReadLoan::new(self, claim)).ok_or(BorrowError::Empty)
    }

    #[cold]
    fn reserve_slowly(&self, mut wait: Wait<'_>) -> Result<WriteLoan<'_>, ReserveError> {
        let waited = wait_for(
            self.not_full(),
            &self.producers,
            &mut wait,
            || self.ring().may_reserve() || self.shutdown_flag() != SHUTDOWN_NONE,
            || self.try_reserve(),
            |fruitless| Ok(self.sweep_before_sleep(fruitless)?),
        )?;
        match waited {
            Waited::Got(claim) => Ok(WriteLoan::new(self, claim)),
            Waited::TimedOut => Err(ReserveError::Full),
            Waited::Interrupted => Err(ReserveError::Interrupted),
        }
    }

    #[cold]
    fn borrow_slowly(&self, mut wait: Wait<'_>) -> Result<ReadLoan<'_>, BorrowError> {
        let waited = wait_for(
            self.not_empty(),
            &self.consumers,
            &mut wait,
            || self.ring().may_borrow() || self.shutdown_flag() != SHUTDOWN_NONE,
            || self.try_borrow(),
            |fruitless| Ok(self.sweep_before_sleep(fruitless)?),
        )?;
        match waited {
            Waited::Got(claim) => Ok(ReadLoan::new(self, claim)),
            Waited::TimedOut => Err(BorrowError::Empty),
            Waited::Interrupted => Err(BorrowError::Interrupted),
        }
    }

    fn sweep_before_sleep(&self, fruitless: bool) -> Result<ControlFlow<()>, AttachError> {
        let interval = if fruitless { Duration::ZERO } else { SWEEP_INTERVAL };
        Ok(if self.sweep_after(interval)? { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Sweeps unless the last sweep of this process was less than `interval` ago; true if it found somebody dead.
    fn sweep_after(&self, interval: Duration) -> Result<bool, AttachError> {
        Ok(self.is_time(&self.last_sweep_ns, interval) && self.sweep()? > 0)
    }

    fn sweep(&self) -> Result<usize, AttachError> {
        let dead = sweep::sweep(&self.segment, self.participant.locks(), Some(self.participant.id()))?;
        if dead > 0 {
            self.wake_everyone();
        }
        Ok(dead)
    }

    fn is_time_to_look(&self) -> bool {
        self.segment.layout().capacity <= ALWAYS_LOOK_CAPACITY
            || self.is_time(&self.last_look_ns, LOOK_INTERVAL)
    }

    /// Whether `interval` has passed since `last` was set here; sets it if so.
    fn is_time(&self, last: &local::AtomicU64, interval: Duration) -> bool {
        let now = self.started.elapsed().as_nanos() as u64;
        let due = now >= last.load(Ordering::Relaxed).saturating_add(interval.as_nanos() as u64);
        if due {
            last.store(now, Ordering::Relaxed);
        }
        due
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut no_fork = fork::hold_off();
        // A damaged word keeps its entry in use; there is nobody left to tell.
        let _ = self.participant.deregister(&self.segment, &mut no_fork);
    }
}

/// Stand-ins for other processes, in tests without any.
#[cfg(test)]
impl Queue {
    /// A queue on the heap with room for several participants.
    pub(crate) fn create_crowded(schema: Schema, capacity: u64, participants: u64) -> Self {
        let segment = Segment::create_on_heap(schema, capacity, participants).expect("small");
        Self::new(Attached::to(segment, &mut fork::hold_off()).expect("a free place"))
    }

    /// Another participant of the same segment.
    pub(crate) fn join(&self) -> Result<Self, AttachError> {
        let segment = self.attached.segment.map_again()?;
        Attached::to(segment, &mut fork::hold_off()).map(Self::new)
    }

    /// What a SIGKILL of this participant leaves: everything as it is, but its lock is gone.
    pub(crate) fn die(self) {
        self.attached.participant.die();
        std::mem::forget(self);
    }
}

/// Locked only while forks are held off (Q1), so a child never inherits it locked.
fn all_attached(_: &mut NoFork) -> std::sync::MutexGuard<'static, Vec<Weak<Attached>>> {
    ATTACHED.lock().unwrap_or_else(PoisonError::into_inner)
}

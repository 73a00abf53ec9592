//! This process's attachment to one segment: what its queues and loans share.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | how a process comes to be attached, once, and leaves |
//! | `named` | the same by a name |
//! | `calls` | what the threads of the process do: reserve and borrow, wait, end what they began |
//! | `deliveries` | how often an item was taken, who died with it, and the end of one that killed too many |
//! | `holds` | who began a hold, and what is counted |
//! | `peers` | who else uses the queue |
//!
//! A1. A process attaches to a segment once: every `Queue` on it shares one `Attached`, so its threads are one
//!     participant. The list of attachments is only touched while forks are held off (`fork`), and nothing that may be
//!     the last reference to an attachment is dropped meanwhile: detaching holds forks off too.
//! A2. A forked child's inherited `Attached` is its parent's. The first use in the child attaches anew; what the old one
//!     holds is left alone.
//! A3. A call that fails keeps no slot.

mod calls;
mod deliveries;
mod holds;
mod named;
mod peers;

use std::mem::ManuallyDrop;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::error::AttachError;
use crate::fork::{self, NoFork};
use crate::format::Slot;
use crate::participant::Participant;
use crate::ring::{Claim, Ring};
use crate::schema::Schema;
use crate::segment::{Segment, SegmentId};
use crate::sync::local;
use crate::wait::{Event, Patience};
use holds::FirstThread;
pub use peers::Peers;
use peers::Threads;

/// One process's attachment.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Unmapped by `drop`, before forks are let go on.
    segment: ManuallyDrop<Segment>,
    participant: Participant,
    first_thread: FirstThread,
    threads: Threads,
    producers: Patience,
    consumers: Patience,
    started: Instant,
    last_look_ns: local::AtomicU64,
}

/// An attachment in the list of this process and its parents.
struct Listed {
    id: SegmentId,
    fork_generation: u64,
    attached: Weak<Attached>,
}

static LIST: Mutex<Vec<Listed>> = Mutex::new(Vec::new());

impl Attached {
    /// Makes a segment and registers this process in it.
    pub(crate) fn create<E: From<AttachError>>(
        segment: impl FnOnce() -> Result<Segment, E>,
    ) -> Result<Arc<Self>, E> {
        // From before the descriptor exists, so that no child inherits one that nobody will close.
        let mut no_fork = fork::hold_off();
        Ok(Self::register(segment()?, &mut no_fork)?)
    }

    /// The attachment of this very process to segment `id`, or through one that it inherited, or to what `segment` maps.
    ///
    /// `None` when there is none of the first two kinds, and nothing to map.
    pub(crate) fn find(
        id: SegmentId,
        segment: impl FnOnce() -> Result<Option<Segment>, AttachError>,
    ) -> Result<Option<Arc<Self>>, AttachError> {
        // Declared before the lock, so dropped after it (A1).
        let inherited;
        let mut no_fork = fork::hold_off();
        let here = fork::generation();
        let upgraded = |is_own: bool| {
            list(&no_fork)
                .iter()
                .filter(|listed| listed.id == id && (listed.fork_generation == here) == is_own)
                .find_map(|listed| listed.attached.upgrade())
        };
        if let Some(own) = upgraded(true) {
            return Ok(Some(own));
        }
        inherited = upgraded(false);
        let segment = match &inherited {
            Some(inherited) => Some(inherited.segment.map_again()?),
            None => segment()?,
        };
        match segment {
            Some(segment) if segment.id() != id => Err(AttachError::OtherSegment),
            Some(segment) => Self::register(segment, &mut no_fork).map(Some),
            None => Ok(None),
        }
    }

    /// Attaches to a segment that was mapped already: as another participant, if this process is one of it.
    pub(crate) fn register(segment: Segment, no_fork: &mut NoFork) -> Result<Arc<Self>, AttachError> {
        let participant = Participant::register(&segment, no_fork)?;
        let threads = Threads::of(&segment.entries()[participant.id() as usize]);
        let attached = Arc::new(Self {
            segment: ManuallyDrop::new(segment),
            participant,
            first_thread: FirstThread::here(),
            threads,
            producers: Patience::new(),
            consumers: Patience::new(),
            started: Instant::now(),
            last_look_ns: local::AtomicU64::new(0),
        });
        // What the dead held came back on the way.
        attached.wake_everyone();
        let mut list = list(no_fork);
        list.retain(|listed| listed.attached.strong_count() > 0);
        list.push(Listed {
            id: attached.segment.id(),
            fork_generation: fork::generation(),
            attached: Arc::downgrade(&attached),
        });
        drop(list);
        Ok(attached)
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn participant(&self) -> &Participant {
        &self.participant
    }

    pub(crate) fn schema(&self) -> &Schema {
        self.segment.schema()
    }

    pub(crate) fn slot(&self, claim: &Claim) -> &Slot {
        &self.segment.slots()[claim.slot]
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.segment.fd()
    }

    #[inline]
    pub(crate) fn is_this_process(&self) -> bool {
        self.participant.is_this_process()
    }

    pub(crate) fn ring(&self) -> Ring<'_> {
        self.segment.ring()
    }

    pub(crate) fn not_empty(&self) -> Event<'_> {
        Event(&self.segment.control().not_empty)
    }

    pub(crate) fn not_full(&self) -> Event<'_> {
        Event(&self.segment.control().not_full.event)
    }

    pub(crate) fn producers(&self) -> &Patience {
        &self.producers
    }

    pub(crate) fn consumers(&self) -> &Patience {
        &self.consumers
    }

    pub(crate) fn wake_everyone(&self) {
        self.not_empty().notify_all();
        self.not_full().notify_all();
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut no_fork = fork::hold_off();
        let was_ours = self.is_this_process();
        // A damaged word keeps its entry in use; there is nobody left to tell.
        let _ = self.participant.deregister(&self.segment, &mut no_fork);
        if was_ours {
            self.wake_everyone();
        }
        // SAFETY: dropped once, here, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.segment) };
        drop(no_fork);
    }
}

/// Locked only while forks are held off (A1), so a child never inherits it locked.
fn list(_: &NoFork) -> MutexGuard<'static, Vec<Listed>> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a SIGKILL of this participant leaves, in tests without processes: everything as it is, but its lock is gone.
#[cfg(test)]
impl Attached {
    pub(crate) fn die(self: Arc<Self>) {
        self.participant.die();
        std::mem::forget(self);
    }
}

//! This process's attachment to one segment: what its queues and loans share.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | how a process comes to be attached, once, and leaves |
//! | `named` | the same by a name |
//! | `calls` | what the threads of the process do: reserve and borrow, wait, end what they began |
//! | `deliveries` | how often an item was taken, who died with it, and the end of one that killed too many |
//! | `holds` | who began a hold, and what is counted |
//! | `publishing` | commits, one or several as one |
//! | `peers` | who else uses the queue |
//!
//! A1. A process attaches to a segment once: every `Queue` on it shares one `Attached`, so its threads are one
//!     participant. The list of attachments is only touched while forks are held off (`fork`), and nothing that may be
//!     the last reference to an attachment is dropped meanwhile: detaching holds forks off too. Attaching takes longer than
//!     forks may be held off, so who does it says so in the list, and others that come to the same segment wait.
//! A2. A forked child's inherited `Attached` is its parent's. The first use in the child attaches anew; what the old one
//!     holds is left alone.
//! A3. A call that fails keeps no slot.
//! A4. An attachment whose descriptors somebody closed keeps its place, its slots and its locks (`fork::descriptor` D3), and
//!     its calls go on, but those that need a descriptor: to look for the dead before they wait, to be handed on. Those fail
//!     (`DescriptorsClosed`). Who attaches after that gets a new attachment, a participant beside it.

mod calls;
mod deliveries;
mod holds;
mod named;
mod peers;
mod publishing;

use std::mem::ManuallyDrop;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::AttachError;
use crate::format::Slot;
use crate::format::word::{Phase, Word};
use crate::item::schema::Schema;
use crate::memory::fork::{self, FileIdentity, NoFork};
use crate::memory::segment::{Segment, SegmentId};
use crate::observe::Stats;
use crate::presence::names::{Farewell, Rounds};
use crate::presence::participant::{Participant, Refusal};
use crate::queue::ring::{Claim, Holes, Kept, LongLook, Ring};
use crate::sync::local;
use crate::wait::{Event, Patience};
use holds::FirstThread;
pub use peers::Peers;
use peers::Threads;

/// One process's attachment.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Unmapped by `drop`.
    segment: ManuallyDrop<Segment>,
    participant: Participant,
    /// Held by a thread while it takes the name away: the locks for that are the whole process's.
    name_turn: Mutex<()>,
    /// Held by a thread while it publishes a batch: the entry names one at a time. A forked child may inherit it locked, but the child
    /// uses another attachment (A2).
    publishing_turn: Mutex<()>,
    first_thread: FirstThread,
    threads: Threads,
    producers: Patience,
    consumers: Patience,
    /// What was found RETURNED, what lies between tail and gap, and what all slots were seen to be.
    kept: Kept,
    holes: LongLook<Holes>,
    slots_seen: LongLook<Stats>,
    /// The slot that a drain was last seen to wait for.
    held_in_drain: local::AtomicU64,
}

/// An attachment in the list of this process and its parents.
struct Listed {
    id: SegmentId,
    /// None on the heap.
    file: Option<FileIdentity>,
    fork_generation: u64,
    attached: Weak<Attached>,
}

/// What this process is attached to, and what threads of it are just attaching to. What an ancestor was attaching to
/// when it was forked does not count.
struct List {
    attached: Vec<Listed>,
    coming: Vec<Coming>,
}

/// One segment that a thread is attaching to.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Coming {
    id: SegmentId,
    fork_generation: u64,
}

static LIST: Mutex<List> = Mutex::new(List { attached: Vec::new(), coming: Vec::new() });
/// Somebody who was coming is there, or has failed.
static ARRIVED: Condvar = Condvar::new();

impl Attached {
    /// Makes a segment and registers this process in it.
    pub(crate) fn create<E: From<AttachError>>(
        segment: impl FnOnce() -> Result<Segment, E>,
    ) -> Result<Arc<Self>, E> {
        Ok(Self::register(segment()?).map_err(AttachError::from)?)
    }

    /// The attachment of this very process to segment `id`, or through one that it inherited, or to what `segment` maps.
    /// One whose descriptors are closed leads nowhere.
    ///
    /// `None` when there is none of the first two kinds, and nothing to map. Waits for somebody who is in the way of a
    /// registration, but not for ever (`names` M5).
    pub(crate) fn find(
        id: SegmentId,
        segment: impl Fn() -> Result<Option<Segment>, AttachError>,
    ) -> Result<Option<Arc<Self>>, AttachError> {
        let rounds = Rounds::begin();
        loop {
            match Self::find_now(id, &segment) {
                Err(Refusal::Passing(_)) if rounds.go_on() => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    /// The same without a wait for who is in the way.
    pub(crate) fn find_now(
        id: SegmentId,
        segment: impl FnOnce() -> Result<Option<Segment>, AttachError>,
    ) -> Result<Option<Arc<Self>>, Refusal> {
        let here = fork::generation();
        // Declared before the lock, so dropped after it (A1).
        let mut seen: Vec<(bool, Arc<Self>)> = Vec::new();
        let mut no_fork = fork::hold_off();
        let coming = loop {
            let mut list = list(&no_fork);
            let of_id = list.attached.iter().filter(|listed| listed.id == id);
            seen.extend(
                of_id.filter_map(|listed| Some((listed.fork_generation == here, listed.attached.upgrade()?))),
            );
            let own = seen.iter().find(|(is_own, attached)| *is_own && attached.segment.has_descriptors());
            if let Some((_, own)) = own {
                return Ok(Some(Arc::clone(own)));
            }
            let coming = Coming { id, fork_generation: here };
            if !list.coming.contains(&coming) {
                list.coming.push(coming);
                break coming;
            }
            drop(list);
            no_fork = no_fork.wait(&ARRIVED);
        };
        drop(no_fork);
        let _coming = Arriving(coming);
        // Of a grandparent's and a parent's, the first whose descriptor is still there.
        let inherited = seen
            .iter()
            .filter(|(is_own, _)| !is_own)
            .map(|(_, inherited)| inherited.segment.map_again())
            .find(|again| !matches!(again, Err(AttachError::DescriptorsClosed)));
        let segment = match inherited {
            None => segment()?,
            Some(again) => Some(again?),
        };
        match segment {
            Some(segment) if segment.id() != id => Err(AttachError::OtherSegment.into()),
            Some(segment) => Self::register(segment).map(Some),
            None => Ok(None),
        }
    }

    /// How many slots this process holds of the queue that this file is, if it is attached to that.
    pub(crate) fn held_here(file: FileIdentity) -> Option<usize> {
        let no_fork = fork::hold_off();
        let here = fork::generation();
        // Declared before the lock is dropped, and no other one is touched: it would not be the last for a moment (A1).
        let attached = list(&no_fork)
            .attached
            .iter()
            .filter(|listed| listed.fork_generation == here && listed.file == Some(file))
            .find_map(|listed| listed.attached.upgrade());
        drop(no_fork);
        let attached = attached?;
        let me = attached.participant.owner();
        let is_ours = |word: &Word| word.owner() == me && word.phase().is_some_and(Phase::is_held);
        Some(attached.ring().words().filter(is_ours).count())
    }

    /// Attaches to a segment that was mapped already: as another participant, if this process is one of it.
    pub(crate) fn register(segment: Segment) -> Result<Arc<Self>, Refusal> {
        let participant = Participant::register(&segment)?;
        let threads = Threads::of(&segment.entries()[participant.id() as usize]);
        let mut attached = Self {
            segment: ManuallyDrop::new(segment),
            participant,
            name_turn: Mutex::default(),
            publishing_turn: Mutex::default(),
            first_thread: FirstThread::here(),
            threads,
            producers: Patience::new(),
            consumers: Patience::new(),
            kept: Kept::of_a_process(),
            holes: LongLook::default(),
            slots_seen: LongLook::default(),
            held_in_drain: local::AtomicU64::new(0),
        };
        // What the dead held came back on the way.
        attached.wake_everyone();
        let mut no_fork = fork::hold_off();
        attached.segment.leave_to_children(&mut no_fork);
        let attached = Arc::new(attached);
        let mut list = list(&no_fork);
        list.attached.retain(|listed| listed.attached.strong_count() > 0);
        list.attached.push(Listed {
            id: attached.segment.id(),
            file: attached.segment.identity(),
            fork_generation: fork::generation(),
            attached: Arc::downgrade(&attached),
        });
        drop(list);
        drop(no_fork);
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

    /// What is in the queue, what was done to it, and who holds what.
    pub(crate) fn stats(&self) -> Result<Stats, AttachError> {
        let me = &self.participant;
        let mut stats = Stats::of_attached(&self.segment, me.locks(), me.id(), &self.slots_seen)?;
        if Stats::may_be_of_an_earlier_look(self.segment.layout().capacity) {
            stats.snapshot.ready = self.len()?;
        }
        Ok(stats)
    }

    pub(crate) fn slot(&self, claim: &Claim) -> &Slot {
        &self.segment.slots()[claim.slot]
    }

    #[inline]
    pub(crate) fn is_this_process(&self) -> bool {
        self.participant.is_this_process()
    }

    pub(crate) fn ring(&self) -> &Ring<'_> {
        self.segment.ring()
    }

    pub(crate) fn not_empty(&self) -> Event<'_> {
        let control = self.segment.control();
        Event { word: &control.not_empty, marks: &control.spinning_consumers }
    }

    pub(crate) fn not_full(&self) -> Event<'_> {
        let control = self.segment.control();
        Event { word: &control.not_full, marks: &control.spinning_producers }
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
        // First, because a child that is forked meanwhile would have it, and nobody who drops it.
        self.segment.take_from_children(&mut fork::hold_off());
        let was_ours = self.is_this_process();
        let has_lost_its_locks = self.participant.has_lost_its_locks(&self.segment);
        let farewell = has_lost_its_locks.then(|| Farewell::of(&self.segment)).flatten();
        // A damaged word keeps its entry in use; there is nobody left to tell.
        let _ = self.participant.deregister(&self.segment);
        if was_ours {
            self.wake_everyone();
        }
        // SAFETY: dropped once, here, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.segment) };
        // Now that its locks are gone, too.
        if let Some(farewell) = farewell {
            farewell.remove_name();
        }
    }
}

/// Somebody is coming, until this is dropped.
struct Arriving(Coming);

impl Drop for Arriving {
    fn drop(&mut self) {
        let no_fork = fork::hold_off();
        list(&no_fork).coming.retain(|coming| *coming != self.0);
        drop(no_fork);
        ARRIVED.notify_all();
    }
}

/// Locked only while forks are held off (A1), so a child never inherits it locked.
fn list(_: &NoFork) -> MutexGuard<'static, List> {
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

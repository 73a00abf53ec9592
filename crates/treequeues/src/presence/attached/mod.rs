//! This process's attachment to one segment: what all that uses it in this process shares.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | how a process comes to be attached, once, and leaves |
//! | `list` | what this process is attached to |
//! | `named` | the same by a name |
//! | `threads` | who began a hold, and what is counted |
//! | `peers` | who else uses the segment |
//! | `sweeping` | when to look for the dead, and waits that are counted |
//! | `waiting` | waits at an event of the structure |
//! | `shutdown` | the end for everybody |
//!
//! A1. A process attaches to a segment once: all queues on it share one `Attached`, so its threads are one
//!     participant. The list of attachments is only touched while forks are held off (`fork`), and nothing that may be
//!     the last reference to an attachment is dropped meanwhile: detaching holds forks off too. Attaching takes longer than
//!     forks may be held off, so who does it says so in the list, and others that come to the same segment wait.
//! A2. A forked child's inherited `Attached` is its parent's. The first use in the child attaches anew; what the old one
//!     holds is left alone.
//! A3. A call that fails keeps no slot.
//! A4. An attachment whose descriptors somebody closed keeps its place, its slots and its locks (`fork::descriptor` D3), and
//!     its calls go on, but those that need a descriptor: to look for the dead before they wait, to be handed on. Those fail
//!     (`DescriptorsClosed`). Who attaches after that gets a new attachment, a participant beside it.

mod list;
mod named;
mod peers;
mod shutdown;
mod sweeping;
mod threads;
mod waiting;

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex};

use crate::error::AttachError;
use crate::item::schema::Schema;
use crate::memory::fork;
use crate::memory::segment::{Segment, SegmentId};
use crate::presence::names::{Farewell, Rounds};
use crate::presence::participant::{Participant, Refusal};
use crate::presence::structure::Structure;
pub(crate) use list::leave_names;
use list::{Arriving, Coming, list};
pub use peers::Peers;
use peers::Threads;
pub(crate) use shutdown::{How, shut_down_how};
pub(crate) use sweeping::CountedWait;
use threads::FirstThread;
pub(crate) use waiting::{Waiter, wait_counted};

/// One process's attachment to a segment and the structure in it.
#[derive(Debug)]
pub(crate) struct Attached<S: Structure> {
    /// Dropped by `drop`, before the segment.
    structure: ManuallyDrop<S>,
    /// Unmapped by `drop`.
    segment: ManuallyDrop<Segment>,
    participant: Participant,
    /// Held by a thread while it takes the name away: the locks for that are the whole process's.
    name_turn: Mutex<()>,
    first_thread: FirstThread,
    threads: Threads,
}

impl<S: Structure> Attached<S> {
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
            seen.extend(of_id.filter_map(|listed| Some((listed.fork_generation == here, listed.upgrade()?))));
            let own = seen.iter().find(|(is_own, attached)| *is_own && attached.segment.has_descriptors());
            if let Some((_, own)) = own {
                return Ok(Some(Arc::clone(own)));
            }
            let coming = Coming { id, fork_generation: here };
            if list.announce(coming) {
                break coming;
            }
            drop(list);
            no_fork = Arriving::wait_for_any(no_fork);
        };
        drop(no_fork);
        let _coming = Arriving::new(coming);
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
            Some(segment) if segment.kind() != S::kind() => {
                let (found, wanted) = (segment.kind().name(), S::kind().name());
                Err(AttachError::OtherKind { found, wanted }.into())
            }
            Some(segment) => Self::register(segment).map(Some),
            None => Ok(None),
        }
    }

    /// Attaches to a segment that was mapped already: as another participant, if this process is one of it.
    pub(crate) fn register(segment: Segment) -> Result<Arc<Self>, Refusal> {
        // SAFETY: the structure goes into the attachment beside the segment, is dropped before it, and is handed out for no longer than
        // the attachment is borrowed; so are its parts (`Structure` 1). If there is no attachment, it is dropped first, too.
        let structure = S::over(unsafe { segment.parts_while_mapped() });
        let participant = Participant::register(&segment, &structure)?;
        let threads = Threads::of(&segment.entries()[participant.id() as usize]);
        let mut attached = Self {
            structure: ManuallyDrop::new(structure),
            segment: ManuallyDrop::new(segment),
            participant,
            name_turn: Mutex::default(),
            first_thread: FirstThread::here(),
            threads,
        };
        // What the dead held came back on the way.
        attached.wake_everyone();
        let mut no_fork = fork::hold_off();
        attached.segment.leave_to_children(&mut no_fork);
        let attached = Arc::new(attached);
        list(&no_fork).add(&attached);
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

    #[inline]
    pub(crate) fn is_this_process(&self) -> bool {
        self.participant.is_this_process()
    }

    #[inline]
    pub(crate) fn structure(&self) -> &S {
        &self.structure
    }

    pub(crate) fn wake_everyone(&self) {
        self.structure.wake_everyone();
    }
}

impl<S: Structure> Drop for Attached<S> {
    fn drop(&mut self) {
        // First, because a child that is forked meanwhile would have it, and nobody who drops it.
        self.segment.take_from_children(&mut fork::hold_off());
        let was_ours = self.is_this_process();
        let has_lost_its_locks = self.participant.has_lost_its_locks(&self.segment);
        let farewell = has_lost_its_locks.then(|| Farewell::of(&self.segment, self.structure())).flatten();
        // A damaged word keeps its entry in use; there is nobody left to tell.
        let _ = self.participant.deregister(&self.segment, &*self.structure);
        if was_ours {
            self.wake_everyone();
        }
        // SAFETY: dropped once, here, and not used afterwards. It touches nothing of the mapping (`Structure` 2).
        unsafe { ManuallyDrop::drop(&mut self.structure) };
        // SAFETY: dropped once, here, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.segment) };
        // Now that its locks are gone, too.
        if let Some(farewell) = farewell {
            farewell.remove_name();
        }
    }
}

/// What a SIGKILL of this participant leaves, in tests without processes: everything as it is, but its lock is gone.
#[cfg(test)]
impl<S: Structure> Attached<S> {
    pub(crate) fn die(self: Arc<Self>) {
        self.participant.die();
        std::mem::forget(self);
    }
}

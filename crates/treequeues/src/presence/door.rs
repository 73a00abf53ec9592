//! A process's way to a structure: the attachment, in a forked child another one, and what others come by.

use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};

use crate::error::AttachError;
use crate::memory::fork::{self, Descriptor};
use crate::memory::segment::{Preamble, Segment, SegmentId, open_anew, open_through};
use crate::presence::attached::Attached;
use crate::presence::structure::Structure;

/// What another process needs to attach to an anonymous queue or topic, while the process that it names lives and has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The process that made this handle.
    pub pid: u32,
    /// That process's descriptor of the segment.
    pub fd: RawFd,
    /// What the receiver checks the segment against.
    pub id: SegmentId,
}

/// One object's way to a structure.
#[derive(Debug)]
pub(crate) struct Door<S: Structure> {
    attached: Arc<Attached<S>>,
    /// What `attached` is replaced by in a forked child (`attached` A2).
    after_fork: OnceLock<Box<Door<S>>>,
}

impl<S: Structure> Door<S> {
    pub(crate) fn new(attached: Arc<Attached<S>>) -> Self {
        Self { attached, after_fork: OnceLock::new() }
    }

    /// This process's attachment: in a forked child, one of its own.
    #[inline]
    pub(crate) fn attached(&self) -> Result<&Arc<Attached<S>>, AttachError> {
        if self.attached.is_this_process() { Ok(&self.attached) } else { self.attached_after_fork() }
    }

    #[cold]
    fn attached_after_fork(&self) -> Result<&Arc<Attached<S>>, AttachError> {
        if self.after_fork.get().is_none() {
            let segment = self.segment();
            if segment.fd().is_none() {
                return Err(AttachError::Local);
            }
            let parent = self.attached.participant().pid();
            let attached = Attached::find(segment.id(), || segment.find_again(parent).map(Some))?;
            let door = Box::new(Self::new(attached.expect("there is a segment to attach to")));
            // Set with forks held off, so that no grandchild inherits a half-set cell. Another thread may have been first;
            // then what is dropped is not the last reference to the attachment, which both found.
            let no_fork = fork::hold_off();
            let late = self.after_fork.set(door);
            drop(no_fork);
            drop(late);
        }
        self.after_fork.get().expect("set above").attached()
    }

    /// The segment as this object came to it, whichever process that was: for what never changes.
    #[inline]
    pub(crate) fn segment(&self) -> &Segment {
        self.attached.segment()
    }

    /// Wakes all who wait at the structure, in any process; nothing in a forked child that has not used it.
    pub(crate) fn wake_all(&self) {
        if self.attached.is_this_process() {
            self.attached.wake_everyone();
        } else if let Some(own) = self.after_fork.get() {
            own.wake_all();
        }
    }

    /// Whether nothing else of this process uses the attachment. Other threads may change that at any moment.
    pub(crate) fn is_last_here(&self) -> bool {
        Arc::strong_count(&self.attached) == 1 || self.after_fork.get().is_some_and(|own| own.is_last_here())
    }

    /// Whether this process is attached: a forked child is after its first call.
    #[inline]
    pub(crate) fn is_attached_here(&self) -> bool {
        self.attached.is_this_process() || self.after_fork.get().is_some_and(|own| own.is_attached_here())
    }

    /// Attaches to the segment behind `fd`, which must be the one named `id` if given.
    pub(crate) fn attach_fd(fd: OwnedFd, id: Option<SegmentId>) -> Result<Self, AttachError> {
        let shared = open_anew(&fd)?;
        drop(fd);
        Self::attach_descriptor(shared, id)
    }

    fn attach_descriptor(shared: Descriptor, id: Option<SegmentId>) -> Result<Self, AttachError> {
        let shared = Arc::new(shared);
        let found = Preamble::read(&*shared)?.header.id;
        if id.is_some_and(|id| id != found) {
            return Err(AttachError::OtherSegment);
        }
        let attached = Attached::find(found, || Segment::attach(Arc::clone(&shared)).map(Some))?;
        Ok(Self::new(attached.expect("there is a segment to attach to")))
    }

    /// The way to segment `id`, if this process is attached to it already, or inherited it.
    pub(crate) fn find(id: SegmentId) -> Result<Option<Self>, AttachError> {
        Ok(Attached::find(id, || Ok(None))?.map(Self::new))
    }

    /// Attaches through a handle: by this process's own attachment, else through the descriptor of the process that made the handle.
    pub(crate) fn attach_handle(handle: Handle) -> Result<Self, AttachError> {
        if let Some(door) = Self::find(handle.id)? {
            return Ok(door);
        }
        Self::attach_descriptor(open_through(handle.pid, handle.fd)?, Some(handle.id))
    }

    /// What another process can attach by.
    pub(crate) fn handle(&self) -> Result<Handle, AttachError> {
        let attached = self.attached()?;
        let fd = attached.segment().shared_number()?;
        Ok(Handle { pid: attached.participant().pid(), fd, id: self.segment().id() })
    }
}

impl<S: Structure> Clone for Door<S> {
    fn clone(&self) -> Self {
        let newest = self.after_fork.get().filter(|_| !self.attached.is_this_process());
        newest.map_or_else(|| Self::new(Arc::clone(&self.attached)), |own| Self::clone(own))
    }
}

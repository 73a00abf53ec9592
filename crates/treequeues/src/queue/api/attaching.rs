//! Creating queues, and ways to come to one: by its name, its descriptor, or a handle.

use std::os::fd::OwnedFd;
use std::path::Path;

use super::Queue;
use crate::error::{AttachError, CreateError, OpenError};
use crate::format::Kind;
use crate::format::name::QueueName;
use crate::item::schema::Schema;
use crate::memory::segment::{CreateOptions, Segment, SegmentId};
use crate::presence::attached::leave_names;
use crate::presence::door::{Door, Handle};
use crate::queue::here::Attached;

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
        Attached::create(|| Segment::create(Kind::Queue, schema, capacity, options)).map(Self::new)
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
        Attached::attach_named(&name.parse()?, None).map(Self::new)
    }

    /// The same of a name in another folder than this user's is now: see `folder`.
    ///
    /// # Errors
    /// As `attach`.
    pub fn attach_in(folder: &Path, name: &str) -> Result<Self, AttachError> {
        Attached::attach_named(&name.parse()?, Some(folder)).map(Self::new)
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
        Attached::open_fitting(name, &schema, capacity, options, true).map(Self::new)
    }

    /// As `open`, but only the capacity has to fit.
    pub(crate) fn open_with_any_items(
        name: &str,
        schema: &Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Self, OpenError> {
        Attached::open_fitting(name, schema, capacity, options, false).map(Self::new)
    }

    /// Takes the queue's name away: nobody finds it any more, and those who are attached go on. Whether it had one.
    ///
    /// # Errors
    /// If the system refuses, or another process that does the same does not go on.
    pub fn unlink(&self) -> Result<bool, AttachError> {
        self.attached()?.unlink()
    }

    /// The folder that the queue's name was in when this process came to it, as an absolute path: where other processes find it,
    /// whatever their environment says. None of an anonymous queue.
    pub fn folder(&self) -> Option<&Path> {
        self.door.segment().folder()
    }

    /// The name that the queue was created with, whether it still has it or not.
    pub fn name(&self) -> Option<&QueueName> {
        self.door.segment().name()
    }

    /// Creates a queue in this process's own memory, for its threads alone: no descriptor, no other participants.
    ///
    /// # Errors
    /// If the capacity is out of range.
    pub fn create_local(schema: Schema, capacity: u64) -> Result<Self, CreateError> {
        let options = CreateOptions { participants: 1, ..CreateOptions::default() };
        Attached::create(|| Segment::create_on_heap(Kind::Queue, schema, capacity, options)).map(Self::new)
    }

    /// Attaches to the segment behind `fd`, which must be the one named `id` if given.
    ///
    /// # Errors
    /// If the descriptor leads to no sound segment, or to another one, or if its table of participants is full.
    pub fn attach_fd(fd: OwnedFd, id: Option<SegmentId>) -> Result<Self, AttachError> {
        Door::attach_fd(fd, id).map(Self::through)
    }

    /// The queue on segment `id`, if this process is attached to it already, or inherited it.
    ///
    /// # Errors
    /// In a forked child that could not join the queue.
    pub fn find(id: SegmentId) -> Result<Option<Self>, AttachError> {
        Ok(Door::find(id)?.map(Self::through))
    }

    /// Attaches through a handle: to this process's own attachment, else through the descriptor of the process that
    /// made the handle.
    ///
    /// # Errors
    /// If that process is gone, has closed the queue, is another user's, or lives in another pid namespace.
    pub fn attach_handle(handle: Handle) -> Result<Self, AttachError> {
        Door::attach_handle(handle).map(Self::through)
    }

    /// What another process can attach by: see `Handle`.
    ///
    /// # Errors
    /// For a local queue, for one whose descriptors were closed, and in a forked child that could not join the queue.
    pub fn handle(&self) -> Result<Handle, AttachError> {
        self.door.handle()
    }

    /// For a process that is about to end while threads of it still wait, or views live: takes the names of its queues that
    /// nobody else is attached to. Names that are to be kept stay.
    pub fn leave_names() {
        leave_names();
    }
}

//! The public types: a topic, and a subscription to it.

#[cfg(test)]
mod stand_ins;
mod subscriber;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use crate::error::{AttachError, CreateError, OpenError, PublishError, SubscribeError};
use crate::format::Kind;
use crate::format::name::QueueName;
use crate::item::schema::Schema;
use crate::memory::segment::{CreateOptions, Segment, SegmentId};
use crate::presence::attached::Peers;
use crate::presence::door::{Door, Handle};
use crate::topic::board::Start;
use crate::topic::calls::Wanted;
use crate::topic::here::{Attached, Here};
use crate::topic::loan::{TopicElsewhere, TopicReadLoan, TopicWriteLoan};
use crate::topic::stats::TopicStats;
use crate::wait::Wait;
pub use subscriber::Subscriber;

/// How many processes can share a topic unless its creator says otherwise.
const DEFAULT_PARTICIPANTS: u64 = 64;

/// What a topic may be asked for beside its schema and capacity.
#[derive(Clone, Copy, Debug)]
pub struct TopicOptions {
    /// How many processes can be attached at a time.
    pub participants: u64,
    /// Whether every process makes its page tables for the whole topic when it attaches.
    pub populate: bool,
    /// Whether a named topic outlives all its participants, with its last items, until its name is unlinked.
    pub keep: bool,
}

impl Default for TopicOptions {
    fn default() -> Self {
        Self { participants: DEFAULT_PARTICIPANTS, populate: false, keep: false }
    }
}

impl From<TopicOptions> for CreateOptions {
    fn from(TopicOptions { participants, populate, keep }: TopicOptions) -> Self {
        Self { participants, populate, keep, ..Self::default() }
    }
}

/// A topic of trees of arrays, shared by processes: each item for every subscriber, and the newest for whoever asks.
///
/// Publishers never wait for subscribers that hold nothing, however slow they are, stopped or dead: the oldest item that nobody reads makes
/// room. With as many slots as there are items read at a time and publishers, and one more, a put never waits; two are the least. Any
/// number of readers share one item.
///
/// Cheap to clone; clones, and topics attached again in the same process, are one participant. After a fork the child becomes a participant
/// of its own at its first call.
///
/// ```
/// use treequeues::{Schema, Start, Topic};
///
/// let weights = Topic::create(Schema::builder().array::<f32>("w", [3]).build()?, 4)?;
/// let all = weights.subscribe(Start::Oldest)?;
/// for version in 1..=3 {
///     let mut loan = weights.reserve()?;
///     loan.leaf_mut::<f32>("w")?.fill(version as f32);
///     assert_eq!(loan.commit()?, version);
/// }
/// // Whoever wants to act on the newest weights:
/// assert_eq!(weights.borrow_latest()?.leaf::<f32>("w")?, [3.0; 3]);
/// assert_eq!(weights.version()?, 3);
/// // Whoever wants all of them:
/// assert_eq!(all.borrow()?.leaf::<f32>("w")?, [1.0; 3]);
/// assert_eq!(all.borrow()?.ticket(), 2);
/// // Whoever lags and wants the newest now:
/// assert_eq!((all.borrow_latest()?.ticket(), all.missed()), (3, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Topic {
    door: Door<Here>,
}

impl Topic {
    /// Creates an anonymous topic of `capacity` slots, all its memory reserved.
    ///
    /// # Errors
    /// If the capacity is out of range, or the memory is not there.
    pub fn create(schema: Schema, capacity: u64) -> Result<Self, CreateError> {
        Self::create_with(schema, capacity, TopicOptions::default())
    }

    /// Creates an anonymous topic with options.
    ///
    /// # Errors
    /// As `create`, and if an option is out of range.
    pub fn create_with(schema: Schema, capacity: u64, options: TopicOptions) -> Result<Self, CreateError> {
        if options.keep {
            return Err(CreateError::KeepWithoutName);
        }
        Attached::create(|| Segment::create(Kind::Topic, schema, capacity, options.into())).map(Self::new)
    }

    /// Creates a topic that any process of this user finds by its name: what `Queue::create_named` says of names holds.
    ///
    /// # Errors
    /// `Exists` if a queue or a topic of this name is in use, or kept; as `create_with`.
    pub fn create_named(
        name: &str,
        schema: Schema,
        capacity: u64,
        options: TopicOptions,
    ) -> Result<Self, CreateError> {
        Attached::create_named(name.parse()?, schema, capacity, options.into()).map(Self::new)
    }

    /// Creates a topic in this process's own memory, for its threads alone: no descriptor, no other participants.
    ///
    /// # Errors
    /// If the capacity is out of range.
    pub fn create_local(schema: Schema, capacity: u64) -> Result<Self, CreateError> {
        let options = CreateOptions { participants: 1, ..CreateOptions::default() };
        Attached::create(|| Segment::create_on_heap(Kind::Topic, schema, capacity, options)).map(Self::new)
    }

    /// Attaches to the topic of this name. What its items look like stands in the topic: see `schema`.
    ///
    /// # Errors
    /// `NotFound`, `Stale` if all its participants have died, `At` if what is there is no sound topic, and `TableFull`.
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

    /// Attaches to the topic of this name, or creates it if there is none. Of several processes that open one name at once, one
    /// creates and the others attach.
    ///
    /// # Errors
    /// `Misfit` if the topic that is there has another schema or capacity, with both side by side; and as `attach` and `create_named`. The
    /// options only count for whoever creates.
    pub fn open(name: &str, schema: Schema, capacity: u64, options: TopicOptions) -> Result<Self, OpenError> {
        Attached::open_fitting(name, &schema, capacity, options.into(), true).map(Self::new)
    }

    /// Attaches to the segment behind `fd`, which must be the one named `id` if given.
    ///
    /// # Errors
    /// If the descriptor leads to no sound segment, or to another one, or if its table of participants is full.
    pub fn attach_fd(fd: OwnedFd, id: Option<SegmentId>) -> Result<Self, AttachError> {
        Ok(Self { door: Door::attach_fd(fd, id)? })
    }

    /// The topic on segment `id`, if this process is attached to it already, or inherited it.
    ///
    /// # Errors
    /// In a forked child that could not join the topic.
    pub fn find(id: SegmentId) -> Result<Option<Self>, AttachError> {
        Ok(Door::find(id)?.map(|door| Self { door }))
    }

    /// Attaches through a handle: to this process's own attachment, else through the descriptor of the process that made the handle.
    ///
    /// # Errors
    /// If that process is gone, has closed the topic, is another user's, or lives in another pid namespace.
    pub fn attach_handle(handle: Handle) -> Result<Self, AttachError> {
        Ok(Self { door: Door::attach_handle(handle)? })
    }

    /// What another process can attach by: see `Handle`.
    ///
    /// # Errors
    /// For a local topic, for one whose descriptors were closed, and in a forked child that could not join the topic.
    pub fn handle(&self) -> Result<Handle, AttachError> {
        self.door.handle()
    }

    /// Takes the topic's name away: nobody finds it any more, and those who are attached go on. Whether it had one.
    ///
    /// # Errors
    /// If the system refuses, or another process that does the same does not go on.
    pub fn unlink(&self) -> Result<bool, AttachError> {
        self.attached()?.unlink()
    }

    /// The name that the topic was created with, whether it still has it or not.
    pub fn name(&self) -> Option<&QueueName> {
        self.door.segment().name()
    }

    /// The folder that the topic's name was in when this process came to it.
    pub fn folder(&self) -> Option<&Path> {
        self.door.segment().folder()
    }

    /// The topic's schema.
    pub fn schema(&self) -> &Arc<Schema> {
        self.door.segment().schema()
    }

    /// How many slots there are.
    pub fn capacity(&self) -> usize {
        self.door.segment().layout().capacity
    }

    /// Bytes of the whole segment.
    pub fn nbytes(&self) -> usize {
        self.door.segment().layout().total_nbytes
    }

    /// The random name of the segment.
    pub fn id(&self) -> SegmentId {
        self.door.segment().id()
    }

    /// Waits for a slot to write to, for ever.
    ///
    /// # Errors
    /// As `reserve_with`, but neither `Full` nor `Interrupted`.
    pub fn reserve(&self) -> Result<TopicWriteLoan<'_>, PublishError> {
        self.reserve_with(Wait::forever())
    }

    /// Takes a slot to write to, if there is one now.
    ///
    /// # Errors
    /// As `reserve_with`, but not `Interrupted`.
    pub fn try_reserve(&self) -> Result<TopicWriteLoan<'_>, PublishError> {
        let attached = self.attached()?;
        Ok(TopicWriteLoan::new(attached, attached.claim_now()?))
    }

    /// Waits for a slot to write to as long as `wait` says. It does so only while every slot is read, or written, or has the newest item.
    ///
    /// # Errors
    /// `Full` when there was none in time, `ShutDown`, `Interrupted`, or a damaged segment.
    pub fn reserve_with(&self, wait: Wait<'_>) -> Result<TopicWriteLoan<'_>, PublishError> {
        let attached = self.attached()?;
        Ok(TopicWriteLoan::new(attached, attached.claim(wait)?))
    }

    /// The newest item; waits for the first one, for ever.
    ///
    /// # Errors
    /// As `borrow_latest_with`, but neither `Empty` nor `Interrupted`.
    pub fn borrow_latest(&self) -> Result<TopicReadLoan<'_>, SubscribeError> {
        self.borrow_latest_with(Wait::forever())
    }

    /// The newest item, if there is one.
    ///
    /// # Errors
    /// As `borrow_latest_with`, but not `Interrupted`.
    pub fn try_borrow_latest(&self) -> Result<TopicReadLoan<'_>, SubscribeError> {
        let attached = self.attached()?;
        Ok(TopicReadLoan::new(attached, attached.pin_now(Wanted::Latest)?))
    }

    /// The newest item; waits for the first one as long as `wait` says. A topic that is shut down goes on to have one.
    ///
    /// # Errors
    /// `Empty` when none came in time, `ShutDown` if none can come, or the topic was shut down immediately, `Interrupted`, or a damaged
    /// segment.
    pub fn borrow_latest_with(&self, wait: Wait<'_>) -> Result<TopicReadLoan<'_>, SubscribeError> {
        let attached = self.attached()?;
        Ok(TopicReadLoan::new(attached, attached.pin(Wanted::Latest, wait)?))
    }

    /// The ticket of the newest item, by one load; 0 while there is none.
    ///
    /// # Errors
    /// In a forked child that could not join the topic.
    pub fn version(&self) -> Result<u64, AttachError> {
        Ok(self.attached()?.board().version())
    }

    /// A subscription, which begins as `start` says.
    ///
    /// # Errors
    /// If the segment is damaged, and in a forked child that could not join the topic.
    pub fn subscribe(&self, start: Start) -> Result<Subscriber, AttachError> {
        self.subscribe_from(self.attached()?.board().subscribe(start)?)
    }

    /// A subscription that begins with this ticket, or the first one after it that is there: as another one has left off
    /// ([`Subscriber::next_ticket`]).
    ///
    /// # Errors
    /// In a forked child that could not join the topic.
    pub fn subscribe_from(&self, ticket: u64) -> Result<Subscriber, AttachError> {
        Subscriber::at(self.clone(), ticket.max(1))
    }

    /// Waits for a slot for an item whose own slot views keep: to copy it there.
    ///
    /// # Errors
    /// `Kept` if for a second no slot may become free: each has the newest item, is read by this process, or is kept by views. As
    /// `reserve_with`.
    pub fn reserve_elsewhere_with(
        &self,
        _: TopicElsewhere,
        wait: Wait<'_>,
    ) -> Result<TopicWriteLoan<'_>, PublishError> {
        let attached = self.attached()?;
        Ok(TopicWriteLoan::new(attached, attached.claim_elsewhere(wait)?))
    }

    /// Shuts the topic down for everyone: puts fail, a subscription gets what is left for it and then fails, and the newest item stays to be
    /// had. If `immediate`, all fail at once. Everybody who waits is woken. Shutting down twice is harmless.
    ///
    /// # Errors
    /// In a forked child that could not join the topic.
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

    /// What is in the topic, what was done to it, and who reads what. Of one with many slots and places it may be some time old.
    ///
    /// # Errors
    /// If the segment is damaged, or the system refuses to tell who lives.
    pub fn stats(&self) -> Result<TopicStats, AttachError> {
        self.attached()?.stats()
    }

    /// Who else uses the topic: for a call that has waited for long, and may wait for nobody.
    ///
    /// # Errors
    /// If the system refuses to tell who lives.
    pub fn peers(&self) -> Result<Peers, AttachError> {
        self.attached()?.peers()
    }

    /// Wakes all who wait at the topic, in any process: see [`Queue::wake_all`](crate::Queue::wake_all).
    pub fn wake_all(&self) {
        self.door.wake_all();
    }

    /// Whether nothing else of this process uses the topic: its drop then leaves the topic, and unmaps its memory, which takes time.
    pub fn is_last_here(&self) -> bool {
        self.door.is_last_here()
    }

    /// Whether this process is attached. A forked child is not: it attaches at its first call, or by `attach_after_fork`.
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
        Self { door: Door::new(attached) }
    }

    fn attached(&self) -> Result<&Arc<Attached>, AttachError> {
        self.door.attached()
    }
}

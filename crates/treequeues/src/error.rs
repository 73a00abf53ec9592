//! What can go wrong, one small enum an operation.

mod corrupted;
mod folder;
mod shutdown;
mod system;

use std::error::Error;
use std::io;
use std::path::PathBuf;

pub use corrupted::{Corrupted, Damage};
pub(crate) use folder::FOLDER_VARIABLE;
pub use folder::FolderError;
pub use shutdown::{EndedStream, Shutdown};
pub(crate) use system::SystemReason;

use crate::format::name::{BadName, QueueName};
use crate::item::schema::SchemaDifference;

/// Why a queue could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A queue holds at least one item, and as many as its ring can count.
    #[error("maxsize must be between 1 and {max}, got {got}: the memory of all slots is reserved at creation", max = crate::format::layout::MAX_CAPACITY)]
    Capacity {
        /// What was asked for.
        got: u64,
    },
    /// The newest item of a topic keeps its slot while the next one is written, and tickets need the bits that more slots would take.
    #[error("maxsize of a topic must be between 2 and {max}, got {got}: the newest item keeps its slot while the next one is written", max = crate::format::layout::MAX_TOPIC_CAPACITY)]
    TopicCapacity {
        /// What was asked for.
        got: u64,
    },
    /// The table of participants has a bounded size.
    #[error("participants must be between 1 and {max}, got {got}", max = crate::format::layout::MAX_PARTICIPANTS)]
    Participants {
        /// What was asked for.
        got: u64,
    },
    /// Capacity times the item's size exceeds the address space.
    #[error(
        "{capacity} slots of {item_nbytes} bytes exceed the address space; lower maxsize or the size of the leaves"
    )]
    TooLarge {
        /// Slots asked for.
        capacity: u64,
        /// Bytes of one item.
        item_nbytes: usize,
    },
    /// The machine, or this process's control group, has not enough memory.
    #[error(
        "{needed_bytes} bytes of shared memory are needed ({capacity} slots of {item_nbytes} bytes), but {available_bytes} \
         are available ({limit}); lower maxsize or free memory"
    )]
    Memory {
        /// Bytes of the whole segment.
        needed_bytes: u64,
        /// Bytes there when it was found to be too little.
        available_bytes: u64,
        /// Slots asked for.
        capacity: u64,
        /// Bytes of one item.
        item_nbytes: usize,
        /// What limits the memory.
        limit: &'static str,
    },
    /// The file system of named queues, or the machine, has not enough room.
    #[error(
        "{needed_bytes} bytes are needed in {folder} ({capacity} slots of {item_nbytes} bytes), but {available_bytes} \
         are available ({limit}); lower maxsize, or make room", folder = folder.display()
    )]
    Space {
        /// Where named queues are.
        folder: PathBuf,
        /// Bytes of the whole segment.
        needed_bytes: u64,
        /// Bytes there when it was found to be too little.
        available_bytes: u64,
        /// Slots asked for.
        capacity: u64,
        /// Bytes of one item.
        item_nbytes: usize,
        /// What limits the room.
        limit: &'static str,
    },
    /// The name is taken by a queue that is in use, or kept.
    #[error("{name:?} exists{}", self.who_holds_it())]
    Exists {
        /// The name.
        name: QueueName,
        /// If this very process has that queue open: how many of its slots loans and views of this process hold.
        held_here: Option<usize>,
    },
    /// The folder of named queues cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No queue can have the name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// Only a name can outlive its queue's participants.
    #[error("what has no name ends with its last participant and cannot be kept; give it a name")]
    KeepWithoutName,
    /// The system refused a step.
    #[error("could not {action}: {}", SystemReason(source))]
    System {
        /// The step, as it would read after "could not".
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The schema, which stands in the segment, has a bounded length.
    #[error("the schema takes {nbytes} bytes as text, and must take at most {max}; use shorter keys, or fewer leaves", max = crate::format::layout::MAX_SCHEMA_NBYTES)]
    SchemaTooLong {
        /// Bytes of its JSON.
        nbytes: usize,
    },
    /// The queue's own first participant could not be registered.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

impl CreateError {
    /// Of a name that exists: how to come by it.
    fn who_holds_it(&self) -> String {
        match self {
            Self::Exists { held_here: Some(0), .. } => {
                ": this process itself has it open; close it first, or open the name: that attaches to it"
                    .to_owned()
            }
            Self::Exists { held_here: Some(slots), .. } => format!(
                ": this process itself has it open, and its loans, or views of them, hold {slots} of the slots; end those \
                 and close it first, or open the name: that attaches to it"
            ),
            _ => "; attach to it, or open it: that attaches or creates".to_owned(),
        }
    }
}

/// Why a process could not become a participant.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The file is no segment, or another user could change it.
    #[error("not a treequeues segment: {0}")]
    Foreign(&'static str),
    /// What has the name is of a kind that the system does not open as a file, or another user could change it.
    #[error("not a treequeues segment: {why}")]
    Unusable {
        /// Why not.
        why: &'static str,
        /// The system's number for that.
        errno: i32,
    },
    /// The queue's file belongs to another user, so that no process of this one can open it.
    #[error(
        "its file belongs to user {owner}, and this process runs as user {here}: a process that changes its user \
         keeps the queues and topics that it has open by name, but no other process of the new user can join them; make it after the \
         change, or without a name"
    )]
    OtherUser {
        /// The user that made the queue.
        owner: u32,
        /// The user that this process runs as.
        here: u32,
    },
    /// The folder of named queues cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The segment was made by another version of this library.
    #[error("the segment has version {found} of the format, and this library reads version {ours}", ours = crate::format::VERSION)]
    OtherVersion {
        /// The segment's version.
        found: u32,
    },
    /// A topic where a queue was asked for, or a queue where a topic was.
    #[error("it is a {found}, and not a {wanted}: attach to it as the {found} that it is")]
    OtherKind {
        /// What it is: `queue` or `topic`.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The header, the schema or a state word is damaged.
    #[error(transparent)]
    Corrupted(#[from] Corrupted),
    /// The file was made under another name.
    #[error(
        "it is the file of {found:?}, copied or renamed, and such a file never gets another name; \
         rename it back, or remove it"
    )]
    OtherName {
        /// The name that the queue was created with.
        found: QueueName,
    },
    /// No entry is free.
    #[error("all places for participants are taken ({limit}); create it with a larger `participants=`")]
    TableFull {
        /// Entries of the table.
        limit: u32,
    },
    /// Somebody closed the descriptors behind the queue's back.
    #[error(
        "this process's descriptors of it were closed, or are other files now: calls that need none go on, and this one \
         needs one; keep them open when closing descriptors by range, or attach again after that, by name"
    )]
    DescriptorsClosed,
    /// A queue in the memory of one process.
    #[error("a local queue or topic lives in the memory of one process, and cannot be shared with another")]
    Local,
    /// No queue can have the name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// No queue has the name.
    #[error("nothing is named {name:?} in {folder}", folder = folder.display())]
    NotFound {
        /// The name.
        name: QueueName,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The queue's participants have all died, and nobody has cleaned up after them.
    #[error(
        "{name:?} is stale: all its participants have died; creating or opening it anew replaces it, \
         and `treequeues clean` removes it"
    )]
    Stale {
        /// The name.
        name: QueueName,
    },
    /// Somebody creates or removes the queue, and has not come to an end with it.
    #[error("{name:?} is being created or removed by a process that does not go on; it may be stopped")]
    ChangingHands {
        /// The name.
        name: QueueName,
    },
    /// The queue's file could not be removed, and is still there.
    #[error("could not remove the file: {path} is still there: {why}", path = path.display())]
    NotRemoved {
        /// The file.
        path: PathBuf,
        /// What was in the way.
        why: String,
        /// The system's number for that.
        errno: i32,
    },
    /// What a name leads to cannot be attached to.
    #[error("{path}: {error}", path = path.display())]
    At {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<AttachError>,
    },
    /// The segment's memory is not of the id that the handle names.
    #[error("the descriptor leads to another segment than the handle was made for")]
    OtherSegment,
    /// The system refused a step.
    #[error("could not {action}: {}", SystemReason(source))]
    System {
        /// The step, as it would read after "could not".
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// Why a queue was neither attached to nor created.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A queue of the name is there, of other items or another capacity.
    #[error("{name:?} is there, but it is another one:\n{difference}")]
    Misfit {
        /// The name.
        name: QueueName,
        /// What was asked for beside what is there.
        difference: Box<SchemaDifference>,
    },
    /// It was there, and could not be attached to.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// It was not there, and could not be created.
    #[error(transparent)]
    Create(#[from] CreateError),
}

/// Why no slot was reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// No slot became free in time.
    #[error("the queue is full")]
    Full,
    /// The queue was shut down: by whom, and when.
    #[error("the queue was {0}; nothing more can be put")]
    ShutDown(Shutdown),
    /// Views keep so many slots that too few can become free: see `Queue::reserve_elsewhere_with`.
    #[error("views keep the slots of the queue that the item could be copied into")]
    Kept,
    /// The caller's own check ended the wait.
    #[error("the wait was interrupted")]
    Interrupted,
    /// A state word or cursor makes no sense.
    #[error(transparent)]
    Corrupted(#[from] Corrupted),
    /// This process was forked, and could not join the queue as itself.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// Why items that were brought from another host were not put.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    /// No host has such a name.
    #[error("a host's name has 1 to {max} bytes, none of them zero, got {0:?}", max = crate::format::HOST_NAME_NBYTES)]
    HostName(String),
    /// A queue's table of hosts has a bounded size, and each name in it is that of an item that is there.
    #[error("the queue has items of {max} other hosts; when those of one of them are taken, there is room for another one", max = crate::format::HOSTS)]
    TooManyHosts,
    /// A state word makes no sense.
    #[error(transparent)]
    Corrupted(#[from] Corrupted),
}

/// Why a producer's block did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ProducingError {
    /// The queue was made without a number of producers, so their leaving would end nothing.
    #[error("the queue was made without `producers=`, so nobody counts its producers")]
    NotCounted,
    /// The stream has ended, or the queue was shut down.
    #[error("the queue was {0}; no producer can come any more")]
    ShutDown(Shutdown),
    /// A participant could not be looked at, or this process was forked, and could not join the queue as itself.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// Why no item was borrowed.
#[derive(Debug, thiserror::Error)]
pub enum BorrowError {
    /// An item was to be dropped, and the hook that it was handed to failed: see `Queue::on_drop`. It was given back.
    #[error("an item that is to be dropped was not handed over: {0}")]
    OnDrop(#[source] Box<dyn Error + Send + Sync>),
    /// No item came in time.
    #[error("the queue is empty")]
    Empty,
    /// The queue was shut down, by whom and when, and too few items are left: of one that was shut down immediately, none.
    #[error("the queue was {0}; too few items are left")]
    ShutDown(Shutdown),
    /// The caller's own check ended the wait.
    #[error("the wait was interrupted")]
    Interrupted,
    /// A state word or cursor makes no sense.
    #[error(transparent)]
    Corrupted(#[from] Corrupted),
    /// This process was forked, and could not join the queue as itself.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// Why nothing was put into a topic.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No slot could be had in time: what each is used for.
    #[error("the topic is full: {0}")]
    Full(Used),
    /// The topic was shut down: by whom, and when.
    #[error("the topic was {0}; nothing more can be put")]
    ShutDown(Shutdown),
    /// Views keep all slots that the item could be copied into: see `Topic::reserve_elsewhere_with`.
    #[error("views keep the slots of the topic that the item could be copied into")]
    Kept,
    /// The caller's own check ended the wait.
    #[error("the wait was interrupted")]
    Interrupted,
    /// A state word makes no sense.
    #[error(transparent)]
    Corrupted(#[from] Corrupted),
    /// This process was forked, and could not join the topic as itself.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// Why no item of a topic was read.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// No item came in time.
    #[error("nothing new has come")]
    Empty,
    /// The topic was shut down, by whom and when, and nothing is left for this call.
    #[error("the topic was {0}; nothing more comes")]
    ShutDown(Shutdown),
    /// The caller's own check ended the wait.
    #[error("the wait was interrupted")]
    Interrupted,
    /// A state word makes no sense.
    #[error(transparent)]
    Corrupted(#[from] Corrupted),
    /// This process was forked, and could not join the topic as itself.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// What the slots of a full topic are used for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Used {
    /// How many slots the topic has.
    pub slots: usize,
    /// By process, as that one sees its own number: the tickets of the items that it reads, lowest first.
    pub readers: Vec<(u32, Vec<u64>)>,
    /// The processes that write to a slot, once for each.
    pub writers: Vec<u32>,
    /// The processes whose views keep a slot that they have written to, once for each.
    pub keepers: Vec<u32>,
}

impl std::fmt::Display for Used {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "of its {} slots one has the newest item", self.slots)?;
        for (pid, tickets) in &self.readers {
            let tickets: Vec<_> = tickets.iter().map(u64::to_string).collect();
            let items = if tickets.len() == 1 { "item" } else { "items" };
            write!(f, ", process {pid} reads {items} {}", tickets.join(", "))?;
        }
        for pid in &self.writers {
            write!(f, ", process {pid} writes to one")?;
        }
        for pid in &self.keepers {
            write!(f, ", process {pid} keeps one by views of a loan that has ended")?;
        }
        write!(
            f,
            "; a slot for each item that is read at a time, one for each writer and one more are enough"
        )
    }
}

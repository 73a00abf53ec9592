//! What can go wrong, one small enum an operation.

use std::io;

use crate::schema::SchemaError;

/// Shared memory that does not hold what the protocol can have written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segment is corrupted: {0}")]
pub struct Corrupted(pub &'static str);

/// Why a queue could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A queue holds at least one item, and as many as its ring can count.
    #[error("maxsize must be between 1 and {max}, got {got}: the memory of all slots is reserved at creation", max = crate::layout::MAX_CAPACITY)]
    Capacity {
        /// What was asked for.
        got: u64,
    },
    /// The table of participants has a bounded size.
    #[error("participants must be between 1 and {max}, got {got}", max = crate::layout::MAX_PARTICIPANTS)]
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
        "the queue needs {needed_bytes} bytes of shared memory ({capacity} slots of {item_nbytes} bytes), but {available_bytes} \
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
    /// The system refused a step.
    #[error("could not {action}: {source}")]
    System {
        /// The step, as it would read after "could not".
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The queue's own first participant could not be registered.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// Why a process could not become a participant.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The descriptor is not a segment of this format version.
    #[error("not a treequeues segment of this version: {0}")]
    Foreign(&'static str),
    /// The header or the table of participants is damaged.
    #[error(transparent)]
    Corrupted(#[from] Corrupted),
    /// The schema in the header does not parse.
    #[error("the segment is corrupted: its schema: {0}")]
    Schema(#[from] SchemaError),
    /// No entry is free.
    #[error("all {limit} places for participants are taken; create the queue with a larger `participants=`")]
    TableFull {
        /// Entries of the table.
        limit: u32,
    },
    /// Somebody closed the descriptors behind the queue's back.
    #[error(
        "this process's descriptors of the queue were closed, or are other files now; keep them open when closing \
         descriptors by range, or attach after that"
    )]
    DescriptorsClosed,
    /// A queue in the memory of one process.
    #[error("a local queue lives in the memory of one process, and cannot be shared with another")]
    Local,
    /// The segment's memory is not of the id that the handle names.
    #[error("the descriptor leads to another segment than the handle was made for")]
    OtherSegment,
    /// The system refused a step.
    #[error("could not {action}: {source}")]
    System {
        /// The step, as it would read after "could not".
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// Why no slot was reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// No slot became free in time.
    #[error("the queue is full")]
    Full,
    /// The queue was shut down.
    #[error("the queue is shut down")]
    ShutDown,
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

/// Why no item was borrowed.
#[derive(Debug, thiserror::Error)]
pub enum BorrowError {
    /// No item came in time.
    #[error("the queue is empty")]
    Empty,
    /// The queue was shut down and is drained.
    #[error("the queue is shut down")]
    ShutDown,
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

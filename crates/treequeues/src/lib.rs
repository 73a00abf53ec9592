//! Queues that carry trees of arrays between processes through preallocated shared memory.
//!
//! A [`Queue`] has a fixed number of slots, each with room for one item: one row for every leaf of the [`Schema`].
//! A producer *reserves* a slot, fills its rows in place and *commits*; a consumer *borrows* the oldest item, reads its
//! rows in place and *releases*. Nothing is serialized, and any participant may be killed at any instruction: the others
//! go on, and what the dead one held comes back.
//!
//! ```
//! use treequeues::{Tree, TypedQueue};
//!
//! #[derive(Tree)]
//! struct Transition {
//!     frame: [[u8; 84]; 84],
//!     reward: f64,
//! }
//!
//! let queue = TypedQueue::<Transition>::create(64)?;
//! queue.push(&Transition { frame: [[0; 84]; 84], reward: 1.5 })?;
//! assert_eq!(queue.pop()?.reward, 1.5);
//!
//! // The same queue without the type, as Python sees it: fill a slot in place, read it in place.
//! let queue = queue.into_queue();
//! let mut loan = queue.reserve()?;
//! loan.leaf_mut::<u8>("frame")?.fill(255);
//! loan.leaf_mut::<f64>("reward")?[0] = 0.5;
//! loan.commit()?;
//! assert_eq!(queue.borrow()?.leaf::<f64>("reward")?, [0.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Any process of the same user finds a queue by its name, in Rust and in Python: see [`TypedQueue::attach`],
//! [`Queue::open`], and [`Observer`] for a look from outside.
//!
//! # Features
//!
//! - `derive`, on by default: `#[derive(Tree)]`.
//! - `ndarray`: leaves and batches as views of that crate.
//!
//! # A tour in reading order
//!
//! | module | what it is | unsafe |
//! |---|---|---|
//! | `sync`, `clock`, `long_look` | the only door to the atomics; the clocks; what is found by long looks, kept for a while | |
//! | `item` | what an item consists of: `dtype`, `schema`; a `leaf` as a slice | yes |
//! | `format` | where everything lies in a segment, byte by byte; `layout`, a slot's `word`, what can be a `name` | |
//! | `error` | what can go wrong, one enum an operation | |
//! | `wait` | spinning, sleeping and waking across processes | |
//! | `memory` | the mapped `segment`, and what becomes of it in a `fork` | yes |
//! | `presence` | who takes part: `liveness`, `names`, the `sweep`, a `participant`, and a process that is `attached` to a `structure` | yes |
//! | `loan` | access to the rows of a claimed slot, until it ends once | yes |
//! | `tree` | Rust types as items | |
//! | `queue` | the protocol of the `ring`; a queue as one process has it, `here`; what it does, `calls`; a `batch`; its loans; the public types, `api` and `typed` | yes |
//! | `topic` | each item for every subscriber, and the newest: the protocol of the `board`, `here`, `calls`, loans, `api` | yes |
//! | `observe` | looks at a queue for people and tools | |
#![deny(unsafe_code)]
// Loom sees the ring alone; what stands above it is left out there.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

#[cfg(not(target_os = "linux"))]
compile_error!("treequeues needs Linux: memory files, futexes and open-file-description locks");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("treequeues needs a 64-bit target: a queue is mapped whole, and its format counts in 64 bits");

#[cfg(not(loom))]
mod clock;
mod error;
mod format;
mod item;
#[cfg(not(loom))]
#[allow(unsafe_code)]
mod loan;
mod long_look;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod observe;
mod presence;
mod queue;
mod sync;
mod topic;
#[cfg(not(loom))]
mod tree;
#[cfg(not(loom))]
mod wait;

#[cfg(test)]
mod tests;

pub use error::{
    ArrivalError, AttachError, BorrowError, Corrupted, CreateError, Damage, EndedStream, FolderError,
    OpenError, ProducingError, PublishError, ReserveError, Shutdown, SubscribeError, Used,
};
pub use format::layout::{DEFAULT_PARTICIPANTS, MAX_CAPACITY, MAX_PARTICIPANTS, MAX_TOPIC_CAPACITY};
pub use format::name::{BadName, QueueName};
pub use item::dtype::{self, Dtype, Element};
#[cfg(not(loom))]
pub use item::leaf::{LeafError, LeafIndex};
pub use item::schema::{
    self, LeafKind, LeafSpec, Scalar, Schema, SchemaBuilder, SchemaDifference, SchemaError, Structure,
};
#[cfg(not(loom))]
pub use memory::segment::{CreateOptions, SegmentId};
#[cfg(not(loom))]
pub use observe::{AnyObserver, Observed, Observer, PeekedItem, PeekedTopicItem, TopicObserver};
#[cfg(not(loom))]
pub use presence::attached::Peers;
pub use presence::counters::Counters;
#[cfg(not(loom))]
pub use presence::door::Handle;
#[cfg(not(loom))]
pub use presence::names::{
    LeftBehind, NameState, name_state, names, names_folder, remove_name, take_left_behind,
};
#[cfg(not(loom))]
pub use presence::table::ParticipantStats;
#[cfg(not(loom))]
pub use queue::api::{Batches, Queue};
#[cfg(not(loom))]
pub use queue::batch::{BatchSize, Elsewhere};
#[cfg(not(loom))]
pub use queue::loan::{Hold, ItemInfo, ReadBatch, ReadLoan, WriteBatch, WriteLoan};
#[cfg(not(loom))]
pub use queue::producing::Producing;
#[cfg(not(loom))]
pub use queue::publishing::ItemOrigin;
#[cfg(not(loom))]
pub use queue::stats::{HeldSlot, ProducerStats, Snapshot, Stats, WhatFor};
#[cfg(not(loom))]
pub use queue::typed::{PopError, TypedQueue};
#[cfg(not(loom))]
pub use topic::api::{Subscriber, Topic, TopicOptions};
#[cfg(not(loom))]
pub use topic::board::Start;
#[cfg(not(loom))]
pub use topic::loan::{TopicElsewhere, TopicHold, TopicItemInfo, TopicReadLoan, TopicWriteLoan};
#[cfg(not(loom))]
pub use topic::stats::{HeldTopicSlot, SubscriptionStats, TopicStats};
#[cfg(not(loom))]
pub use topic::typed::{GetError, TypedSubscriber, TypedTopic};
#[cfg(not(loom))]
pub use tree::{LeafReader, LeafType, LeafWriter, OtherItems, Tree};
#[cfg(feature = "derive")]
pub use treequeues_derive::Tree;
#[cfg(not(loom))]
pub use wait::Wait;

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
//! | `error` | what can go wrong, one enum an operation | |
//! | `dtype`, `schema` | what an item consists of | |
//! | `sync`, `clock` | the only door to the atomics; the clocks | |
//! | `word` | a slot's state in one u64 | |
//! | `layout`, `format` | where everything lies in a segment, byte by byte | |
//! | `ring` | the protocol: who may touch which slot | |
//! | `fork` | descriptors and mappings: what a forked child inherits, and what is taken from it | yes |
//! | `segment` | the mapped memory: anonymous, named, or on the heap for one process | yes |
//! | `liveness` | what says who is alive | yes |
//! | `name`, `names` | what can be a name; its life and death | |
//! | `sweep` | returning what the dead held | |
//! | `participant` | who this process is | |
//! | `wait` | spinning, sleeping and waking across processes | |
//! | `attached` | one process at one segment: its threads, its forks, its end | yes |
//! | `batch` | several slots for one call, all or none | |
//! | `loan` | access to the rows of slots | yes |
//! | `tree` | Rust types as items | |
//! | `queue` | the public type | |
//! | `typed` | queues of one Rust type | |
//! | `counters`, `monitor` | what is counted; looks at a queue for people and tools | |
#![deny(unsafe_code)]
// Loom sees the ring alone; what stands above it is left out there.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

#[cfg(not(target_os = "linux"))]
compile_error!("treequeues needs Linux: memory files, futexes and open-file-description locks");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("treequeues needs a 64-bit target: a queue is mapped whole, and its format counts in 64 bits");

#[cfg(not(loom))]
#[allow(unsafe_code)]
mod attached;
#[cfg(not(loom))]
mod batch;
#[cfg(not(loom))]
mod clock;
mod counters;
pub mod dtype;
mod error;
#[cfg(not(loom))]
#[allow(unsafe_code)]
mod fork;
mod format;
mod layout;
#[cfg(not(loom))]
#[allow(unsafe_code)]
mod liveness;
#[cfg(not(loom))]
#[allow(unsafe_code)]
mod loan;
#[cfg(not(loom))]
mod monitor;
mod name;
#[cfg(not(loom))]
mod names;
#[cfg(not(loom))]
mod participant;
#[cfg(not(loom))]
mod queue;
mod ring;
pub mod schema;
#[cfg(not(loom))]
#[allow(unsafe_code)]
mod segment;
#[cfg(not(loom))]
mod sweep;
mod sync;
#[cfg(not(loom))]
mod tree;
#[cfg(not(loom))]
mod typed;
#[cfg(not(loom))]
mod wait;
mod word;

#[cfg(test)]
mod tests;

#[cfg(not(loom))]
pub use attached::Peers;
#[cfg(not(loom))]
pub use batch::{BatchSize, Elsewhere};
pub use counters::Counters;
pub use dtype::{Dtype, Element};
pub use error::{
    AttachError, BorrowError, Corrupted, CreateError, Damage, FolderError, OpenError, ReserveError, Shutdown,
};
pub use layout::{DEFAULT_PARTICIPANTS, MAX_CAPACITY, MAX_PARTICIPANTS};
#[cfg(not(loom))]
pub use loan::{Hold, ItemInfo, LeafError, LeafIndex, ReadBatch, ReadLoan, WriteBatch, WriteLoan};
#[cfg(not(loom))]
pub use monitor::{HeldSlot, Observer, ParticipantStats, PeekedItem, Snapshot, Stats, WhatFor};
pub use name::{BadName, QueueName};
#[cfg(not(loom))]
pub use names::{LeftBehind, NameState, name_state, names, names_folder, remove_name, take_left_behind};
#[cfg(not(loom))]
pub use queue::{Handle, Queue};
pub use schema::{
    LeafKind, LeafSpec, Scalar, Schema, SchemaBuilder, SchemaDifference, SchemaError, Structure,
};
#[cfg(not(loom))]
pub use segment::{CreateOptions, SegmentId};
#[cfg(not(loom))]
pub use tree::{LeafReader, LeafType, LeafWriter, Tree};
#[cfg(feature = "derive")]
pub use treequeues_derive::Tree;
#[cfg(not(loom))]
pub use typed::{OtherItems, PopError, TypedQueue};
#[cfg(not(loom))]
pub use wait::Wait;

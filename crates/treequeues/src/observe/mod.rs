//! Looks at a queue, for people and tools. They take nothing and change nothing.
//!
//! | file | what it is |
//! |---|---|
//! | `snapshot` | how many slots are in which state |
//! | `stats` | that, the counters, the participants, and who holds what |
//! | `observer` | the same for who is no participant, and a look at the oldest item |
//! | `values` | what is stored in an entry or a slot, from the mapped memory or from bytes that were read |
//!
//! V1. An observer reads the segment's file and maps nothing, so it is in nobody's way: it holds no slot, has no place in the
//!     table and no lock, and may be killed or stopped at any time.
//! V2. A look is not one moment: its parts are of slightly different ones. Each word in it was true when it was read.

mod observer;
mod snapshot;
mod stats;
mod values;

pub use observer::{Observer, PeekedItem};
pub use snapshot::Snapshot;
pub use stats::{HeldSlot, ParticipantStats, Stats, WhatFor};

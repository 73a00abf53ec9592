//! The queue: first in, first out, each item to one consumer.
//!
//! | file | what it is |
//! |---|---|
//! | `ring` | the protocol: who may touch which slot |
//! | `batch` | several slots for one call, all or none |
//! | `api` | the public type |
//! | `typed` | queues of one Rust type |

#[cfg(not(loom))]
pub(crate) mod api;
#[cfg(not(loom))]
pub(crate) mod batch;
pub(crate) mod ring;
#[cfg(not(loom))]
pub(crate) mod typed;

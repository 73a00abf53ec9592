//! The queue: first in, first out, each item to one consumer.
//!
//! | file | what it is |
//! |---|---|
//! | `ring` | the protocol: who may touch which slot |
//! | `producers` | who produces, and when all have left: the counts of the end of a stream |
//! | `stats` | what is in it, and who holds what |
//! | `here` | a queue as one process has it |
//! | `calls` | what the threads of a process do: reserve and borrow, wait, end what they began |
//! | `deliveries` | how often an item was taken, who died with it, and the end of one that killed too many |
//! | `hosts` | which hosts items came from that were brought from others |
//! | `publishing` | commits, one or several as one |
//! | `overflow` | puts into the full queue that drop its oldest items |
//! | `producing` | a producer's block, and the end of the stream |
//! | `side` | the sides of producers and of consumers, for what is done at both |
//! | `attempts` | to take what is there now, or to wait for it |
//! | `batch` | several slots for one call, all or none |
//! | `loan` | access to what was claimed, until it ends |
//! | `api` | the public type |
//! | `typed` | queues of one Rust type |

#[cfg(not(loom))]
pub(crate) mod api;
#[cfg(not(loom))]
pub(crate) mod attempts;
#[cfg(not(loom))]
pub(crate) mod batch;
#[cfg(not(loom))]
mod calls;
#[cfg(not(loom))]
mod deliveries;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub(crate) mod here;
#[cfg(not(loom))]
mod hosts;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub(crate) mod loan;
#[cfg(not(loom))]
mod overflow;
#[cfg(not(loom))]
pub(crate) mod producers;
#[cfg(not(loom))]
pub(crate) mod producing;
#[cfg(not(loom))]
pub(crate) mod publishing;
pub(crate) mod ring;
#[cfg(not(loom))]
pub(crate) mod side;
#[cfg(not(loom))]
pub(crate) mod stats;
#[cfg(not(loom))]
pub(crate) mod typed;

//! The topic: each item for every subscriber, and the newest for whoever asks.
//!
//! | file | what it is |
//! |---|---|
//! | `word` | what the words of a topic say: a slot's state, the newest item, a pin |
//! | `board` | the protocol: who may write to which slot, and who reads there |
//! | `subscriptions` | records of subscriptions, for people |
//! | `stats` | what is in it, who reads what, and how far each subscription has come |
//! | `here` | a topic as one process has it |
//! | `used` | what the slots of a full one are used for |
//! | `calls` | what the threads of a process do: put, latest, next |
//! | `loan` | access to what was claimed or pinned, until it ends |
//! | `api` | the public types |
//! | `typed` | topics of one Rust type |

#[cfg(not(loom))]
pub(crate) mod api;
pub(crate) mod board;
#[cfg(not(loom))]
mod calls;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub(crate) mod here;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub(crate) mod loan;
#[cfg(not(loom))]
pub(crate) mod stats;
pub(crate) mod subscriptions;
#[cfg(not(loom))]
pub(crate) mod typed;
#[cfg(not(loom))]
mod used;
pub(crate) mod word;

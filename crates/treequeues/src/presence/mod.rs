//! Who is there: the processes that take part, what they count, their end, and what is done for those that died.
//!
//! | file | what it is |
//! |---|---|
//! | `counters` | what each participant counts |
//! | `liveness` | what says who is alive |
//! | `values` | what is stored in an entry or a slot, from the mapped memory or from bytes that were read |
//! | `table` | the table of participants, as people see it |
//! | `names` | the life and death of a name |
//! | `structure` | what is to be known of the structure that they take part in |
//! | `sweep` | returning what the dead held |
//! | `participant` | who this process is |
//! | `attached` | one process at one segment: its threads, its forks, its end |
//! | `door` | an object's way to it, and what other processes come by |

#[cfg(not(loom))]
#[allow(unsafe_code)]
pub(crate) mod attached;
pub(crate) mod counters;
#[cfg(not(loom))]
pub(crate) mod door;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub(crate) mod liveness;
#[cfg(not(loom))]
pub(crate) mod names;
#[cfg(not(loom))]
pub(crate) mod participant;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub(crate) mod structure;
#[cfg(not(loom))]
pub(crate) mod sweep;
#[cfg(not(loom))]
pub(crate) mod table;
pub(crate) mod values;

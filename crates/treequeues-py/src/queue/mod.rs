//! `TreeQueue`.
//!
//! A file imports those of rows above its own, and no others.
//!
//! | file | what it is | unsafe |
//! |---|---|---|
//! | `refused` | why a call was refused, as exceptions | |
//! | `stats` | looks at a queue | |
//! | `blocks` | the blocks of producers that a queue object keeps open | |
//! | `on_drop` | what items that killed too many takers are handed to | |
//! | `opened` | an open queue: what it consists of, and what is claimed of it | |
//! | `copies` | the calls that copy: put and get | |
//! | `lending` | what it lends: slots, to be written or read in place | |
//! | `producing` | the class `Producing`: a producer's block | |
//! | `wanted` | what the user says of a queue that is to be made | |
//! | `class` | the class `TreeQueue` | |

mod blocks;
mod class;
mod copies;
mod lending;
mod on_drop;
mod opened;
mod producing;
mod refused;
mod stats;
mod wanted;

pub use class::TreeQueue;
pub use producing::Producing;

//! `TreeQueue`, and the loans of its slots.
//!
//! | file | what it is |
//! |---|---|
//! | `refused` | why a call was refused, as exceptions |
//! | `stats` | looks at a queue |
//! | `on_drop` | what items that killed too many takers are handed to |
//! | `opened` | an open queue: what it consists of, and what is claimed of it |
//! | `copies` | the calls that copy |
//! | `loan` | the classes `WriteLoan` and `ReadLoan` |
//! | `origin` | how an object comes to its queue: made, found by its name, passed on |
//! | `class` | the class `TreeQueue` |

mod class;
mod copies;
#[allow(unsafe_code)]
mod loan;
mod on_drop;
mod opened;
mod origin;
mod refused;
mod stats;

pub use class::TreeQueue;
pub use loan::{ReadLoan, WriteLoan};

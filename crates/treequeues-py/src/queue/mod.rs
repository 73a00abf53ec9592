//! `TreeQueue`, and the loans of its slots.
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
//! | `loan` | what both kinds of loan have in common | |
//! | `read_loan`, `write_loan` | the classes `ReadLoan` and `WriteLoan` | |
//! | `producing` | the class `Producing`: a producer's block | |
//! | `origin` | how an object comes to its queue: made, found by its name, passed on | |
//! | `class` | the class `TreeQueue` | |

mod blocks;
mod class;
mod copies;
mod loan;
mod on_drop;
mod opened;
mod origin;
mod producing;
mod read_loan;
mod refused;
mod stats;
mod write_loan;

pub use class::TreeQueue;
pub use producing::Producing;
pub use read_loan::ReadLoan;
pub use write_loan::WriteLoan;

//! Loans: slots of a queue or a topic, written or read in place.
//!
//! A file imports those of rows above its own, and no others.
//!
//! | file | what it is | unsafe |
//! |---|---|---|
//! | `base` | what both kinds of loan have in common | |
//! | `read`, `write` | the classes `ReadLoan` and `WriteLoan` | |

mod base;
mod read;
mod write;

pub use base::{AnyLender, Lender};
pub use read::ReadLoan;
pub use write::WriteLoan;

//! Python bindings of treequeues: the module `treequeues._core`.
//!
//! Bindings only convert, detach and wrap; what a queue is and does is in the core crate.
//!
//! A module imports those of rows above its own, and no others; so it is in the folders, each of which has a table in its
//! `mod.rs`. `tests/architecture.rs` reads these tables.
//! All but `queue`, `topic` and `command` are for any structure that processes share.
//!
//! | module | what it is | unsafe |
//! |---|---|---|
//! | `errors` | the exception classes, and warnings | |
//! | `nouns` | objects and classes as messages name them | |
//! | `detached` | what may take long: claims, copies, drops | |
//! | `state` | what an object is at: fresh, open, closed | yes |
//! | `attach` | attaching by a descriptor that was passed on | yes |
//! | `info` | what is known about an item | |
//! | `counts` | what was done, and by whom | |
//! | `arguments` | what users give: timeouts, counts, flags, names | |
//! | `outcome` | the core's errors as exceptions | |
//! | `left_behind` | warnings of what a process leaves behind | |
//! | `waiting` | how a call claims something: it tries, and then it waits | |
//! | `kept` | slots that views keep, and the warnings about them | |
//! | `unshared` | queues that nobody else uses, and the warnings about them | |
//! | `tree` | Python trees to leaves and back | yes |
//! | `shared` | what queues and topics have in common | |
//! | `open` | what an open one consists of | |
//! | `origin` | how an object comes to it: made, found by its name, passed on | |
//! | `hold` | what keeps the slots of a loan: the base of its arrays | yes |
//! | `loan` | the classes `WriteLoan` and `ReadLoan` | |
//! | `queue` | the classes `TreeQueue` and `Producing` | |
//! | `topic` | the classes `TreeTopic` and `Subscription` | |
//! | `command` | the command `treequeues` | |
#![deny(unsafe_code)]

mod arguments;
#[allow(unsafe_code)]
mod attach;
mod command;
mod counts;
mod detached;
mod errors;
#[allow(unsafe_code)]
mod hold;
mod info;
mod kept;
mod left_behind;
mod loan;
mod nouns;
mod open;
mod origin;
mod outcome;
mod queue;
mod shared;
#[allow(unsafe_code)]
mod state;
mod topic;
mod tree;
mod unshared;
mod waiting;

use pyo3::prelude::*;

/// The native half of the package `treequeues`.
#[pymodule(gil_used = true)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::add_to_module(module)?;
    module.add_function(wrap_pyfunction!(command::_command, module)?)?;
    module.add_class::<queue::TreeQueue>()?;
    module.add_class::<loan::WriteLoan>()?;
    module.add_class::<loan::ReadLoan>()?;
    module.add_class::<queue::Producing>()?;
    module.add_class::<topic::TreeTopic>()?;
    module.add_class::<topic::Subscription>()?;
    // PyO3's list of all that was added, private names too: what is public, the package says.
    module.delattr("__all__")
}

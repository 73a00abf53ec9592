//! Python bindings of treequeues: the module `treequeues._core`.
//!
//! Bindings only convert, detach and wrap; what a queue is and does is in the core crate.
//!
//! | module | what it is | unsafe |
//! |---|---|---|
//! | `errors` | the exception classes | |
//! | `nouns` | objects and classes as messages name them | |
//! | `outcome` | the core's errors as exceptions | |
//! | `timeout` | numbers that users give | |
//! | `tree` | Python trees to leaves and back | yes |
//! | `info` | what is known about an item | |
//! | `kept` | slots that views keep, and the warnings about them | |
//! | `detached` | values whose drop may take long | |
//! | `unshared` | queues that nobody else uses, and the warnings about them | |
//! | `left_behind` | warnings of what a process leaves behind | |
//! | `on_drop` | what items that killed too many takers are handed to | |
//! | `opened` | what the calls of an open queue do | |
//! | `hold` | what keeps the slots of a loan | yes |
//! | `loan` | the classes `WriteLoan` and `ReadLoan` | yes |
//! | `attach` | attaching by a descriptor that was passed on | yes |
//! | `state` | what a queue object is at | yes |
//! | `stats` | looks at a queue | |
//! | `queue` | the class `TreeQueue` | |
//! | `command` | the command `treequeues` | |
#![deny(unsafe_code)]

mod arguments;
#[allow(unsafe_code)]
mod attach;
mod command;
mod detached;
mod errors;
#[allow(unsafe_code)]
mod hold;
mod info;
mod kept;
mod left_behind;
mod nouns;
mod outcome;
mod queue;
#[allow(unsafe_code)]
mod state;
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
    module.add_class::<queue::WriteLoan>()?;
    module.add_class::<queue::ReadLoan>()?;
    // PyO3's list of all that was added, private names too: what is public, the package says.
    module.delattr("__all__")
}

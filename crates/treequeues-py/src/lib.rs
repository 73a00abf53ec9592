//! Python bindings of treequeues: the module `treequeues._core`.
//!
//! Bindings only convert, detach and wrap; what a queue is and does is in the core crate.
//!
//! | module | what it is | unsafe |
//! |---|---|---|
//! | `errors` | the exception classes | |
//! | `outcome` | the core's errors as exceptions | |
//! | `tree` | Python trees to leaves and back | yes |
//! | `queue` | the class `TreeQueue` | yes |
#![deny(unsafe_code)]

mod errors;
mod outcome;
#[allow(unsafe_code)]
mod queue;
mod tree;

use pyo3::prelude::*;

/// The native half of the package `treequeues`.
#[pymodule(gil_used = true)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::add_to_module(module)?;
    module.add_class::<queue::TreeQueue>()
}

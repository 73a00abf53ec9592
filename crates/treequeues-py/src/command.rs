//! The command `treequeues`, as the package starts it.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Does what the command line asks for, and returns the exit code. `restart` begins a command line that starts the command
/// again.
#[pyfunction]
pub fn _command(py: Python<'_>, argv: Vec<OsString>, restart: Vec<OsString>) -> u8 {
    py.detach(|| treequeues_cli::run(argv, restart))
}

//! The binary `treequeues`: all of it is in the library, which the Python package starts too.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    // What starts this command again; where the system does not say, its name may still be found.
    let restart = std::env::current_exe().map_or_else(|_| OsString::from("treequeues"), OsString::from);
    ExitCode::from(treequeues_cli::run(std::env::args_os(), vec![restart]))
}

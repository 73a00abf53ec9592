//! The binary `treequeues-relay`: all of it is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(treequeues_relay::run(std::env::args_os()))
}

//! `treequeues relay`: becomes the relay, which is a program of its own, so that nobody else's has a network in it.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;

const PROGRAM: &str = "treequeues-relay";

pub fn run(arguments: &[OsString]) -> Result<(), Failure> {
    // Where pip and cargo put it; else where the shell finds it.
    let beside =
        env::current_exe().ok().map(|this| this.with_file_name(PROGRAM)).filter(|path| path.exists());
    let program = beside.unwrap_or_else(|| PathBuf::from(PROGRAM));
    let error = Command::new(program).args(arguments).exec();
    Err(match error.kind() {
        ErrorKind::NotFound => Failure::refused(format!(
            "the relay is a program of its own, {PROGRAM}, and is not installed: in a checkout of the project, \
             cargo install --path crates/{PROGRAM}"
        )),
        _ => Failure::refused(format!("{PROGRAM} does not start: {error}")),
    })
}

//! Attaching by a descriptor that this process was started with.
//!
//! B1. A descriptor of a segment that would be inherited by a program which this process executes is one that the
//!     process was started with: the core's own are all close-on-exec. Only `attach_passed` uses and closes it.

use std::fs::{self, Metadata, OpenOptions};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use pyo3::intern;
use pyo3::prelude::*;

/// Attaches by the descriptor of a segment that this process was started with, if `fd` is its number, and closes it. It is `attach`
/// that knows the segment.
///
/// The number alone says nothing: a handle may be unpickled a second time, late, or in a process that it was not meant
/// for, where the number is closed or something else's. So what it leads to is looked at and opened anew.
pub fn attach_passed<T: Send>(
    py: Python<'_>,
    fd: RawFd,
    attach: impl FnOnce(OwnedFd) -> Option<T> + Send,
) -> Option<T> {
    if !is_passed(py, fd) {
        return None;
    }
    let file = OpenOptions::new().read(true).write(true).open(path_of(fd)).ok()?;
    let found = file.metadata().ok()?;
    // Mapping may take time, and other threads run meanwhile.
    let attached = py.detach(|| attach(file.into()))?;
    let is_the_same = |now: Metadata| (now.dev(), now.ino()) == (found.dev(), found.ino());
    if is_passed(py, fd) && fs::metadata(path_of(fd)).is_ok_and(is_the_same) {
        // SAFETY: B1: the number is open, inheritable, and leads to the segment, so it is the one that the process was
        // started with and ours to close. The interpreter's lock is held since the last look at it, so no other thread
        // has closed it meanwhile in this function.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    Some(attached)
}

/// Whether the number is that of a memory file that this process was started with.
fn is_passed(py: Python<'_>, fd: RawFd) -> bool {
    let is_inheritable = || -> PyResult<bool> {
        py.import(intern!(py, "os"))?.call_method1(intern!(py, "get_inheritable"), (fd,))?.extract()
    };
    // Opening and closing may affect what is no segment: a device, or a file with locks.
    let is_memory_file =
        || fs::read_link(path_of(fd)).is_ok_and(|file| file.as_os_str().as_bytes().starts_with(b"/memfd:"));
    is_inheritable().unwrap_or(false) && is_memory_file()
}

fn path_of(fd: RawFd) -> String {
    format!("/proc/self/fd/{fd}")
}

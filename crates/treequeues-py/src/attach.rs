//! Attaching by a descriptor that this process was started with.
//!
//! B1. A descriptor of a segment that would be inherited by a program which this process executes is one that the
//!     process was started with: the core's own are all close-on-exec. Only `attach_passed` uses and closes it.

use std::fs::{self, OpenOptions};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use pyo3::intern;
use pyo3::prelude::*;
use treequeues::{Queue, SegmentId};

/// Attaches by the descriptor of segment `id` that this process was started with, if `fd` is its number, and closes it.
///
/// The number alone says nothing: a handle may be unpickled a second time, late, or in a process that it was not meant
/// for, where the number is closed or something else's. So what it leads to is looked at and opened anew.
pub fn attach_passed(py: Python<'_>, fd: RawFd, id: SegmentId) -> Option<Queue> {
    let os = py.import(intern!(py, "os")).ok()?;
    let is_inheritable = os.call_method1(intern!(py, "get_inheritable"), (fd,)).ok()?;
    if !is_inheritable.extract().ok()? {
        return None;
    }
    let path = format!("/proc/self/fd/{fd}");
    // Opening and closing may affect what is no segment: a device, or a file with locks.
    if !fs::read_link(&path).ok()?.as_os_str().as_bytes().starts_with(b"/memfd:") {
        return None;
    }
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    let queue = Queue::attach_fd(file.into(), Some(id)).ok()?;
    // SAFETY: B1: the number is open, inheritable, and leads to the segment, so it is the one that the process was
    // started with and ours to close. The interpreter's lock is held since the first look at it, so no other thread
    // has come here meanwhile.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Some(queue)
}

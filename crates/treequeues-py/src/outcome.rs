//! The core's errors as the exceptions that users of `multiprocessing.Queue` expect.

use std::io;

use pyo3::exceptions::{
    PyBufferError, PyConnectionError, PyMemoryError, PyOSError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;
use rustix::io::Errno;
use treequeues::{AttachError, BorrowError, Corrupted, CreateError, OpenError, ReserveError};

use crate::errors;

/// Why a queue was not created.
pub fn create_error(error: CreateError) -> PyErr {
    match error {
        CreateError::Capacity { .. }
        | CreateError::Participants { .. }
        | CreateError::Name(_)
        | CreateError::SchemaTooLong { .. }
        | CreateError::KeepWithoutName => PyValueError::new_err(error.to_string()),
        CreateError::Space { .. } => numbered(Errno::NOSPC, error.to_string()),
        CreateError::Exists { .. } => numbered(Errno::EXIST, error.to_string()),
        CreateError::Memory { .. } | CreateError::TooLarge { .. } => {
            PyMemoryError::new_err(error.to_string())
        }
        CreateError::System { ref source, .. } => system_error(error.to_string(), source),
        CreateError::Attach(error) => attach_error(error),
    }
}

/// Why this process is no participant.
pub fn attach_error(error: AttachError) -> PyErr {
    let message = error.to_string();
    // What is wrong with the file of a name decides about the class.
    let error = match error {
        AttachError::At { error, .. } => *error,
        error => error,
    };
    match error {
        AttachError::Name(_) => PyValueError::new_err(message),
        AttachError::NotFound { .. } => numbered(Errno::NOENT, message),
        AttachError::Corrupted(_) => errors::corrupted_error(message),
        AttachError::System { source, .. } => system_error(message, &source),
        AttachError::Foreign(_)
        | AttachError::OtherVersion { .. }
        | AttachError::OtherName { .. }
        | AttachError::Stale { .. }
        | AttachError::ChangingHands { .. }
        | AttachError::At { .. }
        | AttachError::TableFull { .. }
        | AttachError::OtherSegment
        | AttachError::DescriptorsClosed
        | AttachError::Local => PyOSError::new_err(message),
    }
}

/// Why a named queue was neither attached to nor created.
pub fn open_error(error: OpenError) -> PyErr {
    match error {
        OpenError::Misfit { .. } => errors::schema_error(error.to_string()),
        OpenError::Attach(error) => attach_error(error),
        OpenError::Create(error) => create_error(error),
    }
}

/// Why a handle from process `pid` leads nowhere.
pub fn unreachable(error: AttachError, pid: u32) -> PyErr {
    match error {
        // This process's own trouble, whatever that one is.
        AttachError::System { ref source, .. } if is_out_of_descriptors(source) => attach_error(error),
        AttachError::System { .. } | AttachError::OtherSegment | AttachError::Foreign(_) => {
            PyConnectionError::new_err(format!(
                "the queue that process {pid} pickled cannot be reached: {error}. That process must be alive, have the \
                 queue open, and be of the same user and pid namespace; across these bounds give the queue a name \
                 (`name=`)"
            ))
        }
        error => attach_error(error),
    }
}

/// Why no slot was reserved; `interruption` is what ended the wait.
pub fn reserve_error(py: Python<'_>, error: ReserveError, interruption: Option<PyErr>) -> PyErr {
    match error {
        ReserveError::Full => errors::full(py),
        ReserveError::ShutDown => errors::shut_down(py),
        ReserveError::Kept => PyBufferError::new_err(error.to_string()),
        ReserveError::Interrupted => interruption.unwrap_or_else(closed),
        ReserveError::Corrupted(corrupted) => corrupted_error(corrupted),
        ReserveError::Attach(error) => attach_error(error),
    }
}

/// Why no item was borrowed; `interruption` is what ended the wait.
pub fn borrow_error(py: Python<'_>, error: BorrowError, interruption: Option<PyErr>) -> PyErr {
    match error {
        BorrowError::Empty => errors::empty(py),
        BorrowError::ShutDown => errors::shut_down(py),
        BorrowError::Interrupted => interruption.unwrap_or_else(closed),
        BorrowError::OnDrop(error) => match error.downcast::<PyErr>() {
            Ok(raised) => *raised,
            Err(error) => PyRuntimeError::new_err(error.to_string()),
        },
        BorrowError::Corrupted(corrupted) => corrupted_error(corrupted),
        BorrowError::Attach(error) => attach_error(error),
    }
}

/// A batch of more items than a queue that is shut down has left.
pub fn too_few_left(py: Python<'_>, left: usize) -> PyErr {
    errors::shut_down_saying(
        py,
        format!(
            "only {left} of them left, and no more will come: ask for at most so many items, or with min=1"
        ),
    )
}

/// A batch that the queue cannot hold.
pub fn too_large_a_batch(what: &str, got: u64, capacity: usize) -> PyErr {
    PyValueError::new_err(format!("{what} must be at most the queue's maxsize of {capacity}, got {got}"))
}

/// A stacked tree of another length than the loan that it is for.
pub fn other_length(expected: usize, got: usize) -> PyErr {
    errors::schema_error(format!("the loan has {expected} slots, but the stacked tree {got} rows"))
}

/// The segment holds what the protocol cannot have written.
pub fn corrupted_error(corrupted: Corrupted) -> PyErr {
    errors::corrupted_error(corrupted.to_string())
}

/// This process closed the queue.
pub fn closed() -> PyErr {
    PyValueError::new_err("the queue is closed")
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn system_error(message: String, source: &io::Error) -> PyErr {
    match source.raw_os_error() {
        // With a number first, Python chooses the subclass: PermissionError and so on.
        Some(number) => PyOSError::new_err((number, message)),
        None if source.kind() == io::ErrorKind::PermissionDenied => numbered(Errno::ACCESS, message),
        None => PyOSError::new_err(message),
    }
}

/// An OSError of the subclass that has this number.
fn numbered(errno: Errno, message: String) -> PyErr {
    PyOSError::new_err((errno.raw_os_error(), message))
}

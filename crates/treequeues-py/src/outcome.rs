//! The core's errors as the exceptions that users of `multiprocessing.Queue` expect.

use std::io;

use pyo3::exceptions::{PyConnectionError, PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;
use treequeues::{AttachError, BorrowError, Corrupted, CreateError, ReserveError};

use crate::errors;

/// Why a queue was not created.
pub fn create_error(error: CreateError) -> PyErr {
    match error {
        CreateError::Capacity { .. } | CreateError::Participants { .. } => {
            PyValueError::new_err(error.to_string())
        }
        CreateError::Memory { .. } | CreateError::TooLarge { .. } => {
            PyMemoryError::new_err(error.to_string())
        }
        CreateError::System { action, source } => system_error(action, &source),
        CreateError::Attach(error) => attach_error(error),
    }
}

/// Why this process is no participant.
pub fn attach_error(error: AttachError) -> PyErr {
    match error {
        AttachError::Corrupted(_) | AttachError::Schema(_) => errors::corrupted_error(error.to_string()),
        AttachError::System { action, source } => system_error(action, &source),
        AttachError::Foreign(_)
        | AttachError::TableFull { .. }
        | AttachError::OtherSegment
        | AttachError::DescriptorsClosed
        | AttachError::Local => PyOSError::new_err(error.to_string()),
    }
}

/// Why a handle from process `pid` leads nowhere.
pub fn unreachable(error: AttachError, pid: u32) -> PyErr {
    match error {
        AttachError::System { .. } | AttachError::OtherSegment | AttachError::Foreign(_) => {
            PyConnectionError::new_err(format!(
                "the queue that process {pid} pickled cannot be reached: {error}. That process must be alive, have the \
                 queue open, and be of the same user and pid namespace; across these bounds a queue would need a name \
                 (`name=`), which this version does not have yet"
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

fn system_error(action: &str, source: &io::Error) -> PyErr {
    let message = format!("could not {action}: {source}");
    match source.raw_os_error() {
        // With a number first, Python chooses the subclass: PermissionError and so on.
        Some(number) => PyOSError::new_err((number, message)),
        None => PyOSError::new_err(message),
    }
}

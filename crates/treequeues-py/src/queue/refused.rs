//! Why a queue refused what a call of it asked for, as the exceptions that users of `multiprocessing.Queue` expect.

use std::fmt::Display;

use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use treequeues::{BorrowError, Queue, ReserveError};

use crate::detached::claiming;
use crate::errors;
use crate::outcome;
use crate::shared::{closed, who_and_when};
use crate::waiting::Refusal;

impl Refusal for ReserveError {
    #[inline]
    fn may_pass(&self) -> bool {
        matches!(self, ReserveError::Full)
    }
}

impl Refusal for BorrowError {
    #[inline]
    fn may_pass(&self) -> bool {
        matches!(self, BorrowError::Empty)
    }
}

/// Why no slot was reserved; `interruption` is what ended the wait.
pub fn reserve_error(
    py: Python<'_>,
    queue: &Queue,
    error: ReserveError,
    interruption: Option<PyErr>,
) -> PyErr {
    match error {
        ReserveError::Full => errors::full(py),
        ReserveError::ShutDown(shutdown) => {
            errors::shut_down(py, format!("{}: nothing more can be put", who_and_when(py, queue, shutdown)))
        }
        ReserveError::Kept => PyBufferError::new_err(error.to_string()),
        ReserveError::Interrupted => interruption.unwrap_or_else(closed::<Queue>),
        ReserveError::Corrupted(corrupted) => outcome::corrupted_error(corrupted),
        ReserveError::Attach(error) => outcome::attach_error(error),
    }
}

/// Why not so many items were borrowed; `interruption` is what ended the wait.
pub fn borrow_error(
    py: Python<'_>,
    queue: &Queue,
    wanted: usize,
    error: BorrowError,
    interruption: Option<PyErr>,
) -> PyErr {
    match error {
        BorrowError::Empty => errors::empty(py),
        BorrowError::ShutDown(shutdown) => {
            let left = claiming(py, queue.len_may_be_long(), || queue.len()).unwrap_or(0);
            let what = if shutdown.is_immediate() {
                "what was left cannot be taken".to_owned()
            } else if wanted > 1 && left > 0 {
                format!(
                    "{wanted} items were asked for, {left} {} left, and no more will come: ask for at most so many as are \
                     left, or with min=1",
                    if left == 1 { "is" } else { "are" }
                )
            } else {
                "no item is left".to_owned()
            };
            errors::shut_down(py, format!("{}: {what}", who_and_when(py, queue, shutdown)))
        }
        BorrowError::Interrupted => interruption.unwrap_or_else(closed::<Queue>),
        BorrowError::OnDrop(error) => match error.downcast::<PyErr>() {
            Ok(raised) => *raised,
            Err(error) => PyRuntimeError::new_err(error.to_string()),
        },
        BorrowError::Corrupted(corrupted) => outcome::corrupted_error(corrupted),
        BorrowError::Attach(error) => outcome::attach_error(error),
    }
}

/// A batch that the queue cannot hold.
pub fn too_large_a_batch(what: &str, got: impl Display, capacity: usize) -> PyErr {
    PyValueError::new_err(format!("{what} must be at most the queue's maxsize of {capacity}, got {got}"))
}

/// Refuses more trees than the queue has slots. Of what has no length, only the first ones were counted.
pub fn check_count_of_trees(given: &Bound<'_, PyAny>, counted: usize, capacity: usize) -> PyResult<()> {
    if counted <= capacity {
        return Ok(());
    }
    let got = given.len().map_or_else(|_| format!("at least {counted}"), |len| len.max(counted).to_string());
    Err(too_large_a_batch("the number of trees", got, capacity))
}

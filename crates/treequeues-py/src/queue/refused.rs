//! Why a queue refused what a call of it asked for, as the exceptions that users of `multiprocessing.Queue` expect.

use std::fmt::Display;
use std::process;
use std::time::{Duration, SystemTime};

use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use treequeues::{BorrowError, Queue, ReserveError, Shutdown};

use crate::detached::claiming;
use crate::errors;
use crate::outcome;
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
        ReserveError::Interrupted => interruption.unwrap_or_else(closed),
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
        BorrowError::Interrupted => interruption.unwrap_or_else(closed),
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

/// A stacked tree of another length than the loan that it is for.
pub fn other_length(expected: usize, got: usize) -> PyErr {
    errors::schema_error(format!("the loan has {expected} slots, but the stacked tree {got} rows"))
}

/// This process closed the queue.
pub fn closed() -> PyErr {
    PyValueError::new_err("the queue is closed")
}

/// For the end of a stream: `the queue "actors" was shut down at 2026-11-27 12:01:02, 3.2 s ago: all 3 producers have left`. Else `the queue
/// "actors" was shut down by process 4711 (another process) at 2026-11-27 12:01:02, 3.2 s ago`.
pub fn who_and_when(py: Python<'_>, queue: &Queue, shutdown: Shutdown) -> String {
    let name = queue.name().map_or_else(String::new, |name| format!(" {:?}", name.as_str()));
    let kind = if shutdown.is_immediate() { " with immediate=True" } else { "" };
    let who = shutdown.pid().map_or_else(String::new, |pid| {
        let whose = if pid == process::id() { "this process" } else { "another process" };
        format!(" by process {pid} ({whose})")
    });
    let when = shutdown.at().map_or_else(String::new, |at| {
        // The clock may have been set back.
        let ago = SystemTime::now().duration_since(at).unwrap_or(Duration::ZERO);
        // A time that the C library cannot show is left out.
        let at = local_time(py, at).map_or_else(|_| String::new(), |at| format!(" at {at}"));
        format!("{at}, {} ago", span(ago))
    });
    let ended = shutdown.ended().map_or_else(String::new, |ended| format!(": {ended}"));
    format!("the queue{name} was shut down{kind}{who}{when}{ended}")
}

/// `2026-11-27 12:01:02`, as the clock on the wall shows it.
fn local_time(py: Python<'_>, at: SystemTime) -> PyResult<String> {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = py.import(intern!(py, "time"))?;
    let parts = time.call_method1(intern!(py, "localtime"), (seconds,))?;
    time.call_method1(intern!(py, "strftime"), ("%Y-%m-%d %H:%M:%S", parts))?.extract()
}

/// `3.2 s`, `5 min` or `7 h`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else if seconds < 7200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.0} h", seconds / 3600.0)
    }
}

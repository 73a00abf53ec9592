//! The core's errors as the exceptions that users of `multiprocessing.Queue` expect.

use std::fmt::Display;
use std::io;
use std::process;
use std::time::{Duration, SystemTime};

use pyo3::exceptions::{
    PyBufferError, PyConnectionError, PyMemoryError, PyOSError, PyRuntimeError, PyValueError,
};
use pyo3::intern;
use pyo3::prelude::*;
use rustix::io::Errno;
use treequeues::{
    AttachError, BorrowError, Corrupted, CreateError, OpenError, Queue, ReserveError, Shutdown,
};

use crate::detached::claiming;
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
        CreateError::System { ref source, .. } => numbered(errno_of(source), error.to_string()),
        CreateError::Folder(error) => attach_error(error.into()),
        CreateError::Attach(error) => attach_error(error),
    }
}

/// Why this process is no participant. All but a bad name are OSErrors, of the subclass that belongs to their number.
pub fn attach_error(error: AttachError) -> PyErr {
    let Some(errno) = errno(&error) else { return PyValueError::new_err(error.to_string()) };
    let is_corrupted = matches!(innermost(&error), AttachError::Corrupted(_));
    // A path that the message would begin with is what `filename` is for.
    let (message, path) = match error {
        AttachError::At { path, error } => (error.to_string(), Some(path)),
        error => {
            let path = match &error {
                AttachError::NotFound { name, folder } => Some(folder.join(name.as_str())),
                AttachError::Folder(error) => Some(error.path().to_owned()),
                AttachError::NotRemoved { path, .. } => Some(path.clone()),
                _ => None,
            };
            (error.to_string(), path)
        }
    };
    match (is_corrupted, path) {
        (true, path) => errors::corrupted_error(errno.raw_os_error(), message, path),
        (false, Some(path)) => PyOSError::new_err((errno.raw_os_error(), message, path.into_os_string())),
        (false, None) => numbered(errno, message),
    }
}

/// What stands in the place of the system's number for an error: the system's where it gave one, else the one whose meaning in
/// `errno` is nearest. `docs/reference/python.md` has the same table. None for what is no matter of the system.
fn errno(error: &AttachError) -> Option<Errno> {
    Some(match innermost(error) {
        AttachError::Name(_) => return None,
        AttachError::At { .. } => unreachable!("it has another one in it"),
        AttachError::NotFound { .. } => Errno::NOENT,
        AttachError::System { source, .. } => errno_of(source),
        AttachError::Folder(error) => Errno::from_raw_os_error(error.raw_os_error()),
        AttachError::Unusable { errno, .. } | AttachError::NotRemoved { errno, .. } => {
            Errno::from_raw_os_error(*errno)
        }
        AttachError::OtherUser { .. } => Errno::ACCESS,
        AttachError::Corrupted(_) => Errno::UCLEAN,
        AttachError::Foreign(_) | AttachError::OtherName { .. } => Errno::INVAL,
        AttachError::OtherVersion { .. } => Errno::PROTONOSUPPORT,
        AttachError::Stale { .. } | AttachError::OtherSegment => Errno::STALE,
        AttachError::ChangingHands { .. } => Errno::BUSY,
        AttachError::TableFull { .. } => Errno::USERS,
        AttachError::DescriptorsClosed => Errno::BADF,
        AttachError::Local => Errno::OPNOTSUPP,
    })
}

/// What is wrong with the file of a name, where it is that.
fn innermost(error: &AttachError) -> &AttachError {
    match error {
        AttachError::At { error, .. } => innermost(error),
        error => error,
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

/// Why a handle from process `pid` leads nowhere; nor does the name, if the queue has one.
pub fn unreachable(error: AttachError, pid: u32, name: Option<&str>) -> PyErr {
    let more = match &error {
        // This process's own trouble, whatever that one is.
        AttachError::System { source, .. } if is_out_of_descriptors(source) => return attach_error(error),
        AttachError::System { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            ". Nobody may look into a process that has changed its user (setuid) since it was started: such a process can \
             hand over a queue without a name, to a process that it starts, and a named one that it made after the change"
        }
        AttachError::System { .. }
        | AttachError::OtherSegment
        | AttachError::Foreign(_)
        | AttachError::Unusable { .. } => "",
        _ => return attach_error(error),
    };
    let errno = errno(&error).expect("only a bad name has none").raw_os_error();
    let message = match name {
        None => format!(
            "the queue that process {pid} pickled cannot be reached: {error}. That process must be alive, have the \
             queue open, and be of the same user and pid namespace; across these bounds give the queue a name \
             (`name=`){more}"
        ),
        Some(name) => format!(
            "the queue {name:?} that process {pid} pickled cannot be reached: {error}, and no queue that is found by this \
             name is that one. It is gone once no process has it open: let one keep it open until this one has attached, or \
             make it with keep=True. A queue that was made anew under the name is reached by \
             TreeQueue.attach({name:?}){more}"
        ),
    };
    PyConnectionError::new_err((errno, message))
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
        ReserveError::Corrupted(corrupted) => corrupted_error(corrupted),
        ReserveError::Attach(error) => attach_error(error),
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
        BorrowError::Corrupted(corrupted) => corrupted_error(corrupted),
        BorrowError::Attach(error) => attach_error(error),
    }
}

/// `the queue "actors" was shut down by process 4711 (another process) at 2026-11-27 12:01:02, 3.2 s ago`.
fn who_and_when(py: Python<'_>, queue: &Queue, shutdown: Shutdown) -> String {
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
    format!("the queue{name} was shut down{kind}{who}{when}")
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

/// The segment holds what the protocol cannot have written.
pub fn corrupted_error(corrupted: Corrupted) -> PyErr {
    attach_error(corrupted.into())
}

/// This process closed the queue.
pub fn closed() -> PyErr {
    PyValueError::new_err("the queue is closed")
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// The system's number for an error of its; where it had none, one that says as much.
fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(match error.kind() {
        io::ErrorKind::PermissionDenied => Errno::ACCESS,
        io::ErrorKind::OutOfMemory => Errno::NOMEM,
        // A file that is shorter than it was a moment ago, above all.
        _ => Errno::IO,
    })
}

/// An OSError of the subclass that has this number.
fn numbered(errno: Errno, message: String) -> PyErr {
    PyOSError::new_err((errno.raw_os_error(), message))
}

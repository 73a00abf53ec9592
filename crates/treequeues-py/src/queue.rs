//! `TreeQueue` as Python sees it: arguments in, exceptions out, and when to let other threads run.
//!
//! B1. What a call needs to fail early, it finds out before it takes a slot; what fails later gives the slot back.
//! B2. A `Py` reference is only dropped, and Python only called, while attached to the interpreter. Waiting, and copying
//!     much, is done detached.
//! B3. `opened` is locked only while attached and never across a wait, so a fork, which is made by a thread that is
//!     attached, never copies it locked.
//! B4. A thread that waits when the interpreter is finalized, a daemon, never comes back from the wait: what it would
//!     come back to is freed. A wait holds nothing that others could miss, and the process is about to end.
//! B5. A descriptor of a segment that would be inherited by a program which this process executes is one that the
//!     process was started with: the core's own are all close-on-exec. Only `attach_passed` uses and closes it.

use std::fs::{self, OpenOptions};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyTuple};
use treequeues::{
    BorrowError, DEFAULT_PARTICIPANTS, Handle, Queue, ReadLoan, ReserveError, SegmentId, Snapshot, Wait,
    WriteLoan,
};

use crate::errors;
use crate::outcome;
use crate::tree::Tree;

/// From this many bytes on, an item is copied without the interpreter's lock: below, giving it up and taking it again
/// costs other threads more than the copy does.
const DETACHED_COPY_NBYTES: usize = 256 * 1024;
/// Leaves named by `repr`.
const REPR_LEAVES: usize = 4;

/// A queue of trees of arrays, shared by processes.
///
/// TreeQueue(nested_array, maxsize, *, participants=256)
///
/// nested_array: an example of the items: a tree of dicts, lists, tuples, namedtuples, dataclasses, attrs classes, None
///     and registered nodes, whose leaves are arrays (or anything with a shape and a dtype), NumPy scalars, or Python
///     bool, int, float and complex. Only its structure, shapes and dtypes count.
/// maxsize: slots of the queue, at least 1. Memory for all of them is reserved at once.
/// participants: how many processes can be attached at a time.
///
/// Raises TypeError if a leaf cannot be carried, ValueError if a number is out of range, MemoryError, with the figures, if
/// the memory is not there.
#[pyclass(subclass, frozen, generic, weakref, module = "treequeues", name = "TreeQueue")]
pub struct TreeQueue {
    opened: Mutex<State>,
}

/// What a queue object is at.
enum State {
    /// `__new__` ran, `__init__` did not yet.
    Fresh,
    Open(Arc<Opened>),
    Closed,
}

/// A queue, and its schema bound to this process's Python classes.
struct Opened {
    queue: Queue,
    tree: Tree,
}

#[pymethods]
impl TreeQueue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { opened: Mutex::new(State::Fresh) }
    }

    #[pyo3(signature = (nested_array, maxsize, *, participants = None))]
    fn __init__(
        &self,
        py: Python<'_>,
        nested_array: &Bound<'_, PyAny>,
        maxsize: &Bound<'_, PyAny>,
        participants: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let capacity = count("maxsize", maxsize)?;
        let participants = participants.map_or(Ok(u64::from(DEFAULT_PARTICIPANTS)), |participants| {
            count("participants", participants)
        })?;
        let tree = Tree::from_example(py, nested_array)?;
        let schema = tree.schema().clone();
        let queue =
            py.detach(|| Queue::create_for(schema, capacity, participants)).map_err(outcome::create_error)?;
        self.open(Opened { queue, tree })
    }

    /// Attaches a fresh object to the queue behind a handle: what unpickling calls. `passed` is the number under which
    /// this process may have been started with a descriptor of the segment.
    fn _attach(
        &self,
        py: Python<'_>,
        pid: u32,
        fd: RawFd,
        segment: &[u8],
        passed: Option<RawFd>,
    ) -> PyResult<()> {
        let id: SegmentId =
            segment.try_into().map_err(|_| PyValueError::new_err("a segment is named by 16 bytes"))?;
        let queue = match passed.and_then(|fd| attach_passed(py, fd, id)) {
            Some(queue) => queue,
            None => Queue::attach_handle(Handle { pid, fd, id })
                .map_err(|error| outcome::unreachable(error, pid))?,
        };
        let tree = Tree::from_schema(py, queue.schema().as_ref().clone())?;
        self.open(Opened { queue, tree })
    }

    /// The process, descriptor and segment that another process can attach by.
    fn _handle<'py>(&self, py: Python<'py>) -> PyResult<(u32, RawFd, Bound<'py, PyBytes>)> {
        let handle = self.opened()?.queue.handle().map_err(outcome::attach_error)?;
        Ok((handle.pid, handle.fd, PyBytes::new(py, &handle.id)))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        py.import(intern!(py, "treequeues._pickling"))?.call_method1(intern!(py, "reduce"), (slf,))
    }

    /// Copy a tree into the queue. It is visible to readers when this returns.
    ///
    /// Raises SchemaError if the tree does not fit, queue.Full if no slot became free in time (timeout is in seconds;
    /// None waits for ever), ShutDown, and ValueError after close. A put that raises leaves the queue as it was.
    #[pyo3(
        signature = (obj, block = None, timeout = None),
        text_signature = "($self, obj, block=True, timeout=None)"
    )]
    fn put(
        &self,
        py: Python<'_>,
        obj: &Bound<'_, PyAny>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.put_within(py, obj, Timeout::from_arguments(block, timeout)?)
    }

    /// put(obj, block=False)
    fn put_nowait(&self, py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_within(py, obj, Timeout::None)
    }

    /// Take the oldest tree. Its arrays are owned by the caller and writable.
    ///
    /// With out=, a tree like the example, its arrays are filled instead of new ones, and it is returned. Raises
    /// SchemaError if out does not fit, queue.Empty if no item came in time (timeout is in seconds; None waits for ever),
    /// ShutDown when the queue is shut down and drained, and ValueError after close. A get that raises takes nothing.
    #[pyo3(
        signature = (block = None, timeout = None, out = None),
        text_signature = "($self, block=True, timeout=None, out=None)"
    )]
    fn get<'py>(
        &self,
        py: Python<'py>,
        block: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.get_within(py, Timeout::from_arguments(block, timeout)?, out)
    }

    /// get(block=False)
    #[pyo3(signature = (out = None))]
    fn get_nowait<'py>(
        &self,
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.get_within(py, Timeout::None, out)
    }

    /// How many items can be taken.
    fn qsize(&self) -> PyResult<usize> {
        Ok(self.snapshot()?.ready)
    }

    /// Whether no item can be taken.
    fn empty(&self) -> PyResult<bool> {
        Ok(self.snapshot()?.ready == 0)
    }

    /// Whether no slot can be filled: each holds an item, or is being written or read.
    fn full(&self) -> PyResult<bool> {
        Ok(self.snapshot()?.free == 0)
    }

    /// Slots of the queue.
    #[getter]
    fn maxsize(&self) -> PyResult<usize> {
        Ok(self.opened()?.queue.capacity())
    }

    /// Bytes of shared memory that the queue takes in all.
    #[getter]
    fn nbytes(&self) -> PyResult<usize> {
        Ok(self.opened()?.queue.nbytes())
    }

    /// What is in the queue, slot by slot counted: a QueueStats.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened()?;
        let snapshot = self.snapshot()?;
        let fields = PyDict::new(py);
        fields.set_item("maxsize", opened.queue.capacity())?;
        fields.set_item("qsize", snapshot.ready)?;
        fields.set_item("free", snapshot.free)?;
        fields.set_item("writing", snapshot.writing)?;
        fields.set_item("reading", snapshot.reading)?;
        fields.set_item("lingering", snapshot.lingering)?;
        fields.set_item("participants", snapshot.participants)?;
        fields.set_item("item_nbytes", opened.tree.schema().item_nbytes())?;
        fields.set_item("nbytes", opened.queue.nbytes())?;
        fields.set_item("is_shut_down", snapshot.is_shut_down)?;
        py.import(intern!(py, "treequeues._stats"))?
            .getattr(intern!(py, "QueueStats"))?
            .call((), Some(&fields))
    }

    /// End this process's use of the queue: later calls raise ValueError. Other processes go on.
    fn close(&self) {
        // Replaced first, dropped afterwards: the last one to drop it detaches from the segment.
        let opened = std::mem::replace(&mut *self.state(), State::Closed);
        drop(opened);
    }

    /// Shut the queue down for every process: puts raise ShutDown, gets drain what is there and then raise it.
    /// With immediate=True gets raise at once too.
    #[pyo3(signature = (immediate = false))]
    fn shutdown(&self, immediate: bool) -> PyResult<()> {
        self.opened()?.queue.shutdown(immediate).map_err(outcome::attach_error)
    }

    /// There is no feeder thread: a put is visible when it returns.
    fn join_thread(&self) {}

    /// There is no feeder thread: a put is visible when it returns.
    fn cancel_join_thread(&self) {}

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().opened()?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.close();
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let taken = if slf.get_type().is(py.get_type::<Self>()) {
            slf.get().get_within(py, Timeout::Forever, None)
        } else {
            // A subclass may have a `get` of its own.
            slf.call_method0(intern!(py, "get"))
        };
        match taken {
            Ok(tree) => Ok(Some(tree)),
            Err(error) if errors::is_shut_down(py, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        let opened = match &*slf.get().state() {
            State::Open(opened) => Arc::clone(opened),
            State::Fresh => return Ok(format!("<{name} without a queue>")),
            State::Closed => return Ok(format!("<{name} closed>")),
        };
        let leaves = opened.tree.schema().leaves();
        let mut shown: Vec<String> =
            leaves.iter().take(REPR_LEAVES).map(|leaf| format!("{}: {leaf}", leaf.path)).collect();
        if leaves.len() > REPR_LEAVES {
            shown.push(format!("... {} more", leaves.len() - REPR_LEAVES));
        }
        Ok(format!("<{name} maxsize={} of {{{}}}>", opened.queue.capacity(), shown.join(", ")))
    }
}

impl TreeQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment, so a panic elsewhere leaves a whole state behind.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, opened: Opened) -> PyResult<()> {
        let mut state = self.state();
        if !matches!(*state, State::Fresh) {
            return Err(PyRuntimeError::new_err("the queue is initialized already"));
        }
        *state = State::Open(Arc::new(opened));
        Ok(())
    }

    fn opened(&self) -> PyResult<Arc<Opened>> {
        match &*self.state() {
            State::Open(opened) => Ok(Arc::clone(opened)),
            State::Closed => Err(outcome::closed()),
            State::Fresh => Err(PyRuntimeError::new_err("the queue's __init__ was not called")),
        }
    }

    fn is_open(&self) -> bool {
        matches!(*self.state(), State::Open(_))
    }

    fn snapshot(&self) -> PyResult<Snapshot> {
        self.opened()?.queue.snapshot().map_err(outcome::attach_error)
    }

    fn put_within(&self, py: Python<'_>, value: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<()> {
        let opened = self.opened()?;
        // B1: a tree that does not fit takes no slot.
        let sources = opened.tree.sources(py, value)?;
        let mut loan = self.reserve(py, &opened.queue, timeout)?;
        if sources.nbytes() >= DETACHED_COPY_NBYTES {
            py.detach(|| sources.copy_to(&mut loan));
        } else {
            sources.copy_to(&mut loan);
        }
        loan.commit().map_err(outcome::corrupted_error)
    }

    fn get_within<'py>(
        &self,
        py: Python<'py>,
        timeout: Timeout,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened()?;
        // B1: an `out` that does not fit takes no item, nor does a want of memory. Only a call that is about to find
        // nothing and will not wait for it does not allocate in advance.
        let prepared = match out {
            Some(out) => Some(opened.tree.destinations(py, out)?),
            None if timeout.waits() || opened.queue.may_borrow() => Some(opened.tree.allocate(py)?),
            None => None,
        };
        let loan = self.borrow(py, &opened.queue, timeout)?;
        let taken = prepared.map_or_else(|| opened.tree.allocate(py), Ok).and_then(|mut destinations| {
            if destinations.nbytes() >= DETACHED_COPY_NBYTES {
                py.detach(|| destinations.copy_from(&loan));
            } else {
                destinations.copy_from(&loan);
            }
            destinations.into_tree(&opened.tree, py)
        });
        let ended = if taken.is_ok() { loan.release() } else { loan.give_back() };
        let tree = taken?;
        ended.map_err(outcome::corrupted_error)?;
        Ok(tree)
    }

    fn reserve<'q>(&self, py: Python<'_>, queue: &'q Queue, timeout: Timeout) -> PyResult<WriteLoan<'q>> {
        let mut interruption = None;
        let outcome = match queue.try_reserve() {
            Err(ReserveError::Full) if timeout.waits() => py.detach(|| {
                queue.reserve_with(timeout.wait().or_until(&mut || self.interrupted(&mut interruption)))
            }),
            outcome => outcome,
        };
        outcome.map_err(|error| outcome::reserve_error(py, error, interruption))
    }

    fn borrow<'q>(&self, py: Python<'_>, queue: &'q Queue, timeout: Timeout) -> PyResult<ReadLoan<'q>> {
        let mut interruption = None;
        let outcome = match queue.try_borrow() {
            Err(BorrowError::Empty) if timeout.waits() => py.detach(|| {
                queue.borrow_with(timeout.wait().or_until(&mut || self.interrupted(&mut interruption)))
            }),
            outcome => outcome,
        };
        outcome.map_err(|error| outcome::borrow_error(py, error, interruption))
    }

    /// Whether a wait should end: a signal handler raised (Ctrl-C), or the queue was closed under it.
    fn interrupted(&self, interruption: &mut Option<PyErr>) -> bool {
        let ends = Python::try_attach(|py| {
            *interruption = py.check_signals().err();
            interruption.is_some() || !self.is_open()
        });
        ends.unwrap_or_else(|| sleep_until_the_process_ends())
    }
}

/// How long a call may wait.
#[derive(Clone, Copy)]
enum Timeout {
    None,
    AtMost(Duration),
    Forever,
}

impl Timeout {
    /// As `multiprocessing.Queue` reads them: a timeout only counts if the call blocks, and below zero it is zero.
    fn from_arguments(
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        if !block.map_or(Ok(true), |block| block.is_truthy())? {
            return Ok(Self::None);
        }
        let Some(timeout) = timeout.filter(|timeout| !timeout.is_none()) else { return Ok(Self::Forever) };
        let seconds: f64 = timeout.extract()?;
        if seconds.is_nan() {
            return Err(PyValueError::new_err("timeout must be a number of seconds, got nan"));
        }
        // What a Duration cannot hold is longer than anybody waits.
        Ok(Duration::try_from_secs_f64(seconds.max(0.0)).map_or(Self::Forever, Self::AtMost))
    }

    fn waits(self) -> bool {
        !matches!(self, Self::None)
    }

    fn wait(self) -> Wait<'static> {
        match self {
            Self::None => Wait::at_most(Duration::ZERO),
            Self::AtMost(timeout) => Wait::at_most(timeout),
            Self::Forever => Wait::forever(),
        }
    }
}

/// For a thread whose interpreter is gone (B4).
fn sleep_until_the_process_ends() -> ! {
    loop {
        thread::park();
    }
}

/// Attaches by the descriptor of segment `id` that this process was started with, if `fd` is its number, and closes it.
///
/// The number alone says nothing: a handle may be unpickled a second time, late, or in a process that it was not meant
/// for, where the number is closed or something else's. So what it leads to is looked at and opened anew.
fn attach_passed(py: Python<'_>, fd: RawFd, id: SegmentId) -> Option<Queue> {
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
    // SAFETY: B5: the number is open, inheritable, and leads to the segment, so it is the one that the process was
    // started with and ours to close. The interpreter's lock is held since the first look at it, so no other thread
    // has come here meanwhile.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Some(queue)
}

/// A count of at least 1. What is too large for a queue is refused by the queue.
fn count(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    // A bool is an int to Python, but nobody means one here.
    if value.is_instance_of::<PyBool>() || !value.is_instance_of::<PyInt>() && !value.hasattr("__index__")? {
        let got = value.get_type();
        return Err(PyTypeError::new_err(format!("{name} must be an int, got a {}", got.name()?)));
    }
    let py = value.py();
    let index = py.import(intern!(py, "operator"))?.call_method1(intern!(py, "index"), (value,))?;
    if index.lt(1)? {
        return Err(PyValueError::new_err(format!(
            "{name} must be at least 1, got {index}: memory is reserved at creation, so nothing is unbounded"
        )));
    }
    Ok(index.extract().unwrap_or(u64::MAX))
}

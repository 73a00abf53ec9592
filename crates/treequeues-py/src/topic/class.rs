//! `TreeTopic` as Python sees it: arguments in, exceptions out. What its calls do is in `opened`, `copies` and `lending`.

use std::os::fd::RawFd;
use std::path::PathBuf;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use treequeues::schema::{LeafKind, Node};
use treequeues::{Start, Topic};

use super::lending::{read_loan, write_loan};
use super::opened::{self, Opened};
use super::stats;
use super::subscription::Subscription;
use super::wanted::Wanted;
use crate::arguments::{Block, Flag, Timeout, given, text};
use crate::loan::{ReadLoan, WriteLoan};
use crate::open::{Open, look_after};
use crate::origin::{self, PickledHandle};
use crate::outcome;
use crate::shared;
use crate::state::{State, StateCell};

/// A topic of trees of arrays, shared by processes: each item for every subscriber, and the newest for all.
///
/// Publishers never wait for subscribers that hold nothing, however slow they are, stopped or dead: the oldest item that nobody reads makes
/// room. A put waits only while each slot is being read, or written, or has the newest item: with a maxsize of the items that are read at
/// the same time, the publishers, and one more, it never does. Readers of one item share its slot.
///
/// nested_array: an example of the items, as TreeQueue takes it. Only its structure, shapes and dtypes count.
/// maxsize: slots of the topic, at least 2. Memory for all of them is reserved at once.
/// name: under which any process of this user can attach: up to 100 letters, digits, ".", "_" and "-", not beginning with a dot. None for
///     one that only travels by fork, as an argument, or through queues.
/// keep: whether a named topic, with its last items, outlives its last participant, until `unlink`.
/// participants: how many processes can be attached at a time.
/// populate: whether each process makes its page tables for all slots when it attaches, instead of at their first use.
///
/// Raises as TreeQueue does.
#[pyclass(subclass, frozen, generic, weakref, module = "treequeues", name = "TreeTopic")]
pub struct TreeTopic {
    state: StateCell<Opened>,
}

#[pymethods]
impl TreeTopic {
    // Takes what the `__init__` of any subclass takes. What it says of itself is the signature of the class: that of `__init__`.
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(nested_array, maxsize=4, *, name=None, keep=False, participants=64, populate=False)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: StateCell::fresh() }
    }

    #[pyo3(signature = (
        nested_array, maxsize = None, *, name = None, keep = Flag::NO, participants = None, populate = Flag::NO
    ))]
    fn __init__(
        slf: &Bound<'_, Self>,
        nested_array: &Bound<'_, PyAny>,
        maxsize: Option<&Bound<'_, PyAny>>,
        name: Option<&Bound<'_, PyAny>>,
        keep: Flag,
        participants: Option<&Bound<'_, PyAny>>,
        populate: Flag,
    ) -> PyResult<()> {
        let wanted = Wanted { maxsize, keep, participants, populate }.read()?;
        Self::begin(slf, origin::create(slf.py(), name, nested_array, wanted)?)
    }

    /// Attach to the topic of this name, made by any process of this user. What its items look like stands in the topic.
    ///
    /// Raises as TreeQueue.attach does, and OSError (EPROTOTYPE) if it is a queue.
    #[classmethod]
    fn attach<'py>(cls: &Bound<'py, PyType>, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::new_object(cls, origin::attach(cls.py(), name)?)
    }

    /// Attach to the topic of this name, or create it if there is none.
    ///
    /// Raises SchemaError, with both sides, if the topic that is there has other items or another maxsize, and else as attach
    /// and the class do.
    #[classmethod]
    #[pyo3(
        signature = (
            name, nested_array, maxsize = None, *, keep = Flag::NO, participants = None, populate = Flag::NO
        ),
        text_signature = "($cls, name, nested_array, maxsize=4, *, keep=False, participants=64, populate=False)"
    )]
    fn open<'py>(
        cls: &Bound<'py, PyType>,
        name: &Bound<'py, PyAny>,
        nested_array: &Bound<'py, PyAny>,
        maxsize: Option<&Bound<'py, PyAny>>,
        keep: Flag,
        participants: Option<&Bound<'py, PyAny>>,
        populate: Flag,
    ) -> PyResult<Bound<'py, PyAny>> {
        let wanted = Wanted { maxsize, keep, participants, populate }.read()?;
        Self::new_object(cls, origin::open(cls.py(), name, nested_array, wanted)?)
    }

    /// Take the topic's name away: no other process finds it any more, and those that are attached go on.
    ///
    /// Raises OSError, with the path, if the file cannot be removed, and ValueError if the topic was created without a name.
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        self.opened(py)?.get().unlink(py)
    }

    /// The name that the topic was created with; None for one without.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.known(py)?.get().shared.name().map(ToString::to_string))
    }

    /// Attaches a fresh object to the topic behind a handle: what unpickling calls. `passed` is the number under which
    /// this process may have been started with a descriptor of the segment.
    fn _attach(
        slf: &Bound<'_, Self>,
        pid: u32,
        fd: RawFd,
        segment: &[u8],
        name: Option<&str>,
        folder: Option<PathBuf>,
        passed: Option<RawFd>,
    ) -> PyResult<()> {
        Self::begin(slf, origin::attach_by_handle(slf.py(), (pid, fd, segment), name, folder, passed)?)
    }

    /// The process, descriptor and segment, and the name and its folder if there is one, that another process can attach by.
    fn _handle<'py>(&self, py: Python<'py>) -> PyResult<PickledHandle<'py>> {
        origin::handle(py, self.opened(py)?.get())
    }

    /// How many items are left that no other thread of this process can have known of; 0 of a closed topic.
    fn _left_unshared(&self, py: Python<'_>) -> PyResult<usize> {
        match self.state.get(py) {
            State::Open(opened) => opened.get().left_unshared(),
            State::Fresh | State::Closed => Ok(0),
        }
    }

    /// Whether the items are single arrays.
    fn _is_of_arrays(&self, py: Python<'_>) -> PyResult<bool> {
        let opened = self.known(py)?;
        let schema = opened.get().tree.schema();
        Ok(schema.structure().nodes() == [Node::Leaf] && schema.leaves()[0].kind == LeafKind::Array)
    }

    /// A subscription that begins with this ticket: what unpickling one calls.
    fn _subscribe_from(slf: &Bound<'_, Self>, ticket: u64) -> PyResult<Subscription> {
        let following = Opened::subscribe_from(slf.py(), slf.get().opened(slf.py())?, ticket)?;
        Ok(Subscription::new(slf, following))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        py.import(intern!(py, "treequeues._pickling"))?.call_method1(intern!(py, "reduce"), (slf,))
    }

    /// Copy a tree into the topic. It is the newest item when this returns.
    ///
    /// Raises SchemaError if the tree does not fit, queue.Full if no slot could be had in time (timeout is in seconds; None waits for
    /// ever), with who reads and writes what, ShutDown, and ValueError after close. A put that raises leaves the topic as it was.
    #[pyo3(
        signature = (obj, block = Block::YES, timeout = None),
        text_signature = "($self, obj, block=True, timeout=None)"
    )]
    fn put(
        &self,
        py: Python<'_>,
        obj: &Bound<'_, PyAny>,
        block: Block,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.opened(py)?.get().put(py, obj, Timeout::from_arguments(block, timeout)?)
    }

    /// put(obj, block=False), and raises as that does.
    fn put_nowait(&self, py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        self.opened(py)?.get().put(py, obj, Timeout::None)
    }

    /// Take a slot, to be filled in place: a WriteLoan, for a with block. A clean end commits it, which makes it the newest item, an
    /// exception aborts it.
    ///
    /// A fresh slot holds whatever an older item left there, or zeros. A leaf that is not filled delivers that.
    ///
    /// Raises queue.Full, ShutDown and ValueError as put does.
    #[pyo3(
        signature = (block = Block::YES, timeout = None),
        text_signature = "($self, block=True, timeout=None)"
    )]
    fn reserve(
        &self,
        py: Python<'_>,
        block: Block,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<WriteLoan> {
        let opened = self.opened(py)?;
        write_loan(py, opened, Timeout::from_arguments(block, timeout)?)
    }

    /// A copy of the newest tree, which stays; it waits for the first one. Its arrays are owned by the caller and writable.
    ///
    /// With out=, a tree like the example, its arrays are filled instead of new ones, and it is returned. With info=True a pair of the tree
    /// and its ItemInfo is returned.
    ///
    /// Raises SchemaError if out does not fit, queue.Empty if none came in time (timeout is in seconds; None waits for ever), ShutDown if
    /// none can come, or the topic was shut down with immediate=True, and ValueError after close.
    #[pyo3(
        signature = (block = Block::YES, timeout = None, out = None, info = Flag::NO),
        text_signature = "($self, block=True, timeout=None, out=None, info=False)"
    )]
    fn latest<'py>(
        &self,
        py: Python<'py>,
        block: Block,
        timeout: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
        info: Flag,
    ) -> PyResult<Bound<'py, PyAny>> {
        let timeout = Timeout::from_arguments(block, timeout)?;
        let opened = self.opened(py)?;
        opened.get().copy_of(py, opened::Wanted::Latest, timeout, given(out), info.named("info")?)
    }

    /// The newest item, to be read in place: a ReadLoan, for a with block, which any number of readers have at once. Its arrays are
    /// read-only, and so is their memory: a write that gets around NumPy is a SIGSEGV.
    ///
    /// Raises queue.Empty, ShutDown and ValueError as latest does.
    #[pyo3(
        signature = (block = Block::YES, timeout = None),
        text_signature = "($self, block=True, timeout=None)"
    )]
    fn borrow_latest(
        &self,
        py: Python<'_>,
        block: Block,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<ReadLoan> {
        let opened = self.opened(py)?;
        read_loan(py, opened, opened::Wanted::Latest, Timeout::from_arguments(block, timeout)?)
    }

    /// Subscribe: to each item from now on ("new"), from the newest one that is there on ("latest"), or from the oldest ("oldest").
    ///
    /// Raises ValueError if start is none of these, or after close.
    #[pyo3(signature = (start = None), text_signature = "($self, start='latest')")]
    fn subscribe(slf: &Bound<'_, Self>, start: Option<&Bound<'_, PyAny>>) -> PyResult<Subscription> {
        let start = start_of(start)?;
        let following = Opened::subscribe(slf.py(), slf.get().opened(slf.py())?, start)?;
        Ok(Subscription::new(slf, following))
    }

    /// The ticket of the newest item: how many have been put. 0 while there is none.
    #[getter]
    fn version(&self, py: Python<'_>) -> PyResult<u64> {
        self.opened(py)?.get().shared.version().map_err(outcome::attach_error)
    }

    /// Slots of the topic.
    #[getter]
    fn maxsize(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.known(py)?.get().shared.capacity())
    }

    /// Bytes of shared memory that the topic takes in all.
    #[getter]
    fn nbytes(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.known(py)?.get().shared.nbytes())
    }

    /// What is in the topic, what was done to it, and by whom: a TopicStats.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        stats::to_python(py, &self.opened(py)?.get().shared)
    }

    /// End this process's use of the topic, its subscriptions included: later calls raise ValueError. Other processes go on. The last one
    /// that leaves a named topic removes its file, unless it is to be kept.
    fn close(&self, py: Python<'_>) {
        // Replaced first, dropped afterwards: the last one to drop it detaches from the segment.
        let before = self.state.replace(py, State::Closed);
        if let State::Open(opened) = &before {
            opened.get().close();
        }
        drop(before);
    }

    /// As `close`, for a process that is about to end: calls that wait in its daemon threads go on waiting, instead of raising
    /// an error that nobody can handle any more.
    fn _close_at_exit(&self, py: Python<'_>) {
        drop(self.state.replace(py, State::Closed));
    }

    /// Shut the topic down for every process: puts raise ShutDown, subscriptions get what is left for them and then raise it, and the newest
    /// item stays to be read. With immediate=True all raise at once.
    ///
    /// Raises ValueError after close.
    #[pyo3(signature = (immediate = Flag::NO), text_signature = "($self, immediate=False)")]
    fn shutdown(&self, py: Python<'_>, immediate: Flag) -> PyResult<()> {
        let immediate = immediate.named("immediate")?;
        self.opened(py)?.get().shared.shutdown(immediate).map_err(outcome::attach_error)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().known(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state.traverse(&visit)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        match slf.get().state.get(slf.py()) {
            State::Open(opened) => Ok(opened.get().describe(&name.to_string_lossy())),
            State::Fresh => Ok(format!("<{name} without a topic>")),
            State::Closed => Ok(format!("<{name} closed>")),
        }
    }
}

impl TreeTopic {
    /// Makes a fresh object one of an open topic.
    fn begin(slf: &Bound<'_, Self>, open: Open<Topic>) -> PyResult<()> {
        let py = slf.py();
        let state = &slf.get().state;
        if !matches!(state.get(py), State::Fresh) {
            return Err(PyRuntimeError::new_err("the topic is initialized already"));
        }
        let (has_name, is_made_anew) = (open.shared.name().is_some(), open.unshared.is_made_anew());
        let opened = Py::new(py, Opened::new(open))?;
        drop(state.replace(py, State::Open(opened)));
        look_after(slf, has_name, is_made_anew)
    }

    /// An object of the class, or a subclass, whose `__init__` does not run, as when one is unpickled.
    fn new_object<'py>(cls: &Bound<'py, PyType>, open: Open<Topic>) -> PyResult<Bound<'py, PyAny>> {
        let object = cls.call_method1(intern!(cls.py(), "__new__"), (cls,))?;
        Self::begin(object.cast::<Self>()?, open)?;
        Ok(object)
    }

    /// For a call that uses the topic.
    #[inline]
    fn opened(&self, py: Python<'_>) -> PyResult<Py<Opened>> {
        Opened::here(self.known(py)?, py)
    }

    /// For one that only asks what is known of it without.
    #[inline]
    fn known(&self, py: Python<'_>) -> PyResult<Py<Opened>> {
        match self.state.get(py) {
            State::Open(opened) => Ok(opened),
            State::Closed => Err(shared::closed::<Topic>()),
            State::Fresh => Err(PyRuntimeError::new_err("the topic's __init__ was not called")),
        }
    }
}

/// Where a subscription begins.
fn start_of(start: Option<&Bound<'_, PyAny>>) -> PyResult<Start> {
    let Some(start) = start else { return Ok(Start::Latest) };
    Ok(match text("start", "a str", start)?.as_str() {
        "latest" => Start::Latest,
        "oldest" => Start::Oldest,
        "new" => Start::New,
        _ => {
            let got = start.repr()?;
            return Err(PyValueError::new_err(format!(
                "start must be \"latest\", \"oldest\" or \"new\", got {got}"
            )));
        }
    })
}

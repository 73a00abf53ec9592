//! `TreeQueue` as Python sees it: arguments in, exceptions out. What its calls do is in `opened`.

use std::num::NonZeroU32;
use std::os::fd::RawFd;
use std::path::PathBuf;

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use treequeues::schema::{LeafKind, Node};
use treequeues::{Hold, Queue};

use super::on_drop::OnDrop;
use super::opened::Opened;
use super::producing::Producing;
use super::stats;
use super::wanted::{self, Wanted};
use crate::arguments::{BLOCK, Block, DROP_OLDEST, Flag, Timeout, count, given};
use crate::detached::claiming;
use crate::loan::{AnyLender, ReadLoan, WriteLoan};
use crate::open::{Open, look_after};
use crate::origin::{self, PickledHandle};
use crate::shared;
use crate::state::{State, StateCell};
use crate::{errors, left_behind, outcome};

/// A queue of trees of arrays, shared by processes.
///
/// `for tree in queue` takes trees, as get() does, until the queue is shut down and drained: ShutDown ends the loop, and is not
/// raised.
///
/// nested_array: an example of the items: a tree of dicts, lists, tuples, namedtuples, dataclasses, attrs classes, None
///     and registered nodes, whose leaves are arrays (or anything with a shape and a dtype), NumPy scalars, or Python
///     bool, int, float and complex. Only its structure, shapes and dtypes count.
/// maxsize: slots of the queue, at least 1. Memory for all of them is reserved at once.
/// name: under which any process of this user can attach: up to 100 letters, digits, ".", "_" and "-", not beginning with a
///     dot. None for a queue that only travels by fork, as an argument, or through other queues.
/// keep: whether a named queue outlives its last participant, until `unlink`.
/// participants: how many processes can be attached at a time.
/// populate: whether each process makes its page tables for all slots when it attaches, instead of at their first use.
/// max_deliveries: drops an item that has killed so many takers, instead of delivering it once more. None for no limit.
/// overflow: what a put does that finds the queue full: "block" waits for a slot, "drop_oldest" drops the oldest item.
/// producers: how many producers there will be, each in a block of `producing`: when all have left, the queue is shut down.
/// on_drop: what this process hands such items to that killed: a function of the tree and its ItemInfo, or a queue of the same
///     items.
///
/// Raises TypeError if a leaf cannot be carried, if an object would not come back whole, or if an argument is of the wrong
/// type, ValueError if a number is out of range, if there is an on_drop without max_deliveries, or if the name can be none,
/// SchemaError if on_drop is a queue of other items, FileExistsError if a queue of the name is in use or kept, and MemoryError,
/// with the figures, if the memory is not there (OSError with ENOSPC, for a named queue).
#[pyclass(subclass, frozen, generic, weakref, module = "treequeues", name = "TreeQueue")]
pub struct TreeQueue {
    state: StateCell<Opened>,
}

#[pymethods]
impl TreeQueue {
    // Takes what the `__init__` of any subclass takes. What it says of itself is the signature of the class: that of `__init__`.
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(nested_array, maxsize, *, name=None, keep=False, participants=256, populate=False, \
            max_deliveries=None, overflow='block', producers=None, on_drop=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: StateCell::fresh() }
    }

    #[expect(clippy::too_many_arguments, reason = "keywords of Python's")]
    #[pyo3(signature = (
        nested_array, maxsize, *, name = None, keep = Flag::NO, participants = None, populate = Flag::NO,
        max_deliveries = None, overflow = None, producers = None, on_drop = None
    ))]
    fn __init__(
        slf: &Bound<'_, Self>,
        nested_array: &Bound<'_, PyAny>,
        maxsize: &Bound<'_, PyAny>,
        name: Option<&Bound<'_, PyAny>>,
        keep: Flag,
        participants: Option<&Bound<'_, PyAny>>,
        populate: Flag,
        max_deliveries: Option<&Bound<'_, PyAny>>,
        overflow: Option<&Bound<'_, PyAny>>,
        producers: Option<&Bound<'_, PyAny>>,
        on_drop: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let wanted = Wanted {
            nested_array,
            maxsize,
            keep,
            participants,
            populate,
            max_deliveries,
            overflow,
            producers,
        };
        let opened = wanted::create(slf.py(), name, wanted, given(on_drop).is_some())?;
        Self::begin(slf, with_hook(opened, on_drop)?)
    }

    /// Attach to the queue of this name, made by any process of this user. What its items look like stands in the queue.
    ///
    /// Raises FileNotFoundError if there is none, OSError if participants of it have died and nobody lives there, if it is of
    /// another version, or if all places for participants are taken, CorruptedError if it is damaged, ValueError if it can be no
    /// name, and TypeError or SchemaError if on_drop does not fit.
    #[classmethod]
    #[pyo3(signature = (name, *, on_drop = None))]
    fn attach<'py>(
        cls: &Bound<'py, PyType>,
        name: &Bound<'py, PyAny>,
        on_drop: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::new_object(cls, with_hook(origin::attach(cls.py(), name)?, on_drop)?)
    }

    /// Attach to the queue of this name, or create it if there is none.
    ///
    /// Raises SchemaError, with both sides, if the queue that is there has other items or another maxsize, and else as attach
    /// and the class do.
    #[classmethod]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python's")]
    #[pyo3(
        signature = (
            name, nested_array, maxsize, *, keep = Flag::NO, participants = None, populate = Flag::NO,
            max_deliveries = None, overflow = None, producers = None, on_drop = None
        ),
        text_signature = "($cls, name, nested_array, maxsize, *, keep=False, participants=256, populate=False, \
            max_deliveries=None, overflow='block', producers=None, on_drop=None)"
    )]
    fn open<'py>(
        cls: &Bound<'py, PyType>,
        name: &Bound<'py, PyAny>,
        nested_array: &Bound<'py, PyAny>,
        maxsize: &Bound<'py, PyAny>,
        keep: Flag,
        participants: Option<&Bound<'py, PyAny>>,
        populate: Flag,
        max_deliveries: Option<&Bound<'py, PyAny>>,
        overflow: Option<&Bound<'py, PyAny>>,
        producers: Option<&Bound<'py, PyAny>>,
        on_drop: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let wanted = Wanted {
            nested_array,
            maxsize,
            keep,
            participants,
            populate,
            max_deliveries,
            overflow,
            producers,
        };
        Self::new_object(cls, with_hook(wanted::open(cls.py(), name, wanted)?, on_drop)?)
    }

    /// Take the queue's name away: no other process finds it any more, and those that are attached go on.
    ///
    /// Raises OSError, with the path, if the file cannot be removed, and ValueError if the queue was created without a name.
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        self.opened(py)?.get().unlink(py)
    }

    /// The name that the queue was created with; None for one without.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.known(py)?.get().shared.name().map(ToString::to_string))
    }

    /// Attaches a fresh object to the queue behind a handle: what unpickling calls. `passed` is the number under which
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
        let handle = (pid, fd, segment);
        Self::begin(slf, Opened::new(origin::attach_by_handle(slf.py(), handle, name, folder, passed)?))
    }

    /// Take the names of the queues that only this process is attached to: it is about to end, though threads of it wait.
    #[staticmethod]
    fn _leave_names(py: Python<'_>) {
        // It waits for nobody, so it keeps the interpreter's lock: whoever gives that up at the end may not get it back.
        Queue::leave_names();
        left_behind::warn(py);
    }

    /// The process, descriptor and segment, and the name and its folder if there is one, that another process can attach by.
    fn _handle<'py>(&self, py: Python<'py>) -> PyResult<PickledHandle<'py>> {
        origin::handle(py, self.opened(py)?.get())
    }

    /// How many items are left that no other thread of this process can have known of; 0 of a closed queue.
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

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        py.import(intern!(py, "treequeues._pickling"))?.call_method1(intern!(py, "reduce"), (slf,))
    }

    /// Copy a tree into the queue. It is visible to readers when this returns.
    ///
    /// With overflow="drop_oldest" a full queue drops its oldest item for it.
    ///
    /// Raises SchemaError if the tree does not fit, queue.Full if no slot became free in time (timeout is in seconds;
    /// None waits for ever), ShutDown, and ValueError after close. A put that raises leaves the queue as it was.
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

    /// Take the oldest tree. Its arrays are owned by the caller and writable.
    ///
    /// With out=, a tree like the example, its arrays are filled instead of new ones, and it is returned. Raises
    /// SchemaError if out does not fit, queue.Empty if no item came in time (timeout is in seconds; None waits for ever),
    /// ShutDown when the queue is shut down and drained, and ValueError after close. A get that raises takes nothing.
    /// With info=True a pair of the tree and its ItemInfo is returned.
    #[pyo3(
        signature = (block = Block::YES, timeout = None, out = None, info = Flag::NO),
        text_signature = "($self, block=True, timeout=None, out=None, info=False)"
    )]
    fn get<'py>(
        &self,
        py: Python<'py>,
        block: Block,
        timeout: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
        info: Flag,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.get().get(
            py,
            Timeout::from_arguments(block, timeout)?,
            given(out),
            info.named("info")?,
        )
    }

    /// get(block=False), and raises as that does.
    #[pyo3(signature = (out = None))]
    fn get_nowait<'py>(
        &self,
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.opened(py)?.get().get(py, Timeout::None, given(out), false)
    }

    /// Take a free slot, to be filled in place: a WriteLoan, for a with block. A clean end commits it, an exception aborts it.
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
        let timeout = Timeout::from_arguments(block, timeout)?;
        let hold = opened.get().reserve(py, timeout)?.into_hold();
        WriteLoan::new(py, AnyLender::new(py, opened), hold.into(), false, timeout)
    }

    /// Take the oldest item, to be read in place: a ReadLoan, for a with block. A clean end releases it, an exception gives it
    /// back.
    ///
    /// Raises queue.Empty, ShutDown and ValueError as get does.
    #[pyo3(
        signature = (block = Block::YES, timeout = None),
        text_signature = "($self, block=True, timeout=None)"
    )]
    fn borrow(&self, py: Python<'_>, block: Block, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<ReadLoan> {
        let opened = self.opened(py)?;
        let hold = opened.get().borrow(py, Timeout::from_arguments(block, timeout)?)?.into_hold();
        read_loan(py, opened, hold, false)
    }

    /// Put n items at once from a stacked tree: leaves (n, ...). All are put, in order, or none.
    ///
    /// Raises SchemaError if a leaf does not fit or the leaves differ in n, ValueError if n is larger than maxsize or the
    /// example has no leaf, and else as put does.
    #[pyo3(
        signature = (stacked, block = Block::YES, timeout = None),
        text_signature = "($self, stacked, block=True, timeout=None)"
    )]
    fn put_batch(
        &self,
        py: Python<'_>,
        stacked: &Bound<'_, PyAny>,
        block: Block,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.opened(py)?.get().put_batch(py, stacked, Timeout::from_arguments(block, timeout)?)
    }

    /// Take the n oldest items as a stacked tree: leaves (n, ...); with min=, what is there, from min to n items.
    ///
    /// Raises queue.Empty if there were not enough items in time, ShutDown when the queue is shut down and fewer items are left
    /// than asked for, ValueError if n is not between 1 and maxsize, min not between 1 and n, or after close, and SchemaError if
    /// out does not fit. One that raises takes nothing.
    #[pyo3(
        signature = (n, min = None, block = Block::YES, timeout = None, out = None),
        text_signature = "($self, n, min=None, block=True, timeout=None, out=None)"
    )]
    fn get_batch<'py>(
        &self,
        py: Python<'py>,
        n: &Bound<'py, PyAny>,
        min: Option<&Bound<'py, PyAny>>,
        block: Block,
        timeout: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened(py)?;
        let (size, is_exact) = opened.get().batch_size(n, min)?;
        opened.get().get_batch(py, size, is_exact, Timeout::from_arguments(block, timeout)?, given(out))
    }

    /// Take free slots that lie side by side, to be filled in place as one stacked tree: a WriteLoan of len(loan) slots, n or
    /// fewer.
    ///
    /// Fresh slots hold whatever older items left there, or zeros. A row that is not filled delivers that.
    ///
    /// Raises ValueError if n is not between 1 and maxsize, or min not between 1 and n, and else as reserve does.
    #[pyo3(
        signature = (n, min = None, block = Block::YES, timeout = None),
        text_signature = "($self, n, min=None, block=True, timeout=None)"
    )]
    fn reserve_batch<'py>(
        &self,
        py: Python<'py>,
        n: &Bound<'py, PyAny>,
        min: Option<&Bound<'py, PyAny>>,
        block: Block,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<WriteLoan> {
        let opened = self.opened(py)?;
        opened.get().tree.check_stackable()?;
        let size = opened.get().batch_size(n, min)?.0.side_by_side();
        let timeout = Timeout::from_arguments(block, timeout)?;
        let hold = opened.get().reserve_batch(py, size, timeout)?.into_hold();
        WriteLoan::new(py, AnyLender::new(py, opened), hold.into(), true, timeout)
    }

    /// Take the oldest items that lie side by side, to be read in place as one stacked tree: a ReadLoan of len(loan) items, n or
    /// fewer.
    ///
    /// Raises queue.Empty if there were not enough items in time, ShutDown when the queue is shut down and fewer items are left
    /// than asked for, and ValueError if n is not between 1 and maxsize, min not between 1 and n, or after close.
    #[pyo3(
        signature = (n, min = None, block = Block::YES, timeout = None),
        text_signature = "($self, n, min=None, block=True, timeout=None)"
    )]
    fn borrow_batch<'py>(
        &self,
        py: Python<'py>,
        n: &Bound<'py, PyAny>,
        min: Option<&Bound<'py, PyAny>>,
        block: Block,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<ReadLoan> {
        let opened = self.opened(py)?;
        opened.get().tree.check_stackable()?;
        let size = opened.get().batch_size(n, min)?.0.side_by_side();
        let hold = opened.get().borrow_batch(py, size, Timeout::from_arguments(block, timeout)?)?.into_hold();
        read_loan(py, opened, hold, true)
    }

    /// Put trees, all or none, as put_batch does.
    ///
    /// Raises ValueError if there are more of them than maxsize, and else as put does.
    #[pyo3(
        signature = (trees, block = Block::YES, timeout = None),
        text_signature = "($self, trees, block=True, timeout=None)"
    )]
    fn put_many(
        &self,
        py: Python<'_>,
        trees: &Bound<'_, PyAny>,
        block: Block,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.opened(py)?.get().put_many(py, trees, Timeout::from_arguments(block, timeout)?)
    }

    /// Take what is there, at least one tree and at most max_items, oldest first: a list.
    ///
    /// Raises ValueError if max_items is below 1, and else as get does.
    #[pyo3(
        signature = (max_items, block = Block::YES, timeout = None),
        text_signature = "($self, max_items, block=True, timeout=None)"
    )]
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        max_items: &Bound<'py, PyAny>,
        block: Block,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let opened = self.opened(py)?;
        let max_items = usize::try_from(count("max_items", max_items, "")?).unwrap_or(usize::MAX);
        opened.get().get_many(py, max_items, Timeout::from_arguments(block, timeout)?)
    }

    /// The block of a producer, for a with block, in a queue that was made with producers=. When so many blocks have begun, or more,
    /// and none is left, the queue is shut down for draining. A process that is killed in a block counts as one that has left it.
    ///
    /// Raises ValueError if the queue was made without producers=, or after close, and ShutDown, at its begin, if the stream has ended.
    fn producing(&self, py: Python<'_>) -> PyResult<Producing> {
        Producing::new(py, self.opened(py)?)
    }

    /// `for batch in queue.batches(n)` takes stacked batches of n items, as get_batch does, until the queue is shut down and drained. The
    /// last one is what is left, and shorter, or with drop_last=True stays in the queue.
    ///
    /// Raises ValueError if n is not between 1 and maxsize, or after close, and queue.Empty if a batch did not come in time.
    #[pyo3(signature = (n, drop_last = Flag::NO, timeout = None), text_signature = "($self, n, drop_last=False, timeout=None)")]
    fn batches<'py>(
        slf: &Bound<'py, Self>,
        n: &Bound<'py, PyAny>,
        drop_last: Flag,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let drop_last = drop_last.named("drop_last")?;
        let opened = slf.get().opened(py)?;
        opened.get().tree.check_stackable()?;
        opened.get().batch_size(n, None)?;
        Timeout::from_arguments(Block::YES, timeout)?;
        let batches = py.import(intern!(py, "treequeues._batches"))?;
        batches.call_method1(intern!(py, "batches"), (slf, n, drop_last, timeout))
    }

    /// How many items can be taken. In a queue of more than 1024 slots, those that are being written or read may be counted, too.
    fn qsize(&self, py: Python<'_>) -> PyResult<usize> {
        let opened = self.opened(py)?;
        let queue = &opened.get().shared;
        claiming(py, queue.len_may_be_long(), || queue.len()).map_err(outcome::attach_error)
    }

    /// Whether no item can be taken.
    fn empty(&self, py: Python<'_>) -> PyResult<bool> {
        let opened = self.opened(py)?;
        let queue = &opened.get().shared;
        claiming(py, queue.borrow_may_be_long(), || queue.is_empty()).map_err(outcome::attach_error)
    }

    /// Whether no slot can be filled: each holds an item, or is being written or read.
    fn full(&self, py: Python<'_>) -> PyResult<bool> {
        let opened = self.opened(py)?;
        let queue = &opened.get().shared;
        claiming(py, queue.reserve_may_be_long(), || queue.is_full()).map_err(outcome::attach_error)
    }

    /// Slots of the queue.
    #[getter]
    fn maxsize(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.known(py)?.get().shared.capacity())
    }

    /// How many takers an item may kill before it is dropped; None for no limit.
    #[getter]
    fn max_deliveries(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        Ok(self.known(py)?.get().shared.max_deliveries().map(NonZeroU32::get))
    }

    /// What a put does that finds the queue full: "block" or "drop_oldest".
    #[getter]
    fn overflow(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(if self.known(py)?.get().shared.drops_oldest() { DROP_OLDEST } else { BLOCK })
    }

    /// How many producers there will be; None if that was not said.
    #[getter]
    fn producers(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        Ok(self.known(py)?.get().shared.producers().map(NonZeroU32::get))
    }

    /// What this object hands dropped items to; None if nothing.
    #[getter]
    fn on_drop<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.known(py)?.get().on_drop.as_ref().map(|on_drop| on_drop.target(py)))
    }

    /// What unpickling sets, before anybody else has the object.
    #[setter(_on_drop)]
    fn restore_on_drop(&self, py: Python<'_>, on_drop: &Bound<'_, PyAny>) -> PyResult<()> {
        let opened = hooked(self.known(py)?.get(), on_drop)?;
        drop(self.state.replace(py, State::Open(Py::new(py, opened)?)));
        Ok(())
    }

    /// Bytes of shared memory that the queue takes in all.
    #[getter]
    fn nbytes(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.known(py)?.get().shared.nbytes())
    }

    /// What is in the queue, what was done to it, and by whom: a QueueStats.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        stats::to_python(py, &self.opened(py)?.get().shared)
    }

    /// End this process's use of the queue: later calls raise ValueError. Other processes go on. The last one that leaves a named
    /// queue removes its file, unless it is to be kept, and warns of items that are lost with it.
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

    /// Shut the queue down for every process: puts raise ShutDown, gets drain what is there and then raise it.
    /// With immediate=True gets raise at once too.
    ///
    /// Raises ValueError after close.
    #[pyo3(signature = (immediate = Flag::NO), text_signature = "($self, immediate=False)")]
    fn shutdown(&self, py: Python<'_>, immediate: Flag) -> PyResult<()> {
        let immediate = immediate.named("immediate")?;
        self.opened(py)?.get().shared.shutdown(immediate).map_err(outcome::attach_error)
    }

    /// There is no feeder thread: a put is visible when it returns.
    fn join_thread(&self) {}

    /// There is no feeder thread: a put is visible when it returns.
    fn cancel_join_thread(&self) {}

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().known(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let taken = if slf.get_type().is(py.get_type::<Self>()) {
            slf.get().opened(py)?.get().get(py, Timeout::Forever, None, false)
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

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state.traverse(&visit)
    }

    /// For a queue whose `on_drop` leads back to it: it closes, as one does that dies.
    fn __clear__(&self) {
        Python::attach(|py| drop(self.state.replace(py, State::Closed)));
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        let opened = match slf.get().state.get(slf.py()) {
            State::Open(opened) => opened,
            State::Fresh => return Ok(format!("<{name} without a queue>")),
            State::Closed => return Ok(format!("<{name} closed>")),
        };
        Ok(opened.get().describe(&name.to_string_lossy()))
    }
}

impl TreeQueue {
    /// Makes a fresh object one of an open queue.
    fn begin(slf: &Bound<'_, Self>, opened: Opened) -> PyResult<()> {
        let py = slf.py();
        let state = &slf.get().state;
        if !matches!(state.get(py), State::Fresh) {
            return Err(PyRuntimeError::new_err("the queue is initialized already"));
        }
        let (has_name, is_made_anew) = (opened.shared.name().is_some(), opened.unshared.is_made_anew());
        let opened = Py::new(py, opened)?;
        drop(state.replace(py, State::Open(opened)));
        look_after(slf, has_name, is_made_anew)
    }

    /// An object of the class, or a subclass, whose `__init__` does not run, as when one is unpickled.
    fn new_object<'py>(cls: &Bound<'py, PyType>, opened: Opened) -> PyResult<Bound<'py, PyAny>> {
        let object = cls.call_method1(intern!(cls.py(), "__new__"), (cls,))?;
        Self::begin(object.cast::<Self>()?, opened)?;
        Ok(object)
    }

    /// For a call that uses the queue.
    #[inline]
    pub fn opened(&self, py: Python<'_>) -> PyResult<Py<Opened>> {
        let opened = self.known(py)?;
        if !opened.get().shared.is_attached_here() {
            opened.get().attach_after_fork(py)?;
        }
        Ok(opened)
    }

    /// For one that only asks what is known of it without.
    #[inline]
    pub fn known(&self, py: Python<'_>) -> PyResult<Py<Opened>> {
        match self.state.get(py) {
            State::Open(opened) => Ok(opened),
            State::Closed => Err(shared::closed::<Queue>()),
            State::Fresh => Err(PyRuntimeError::new_err("the queue's __init__ was not called")),
        }
    }
}

fn read_loan(py: Python<'_>, opened: Py<Opened>, hold: Hold, is_stack: bool) -> PyResult<ReadLoan> {
    let infos = hold.infos().collect();
    ReadLoan::new(py, AnyLender::new(py, opened), hold.into(), infos, is_stack)
}

/// The queue with its hook, if there is one.
fn with_hook(open: Open<Queue>, on_drop: Option<&Bound<'_, PyAny>>) -> PyResult<Opened> {
    let opened = Opened::new(open);
    match given(on_drop) {
        None => Ok(opened),
        Some(on_drop) => hooked(&opened, on_drop),
    }
}

/// The same queue with this hook.
fn hooked(opened: &Opened, on_drop: &Bound<'_, PyAny>) -> PyResult<Opened> {
    let py = on_drop.py();
    let hook = match on_drop.cast::<TreeQueue>() {
        Ok(other) => {
            let other = other.get().known(py)?;
            OnDrop::to_queue(on_drop, &other.get().shared, &opened.tree, &opened.shared)?
        }
        Err(_) => OnDrop::to_function(on_drop, &opened.tree)?,
    };
    Ok(opened.with_on_drop(py, hook))
}

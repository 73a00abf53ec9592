//! An open queue, and what its calls do: find out what can fail, wait, copy, give back what failed.
//!
//! B1. What a call needs to fail early, it finds out before it takes a slot; what fails later gives the slot back.
//! B2. A `Py` reference is only dropped, and Python only called, while attached to the interpreter. Waiting, and copying
//!     much, is done detached.
//! B3. A thread that waits when the interpreter is finalized, a daemon, never comes back from the wait: what it would
//!     come back to is freed. A wait holds nothing that others could miss, and the process is about to end. The main thread,
//!     which finalizes, may wait too, in a `__del__`: it looks at no signals then, and comes back.

use std::sync::{Arc, OnceLock};
use std::thread;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;
use treequeues::{
    BatchSize, BorrowError, Corrupted, Elsewhere, Queue, ReadBatch, ReadLoan, ReserveError, Wait, WriteBatch,
    WriteLoan,
};

use crate::detached::{DropDetached, Leaves, claiming, copying, is_long};
use crate::info;
use crate::kept::{Awaited, Kept};
use crate::left_behind::WarnsAtItsEnd;
use crate::on_drop::OnDrop;
use crate::outcome;
use crate::timeout::Timeout;
use crate::tree::{SharedTree, SlotOf};
use crate::unshared::{Unshared, Watch};

/// A queue, and its schema bound to this process's Python classes. An object of Python's, so that to refer to it costs
/// little.
#[pyclass(frozen, module = "treequeues._core", name = "_Opened")]
pub struct Opened {
    pub queue: DropDetached<Queue>,
    pub tree: SharedTree,
    /// The queue's hook.
    pub on_drop: Option<Arc<OnDrop>>,
    pub kept: Arc<Kept>,
    pub unshared: Unshared,
    /// Set once the queue object is closed: calls that wait end then.
    closed: OnceLock<()>,
    _warns: WarnsAtItsEnd,
}

impl Opened {
    /// # Errors
    ///
    /// As `Unshared::new`.
    pub fn new(py: Python<'_>, queue: Queue, tree: SharedTree) -> PyResult<Self> {
        Ok(Self {
            queue: DropDetached::new(queue),
            tree,
            on_drop: None,
            kept: Arc::default(),
            unshared: Unshared::new(py)?,
            closed: OnceLock::new(),
            _warns: WarnsAtItsEnd,
        })
    }

    /// The same with a function, or a queue, that items which are dropped are handed to.
    ///
    /// # Errors
    ///
    /// As `OnDrop::new`.
    pub fn with_on_drop(&self, on_drop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let tree = self.tree.clone_ref(on_drop.py());
        let on_drop = OnDrop::new(on_drop, &tree, &self.queue)?;
        Ok(Self {
            queue: DropDetached::new(on_drop.hooked(self.queue.clone())),
            tree,
            on_drop: Some(on_drop),
            kept: Arc::default(),
            unshared: self.unshared.clone(),
            closed: OnceLock::new(),
            _warns: WarnsAtItsEnd,
        })
    }

    /// Ends calls that wait, and keeps no idle memory from now on: loans, and views of their arrays, may keep the rest.
    pub fn close(&self) {
        // Closing twice is closing once.
        let _ = self.closed.set(());
        self.queue.wake_all();
        self.tree.retire();
    }

    pub fn put(&self, py: Python<'_>, value: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<()> {
        // B1: a tree that does not fit takes no slot.
        let sources = self.tree.sources(py, value)?;
        let mut loan = self.reserve(py, timeout)?;
        copying(py, sources.nbytes(), || sources.copy_to(&mut loan));
        loan.commit().map_err(outcome::corrupted_error)
    }

    /// The oldest tree, or a pair of it and its info.
    pub fn get<'py>(
        &self,
        py: Python<'py>,
        timeout: Timeout,
        out: Option<&Bound<'py, PyAny>>,
        with_info: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        // B1: an `out` that does not fit takes no item, nor does a want of memory. Only a call that is about to find
        // nothing and will not wait for it does not allocate in advance.
        let prepared = match out {
            Some(out) => Some(self.tree.destinations(py, out)?),
            None if timeout.waits() || self.queue.may_borrow() => Some(self.tree.allocate(py)?),
            None => None,
        };
        let loan = self.borrow(py, timeout)?;
        let taken = prepared.map_or_else(|| self.tree.allocate(py), Ok).and_then(|mut destinations| {
            copying(py, destinations.nbytes(), || destinations.copy_from(&loan));
            let tree = destinations.into_tree(&self.tree, py)?;
            if !with_info {
                return Ok(tree);
            }
            Ok((tree, info::to_python(py, loan.info())?).into_pyobject(py)?.into_any())
        });
        let ended = if taken.is_ok() { loan.release() } else { loan.give_back() };
        let tree = taken?;
        ended.map_err(outcome::corrupted_error)?;
        Ok(tree)
    }

    pub fn put_batch(&self, py: Python<'_>, stacked: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<()> {
        self.tree.check_stackable()?;
        let stack = self.tree.stacked_sources(stacked)?;
        let Some(size) = self.exactly("n", stack.len())? else { return Ok(()) };
        let mut batch = self.reserve_batch(py, size, timeout)?;
        copying(py, self.nbytes_of(stack.len()), || stack.copy_to(&mut batch));
        self.committing(py, stack.len(), || batch.commit())
    }

    pub fn get_batch<'py>(
        &self,
        py: Python<'py>,
        size: BatchSize,
        is_exact: bool,
        timeout: Timeout,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.tree.check_stackable()?;
        // B1: as for `get`. How many rows are needed is only known in advance if it is exact.
        let prepared = match out {
            Some(out) => Some(self.tree.stacked_destinations(out, size.max())?),
            None if is_exact && (timeout.waits() || self.queue.may_borrow()) => {
                Some(self.tree.allocate_stack(py, size.max())?)
            }
            None => None,
        };
        let batch = self.borrow_batch(py, size, timeout)?;
        let len = batch.len();
        let taken = prepared.map_or_else(|| self.tree.allocate_stack(py, len), Ok).and_then(|mut stack| {
            copying(py, self.nbytes_of(len), || stack.copy_from(&batch));
            stack.into_tree(&self.tree, py, len)
        });
        let taken = unless_interrupted(py, len, taken);
        let is_taken = taken.is_ok();
        let ended = claiming(py, is_long(len), || if is_taken { batch.release() } else { batch.give_back() });
        let tree = taken?;
        ended.map_err(outcome::corrupted_error)?;
        Ok(tree)
    }

    pub fn put_many(&self, py: Python<'_>, trees: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<()> {
        // One more than fit, so that there is an end to a generator that has none.
        let enough = self.queue.capacity() + 1;
        let given = trees;
        let trees: Vec<Bound<'_, PyAny>> = given.try_iter()?.take(enough).collect::<PyResult<_>>()?;
        outcome::check_count_of_trees(given, trees.len(), self.queue.capacity())?;
        let Some(size) = self.exactly("the number of trees", trees.len())? else { return Ok(()) };
        let sources: Vec<_> =
            trees.iter().map(|tree| self.tree.sources(py, tree)).collect::<PyResult<_>>()?;
        let mut batch = self.reserve_batch(py, size, timeout)?;
        copying(py, self.nbytes_of(sources.len()), || {
            for (item, sources) in sources.iter().enumerate() {
                sources.copy_to(&mut SlotOf(&mut batch, item));
            }
        });
        self.committing(py, sources.len(), || batch.commit())
    }

    pub fn get_many<'py>(
        &self,
        py: Python<'py>,
        max_items: usize,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyList>> {
        let size = BatchSize::between(1, max_items.min(self.queue.capacity()));
        let batch = self.borrow_batch(py, size, timeout)?;
        let take = |item: usize| {
            let mut destinations = self.tree.allocate(py)?;
            let copy = || destinations.copy_from_rows(|leaf| batch.leaf_bytes(item, leaf));
            copying(py, self.nbytes_of(1), copy);
            destinations.into_tree(&self.tree, py)
        };
        let taken: PyResult<Vec<_>> = (0..batch.len()).map(take).collect();
        let taken = unless_interrupted(py, batch.len(), taken.and_then(|trees| PyList::new(py, trees)));
        let is_taken = taken.is_ok();
        let ended =
            claiming(py, is_long(batch.len()), || if is_taken { batch.release() } else { batch.give_back() });
        let trees = taken?;
        ended.map_err(outcome::corrupted_error)?;
        Ok(trees)
    }

    #[inline(always)]
    pub fn reserve(&self, py: Python<'_>, timeout: Timeout) -> PyResult<WriteLoan<'_>> {
        let queue = &self.queue;
        self.reserve_by(
            py,
            timeout,
            queue.reserve_may_be_long(),
            |_| queue.try_reserve_briefly(),
            |wait| queue.reserve_briefly_with(wait),
        )
    }

    #[inline(always)]
    pub fn borrow(&self, py: Python<'_>, timeout: Timeout) -> PyResult<ReadLoan<'_>> {
        let queue = &self.queue;
        self.borrow_by(
            py,
            timeout,
            (1, queue.borrow_may_be_long()),
            |_| queue.try_borrow_briefly(),
            |wait| queue.borrow_briefly_with(wait),
        )
    }

    pub fn reserve_batch(
        &self,
        py: Python<'_>,
        size: BatchSize,
        timeout: Timeout,
    ) -> PyResult<WriteBatch<'_>> {
        let queue = &self.queue;
        self.reserve_by(
            py,
            timeout,
            is_long(size.max()),
            |interrupted| queue.try_reserve_batch_or_until(size, interrupted),
            |wait| queue.reserve_batch_with(size, wait),
        )
    }

    /// Slots for an item whose own ones views keep; `None` if there are no others that surely become free.
    pub fn reserve_elsewhere(
        &self,
        py: Python<'_>,
        item: Elsewhere,
        timeout: Timeout,
    ) -> PyResult<Option<WriteBatch<'_>>> {
        let queue = &self.queue;
        let at_once = |interrupted: &mut dyn FnMut() -> bool| {
            queue.try_reserve_batch_or_until(item.size(), interrupted).map(Some)
        };
        let waiting = |wait: Wait<'_>| match queue.reserve_elsewhere_with(item, wait) {
            Err(ReserveError::Kept) => Ok(None),
            outcome => outcome.map(Some),
        };
        self.reserve_by(py, timeout, is_long(item.size().max()), at_once, waiting)
    }

    pub fn borrow_batch(&self, py: Python<'_>, size: BatchSize, timeout: Timeout) -> PyResult<ReadBatch<'_>> {
        let queue = &self.queue;
        self.borrow_by(
            py,
            timeout,
            (size.min(), is_long(size.max())),
            |interrupted| queue.try_borrow_batch_or_until(size, interrupted),
            |wait| queue.borrow_batch_with(size, wait),
        )
    }

    /// Bytes of so many items.
    pub fn nbytes_of(&self, items: usize) -> usize {
        self.tree.schema().item_nbytes().saturating_mul(items)
    }

    /// A batch of this very size; `None` of none.
    ///
    /// # Errors
    ///
    /// `ValueError` if the queue has fewer slots.
    fn exactly(&self, what: &str, count: usize) -> PyResult<Option<BatchSize>> {
        if count > self.queue.capacity() {
            return Err(outcome::too_large_a_batch(what, count, self.queue.capacity()));
        }
        Ok((count > 0).then(|| BatchSize::exactly(count)))
    }

    #[inline(always)]
    fn reserve_by<L: Send>(
        &self,
        py: Python<'_>,
        timeout: Timeout,
        may_be_long: bool,
        at_once: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<L, ReserveError> + Send,
        waiting: impl FnOnce(Wait<'_>) -> Result<L, ReserveError> + Send,
    ) -> PyResult<L> {
        let mut interruption = None;
        let mut waiter = Waiter::of(Awaited::Slot);
        let tried =
            claiming(py, may_be_long, || at_once(&mut || self.is_to_end(&mut waiter, &mut interruption)));
        let outcome = match tried {
            Err(ReserveError::Full) if timeout.waits() => py.detach(|| {
                let mut watch = Watch::default();
                let mut interrupted = || self.interrupted(&mut waiter, &mut watch, &mut interruption);
                waiting(timeout.wait().after_a_try().or_until(&mut interrupted))
            }),
            outcome => outcome,
        };
        outcome.map_err(|error| outcome::reserve_error(py, &self.queue, error, interruption))
    }

    #[inline(always)]
    fn borrow_by<L: Send>(
        &self,
        py: Python<'_>,
        timeout: Timeout,
        (wanted, may_be_long): (usize, bool),
        at_once: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<L, BorrowError> + Send,
        waiting: impl FnOnce(Wait<'_>) -> Result<L, BorrowError> + Send,
    ) -> PyResult<L> {
        let mut interruption = None;
        let mut waiter = Waiter::of(Awaited::Items(wanted));
        let tried =
            claiming(py, may_be_long, || at_once(&mut || self.is_to_end(&mut waiter, &mut interruption)));
        let outcome = match tried {
            Err(BorrowError::Empty) if timeout.waits() => py.detach(|| {
                let mut watch = Watch::default();
                let mut interrupted = || self.interrupted(&mut waiter, &mut watch, &mut interruption);
                waiting(timeout.wait().after_a_try().or_until(&mut interrupted))
            }),
            outcome => outcome,
        };
        outcome.map_err(|error| outcome::borrow_error(py, &self.queue, wanted, error, interruption))
    }

    /// Commits a batch of so many items.
    pub fn committing(
        &self,
        py: Python<'_>,
        len: usize,
        commit: impl FnOnce() -> Result<(), Corrupted> + Send,
    ) -> PyResult<()> {
        let may_be_long = is_long(len) || (len > 1 && self.queue.commit_may_be_long());
        claiming(py, may_be_long, commit).map_err(outcome::corrupted_error)
    }

    /// Whether a claim of very many slots should end: a signal handler raised (Ctrl-C), or the queue was closed under it.
    fn is_to_end(&self, waiter: &mut Waiter, interruption: &mut Option<PyErr>) -> bool {
        if waiter.handles_signals.unwrap_or(true) {
            self.run_handlers(waiter, interruption, |_| Ok(()));
        }
        interruption.is_some() || self.closed.get().is_some()
    }

    /// Runs the handlers of signals, and then what else a wait does with the interpreter.
    fn run_handlers(
        &self,
        waiter: &mut Waiter,
        interruption: &mut Option<PyErr>,
        and_then: impl FnOnce(Python<'_>) -> PyResult<()>,
    ) {
        let raised = Python::try_attach(|py| {
            waiter.learn_about_thread(py)?;
            py.check_signals()?;
            and_then(py)
        });
        *interruption = raised.unwrap_or_else(end_with_the_interpreter).err();
    }

    /// Whether a wait should end: a signal handler raised (Ctrl-C), a warning is an error, or the queue was closed under it.
    fn interrupted(&self, waiter: &mut Waiter, watch: &mut Watch, interruption: &mut Option<PyErr>) -> bool {
        let alone = self.unshared.found_alone(&self.queue, watch);
        if waiter.handles_signals.unwrap_or(true) || alone.is_some() {
            let awaits = waiter.awaits;
            self.run_handlers(waiter, interruption, |py| {
                // Other threads than the main one look once, after their first sleep: what is looked at here is locked, and a
                // fork must not copy it so.
                let capacity = self.queue.capacity();
                if self.kept.is_wait_suspicious(awaits, capacity) {
                    self.kept.warn_of_wait(py, capacity)?;
                }
                alone.map_or(Ok(()), |peers| self.unshared.warn_of_wait(py, &self.queue, awaits, peers))
            });
        }
        interruption.is_some() || self.closed.get().is_some()
    }
}

#[pymethods]
impl Opened {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.tree.traverse(&visit)?;
        self.on_drop.as_ref().map_or(Ok(()), |on_drop| on_drop.traverse(&visit))
    }
}

/// A call that waits, and the thread that it waits in.
struct Waiter {
    awaits: Awaited,
    /// Whether Python runs the handlers of signals in this thread; `None` before its first sleep has ended. All other threads
    /// need not ask for signals, which spares the interpreter's lock at the end of each sleep: hundreds of them may wait
    /// beside one that works.
    handles_signals: Option<bool>,
}

impl Waiter {
    fn of(awaits: Awaited) -> Self {
        Self { awaits, handles_signals: None }
    }

    fn learn_about_thread(&mut self, py: Python<'_>) -> PyResult<()> {
        if self.handles_signals.is_none() {
            let threading = py.import(intern!(py, "threading"))?;
            let here = threading.call_method0(intern!(py, "get_ident"))?;
            let main = threading.call_method0(intern!(py, "main_thread"))?.getattr(intern!(py, "ident"))?;
            self.handles_signals = Some(here.eq(main)?);
        }
        Ok(())
    }
}

/// What so many items were copied into, unless a handler of a signal that came meanwhile raises: they go back then. Once they are taken
/// it would be too late.
fn unless_interrupted<T>(py: Python<'_>, items: usize, taken: PyResult<T>) -> PyResult<T> {
    taken.and_then(|taken| {
        if is_long(items) {
            py.check_signals()?;
        }
        Ok(taken)
    })
}

/// For a thread that the interpreter, which is being finalized, lets in no more (B3).
fn end_with_the_interpreter() -> PyResult<()> {
    if is_main_thread() {
        return Ok(());
    }
    loop {
        thread::park();
    }
}

/// Whether this is the thread that the process began with, or was forked in.
fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

impl Leaves for Queue {
    fn leaves(&self) -> bool {
        self.is_last_here()
    }
}

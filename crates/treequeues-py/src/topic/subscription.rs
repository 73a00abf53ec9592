//! `Subscription` as Python sees it.

use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use treequeues::Subscriber;

use super::lending::read_loan;
use super::opened::{Following, Wanted};
use crate::arguments::{Block, Flag, Timeout, given};
use crate::errors;
use crate::loan::ReadLoan;

/// A subscription to a topic: what TreeTopic.subscribe() returns.
///
/// `for tree in subscription` takes trees, as get() does, until the topic is shut down and what was left was had.
///
/// It belongs to this object. Threads may share it: each item goes to one of them. In a forked child, copied, or unpickled in another
/// process, it is another one, which begins where the original stood. A with block closes it.
#[pyclass(frozen, generic, weakref, module = "treequeues", name = "Subscription")]
pub struct Subscription {
    /// A `TreeTopic`, or an object of a subclass.
    topic: Py<PyAny>,
    following: Arc<Following>,
}

impl Subscription {
    pub fn new(topic: &Bound<'_, PyAny>, following: Arc<Following>) -> Self {
        Self { topic: topic.clone().unbind(), following }
    }

    fn wanted<'s>(&'s self, subscriber: &'s Subscriber, newest: bool) -> Wanted<'s> {
        let following = &self.following;
        if newest { Wanted::Newest(following, subscriber) } else { Wanted::Next(following, subscriber) }
    }

    fn take<'py>(
        &self,
        py: Python<'py>,
        newest: bool,
        timeout: Timeout,
        out: Option<&Bound<'py, PyAny>>,
        with_info: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (opened, subscriber) = self.following.open(py)?;
        opened.get().copy_of(py, self.wanted(&subscriber, newest), timeout, out, with_info)
    }
}

#[pymethods]
impl Subscription {
    /// Take the next tree in order; with latest=True the newest one, of those that it has not had. Its arrays are owned by the caller and
    /// writable.
    ///
    /// With out=, a tree like the example, its arrays are filled instead of new ones, and it is returned. With info=True a pair of the tree
    /// and its ItemInfo is returned, whose `missed` says how many were passed over just before it.
    ///
    /// Raises SchemaError if out does not fit, queue.Empty if nothing came in time (timeout is in seconds; None waits for ever), ShutDown
    /// when the topic is shut down and nothing is left for this subscription, and ValueError after close.
    #[pyo3(
        signature = (block = Block::YES, timeout = None, out = None, info = Flag::NO, *, latest = Flag::NO),
        text_signature = "($self, block=True, timeout=None, out=None, info=False, *, latest=False)"
    )]
    fn get<'py>(
        &self,
        py: Python<'py>,
        block: Block,
        timeout: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
        info: Flag,
        latest: Flag,
    ) -> PyResult<Bound<'py, PyAny>> {
        let timeout = Timeout::from_arguments(block, timeout)?;
        self.take(py, latest.named("latest")?, timeout, given(out), info.named("info")?)
    }

    /// get(block=False), and raises as that does.
    #[pyo3(signature = (out = None))]
    fn get_nowait<'py>(
        &self,
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.take(py, false, Timeout::None, given(out), false)
    }

    /// Take the next item in order, or with latest=True the newest one of those that it has not had, to be read in place: a ReadLoan, for a
    /// with block, which any number of readers have at once.
    ///
    /// Raises queue.Empty, ShutDown and ValueError as get does.
    #[pyo3(
        signature = (block = Block::YES, timeout = None, *, latest = Flag::NO),
        text_signature = "($self, block=True, timeout=None, *, latest=False)"
    )]
    fn borrow(
        &self,
        py: Python<'_>,
        block: Block,
        timeout: Option<&Bound<'_, PyAny>>,
        latest: Flag,
    ) -> PyResult<ReadLoan> {
        let timeout = Timeout::from_arguments(block, timeout)?;
        let newest = latest.named("latest")?;
        let (opened, subscriber) = self.following.open(py)?;
        read_loan(py, opened, self.wanted(&subscriber, newest), timeout)
    }

    /// How many items it has passed over since it began: replaced before it came to them, or skipped by latest=True. With those that it has
    /// had, these are all from its beginning on. It can be read after the close.
    #[getter]
    fn missed(&self) -> u64 {
        self.following.standing().0.missed
    }

    /// The lowest ticket that it may come to.
    #[getter]
    fn next_ticket(&self) -> u64 {
        self.following.standing().0.next_ticket
    }

    /// The topic.
    #[getter]
    fn topic<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.topic.bind(py).clone()
    }

    /// End the subscription: later calls raise ValueError.
    fn close(&self) {
        self.following.close();
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().following.open(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.close();
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.take(py, false, Timeout::Forever, None, false) {
            Ok(tree) => Ok(Some(tree)),
            Err(error) if errors::is_shut_down(py, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A topic, and where a copy begins.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let subscribe_from = py.import(intern!(py, "treequeues._pickling"))?.getattr("subscribe_from")?;
        // One that is closed leads nowhere.
        slf.get().following.open(py)?;
        let (topic, ticket) = (slf.get().topic.clone_ref(py), slf.get().next_ticket());
        (subscribe_from, (topic, ticket)).into_pyobject(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let of = self.topic.bind(py).repr()?;
        let (standing, is_open) = self.following.standing();
        let state = if is_open { "" } else { "closed, " };
        Ok(format!("<Subscription {state}from item {} on of {of}>", standing.next_ticket))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.topic)?;
        self.following.traverse(&visit)
    }

    fn __clear__(&self) {
        self.following.close();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // A call of another thread may still be under way.
        self.following.close();
    }
}

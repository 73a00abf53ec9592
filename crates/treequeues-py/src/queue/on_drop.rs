//! What items that killed too many takers are handed to: a function, or another queue.
//!
//! O1. It runs in the call that found the item, attached to the interpreter, and holds the item's slot and no lock meanwhile: it
//!     may use the queue.
//! O2. What it raises comes out of that call, which gives the item back. Where that would read as something that this queue
//!     says (empty, full, shut down; closed, if it is a queue), it comes as the cause of a RuntimeError.

use std::error::Error;
use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use treequeues::schema::SchemaDifference;
use treequeues::{Queue, ReadLoan};

use crate::detached::copying;
use crate::errors;
use crate::info;
use crate::tree::{SharedTree, Tree};

/// What the user gave as `on_drop`, once it was found to fit.
pub struct OnDrop {
    target: Py<PyAny>,
    is_queue: bool,
    tree: SharedTree,
}

impl OnDrop {
    /// A function of a tree and its info.
    ///
    /// # Errors
    ///
    /// `TypeError` if it is none.
    pub fn to_function(target: &Bound<'_, PyAny>, tree: &SharedTree) -> PyResult<Arc<Self>> {
        if !target.is_callable() {
            return Err(PyTypeError::new_err(format!(
                "on_drop must be a function of a tree and its info, or a queue, got {}",
                target.get_type().name()?
            )));
        }
        Ok(Self::new(target, false, tree))
    }

    /// An object that is this other queue.
    ///
    /// # Errors
    ///
    /// `SchemaError` if it has other items, `ValueError` if it is the very queue that drops.
    pub fn to_queue(
        target: &Bound<'_, PyAny>,
        other: &Queue,
        tree: &SharedTree,
        queue: &Queue,
    ) -> PyResult<Arc<Self>> {
        check_queue(other, tree, queue)?;
        Ok(Self::new(target, true, tree))
    }

    fn new(target: &Bound<'_, PyAny>, is_queue: bool, tree: &SharedTree) -> Arc<Self> {
        let tree = tree.clone_ref(target.py());
        Arc::new(Self { target: target.clone().unbind(), is_queue, tree })
    }

    /// What the user gave.
    pub fn target<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.target.bind(py).clone()
    }

    /// The queue, with this as its hook.
    pub fn hooked(self: &Arc<Self>, queue: Queue) -> Queue {
        let on_drop = Arc::clone(self);
        queue.on_drop(move |item| on_drop.hand_over_attached(item))
    }

    /// For the collector of cycles, from the one object that has this hook.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.tree.traverse(visit)?;
        visit.call(&self.target)
    }

    /// From a thread that may have given the interpreter's lock up, to wait.
    fn hand_over_attached(&self, item: &ReadLoan<'_>) -> Result<(), Box<dyn Error + Send + Sync>> {
        let handed_over =
            Python::try_attach(|py| self.hand_over(py, item).map_err(|error| self.distinct(py, error)));
        // The process is about to end: the item is for another one.
        Ok(handed_over.ok_or("the interpreter is being finalized")??)
    }

    /// O2: as a generator does with a StopIteration from inside.
    fn distinct(&self, py: Python<'_>, error: PyErr) -> PyErr {
        let ours = [errors::full(py), errors::empty(py)];
        let is_closed = self.is_queue && error.is_instance_of::<PyValueError>(py);
        if !is_closed
            && !errors::is_shut_down(py, &error)
            && !ours.iter().any(|class| error.is_instance(py, &class.get_type(py)))
        {
            return error;
        }
        let name =
            error.get_type(py).name().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
        let outer = PyRuntimeError::new_err(format!("on_drop raised {name}: {}", error.value(py)));
        outer.set_cause(py, Some(error));
        outer
    }

    fn hand_over(&self, py: Python<'_>, item: &ReadLoan<'_>) -> PyResult<()> {
        let mut destinations = self.tree.allocate(py)?;
        copying(py, destinations.nbytes(), || destinations.copy_from(item));
        let tree = destinations.into_tree(&self.tree, py)?;
        if !self.is_queue {
            self.target.call1(py, (tree, info::to_python(py, item.info())?))?;
            return Ok(());
        }
        let at_once = PyDict::new(py);
        at_once.set_item("block", false)?;
        match self.target.call_method(py, intern!(py, "put"), (tree,), Some(&at_once)) {
            Err(error) if error.is_instance(py, &errors::full(py).get_type(py)) => warn_of_full(py, item),
            outcome => outcome.map(drop),
        }
    }
}

/// Whether the items of the other queue are those of this one, and it is another one.
fn check_queue(other: &Queue, tree: &Tree, queue: &Queue) -> PyResult<()> {
    if other.id() == queue.id() {
        return Err(PyValueError::new_err("on_drop must be another queue than the one that drops"));
    }
    let difference = SchemaDifference::between(tree.schema(), other.schema().as_ref());
    if difference.is_empty() {
        return Ok(());
    }
    Err(errors::schema_error(format!(
        "on_drop is a queue of other items:\n{}",
        difference.table("this queue", "on_drop")
    )))
}

fn warn_of_full(py: Python<'_>, item: &ReadLoan<'_>) -> PyResult<()> {
    let ticket = item.ticket();
    let category = py.get_type::<PyRuntimeWarning>();
    let message = format!(
        "item {ticket} killed too many takers and is dropped for good: the queue that it was to go to, on_drop, is full"
    );
    errors::warn(py, &category, &message).map_err(|error| {
        if !error.is_instance(py, &category) {
            return error;
        }
        PyRuntimeWarning::new_err(format!(
            "item {ticket} killed too many takers, and the queue that it was to go to, on_drop, is full: as warnings are \
             errors, it stays where it is. Take items from that queue"
        ))
    })
}

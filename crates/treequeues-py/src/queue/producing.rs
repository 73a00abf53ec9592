//! `Producing` as Python sees it: the block of a producer.
//!
//! Each `with` is a block of its own, which the queue object keeps, so that its `close` ends it. An object may be used by several threads,
//! one after the other or at once: `__exit__` ends the block that it began last.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use treequeues::{ProducingError, Queue};

use super::opened::Opened;
use crate::errors;
use crate::outcome;
use crate::shared::{closed, who_and_when};

/// The block of a producer: what TreeQueue.producing() returns, for a with block.
///
/// Its begin is counted as a producer that comes, its end as one that leaves, whether by an exception or not. A process that is killed
/// in it counts as one that died. An object may be used for several blocks.
#[pyclass(frozen, weakref, module = "treequeues", name = "Producing")]
pub struct Producing {
    queue: Py<Opened>,
    /// Of the open blocks that began with this object, in their order.
    numbers: Mutex<Vec<u64>>,
}

impl Producing {
    /// # Errors
    ///
    /// `ValueError` if nobody counts the producers, `ShutDown` if none can come any more.
    pub fn new(py: Python<'_>, queue: Py<Opened>) -> PyResult<Self> {
        let core: &Queue = &queue.get().shared;
        if core.producers().is_none() {
            return Err(producing_error(py, core, ProducingError::NotCounted));
        }
        Ok(Self { queue, numbers: Mutex::default() })
    }

    fn numbers(&self) -> MutexGuard<'_, Vec<u64>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Producing {
    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let py = slf.py();
        let opened = slf.get().queue.get();
        if opened.is_closed() {
            return Err(closed::<Queue>());
        }
        let begun = opened.blocks.begin(&opened.shared);
        let number = begun.map_err(|error| producing_error(py, &opened.shared, error))?;
        slf.get().numbers().push(number);
        // A process that ends by itself has left its blocks.
        py.import(intern!(py, "treequeues._exit"))?.call_method1(intern!(py, "end_at_exit"), (&slf,))?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        let number = self.numbers().pop();
        let number = number.ok_or_else(|| PyRuntimeError::new_err("the block has not begun"))?;
        self.queue.get().blocks.end(number);
        Ok(())
    }

    /// Ends the blocks that are open: the process is about to end.
    fn _end(&self) {
        let numbers = std::mem::take(&mut *self.numbers());
        numbers.into_iter().for_each(|number| self.queue.get().blocks.end(number));
    }

    fn __repr__(&self) -> String {
        format!("<Producing, blocks open: {}>", self.numbers().len())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)
    }
}

impl Drop for Producing {
    fn drop(&mut self) {
        self._end();
    }
}

/// Why no block began.
fn producing_error(py: Python<'_>, queue: &Queue, error: ProducingError) -> PyErr {
    match error {
        ProducingError::NotCounted => PyValueError::new_err(
            "the queue was made without producers=, so nobody counts its producers: say how many there will be when it is made",
        ),
        ProducingError::ShutDown(shutdown) => {
            let message = who_and_when(py, queue, shutdown);
            errors::shut_down(py, format!("{message}: no producer can come any more"))
        }
        ProducingError::Attach(error) => outcome::attach_error(error),
    }
}

//! `QueueStats` and its parts, as Python has them.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use treequeues::{ProducerStats, Queue};

use crate::counts::{self, set_shutdown};
use crate::detached::{claiming, is_long};
use crate::outcome;

/// One look at the queue.
pub fn to_python<'py>(py: Python<'py>, queue: &Queue) -> PyResult<Bound<'py, PyAny>> {
    let stats = claiming(py, is_long(queue.capacity()), || queue.stats()).map_err(outcome::attach_error)?;
    let classes = py.import("treequeues._stats")?;
    let item_nbytes = queue.schema().item_nbytes();
    let by_participant = stats
        .participants
        .iter()
        .map(|stats| counts::participant(&classes, stats, item_nbytes))
        .collect::<PyResult<Vec<_>>>()?;
    let fields = PyDict::new(py);
    fields.set_item("maxsize", queue.capacity())?;
    fields.set_item("qsize", stats.snapshot.ready)?;
    fields.set_item("free", stats.snapshot.free)?;
    fields.set_item("writing", stats.snapshot.writing)?;
    fields.set_item("reading", stats.snapshot.reading)?;
    fields.set_item("lingering", stats.snapshot.lingering)?;
    fields.set_item("participants", stats.snapshot.participants)?;
    fields.set_item("item_nbytes", item_nbytes)?;
    fields.set_item("nbytes", queue.nbytes())?;
    fields.set_item("most_deaths", stats.most_deaths)?;
    fields.set_item("producers", stats.producers.map(|stats| producers(&classes, &stats)).transpose()?)?;
    set_shutdown(&fields, stats.shutdown)?;
    fields.set_item("counters", counts::counters(&classes, &stats.counters, item_nbytes)?)?;
    fields.set_item("by_participant", PyTuple::new(py, by_participant)?)?;
    classes.getattr("QueueStats")?.call((), Some(&fields))
}

fn producers<'py>(classes: &Bound<'py, PyModule>, stats: &ProducerStats) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(classes.py());
    fields.set_item("said", stats.said.get())?;
    fields.set_item("came", stats.came)?;
    fields.set_item("left", stats.left)?;
    fields.set_item("died", stats.died)?;
    classes.getattr("ProducerStats")?.call((), Some(&fields))
}

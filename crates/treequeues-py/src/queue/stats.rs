//! `QueueStats` and its parts, as Python has them.

use std::time::{Duration, SystemTime};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use treequeues::{Counters, ParticipantStats, ProducerStats, Queue};

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
        .map(|stats| participant(&classes, stats, item_nbytes))
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
    fields.set_item("is_shut_down", stats.snapshot.is_shut_down)?;
    fields.set_item("producers", stats.producers.map(|stats| producers(&classes, &stats)).transpose()?)?;
    let shut_down_at = stats.shutdown.and_then(|shutdown| shutdown.at());
    let shut_down_at = shut_down_at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    fields.set_item("shut_down_by", stats.shutdown.and_then(|shutdown| shutdown.pid()))?;
    fields.set_item("shut_down_at", shut_down_at.map(|at| at.as_secs_f64()))?;
    fields.set_item("counters", counters(&classes, &stats.counters, item_nbytes)?)?;
    fields.set_item("by_participant", PyTuple::new(py, by_participant)?)?;
    classes.getattr("QueueStats")?.call((), Some(&fields))
}

fn participant<'py>(
    classes: &Bound<'py, PyModule>,
    stats: &ParticipantStats,
    item_nbytes: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(classes.py());
    let attached_at = stats.attached_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    fields.set_item("id", stats.id)?;
    fields.set_item("pid", stats.pid)?;
    fields.set_item("is_alive", stats.is_alive)?;
    fields.set_item("attached_at", attached_at.as_secs_f64())?;
    fields.set_item("writing", stats.writing)?;
    fields.set_item("reading", stats.reading)?;
    fields.set_item("lingering", stats.lingering)?;
    fields.set_item("longest_hold_seconds", stats.longest_hold.map(|hold| hold.as_secs_f64()))?;
    fields.set_item("counters", counters(classes, &stats.counters, item_nbytes)?)?;
    classes.getattr("ParticipantStats")?.call((), Some(&fields))
}

fn producers<'py>(classes: &Bound<'py, PyModule>, stats: &ProducerStats) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(classes.py());
    fields.set_item("said", stats.said.get())?;
    fields.set_item("came", stats.came)?;
    fields.set_item("left", stats.left)?;
    fields.set_item("died", stats.died)?;
    classes.getattr("ProducerStats")?.call((), Some(&fields))
}

fn counters<'py>(
    classes: &Bound<'py, PyModule>,
    counters: &Counters,
    item_nbytes: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(classes.py());
    let nbytes = |items: u64| u128::from(items) * item_nbytes as u128;
    let seconds = |time: Duration| time.as_secs_f64();
    fields.set_item("puts", counters.puts)?;
    fields.set_item("gets", counters.gets)?;
    fields.set_item("put_nbytes", nbytes(counters.puts))?;
    fields.set_item("got_nbytes", nbytes(counters.gets))?;
    fields.set_item("full", counters.full)?;
    fields.set_item("empty", counters.empty)?;
    fields.set_item("put_waits", counters.put_waits)?;
    fields.set_item("put_wait_seconds", seconds(counters.put_wait))?;
    fields.set_item("get_waits", counters.get_waits)?;
    fields.set_item("get_wait_seconds", seconds(counters.get_wait))?;
    fields.set_item("give_backs", counters.give_backs)?;
    fields.set_item("redeliveries", counters.redeliveries)?;
    fields.set_item("sweeps", counters.sweeps)?;
    fields.set_item("deaths", counters.deaths)?;
    fields.set_item("dropped", counters.dropped)?;
    fields.set_item("overwritten", counters.overwritten)?;
    classes.getattr("QueueCounters")?.call((), Some(&fields))
}

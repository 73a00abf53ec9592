//! What was done to a queue or a topic, and by whom, as Python has it.

use std::time::{Duration, SystemTime};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use treequeues::{Counters, ParticipantStats, Shutdown};

pub fn participant<'py>(
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

pub fn counters<'py>(
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
    fields.set_item("missed", counters.missed)?;
    classes.getattr("QueueCounters")?.call((), Some(&fields))
}

/// Whether it was shut down, by whom, and when.
pub fn set_shutdown(fields: &Bound<'_, PyDict>, shutdown: Option<Shutdown>) -> PyResult<()> {
    let at = shutdown.and_then(|shutdown| shutdown.at());
    let at = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    fields.set_item("is_shut_down", shutdown.is_some())?;
    fields.set_item("shut_down_by", shutdown.and_then(|shutdown| shutdown.pid()))?;
    fields.set_item("shut_down_at", at.map(|at| at.as_secs_f64()))
}

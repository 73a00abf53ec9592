//! `TopicStats` and its parts, as Python has them.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use treequeues::{SubscriptionStats, Topic, TopicStats};

use crate::counts::{self, set_shutdown};
use crate::outcome;

/// One look at the topic.
pub fn to_python<'py>(py: Python<'py>, topic: &Topic) -> PyResult<Bound<'py, PyAny>> {
    // Large ones take long.
    let stats = py.detach(|| topic.stats()).map_err(outcome::attach_error)?;
    let classes = py.import("treequeues._stats")?;
    let item_nbytes = topic.schema().item_nbytes();
    let by_participant = stats
        .participants
        .iter()
        .map(|stats| counts::participant(&classes, stats, item_nbytes))
        .collect::<PyResult<Vec<_>>>()?;
    let subscriptions = stats
        .subscriptions
        .iter()
        .map(|subscription| subscription_to_python(&classes, &stats, subscription))
        .collect::<PyResult<Vec<_>>>()?;
    let fields = PyDict::new(py);
    fields.set_item("maxsize", topic.capacity())?;
    fields.set_item("version", stats.version)?;
    fields.set_item("items", stats.items)?;
    fields.set_item("reading", stats.reading)?;
    fields.set_item("free", stats.free)?;
    fields.set_item("writing", stats.writing)?;
    fields.set_item("lingering", stats.lingering)?;
    fields.set_item("participants", stats.participants.len())?;
    fields.set_item("item_nbytes", item_nbytes)?;
    fields.set_item("nbytes", topic.nbytes())?;
    set_shutdown(&fields, stats.shutdown)?;
    fields.set_item("counters", counts::counters(&classes, &stats.counters, item_nbytes)?)?;
    fields.set_item("subscriptions", PyTuple::new(py, subscriptions)?)?;
    fields.set_item("by_participant", PyTuple::new(py, by_participant)?)?;
    classes.getattr("TopicStats")?.call((), Some(&fields))
}

fn subscription_to_python<'py>(
    classes: &Bound<'py, PyModule>,
    stats: &TopicStats,
    subscription: &SubscriptionStats,
) -> PyResult<Bound<'py, PyAny>> {
    let of = stats.participants.iter().find(|participant| participant.id == subscription.participant);
    let fields = PyDict::new(classes.py());
    fields.set_item("pid", of.map_or(0, |participant| participant.pid))?;
    fields.set_item("next_ticket", subscription.next_ticket)?;
    fields.set_item("lag", subscription.lag(stats.version))?;
    fields.set_item("missed", subscription.missed)?;
    classes.getattr("SubscriptionStats")?.call((), Some(&fields))
}

//! What is known about an item, as Python has it.

use std::sync::Arc;
use std::time::SystemTime;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use treequeues::{ItemInfo, TopicItemInfo};

/// What a queue or a topic knows about an item.
#[derive(Clone)]
pub struct Info {
    ticket: u64,
    put_time: SystemTime,
    producer_pid: u32,
    /// Of a topic's item 1: it comes to each reader anew.
    delivery_count: u32,
    /// Of a queue's item 0.
    missed: u64,
    /// None of an item that was put here.
    host: Option<Arc<str>>,
}

impl From<ItemInfo> for Info {
    fn from(info: ItemInfo) -> Self {
        let ItemInfo { ticket, put_time, producer_pid, delivery_count, host, .. } = info;
        Self { ticket, put_time, producer_pid, delivery_count, missed: 0, host }
    }
}

impl From<TopicItemInfo> for Info {
    fn from(info: TopicItemInfo) -> Self {
        let TopicItemInfo { ticket, put_time, producer_pid, missed, .. } = info;
        Self { ticket, put_time, producer_pid, delivery_count: 1, missed, host: None }
    }
}

pub fn to_python(py: Python<'_>, info: impl Into<Info>) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.import(py, "treequeues._loans", "ItemInfo")?;
    let Info { ticket, put_time, producer_pid, delivery_count, missed, host } = info.into();
    let put_time = put_time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let info = class.call1((ticket, put_time, producer_pid, delivery_count))?;
    if missed > 0 {
        info.setattr(intern!(py, "missed"), missed)?;
    }
    if let Some(host) = host {
        info.setattr(intern!(py, "host"), &*host)?;
    }
    Ok(info)
}

//! `ItemInfo` as Python has it.

use std::time::SystemTime;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use treequeues::ItemInfo;

pub fn to_python(py: Python<'_>, info: ItemInfo) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.import(py, "treequeues._loans", "ItemInfo")?;
    let put_time = info.put_time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    class.call1((info.ticket, put_time, info.producer_pid, info.delivery_count))
}

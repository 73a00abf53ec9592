//! Warnings of what this process left behind when it left a queue: items that are lost, a file that stays.
//!
//! A queue may end wherever the last reference to it dies, so there is mostly no call that could raise. The core remembers, and
//! whoever may have been the last asks it.

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use treequeues::take_left_behind;

use crate::errors;

/// The last field of an object that may be the last to refer to a queue: it is dropped after the queue.
pub struct WarnsAtItsEnd;

impl Drop for WarnsAtItsEnd {
    fn drop(&mut self) {
        // Without an interpreter there is nobody to warn.
        let _ = Python::try_attach(warn);
    }
}

/// Warns of everything that was left behind. Where warnings are errors they are shown, and not raised: what is done is done.
pub fn warn(py: Python<'_>) {
    let left = take_left_behind();
    if left.is_empty() {
        return;
    }
    // Whatever is under way is none of this.
    let pending = PyErr::take(py);
    let category = py.get_type::<PyResourceWarning>();
    for left in left {
        if let Err(error) = errors::warn(py, &category, &left.to_string()) {
            error.write_unraisable(py, None);
        }
    }
    if let Some(pending) = pending {
        pending.restore(py);
    }
}

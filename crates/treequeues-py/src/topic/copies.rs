//! The calls that copy: put, latest, get.
//!
//! B1. What a call needs to fail early, it finds out before it takes a slot or an item. What fails later leaves the topic as it was, but a
//!     subscription has passed the item.

use pyo3::prelude::*;

use super::opened::{Opened, Wanted};
use crate::arguments::Timeout;
use crate::detached::copying;
use crate::info;
use crate::outcome;

impl Opened {
    pub fn put(&self, py: Python<'_>, value: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<()> {
        // B1: a tree that does not fit takes no slot.
        let sources = self.tree.sources(py, value)?;
        let mut loan = self.reserve(py, timeout)?;
        copying(py, sources.nbytes(), || sources.copy_to(&mut loan));
        loan.commit().map(drop).map_err(outcome::corrupted_error)
    }

    /// A copy of an item, or a pair of it and its info.
    pub fn copy_of<'py>(
        &self,
        py: Python<'py>,
        wanted: Wanted<'_>,
        timeout: Timeout,
        out: Option<&Bound<'py, PyAny>>,
        with_info: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        // B1: an `out` that does not fit reads no item, nor does a want of memory.
        let prepared = match out {
            Some(out) => Some(self.tree.destinations(py, out)?),
            None if self.is_likely_to_read(wanted, timeout) => Some(self.tree.allocate(py)?),
            None => None,
        };
        let loan = self.borrow(py, wanted, timeout)?;
        let mut destinations = prepared.map_or_else(|| self.tree.allocate(py), Ok)?;
        copying(py, destinations.nbytes(), || destinations.copy_from_rows(|leaf| loan.leaf_bytes(leaf)));
        let info = with_info.then(|| loan.info());
        loan.release().map_err(outcome::corrupted_error)?;
        let tree = destinations.into_tree(&self.tree, py)?;
        match info {
            None => Ok(tree),
            Some(info) => Ok((tree, info::to_python(py, info)?).into_pyobject(py)?.into_any()),
        }
    }
}

//! What the user says of a queue that is to be made.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use treequeues::{CreateOptions, DEFAULT_PARTICIPANTS, Queue};

use crate::arguments::{Flag, at_least_one, capacity, drops_oldest, places};
use crate::open::Open;
use crate::origin;

/// What the user says of it, but for its name.
pub struct Wanted<'a, 'py> {
    pub nested_array: &'a Bound<'py, PyAny>,
    pub maxsize: &'a Bound<'py, PyAny>,
    pub keep: Flag,
    pub participants: Option<&'a Bound<'py, PyAny>>,
    pub populate: Flag,
    pub max_deliveries: Option<&'a Bound<'py, PyAny>>,
    pub overflow: Option<&'a Bound<'py, PyAny>>,
    pub producers: Option<&'a Bound<'py, PyAny>>,
}

impl Wanted<'_, '_> {
    fn read(self) -> PyResult<(u64, CreateOptions)> {
        let (keep, populate) = (self.keep.named("keep")?, self.populate.named("populate")?);
        let capacity = capacity(self.maxsize)?;
        let max_deliveries = at_least_one("max_deliveries", self.max_deliveries)?;
        let participants = places(self.participants, DEFAULT_PARTICIPANTS.into())?;
        let drop_oldest = drops_oldest("overflow", self.overflow)?;
        let producers = at_least_one("producers", self.producers)?;
        Ok((capacity, CreateOptions { participants, populate, keep, max_deliveries, drop_oldest, producers }))
    }
}

/// A new queue, which may be going to have a hook.
pub fn create(
    py: Python<'_>,
    name: Option<&Bound<'_, PyAny>>,
    wanted: Wanted<'_, '_>,
    has_hook: bool,
) -> PyResult<Open<Queue>> {
    let example = wanted.nested_array;
    let read = wanted.read()?;
    if read.1.max_deliveries.is_none() && has_hook {
        return Err(PyValueError::new_err("on_drop is never called without max_deliveries"));
    }
    origin::create(py, name, example, read)
}

/// The queue of this name; a new one, if there is none.
pub fn open(py: Python<'_>, name: &Bound<'_, PyAny>, wanted: Wanted<'_, '_>) -> PyResult<Open<Queue>> {
    let example = wanted.nested_array;
    origin::open(py, name, example, wanted.read()?)
}

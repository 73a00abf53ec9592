//! What the user says of a topic that is to be made.

use pyo3::prelude::*;
use treequeues::TopicOptions;

use crate::arguments::{Flag, places, topic_capacity};

/// Slots of a topic, if its creator does not say.
const DEFAULT_CAPACITY: u64 = 4;

/// What the user says of it, but for its name and its items.
pub struct Wanted<'a, 'py> {
    pub maxsize: Option<&'a Bound<'py, PyAny>>,
    pub keep: Flag,
    pub participants: Option<&'a Bound<'py, PyAny>>,
    pub populate: Flag,
}

impl Wanted<'_, '_> {
    pub fn read(self) -> PyResult<(u64, TopicOptions)> {
        let default = TopicOptions::default();
        let (keep, populate) = (self.keep.named("keep")?, self.populate.named("populate")?);
        let capacity = self.maxsize.map_or(Ok(DEFAULT_CAPACITY), topic_capacity)?;
        let participants = places(self.participants, default.participants)?;
        Ok((capacity, TopicOptions { participants, populate, keep }))
    }
}

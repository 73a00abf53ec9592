//! What a queue lends: slots, to be written or read in place.

use std::sync::Arc;

use pyo3::prelude::*;
use treequeues::Queue;

use super::opened::Opened;
use crate::arguments::Timeout;
use crate::detached::copying;
use crate::hold::{AnyHold, HoldObject};
use crate::kept::Kept;
use crate::loan::Lender;
use crate::shared::Shared;
use crate::tree::SharedTree;

impl Lender for Opened {
    fn noun(&self) -> &'static str {
        Queue::NOUN
    }

    fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    fn tree(&self) -> &SharedTree {
        &self.tree
    }

    fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    fn commit(&self, py: Python<'_>, hold: &HoldObject, len: usize) -> PyResult<()> {
        self.committing(py, len, || hold.lock().commit())
    }

    fn has_room_elsewhere(&self, len: usize) -> bool {
        2 * len <= self.capacity()
    }

    fn commit_elsewhere(
        &self,
        py: Python<'_>,
        hold: &HoldObject,
        len: usize,
        timeout: Timeout,
    ) -> PyResult<bool> {
        let opened = self;
        // Unlocked before the wait.
        let item = match &**hold.lock() {
            AnyHold::Queue(item) => item.elsewhere(),
            AnyHold::Topic(_) => unreachable!("a queue lends its own slots"),
        };
        let Some(mut batch) = opened.reserve_elsewhere(py, item, timeout)? else { return Ok(false) };
        let mut slots = hold.slots();
        copying(py, opened.nbytes_of(len), || {
            slots.for_each_leaf(|leaf, rows| {
                let row_nbytes = batch.schema().leaves()[leaf].nbytes();
                batch.for_each_run(leaf, |first, run| {
                    let first = first * row_nbytes;
                    run.copy_from_slice(&rows[first..first + run.len()]);
                });
            });
        });
        opened.committing(py, len, || batch.commit())?;
        Ok(true)
    }
}

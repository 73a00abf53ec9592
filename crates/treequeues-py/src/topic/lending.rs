//! What a topic lends: slots, to be written or read in place.

use std::sync::Arc;

use pyo3::prelude::*;
use treequeues::Topic;

use super::opened::{Opened, Wanted};
use crate::arguments::Timeout;
use crate::detached::copying;
use crate::hold::{AnyHold, HoldObject};
use crate::kept::Kept;
use crate::loan::{AnyLender, Lender, ReadLoan, WriteLoan};
use crate::outcome;
use crate::shared::Shared;
use crate::tree::SharedTree;

impl Lender for Opened {
    fn noun(&self) -> &'static str {
        Topic::NOUN
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

    fn commit(&self, _: Python<'_>, hold: &HoldObject, _: usize) -> PyResult<()> {
        hold.lock().commit().map_err(outcome::corrupted_error)
    }

    /// One for the newest item, one that views keep, and the other one.
    fn has_room_elsewhere(&self, _: usize) -> bool {
        self.capacity() > 2 || self.shared.version().is_ok_and(|version| version == 0)
    }

    fn commit_elsewhere(
        &self,
        py: Python<'_>,
        hold: &HoldObject,
        _: usize,
        timeout: Timeout,
    ) -> PyResult<bool> {
        let opened = self;
        // Unlocked before the wait.
        let item = match &**hold.lock() {
            AnyHold::Topic(item) => item.elsewhere(),
            AnyHold::Queue(_) => unreachable!("a topic lends its own slots"),
        };
        let Some(mut loan) = opened.reserve_elsewhere(py, item, timeout)? else { return Ok(false) };
        let mut slots = hold.slots();
        copying(py, opened.nbytes_of(1), || {
            slots.for_each_leaf(|leaf, row| loan.leaf_bytes_mut(leaf).copy_from_slice(row));
        });
        loan.commit().map_err(outcome::corrupted_error)?;
        Ok(true)
    }
}

pub fn write_loan(py: Python<'_>, opened: Py<Opened>, timeout: Timeout) -> PyResult<WriteLoan> {
    let hold: AnyHold = opened.get().reserve(py, timeout)?.into_hold().into();
    WriteLoan::new(py, AnyLender::new(py, opened), hold, false, timeout)
}

pub fn read_loan(
    py: Python<'_>,
    opened: Py<Opened>,
    wanted: Wanted<'_>,
    timeout: Timeout,
) -> PyResult<ReadLoan> {
    let loan = opened.get().borrow(py, wanted, timeout)?;
    let infos = [loan.info()].into_iter().collect();
    let hold: AnyHold = loan.into_hold().into();
    ReadLoan::new(py, AnyLender::new(py, opened), hold, infos, false)
}

//! Slots that a process keeps although it is done with them, because views of them live.
//!
//! A process that keeps all slots of a queue that way, and then waits for one, waits for itself. So each queue object
//! remembers which leaves the views are of, and a wait that takes long says so.

use std::collections::BTreeSet;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::errors;
use crate::nouns;
use crate::waiting::Awaited;

/// What one queue's or topic's object's loans left behind.
pub struct Kept {
    noun: &'static str,
    /// Locked only while attached to the interpreter, so a fork never copies it locked.
    holds: Mutex<Vec<KeptHold>>,
    warned_of_wait: OnceLock<()>,
    warned_of_copy: OnceLock<()>,
}

struct KeptHold {
    /// Whose the slots are: a forked child inherits the list, but none of them.
    pid: u32,
    key: u64,
    slots: usize,
    /// The one slot that readers share, if they do.
    shared: Option<usize>,
    leaves: Vec<String>,
}

/// Forgets its slots when dropped.
pub struct KeptGuard {
    kept: Arc<Kept>,
    key: u64,
}

impl Kept {
    /// Of an object that messages call so.
    pub fn of(noun: &'static str) -> Self {
        Self {
            noun,
            holds: Mutex::default(),
            warned_of_wait: OnceLock::new(),
            warned_of_copy: OnceLock::new(),
        }
    }

    /// From now on `slots` slots are kept by views of these leaves; or this one, which readers share.
    pub fn keep(self: &Arc<Self>, slots: usize, shared: Option<usize>, leaves: Vec<String>) -> KeptGuard {
        let mut holds = self.holds();
        let key = holds.last().map_or(0, |last| last.key + 1);
        holds.push(KeptHold { pid: process::id(), key, slots, shared, leaves });
        KeptGuard { kept: Arc::clone(self), key }
    }

    /// Whether to warn of a wait: for a slot while this process keeps some, or for items that do not fit into the slots that
    /// it leaves.
    pub fn is_wait_suspicious(&self, awaits: Awaited, capacity: usize) -> bool {
        if self.warned_of_wait.get().is_some() {
            return false;
        }
        let slots = slots_of(&self.holds());
        match awaits {
            Awaited::Slot => slots > 0,
            Awaited::Items(wanted) => slots + wanted > capacity,
        }
    }

    /// Warns of a wait that is suspicious: once.
    pub fn warn_of_wait(&self, py: Python<'_>, capacity: usize) -> PyResult<()> {
        let (slots, mut leaves) = {
            let holds = self.holds();
            let leaves: Vec<String> = own(&holds).flat_map(|hold| hold.leaves.iter().cloned()).collect();
            (slots_of(&holds), leaves)
        };
        leaves.sort();
        leaves.dedup();
        let said = warn(
            py,
            format!(
                "waiting, while this process itself keeps {slots} of the {}'s {capacity} slots by views of {}: a slot \
                 is free again when the last view of it has died; copy what you want to keep",
                self.noun,
                named(&leaves)
            ),
        );
        if said.is_ok() {
            let _ = self.warned_of_wait.set(());
        }
        said
    }

    /// Warns, once, that a commit has to copy.
    pub fn warn_of_copy(&self, py: Python<'_>, leaves: &[String]) -> PyResult<()> {
        if self.warned_of_copy.get().is_some() {
            return Ok(());
        }
        let said = warn(
            py,
            format!(
                "a view of {} is still alive at the end of its reserve, where it could write while others read; so the item \
                 is copied into another slot. Keep no name for it: write loan.tree[...][...] = value (loan.tree[...] = value if the item is one array), let a function that is \
                 given loan.tree do it, or drop the view (del) before the block ends",
                named(leaves)
            ),
        );
        // One that is an error is raised each time.
        if said.is_ok() {
            let _ = self.warned_of_copy.set(());
        }
        said
    }

    fn holds(&self) -> MutexGuard<'_, Vec<KeptHold>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of this process: a forked child inherits the others.
fn own(holds: &[KeptHold]) -> impl Iterator<Item = &KeptHold> {
    let here = process::id();
    holds.iter().filter(move |hold| hold.pid == here)
}

/// How many slots this process keeps: one that several readers share counts once.
fn slots_of(holds: &[KeptHold]) -> usize {
    let shared: BTreeSet<usize> = own(holds).filter_map(|hold| hold.shared).collect();
    let others = own(holds).filter(|hold| hold.shared.is_none()).map(|hold| hold.slots);
    shared.len() + others.sum::<usize>()
}

impl Drop for KeptGuard {
    fn drop(&mut self) {
        self.kept.holds().retain(|hold| hold.key != self.key);
    }
}

/// `obs.left, reward and 3 more`.
pub fn named(leaves: &[String]) -> String {
    if leaves.is_empty() {
        // Only what keeps the slots was found, or what came to have a view at the last moment.
        return "a leaf".to_owned();
    }
    nouns::listed(leaves, leaves.len())
}

fn warn(py: Python<'_>, message: String) -> PyResult<()> {
    static CATEGORY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let category = CATEGORY.import(py, "treequeues._loans", "HeldViewWarning")?;
    errors::warn(py, category, &message)
}

//! What this process is attached to, and what threads of it are just attaching to (A1).

use std::any::{Any, TypeId};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use super::Attached;
use crate::memory::fork::{self, FileIdentity, NoFork};
use crate::memory::segment::SegmentId;
use crate::presence::structure::Structure;

/// One attachment of this process or a parent of it, whatever it is attached to.
pub(super) struct Listed {
    pub(super) id: SegmentId,
    /// None on the heap.
    pub(super) file: Option<FileIdentity>,
    pub(super) fork_generation: u64,
    /// What it is attached to. Known without the attachment: one of another structure, that was only looked at, might be the last
    /// reference when it is dropped (A1).
    structure: TypeId,
    attached: Weak<dyn AnyAttached>,
}

/// An attachment to whatever structure.
pub(super) trait AnyAttached: Any + Send + Sync {
    /// How many slots this process holds.
    fn count_held(&self) -> usize;

    /// Takes the name, if nobody else is attached.
    fn leave_name(&self);
}

impl Listed {
    /// The attachment, if it still lives, and is one to this structure.
    pub(super) fn upgrade<S: Structure>(&self) -> Option<Arc<Attached<S>>> {
        if self.structure != TypeId::of::<S>() {
            return None;
        }
        let attached: Arc<dyn Any + Send + Sync> = self.attached.upgrade()?;
        attached.downcast().ok()
    }

    pub(super) fn upgrade_any(&self) -> Option<Arc<dyn AnyAttached>> {
        self.attached.upgrade()
    }
}

/// What an ancestor was attaching to when it was forked does not count.
pub(super) struct List {
    pub(super) attached: Vec<Listed>,
    coming: Vec<Coming>,
}

/// One segment that a thread is attaching to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Coming {
    pub(super) id: SegmentId,
    pub(super) fork_generation: u64,
}

static LIST: Mutex<List> = Mutex::new(List { attached: Vec::new(), coming: Vec::new() });
/// Somebody who was coming is there, or has failed.
static ARRIVED: Condvar = Condvar::new();

impl List {
    pub(super) fn add<S: Structure>(&mut self, attached: &Arc<Attached<S>>) {
        self.attached.retain(|listed| listed.attached.strong_count() > 0);
        let weak: Weak<Attached<S>> = Arc::downgrade(attached);
        self.attached.push(Listed {
            id: attached.segment.id(),
            file: attached.segment.identity(),
            fork_generation: fork::generation(),
            structure: TypeId::of::<S>(),
            attached: weak,
        });
    }

    /// Says that this thread is coming; false if another one has said so.
    pub(super) fn announce(&mut self, coming: Coming) -> bool {
        let is_first = !self.coming.contains(&coming);
        if is_first {
            self.coming.push(coming);
        }
        is_first
    }
}

/// Somebody is coming, until this is dropped.
pub(super) struct Arriving(Coming);

impl Arriving {
    pub(super) fn new(coming: Coming) -> Self {
        Self(coming)
    }

    /// Waits until somebody who was coming is there, or has failed.
    pub(super) fn wait_for_any(no_fork: NoFork) -> NoFork {
        no_fork.wait(&ARRIVED)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let no_fork = fork::hold_off();
        list(&no_fork).coming.retain(|coming| *coming != self.0);
        drop(no_fork);
        ARRIVED.notify_all();
    }
}

/// How many slots this process holds of what lies in this file, if it is attached to that.
pub(super) fn held_here(file: FileIdentity) -> Option<usize> {
    let no_fork = fork::hold_off();
    let here = fork::generation();
    // No other one is touched: it would not be the last for a moment (A1).
    let attached = list(&no_fork)
        .attached
        .iter()
        .filter(|listed| listed.fork_generation == here && listed.file == Some(file))
        .find_map(Listed::upgrade_any);
    drop(no_fork);
    Some(attached?.count_held())
}

/// Takes the names of what only this process is attached to, and still is.
pub(crate) fn leave_names() {
    let here = fork::generation();
    let no_fork = fork::hold_off();
    let still_attached: Vec<_> = list(&no_fork)
        .attached
        .iter()
        .filter(|listed| listed.fork_generation == here)
        .filter_map(Listed::upgrade_any)
        .collect();
    drop(no_fork);
    for attached in &still_attached {
        attached.leave_name();
    }
}

/// Locked only while forks are held off (A1), so a child never inherits it locked.
pub(super) fn list(_: &NoFork) -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

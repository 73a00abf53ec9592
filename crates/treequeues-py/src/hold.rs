//! What keeps the slots of a loan: the base of all its arrays.
//!
//! W1. While a hold is writing, its rows are written through arrays that have it as their base, and here; while it is
//!     lingering after that, likewise, and nobody reads what is written but the commit that copies the rows elsewhere.
//! W2. The rows of a hold of several slots that lie side by side follow each other without a gap.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::prelude::*;
use treequeues::schema::Schema;
use treequeues::{Corrupted, Hold, TopicHold};

use crate::detached::{DropDetached, Leaves};
use crate::kept::{Kept, KeptGuard};
use crate::left_behind::WarnsAtItsEnd;
use crate::tree::{RowsMut, Stack, Tree};

/// Slots of a queue, or one of a topic.
pub enum AnyHold {
    Queue(Hold),
    Topic(TopicHold),
}

impl From<Hold> for AnyHold {
    fn from(hold: Hold) -> Self {
        Self::Queue(hold)
    }
}

impl From<TopicHold> for AnyHold {
    fn from(hold: TopicHold) -> Self {
        Self::Topic(hold)
    }
}

impl AnyHold {
    pub fn schema(&self) -> &Schema {
        match self {
            Self::Queue(hold) => hold.schema(),
            Self::Topic(hold) => hold.schema(),
        }
    }

    /// Slots, at least one.
    pub fn slots(&self) -> usize {
        match self {
            Self::Queue(hold) => hold.len(),
            Self::Topic(_) => 1,
        }
    }

    /// The slot, if several readers may have it.
    fn shared_slot(&self) -> Option<usize> {
        match self {
            Self::Queue(_) => None,
            Self::Topic(hold) => Some(hold.slot()),
        }
    }

    /// Whether an item that is read and not released comes again.
    pub fn comes_again(&self) -> bool {
        matches!(self, Self::Queue(_))
    }

    pub fn is_this_process(&self) -> bool {
        match self {
            Self::Queue(hold) => hold.is_this_process(),
            Self::Topic(hold) => hold.is_this_process(),
        }
    }

    pub fn is_in_segment(&self, address: *const u8) -> bool {
        match self {
            Self::Queue(hold) => hold.is_in_segment(address),
            Self::Topic(hold) => hold.is_in_segment(address),
        }
    }

    fn is_side_by_side(&self) -> bool {
        match self {
            Self::Queue(hold) => hold.is_side_by_side(),
            Self::Topic(_) => true,
        }
    }

    fn first_row(&self, leaf: usize) -> NonNull<u8> {
        match self {
            Self::Queue(hold) => hold.first_row(leaf),
            Self::Topic(hold) => hold.first_row(leaf),
        }
    }

    pub fn commit(&mut self) -> Result<(), Corrupted> {
        match self {
            Self::Queue(hold) => hold.commit(),
            Self::Topic(hold) => hold.commit().map(drop),
        }
    }

    pub fn abort(&mut self) -> Result<(), Corrupted> {
        match self {
            Self::Queue(hold) => hold.abort(),
            Self::Topic(hold) => hold.abort(),
        }
    }

    pub fn release(&mut self) -> Result<(), Corrupted> {
        match self {
            Self::Queue(hold) => hold.release(),
            Self::Topic(hold) => hold.release(),
        }
    }

    /// Ends the read, as if it had not been where that can be: where an item comes again.
    pub fn give_back(&mut self) -> Result<(), Corrupted> {
        match self {
            Self::Queue(hold) => hold.give_back(),
            Self::Topic(hold) => hold.release(),
        }
    }

    pub fn linger(&mut self) -> Result<(), Corrupted> {
        match self {
            Self::Queue(hold) => hold.linger(),
            Self::Topic(hold) => hold.linger(),
        }
    }
}

/// Keeps slots while a view of them lives.
#[pyclass(frozen, module = "treequeues._core", name = "_Hold")]
pub struct HoldObject {
    hold: Mutex<DropDetached<AnyHold>>,
    /// Whether it began as one that is writing.
    is_writable: bool,
    kept: Arc<Kept>,
    /// Set once the loan has ended, and views of these leaves live on.
    views: OnceLock<KeptGuard>,
    /// A view may outlive the queue object.
    _warns: WarnsAtItsEnd,
}

impl HoldObject {
    /// `is_writable` is whether the hold is writing.
    ///
    /// # Panics
    ///
    /// If its slots do not lie side by side: an array is one piece of memory (W2).
    pub fn new(hold: AnyHold, is_writable: bool, kept: Arc<Kept>) -> Self {
        assert!(hold.is_side_by_side(), "an array is one piece of memory");
        let hold = Mutex::new(DropDetached::new(hold));
        Self { hold, is_writable, kept, views: OnceLock::new(), _warns: WarnsAtItsEnd }
    }

    /// Locked only while attached to the interpreter, and never while Python code runs: so a fork never copies it locked.
    pub fn lock(&self) -> MutexGuard<'_, DropDetached<AnyHold>> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An array for each leaf, over the slots; with a dimension for them, if `is_stack`. Whoever calls it refers to the object, so
    /// that a loan which ends meanwhile lets the slots linger.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn arrays<'py>(
        slf: &Bound<'py, Self>,
        tree: &Tree,
        is_stack: bool,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let first_row = |leaf| slf.get().lock().first_row(leaf);
        let stacked = is_stack.then(|| slf.get().lock().slots());
        // SAFETY: the base of the arrays is the hold of these very rows; a batch's lie side by side (W2).
        unsafe { tree.arrays_over(slf.as_any(), first_row, stacked, slf.get().is_writable) }
    }

    /// The loan has ended, but views of these leaves keep the slots.
    pub fn outlived_by(&self, slots: usize, leaves: Vec<String>) {
        // A loan ends once.
        let shared = self.lock().shared_slot();
        let _ = self.views.set(self.kept.keep(slots, shared, leaves));
    }
}

/// The slots of a hold that is writing. Who has it, refers to the object, so that the slots stay held whatever ends meanwhile.
pub struct HeldSlots<'h> {
    /// Of each leaf, the address of all rows together, and their bytes.
    rows: Vec<(NonNull<u8>, usize)>,
    _object: &'h HoldObject,
}

// SAFETY: addresses of memory that belongs to the process, not to a thread.
unsafe impl Send for HeldSlots<'_> {}

impl HoldObject {
    /// The slots to be written. It is locked here and not while they are: another thread may fork meanwhile.
    pub fn slots(&self) -> HeldSlots<'_> {
        let hold = self.lock();
        let leaves = hold.schema().leaves().iter().enumerate();
        let rows = leaves.map(|(leaf, spec)| (hold.first_row(leaf), spec.nbytes() * hold.slots())).collect();
        HeldSlots { rows, _object: self }
    }
}

impl HeldSlots<'_> {
    /// Copies a stacked tree into the slots, an item each. It needs no GIL.
    pub fn write_stack(&mut self, stack: &Stack) {
        stack.copy_to_runs(|leaf, copy| copy(0, self.row_mut(leaf)));
    }

    /// All rows of each leaf, to be copied into other slots. It needs no GIL.
    pub fn for_each_leaf(&mut self, mut copy: impl FnMut(usize, &[u8])) {
        for (leaf, (rows, nbytes)) in self.rows.iter().enumerate() {
            // SAFETY: W1 and W2, as below.
            copy(leaf, unsafe { std::slice::from_raw_parts(rows.as_ptr(), *nbytes) });
        }
    }
}

impl RowsMut for HeldSlots<'_> {
    /// Of several slots, all rows of the leaf.
    fn row_mut(&mut self, leaf: usize) -> &mut [u8] {
        let (rows, nbytes) = self.rows[leaf];
        // SAFETY: W1 and W2. A thread of the user's that uses an array of the loan meanwhile races with this copy as it would
        // with any other; nobody else reaches the rows.
        unsafe { std::slice::from_raw_parts_mut(rows.as_ptr(), nbytes) }
    }
}

impl Leaves for AnyHold {
    fn leaves(&self) -> bool {
        match self {
            Self::Queue(hold) => hold.is_last_here(),
            Self::Topic(hold) => hold.is_last_here(),
        }
    }
}

//! What a forked child inherits, and what is taken from it before its first own step.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | the table of what children must not have as it is, and the handlers inside fork |
//! | `descriptor` | a descriptor that is told from whatever has its number later |
//! | `mapping` | the mapping of a segment's file |
//!
//! A child has copies of its parent's descriptors and mappings, but it is another participant. So a handler that runs
//! inside fork, in the child,
//! K1. closes the descriptors in the table: those that hold the parent's locks (unlocking would release them in the parent
//!     too, and a copy left open would keep a dead parent alive), and those that a thread of the parent was just busy with,
//!     which nobody in the child would close;
//! K2. replaces each mapping in the table by a private one, so that no view of the child writes into the segment, and
//!     none keeps the parent's locks (`descriptor` D3);
//! K3. counts the fork, so that every attachment made before it knows that it is somebody else's.
//! K4. From before the fork until after it, in parent and child, the forking thread holds the table's lock.
//! K5. Nothing that takes long is done under the table's lock: whoever forks, opens or closes a queue waits for it, in
//!     Python with the interpreter's lock in hand. Reserving memory, making page tables and unmapping go without. What
//!     they work on is not for children meanwhile: the descriptors are in the table, the mapping is left out of forks.
//! The handler allocates nothing. The table that it walks is locked across the fork, so it is never half-written.

mod descriptor;
mod mapping;

use std::cell::UnsafeCell;
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};

use crate::sync::Ordering;
use crate::sync::local::AtomicU64;

use descriptor::Mark;
pub(crate) use descriptor::{Descriptor, FileIdentity};
use mapping::Range;
pub(crate) use mapping::{Access, Mapping};

static GENERATION: AtomicU64 = AtomicU64::new(0);
static TABLE: Mutex<Table> = Mutex::new(Table::new());
static INSTALL: Once = Once::new();
static HELD: HeldAcrossFork = HeldAcrossFork(UnsafeCell::new(None));

/// How many forks lie between this process and the first one.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// While this lives, no thread of this process forks through libc. It must not live for long (K5).
pub(crate) struct NoFork(MutexGuard<'static, Table>);

/// Holds off forks; also the lock under which this process's attachments are listed.
pub(crate) fn hold_off() -> NoFork {
    INSTALL.call_once(install);
    NoFork(lock())
}

/// What must not be left to a child as it is.
struct Table {
    next_key: u64,
    /// Closed in a child.
    descriptors: Vec<(Key, Mark)>,
    /// Made private in a child.
    ranges: Vec<(Key, Range)>,
}

/// Names an entry of the table. No two entries ever have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(u64);

impl Table {
    const fn new() -> Self {
        Self { next_key: 0, descriptors: Vec::new(), ranges: Vec::new() }
    }

    fn new_key(&mut self) -> Key {
        self.next_key += 1;
        Key(self.next_key)
    }
}

impl NoFork {
    /// Lets forks go on until `event` is notified, or for no reason.
    pub(crate) fn wait(self, event: &Condvar) -> Self {
        Self(event.wait(self.0).unwrap_or_else(PoisonError::into_inner))
    }
}

/// The table's guard while a fork is under way.
struct HeldAcrossFork(UnsafeCell<Option<MutexGuard<'static, Table>>>);

// SAFETY: K4. The cell is only touched by `before`, `in_parent` and `in_child`: by a thread that holds the table's lock.
unsafe impl Sync for HeldAcrossFork {}

fn lock() -> MutexGuard<'static, Table> {
    // A panic elsewhere leaves whole entries behind: each change of the table is one push or one retain.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install() {
    // SAFETY: the three handlers are functions of this library, which is never unloaded while Python or Rust code that
    // uses it runs.
    let refused = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    assert_eq!(refused, 0, "pthread_atfork only fails for want of memory");
}

unsafe extern "C" fn before() {
    let guard = lock();
    // SAFETY: K4: this thread holds the lock.
    unsafe { *HELD.0.get() = Some(guard) };
}

unsafe extern "C" fn in_parent() {
    // SAFETY: K4: the lock was taken in `before`, by this thread.
    drop(unsafe { (*HELD.0.get()).take() });
}

unsafe extern "C" fn in_child() {
    // Relaxed: the child has one thread.
    GENERATION.fetch_add(1, Ordering::Relaxed);
    // SAFETY: K4: the lock was taken in `before`, by the thread that this child's only thread is the copy of.
    let held = unsafe { (*HELD.0.get()).take() };
    let Some(mut table) = held else { return };
    // First, since their descriptors may be among those that are closed.
    table.ranges.iter_mut().for_each(|(_, range)| range.make_private());
    table.descriptors.iter().for_each(|(_, mark)| mark.close_if_there());
    // Whoever has them knows that they are another process's (`descriptor` D2).
    table.descriptors.clear();
}

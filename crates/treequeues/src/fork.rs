//! What a forked child inherits, and what is taken from it before its first own step.
//!
//! A child has copies of its parent's descriptors and mappings, but it is another participant. So a handler that runs
//! inside fork, in the child,
//! K1. closes the descriptors that hold the parent's locks (unlocking would release them in the parent too, and a copy
//!     left open would keep a dead parent alive);
//! K2. replaces each inherited mapping by a private one, so that no view of the child writes into the segment;
//! K3. counts the fork, so that every attachment made before it knows that it is somebody else's.
//! K4. From before the fork until after it, in parent and child, the forking thread holds the table's lock.
//! The handler allocates nothing. The table that it walks is locked across the fork, so it is never half-written.

use std::cell::UnsafeCell;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use crate::segment::{Segment, map_private_over};
use crate::sync::Ordering;
use crate::sync::local::AtomicU64;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static TABLE: Mutex<Vec<Inherited>> = Mutex::new(Vec::new());
static INSTALL: Once = Once::new();
static HELD: HeldAcrossFork = HeldAcrossFork(UnsafeCell::new(None));

/// How many forks lie between this process and the first one.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// While this lives, no thread of this process forks through libc.
pub(crate) struct NoFork(MutexGuard<'static, Vec<Inherited>>);

/// Holds off forks; also the lock under which this process attaches and detaches.
pub(crate) fn hold_off() -> NoFork {
    INSTALL.call_once(install);
    NoFork(lock())
}

/// A key to take an attachment's entry out of the table again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

/// What one attachment must not leave to a child as it is.
struct Inherited {
    key: u64,
    base: NonNull<u8>,
    nbytes: usize,
    segment_fd: RawFd,
    /// Negative once closed in a child.
    lock_fd: RawFd,
}

// SAFETY: addresses and numbers; what they name belongs to the process, not to a thread.
unsafe impl Send for Inherited {}

impl NoFork {
    /// Remembers an attachment. The caller removes it before it unmaps the segment or closes a descriptor.
    pub(crate) fn insert(&mut self, segment: &Segment, lock_fd: &impl AsRawFd) -> Option<Key> {
        let segment_fd = segment.fd()?;
        let (base, nbytes) = segment.range();
        let key = self.0.last().map_or(0, |last| last.key + 1);
        self.0.push(Inherited {
            key,
            base,
            nbytes,
            segment_fd: segment_fd.as_raw_fd(),
            lock_fd: lock_fd.as_raw_fd(),
        });
        Some(Key(key))
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        self.0.retain(|inherited| inherited.key != key.0);
    }
}

/// The table's guard while a fork is under way.
struct HeldAcrossFork(UnsafeCell<Option<MutexGuard<'static, Vec<Inherited>>>>);

// SAFETY: K4. The cell is only touched by `before`, `in_parent` and `in_child`: by a thread that holds the table's lock.
unsafe impl Sync for HeldAcrossFork {}

fn lock() -> MutexGuard<'static, Vec<Inherited>> {
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
    for inherited in table.iter_mut() {
        if inherited.lock_fd < 0 {
            // Inherited from a grandparent: private already, since private mappings stay so through a fork.
            continue;
        }
        // SAFETY: the descriptor is this table's until the attachment is removed; nobody uses it after K3.
        unsafe { libc::close(inherited.lock_fd) };
        inherited.lock_fd = -1;
        // SAFETY: the segment's descriptor outlives its entry in the table.
        let segment_fd = unsafe { BorrowedFd::borrow_raw(inherited.segment_fd) };
        // SAFETY: `insert` took the range from a mapped `Segment`, which is removed before it is unmapped.
        unsafe { map_private_over(inherited.base, inherited.nbytes, segment_fd) };
    }
}

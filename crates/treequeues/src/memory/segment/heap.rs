//! A segment without an operating system: zeroed heap memory, and flags in the place of file locks.

use std::alloc::{Layout as AllocLayout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use crate::format::layout::{Layout, PAGE_NBYTES};
use crate::sync::Ordering;
use crate::sync::local::AtomicBool;

/// The memory of one heap segment, shared by the mappings of its simulated participants.
#[derive(Debug)]
pub(crate) struct Heap {
    base: NonNull<u8>,
    memory: AllocLayout,
    locks: Box<[AtomicBool]>,
}

// SAFETY: `base` is owned, and what is done with the bytes is the segment's to guard (S2 to S4).
unsafe impl Send for Heap {}
// SAFETY: as for Send.
unsafe impl Sync for Heap {}

impl Heap {
    /// `None` when the allocator refuses.
    pub(crate) fn new(layout: &Layout) -> Option<Self> {
        let memory = AllocLayout::from_size_align(layout.total_nbytes, PAGE_NBYTES).ok()?;
        // SAFETY: a segment has at least a header, so the size is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(memory) })?;
        let locks = (0..layout.participants).map(|_| AtomicBool::new(false)).collect();
        Some(Self { base, memory, locks })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Takes the lock of one participant, unless it is taken.
    pub(crate) fn try_lock(&self, id: u32) -> bool {
        !self.locks[id as usize].swap(true, Ordering::AcqRel)
    }

    /// What the kernel does when a participant dies.
    pub(crate) fn unlock(&self, id: u32) {
        self.locks[id as usize].store(false, Ordering::Release);
    }

    pub(crate) fn is_locked(&self, id: u32) -> bool {
        self.locks[id as usize].load(Ordering::Acquire)
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout.
        unsafe { dealloc(self.base.as_ptr(), self.memory) };
    }
}

//! What a victim says of what it did.

use std::mem::size_of;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// The values of what the victim puts, from here on. The survivor's are below, and those it puts around a stopped victim above.
pub const VICTIMS: u64 = 1000;
pub const LATER: u64 = 2000;
/// What somebody puts who has slept.
pub const SLEEPERS: u64 = 3000;
/// The most values that are taken by one victim.
const MAX_TAKEN: usize = 300;

/// Whether it was the victim that put a value.
pub fn is_victims(value: u64) -> bool {
    (VICTIMS..LATER).contains(&value)
}

/// What a victim did, in memory that outlives it: written before its end, the flag last.
pub struct Ledger(NonNull<Page>);

struct Page {
    is_done: AtomicBool,
    put: AtomicUsize,
    /// Of the first item of a batch from elsewhere, its ticket plus one; 0 if the victim brings none.
    brought: AtomicUsize,
    taken_len: AtomicUsize,
    taken: [AtomicUsize; MAX_TAKEN],
}

impl Ledger {
    pub fn new() -> Self {
        let flags = MapFlags::SHARED;
        // SAFETY: a new mapping, wherever the kernel likes.
        let page = unsafe {
            mmap_anonymous(std::ptr::null_mut(), size_of::<Page>(), ProtFlags::READ | ProtFlags::WRITE, flags)
        };
        // Zeros are a fresh page.
        Self(NonNull::new(page.expect("memory").cast()).expect("not null"))
    }

    fn page(&self) -> &Page {
        // SAFETY: mapped until the drop, as zeros, which all these atomics may be; aligned to a page.
        unsafe { self.0.as_ref() }
    }

    /// The first `count` of the victim's items were put for good.
    pub fn put(&self, count: usize) {
        self.page().put.store(count, Ordering::SeqCst);
    }

    /// The victim is about to put a batch from elsewhere, whose first item has this ticket.
    pub fn brings(&self, ticket: u64) {
        self.page().brought.store(ticket as usize + 1, Ordering::SeqCst);
    }

    pub fn brought(&self) -> Option<u64> {
        self.page().brought.load(Ordering::SeqCst).checked_sub(1).map(|ticket| ticket as u64)
    }

    pub fn has_put(&self) -> bool {
        self.page().put.load(Ordering::SeqCst) > 0
    }

    pub fn count_taken(&self) -> usize {
        self.page().taken_len.load(Ordering::SeqCst)
    }

    /// A value was taken for good.
    pub fn took(&self, value: u64) {
        let page = self.page();
        let len = page.taken_len.fetch_add(1, Ordering::SeqCst);
        page.taken[len].store(value as usize, Ordering::SeqCst);
    }

    pub fn done(&self) {
        self.page().is_done.store(true, Ordering::SeqCst);
    }

    pub fn is_done(&self) -> bool {
        self.page().is_done.load(Ordering::SeqCst)
    }

    /// Values put and taken for good, once it is done.
    pub fn outcome(&self) -> Option<(Vec<u64>, Vec<u64>)> {
        if !self.is_done() {
            return None;
        }
        let page = self.page();
        let put = (VICTIMS..).take(page.put.load(Ordering::SeqCst)).collect();
        let taken = page.taken[..page.taken_len.load(Ordering::SeqCst)].iter();
        Some((put, taken.map(|value| value.load(Ordering::SeqCst) as u64).collect()))
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody has a reference any more.
        unsafe { munmap(self.0.as_ptr().cast(), size_of::<Page>()) }.expect("mapped");
    }
}

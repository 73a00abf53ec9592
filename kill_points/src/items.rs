//! Items that name themselves, and what a victim says of what it did.

use std::mem::size_of;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use treequeues::{
    BorrowError, CreateOptions, Dtype, LeafKind, LeafSpec, Queue, ReadBatch, ReadLoan, ReserveError, Schema,
    Structure, WriteLoan,
};

/// Slots of most queues here: as few as have a middle.
pub const CAPACITY: usize = 3;
/// Slots of the largest one.
pub const MAX_CAPACITY: usize = 300;
/// Places in its table: the survivor, the victim, one of whom nothing is known any more, and a newcomer.
pub const PARTICIPANTS: u64 = 4;
/// The values of what the victim puts, from here on. The survivor's are below, and those it puts around a stopped victim above.
pub const VICTIMS: u64 = 1000;
pub const LATER: u64 = 2000;
const NUMBERS: usize = 4;

pub fn schema() -> Schema {
    let leaf = LeafSpec::new(Dtype::from_name("uint64").expect("a dtype"), vec![NUMBERS], LeafKind::Array);
    Schema::new(Structure::leaf(), vec![leaf]).expect("a schema")
}

pub fn options() -> CreateOptions {
    CreateOptions { participants: PARTICIPANTS, ..CreateOptions::default() }
}

pub fn queue(capacity: usize) -> Queue {
    Queue::create_with(schema(), capacity as u64, options()).expect("memory")
}

/// A reserved slot with an item in it.
pub fn write(queue: &Queue, value: u64) -> Option<WriteLoan<'_>> {
    let mut loan = match queue.try_reserve() {
        Ok(loan) => loan,
        Err(ReserveError::Full | ReserveError::ShutDown(_)) => return None,
        Err(error) => panic!("{error}"),
    };
    fill(&mut loan, value);
    Some(loan)
}

pub fn fill(loan: &mut WriteLoan<'_>, value: u64) {
    loan.leaf_mut::<u64>(0).expect("the leaf").fill(value);
}

pub fn read(queue: &Queue) -> Option<ReadLoan<'_>> {
    match queue.try_borrow() {
        Ok(loan) => Some(loan),
        Err(BorrowError::Empty | BorrowError::ShutDown(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

pub fn put(queue: &Queue, value: u64) -> bool {
    write(queue, value).map(|loan| loan.commit().expect("sound")).is_some()
}

pub fn take(queue: &Queue) -> Option<u64> {
    read(queue).map(|loan| {
        let value = value_of(&loan);
        loan.release().expect("sound");
        value
    })
}

/// The value that an item is made of, in every number of it.
pub fn value_of(loan: &ReadLoan<'_>) -> u64 {
    the_one_of(loan.leaf(0).expect("the leaf"))
}

/// The same for an item of a batch.
pub fn value_in(batch: &ReadBatch<'_>, item: usize) -> u64 {
    the_one_of(batch.leaf(item, 0).expect("the leaf"))
}

fn the_one_of(numbers: &[u64]) -> u64 {
    assert!(numbers.iter().all(|number| *number == numbers[0]), "a torn item: {numbers:?}");
    numbers[0]
}

/// What a victim did, in memory that outlives it: written before its end, the flag last.
pub struct Ledger(NonNull<Page>);

struct Page {
    is_done: AtomicBool,
    put: AtomicUsize,
    taken_len: AtomicUsize,
    taken: [AtomicUsize; MAX_CAPACITY],
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

    pub fn has_put(&self) -> bool {
        self.page().put.load(Ordering::SeqCst) > 0
    }

    pub fn count_taken(&self) -> usize {
        self.page().taken_len.load(Ordering::SeqCst)
    }

    /// A value was taken for good: at most as many as there are slots.
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

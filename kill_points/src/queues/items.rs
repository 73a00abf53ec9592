//! Items of queues, which name themselves.

use std::time::Duration;

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
/// Longer than a spin, so that the call sleeps.
pub const SHORT_WAIT: Duration = Duration::from_millis(1);
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

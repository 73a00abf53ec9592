//! Somebody gives back thousands of items, one by one, while somebody else takes them.

use std::thread;
use std::time::Duration;

use crate::error::BorrowError;
use crate::{Dtype, LeafKind, LeafSpec, Queue, Schema, Structure, Wait};

const ITEMS: u64 = 20_000;
/// About two microseconds.
const PAUSES: u32 = 100;
const WATCHDOG: Duration = Duration::from_secs(60);

#[test]
fn a_borrow_beside_many_returns_finds_items_and_no_damage() {
    let leaf = LeafSpec::new(Dtype::from_name("uint8").expect("known"), vec![1], LeafKind::Array);
    let schema = Schema::new(Structure::leaf(), vec![leaf]).expect("sound");
    let queue = Queue::create_local(schema, ITEMS).expect("small");
    for _ in 0..ITEMS {
        queue.reserve().expect("a free slot").commit().expect("sound");
    }
    let loans: Vec<_> = (0..ITEMS).map(|_| queue.borrow().expect("an item")).collect();
    thread::scope(|scope| {
        let taker = scope.spawn(|| {
            for taken in 0..100 {
                match queue.borrow_with(Wait::at_most(WATCHDOG)) {
                    Ok(item) => item.release().expect("sound"),
                    Err(BorrowError::Empty) => panic!("{taken} items in {WATCHDOG:?}"),
                    Err(error) => panic!("after {taken} items: {error}"),
                }
            }
        });
        for loan in loans {
            loan.give_back().expect("sound");
            // Slowly enough that others look at all slots many times meanwhile.
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
        }
        taker.join().expect("no panic");
    });
}

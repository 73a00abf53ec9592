//! Items that come back: very many, and more than a process keeps in mind.

use std::thread;
use std::time::Duration;

use super::{Rig, owner};
use crate::error::BorrowError;
use crate::queue::ring::{Claim, Kept};
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

#[test]
fn an_item_that_was_not_kept_comes_before_those_in_order() {
    const KEPT: usize = 4;
    let rig = Rig::new(20);
    while rig.put(owner(1)).is_some() {}
    let claims: Vec<Claim> = (0..12).map_while(|_| borrow(&rig, 1, &Kept::default())).collect();
    for claim in claims {
        rig.ring().give_back(claim).expect("sound");
    }
    let (mine, others) = (Kept::of_at_most(KEPT), Kept::default());
    assert_eq!(rig.ring().count_items(20, &mine), Ok(20), "four are kept, eight are others");
    for ticket in 0..KEPT as u64 {
        let claim = borrow(&rig, 2, &others).expect("an item");
        assert_eq!(claim.ticket, ticket);
        rig.ring().release(claim).expect("sound");
    }
    // This drops what others have taken from what was kept.
    assert_eq!(rig.ring().count_items(1, &mine), Ok(1));
    assert!(rig.ring().may_borrow(&mine));
    for ticket in KEPT as u64..20 {
        let claim = borrow(&rig, 1, &mine).expect("an item");
        assert_eq!(claim.ticket, ticket, "in order");
        rig.ring().release(claim).expect("sound");
        assert_eq!(rig.ring().count_items(20, &mine), Ok(19 - ticket as usize));
    }
}

fn borrow(rig: &Rig, me: u32, kept: &Kept) -> Option<Claim> {
    rig.ring().borrow(owner(me), kept, |_| true).expect("sound")
}

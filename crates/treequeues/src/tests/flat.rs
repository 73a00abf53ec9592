//! What a call costs in a large ring, counted in accesses to the shared memory: as much as in a small one.

use proptest::prelude::*;

use super::{Rig, owner};
use crate::format::word::Phase;
use crate::long_look::LongLook;
use crate::queue::ring::{Claim, FAR_BEHIND, Kept};
use crate::sync::{abandon_after, local};

const CAPACITY: usize = 100_000;
const PRODUCER: u32 = 1;
const CONSUMER: u32 = 2;
const HOLDER: u32 = 3;

fn at_most<T>(accesses: u32, operation: impl FnOnce() -> T) -> T {
    abandon_after(accesses, operation).unwrap_or_else(|| panic!("more than {accesses} accesses"))
}

fn large() -> Rig {
    Rig::passing(CAPACITY, FAR_BEHIND)
}

fn fill(rig: &Rig) {
    while rig.put(owner(PRODUCER)).is_some() {}
}

fn borrow(rig: &Rig, kept: &Kept) -> Option<Claim> {
    rig.ring().borrow(owner(CONSUMER), kept, |_| true).expect("sound")
}

/// Takes the first items, and gives every third one back.
fn give_some_back(rig: &Rig, count: usize) -> Vec<u64> {
    let mut returned = Vec::new();
    let claims: Vec<_> = (0..3 * count).map_while(|_| borrow(rig, &Kept::default())).collect();
    for (number, claim) in claims.into_iter().enumerate() {
        if number % 3 == 0 {
            returned.push(claim.ticket);
            rig.ring().give_back(claim).expect("sound");
        } else {
            rig.ring().release(claim).expect("sound");
        }
    }
    returned
}

#[test]
fn a_borrow_that_finds_nothing_looks_at_few_slots() {
    let rig = large();
    assert_eq!(at_most(12, || rig.take(owner(CONSUMER))), None);
    for _ in 0..CAPACITY + 10 {
        rig.put(owner(PRODUCER)).expect("a free slot");
        rig.take(owner(CONSUMER)).expect("an item");
    }
    assert_eq!(at_most(12, || rig.take(owner(CONSUMER))), None);
}

#[test]
fn a_reserve_that_finds_the_ring_full_looks_at_few_slots() {
    let rig = large();
    fill(&rig);
    assert_eq!(at_most(12, || rig.put(owner(PRODUCER))), None);
    assert!(!at_most(12, || rig.ring().any_free()));
    // A lap on.
    for _ in 0..CAPACITY + 10 {
        rig.take(owner(CONSUMER)).expect("an item");
        rig.put(owner(PRODUCER)).expect("a free slot");
    }
    assert_eq!(at_most(12, || rig.put(owner(PRODUCER))), None);
}

#[test]
fn a_slot_that_is_held_for_laps_makes_full_no_dearer() {
    let rig = large();
    fill(&rig);
    let held = borrow(&rig, &Kept::default()).expect("an item");
    for lap in 0..5 {
        for number in 0..CAPACITY / 3 {
            rig.take(owner(CONSUMER)).expect("an item");
            rig.put(owner(PRODUCER)).expect("a free slot");
            if number == CAPACITY / 10 {
                // Once for each time that the ring comes round to it.
                assert!(rig.put(owner(PRODUCER)).is_none());
            }
            if number > CAPACITY / 10 && number % 1000 == 0 {
                // What the last look has found may be forgotten by now.
                assert!(rig.put(owner(PRODUCER)).is_none());
                assert_eq!(at_most(20, || rig.put(owner(PRODUCER))), None, "lap {lap}");
                assert!(!at_most(20, || rig.ring().any_free()));
            }
        }
    }
    rig.ring().release(held).expect("sound");
    assert!(rig.put(owner(PRODUCER)).is_some(), "the one that was released");
    assert!(rig.put(owner(PRODUCER)).is_none());
}

#[test]
fn what_comes_free_out_of_order_is_found_beside_a_look_that_found_nothing() {
    let rig = large();
    fill(&rig);
    let mut held: Vec<Claim> = (0..10).map_while(|_| borrow(&rig, &Kept::default())).collect();
    for _ in 0..CAPACITY / 2 {
        rig.take(owner(CONSUMER)).expect("an item");
        rig.put(owner(PRODUCER)).expect("a free slot");
    }
    while let Some(claim) = held.pop() {
        assert!(rig.put(owner(PRODUCER)).is_none() && rig.put(owner(PRODUCER)).is_none());
        match held.len() % 3 {
            0 => rig.ring().release(claim).expect("sound"),
            1 => {
                let lingering = rig.ring().linger(claim).expect("sound");
                assert!(rig.put(owner(PRODUCER)).is_none());
                rig.ring().let_go(lingering).expect("sound");
            }
            _ => {
                rig.ring().give_back(claim).expect("sound");
                assert!(rig.put(owner(PRODUCER)).is_none());
                rig.take(owner(CONSUMER)).expect("it comes first");
            }
        }
        let claim = rig.ring().reserve(owner(PRODUCER), |_| true).expect("sound").expect("it is free");
        assert!(rig.put(owner(PRODUCER)).is_none());
        rig.ring().abort(claim).expect("sound");
        assert!(rig.put(owner(PRODUCER)).is_some(), "free again");
    }
    while let Some(claim) = rig.ring().reserve(owner(HOLDER), |_| true).expect("sound") {
        rig.ring().commit(claim).expect("sound");
    }
    rig.take(owner(CONSUMER)).expect("an item");
    let _killed = rig.ring().reserve(owner(HOLDER), |_| true).expect("sound").expect("it is free");
    assert!(rig.put(owner(PRODUCER)).is_none());
    rig.ring().recover(owner(HOLDER), &rig.publishing, || true).expect("sound");
    assert!(rig.put(owner(PRODUCER)).is_some(), "what the dead held");
}

#[test]
fn items_that_come_back_cost_as_many_accesses_as_they_are() {
    const COUNT: usize = 1000;
    let rig = large();
    fill(&rig);
    let returned = give_some_back(&rig, COUNT);
    let kept = Kept::default();
    let taken = at_most(30 * COUNT as u32, || {
        (0..COUNT)
            .map(|_| {
                let claim = borrow(&rig, &kept).expect("an item");
                let ticket = claim.ticket;
                rig.ring().release(claim).expect("sound");
                ticket
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(taken, returned, "in order");
    let next = at_most(COUNT as u32, || borrow(&rig, &kept)).expect("an item in order");
    assert_eq!(next.ticket, 3 * COUNT as u64);
    rig.ring().release(next).expect("sound");
    // The bits are gone, and the next one costs what it costs in a ring that nothing came back to.
    let next = at_most(8, || borrow(&rig, &kept)).expect("an item in order");
    rig.ring().release(next).expect("sound");
}

#[test]
fn a_hole_in_the_middle_of_a_full_ring_is_paid_for_once() {
    let rig = large();
    for number in 0..CAPACITY {
        let claim = rig.ring().reserve(owner(PRODUCER), |_| true).expect("sound").expect("a free slot");
        if number == CAPACITY / 2 {
            rig.ring().abort(claim).expect("sound");
        } else {
            rig.ring().commit(claim).expect("sound");
        }
    }
    // This burns what is between, half the ring.
    let last = rig.put(owner(PRODUCER)).expect("the slot that was aborted");
    let kept = Kept::default();
    let mut tickets = Vec::new();
    let accesses = 20 * CAPACITY as u32;
    at_most(accesses, || {
        while let Some(claim) = borrow(&rig, &kept) {
            tickets.push(claim.ticket);
            rig.ring().release(claim).expect("sound");
        }
    });
    assert_eq!(tickets.len(), CAPACITY);
    assert!(tickets.is_sorted() && tickets.last() == Some(&last));
    rig.assert_whole(owner(CONSUMER));
}

#[test]
fn a_count_looks_at_no_more_slots_than_it_counts() {
    let rig = large();
    let kept = Kept::default();
    assert_eq!(at_most(12, || rig.ring().count_items(CAPACITY, &kept)), Ok(0));
    assert_eq!(at_most(300, || rig.ring().count_free(256)), Ok(256));
    fill(&rig);
    assert_eq!(at_most(300, || rig.ring().count_items(256, &kept)), Ok(256));
    assert_eq!(at_most(12, || rig.ring().count_free(256)), Ok(0));
    give_some_back(&rig, 100);
    assert_eq!(at_most(1500, || rig.ring().count_items(256, &kept)), Ok(256));
    assert_eq!(rig.ring().count_items(CAPACITY, &kept), Ok(CAPACITY - 200));
}

#[test]
fn the_size_is_told_by_few_looks() {
    let rig = large();
    let (kept, holes) = (Kept::default(), LongLook::default());
    assert_eq!(at_most(20, || rig.ring().size(&kept, &holes)), Ok(0));
    fill(&rig);
    assert_eq!(at_most(20, || rig.ring().size(&kept, &holes)), Ok(CAPACITY));
    give_some_back(&rig, 100);
    assert_eq!(at_most(1500, || rig.ring().size(&kept, &holes)), Ok(CAPACITY - 200));
    let held = rig.ring().reserve(owner(HOLDER), |_| true).expect("sound").expect("a free slot");
    // It may count as an item.
    assert!(matches!(rig.ring().size(&kept, &holes), Ok(size) if size <= CAPACITY - 199));
    rig.ring().abort(held).expect("sound");
    // The look at what lies far behind the tail was made before the abort.
    assert_eq!(rig.ring().size(&kept, &holes), Ok(CAPACITY - 199));
    assert_eq!(rig.ring().size(&kept, &LongLook::default()), Ok(CAPACITY - 200));
    // What the tail has passed counts no more.
    for _ in 0..1000 + CAPACITY / 2 {
        rig.take(owner(CONSUMER)).expect("an item");
    }
    let size = rig.ring().size(&kept, &holes).expect("sound");
    assert!(size.abs_diff(CAPACITY / 2 - 1200) <= 10, "{size}");
}

#[test]
fn a_batch_that_wants_more_than_there_is_is_told_so_by_few_looks() {
    const HALF: usize = CAPACITY / 2;
    let rig = large();
    let kept = Kept::default();
    for _ in 0..HALF {
        rig.put(owner(PRODUCER)).expect("a free slot");
    }
    assert_eq!(at_most(20, || rig.ring().items_at_most(&kept)), Ok(Some(HALF)));
    assert_eq!(at_most(20, || rig.ring().free_at_most()), CAPACITY - HALF);
    give_some_back(&rig, 100);
    assert_eq!(at_most(1500, || rig.ring().items_at_most(&kept)), Ok(Some(HALF - 200)));
    // One that is in the list no more, and one that came back since.
    rig.take(owner(CONSUMER)).expect("an item");
    assert_eq!(at_most(20, || rig.ring().items_at_most(&kept)), Ok(Some(HALF - 201)));
    rig.ring().give_back(borrow(&rig, &Kept::default()).expect("an item")).expect("sound");
    assert_eq!(rig.ring().items_at_most(&kept), Ok(Some(HALF - 201)));
}

#[test]
fn a_drain_that_waits_for_a_hold_looks_at_that_slot() {
    let rig = large();
    fill(&rig);
    let held = (0..=CAPACITY / 2).map_while(|_| borrow(&rig, &Kept::default())).last().expect("an item");
    let place = local::AtomicU64::new(0);
    let is_own = |slot: &crate::format::Slot| !std::ptr::eq(slot, &raw const rig.slots[held.slot]);
    let left = || rig.ring().left_to_drain(is_own, &place);
    assert_eq!(left(), Ok(None));
    assert_eq!(at_most(4, left), Ok(None));
    rig.ring().release(held).expect("sound");
    assert_eq!(rig.ring().left_to_drain(|_| true, &place), Ok(Some(CAPACITY / 2 - 1)));
}

#[test]
fn a_drain_that_has_found_nothing_does_not_look_again() {
    let rig = large();
    rig.put(owner(PRODUCER)).expect("a free slot");
    let own = borrow(&rig, &Kept::default()).expect("an item");
    let place = local::AtomicU64::new(0);
    let left = || rig.ring().left_to_drain(|_| true, &place);
    assert_eq!(left(), Ok(Some(0)), "it may be given back");
    rig.ring().give_back(own).expect("sound");
    assert_eq!(left(), Ok(Some(1)));
    rig.take(owner(CONSUMER)).expect("an item");
    assert_eq!(left(), Ok(Some(0)));
    assert_eq!(at_most(1, left), Ok(Some(0)));
}

#[test]
fn a_free_slot_behind_all_others_is_looked_for_once() {
    let rig = large();
    fill(&rig);
    rig.take(owner(CONSUMER)).expect("an item");
    let aborted = rig.ring().reserve(owner(PRODUCER), |_| true).expect("sound").expect("a free slot");
    rig.ring().abort(aborted).expect("sound");
    assert!(rig.ring().any_free(), "a lap further on");
    assert!(at_most(2, || rig.ring().any_free()));
    rig.put(owner(PRODUCER)).expect("it is free");
    assert!(!rig.ring().any_free());
    assert!(!at_most(20, || rig.ring().any_free()));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(usize),
    Abort(usize),
    Take(usize),
    GiveBack(usize),
    /// Takes some, and releases the last one first.
    Backwards(usize),
    /// Reserves some, and commits the last one first.
    CommitBackwards(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || 1_usize..700;
    let step = prop_oneof![
        3 => some().prop_map(Step::Put),
        1 => some().prop_map(Step::Abort),
        3 => some().prop_map(Step::Take),
        1 => some().prop_map(Step::GiveBack),
        1 => some().prop_map(Step::Backwards),
        1 => some().prop_map(Step::CommitBackwards),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

    /// Where nobody holds a slot, the size is what a look at every slot counts, and so is whether one is free.
    #[test]
    fn the_size_is_exact_where_nobody_holds_a_slot(capacity in 1025_usize..2000, steps in steps()) {
        let rig = Rig::passing(capacity, FAR_BEHIND);
        let (kept, holes) = (Kept::default(), LongLook::default());
        let reserve = || rig.ring().reserve(owner(PRODUCER), |_| true).expect("sound");
        let read = || borrow(&rig, &kept);
        for step in steps {
            match step {
                Step::Put(count) => {
                    let _ = (0..count).map_while(|_| rig.put(owner(PRODUCER))).count();
                }
                Step::Abort(count) => {
                    let claims: Vec<_> = (0..count).map_while(|_| reserve()).collect();
                    claims.into_iter().for_each(|claim| rig.ring().abort(claim).expect("sound"));
                }
                Step::Take(count) => {
                    let _ = (0..count).map_while(|_| rig.take(owner(CONSUMER))).count();
                }
                Step::GiveBack(count) => {
                    let claims: Vec<_> = (0..count).map_while(|_| read()).collect();
                    claims.into_iter().for_each(|claim| rig.ring().give_back(claim).expect("sound"));
                }
                Step::Backwards(count) => {
                    let claims: Vec<_> = (0..count).map_while(|_| read()).collect();
                    claims.into_iter().rev().for_each(|claim| rig.ring().release(claim).expect("sound"));
                }
                Step::CommitBackwards(count) => {
                    let claims: Vec<_> = (0..count).map_while(|_| reserve()).collect();
                    claims.into_iter().rev().for_each(|claim| rig.ring().commit(claim).expect("sound"));
                }
            }
            let words: Vec<_> = rig.ring().words().map(|word| word.phase().expect("sound")).collect();
            let items = words.iter().filter(|phase| matches!(phase, Phase::Ready | Phase::Returned)).count();
            // A long look of before may be what is told: a new one each time.
            prop_assert_eq!(rig.ring().size(&Kept::default(), &LongLook::default()), Ok(items));
            prop_assert_eq!(rig.ring().count_items(capacity, &kept), Ok(items));
            prop_assert_eq!(rig.ring().count_free(capacity), Ok(capacity - items));
            prop_assert!(rig.ring().size(&kept, &holes).is_ok());
            prop_assert!(matches!(rig.ring().items_at_most(&kept), Ok(Some(at_most)) if at_most >= items));
            prop_assert!(rig.ring().free_at_most() >= capacity - items);
            let towards = rig.ring().items_towards(capacity, &kept);
            prop_assert!(matches!(towards, Ok(towards) if towards >= items));
        }
    }
}

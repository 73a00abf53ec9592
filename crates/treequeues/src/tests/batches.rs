//! What a batch takes, in which order, and what it leaves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use super::bytes::{WATCHDOG, drain, get, local, put, runs, schema, values};
use crate::queue::batch::Pace;
use crate::queue::batch::claim_many;
use crate::queue::batch::turn::Turn;
use crate::queue::side::Items;
use crate::sync::{AtomicU64, abandon_after, accesses_of};
use crate::wait::{Next, Wait};
use crate::{BatchSize, BorrowError, Queue, ReadBatch, ReserveError};

fn put_all(queue: &Queue, items: impl IntoIterator<Item = u8>) {
    items.into_iter().for_each(|value| put(queue, value));
}

/// Moves the head and the tail to this ticket.
fn advance(queue: &Queue, tickets: u8) {
    for value in 0..tickets {
        put(queue, value);
        assert_eq!(get(queue), Some(value));
    }
}

#[test]
fn exactly_takes_so_many_or_none() {
    let queue = local(8);
    put_all(&queue, 0..5);
    let batch = queue.try_borrow_batch(BatchSize::exactly(3)).expect("five are there");
    assert_eq!(values(&batch), [0, 1, 2]);
    assert_eq!(batch.infos().map(|info| info.ticket).collect::<Vec<_>>(), [0, 1, 2]);
    batch.release().expect("sound");
    assert!(matches!(queue.try_borrow_batch(BatchSize::exactly(3)), Err(BorrowError::Empty)));
    let snapshot = queue.snapshot().expect("sound");
    assert_eq!((snapshot.ready, snapshot.returned, snapshot.free), (2, 0, 6), "untouched");
    assert_eq!(drain(&queue), [3, 4]);
}

#[test]
fn between_takes_what_is_there_up_to_its_most() {
    let queue = local(8);
    put_all(&queue, 0..5);
    let size = BatchSize::between(2, 4);
    assert_eq!(values(&queue.try_borrow_batch(size).expect("five are there")), [0, 1, 2, 3]);
    assert!(matches!(queue.try_borrow_batch(size), Err(BorrowError::Empty)), "one is left");
    put(&queue, 5);
    assert_eq!(values(&queue.try_borrow_batch(size).expect("two are there")), [4, 5]);
}

#[test]
fn a_batch_that_no_queue_can_serve_is_refused_before_it_waits() {
    let queue = local(3);
    put_all(&queue, 0..3);
    let sizes: [fn() -> BatchSize; 3] =
        [|| BatchSize::exactly(0), || BatchSize::between(3, 2), || BatchSize::between(1, 4)];
    for size in sizes {
        let refused = |call: &dyn Fn()| catch_unwind(AssertUnwindSafe(call)).is_err();
        assert!(refused(&|| drop(queue.try_borrow_batch(size()))));
        assert!(refused(&|| drop(queue.try_reserve_batch(size()))));
        assert!(refused(&|| drop(queue.borrow_batch_with(size(), Wait::forever()))));
        assert!(refused(&|| drop(queue.reserve_batch_with(size(), Wait::forever()))));
    }
    assert_eq!(drain(&queue), [0, 1, 2]);
}

#[test]
fn a_batch_that_goes_past_the_ring_s_end_comes_in_two_runs() {
    let queue = local(4);
    advance(&queue, 3);
    let mut written = queue.try_reserve_batch(BatchSize::exactly(3)).expect("all are free");
    let mut first_of_runs = Vec::new();
    written.for_each_run(0, |first, run| {
        first_of_runs.push((first, run.len()));
        (first..).zip(run).for_each(|(index, value)| *value = 10 + index as u8);
    });
    assert_eq!(first_of_runs, [(0, 1), (1, 2)]);
    written.commit().expect("sound");
    let batch = queue.try_borrow_batch(BatchSize::exactly(3)).expect("three are there");
    assert_eq!((values(&batch), runs(&batch)), (vec![10, 11, 12], vec![(0, 1), (1, 2)]));
}

#[test]
fn side_by_side_ends_where_the_ring_ends() {
    let queue = local(4);
    advance(&queue, 2);
    let size = BatchSize::exactly(4).side_by_side();
    let mut written = queue.try_reserve_batch(size).expect("all are free");
    assert_eq!(written.len(), 2, "slots 2 and 3");
    written.for_each_run(0, |_, run| run.copy_from_slice(&[0, 1]));
    written.commit().expect("sound");
    put_all(&queue, 2..4);
    let batch = queue.try_borrow_batch(size).expect("four are there");
    assert_eq!((values(&batch), runs(&batch)), (vec![0, 1], vec![(0, 2)]));
    batch.release().expect("sound");
    assert!(matches!(queue.try_borrow_batch(size), Err(BorrowError::Empty)), "two are left");
    let rest = queue.try_borrow_batch(BatchSize::between(1, 4).side_by_side()).expect("two are there");
    assert_eq!(values(&rest), [2, 3]);
}

#[test]
fn side_by_side_ends_at_the_slot_of_an_aborted_ticket() {
    let queue = local(4);
    put(&queue, 0);
    queue.try_reserve().expect("free").abort().expect("sound");
    put_all(&queue, 2..4);
    let batch = queue.try_borrow_batch(BatchSize::exactly(3).side_by_side()).expect("three are there");
    assert_eq!(values(&batch), [0]);
    batch.give_back().expect("sound");
    let batch = queue.try_borrow_batch(BatchSize::exactly(3)).expect("three are there");
    assert_eq!((values(&batch), runs(&batch)), (vec![0, 2, 3], vec![(0, 1), (1, 2)]));
}

#[test]
fn side_by_side_ends_at_a_slot_that_somebody_holds() {
    let queue = local(4);
    put_all(&queue, 0..4);
    let holes: Vec<_> = (0..2).map(|_| queue.try_borrow().expect("an item")).collect();
    let [first, second] = holes.try_into().expect("two");
    first.give_back().expect("sound");
    let size = BatchSize::exactly(3).side_by_side();
    let batch = queue.try_borrow_batch(size).expect("three are there");
    assert_eq!(values(&batch), [0], "slot 1 is held");
    drop(batch);
    assert_eq!(drain(&queue), [2, 3]);
    let written = queue.try_reserve_batch(size).expect("three are free");
    assert_eq!(written.len(), 1, "slot 0, and slot 1 is held");
    drop(second);
}

#[test]
fn items_given_back_come_first_and_in_order_within_a_batch() {
    let queue = local(4);
    put_all(&queue, 0..4);
    let batch = queue.try_borrow_batch(BatchSize::exactly(2)).expect("four are there");
    batch.give_back().expect("sound");
    let again = queue.try_borrow_batch(BatchSize::exactly(4)).expect("four are there");
    assert_eq!(values(&again), [0, 1, 2, 3]);
    assert_eq!(again.infos().map(|info| info.delivery_count).collect::<Vec<_>>(), [2, 2, 1, 1]);
}

#[test]
fn a_batch_in_vain_is_no_delivery() {
    let queue = local(4);
    put_all(&queue, 0..2);
    let timeout = Wait::at_most(Duration::from_millis(5));
    assert!(matches!(queue.try_borrow_batch(BatchSize::exactly(3)), Err(BorrowError::Empty)));
    assert!(matches!(queue.borrow_batch_with(BatchSize::exactly(3), timeout), Err(BorrowError::Empty)));
    let batch = queue.try_borrow_batch(BatchSize::exactly(2)).expect("two are there");
    assert!(batch.infos().all(|info| info.delivery_count == 1));
}

#[test]
fn a_reserve_in_vain_changes_nothing() {
    let queue = local(4);
    put_all(&queue, 0..2);
    let timeout = Wait::at_most(Duration::from_millis(5));
    assert!(matches!(queue.try_reserve_batch(BatchSize::exactly(3)), Err(ReserveError::Full)));
    assert!(matches!(queue.reserve_batch_with(BatchSize::exactly(3), timeout), Err(ReserveError::Full)));
    put_all(&queue, 2..4);
    let tickets: Vec<_> =
        std::iter::from_fn(|| queue.try_borrow().ok().map(|loan| loan.info().ticket)).collect();
    assert_eq!(tickets, [0, 1, 2, 3], "no ticket was used up");
}

#[test]
fn a_batch_is_published_in_the_order_of_its_tickets() {
    let queue = local(4);
    let before = queue.try_reserve().expect("free");
    let mut batch = queue.try_reserve_batch(BatchSize::exactly(3)).expect("three are free");
    batch.for_each_run(0, |_, run| run.copy_from_slice(&[1, 2, 3]));
    assert!(matches!(queue.try_borrow(), Err(BorrowError::Empty)), "nothing before the commit");
    batch.commit().expect("sound");
    before.commit().expect("sound");
    let batch = queue.try_borrow_batch(BatchSize::exactly(4)).expect("four are there");
    assert_eq!(batch.infos().map(|info| info.ticket).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(values(&batch)[1..], [1, 2, 3]);
    let times: Vec<_> = batch.infos().map(|info| info.put_time).skip(1).collect();
    assert!(times.is_sorted());
}

#[test]
fn a_batch_that_the_ring_has_passed_is_published_first_and_in_order() {
    let queue = local(3);
    let mut late = queue.try_reserve_batch(BatchSize::exactly(2)).expect("all are free");
    late.for_each_run(0, |_, run| run.copy_from_slice(&[1, 2]));
    advance(&queue, 3);
    put(&queue, 9);
    late.commit().expect("sound");
    let batch = queue.try_borrow_batch(BatchSize::exactly(3)).expect("three are there");
    assert_eq!(values(&batch), [1, 2, 9]);
}

#[test]
fn a_dropped_batch_aborts_or_releases() {
    let queue = local(3);
    drop(queue.try_reserve_batch(BatchSize::exactly(3)).expect("all are free"));
    assert_eq!(queue.snapshot().expect("sound").free, 3);
    put_all(&queue, 0..3);
    drop(queue.try_borrow_batch(BatchSize::exactly(3)).expect("three are there"));
    assert_eq!(queue.snapshot().expect("sound").free, 3);
}

#[test]
fn a_drained_queue_has_no_batch_but_what_is_left_can_be_had() {
    let queue = local(4);
    put_all(&queue, 0..3);
    queue.shutdown(false).expect("attached");
    let shut_down = |size| matches!(queue.try_borrow_batch(size), Err(BorrowError::ShutDown(_)));
    let waiting = queue.borrow_batch_with(BatchSize::exactly(4), Wait::at_most(WATCHDOG));
    assert!(matches!(waiting, Err(BorrowError::ShutDown(_))), "it does not wait for what cannot come");
    assert!(shut_down(BatchSize::exactly(4)));
    drop(waiting);
    let batch = queue.try_borrow_batch(BatchSize::exactly(2)).expect("three are left");
    assert_eq!(values(&batch), [0, 1]);
    batch.release().expect("sound");
    assert!(shut_down(BatchSize::exactly(2)));
    let batch = queue.try_borrow_batch(BatchSize::between(1, 4)).expect("one is left");
    assert_eq!(values(&batch), [2]);
    batch.release().expect("sound");
    assert!(shut_down(BatchSize::between(1, 4)));
    assert!(matches!(queue.try_reserve_batch(BatchSize::exactly(1)), Err(ReserveError::ShutDown(_))));
}

#[test]
fn an_immediate_shutdown_ends_batches_too() {
    let queue = local(4);
    put_all(&queue, 0..3);
    queue.shutdown(true).expect("attached");
    for size in [BatchSize::exactly(2), BatchSize::exactly(4)] {
        assert!(matches!(queue.try_borrow_batch(size), Err(BorrowError::ShutDown(_))));
        assert!(matches!(queue.try_reserve_batch(size), Err(ReserveError::ShutDown(_))));
    }
}

#[test]
fn a_batch_finds_what_the_dead_held() {
    let queue = Queue::create_crowded(schema(), 4, 4);
    put_all(&queue, 0..4);
    let other = queue.join().expect("a place");
    std::mem::forget(other.try_borrow_batch(BatchSize::exactly(3)).expect("four are there"));
    other.die();
    let batch =
        queue.borrow_batch_with(BatchSize::exactly(4), Wait::at_most(WATCHDOG)).expect("three came back");
    assert_eq!(values(&batch), [0, 1, 2, 3]);
    drop(batch);
    let other = queue.join().expect("a place");
    std::mem::forget(other.try_reserve_batch(BatchSize::exactly(3)).expect("all are free"));
    other.die();
    let batch = queue.reserve_batch_with(BatchSize::exactly(4), Wait::at_most(WATCHDOG));
    assert_eq!(batch.expect("three came back").len(), 4);
}

/// Somebody borrows an item and dies, and the sweeper stops after `steps` accesses. Whether the item has come back.
fn comes_back(queue: &Queue, steps: u32) -> bool {
    let other = queue.join().expect("a place");
    std::mem::forget(other.try_borrow().expect("an item"));
    other.die();
    let swept = crate::sync::abandon_after(steps, || queue.sweep().expect("sound"));
    swept.is_none() && queue.snapshot().expect("sound").returned == 1
}

#[test]
fn an_item_is_found_as_soon_as_it_has_come_back_whoever_dies_then() {
    let single = |queue: &Queue| queue.try_borrow().is_ok();
    let batch = |queue: &Queue| queue.try_borrow_batch(BatchSize::exactly(1)).is_ok();
    for (what, borrow) in [("an item", single as fn(&Queue) -> bool), ("a batch", batch)] {
        let mut found = 0;
        for steps in 0..MANY_STEPS {
            let queue = Queue::create_crowded(schema(), 100, 4);
            assert_eq!(get(&queue), None, "this sweeps, so nobody does for a while");
            put(&queue, 1);
            if comes_back(&queue, steps) {
                assert!(borrow(&queue), "{what}");
                found += 1;
            }
        }
        assert!(found > 0, "it comes back between two accesses");
    }
}

/// More accesses than a batch of two makes on a queue of three slots.
const MANY_STEPS: u32 = 500;

#[test]
fn a_wake_up_that_a_batch_cannot_use_is_passed_on_however_often_it_comes() {
    let queue = local(4);
    put(&queue, 1);
    let ring = queue.attached().expect("this process").ring();
    let mut pace = Pace::new(2, Some(1));
    assert!(matches!(pace.next(true, 1, ring), Next::PassOn(None)));
    // For the same again: whoever wakes should find another sleeper.
    assert!(matches!(pace.next(true, 1, ring), Next::PassOn(Some(_))));
    assert!(matches!(pace.next(false, 1, ring), Next::Sleep), "nobody woke it");
    put(&queue, 2);
    assert!(matches!(pace.next(true, 2, ring), Next::PassOn(None)), "something has moved");
}

#[test]
fn a_batch_goes_back_lowest_ticket_first_in_whatever_order_it_was_claimed() {
    for steps in 0..MANY_STEPS {
        let queue = local(2);
        put_all(&queue, 0..2);
        let attached = queue.attached().expect("this process");
        let items = Items { attached, drop_item: |_| panic!("no limit") };
        let claims = claim_many(items, BatchSize::exactly(2), || false).expect("sound");
        // As if the first had come back between the two claims.
        let batch = ReadBatch::new(attached, claims.expect("two are there").into_iter().rev().collect());
        let _ = crate::sync::abandon_after(steps, || batch.give_back().expect("sound"));
        if queue.snapshot().expect("sound").returned == 1 {
            assert_eq!(get(&queue), Some(0));
            return;
        }
    }
    panic!("both came back at once");
}

/// A participant runs `operation` and is killed before access 0, 1, 2, ... until it gets through; `check` looks at what the
/// survivor then has.
fn killed_at_each_access(operation: impl Fn(&Queue), check: impl Fn(Vec<u8>)) {
    for steps in 0..MANY_STEPS {
        let queue = Queue::create_crowded(schema(), 3, 4);
        advance(&queue, 2);
        put_all(&queue, 0..2);
        let victim = queue.join().expect("a place");
        let outcome = crate::sync::abandon_after(steps, || operation(&victim));
        victim.die();
        queue.sweep().expect("sound");
        check(drain(&queue));
        let whole = queue.try_reserve_batch(BatchSize::exactly(3)).expect("all capacity came back");
        drop(whole);
        if outcome.is_some() {
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_batch_killed_at_each_access_loses_nothing() {
    killed_at_each_access(
        |victim| std::mem::forget(victim.try_borrow_batch(BatchSize::exactly(2))),
        |left| assert_eq!(left, [0, 1]),
    );
    killed_at_each_access(
        |victim| _ = victim.try_borrow_batch(BatchSize::exactly(3)),
        |left| assert_eq!(left, [0, 1]),
    );
    killed_at_each_access(
        |victim| std::mem::forget(victim.try_reserve_batch(BatchSize::between(1, 3))),
        |left| assert_eq!(left, [0, 1]),
    );
    killed_at_each_access(
        |victim| victim.try_borrow_batch(BatchSize::exactly(2)).expect("two").give_back().expect("sound"),
        |left| assert_eq!(left, [0, 1]),
    );
    killed_at_each_access(
        |victim| {
            let mut hold = victim.try_borrow_batch(BatchSize::exactly(2)).expect("two").into_hold();
            hold.linger().expect("sound");
            std::mem::forget(hold);
        },
        |left| assert!([&[0, 1][..], &[1], &[]].contains(&&left[..]), "{left:?}"),
    );
}

/// A claim of so many takes more than one stint of the tests.
const VERY_MANY: u64 = 1 << 18;

#[test]
fn a_batch_that_takes_long_asks_whether_it_is_to_go_on_and_holds_nothing_meanwhile() {
    let queue = local(VERY_MANY);
    let all = BatchSize::exactly(VERY_MANY as usize);
    let is_free = || (queue.snapshot().expect("sound").free == VERY_MANY as usize).then_some(true);
    let reserved = queue.try_reserve_batch_or_until(all, &mut || is_free().expect("nothing is held"));
    assert!(matches!(reserved, Err(ReserveError::Interrupted)));
    let mut interrupted = || true;
    let reserved = queue.reserve_batch_with(all, Wait::forever().or_until(&mut interrupted));
    assert!(matches!(reserved, Err(ReserveError::Interrupted)));
    // Each time it may take longer, and in the end it is done.
    let mut asked = 0;
    let batch = queue.try_reserve_batch_or_until(all, &mut || {
        asked += 1;
        !is_free().expect("nothing is held")
    });
    batch.expect("all are free").commit().expect("sound");
    assert!((1..20).contains(&asked), "{asked}");
    let is_there = || (queue.len().expect("sound") == VERY_MANY as usize).then_some(true);
    let borrowed = queue.try_borrow_batch_or_until(all, &mut || is_there().expect("nothing is held"));
    assert!(matches!(borrowed, Err(BorrowError::Interrupted)));
    let borrowed = queue.borrow_batch_with(all, Wait::forever().or_until(&mut interrupted));
    assert!(matches!(borrowed, Err(BorrowError::Interrupted)));
    let batch = queue.try_borrow_batch(all).expect("all are there");
    assert!(batch.infos().map(|info| info.ticket).is_sorted() && batch.len() == VERY_MANY as usize);
    assert!(batch.infos().all(|info| info.delivery_count == 1));
    batch.release().expect("sound");
}

#[test]
fn a_turn_at_a_large_batch_is_waited_for_as_long_as_that_may_take() {
    const SLOTS: usize = 10_000;
    let word = AtomicU64::new(1);
    let is_taken_within = |looks| abandon_after(looks, || drop(Turn::take(&word, 2, SLOTS))).is_some();
    assert!(!is_taken_within(SLOTS as u32 / 16));
    assert!(is_taken_within(SLOTS as u32), "its holder may be dead");
}

#[test]
fn a_batch_that_nobody_wakes_does_not_count_again_what_it_has_counted() {
    // So many that a count stands for longer than the wait below, however fast the machine counts.
    const ITEMS: u64 = 240_000;
    let queue = local(ITEMS + 2);
    // A hole among the items, so that a count has to look at all of them.
    put(&queue, 0);
    queue.try_reserve().expect("free").abort().expect("sound");
    (1..ITEMS).for_each(|_| put(&queue, 0));
    let wanted = BatchSize::exactly(ITEMS as usize + 1);
    let loads = |operation: &dyn Fn()| accesses_of(operation).1.loads;
    let one_count =
        loads(&|| assert_eq!(queue.attachment().count_items(ITEMS as usize + 1), Ok(ITEMS as usize)));
    let wait = || Wait::at_most(Duration::from_millis(750));
    let waited =
        loads(&|| assert!(matches!(queue.borrow_batch_with(wanted, wait()), Err(BorrowError::Empty))));
    // In advance, in the spin, with the bit set, and after a wake-up that it passes on.
    assert!(waited < 5 * one_count, "{waited} loads, {one_count} for a count");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let batch = queue.borrow_batch_with(wanted, Wait::at_most(WATCHDOG)).expect("it is woken");
            batch.release().expect("sound");
        });
        thread::sleep(Duration::from_millis(20));
        put(&queue, 1);
        waiter.join().expect("no panic");
    });
}

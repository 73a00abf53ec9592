//! Loans without a lifetime: what each state holds, what its drop does, and which drains wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::bytes::{WATCHDOG, drain, get, local, put, schema};
use crate::wait::Wait;
use crate::{BatchSize, BorrowError, Hold, Queue, ReserveError};

fn writing(queue: &Queue) -> Hold {
    queue.try_reserve_batch(BatchSize::exactly(2)).expect("two are free").into_hold()
}

fn reading(queue: &Queue) -> Hold {
    queue.try_borrow_batch(BatchSize::exactly(2)).expect("two are there").into_hold()
}

/// Free slots, items, slots written, read, and lingering.
fn counts(queue: &Queue) -> [usize; 5] {
    let snapshot = queue.snapshot().expect("sound");
    [snapshot.free, snapshot.ready, snapshot.writing, snapshot.reading, snapshot.lingering]
}

fn with_two_items() -> Queue {
    let queue = local(3);
    put(&queue, 1);
    put(&queue, 2);
    queue
}

#[test]
fn a_loan_becomes_a_hold_of_the_same_slot() {
    let queue = local(3);
    let mut hold = queue.try_reserve().expect("free").into_hold();
    assert_eq!((hold.len(), counts(&queue)), (1, [2, 0, 1, 0, 0]));
    hold.commit().expect("sound");
    let mut hold = queue.try_borrow().expect("an item").into_hold();
    assert_eq!((hold.len(), counts(&queue)), (1, [2, 0, 0, 1, 0]));
    hold.release().expect("sound");
    assert_eq!(counts(&queue), [3, 0, 0, 0, 0]);
}

#[test]
fn a_writing_hold_commits_aborts_or_lingers_and_dropped_aborts() {
    let queue = local(3);
    let mut hold = writing(&queue);
    hold.commit().expect("sound");
    drop(hold);
    assert_eq!(counts(&queue), [1, 2, 0, 0, 0]);
    drain(&queue);
    for end in [|mut hold: Hold| hold.abort().expect("sound"), drop::<Hold>] {
        end(writing(&queue));
        assert_eq!(counts(&queue), [3, 0, 0, 0, 0]);
    }
    let mut hold = writing(&queue);
    hold.linger().expect("sound");
    assert_eq!(counts(&queue), [1, 0, 0, 0, 2]);
    put(&queue, 7);
    assert_eq!(get(&queue), Some(7), "the third slot goes round");
    drop(hold);
    assert_eq!(counts(&queue), [3, 0, 0, 0, 0]);
    assert_eq!(get(&queue), None, "no item came of it");
}

#[test]
fn a_reading_hold_releases_gives_back_or_lingers_and_dropped_gives_back() {
    for end in [|mut hold: Hold| hold.give_back().expect("sound"), drop::<Hold>] {
        let queue = with_two_items();
        end(reading(&queue));
        assert_eq!(counts(&queue), [1, 2, 0, 0, 0]);
        let again = queue.try_borrow_batch(BatchSize::exactly(2)).expect("two are there");
        assert!(again.infos().all(|info| info.delivery_count == 2));
        drop(again);
    }
    let queue = with_two_items();
    let mut hold = reading(&queue);
    hold.release().expect("sound");
    drop(hold);
    assert_eq!(counts(&queue), [3, 0, 0, 0, 0]);
    let queue = with_two_items();
    let mut hold = reading(&queue);
    hold.linger().expect("sound");
    assert_eq!(counts(&queue), [1, 0, 0, 0, 2]);
    drop(hold);
    assert_eq!(counts(&queue), [3, 0, 0, 0, 0]);
}

#[test]
fn a_hold_ends_once() {
    let queue = with_two_items();
    let refused = |call: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(call)).is_err();
    let mut hold = reading(&queue);
    assert!(refused(&mut || _ = hold.commit()), "it does not write");
    assert!(refused(&mut || _ = hold.abort()), "it does not write");
    assert_eq!(counts(&queue), [1, 0, 0, 2, 0], "a refusal changes nothing");
    hold.linger().expect("sound");
    assert!(refused(&mut || _ = hold.linger()));
    assert!(refused(&mut || _ = hold.release()));
    assert!(refused(&mut || _ = hold.give_back()));
    assert_eq!(counts(&queue), [1, 0, 0, 0, 2]);
    drop(hold);
    let mut hold = writing(&queue);
    assert!(refused(&mut || _ = hold.release()), "it does not read");
    hold.commit().expect("sound");
    assert!(refused(&mut || _ = hold.commit()));
    assert!(refused(&mut || _ = hold.linger()));
}

#[test]
fn a_hold_tells_of_its_items() {
    let queue = local(3);
    for value in 0..4 {
        put(&queue, value);
        get(&queue);
    }
    put(&queue, 4);
    put(&queue, 5);
    let hold = reading(&queue);
    let infos: Vec<_> = hold.infos().collect();
    assert_eq!(infos.iter().map(|info| info.ticket).collect::<Vec<_>>(), [4, 5]);
    assert!(infos.iter().all(|info| info.delivery_count == 1));
    assert!(infos.iter().all(|info| info.producer_pid == std::process::id()));
    assert!(hold.is_side_by_side() && hold.is_this_process() && hold.schema().leaves().len() == 1);
    drop(hold);
    put(&queue, 6);
    let wrapped = queue.try_borrow_batch(BatchSize::exactly(3)).expect("three are there").into_hold();
    assert!(!wrapped.is_side_by_side(), "slots 1, 2 and 0");
    assert_eq!(wrapped.infos().map(|info| info.delivery_count).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn a_hold_outlives_its_queue() {
    let queue = Queue::create_crowded(schema(), 3, 3);
    let other = queue.join().expect("a place");
    put(&queue, 1);
    put(&queue, 2);
    let mut hold = reading(&other);
    drop(other);
    assert_eq!(queue.snapshot().expect("sound").participants, 2, "the hold is still a participant's");
    hold.linger().expect("sound");
    assert_eq!(counts(&queue), [1, 0, 0, 0, 2]);
    drop(hold);
    assert_eq!(queue.snapshot().expect("sound").participants, 1);
    assert_eq!(counts(&queue), [3, 0, 0, 0, 0]);
}

#[test]
fn a_lingering_item_of_the_dead_does_not_come_again_but_a_read_one_does() {
    let queue = Queue::create_crowded(schema(), 4, 3);
    for value in 1..=3 {
        put(&queue, value);
    }
    let other = queue.join().expect("a place");
    let mut done = other.try_borrow().expect("an item").into_hold();
    let unfinished = other.try_borrow().expect("an item").into_hold();
    let mut survived = other.try_reserve().expect("free").into_hold();
    done.linger().expect("sound");
    survived.linger().expect("sound");
    [done, unfinished, survived].into_iter().for_each(std::mem::forget);
    other.die();
    assert_eq!(queue.sweep().expect("sound"), 1);
    assert_eq!(drain(&queue), [2, 3]);
    assert_eq!(counts(&queue), [4, 0, 0, 0, 0]);
}

#[test]
fn a_lingering_slot_blocks_no_drain() {
    let queue = with_two_items();
    let other = queue.clone();
    let mut hold = std::thread::spawn(move || reading(&other)).join().expect("no panic");
    queue.shutdown(false).expect("attached");
    assert!(matches!(queue.try_borrow(), Err(BorrowError::Empty)), "another thread may give back");
    std::thread::scope(|scope| {
        let drain = scope.spawn(|| queue.borrow_with(Wait::at_most(WATCHDOG)).map(drop));
        std::thread::sleep(Duration::from_millis(20));
        hold.linger().expect("sound");
        assert!(matches!(drain.join().expect("no panic"), Err(BorrowError::ShutDown(_))));
    });
}

#[test]
fn a_drain_waits_for_the_batches_of_other_threads_but_not_for_its_own() {
    let queue = with_two_items();
    let mut own = reading(&queue);
    queue.shutdown(false).expect("attached");
    let size = BatchSize::exactly(2);
    assert!(matches!(queue.try_borrow(), Err(BorrowError::ShutDown(_))), "it would wait for itself");
    assert!(matches!(queue.borrow_batch_with(size, Wait::at_most(WATCHDOG)), Err(BorrowError::ShutDown(_))));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let early = matches!(queue.try_borrow_batch(size), Err(BorrowError::Empty));
            let batch = queue.borrow_batch_with(size, Wait::at_most(WATCHDOG)).expect("given back");
            (early, batch.len())
        });
        std::thread::sleep(Duration::from_millis(30));
        own.give_back().expect("sound");
        assert_eq!(other.join().expect("no panic"), (true, 2));
    });
}

#[test]
fn a_drain_is_not_confused_by_a_thread_that_held_the_slot_before() {
    let queue = local(1);
    put(&queue, 1);
    queue.try_borrow().expect("an item").give_back().expect("sound");
    std::thread::scope(|scope| {
        let (taken, wait_for_it) = std::sync::mpsc::channel();
        let (done, wait_for_that) = std::sync::mpsc::channel::<()>();
        let queue = &queue;
        scope.spawn(move || {
            let hold = queue.try_borrow().expect("an item").into_hold();
            taken.send(()).expect("waited for");
            wait_for_that.recv_timeout(WATCHDOG).expect("told");
            drop(hold);
        });
        wait_for_it.recv_timeout(WATCHDOG).expect("taken");
        queue.shutdown(false).expect("attached");
        assert!(matches!(queue.try_borrow(), Err(BorrowError::Empty)), "the other thread may give it back");
        done.send(()).expect("waited for");
        assert_eq!(queue.borrow_with(Wait::at_most(WATCHDOG)).expect("given back").leaf_bytes(0), [1]);
    });
}

/// A hold whose loan has ended past a view.
fn outlived(queue: &Queue, slots: usize) -> Hold {
    let size = BatchSize::exactly(slots);
    let mut hold = queue.try_reserve_batch(size).expect("enough are free").into_hold();
    hold.linger().expect("sound");
    hold
}

#[test]
fn where_views_keep_all_slots_the_last_to_reserve_fails_and_what_it_kept_serves_the_others() {
    for slots in [1, 3] {
        let queue = local(3 * slots);
        let [first, second, last] = [(); 3].map(|()| outlived(&queue, slots as usize));
        let waits = |hold: &Hold| queue.reserve_elsewhere_with(hold.elsewhere(), Wait::at_most(WATCHDOG));
        std::thread::scope(|scope| {
            let others =
                [&first, &second].map(|hold| scope.spawn(move || waits(hold)?.commit().map_err(Into::into)));
            assert!(matches!(waits(&last), Err(ReserveError::Kept)));
            drop(last);
            // One goes on into what was kept, and the other one into what a reader leaves.
            for _ in 0..2 * slots {
                let item = queue.borrow_with(Wait::at_most(WATCHDOG)).expect("in time");
                item.release().expect("sound");
            }
            for other in others {
                let outcome: Result<(), ReserveError> = other.join().expect("no panic");
                outcome.expect("committed");
            }
        });
    }
}

#[test]
fn waits_for_slots_that_views_keep_for_good_all_end() {
    let queue = local(3);
    let holds = [(); 3].map(|()| outlived(&queue, 1));
    std::thread::scope(|scope| {
        let waits = holds.each_ref().map(|hold| {
            scope.spawn(|| queue.reserve_elsewhere_with(hold.elsewhere(), Wait::at_most(WATCHDOG)).map(drop))
        });
        for wait in waits {
            assert!(matches!(wait.join().expect("no panic"), Err(ReserveError::Kept)));
        }
    });
}

#[test]
fn a_thread_with_another_loan_does_not_wait_for_a_slot_to_copy_into() {
    let queue = local(3);
    put(&queue, 1);
    let item = queue.try_borrow().expect("an item");
    let hold = outlived(&queue, 1);
    let reserved = queue.reserve_elsewhere_with(hold.elsewhere(), Wait::forever()).expect("one is free");
    let outcome = queue.reserve_elsewhere_with(hold.elsewhere(), Wait::forever());
    assert!(matches!(outcome, Err(ReserveError::Kept)));
    reserved.commit().expect("sound");
    item.release().expect("sound");
    let reserved = queue.reserve_elsewhere_with(hold.elsewhere(), Wait::forever());
    reserved.expect("the item's slot is free").abort().expect("sound");
}

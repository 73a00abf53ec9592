//! Batches in threads: they wait without burning a processor, are woken, and hinder nobody.
//!
//! Times here are watchdogs, or bounds so wide that only a fault comes near them: a sleep that nobody ends takes 100 ms
//! (`wait` E3), and a wake-up takes some ten microseconds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::bytes::{WATCHDOG, drain, get, local, put, values};
use crate::wait::Wait;
use crate::{BatchSize, BorrowError, Queue, ReserveError};

/// Long enough for another thread to have gone to sleep.
const A_WHILE: Duration = Duration::from_millis(20);

fn in_time() -> Wait<'static> {
    Wait::at_most(WATCHDOG)
}

/// Processor time of this thread so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Puts `count` items, one by one, waiting for room.
fn put_slowly(queue: &Queue, count: usize) {
    for value in 0..count {
        let mut loan = queue.reserve_with(in_time()).expect("room in time");
        loan.leaf_bytes_mut(0)[0] = value as u8;
        loan.commit().expect("sound");
    }
}

/// Gets batches until the queue is drained; the tickets and deliveries of all their items.
fn get_batches(queue: &Queue, size: BatchSize) -> Vec<(u64, u32)> {
    let mut got = Vec::new();
    loop {
        match queue.borrow_batch_with(size, in_time()) {
            Ok(batch) => got.extend(batch.infos().map(|info| (info.ticket, info.delivery_count))),
            Err(BorrowError::ShutDown(_)) => return got,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Every item once, and as a first delivery: what was claimed by a batch that fell short was not delivered.
fn assert_each_once(mut got: Vec<(u64, u32)>, count: usize) {
    got.sort_unstable();
    assert_eq!(got.len(), count);
    assert!(got.windows(2).all(|pair| pair[0].0 < pair[1].0), "nothing twice");
    assert!(got.iter().all(|(_, deliveries)| *deliveries == 1), "a batch in vain is no delivery");
}

/// Consumers of so many items each on a ring of eight slots; each takes whole batches, and the rest is drained.
fn consumers_never_lock_each_other_out(sizes: &[usize]) {
    const ITEMS: usize = 4000;
    let queue = local(8);
    let got = thread::scope(|scope| {
        let consumers: Vec<_> =
            sizes.iter().map(|size| scope.spawn(|| get_batches(&queue, BatchSize::exactly(*size)))).collect();
        put_slowly(&queue, ITEMS);
        queue.shutdown(false).expect("attached");
        consumers.into_iter().flat_map(|consumer| consumer.join().expect("no panic")).collect::<Vec<_>>()
    });
    let left = drain_infos(&queue);
    assert!(left.len() < *sizes.iter().min().expect("some"), "{} are left", left.len());
    assert_each_once([got, left].concat(), ITEMS);
}

fn drain_infos(queue: &Queue) -> Vec<(u64, u32)> {
    let next = || queue.try_borrow().ok().map(|loan| loan.info());
    std::iter::from_fn(next).map(|info| (info.ticket, info.delivery_count)).collect()
}

#[test]
fn two_consumers_that_want_the_whole_ring_never_lock_each_other_out() {
    consumers_never_lock_each_other_out(&[8, 8]);
}

#[test]
fn two_consumers_that_want_half_the_ring_never_lock_each_other_out() {
    consumers_never_lock_each_other_out(&[4, 4]);
}

#[test]
fn consumers_of_many_sizes_never_lock_each_other_out() {
    consumers_never_lock_each_other_out(&[1, 3, 5, 8]);
}

#[test]
fn producers_that_want_the_whole_ring_never_lock_each_other_out() {
    const BATCHES: usize = 500;
    for size in [4, 8] {
        let queue = local(8);
        let got = thread::scope(|scope| {
            let producers = [(); 2].map(|()| {
                scope.spawn(|| {
                    for _ in 0..BATCHES {
                        let batch = queue.reserve_batch_with(BatchSize::exactly(size), in_time());
                        batch.expect("room in time").commit().expect("sound");
                    }
                })
            });
            let consumer = scope.spawn(|| get_batches(&queue, BatchSize::between(1, 8)));
            producers.into_iter().for_each(|producer| producer.join().expect("no panic"));
            queue.shutdown(false).expect("attached");
            consumer.join().expect("no panic")
        });
        assert_each_once(got, 2 * BATCHES * size);
    }
}

#[test]
fn batches_on_both_sides_that_want_the_whole_ring_take_turns() {
    const BATCHES: usize = 500;
    let queue = local(8);
    let whole = BatchSize::exactly(8);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..BATCHES {
                    queue
                        .reserve_batch_with(whole, in_time())
                        .expect("room in time")
                        .commit()
                        .expect("sound");
                }
            });
            scope.spawn(|| {
                for _ in 0..BATCHES {
                    queue
                        .borrow_batch_with(whole, in_time())
                        .expect("items in time")
                        .release()
                        .expect("sound");
                }
            });
        }
    });
    assert_eq!(queue.snapshot().expect("sound").free, 8);
}

#[test]
fn items_side_by_side_are_had_in_threads_too() {
    const ITEMS: usize = 2000;
    let queue = local(8);
    let got = thread::scope(|scope| {
        let consumers =
            [(); 2].map(|()| scope.spawn(|| get_batches(&queue, BatchSize::between(1, 4).side_by_side())));
        put_slowly(&queue, ITEMS);
        queue.shutdown(false).expect("attached");
        consumers.map(|consumer| consumer.join().expect("no panic")).concat()
    });
    assert_each_once(got, ITEMS);
}

#[test]
fn a_waiting_batch_comes_when_its_last_item_does() {
    let queue = local(8);
    for size in 1..=8 {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let batch = queue.borrow_batch_with(BatchSize::exactly(size), in_time()).expect("in time");
                values(&batch)
            });
            for value in 0..size {
                thread::sleep(Duration::from_millis(2));
                assert!(!waiting.is_finished(), "{value} items of {size}");
                put(&queue, value as u8);
            }
            let expected: Vec<u8> = (0..size as u8).collect();
            assert_eq!(waiting.join().expect("no panic"), expected);
        });
    }
}

#[test]
fn a_waiting_batch_of_slots_comes_when_the_last_is_free() {
    let queue = local(8);
    for size in 1..=8 {
        (0..8).for_each(|value| put(&queue, value));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let batch = queue.reserve_batch_with(BatchSize::exactly(size), in_time()).expect("in time");
                batch.len()
            });
            for freed in 0..size {
                thread::sleep(Duration::from_millis(2));
                assert!(!waiting.is_finished(), "{freed} slots of {size}");
                get(&queue).expect("an item");
            }
            assert_eq!(waiting.join().expect("no panic"), size);
        });
        drain(&queue);
    }
}

/// Many sleeps.
const WAITED: Duration = Duration::from_millis(300);
/// A tenth: what a wait may take is far less, but processor time is charged by the tick here and there.
const SPENT_AT_MOST: Duration = Duration::from_millis(30);

#[test]
fn a_waiting_batch_leaves_the_processor_alone() {
    for there in 0..4 {
        let queue = local(4);
        (0..there).for_each(|value| put(&queue, value));
        let before = processor_time();
        let empty = queue.borrow_batch_with(BatchSize::exactly(4), Wait::at_most(WAITED));
        assert!(matches!(empty, Err(BorrowError::Empty)));
        let spent = processor_time() - before;
        assert!(spent < SPENT_AT_MOST, "{spent:?} with {there} items of four");
        (there..4).for_each(|value| put(&queue, value));
        (0..there).for_each(|_| _ = get(&queue));
        let before = processor_time();
        let full = queue.reserve_batch_with(BatchSize::exactly(4), Wait::at_most(WAITED));
        assert!(matches!(full, Err(ReserveError::Full)));
        let spent = processor_time() - before;
        assert!(spent < SPENT_AT_MOST, "{spent:?} with {there} free slots of four");
    }
}

#[test]
fn two_batches_that_wait_for_more_than_there_is_do_not_keep_each_other_awake() {
    for there in 1..3 {
        let queue = local(4);
        thread::scope(|scope| {
            let waiting = [(); 2].map(|()| {
                scope.spawn(|| {
                    let before = processor_time();
                    let empty = queue.borrow_batch_with(BatchSize::exactly(3), Wait::at_most(WAITED));
                    assert!(matches!(empty, Err(BorrowError::Empty)));
                    processor_time() - before
                })
            });
            thread::sleep(A_WHILE);
            (0..there).for_each(|value| put(&queue, value));
            for waiting in waiting {
                let spent = waiting.join().expect("no panic");
                assert!(spent < SPENT_AT_MOST, "{spent:?} with {there} items of three");
            }
        });
    }
}

const ROUNDS: u32 = 15;
/// What wake-ups in all rounds may take. A lost one costs 100 ms, less what it had slept before.
const ALL_ROUNDS: Duration = Duration::from_millis(15 * 20);

/// While `batch` sleeps, `one` waits for what `make` makes; the time from the one to the other, of all rounds.
fn wake_ups_beside_a_batch(
    queue: &Queue,
    batch: impl Fn(&AtomicBool) + Sync,
    one: impl Fn() + Sync,
    make: impl Fn(),
) -> Duration {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| batch(&stop));
        let (done, is_done) = mpsc::channel();
        let one = &one;
        let mut waited = Duration::ZERO;
        for _ in 0..ROUNDS {
            thread::sleep(A_WHILE);
            let done = done.clone();
            scope.spawn(move || {
                one();
                done.send(Instant::now()).expect("waited for");
            });
            thread::sleep(A_WHILE);
            let made = Instant::now();
            make();
            waited += is_done.recv_timeout(WATCHDOG).expect("in time") - made;
        }
        stop.store(true, Ordering::Relaxed);
        queue.shutdown(true).expect("attached");
        waited
    })
}

#[test]
fn a_sleeping_batch_does_not_keep_a_wake_up_that_others_can_use() {
    for size in 2..=4 {
        let queue = local(8);
        let waited = wake_ups_beside_a_batch(
            &queue,
            |stop| {
                let outcome = queue.borrow_batch_with(BatchSize::exactly(size), in_time());
                assert!(stop.load(Ordering::Relaxed) && matches!(outcome, Err(BorrowError::ShutDown(_))));
            },
            || drop(queue.borrow_with(in_time()).expect("an item in time")),
            || put(&queue, 1),
        );
        assert!(waited < ALL_ROUNDS, "a batch of {size} kept wake-ups: {waited:?} in {ROUNDS} rounds");
    }
}

#[test]
fn a_sleeping_batch_of_slots_does_not_keep_a_wake_up_that_others_can_use() {
    for size in 2..=4 {
        let queue = local(4);
        (0..4).for_each(|value| put(&queue, value));
        let waited = wake_ups_beside_a_batch(
            &queue,
            |stop| {
                let outcome = queue.reserve_batch_with(BatchSize::exactly(size), in_time());
                assert!(stop.load(Ordering::Relaxed) && matches!(outcome, Err(ReserveError::ShutDown(_))));
            },
            || queue.reserve_with(in_time()).expect("a slot in time").commit().expect("sound"),
            || _ = get(&queue).expect("an item"),
        );
        assert!(waited < ALL_ROUNDS, "a batch of {size} kept wake-ups: {waited:?} in {ROUNDS} rounds");
    }
}

#[test]
fn a_shutdown_ends_waiting_batches() {
    for is_immediate in [false, true] {
        let queue = local(4);
        put(&queue, 1);
        thread::scope(|scope| {
            let get = scope.spawn(|| queue.borrow_batch_with(BatchSize::exactly(2), in_time()).map(drop));
            let put = scope.spawn(|| queue.reserve_batch_with(BatchSize::exactly(4), in_time()).map(drop));
            thread::sleep(A_WHILE);
            queue.shutdown(is_immediate).expect("attached");
            assert!(matches!(get.join().expect("no panic"), Err(BorrowError::ShutDown(_))));
            assert!(matches!(put.join().expect("no panic"), Err(ReserveError::ShutDown(_))));
        });
        assert_eq!(drain(&queue).len(), usize::from(!is_immediate), "nothing was taken");
    }
}

#[test]
fn a_waiting_batch_ends_when_its_caller_says_so() {
    let queue = local(4);
    put(&queue, 1);
    let mut calls = 0;
    let mut interrupted = || {
        calls += 1;
        calls == 2
    };
    let outcome = queue.borrow_batch_with(BatchSize::exactly(2), Wait::forever().or_until(&mut interrupted));
    assert!(matches!(outcome, Err(BorrowError::Interrupted)));
    drop(outcome);
    assert_eq!(drain(&queue), [1], "nothing was taken");
}

#[test]
fn a_wait_is_counted_while_it_lasts() {
    let queue = local(1);
    let began = Instant::now();
    thread::scope(|scope| {
        let consumer =
            scope.spawn(|| queue.borrow_with(in_time()).expect("an item").release().expect("sound"));
        while queue.stats().expect("sound").counters.get_wait.is_zero() {
            assert!(began.elapsed() < WATCHDOG, "nothing is counted until it ends");
            thread::yield_now();
        }
        assert_eq!(queue.stats().expect("sound").counters.gets, 0, "it waits");
        put(&queue, 7);
        consumer.join().expect("it got the item");
    });
    let counters = queue.stats().expect("sound").counters;
    assert_eq!((counters.get_waits, counters.gets), (1, 1));
    assert!(counters.get_wait <= began.elapsed(), "nothing is counted twice");
}

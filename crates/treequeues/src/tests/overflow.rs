//! Puts into the full queue that drop its oldest items: which they drop, how many, when they drop none, and what deaths leave.

use std::num::NonZeroU32;
use std::thread;
use std::time::Duration;

use super::bytes::{WATCHDOG, drain, put, schema};
use crate::error::ReserveError;
use crate::queue::attempts::{One, take_now};
use crate::queue::batch::Many;
use crate::queue::side::Slots;
use crate::sync::abandon_after;
use crate::wait::Wait;
use crate::{BatchSize, BorrowError, CreateOptions, Queue};

const CAPACITY: u64 = 4;
/// More accesses than a call on these small rings makes.
const MANY_STEPS: u32 = 500;

fn queue_of(capacity: u64, max_deliveries: u32) -> Queue {
    let max_deliveries = NonZeroU32::new(max_deliveries);
    let options =
        CreateOptions { participants: 4, max_deliveries, drop_oldest: true, ..CreateOptions::default() };
    Queue::create_crowded_with(schema(), capacity, options)
}

/// A full queue of the items 1 to 4.
fn full() -> Queue {
    let queue = queue_of(CAPACITY, 0);
    (1..=CAPACITY as u8).for_each(|value| put(&queue, value));
    queue
}

fn overwritten(queue: &Queue) -> u64 {
    queue.stats().expect("sound").counters.overwritten
}

fn fill(batch: &mut crate::WriteBatch<'_>, values: &[u8]) {
    for (item, value) in values.iter().enumerate() {
        batch.leaf_bytes_mut(item, 0)[0] = *value;
    }
}

/// Puts these as one batch, if there is room or can be made some.
fn put_batch(queue: &Queue, values: &[u8]) -> Result<(), ReserveError> {
    let mut batch = queue.try_reserve_batch(BatchSize::exactly(values.len()))?;
    fill(&mut batch, values);
    batch.commit().expect("sound");
    Ok(())
}

#[test]
fn a_put_into_the_full_queue_drops_the_oldest_item_and_counts_it() {
    let queue = full();
    assert!(queue.drops_oldest() && queue.is_full().expect("sound"));
    put(&queue, 5);
    let mut loan = queue.reserve_with(Wait::at_most(Duration::ZERO)).expect("room was made");
    loan.leaf_bytes_mut(0)[0] = 6;
    loan.commit().expect("sound");
    let counters = queue.stats().expect("sound").counters;
    assert_eq!((counters.overwritten, counters.dropped, counters.gets), (2, 0, 0));
    assert_eq!((counters.full, counters.put_waits), (0, 0), "it found room");
    assert_eq!(drain(&queue), [3, 4, 5, 6]);
}

#[test]
fn a_queue_with_room_drops_nothing_and_one_that_was_not_made_so_never() {
    let queue = queue_of(CAPACITY, 0);
    (0..3).for_each(|value| put(&queue, value));
    assert_eq!((drain(&queue), overwritten(&queue)), (vec![0, 1, 2], 0));
    let other = Queue::create_crowded(schema(), 2, 2);
    (0..2).for_each(|value| put(&other, value));
    assert!(!other.drops_oldest() && matches!(other.try_reserve(), Err(ReserveError::Full)));
    assert_eq!((drain(&other), overwritten(&other)), (vec![0, 1], 0));
}

#[test]
fn an_item_that_is_read_is_never_dropped_nor_one_that_is_written() {
    let queue = queue_of(2, 0);
    put(&queue, 1);
    put(&queue, 2);
    let read = queue.try_borrow().expect("an item");
    for value in 3..10 {
        put(&queue, value);
        assert_eq!(read.leaf_bytes(0)[0], 1);
    }
    let written = queue.try_reserve().expect("room was made");
    assert!(matches!(queue.try_reserve(), Err(ReserveError::Full)), "one is read, one written");
    assert_eq!(overwritten(&queue), 8, "2 to 8, and 9 for what is written");
    written.abort().expect("sound");
    read.give_back().expect("sound");
    put(&queue, 10);
    put(&queue, 11);
    assert_eq!(drain(&queue), [10, 11], "what came back went first");
}

#[test]
fn what_came_back_goes_first() {
    let queue = full();
    let (first, second) = (queue.try_borrow().expect("an item"), queue.try_borrow().expect("an item"));
    put(&queue, 5);
    second.give_back().expect("sound");
    put(&queue, 6);
    first.give_back().expect("sound");
    assert_eq!(drain(&queue), [1, 4, 5, 6]);
    let counters = queue.stats().expect("sound").counters;
    assert_eq!((counters.overwritten, counters.redeliveries), (2, 1), "to drop is not to deliver");
}

#[test]
fn a_batch_drops_as_many_as_it_lacks() {
    let queue = queue_of(CAPACITY, 0);
    (1..=3).for_each(|value| put(&queue, value));
    put_batch(&queue, &[4, 5, 6]).expect("room was made");
    assert_eq!(overwritten(&queue), 2);
    let mut batch = queue.reserve_batch_with(BatchSize::exactly(2), Wait::forever()).expect("room was made");
    fill(&mut batch, &[7, 8]);
    batch.commit().expect("sound");
    let counters = queue.stats().expect("sound").counters;
    assert_eq!((counters.overwritten, counters.full, counters.put_waits), (4, 0, 0));
    assert_eq!(drain(&queue), [5, 6, 7, 8]);
}

#[test]
fn a_batch_that_cannot_be_had_drops_nothing() {
    let queue = full();
    let read = queue.try_borrow().expect("an item");
    assert!(matches!(put_batch(&queue, &[5, 6, 7, 8]), Err(ReserveError::Full)));
    let wait = Wait::at_most(Duration::from_millis(5));
    let outcome = queue.reserve_batch_with(BatchSize::exactly(4), wait).map(drop);
    assert!(matches!(outcome, Err(ReserveError::Full)));
    assert_eq!(overwritten(&queue), 0);
    put_batch(&queue, &[5, 6, 7]).expect("room was made");
    assert_eq!(overwritten(&queue), 3);
    read.release().expect("sound");
    assert_eq!(drain(&queue), [5, 6, 7]);
}

#[test]
fn a_batch_of_at_least_so_many_drops_no_more_than_for_that() {
    let queue = full();
    let batch = queue.try_reserve_batch(BatchSize::between(2, 4)).expect("room was made");
    assert_eq!((batch.len(), overwritten(&queue)), (2, 2));
    batch.abort().expect("sound");
    let batch = queue.try_reserve_batch(BatchSize::exactly(4).side_by_side()).expect("room was made");
    assert!(batch.len() >= 1);
    batch.abort().expect("sound");
    assert_eq!((drain(&queue), overwritten(&queue)), (vec![], 4));
}

#[test]
fn after_a_shutdown_nothing_is_dropped() {
    for immediate in [false, true] {
        let queue = full();
        queue.shutdown(immediate).expect("attached");
        assert!(matches!(queue.try_reserve(), Err(ReserveError::ShutDown(_))));
        assert!(matches!(put_batch(&queue, &[5, 6]), Err(ReserveError::ShutDown(_))));
        assert_eq!(overwritten(&queue), 0);
        assert_eq!(drain(&queue).len(), if immediate { 0 } else { CAPACITY as usize });
    }
}

#[test]
fn an_item_over_the_limit_of_deaths_is_dropped_as_a_take_drops_it() {
    let queue = queue_of(2, 1).on_drop(|_| panic!("a put has no hook"));
    put(&queue, 1);
    put(&queue, 2);
    let taker = queue.join().expect("a place");
    std::mem::forget(taker.try_borrow().expect("an item"));
    taker.die();
    assert_eq!(queue.sweep().expect("sound"), 1);
    put(&queue, 3);
    put(&queue, 4);
    let counters = queue.stats().expect("sound").counters;
    assert_eq!((counters.dropped, counters.overwritten), (1, 1));
    assert_eq!(drain(&queue), [3, 4]);
}

/// Lets a producer wait while all slots are held, and ends the hold.
fn wait_for_an_item(queue: &Queue, end: impl FnOnce()) {
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut loan = queue.reserve_with(Wait::at_most(WATCHDOG)).expect("room was made in time");
            loan.leaf_bytes_mut(0)[0] = 9;
            loan.commit().expect("sound");
        });
        while queue.stats().expect("sound").counters.put_waits == 0 {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20));
        end();
        waiter.join().expect("no panic");
    });
    assert_eq!(drain(queue), [9]);
}

#[test]
fn a_producer_that_waits_goes_on_when_an_item_comes_to_be_dropped() {
    let queue = queue_of(1, 0);
    let written = queue.try_reserve().expect("a free slot");
    wait_for_an_item(&queue, || written.commit().expect("sound"));
    put(&queue, 1);
    let read = queue.try_borrow().expect("an item");
    wait_for_an_item(&queue, || read.give_back().expect("sound"));
}

#[test]
fn producers_and_a_consumer_lose_count_of_nothing() {
    const PUTS: u64 = 20_000;
    let queue = queue_of(3, 0);
    let taken = thread::scope(|scope| {
        let producers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for value in 0..PUTS {
                        let loan = match value % 2 {
                            0 => queue.try_reserve().map_err(drop),
                            _ => queue.reserve_with(Wait::at_most(WATCHDOG)).map_err(drop),
                        };
                        // Three at once may hold all slots.
                        if let Ok(loan) = loan {
                            loan.commit().expect("sound")
                        }
                    }
                })
            })
            .collect();
        let consumer = scope.spawn(|| {
            let mut taken = 0_u64;
            loop {
                match queue.borrow_with(Wait::at_most(WATCHDOG)) {
                    Ok(item) => {
                        item.release().expect("sound");
                        taken += 1;
                    }
                    Err(BorrowError::ShutDown(_)) => return taken,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        producers.into_iter().for_each(|producer| producer.join().expect("no panic"));
        queue.shutdown(false).expect("attached");
        consumer.join().expect("no panic")
    });
    let counters = queue.stats().expect("sound").counters;
    assert_eq!(counters.puts, taken + counters.overwritten);
    assert_eq!(counters.gets, taken);
    assert_eq!(queue.snapshot().expect("sound").free, 3);
}

/// What a participant does before it is killed, by its number: it drops, and puts what it made room for.
const DEEDS: [fn(&Queue); 2] = [
    |queue| {
        let slots = Slots(queue.attachment());
        if let Ok(claim) = take_now(slots, One(slots), Wait::not_at_all(None)) {
            queue.attachment().commit(claim).expect("sound");
        }
    },
    |queue| {
        let slots = Slots(queue.attachment());
        let many = Many::new(slots, BatchSize::exactly(2));
        if let Ok(claims) = take_now(slots, many, Wait::not_at_all(None)) {
            queue.attachment().commit_all(claims).expect("sound");
        }
    },
];

#[test]
fn a_death_before_any_access_of_a_dropping_put_loses_no_more_than_it_was_about_to_drop() {
    let mut kill_points = 0;
    for (deed, dropped) in DEEDS.iter().zip([1, 2]) {
        for steps in 0.. {
            assert!(steps < MANY_STEPS, "it never ends");
            let queue = queue_of(CAPACITY, 1);
            // The value of what the victim puts is that of the item that was in the slot.
            (1..=CAPACITY as u8).for_each(|value| put(&queue, value));
            let victim = queue.join().expect("a place");
            let done = abandon_after(steps, || deed(&victim)).is_some();
            victim.die();
            queue.sweep().expect("sound");
            let stats = queue.stats().expect("sound");
            assert_eq!(
                (stats.most_deaths, stats.counters.dropped),
                (0, 0),
                "before {steps}: nobody died of it"
            );
            let left = drain(&queue);
            let first = usize::from(left[0]);
            assert!(1 <= first && first <= 1 + dropped, "before {steps}: {left:?}");
            let untouched: Vec<u8> = (first as u8..=CAPACITY as u8).collect();
            let more = &left[untouched.len().min(left.len())..];
            assert!(left.starts_with(&untouched), "before {steps}: {left:?}");
            assert!(more.is_empty() || more.len() == dropped, "before {steps}: {left:?}");
            assert!(!done || more.len() == dropped, "it was put");
            let overwritten = stats.counters.overwritten as usize;
            assert!(overwritten == first - 1 || overwritten + 1 == first - 1, "counted right after it");
            (0..CAPACITY as u8).for_each(|value| put(&queue, value));
            assert_eq!(drain(&queue), [0, 1, 2, 3], "all capacity is there, in order");
            if done {
                break;
            }
            kill_points += 1;
        }
    }
    assert!(kill_points > 60, "the accesses are counted: {kill_points}");
}

/// Another thread of the producer has the slot of the batch's first item, which was dropped, when the producer dies half-way.
#[test]
fn a_dropped_item_of_a_batch_is_not_taken_for_one_that_is_still_to_be_put() {
    let mut was_half_way = 0;
    for steps in 0..MANY_STEPS {
        let queue = queue_of(2, 0);
        let producer = queue.join().expect("a place");
        let attached = producer.attachment();
        let claims = [(); 2].map(|()| attached.try_reserve().expect("sound").expect("a free slot"));
        if abandon_after(steps, || attached.commit_all(claims.into())).is_some() {
            break;
        }
        if queue.len().expect("sound") == 1 {
            was_half_way += 1;
            assert!(queue.attachment().drop_oldest(1).expect("sound"), "there is one");
            let claim = attached.try_reserve().expect("sound").expect("the slot that was freed");
            producer.die();
            queue.sweep().expect("sound");
            assert_eq!(queue.len().expect("sound"), 1, "the second one, and not what {claim:?} wrote");
            assert_eq!(overwritten(&queue), 1);
        }
    }
    assert!(was_half_way > 0, "some death is between the two commits");
}

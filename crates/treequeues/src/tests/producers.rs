//! Producers that come, leave and die: the end of a stream, also where somebody dies between any two accesses on the way to it.

use std::num::NonZeroU32;
use std::thread;
use std::time::Duration;

use super::bytes::{WATCHDOG, drain, get, put, schema};
use crate::error::{BorrowError, ProducingError, ReserveError};
use crate::sync::abandon_after;
use crate::wait::Wait;
use crate::{BatchSize, CreateOptions, Queue};

/// More accesses than anything makes here.
const MANY_STEPS: u32 = 500;

fn queue_of(producers: u32) -> Queue {
    let options =
        CreateOptions { participants: 4, producers: NonZeroU32::new(producers), ..CreateOptions::default() };
    Queue::create_crowded_with(schema(), 8, options)
}

/// What a wait for an item comes to, once nothing is left: the end's words of the producers.
fn end_of(queue: &Queue) -> String {
    match queue.borrow_with(Wait::at_most(WATCHDOG)).map(drop) {
        Err(BorrowError::ShutDown(end)) => end.ended().expect("by the producers").to_string(),
        outcome => panic!("no end: {outcome:?}"),
    }
}

#[test]
fn the_last_one_that_leaves_ends_the_stream_and_nobody_before() {
    let queue = queue_of(2);
    let first = queue.producing().expect("open");
    put(&queue, 1);
    first.end();
    assert!(!queue.snapshot().expect("sound").is_shut_down, "another one is to come");
    let (second, third) = (queue.producing().expect("open"), queue.producing().expect("more are fine"));
    second.end();
    put(&queue, 2);
    assert!(!queue.snapshot().expect("sound").is_shut_down, "the third one is there");
    third.end();
    assert!(matches!(queue.try_reserve(), Err(ReserveError::ShutDown(_))));
    assert!(matches!(queue.producing(), Err(ProducingError::ShutDown(_))));
    assert_eq!(drain(&queue), [1, 2]);
    assert_eq!(end_of(&queue), "all 3 producers have left");
    let producers = queue.stats().expect("sound").producers.expect("counted");
    assert_eq!((producers.said.get(), producers.came, producers.left, producers.died), (2, 3, 3, 0));
}

#[test]
fn without_a_number_nobody_counts() {
    let queue = Queue::create_crowded(schema(), 2, 2);
    assert!(matches!(queue.producing(), Err(ProducingError::NotCounted)));
    assert_eq!((queue.producers(), queue.stats().expect("sound").producers), (None, None));
}

#[test]
fn producers_that_die_have_left_too() {
    let queue = queue_of(3);
    queue.producing().expect("open").end();
    for _ in 0..2 {
        let producer = queue.join().expect("a place");
        std::mem::forget(producer.producing().expect("open"));
        put(&producer, 7);
        producer.die();
    }
    assert_eq!((get(&queue), get(&queue)), (Some(7), Some(7)));
    assert_eq!(end_of(&queue), "all 3 producers have left; 2 of them died");
}

#[test]
fn a_consumer_that_waits_for_a_batch_is_told_too_and_has_the_rest() {
    let queue = queue_of(1);
    let producer = queue.join().expect("a place");
    std::mem::forget(producer.producing().expect("open"));
    (1..=5).for_each(|value| put(&producer, value));
    thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let sizes = queue.batches(2).map(|batch| {
                let batch = batch.expect("no error");
                let len = batch.len();
                batch.release().expect("sound");
                len
            });
            sizes.collect::<Vec<_>>()
        });
        thread::sleep(Duration::from_millis(20));
        producer.die();
        assert_eq!(consumer.join().expect("no panic"), [2, 2, 1]);
    });
    let too_late = queue.try_borrow_batch(BatchSize::exactly(1)).map(drop);
    assert!(matches!(too_late, Err(BorrowError::ShutDown(_))));
}

#[test]
fn what_is_left_at_the_end_stays_if_it_is_no_whole_batch() {
    let queue = queue_of(1);
    let producing = queue.producing().expect("open");
    (1..=5).for_each(|value| put(&queue, value));
    producing.end();
    for batch in queue.batches(3).drop_last() {
        let batch = batch.expect("no error");
        assert_eq!(batch.len(), 3);
        batch.release().expect("sound");
    }
    assert_eq!(drain(&queue), [4, 5]);
}

#[test]
fn a_death_before_any_access_of_a_block_ends_the_stream_all_the_same() {
    let mut kill_points = 0;
    for steps in 0.. {
        assert!(steps < MANY_STEPS, "it never ends");
        let queue = queue_of(2);
        queue.producing().expect("open").end();
        let victim = queue.join().expect("a place");
        let done = abandon_after(steps, || victim.producing().expect("open").end());
        let came = queue.stats().expect("sound").producers.expect("counted").came;
        victim.die();
        if came < 2 {
            queue.producing().expect("it never came").end();
        }
        let end = end_of(&queue);
        assert!(end.starts_with("all 2 producers have left"), "before {steps}: {end}");
        let producers = queue.stats().expect("sound").producers.expect("counted");
        assert_eq!((producers.came, producers.left + producers.died), (2, 2), "before {steps}");
        if done.is_some() {
            assert_eq!(producers.died, 0);
            break;
        }
        kill_points += 1;
    }
    assert!(kill_points > 10, "the accesses are counted: {kill_points}");
}

#[test]
fn a_sweeper_that_dies_half_way_counts_no_death_twice() {
    let mut kill_points = 0;
    for steps in 0.. {
        assert!(steps < MANY_STEPS, "it never ends");
        let queue = queue_of(2);
        let producer = queue.join().expect("a place");
        std::mem::forget(producer.producing().expect("open"));
        std::mem::forget(producer.producing().expect("open"));
        let sweeper = queue.join().expect("a place");
        producer.die();
        let done = abandon_after(steps, || sweeper.sweep().expect("sound")).is_some();
        sweeper.die();
        assert_eq!(end_of(&queue), "all 2 producers have left; 2 of them died", "before {steps}");
        if done {
            break;
        }
        kill_points += 1;
    }
    assert!(kill_points > 10, "the accesses are counted: {kill_points}");
}

//! What an item costs where many meet: the one consumer of many producers, the one producer of many consumers. Counted are locked
//! instructions, cache lines that are written, and system calls, since time says little on a machine of two processors.

use std::thread;
use std::time::{Duration, Instant};

use super::bytes::{WATCHDOG, drain, get, local, put};
use crate::clock::monotonic_ns;
use crate::format::{Control, Marks};
use crate::sync::{Accesses, Ordering, accesses_of};
use crate::wait::Wait;
use crate::{BorrowError, Queue, ReserveError};

/// Tries of what a busy machine may spoil: a mark is valid for some ten microseconds.
const TRIES: usize = 1000;
/// Shorter than a mark may be.
const SOON_NS: u64 = 50_000;
const SLEEPER: u32 = 1;

fn control(queue: &Queue) -> &Control {
    queue.attachment().segment().control()
}

/// As when somebody sleeps on both sides, and the marks are these.
fn with_sleepers<T>(queue: &Queue, marks: [u64; 2], operation: impl FnOnce() -> T) -> (T, Accesses) {
    let control = control(queue);
    for event in [&control.not_empty, &control.not_full] {
        event.fetch_or(SLEEPER, Ordering::SeqCst);
    }
    for side in [&control.spinning_consumers, &control.spinning_producers] {
        set(side, marks);
    }
    let counted = accesses_of(operation);
    for side in [&control.spinning_consumers, &control.spinning_producers] {
        set(side, [0, 0]);
    }
    counted
}

fn set(marks: &Marks, times: [u64; 2]) {
    for (mark, time) in marks.iter().zip(times) {
        mark.store(time, Ordering::SeqCst);
    }
}

/// In one of the tries, since others may keep this thread from its processor for longer than a mark is valid.
fn without_a_system_call(queue: &Queue, marks: impl Fn(u64) -> [u64; 2], operation: impl Fn()) -> Accesses {
    for _ in 0..TRIES {
        let marks = marks(monotonic_ns() + SOON_NS);
        let ((), accesses) = with_sleepers(queue, marks, &operation);
        if accesses.system_calls == 0 {
            return accesses;
        }
    }
    panic!("it woke somebody, though somebody spins");
}

#[test]
fn an_item_costs_the_same_when_nobody_waits() {
    let queue = local(64);
    put(&queue, 1);
    get(&queue);
    let ((), putting) = accesses_of(|| put(&queue, 2));
    let (_, getting) = accesses_of(|| get(&queue));
    println!("put: {putting:?}\nget: {getting:?}");
    for accesses in [putting, getting] {
        // The slot claimed and left, the cursor moved.
        assert_eq!(accesses.locked, 3);
        // The slot, the cursor, and what this thread counts.
        assert_eq!(accesses.written_lines.len(), 3);
        assert_eq!(accesses.system_calls, 0);
    }
}

#[test]
fn whoever_finds_a_spinner_pays_three_loads_for_the_sleepers_and_no_system_call() {
    let queue = local(64);
    put(&queue, 1);
    let ((), alone) = accesses_of(|| put(&queue, 2));
    get(&queue);
    let (_, alone_again) = accesses_of(|| get(&queue));
    for marks in [|soon| [soon, 0], |soon| [0, soon], |soon| [soon, soon], |soon| [1, soon]] {
        let putting = without_a_system_call(&queue, marks, || put(&queue, 3));
        let getting = without_a_system_call(&queue, marks, || _ = get(&queue));
        for (beside, alone) in [(putting, &alone), (getting, &alone_again)] {
            assert_eq!(beside.loads, alone.loads + 2, "the marks");
            assert_eq!((beside.locked, beside.stores), (alone.locked, alone.stores));
            assert_eq!(beside.written_lines.len(), alone.written_lines.len());
        }
        drain(&queue);
    }
}

#[test]
fn a_mark_whose_time_is_over_or_far_away_keeps_nobody_asleep() {
    let queue = local(64);
    let now = monotonic_ns();
    for mark in [0, 1, now, now + 3_600_000_000_000, u64::MAX] {
        for marks in [[mark, 0], [0, mark], [mark, mark]] {
            let ((), putting) = with_sleepers(&queue, marks, || put(&queue, 1));
            let (_, getting) = with_sleepers(&queue, marks, || get(&queue));
            assert_eq!([putting.system_calls, getting.system_calls], [1, 1], "{marks:?} at {now}");
        }
    }
}

/// What a wait leaves behind.
fn marks_of(queue: &Queue) -> [u64; 4] {
    let control = control(queue);
    let of = |side: &Marks| side.each_ref().map(|mark| mark.load(Ordering::SeqCst));
    let ([a, b], [c, d]) = (of(&control.spinning_consumers), of(&control.spinning_producers));
    [a, b, c, d]
}

#[test]
fn a_wait_leaves_no_mark_however_it_ends() {
    let queue = local(1);
    let soon = Duration::from_millis(1);
    assert!(matches!(queue.borrow_with(Wait::at_most(soon)), Err(BorrowError::Empty)));
    put(&queue, 1);
    assert!(matches!(queue.reserve_with(Wait::at_most(soon)), Err(ReserveError::Full)));
    assert_eq!(marks_of(&queue), [0; 4], "out of time");
    thread::scope(|scope| {
        let consumer = scope.spawn(|| queue.borrow_with(Wait::at_most(WATCHDOG)).map(drop));
        consumer.join().expect("no panic").expect("an item");
        let producer = scope.spawn(|| queue.reserve_with(Wait::at_most(WATCHDOG)).map(drop));
        producer.join().expect("no panic").expect("room");
    });
    assert_eq!(marks_of(&queue), [0; 4], "with what they waited for");
    thread::scope(|scope| {
        let consumer = scope.spawn(|| queue.borrow_with(Wait::at_most(WATCHDOG)).map(drop));
        queue.shutdown(false).expect("attached");
        let drained = consumer.join().expect("no panic").expect_err("nothing is there");
        assert!(matches!(drained, BorrowError::ShutDown(_)));
    });
    assert_eq!(marks_of(&queue), [0; 4], "shut down");
}

#[test]
fn somebody_who_finds_all_marks_taken_sleeps_at_once() {
    let queue = local(1);
    let mut slept_at_once = false;
    for _ in 0..TRIES {
        let soon = monotonic_ns() + SOON_NS;
        set(&control(&queue).spinning_consumers, [soon, soon]);
        let (_, accesses) =
            accesses_of(|| queue.borrow_with(Wait::at_most(Duration::from_micros(1))).map(drop));
        slept_at_once |= marks_of(&queue)[..2] == [soon, soon] && accesses.loads < 60;
    }
    assert!(slept_at_once);
}

/// Many on one side, one on the other: nothing is lost, and nobody sleeps on beside what it waits for.
fn everybody_has_a_part(producers: u64, consumers: u64) {
    const ITEMS: u64 = 20_000;
    let queue = local(16);
    let began = Instant::now();
    let got: u64 = thread::scope(|scope| {
        let putters: Vec<_> = (0..producers)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..ITEMS / producers {
                        queue
                            .reserve_with(Wait::at_most(WATCHDOG))
                            .expect("room in time")
                            .commit()
                            .expect("sound");
                    }
                })
            })
            .collect();
        let getters: Vec<_> = (0..consumers)
            .map(|_| {
                scope.spawn(|| {
                    let mut got = 0;
                    loop {
                        match queue.borrow_with(Wait::at_most(WATCHDOG)) {
                            Ok(item) => item.release().expect("sound"),
                            Err(BorrowError::ShutDown(_)) => return got,
                            Err(error) => panic!("{error}"),
                        }
                        got += 1;
                    }
                })
            })
            .collect();
        putters.into_iter().for_each(|putter| putter.join().expect("no panic"));
        queue.shutdown(false).expect("attached");
        getters.into_iter().map(|getter| getter.join().expect("no panic")).sum()
    });
    assert_eq!(got, ITEMS / producers * producers);
    assert!(began.elapsed() < WATCHDOG);
    assert_eq!(marks_of(&queue), [0; 4]);
}

#[test]
fn fifteen_to_one_and_one_to_fifteen_lose_nothing_and_end() {
    everybody_has_a_part(15, 1);
    everybody_has_a_part(1, 15);
    everybody_has_a_part(4, 4);
}

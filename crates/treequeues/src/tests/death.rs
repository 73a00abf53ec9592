//! Whole queues whose participants die, on heap segments and on real ones.

use std::time::Duration;

use super::bytes::{WATCHDOG, get, put, schema};
use crate::error::{AttachError, BorrowError, ReserveError};
use crate::wait::Wait;
use crate::{CreateOptions, Dtype, LeafKind, LeafSpec, Queue, Schema, Structure};

/// The same test on a heap segment and on a memory file.
fn on_both(participants: u64, test: impl Fn(Queue)) {
    test(Queue::create_crowded(schema(), 3, participants));
    test(Queue::create_with(schema(), 3, options(participants)).expect("a few pages"));
}

#[test]
fn what_a_dead_writer_held_comes_back_free() {
    on_both(4, |queue| {
        let other = queue.join().expect("a place");
        std::mem::forget(other.try_reserve().expect("a free slot"));
        put(&queue, 1);
        put(&queue, 2);
        assert!(matches!(queue.try_reserve(), Err(ReserveError::Full)), "the third slot is held");
        other.die();
        assert_eq!(queue.sweep().expect("sound"), 1);
        put(&queue, 3);
        assert_eq!([get(&queue), get(&queue), get(&queue), get(&queue)], [Some(1), Some(2), Some(3), None]);
    });
}

#[test]
fn what_a_dead_reader_held_comes_again_and_first() {
    on_both(4, |queue| {
        for value in 1..=3 {
            put(&queue, value);
        }
        let other = queue.join().expect("a place");
        std::mem::forget(other.try_borrow().expect("an item"));
        assert_eq!(get(&queue), Some(2), "a held item blocks no other");
        other.die();
        assert_eq!(queue.sweep().expect("sound"), 1);
        let again = queue.try_borrow().expect("the dead one's item");
        assert_eq!((again.leaf_bytes(0)[0], again.info().delivery_count), (1, 2));
        again.release().expect("sound");
        assert_eq!([get(&queue), get(&queue)], [Some(3), None]);
    });
}

#[test]
fn a_waiting_consumer_finds_the_dead_by_itself() {
    on_both(4, |queue| {
        put(&queue, 7);
        let other = queue.join().expect("a place");
        std::mem::forget(other.try_borrow().expect("an item"));
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| queue.borrow_with(Wait::at_most(WATCHDOG)).map(|loan| loan.leaf_bytes(0)[0]));
            std::thread::sleep(Duration::from_millis(30));
            other.die();
            assert_eq!(waiting.join().expect("no panic").expect("redelivered"), 7);
        });
    });
}

#[test]
fn a_waiting_producer_finds_the_dead_by_itself() {
    on_both(4, |queue| {
        let other = queue.join().expect("a place");
        for _ in 0..3 {
            std::mem::forget(other.try_reserve().expect("a free slot"));
        }
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| queue.reserve_with(Wait::at_most(WATCHDOG)).map(|loan| loan.abort()));
            std::thread::sleep(Duration::from_millis(30));
            other.die();
            waiting.join().expect("no panic").expect("a slot came back").expect("sound");
        });
    });
}

#[test]
fn places_of_the_dead_are_taken_again_and_a_full_table_says_so() {
    on_both(2, |queue| {
        let other = queue.join().expect("a place");
        assert!(matches!(queue.join(), Err(AttachError::TableFull { limit: 2 })));
        other.die();
        for _ in 0..20 {
            queue.join().expect("the dead one's place").die();
        }
        let snapshot = queue.snapshot().expect("sound");
        assert_eq!(snapshot.participants, 2, "the last dead one is not swept yet");
        queue.sweep().expect("sound");
        assert_eq!(queue.snapshot().expect("sound").participants, 1);
    });
}

fn deaths(queue: &Queue) -> u64 {
    queue.stats().expect("sound").counters.deaths
}

#[test]
fn each_death_is_counted_once_whoever_finds_it() {
    on_both(8, |queue| {
        queue.join().expect("a place").die();
        // The newcomer finds it before it is anybody itself.
        let newcomer = queue.join().expect("a place");
        assert_eq!(deaths(&queue), 1);
        for expected in 2..50 {
            queue.join().expect("a place").die();
            std::thread::scope(|scope| {
                for sweeper in [&queue, &newcomer] {
                    scope.spawn(|| sweeper.sweep().expect("sound"));
                }
            });
            assert_eq!(deaths(&queue), expected);
        }
        drop(newcomer);
        assert_eq!(deaths(&queue), 49, "a participant that leaves has not died");
    });
}

#[test]
fn a_sweeper_that_dies_half_way_neither_loses_a_death_nor_counts_it_twice() {
    let mut steps = 0;
    loop {
        let queue = Queue::create_crowded(schema(), 3, 4);
        let dead = queue.join().expect("a place");
        std::mem::forget(dead.try_reserve().expect("a free slot"));
        dead.die();
        let swept = crate::sync::abandon_after(steps, || queue.sweep().expect("sound"));
        queue.sweep().expect("sound");
        assert_eq!(deaths(&queue), 1, "after {steps} accesses");
        if swept.is_some() {
            break;
        }
        steps += 1;
    }
    assert!(steps > 5, "the sweep came to its end after {steps} accesses");
}

#[test]
fn a_participant_that_leaves_beside_a_sweep_is_not_counted_as_dead() {
    let queue = Queue::create_crowded(schema(), 3, 4);
    std::thread::scope(|scope| {
        let leaver = scope.spawn(|| (0..20_000).for_each(|_| drop(queue.join().expect("a place"))));
        while !leaver.is_finished() {
            assert_eq!(queue.sweep().expect("sound"), 0, "nobody died");
        }
    });
    assert_eq!(deaths(&queue), 0);
}

#[test]
fn a_participant_that_leaves_gives_everything_back() {
    on_both(4, |queue| {
        put(&queue, 1);
        let other = queue.join().expect("a place");
        std::mem::forget(other.try_reserve().expect("a free slot"));
        std::mem::forget(other.try_borrow().expect("an item"));
        drop(other);
        let snapshot = queue.snapshot().expect("sound");
        assert_eq!((snapshot.free, snapshot.ready, snapshot.participants), (2, 1, 1));
    });
}

#[test]
fn a_shut_down_queue_drains_and_waits_for_what_may_still_come() {
    on_both(4, |queue| {
        put(&queue, 1);
        put(&queue, 2);
        let other = queue.join().expect("a place");
        let held = other.try_borrow().expect("an item");
        queue.shutdown(false).expect("attached");
        assert!(matches!(queue.try_reserve(), Err(ReserveError::ShutDown(_))));
        assert_eq!(get(&queue), Some(2));
        assert!(
            matches!(queue.try_borrow(), Err(BorrowError::Empty)),
            "the other one may give its item back"
        );
        held.give_back().expect("sound");
        assert_eq!(get(&queue), Some(1));
        assert!(matches!(queue.try_borrow(), Err(BorrowError::ShutDown(_))));
    });
}

#[test]
fn a_drain_waits_for_other_threads_of_its_own_process_but_not_for_itself() {
    on_both(2, |queue| {
        let held = queue.try_reserve().expect("a free slot");
        queue.shutdown(false).expect("attached");
        assert!(
            matches!(queue.try_borrow(), Err(BorrowError::ShutDown(_))),
            "it would wait for its own commit"
        );
        std::thread::scope(|scope| {
            let drain = scope.spawn(|| {
                let early = matches!(queue.try_borrow(), Err(BorrowError::Empty));
                let item = queue.borrow_with(Wait::at_most(WATCHDOG)).map(|loan| loan.leaf_bytes(0)[0]);
                (early, item)
            });
            std::thread::sleep(Duration::from_millis(30));
            let mut held = held;
            held.leaf_bytes_mut(0)[0] = 9;
            held.commit().expect("sound");
            let (early, item) = drain.join().expect("no panic");
            assert!(early, "another thread is still putting");
            assert_eq!(item.expect("the item that was being put"), 9);
        });
    });
}

#[test]
fn two_sleepers_get_what_lies_behind_a_slot_that_somebody_holds() {
    on_both(2, |queue| {
        let slow = queue.try_reserve().expect("a free slot");
        std::thread::scope(|scope| {
            let consumers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        queue.borrow_with(Wait::at_most(WATCHDOG)).map(|loan| loan.leaf_bytes(0)[0])
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(30));
            put(&queue, 1);
            put(&queue, 2);
            let mut got: Vec<u8> = consumers
                .into_iter()
                .map(|consumer| consumer.join().expect("no panic").expect("in time"))
                .collect();
            got.sort_unstable();
            assert_eq!(got, [1, 2]);
        });
        slow.abort().expect("sound");
    });
}

#[test]
fn finding_and_dropping_attachments_at_once_hangs_nobody() {
    let first = Queue::create(schema(), 2).expect("a few pages");
    let id = first.id();
    let stop = std::sync::Mutex::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..500 {
                drop(Queue::create(schema(), 2).expect("a few pages"));
            }
            *stop.lock().expect("not poisoned") = true;
        });
        while !*stop.lock().expect("not poisoned") {
            Queue::find(id).expect("attached").expect("alive");
        }
    });
}

#[test]
fn descriptors_closed_behind_its_back_make_nobody_dead() {
    let queue = Queue::create_with(schema(), 3, options(4)).expect("a few pages");
    let other = queue.join().expect("a place");
    let held = other.try_reserve().expect("a free slot");
    queue.put_another_file_in_the_place_of_its_locks();
    assert!(matches!(queue.sweep(), Err(AttachError::DescriptorsClosed)));
    held.commit().expect("still its own");
}

#[test]
fn participant_whose_descriptors_were_closed_keeps_its_place_and_its_slots() {
    let queue = Queue::create_with(schema(), 3, options(4)).expect("a few pages");
    let other = queue.join().expect("a place");
    let held = queue.try_reserve().expect("a free slot");
    queue.put_another_file_in_the_place_of_its_locks();
    assert_eq!(other.sweep().expect("sound"), 0, "nobody is dead");
    held.commit().expect("still its own");
    put(&queue, 7);
    assert!(get(&other).is_some());
    assert_eq!(get(&other), Some(7));
    assert!(matches!(queue.stats(), Err(AttachError::DescriptorsClosed)));
    assert_eq!(other.snapshot().expect("sound").participants, 2);
    drop(queue);
    assert_eq!(other.snapshot().expect("sound").participants, 1);
    assert_eq!(other.sweep().expect("sound"), 0, "it has left");
}

#[test]
fn attaching_again_after_the_descriptors_were_closed_makes_a_participant_that_works() {
    let queue = Queue::create_with(schema(), 3, options(4)).expect("a few pages");
    let elsewhere = queue.handle().expect("anonymous");
    let elsewhere = crate::Handle { fd: duplicate_of(elsewhere.fd), ..elsewhere };
    put(&queue, 1);
    queue.put_another_file_in_the_place_of_its_locks();
    let again = Queue::attach_handle(elsewhere).expect("the file is still there");
    assert_eq!(again.stats().expect("with descriptors").snapshot.participants, 2);
    assert_eq!(get(&again), Some(1));
    let third = Queue::attach_handle(elsewhere).expect("the second attachment");
    assert_eq!(third.snapshot().expect("sound").participants, 2, "found, and not made once more");
    drop(queue);
    put(&third, 2);
    assert_eq!(again.sweep().expect("its descriptors are its own"), 0);
    assert_eq!(get(&again), Some(2));
}

/// Another number for the same descriptor, open for good.
fn duplicate_of(number: std::os::fd::RawFd) -> std::os::fd::RawFd {
    use std::os::fd::IntoRawFd;
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{number}"));
    opened.expect("it is open").into_raw_fd()
}

#[test]
fn an_immediate_shutdown_ends_gets_at_once() {
    on_both(4, |queue| {
        put(&queue, 1);
        queue.shutdown(true).expect("attached");
        assert!(matches!(queue.try_borrow(), Err(BorrowError::ShutDown(_))));
        assert_eq!(queue.snapshot().expect("sound").ready, 0);
    });
}

#[test]
fn shutdown_wakes_whoever_waits() {
    on_both(4, |queue| {
        std::thread::scope(|scope| {
            let consumer = scope.spawn(|| queue.borrow_with(Wait::at_most(WATCHDOG)).map(drop));
            std::thread::sleep(Duration::from_millis(20));
            queue.shutdown(false).expect("attached");
            assert!(matches!(consumer.join().expect("no panic"), Err(BorrowError::ShutDown(_))));
        });
    });
}

#[test]
fn a_wait_ends_when_its_caller_says_so() {
    on_both(2, |queue| {
        let mut calls = 0;
        let mut interrupted = || {
            calls += 1;
            calls == 2
        };
        let outcome = queue.borrow_with(Wait::forever().or_until(&mut interrupted));
        assert!(matches!(outcome, Err(BorrowError::Interrupted)));
        drop(outcome);
        assert_eq!(calls, 2);
    });
}

#[test]
fn waking_all_makes_each_wait_ask_whether_to_end() {
    on_both(2, |queue| {
        let stop = std::sync::Mutex::new(false);
        std::thread::scope(|scope| {
            let waits: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut asked = 0;
                        let mut interrupted = || {
                            asked += 1;
                            *stop.lock().expect("not poisoned")
                        };
                        let outcome = queue.borrow_with(Wait::at_most(WATCHDOG).or_until(&mut interrupted));
                        (matches!(outcome, Err(BorrowError::Interrupted)), asked)
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(30));
            *stop.lock().expect("not poisoned") = true;
            queue.wake_all();
            for wait in waits {
                let (ended, asked) = wait.join().expect("no panic");
                assert!(ended && asked == 1, "asked {asked} times");
            }
        });
    });
}

#[test]
fn threads_of_one_process_are_one_participant_and_lose_nothing() {
    on_both(2, |queue| {
        let total: u64 = std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for value in 0..200_u8 {
                        let mut loan = queue.reserve_with(Wait::at_most(WATCHDOG)).expect("in time");
                        loan.leaf_bytes_mut(0)[0] = value;
                        loan.commit().expect("sound");
                    }
                });
            }
            let consumers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        (0..200)
                            .map(|_| {
                                let loan = queue.borrow_with(Wait::at_most(WATCHDOG)).expect("in time");
                                u64::from(loan.leaf_bytes(0)[0])
                            })
                            .sum::<u64>()
                    })
                })
                .collect();
            consumers.into_iter().map(|consumer| consumer.join().expect("no panic")).sum()
        });
        assert_eq!(total, 3 * (0..200).sum::<u64>());
        assert_eq!(queue.snapshot().expect("sound").free, 3);
    });
}

#[test]
fn more_memory_than_the_machine_has_is_refused_with_the_figures() {
    let leaf = LeafSpec::new(Dtype::from_name("uint8").expect("known"), vec![1 << 40], LeafKind::Array);
    let schema = Schema::new(Structure::leaf(), vec![leaf]).expect("one leaf");
    let message = Queue::create(schema, 4).expect_err("4 TiB").to_string();
    assert!(message.contains("bytes of shared memory") && message.contains("are available"), "{message}");
}

#[test]
fn another_descriptor_or_segment_is_refused() {
    let queue = Queue::create(schema(), 3).expect("a few pages");
    let file: std::os::fd::OwnedFd = std::fs::File::open("/proc/self/exe").expect("readable").into();
    assert!(matches!(Queue::attach_fd(file, None), Err(AttachError::Foreign(_))));
    let handle = queue.handle().expect("anonymous");
    let same = Queue::attach_handle(handle).expect("this process's own");
    put(&queue, 5);
    assert_eq!(get(&same), Some(5));
    assert_eq!(queue.snapshot().expect("sound").participants, 1, "one process is one participant");
    let other = crate::Handle { id: [7; 16], ..handle };
    assert!(matches!(Queue::attach_handle(other), Err(AttachError::OtherSegment)));
}

fn options(participants: u64) -> CreateOptions {
    CreateOptions { participants, ..CreateOptions::default() }
}

//! Who shut a queue down, and who else uses one: on whole queues, also beside participants that die half-way.

use std::process;
use std::time::{Duration, SystemTime};

use super::bytes::{WATCHDOG, get, put, schema};
use crate::error::{BorrowError, ReserveError, Shutdown};
use crate::format::ShutdownNote;
use crate::sync::{Ordering, abandon_after};
use crate::wait::Wait;
use crate::{BatchSize, Peers, Queue};

/// More accesses than a shutdown makes.
const MANY_STEPS: u32 = 100;
/// Of a process that is none.
const STRANGER: u32 = 4_000_000;

fn queue() -> Queue {
    Queue::create_crowded(schema(), 3, 8)
}

fn of_put(queue: &Queue) -> Shutdown {
    match queue.try_reserve() {
        Err(ReserveError::ShutDown(shutdown)) => shutdown,
        other => panic!("not shut down: {other:?}"),
    }
}

fn of_get(queue: &Queue) -> Shutdown {
    match queue.try_borrow() {
        Err(BorrowError::ShutDown(shutdown)) => shutdown,
        other => panic!("not shut down: {other:?}"),
    }
}

/// Leaves notes as if a process had died between them and the flag.
fn leave_notes(queue: &Queue) {
    let notes = &queue.attachment().segment().control().shutdown.notes;
    for note in [&notes.first, &notes.immediate] {
        note.store(ShutdownNote::new(STRANGER, 1_000_000).0, Ordering::Relaxed);
    }
}

#[test]
fn a_shutdown_says_who_did_it_and_when() {
    for is_immediate in [false, true] {
        let queue = queue();
        assert_eq!(queue.stats().expect("sound").shutdown, None);
        let before = SystemTime::now() - Duration::from_millis(1);
        queue.shutdown(is_immediate).expect("attached");
        let batch = queue.try_borrow_batch(BatchSize::exactly(2));
        let Err(BorrowError::ShutDown(of_batch)) = batch else { panic!("not shut down") };
        let of_stats = queue.stats().expect("sound").shutdown.expect("it is");
        for shutdown in [of_put(&queue), of_get(&queue), of_batch, of_stats] {
            assert_eq!((shutdown.pid(), shutdown.is_immediate()), (Some(process::id()), is_immediate));
            let at = shutdown.at().expect("a time");
            assert!(before <= at && at <= SystemTime::now());
        }
        let kind = if is_immediate { " immediately" } else { "" };
        let by = format!("shut down{kind} by process {} (this one), 0", process::id());
        assert!(of_put(&queue).to_string().starts_with(&by), "{}", of_put(&queue));
    }
}

#[test]
fn the_first_shutdown_is_named_and_a_get_after_an_immediate_one_names_that() {
    let queue = queue();
    queue.shutdown(false).expect("attached");
    let first = of_put(&queue);
    std::thread::sleep(Duration::from_millis(5));
    queue.shutdown(false).expect("attached");
    queue.shutdown(true).expect("attached");
    assert_eq!(of_put(&queue), first, "who shuts down again changes nothing");
    assert!(!first.is_immediate());
    let immediate = of_get(&queue);
    assert!(immediate.is_immediate() && immediate.at() > first.at());
    std::thread::sleep(Duration::from_millis(5));
    queue.shutdown(true).expect("attached");
    assert_eq!(of_get(&queue), immediate);
}

/// It has written its note, and not the flag: the queue is open, and whoever does shut it down later is named.
#[test]
fn a_process_that_died_in_a_shutdown_is_not_named_for_one_that_comes_later() {
    for is_immediate in [false, true] {
        for steps in 0.. {
            assert!(steps < MANY_STEPS, "a shutdown never ends");
            let queue = queue();
            let victim = queue.join().expect("a place");
            leave_notes(&queue);
            let done = abandon_after(steps, || victim.shutdown(is_immediate).expect("attached")).is_some();
            victim.die();
            if queue.snapshot().expect("sound").is_shut_down {
                assert_eq!(of_put(&queue).pid(), Some(process::id()), "killed before {steps}");
            } else {
                assert_eq!(queue.stats().expect("sound").shutdown, None);
                put(&queue, 1);
                leave_notes(&queue);
                queue.shutdown(is_immediate).expect("attached");
                assert_eq!(of_put(&queue).pid(), Some(process::id()), "killed before {steps}");
                assert_eq!(of_put(&queue).is_immediate(), is_immediate);
            }
            if done {
                break;
            }
        }
    }
}

#[test]
fn of_many_that_shut_down_at_once_one_is_named_and_its_note_is_whole() {
    for _ in 0..200 {
        let queue = queue();
        std::thread::scope(|scope| {
            for is_immediate in [false, true, false, true] {
                let queue = &queue;
                scope.spawn(move || queue.shutdown(is_immediate).expect("attached"));
            }
        });
        for shutdown in [of_put(&queue), of_get(&queue)] {
            assert_eq!(shutdown.pid(), Some(process::id()));
            assert!(shutdown.at().expect("a time").elapsed().is_ok_and(|ago| ago < WATCHDOG));
        }
        assert!(of_get(&queue).is_immediate());
    }
}

// Who else uses a queue.

fn peers(queue: &Queue) -> Peers {
    queue.peers().expect("the system tells")
}

#[test]
fn a_queue_that_only_one_thread_has_used_has_no_peers() {
    let queue = queue();
    assert_eq!(peers(&queue), Peers::Never);
    put(&queue, 1);
    assert_eq!(get(&queue), Some(1));
    queue.borrow_with(Wait::at_most(Duration::from_millis(1))).expect_err("empty");
    queue.try_reserve().expect("free").abort().expect("sound");
    assert_eq!(peers(&queue), Peers::Never);
}

#[test]
fn a_thread_that_puts_takes_lends_or_waits_is_a_peer_of_the_others_and_not_of_itself() {
    let uses: [fn(&Queue); 4] = [
        |queue| put(queue, 1),
        |queue| assert!(get(queue).is_some()),
        |queue| drop(queue.try_reserve().expect("free").abort()),
        |queue| {
            let size = BatchSize::exactly(3);
            drop(queue.borrow_batch_with(size, Wait::at_most(Duration::from_millis(1))));
        },
    ];
    for (number, of_use) in uses.into_iter().enumerate() {
        // In another thread than that which made the queue.
        let queue = queue();
        let filler = queue.join().expect("a place");
        put(&filler, 0);
        filler.die();
        queue.sweep().expect("sound");
        let of_user = std::thread::scope(|scope| {
            let user = scope.spawn(|| {
                of_use(&queue);
                peers(&queue)
            });
            user.join().expect("no panic")
        });
        assert!(matches!(of_user, Peers::Gone { .. }), "{number}: it is no peer of itself: {of_user:?}");
        assert_eq!(peers(&queue), Peers::Thread, "{number}");

        // In that one, as another thread sees it.
        let queue = self::queue();
        std::thread::scope(|scope| {
            let look = || peers(&queue);
            assert_eq!(scope.spawn(look).join().expect("no panic"), Peers::Never);
            put(&queue, 0);
            of_use(&queue);
            assert_eq!(scope.spawn(look).join().expect("no panic"), Peers::Thread, "{number}");
        });
    }
}

#[test]
fn two_threads_beside_the_first_are_peers_of_each_other() {
    let queue = queue();
    let used_in_a_thread = || {
        std::thread::scope(|scope| {
            let user = scope.spawn(|| {
                put(&queue, 1);
                peers(&queue)
            });
            user.join().expect("no panic")
        })
    };
    assert_eq!(used_in_a_thread(), Peers::Never);
    assert_eq!(used_in_a_thread(), Peers::Thread);
}

#[test]
fn a_participant_that_lives_is_a_peer_and_one_that_left_or_died_was() {
    let dies: fn(Queue) = Queue::die;
    for end in [dies, drop::<Queue>] {
        let queue = queue();
        let [first, last] = [queue.join().expect("a place"), queue.join().expect("a place")];
        assert_eq!((peers(&queue), peers(&first)), (Peers::Process, Peers::Process));
        end(first);
        assert_eq!(peers(&queue), Peers::Process, "one is left");
        end(last);
        for _ in 0..2 {
            // Also before a sweep has found it.
            assert_eq!(peers(&queue), Peers::Gone { last_pid: Some(process::id()) });
            queue.sweep().expect("sound");
        }
        let newcomer = queue.join().expect("a place");
        assert_eq!((peers(&queue), peers(&newcomer)), (Peers::Process, Peers::Process));
    }
}

/// The place has had a tenant before, of whom only the generation tells.
#[test]
fn a_newcomer_in_the_place_of_the_only_one_before_it_knows_that_somebody_was_there() {
    let first = queue();
    let second = first.join().expect("a place");
    first.die();
    second.sweep().expect("sound");
    let third = second.join().expect("the first one's place");
    drop(second);
    assert!(matches!(peers(&third), Peers::Gone { .. }));
}

//! Items that kill their takers: counted, dropped when they have killed too many, handed to a hook before.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::bytes::{WATCHDOG, drain, get, put, schema, values};
use crate::error::BorrowError;
use crate::queue::batch::claim_many;
use crate::queue::side::Items;
use crate::sync::abandon_after;
use crate::wait::Wait;
use crate::{BatchSize, CreateOptions, ItemInfo, Queue};

const CAPACITY: u64 = 4;
/// More accesses than a call on these small rings makes.
const MANY_STEPS: u32 = 500;

type Call = fn(&Queue) -> Result<(), BorrowError>;

fn options(max_deliveries: u32) -> CreateOptions {
    let max_deliveries = NonZeroU32::new(max_deliveries);
    CreateOptions { participants: 4, max_deliveries, ..CreateOptions::default() }
}

/// A queue of these items that drops one which has killed so many takers; 0 for no limit.
fn queue(max_deliveries: u32, items: impl IntoIterator<Item = u8>) -> Queue {
    let queue = Queue::create_crowded_with(schema(), CAPACITY, options(max_deliveries));
    items.into_iter().for_each(|value| put(&queue, value));
    queue
}

/// Lets a taker of the oldest item die with it, and finds it dead. Which item that was.
fn kill_a_taker(queue: &Queue) -> u8 {
    let taker = queue.join().expect("a place");
    let loan = taker.try_borrow().expect("an item");
    let value = loan.leaf_bytes(0)[0];
    std::mem::forget(loan);
    taker.die();
    assert_eq!(queue.sweep().expect("sound"), 1);
    value
}

/// Items 1 to 4: the first was given back once, and the second is to be dropped.
fn queue_with_a_bad_second() -> Queue {
    let queue = queue(1, 1..=4);
    let taker = queue.join().expect("a place");
    let (first, second) = (taker.try_borrow().expect("an item"), taker.try_borrow().expect("an item"));
    first.give_back().expect("sound");
    std::mem::forget(second);
    taker.die();
    queue.sweep().expect("sound");
    queue
}

fn dropped(queue: &Queue) -> u64 {
    queue.stats().expect("sound").counters.dropped
}

fn most_deaths(queue: &Queue) -> u32 {
    queue.stats().expect("sound").most_deaths
}

fn assert_whole(queue: &Queue) {
    let numbers: Vec<u8> = (100..100 + CAPACITY as u8).collect();
    numbers.iter().for_each(|&value| put(queue, value));
    assert_eq!(drain(queue), numbers, "all capacity is there, in order");
}

/// A hook that remembers what it was handed, and how it was told to end.
#[derive(Clone, Default)]
struct Heir {
    got: Arc<Mutex<Vec<(u8, ItemInfo)>>>,
    fails: Arc<Mutex<bool>>,
}

impl Heir {
    fn of(&self, queue: Queue) -> Queue {
        let heir = self.clone();
        queue.on_drop(move |item| {
            heir.got.lock().expect("not poisoned").push((item.leaf_bytes(0)[0], item.info()));
            if *heir.fails.lock().expect("not poisoned") { Err("told to fail".into()) } else { Ok(()) }
        })
    }

    fn fails(&self, does: bool) {
        *self.fails.lock().expect("not poisoned") = does;
    }

    fn got(&self) -> Vec<u8> {
        self.got.lock().expect("not poisoned").iter().map(|(value, _)| *value).collect()
    }
}

#[test]
fn an_item_that_killed_so_many_takers_is_dropped_and_counted() {
    let queue = queue(2, [1, 2, 3]);
    assert_eq!(kill_a_taker(&queue), 1);
    assert_eq!((most_deaths(&queue), dropped(&queue)), (1, 0));
    assert_eq!(kill_a_taker(&queue), 1, "once more");
    assert_eq!((most_deaths(&queue), dropped(&queue)), (2, 0), "nobody has come for it yet");
    assert_eq!([get(&queue), get(&queue), get(&queue)], [Some(2), Some(3), None]);
    let stats = queue.stats().expect("sound");
    let counters = stats.counters;
    assert_eq!((counters.dropped, counters.gets, counters.redeliveries), (1, 2, 1));
    assert_eq!((stats.most_deaths, stats.snapshot.free), (0, CAPACITY as usize));
    assert_whole(&queue);
}

#[test]
fn without_a_limit_an_item_kills_for_ever_and_is_seen_to() {
    let queue = queue(0, [1]);
    assert_eq!(queue.max_deliveries(), None);
    for deaths in 1..20 {
        assert_eq!(kill_a_taker(&queue), 1);
        assert_eq!(most_deaths(&queue), deaths);
    }
    let loan = queue.try_borrow().expect("the item");
    assert_eq!(loan.info().delivery_count, 20);
    assert_eq!(most_deaths(&queue), 19, "who reads it lives");
    loan.give_back().expect("sound");
    assert_eq!(most_deaths(&queue), 19);
    assert_eq!((get(&queue), most_deaths(&queue), dropped(&queue)), (Some(1), 0, 0));
}

#[test]
fn the_next_item_of_the_slot_has_killed_nobody() {
    let queue = Queue::create_crowded_with(schema(), 1, options(2));
    for value in 0..5 {
        put(&queue, value);
        assert_eq!(kill_a_taker(&queue), value);
        assert_eq!(get(&queue), Some(value));
    }
    assert_eq!(dropped(&queue), 0);
}

#[test]
fn what_was_given_back_from_a_slot_before_does_not_count_for_its_next_item() {
    let queue = Queue::create_crowded_with(schema(), 1, options(2));
    put(&queue, 1);
    for _ in 0..5 {
        queue.try_borrow().expect("an item").give_back().expect("sound");
    }
    assert_eq!(get(&queue), Some(1));
    put(&queue, 2);
    assert_eq!([kill_a_taker(&queue), kill_a_taker(&queue)], [2, 2]);
    assert_eq!((get(&queue), dropped(&queue)), (None, 1));
}

#[test]
fn giving_back_is_no_death() {
    let queue = queue(1, [1, 2]);
    for _ in 0..10 {
        queue.try_borrow().expect("an item").give_back().expect("sound");
        queue.try_borrow_batch(BatchSize::exactly(2)).expect("two").give_back().expect("sound");
        let panics = AssertUnwindSafe(|| {
            let _loan = queue.try_borrow().expect("an item");
            std::panic::resume_unwind(Box::new("a taker gave up"));
        });
        catch_unwind(panics).expect_err("it panicked");
        drop(queue.try_borrow().expect("an item").into_hold());
    }
    assert_eq!((most_deaths(&queue), dropped(&queue)), (0, 0));
    assert_eq!(kill_a_taker(&queue), 1);
    assert_eq!((get(&queue), dropped(&queue)), (Some(2), 1), "one death is one too many");
}

#[test]
fn what_a_batch_puts_back_undelivered_was_neither_delivered_nor_given_back() {
    let queue = queue_with_a_bad_second();
    // It claims the first one, then the bad one, drops that, and finds too few.
    assert!(matches!(queue.try_borrow_batch(BatchSize::exactly(4)), Err(BorrowError::Empty)));
    assert_eq!((dropped(&queue), most_deaths(&queue)), (1, 0));
    assert_eq!(kill_a_taker(&queue), 1);
    assert_eq!((most_deaths(&queue), drain(&queue), dropped(&queue)), (1, vec![3, 4], 2));
}

#[test]
fn batches_of_every_kind_go_on_without_the_item() {
    let sizes = [
        (BatchSize::exactly(3), vec![2, 3, 4]),
        (BatchSize::between(1, 4), vec![2, 3, 4]),
        (BatchSize::exactly(3).side_by_side(), vec![2, 3, 4]),
        (BatchSize::exactly(1), vec![2]),
    ];
    for (size, expected) in sizes {
        let queue = queue(1, 1..=4);
        assert_eq!(kill_a_taker(&queue), 1);
        let batch = queue.try_borrow_batch(size).expect("three are fit");
        assert_eq!(values(&batch), expected, "{size:?}");
        assert!(batch.infos().all(|info| info.delivery_count == 1), "{size:?}");
        batch.release().expect("sound");
        assert_eq!(dropped(&queue), 1);
        drain(&queue);
        assert_whole(&queue);
    }
}

#[test]
fn an_item_between_others_is_dropped_and_they_keep_their_order() {
    let queue = queue_with_a_bad_second();
    let batch = queue.try_borrow_batch(BatchSize::exactly(3)).expect("three are fit");
    assert_eq!(values(&batch), [1, 3, 4]);
    let deliveries: Vec<_> = batch.infos().map(|info| info.delivery_count).collect();
    assert_eq!(deliveries, [2, 1, 1], "what was claimed on the way to the bad one was not delivered");
    batch.release().expect("sound");
    assert_eq!(dropped(&queue), 1);
    assert_whole(&queue);
}

#[test]
fn a_batch_that_is_too_small_without_the_item_leaves_the_others_as_they_were() {
    let queue = queue(1, 1..=4);
    assert_eq!(kill_a_taker(&queue), 1);
    assert!(matches!(queue.try_borrow_batch(BatchSize::exactly(4)), Err(BorrowError::Empty)));
    assert_eq!(dropped(&queue), 1);
    let batch = queue.try_borrow_batch(BatchSize::exactly(3)).expect("three are left");
    assert_eq!(values(&batch), [2, 3, 4]);
    assert!(batch.infos().all(|info| info.delivery_count == 1));
}

#[test]
fn the_death_of_a_batch_counts_for_each_of_its_items() {
    let queue = queue(1, 1..=4);
    let taker = queue.join().expect("a place");
    std::mem::forget(taker.try_borrow_batch(BatchSize::exactly(3)).expect("four are there"));
    taker.die();
    queue.sweep().expect("sound");
    assert_eq!((drain(&queue), dropped(&queue)), (vec![4], 3));
    assert_whole(&queue);
}

#[test]
fn a_hook_gets_the_item_once_while_its_slot_is_held() {
    let heir = Heir::default();
    let plain = queue(2, [1, 2]);
    let queue = heir.of(plain.clone());
    kill_a_taker(&queue);
    assert_eq!(kill_a_taker(&queue), 1);
    assert_eq!((heir.got(), get(&queue)), (vec![], Some(2)));
    let got = heir.got.lock().expect("not poisoned").clone();
    let [(1, info)] = &got[..] else { panic!("{got:?}") };
    assert_eq!((info.ticket, info.delivery_count, info.producer_pid), (0, 3, std::process::id()));
    assert_eq!(dropped(&queue), 1);
    assert_whole(&queue);
    // A clone has it too; what was not given one has none.
    put(&queue, 3);
    kill_a_taker(&queue);
    kill_a_taker(&queue);
    assert_eq!((get(&queue.clone()), heir.got()), (None, vec![1, 3]));
    put(&queue, 4);
    kill_a_taker(&queue);
    kill_a_taker(&queue);
    assert_eq!((get(&plain), heir.got()), (None, vec![1, 3]));
    assert_eq!(dropped(&queue), 3);
}

#[test]
fn a_hook_that_fails_gives_the_item_back_and_fails_the_call() {
    let calls: [Call; 4] = [
        |queue| queue.try_borrow().map(drop),
        |queue| queue.borrow_with(Wait::at_most(WATCHDOG)).map(drop),
        |queue| queue.try_borrow_batch(BatchSize::exactly(2)).map(drop),
        |queue| queue.borrow_batch_with(BatchSize::exactly(2), Wait::at_most(WATCHDOG)).map(drop),
    ];
    for call in calls {
        let heir = Heir::default();
        let queue = heir.of(queue(1, [1, 2, 3]));
        kill_a_taker(&queue);
        heir.fails(true);
        for tries in 1..=3 {
            let error = call(&queue).expect_err("the hook failed");
            assert!(matches!(error, BorrowError::OnDrop(_)), "{error}");
            assert!(error.to_string().ends_with("told to fail"), "{error}");
            let stats = queue.stats().expect("sound");
            assert_eq!((stats.snapshot.ready, stats.counters.dropped, stats.most_deaths), (3, 0, 1));
            assert_eq!(heir.got(), vec![1; tries]);
        }
        heir.fails(false);
        assert_eq!((drain(&queue), dropped(&queue)), (vec![2, 3], 1));
        assert_whole(&queue);
    }
}

#[test]
fn a_hook_that_panics_gives_the_item_back() {
    let queue = queue(1, [1, 2]);
    kill_a_taker(&queue);
    let hooked = queue.clone().on_drop(|_| std::panic::resume_unwind(Box::new("a hook gave up")));
    catch_unwind(AssertUnwindSafe(|| drop(hooked.try_borrow()))).expect_err("it panicked");
    assert_eq!((queue.snapshot().expect("sound").ready, most_deaths(&queue)), (2, 1));
    assert_eq!((drain(&queue), dropped(&queue)), (vec![2], 1));
}

#[test]
fn an_item_that_kills_the_one_who_drops_it_is_dropped_without_a_hook() {
    let deaths: [Call; 2] = [
        |queue| queue.attachment().try_borrow(|_| Err(BorrowError::Interrupted)).map(drop),
        |queue| {
            let size = BatchSize::exactly(2);
            let attached = queue.attachment();
            let items = Items { attached, drop_item: |_| Err(BorrowError::Interrupted) };
            claim_many(items, size, || false).map(drop)
        },
    ];
    for die_dropping in deaths {
        let heir = Heir::default();
        let queue = heir.of(queue(2, [1, 2]));
        kill_a_taker(&queue);
        kill_a_taker(&queue);
        let dropper = queue.join().expect("a place");
        let dies = die_dropping(&dropper);
        assert!(matches!(dies, Err(BorrowError::Interrupted)), "it was about to drop the item");
        dropper.die();
        queue.sweep().expect("sound");
        assert_eq!(most_deaths(&queue), 3);
        assert_eq!((drain(&queue), heir.got(), dropped(&queue)), (vec![2], vec![], 1));
        assert_whole(&queue);
    }
}

#[test]
fn a_batch_holds_nothing_but_the_item_while_a_hook_runs() {
    let plain = queue_with_a_bad_second();
    let inside = plain.clone();
    let queue = plain.on_drop(move |item| {
        assert_eq!(item.leaf_bytes(0)[0], 2);
        assert_eq!(inside.snapshot()?.reading, 1);
        assert_eq!(get(&inside), Some(1), "it was claimed before the bad one, and is back");
        Ok(())
    });
    let batch = queue.try_borrow_batch(BatchSize::between(1, 4)).expect("two are left");
    assert_eq!(values(&batch), [3, 4]);
    assert_eq!(dropped(&queue), 1);
}

#[test]
fn a_hook_may_use_its_own_queue() {
    let plain = queue(1, [1, 2]);
    let inside = plain.clone();
    let queue = plain.on_drop(move |item| {
        assert_eq!(get(&inside), Some(2), "the one behind the bad one");
        put(&inside, item.leaf_bytes(0)[0] + 10);
        Ok(())
    });
    kill_a_taker(&queue);
    assert_eq!((drain(&queue), dropped(&queue)), (vec![11], 1));
    assert_whole(&queue);
}

#[test]
fn a_waiting_borrow_drops_what_comes_back_and_goes_on_waiting() {
    let queue = queue(1, [1]);
    let taker = queue.join().expect("a place");
    std::mem::forget(taker.try_borrow().expect("an item"));
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| queue.borrow_with(Wait::at_most(WATCHDOG)).map(|loan| loan.leaf_bytes(0)[0]));
        let batch =
            scope.spawn(|| queue.borrow_batch_with(BatchSize::exactly(2), Wait::at_most(WATCHDOG)).map(drop));
        std::thread::sleep(Duration::from_millis(20));
        taker.die();
        while dropped(&queue) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        (2..=4).for_each(|value| put(&queue, value));
        assert!(waiting.join().expect("no panic").expect("in time") > 1);
        batch.join().expect("no panic").expect("in time");
    });
    assert_eq!(dropped(&queue), 1);
    assert_whole(&queue);
}

#[test]
fn a_drained_queue_does_not_wait_for_an_item_that_is_dropped() {
    let queue = queue(1, [1]);
    kill_a_taker(&queue);
    queue.shutdown(false).expect("attached");
    assert!(matches!(queue.borrow_with(Wait::at_most(WATCHDOG)), Err(BorrowError::ShutDown(_))));
    assert_eq!(dropped(&queue), 1);
}

#[test]
fn an_item_that_the_ring_has_passed_for_many_laps_is_dropped_in_the_end() {
    let queue = queue(1, [1]);
    let taker = queue.join().expect("a place");
    std::mem::forget(taker.try_borrow().expect("an item"));
    for value in 2..50 {
        put(&queue, value);
        assert_eq!(get(&queue), Some(value));
    }
    taker.die();
    queue.sweep().expect("sound");
    (50..52).for_each(|value| put(&queue, value));
    assert_eq!((drain(&queue), dropped(&queue)), (vec![50, 51], 1));
    assert_whole(&queue);
}

/// What a participant does with the oldest item before it is killed, by its number.
const DEEDS: [fn(&Queue); 3] = [
    |queue| {
        let attached = queue.attachment();
        if let Ok(Some(claim)) = attached.try_borrow(|claim| Ok(attached.drop_item(claim)?)) {
            attached.give_back(claim).expect("sound");
        }
    },
    |queue| {
        let attached = queue.attachment();
        let items = Items { attached, drop_item: |claim| Ok(attached.drop_item(claim)?) };
        if let Ok(Some(claims)) = claim_many(items, BatchSize::exactly(2), || false) {
            claims.into_iter().for_each(|claim| attached.give_back(claim).expect("sound"));
        }
    },
    |queue| {
        let attached = queue.attachment();
        let hooked = |claim| {
            attached.give_back(claim)?;
            Err(BorrowError::OnDrop("told to fail".into()))
        };
        if let Ok(Some(claim)) = attached.try_borrow(hooked) {
            attached.release(claim).expect("sound");
        }
    },
];

#[test]
fn a_death_before_any_access_miscounts_by_no_more_than_itself() {
    let mut kill_points = 0;
    for (number, deed) in DEEDS.iter().enumerate() {
        for deaths_before in 0..=2 {
            for steps in 0.. {
                assert!(steps < MANY_STEPS, "deed {number} never ends");
                let queue = queue(2, [1, 2, 3]);
                (0..deaths_before).for_each(|_| assert_eq!(kill_a_taker(&queue), 1));
                let victim = queue.join().expect("a place");
                let done = abandon_after(steps, || deed(&victim)).is_some();
                let died_with_none = queue.snapshot().expect("sound").reading == 0;
                victim.die();
                queue.sweep().expect("sound");
                let label = format!("deed {number} after {deaths_before} deaths, killed before {steps}");
                let stats = queue.stats().expect("sound");
                let most_allowed = if died_with_none { deaths_before } else { deaths_before + 1 };
                assert!(stats.most_deaths <= most_allowed, "{label}: a death too many");
                assert!(deaths_before == 2 || stats.counters.dropped == 0, "{label}: too early");
                let left = drain(&queue);
                assert!(left.ends_with(&[2, 3]), "{label}: {left:?}");
                assert!(left.len() == 2 || left == [1, 2, 3], "{label}: {left:?}");
                assert!(deaths_before < 2 || left.len() == 2, "{label}: it was to be dropped");
                assert_whole(&queue);
                if done {
                    break;
                }
                kill_points += 1;
            }
        }
    }
    assert!(kill_points > 60, "the accesses are counted: {kill_points}");
}

#[test]
fn the_limit_is_the_segments_and_whoever_attaches_has_it() {
    let queue = Queue::create_with(schema(), CAPACITY, options(3)).expect("a few pages");
    let other = queue.join().expect("a place");
    assert_eq!([queue.max_deliveries(), other.max_deliveries()], [NonZeroU32::new(3); 2]);
    let path = format!("/proc/self/fd/{}", queue.handle().expect("anonymous").fd);
    let file = std::fs::File::options().read(true).write(true).open(path).expect("its own");
    let segment = crate::memory::segment::open_anew(&file.into())
        .and_then(|file| crate::memory::segment::Segment::attach(file.into()))
        .expect("sound");
    assert_eq!(segment.max_deliveries(), 3, "as it is read from the header");
}

//! Laps that run away, and tickets that stay behind: what they cost, counted in accesses to the shared memory, and that nothing
//! honest is called damage.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::bytes::{WATCHDOG, drain, local};
use super::{Rig, owner};
use crate::queue::ring::{Claim, FAR_BEHIND};
use crate::sync::{abandon_after, among_many};
use crate::wait::Wait;
use crate::{BatchSize, BorrowError, Queue, ReserveError, WriteBatch};

const PRODUCER: u32 = 1;
const HOLDER: u32 = 2;
const CONSUMER: u32 = 3;

fn at_most<T>(accesses: u32, operation: impl FnOnce() -> T) -> T {
    abandon_after(accesses, operation).unwrap_or_else(|| panic!("more than {accesses} accesses"))
}

fn reserve(rig: &Rig, id: u32) -> Claim {
    rig.ring().reserve(owner(id), |_| true).expect("sound").expect("a free slot")
}

fn abort_some(rig: &Rig, count: u64) {
    for _ in 0..count {
        rig.ring().abort(reserve(rig, PRODUCER)).expect("sound");
    }
}

#[test]
fn an_item_behind_millions_of_aborts_is_found_at_once() {
    const CAPACITY: usize = 256;
    let rig = Rig::passing(CAPACITY, FAR_BEHIND);
    abort_some(&rig, 3_000_000);
    let put = rig.put(owner(PRODUCER));
    let taken = at_most(4 * CAPACITY as u32, || rig.take(owner(CONSUMER)));
    assert_eq!(taken, put);
    assert_eq!(
        at_most(40, || rig.put(owner(PRODUCER)).zip(rig.take(owner(CONSUMER)))),
        Some((3_000_001, 3_000_001))
    );
}

#[test]
fn a_slot_that_is_being_written_costs_others_the_same_wherever_the_ring_is() {
    const CAPACITY: usize = 20_000;
    let rig = Rig::passing(CAPACITY, FAR_BEHIND);
    let held = reserve(&rig, HOLDER);
    // Past the head's second meeting with it.
    for _ in 0..2 * CAPACITY + 10 {
        let put = at_most(20, || rig.put(owner(PRODUCER)));
        // Up to the distance at which it is passed, twice.
        assert_eq!(at_most(600, || rig.take(owner(CONSUMER))), put);
    }
    rig.ring().abort(held).expect("sound");
    rig.assert_whole(owner(CONSUMER));
}

#[test]
fn what_was_passed_comes_first_once_it_is_committed() {
    let rig = Rig::passing(3, 2);
    let late = reserve(&rig, HOLDER);
    abort_some(&rig, 1);
    let item = rig.put(owner(PRODUCER));
    assert_eq!(rig.take(owner(CONSUMER)), item, "two tickets behind is far enough");
    let next = rig.put(owner(PRODUCER)).expect("a free slot");
    let ticket = late.ticket;
    rig.ring().commit(late).expect("sound");
    assert_eq!(rig.drain(owner(CONSUMER)), [ticket, next]);
    rig.assert_whole(owner(CONSUMER));
}

#[test]
fn a_writer_close_by_is_waited_for() {
    let rig = Rig::passing(300, FAR_BEHIND);
    let slow = reserve(&rig, HOLDER);
    let items: Vec<u64> = (1..FAR_BEHIND).map(|_| rig.put(owner(PRODUCER)).expect("a free slot")).collect();
    assert_eq!(rig.take(owner(CONSUMER)), Some(items[0]));
    let ticket = slow.ticket;
    rig.ring().commit(slow).expect("sound");
    assert_eq!(rig.control.returned.load(crate::sync::Ordering::Relaxed), 0, "in order");
    assert_eq!(rig.take(owner(CONSUMER)), Some(ticket));
}

#[test]
fn an_empty_look_passes_a_writer_that_only_aborts_have_followed() {
    const CAPACITY: usize = 20_000;
    let rig = Rig::passing(CAPACITY, FAR_BEHIND);
    let held = reserve(&rig, HOLDER);
    abort_some(&rig, 10_000);
    assert_eq!(rig.take(owner(CONSUMER)), None);
    let everywhere = CAPACITY as u32;
    assert_eq!(at_most(everywhere + 20, || rig.take(owner(CONSUMER))), None, "the walk is short now");
    // Round the ring, until nothing but the held slot is left before the lap's end.
    abort_some(&rig, 9_999);
    assert_eq!(rig.take(owner(CONSUMER)), None);
    assert_eq!(at_most(everywhere + 20, || rig.take(owner(CONSUMER))), None);
    let ticket = held.ticket;
    rig.ring().commit(held).expect("sound");
    assert_eq!(rig.drain(owner(CONSUMER)), [ticket]);
    rig.assert_whole(owner(CONSUMER));
}

/// Batches that fall short of one another use up tickets without end. How many an item has cost.
fn producers_of_batches_run_laps(
    producers: usize,
    reserve: impl Fn(&Queue, BatchSize) -> Result<WriteBatch<'_>, ReserveError> + Sync,
    enough: impl Fn(u64) -> bool + Sync,
) -> f64 {
    const SIZE: usize = 32;
    let queue = local(2 * SIZE as u64);
    let is_over = AtomicBool::new(false);
    let (put, got) = thread::scope(|scope| {
        let producers: Vec<_> = (0..producers)
            .map(|_| {
                scope.spawn(|| {
                    let mut put = 0_u64;
                    while !is_over.load(Ordering::Relaxed) {
                        let size = BatchSize::exactly(SIZE);
                        let batch = reserve(&queue, size);
                        batch.expect("room in time, and no damage").commit().expect("sound");
                        put += SIZE as u64;
                    }
                    put
                })
            })
            .collect();
        let consumer = scope.spawn(|| {
            let mut got = 0_u64;
            loop {
                match queue.borrow_batch_with(BatchSize::between(1, SIZE), Wait::at_most(WATCHDOG)) {
                    Ok(batch) => {
                        got += batch.len() as u64;
                        batch.release().expect("sound");
                    }
                    Err(BorrowError::ShutDown(_)) => return got,
                    Err(error) => panic!("{error}"),
                }
                if enough(got) {
                    is_over.store(true, Ordering::Relaxed);
                }
            }
        });
        let put: Vec<u64> =
            producers.into_iter().map(|producer| producer.join().expect("no panic")).collect();
        queue.shutdown(false).expect("attached");
        (put, consumer.join().expect("no panic"))
    });
    let items = put.iter().sum::<u64>();
    assert_eq!(items, got + drain(&queue).len() as u64, "lost, or twice");
    let tickets = queue.attachment().segment().control().head.load(crate::sync::Ordering::Relaxed);
    assert!(put.iter().all(|put| *put > 0), "each has its turn: {put:?}");
    let tickets_of_an_item = tickets as f64 / items as f64;
    println!("{producers} producers: {tickets_of_an_item:.2} tickets an item");
    tickets_of_an_item
}

fn in_time(queue: &Queue, size: BatchSize) -> Result<WriteBatch<'_>, ReserveError> {
    queue.reserve_batch_with(size, Wait::at_most(WATCHDOG))
}

#[test]
fn batches_on_many_processors_do_not_fall_short_of_one_another_for_long() {
    fn reserve(queue: &Queue, size: BatchSize) -> Result<WriteBatch<'_>, ReserveError> {
        among_many(|| in_time(queue, size))
    }
    let mut tickets_of_an_item =
        [(); 5].map(|()| producers_of_batches_run_laps(6, reserve, |got| got >= 5_000));
    // Without turns it is three. A machine that is busy with something else keeps who has its turn from it, now and then.
    tickets_of_an_item.sort_unstable_by(f64::total_cmp);
    assert!(tickets_of_an_item[1] < 1.6, "{tickets_of_an_item:?}");
}

#[test]
fn producers_whose_batches_fall_short_of_one_another_meet_no_damage() {
    producers_of_batches_run_laps(6, in_time, |got| got >= 200_000);
}

#[test]
#[ignore = "a minute of batches, for `make soak`"]
fn soak_fifteen_producers_whose_batches_fall_short_of_one_another() {
    let end = Instant::now() + Duration::from_secs(60);
    producers_of_batches_run_laps(15, in_time, |_| Instant::now() >= end);
}

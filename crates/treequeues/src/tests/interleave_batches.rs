//! Batches, give-backs and shutdowns under `loom`: the real ring, with the steps that `batch` and `attached` make around it.
//!
//! `loom` takes SeqCst accesses for AcqRel ones, but knows SeqCst fences. Where a put's look at the shutdown flag rests on the SeqCst
//! compare-and-swap before it, a fence stands between the two here.

use loom::sync::Arc;
use loom::thread;

use super::interleave::{NEWCOMER, assert_exactly_once, explore};
use super::{Rig, owner};
use crate::format::word::Owner;
use crate::format::{SHUTDOWN_DRAIN, SHUTDOWN_NONE};
use crate::queue::ring::{Claim, Comes, Kept};
use crate::sync::{Ordering, abandon_after, fence, local};

/// As in `interleave`: each more costs tenfold. The soak has `LOOM_MAX_PREEMPTIONS`.
const PREEMPTIONS: usize = 3;
/// With three threads, or many accesses.
const PREEMPTIONS_OF_THREE: usize = 2;
/// Looks of a drain at a queue in which others are busy, beyond which it is over here.
const LOOKS: usize = 4;

/// Gets two items or none: what falls short goes back, lowest ticket first.
fn take_two(rig: &Rig, me: Owner) -> Vec<u64> {
    let next = || rig.ring().borrow(me, &Kept::default(), |_| true).expect("sound");
    let mut claims: Vec<Claim> = std::iter::from_fn(next).take(2).collect();
    if claims.len() == 2 {
        let tickets = claims.iter().map(|claim| claim.ticket).collect();
        claims.into_iter().for_each(|claim| rig.ring().release(claim).expect("sound"));
        return tickets;
    }
    claims.sort_unstable_by_key(|claim| claim.ticket);
    claims.into_iter().for_each(|claim| rig.ring().give_back(claim).expect("sound"));
    Vec::new()
}

/// Puts two items or none, as one batch: all are claimed before the first is committed.
fn put_two(rig: &Rig, me: Owner) -> Vec<u64> {
    put_two_that_come(Comes::FromHere, rig, me)
}

fn put_two_that_come(comes: Comes, rig: &Rig, me: Owner) -> Vec<u64> {
    let next = || rig.ring().reserve(me, |_| true).expect("sound");
    let claims: Vec<Claim> = std::iter::from_fn(next).take(2).collect();
    if claims.len() < 2 {
        claims.into_iter().for_each(|claim| rig.ring().abort(claim).expect("sound"));
        return Vec::new();
    }
    rig.publish(comes, claims)
}

#[test]
fn two_batches_that_each_want_the_whole_ring() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        let put = put_two(&rig, owner(1));
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || take_two(&rig, owner(3))
        });
        let taken = take_two(&rig, owner(2));
        let others = other.join().expect("no panic");
        assert!([0, 2].contains(&(taken.len() + others.len())), "whole or not at all");
        assert_exactly_once(&rig, put, &[taken, others]);
    });
}

#[test]
fn a_batch_is_put_whole_or_not_at_all_beside_a_put() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || rig.put(owner(1))
        });
        let mut put = put_two(&rig, owner(2));
        put.extend(other.join().expect("no panic"));
        assert_exactly_once(&rig, put, &[]);
    });
}

#[test]
fn a_batch_is_seen_from_its_first_item_on() {
    explore(PREEMPTIONS_OF_THREE, || {
        let rig = Arc::new(Rig::new(3));
        let consumer = thread::spawn({
            let rig = Arc::clone(&rig);
            move || (0..3).filter_map(|_| rig.take(owner(2))).collect::<Vec<u64>>()
        });
        let put = put_two(&rig, owner(1));
        let taken = consumer.join().expect("no panic");
        assert_eq!(taken, put[..taken.len()], "in order, and none before the first");
        assert_exactly_once(&rig, put, &[taken]);
    });
}

/// More accesses than a batch of two makes on an empty ring of two slots.
const STEPS: u32 = 20;
/// From the first claim on: before it, the victim has changed nothing that others could meet.
const FIRST_STEP: u32 = 3;

#[test]
fn a_batch_that_dies_half_way_comes_whole_or_not_at_all() {
    for steps in FIRST_STEP..STEPS {
        explore(PREEMPTIONS, move || {
            let rig = Arc::new(Rig::new(2));
            let consumer = thread::spawn({
                let rig = Arc::clone(&rig);
                move || rig.take(owner(2)).into_iter().collect::<Vec<u64>>()
            });
            let _ = abandon_after(steps, || put_two_that_come(Comes::FromElsewhere, &rig, owner(1)));
            // Beside the consumer, which may have taken the first item or not.
            let told_early = rig.ring().arrival_of(0).expect("sound");
            let mut taken = consumer.join().expect("no panic");
            rig.ring().recover(owner(1), &rig.publishing, || true).expect("sound");
            let told = rig.ring().arrival_of(0).expect("sound");
            taken.extend(rig.drain(owner(NEWCOMER)));
            assert_eq!(told, Some(!taken.is_empty()), "whether it has arrived");
            assert!(told_early.is_none_or(|early| Some(early) == told), "told early");
            assert!([&[][..], &[0, 1]].contains(&&taken[..]), "{taken:?} after {steps} steps");
            rig.assert_whole(owner(NEWCOMER));
        });
    }
}

#[test]
fn a_bound_of_the_items_is_no_less_than_what_is_there() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(3));
        rig.put(owner(1)).expect("free");
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || rig.ring().items_at_most(&Kept::default()).expect("sound")
        });
        // There always is one.
        rig.put(owner(1)).expect("free");
        rig.take(owner(1)).expect("an item");
        let at_most = other.join().expect("no panic");
        assert!(at_most.is_none_or(|at_most| at_most >= 1));
    });
}

#[test]
fn a_bound_of_the_items_knows_those_beyond_the_head() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(3));
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || rig.put(owner(2))
        });
        // Of two that reserve at once, one may leave the head behind what the other has.
        rig.put(owner(1)).expect("free");
        other.join().expect("no panic").expect("free");
        let at_most = rig.ring().items_at_most(&Kept::default()).expect("sound");
        assert!(at_most.is_none_or(|at_most| at_most >= 2));
    });
}

/// Accesses of a batch of two to its first commit, which is not made.
const STEPS_TO_COMMIT: u32 = 15;

#[test]
fn two_sweepers_complete_a_batch_beside_a_consumer() {
    explore(PREEMPTIONS_OF_THREE, || {
        let rig = Arc::new(Rig::new(2));
        assert_eq!(abandon_after(STEPS_TO_COMMIT, || put_two(&rig, owner(1))), None);
        let sweeper = thread::spawn({
            let rig = Arc::clone(&rig);
            move || rig.ring().recover(owner(1), &rig.publishing, || true).map(drop).expect("sound")
        });
        let mut taken: Vec<u64> = rig.take(owner(2)).into_iter().collect();
        rig.ring().recover(owner(1), &rig.publishing, || true).expect("sound");
        taken.extend(rig.take(owner(2)));
        sweeper.join().expect("no panic");
        taken.extend(rig.drain(owner(NEWCOMER)));
        assert_eq!(taken, [0, 1], "whole, and in order");
        rig.assert_whole(owner(NEWCOMER));
    });
}

#[test]
fn two_sweepers_complete_a_batch_that_was_passed() {
    explore(PREEMPTIONS_OF_THREE, || {
        let rig = Arc::new(Rig::new(3));
        let claims = [(); 2].map(|()| rig.ring().reserve(owner(1), |_| true).expect("sound").expect("free"));
        // The second of these goes past the batch.
        for _ in 0..2 {
            rig.put(owner(2)).expect("free");
            rig.take(owner(2)).expect("an item");
        }
        // Its marks and its word, and no commit.
        assert_eq!(abandon_after(5, || rig.publish(Comes::FromHere, claims.into())), None);
        let sweeper = thread::spawn({
            let rig = Arc::clone(&rig);
            move || rig.ring().recover(owner(1), &rig.publishing, || true).map(drop).expect("sound")
        });
        rig.ring().recover(owner(1), &rig.publishing, || true).expect("sound");
        let mut taken: Vec<u64> = rig.take(owner(2)).into_iter().collect();
        sweeper.join().expect("no panic");
        taken.extend(rig.drain(owner(NEWCOMER)));
        assert_eq!(taken, [0, 1], "whole, and in order");
        rig.assert_whole(owner(NEWCOMER));
    });
}

#[test]
fn a_batch_is_completed_while_the_ring_passes_it() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(3));
        assert_eq!(abandon_after(STEPS_TO_COMMIT, || put_two(&rig, owner(1))), None);
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || {
                let put = [rig.put(owner(2)), rig.put(owner(2))];
                (put, rig.take(owner(2)))
            }
        });
        rig.ring().recover(owner(1), &rig.publishing, || true).expect("sound");
        let (put, taken) = other.join().expect("no panic");
        let all = [0, 1].into_iter().chain(put.into_iter().flatten()).collect();
        assert_exactly_once(&rig, all, &[taken.into_iter().collect()]);
    });
}

#[test]
fn an_item_is_given_back_while_the_ring_burns_its_ticket() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        let mut all = put_two(&rig, owner(1));
        let held = rig.ring().borrow(owner(1), &Kept::default(), |_| true).expect("sound").expect("an item");
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || {
                let first = rig.take(owner(2));
                // In the slot that this freed, past the one that is held or has come back.
                let put = rig.put(owner(2));
                (first.into_iter().chain(rig.take(owner(2))).collect::<Vec<_>>(), put)
            }
        });
        rig.ring().give_back(held).expect("sound");
        let (taken, put) = other.join().expect("no panic");
        all.extend(put);
        assert_exactly_once(&rig, all, &[taken]);
    });
}

#[test]
fn a_batch_is_given_back_beside_a_batch() {
    explore(PREEMPTIONS_OF_THREE, || {
        let rig = Arc::new(Rig::new(2));
        let put = put_two(&rig, owner(1));
        let next =
            || rig.ring().borrow(owner(1), &Kept::default(), |_| true).expect("sound").expect("an item");
        let held = [next(), next()];
        let batch = thread::spawn({
            let rig = Arc::clone(&rig);
            move || take_two(&rig, owner(2))
        });
        held.into_iter().for_each(|claim| rig.ring().give_back(claim).expect("sound"));
        assert_exactly_once(&rig, put, &[batch.join().expect("no panic")]);
    });
}

fn is_shut_down(rig: &Rig) -> bool {
    rig.control.shutdown.flag.load(Ordering::SeqCst) != SHUTDOWN_NONE
}

fn shut_down(rig: &Rig) {
    rig.control.shutdown.flag.fetch_or(SHUTDOWN_DRAIN, Ordering::SeqCst);
}

/// A put as `attached` makes it.
fn put_unless_shut_down(rig: &Rig, me: Owner, looks_again: bool) -> Option<u64> {
    if is_shut_down(rig) {
        return None;
    }
    let claim = rig.ring().reserve(me, |_| true).expect("sound")?;
    fence(Ordering::SeqCst);
    if looks_again && is_shut_down(rig) {
        rig.ring().abort(claim).expect("sound");
        return None;
    }
    let ticket = claim.ticket;
    rig.ring().commit(claim).expect("sound");
    Some(ticket)
}

/// Takes what is there until the queue is drained, or busy for too long; and whether it is drained.
fn drain_until_over(rig: &Rig, me: Owner) -> (Vec<u64>, bool) {
    let mut taken = Vec::new();
    for _ in 0..LOOKS {
        match rig.take(me) {
            Some(ticket) => taken.push(ticket),
            None if is_shut_down(rig)
                && rig.ring().left_to_drain(|_| false, &local::AtomicU64::new(1)) == Ok(Some(0)) =>
            {
                return (taken, true);
            }
            None => thread::yield_now(),
        }
    }
    (taken, false)
}

fn explore_a_drain_beside_a_put(looks_again: bool) {
    explore(PREEMPTIONS, move || {
        let rig = Arc::new(Rig::new(2));
        let producer = thread::spawn({
            let rig = Arc::clone(&rig);
            move || put_unless_shut_down(&rig, owner(1), looks_again)
        });
        shut_down(&rig);
        let (taken, is_drained) = drain_until_over(&rig, owner(2));
        let put = producer.join().expect("no panic");
        assert!(!is_drained || put.is_none_or(|put| taken.contains(&put)), "drained, and then came {put:?}");
        assert_exactly_once(&rig, put.into_iter().collect(), &[taken]);
    });
}

#[test]
fn a_put_beside_a_shutdown_is_refused_or_drained() {
    explore_a_drain_beside_a_put(true);
}

#[test]
#[should_panic(expected = "drained, and then came")]
fn without_the_second_look_at_the_flag_a_drain_misses_an_item() {
    explore_a_drain_beside_a_put(false);
}

#[test]
fn somebody_else_shuts_down_between_a_put_and_a_drain() {
    explore(PREEMPTIONS_OF_THREE, || {
        let rig = Arc::new(Rig::new(2));
        let producer = thread::spawn({
            let rig = Arc::clone(&rig);
            move || put_unless_shut_down(&rig, owner(1), true)
        });
        let closer = thread::spawn({
            let rig = Arc::clone(&rig);
            move || shut_down(&rig)
        });
        let (taken, is_drained) = drain_until_over(&rig, owner(2));
        let put = producer.join().expect("no panic");
        closer.join().expect("no panic");
        assert!(!is_drained || put.is_none_or(|put| taken.contains(&put)), "drained, and then came {put:?}");
        assert_exactly_once(&rig, put.into_iter().collect(), &[taken]);
    });
}

#[test]
fn a_drain_waits_for_an_item_that_comes_back() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        let put = rig.put(owner(1)).expect("free");
        let held = rig.ring().borrow(owner(1), &Kept::default(), |_| true).expect("sound").expect("an item");
        shut_down(&rig);
        let giver = thread::spawn({
            let rig = Arc::clone(&rig);
            move || rig.ring().give_back(held).expect("sound")
        });
        let (taken, is_drained) = drain_until_over(&rig, owner(2));
        giver.join().expect("no panic");
        assert!(!is_drained || taken == [put], "drained with {taken:?}");
        assert_exactly_once(&rig, vec![put], &[taken]);
    });
}

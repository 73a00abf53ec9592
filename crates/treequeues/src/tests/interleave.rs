//! The real ring code under `loom`: every interleaving of its accesses up to a bound of preemptions, with the weak
//! memory orderings that the code asks for.
//!
//! `loom` runs the main thread first, looks which accesses of the others contradict it, and goes back to those. Of each atomic it knows
//! only the last access, so a thread's own load hides the loads of others from its compare-and-swap after it. Hence the main
//! thread is the one that changes more, and the number of executions is looked at.

use std::io::Write;

use loom::sync::Arc;
use loom::thread;

use super::{Rig, owner};
use crate::format::word::Owner;
use crate::queue::ring::{Claim, Kept};
use crate::sync::abandon_after;

/// Unforced switches between threads per execution. Bugs of concurrent code need few, and each more costs tenfold.
const PREEMPTIONS: usize = 4;
/// With three threads, or many accesses.
const PREEMPTIONS_OF_THREE: usize = 3;
pub(super) const NEWCOMER: u32 = 7;

/// `LOOM_MAX_PREEMPTIONS`, where it is set, takes the place of `preemptions`: for a soak.
pub(super) fn explore(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    // Past the tests' capture: an exploration may take a minute.
    writeln!(std::io::stderr(), "exploring {}", std::thread::current().name().unwrap_or_default())
        .expect("somebody reads it");
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 20_000;
    let executions = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    builder.check({
        let executions = executions.clone();
        move || {
            executions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            body();
        }
    });
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    println!("{executions} executions");
    assert!(executions > 1, "loom found nothing to interleave");
}

/// Takes up to `n` items, looking at most `looks` times.
fn take_some(rig: &Rig, me: Owner, n: usize, looks: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    for _ in 0..looks {
        if taken.len() < n {
            taken.extend(rig.take(me));
        }
    }
    taken
}

/// Every ticket of `all` exactly once among `parts` and what is left, and all capacity.
pub(super) fn assert_exactly_once(rig: &Rig, mut all: Vec<u64>, parts: &[Vec<u64>]) {
    let mut found: Vec<u64> = parts.concat();
    found.extend(rig.drain(owner(NEWCOMER)));
    found.sort_unstable();
    all.sort_unstable();
    assert_eq!(found, all);
    rig.assert_whole(owner(NEWCOMER));
}

#[test]
fn one_producer_and_one_consumer_keep_order() {
    explore(PREEMPTIONS_OF_THREE, || {
        let rig = Arc::new(Rig::new(2));
        let consumer = thread::spawn({
            let rig = Arc::clone(&rig);
            move || take_some(&rig, owner(2), 2, 2)
        });
        let put = [rig.put(owner(1)), rig.put(owner(1)), rig.put(owner(1))].into_iter().flatten().collect();
        let taken = consumer.join().expect("no panic");
        assert!(taken.is_sorted());
        assert_exactly_once(&rig, put, &[taken]);
    });
}

#[test]
fn two_producers_never_share_a_slot() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || [rig.put(owner(1)), rig.put(owner(1))]
        });
        let mine = [rig.put(owner(2))];
        let put: Vec<u64> = other.join().expect("no panic").into_iter().chain(mine).flatten().collect();
        assert_eq!(put.len(), 2, "three puts, two slots");
        assert_exactly_once(&rig, put, &[]);
    });
}

#[test]
fn two_consumers_never_share_an_item() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        let put = vec![rig.put(owner(1)).expect("free"), rig.put(owner(1)).expect("free")];
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || take_some(&rig, owner(3), 2, 2)
        });
        let taken = take_some(&rig, owner(2), 1, 1);
        assert_exactly_once(&rig, put, &[taken, other.join().expect("no panic")]);
    });
}

#[test]
fn an_item_given_back_is_taken_once() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        let put = vec![rig.put(owner(1)).expect("free"), rig.put(owner(1)).expect("free")];
        let giver = thread::spawn({
            let rig = Arc::clone(&rig);
            move || {
                if let Some(claim) = rig.ring().borrow(owner(3), &Kept::default(), |_| true).expect("sound") {
                    rig.ring().give_back(claim).expect("sound");
                }
            }
        });
        let taken = take_some(&rig, owner(2), 2, 2);
        giver.join().expect("no panic");
        assert_exactly_once(&rig, put, &[taken]);
    });
}

#[test]
fn a_writer_that_the_ring_passes_commits_late() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        let slow = rig.ring().reserve(owner(1), |_| true).expect("sound").expect("free");
        let first = slow.ticket;
        let producer = thread::spawn({
            let rig = Arc::clone(&rig);
            move || {
                let second = rig.put(owner(2));
                let taken = rig.take(owner(2));
                (second, taken, rig.put(owner(2)))
            }
        });
        rig.ring().commit(slow).expect("sound");
        let (second, taken, third) = producer.join().expect("no panic");
        let put = [Some(first), second, third].into_iter().flatten().collect();
        assert_exactly_once(&rig, put, &[taken.into_iter().collect()]);
    });
}

#[test]
fn a_writer_far_behind_is_passed_beside_its_commit() {
    let orders = std::sync::Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    explore(PREEMPTIONS, {
        let orders = orders.clone();
        move || {
            let rig = Arc::new(Rig::passing(3, 1));
            let slow = rig.ring().reserve(owner(1), |_| true).expect("sound").expect("free");
            let mut put = vec![slow.ticket];
            put.extend([rig.put(owner(2)), rig.put(owner(2))].into_iter().flatten());
            let consumer = thread::spawn({
                let rig = Arc::clone(&rig);
                move || take_some(&rig, owner(3), 2, 2)
            });
            rig.ring().commit(slow).expect("sound");
            let taken = consumer.join().expect("no panic");
            let rest = rig.drain(owner(NEWCOMER));
            assert!(rest.is_sorted(), "what is committed late comes first: {rest:?} after {taken:?}");
            orders.lock().expect("no panic").insert(taken.clone());
            assert_exactly_once(&rig, put, &[taken, rest]);
        }
    });
    // In time; late, and taken first; not yet.
    let expected = [[0, 1], [1, 0], [1, 2]].map(Vec::from);
    assert_eq!(*orders.lock().expect("no panic"), expected.into());
}

#[test]
fn the_tail_jumps_beside_a_burner() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(3));
        let first = rig.put(owner(2)).expect("free");
        for _ in 0..2 {
            let unwritten = rig.ring().reserve(owner(2), |_| true).expect("sound").expect("free");
            rig.ring().abort(unwritten).expect("sound");
        }
        let other = thread::spawn({
            let rig = Arc::clone(&rig);
            move || {
                // A look that takes nothing may answer the burner's first raise, and the put may use up a lap behind the burn.
                assert!(rig.ring().borrow(owner(2), &Kept::default(), |_| false).expect("sound").is_none());
                (rig.put(owner(2)), rig.take(owner(2)))
            }
        });
        let burners = rig.put(owner(1));
        let (second, taken) = other.join().expect("no panic");
        assert_eq!(taken, Some(first), "it was there before the others were put");
        let put = [Some(first), burners, second].into_iter().flatten().collect();
        assert_exactly_once(&rig, put, &[vec![first]]);
    });
}

/// A holder ends its claim with views that live, and lets go later, while the ring goes past its ticket.
fn explore_lingering(take: fn(&Rig) -> Claim) {
    explore(PREEMPTIONS, move || {
        let rig = Arc::new(Rig::new(2));
        let held = take(&rig);
        let producer = thread::spawn({
            let rig = Arc::clone(&rig);
            move || {
                // With the ticket of the held slot in the way, the second put burns it.
                let first = rig.put(owner(2));
                let taken = rig.take(owner(2));
                (first, taken, rig.put(owner(2)))
            }
        });
        let lingering = rig.ring().linger(held).expect("sound");
        rig.ring().let_go(lingering).expect("sound");
        let (first, taken, second) = producer.join().expect("no panic");
        let put = [first, second].into_iter().flatten().collect();
        assert_exactly_once(&rig, put, &[taken.into_iter().collect()]);
    });
}

#[test]
fn a_slot_that_its_writer_sets_aside_is_let_go_once() {
    explore_lingering(|rig| rig.ring().reserve(owner(1), |_| true).expect("sound").expect("free"));
}

#[test]
fn a_slot_that_its_reader_sets_aside_is_let_go_once() {
    explore_lingering(|rig| {
        rig.put(owner(1)).expect("free");
        rig.ring().borrow(owner(1), &Kept::default(), |_| true).expect("sound").expect("an item")
    });
}

#[test]
fn a_batch_that_falls_short_loses_nothing_beside_a_consumer() {
    explore(PREEMPTIONS, || {
        let rig = Arc::new(Rig::new(2));
        let put = vec![rig.put(owner(1)).expect("free"), rig.put(owner(1)).expect("free")];
        let batch = thread::spawn({
            let rig = Arc::clone(&rig);
            move || {
                let next = || rig.ring().borrow(owner(3), &Kept::default(), |_| true).expect("sound");
                let claims: Vec<_> = [next(), next()].into_iter().flatten().collect();
                let fell_short = claims.len() < 2;
                let mut taken = Vec::new();
                for claim in claims {
                    if fell_short {
                        rig.ring().give_back(claim).expect("sound");
                    } else {
                        taken.push(claim.ticket);
                        rig.ring().release(claim).expect("sound");
                    }
                }
                taken
            }
        });
        let taken = take_some(&rig, owner(2), 1, 1);
        assert_exactly_once(&rig, put, &[taken, batch.join().expect("no panic")]);
    });
}

#[test]
fn two_producers_and_a_consumer() {
    explore(PREEMPTIONS_OF_THREE, || {
        let rig = Arc::new(Rig::new(2));
        let producers = [1, 2].map(|id| {
            let rig = Arc::clone(&rig);
            thread::spawn(move || rig.put(owner(id)))
        });
        let taken = take_some(&rig, owner(3), 2, 2);
        let put = producers.into_iter().filter_map(|producer| producer.join().expect("no panic")).collect();
        assert_exactly_once(&rig, put, &[taken]);
    });
}

/// The victim runs `operation` and is abandoned before access `steps`; a sweeper returns what it held while a third
/// participant puts and takes.
fn explore_abandoned(steps: u32, operation: fn(&Rig, Owner)) {
    explore(PREEMPTIONS_OF_THREE, move || {
        let rig = Arc::new(Rig::new(2));
        rig.put(owner(1)).expect("free");
        let _ = abandon_after(steps, || operation(&rig, owner(2)));
        let sweeper = thread::spawn({
            let rig = Arc::clone(&rig);
            move || rig.ring().recover(owner(2), &rig.publishing, || true).map(drop).expect("sound")
        });
        let put = rig.put(owner(3));
        let taken = rig.take(owner(3));
        sweeper.join().expect("no panic");
        let left = rig.drain(owner(NEWCOMER));
        let mut all: Vec<u64> = taken.into_iter().chain(left).collect();
        let delivered = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), delivered, "nothing twice");
        assert!(put.is_none_or(|put| all.contains(&put)), "the survivor's item is not lost");
        rig.assert_whole(owner(NEWCOMER));
    });
}

/// More accesses than one operation makes on a ring of two slots.
const STEPS: u32 = 16;

#[test]
fn a_put_abandoned_at_each_access_is_swept() {
    for steps in 0..STEPS {
        explore_abandoned(steps, |rig, victim| _ = rig.put(victim));
    }
}

#[test]
fn a_take_abandoned_at_each_access_is_swept() {
    for steps in 0..STEPS {
        explore_abandoned(steps, |rig, victim| _ = rig.take(victim));
    }
}

#[test]
fn a_lingering_put_abandoned_at_each_access_is_swept() {
    for steps in 0..STEPS {
        explore_abandoned(steps, |rig, victim| {
            if let Some(claim) = rig.ring().reserve(victim, |_| true).expect("sound") {
                let claim = rig.ring().linger(claim).expect("sound");
                rig.ring().let_go(claim).expect("sound");
            }
        });
    }
}

#[test]
fn a_give_back_abandoned_at_each_access_is_swept() {
    for steps in 0..STEPS {
        explore_abandoned(steps, |rig, victim| {
            if let Some(claim) = rig.ring().borrow(victim, &Kept::default(), |_| true).expect("sound") {
                rig.ring().give_back(claim).expect("sound");
            }
        });
    }
}

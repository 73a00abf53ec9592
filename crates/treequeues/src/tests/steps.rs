//! Death between any two shared accesses, exhaustively for one operation at a time.
//!
//! The victim runs one operation on a prepared ring and is abandoned before access 0, 1, 2, ... until the operation
//! gets through. After each, a survivor sweeps and must find every committed item exactly once, and all capacity.

use super::{Rig, owner};
use crate::ring::{Claim, Ring};
use crate::sync::abandon_after;
use crate::word::Owner;

/// More accesses than any operation on these small rings makes.
const MANY_STEPS: u32 = 500;

/// How to bring a ring into a state, with the claims that others hold meanwhile.
struct Scene {
    name: &'static str,
    prepare: fn(&Rig) -> Vec<Claim>,
}

const BYSTANDER: u32 = 1;
const VICTIM: u32 = 2;
const SURVIVOR: u32 = 3;

fn reserve(rig: &Rig, id: u32) -> Claim {
    rig.ring().reserve(owner(id), |_| true).expect("sound").expect("a free slot")
}

fn borrow(rig: &Rig, id: u32) -> Claim {
    rig.ring().borrow(owner(id), || true, |_| true).expect("sound").expect("an item")
}

fn put_n(rig: &Rig, n: usize) {
    for _ in 0..n {
        rig.put(owner(BYSTANDER)).expect("a free slot");
    }
}

const SCENES: &[Scene] = &[
    Scene { name: "fresh", prepare: |_| vec![] },
    Scene {
        name: "one item",
        prepare: |rig| {
            put_n(rig, 1);
            vec![]
        },
    },
    Scene {
        name: "full",
        prepare: |rig| {
            put_n(rig, 3);
            vec![]
        },
    },
    Scene {
        name: "second lap, two items",
        prepare: |rig| {
            put_n(rig, 3);
            rig.drain(owner(BYSTANDER));
            put_n(rig, 2);
            vec![]
        },
    },
    Scene {
        name: "a reader is in the way",
        prepare: |rig| {
            put_n(rig, 3);
            let held = borrow(rig, BYSTANDER);
            rig.take(owner(BYSTANDER)).expect("an item");
            vec![held]
        },
    },
    Scene {
        name: "a writer is in the way",
        prepare: |rig| {
            let held = reserve(rig, BYSTANDER);
            put_n(rig, 2);
            rig.take(owner(BYSTANDER)).expect("an item");
            vec![held]
        },
    },
    Scene {
        name: "an item is in the way, passed while a reader held the one before",
        prepare: |rig| {
            put_n(rig, 3);
            let held = borrow(rig, BYSTANDER);
            let given_back = borrow(rig, BYSTANDER);
            rig.take(owner(BYSTANDER)).expect("an item");
            rig.ring().give_back(given_back).expect("sound");
            vec![held]
        },
    },
    Scene {
        name: "an item was given back",
        prepare: |rig| {
            put_n(rig, 2);
            let claim = borrow(rig, BYSTANDER);
            rig.ring().give_back(claim).expect("sound");
            vec![]
        },
    },
    Scene {
        name: "a writer is late",
        prepare: |rig| {
            let held = reserve(rig, BYSTANDER);
            put_n(rig, 2);
            rig.drain(owner(BYSTANDER));
            put_n(rig, 2);
            vec![held]
        },
    },
];

/// An operation of the victim, and the tickets that it put or took for good when it got through.
struct Operation {
    name: &'static str,
    run: fn(Ring<'_>, Owner) -> Outcome,
}

#[derive(Default)]
struct Outcome {
    put: Option<u64>,
    taken: Option<u64>,
}

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "reserve",
        run: |ring, me| {
            // Held until the sweep: as if killed afterwards.
            let _held = ring.reserve(me, |_| true).expect("sound");
            Outcome::default()
        },
    },
    Operation {
        name: "reserve, commit",
        run: |ring, me| {
            let Some(claim) = ring.reserve(me, |_| true).expect("sound") else { return Outcome::default() };
            let put = Some(claim.ticket);
            ring.commit(claim).expect("sound");
            Outcome { put, taken: None }
        },
    },
    Operation {
        name: "reserve, abort",
        run: |ring, me| {
            if let Some(claim) = ring.reserve(me, |_| true).expect("sound") {
                ring.abort(claim).expect("sound");
            }
            Outcome::default()
        },
    },
    Operation {
        name: "borrow",
        run: |ring, me| {
            let _held = ring.borrow(me, || true, |_| true).expect("sound");
            Outcome::default()
        },
    },
    Operation {
        name: "borrow, release",
        run: |ring, me| {
            let Some(claim) = ring.borrow(me, || true, |_| true).expect("sound") else {
                return Outcome::default();
            };
            let taken = Some(claim.ticket);
            ring.release(claim).expect("sound");
            Outcome { put: None, taken }
        },
    },
    Operation {
        name: "borrow, give back",
        run: |ring, me| {
            if let Some(claim) = ring.borrow(me, || true, |_| true).expect("sound") {
                ring.give_back(claim).expect("sound");
            }
            Outcome::default()
        },
    },
    Operation {
        name: "sweep of the bystander",
        run: |ring, _| {
            ring.recover(owner(BYSTANDER), || true).expect("sound");
            Outcome::default()
        },
    },
];

#[test]
fn death_before_any_access_of_any_operation_loses_nothing() {
    let mut kill_points = 0;
    for scene in SCENES {
        for operation in OPERATIONS {
            for steps in 0.. {
                assert!(steps < MANY_STEPS, "{} in {:?} never ends", operation.name, scene.name);
                if survives(scene, operation, steps) {
                    break;
                }
                kill_points += 1;
            }
        }
    }
    println!("{kill_points} kill points in {} operations on {} rings", OPERATIONS.len(), SCENES.len());
    assert!(kill_points > 400, "the accesses are counted");
}

/// Runs one operation with one kill point; true when it got through before the kill point.
fn survives(scene: &Scene, operation: &Operation, steps: u32) -> bool {
    let label = format!("{} killed before access {steps} in {:?}", operation.name, scene.name);
    let rig = Rig::new(3);
    let held = (scene.prepare)(&rig);
    let before = committed(&rig);
    let outcome = abandon_after(steps, || (operation.run)(rig.ring(), owner(VICTIM)));

    // Others go on at once, short of what the dead and the bystander hold; then the dead are swept.
    let survivor = owner(SURVIVOR);
    let mut taken: Vec<u64> = rig.take(survivor).into_iter().collect();
    drop(held);
    for id in [VICTIM, BYSTANDER] {
        rig.ring().recover(owner(id), || true).expect("sound");
    }
    taken.extend(rig.drain(survivor));

    let mut expected = before.clone();
    match &outcome {
        Some(Outcome { put, taken }) => {
            expected.extend(*put);
            expected.retain(|ticket| Some(*ticket) != *taken);
        }
        // Killed half-way: at most the one item that it was putting is more, or that it was taking is less.
        None => {
            let more: Vec<u64> = taken.iter().copied().filter(|ticket| !before.contains(ticket)).collect();
            let less: Vec<u64> = before.iter().copied().filter(|ticket| !taken.contains(ticket)).collect();
            let may_put = operation.name == "reserve, commit";
            let may_take = operation.name == "borrow, release";
            assert!(more.len() <= usize::from(may_put), "{label}: {more:?} came from nowhere");
            assert!(less.len() <= usize::from(may_take), "{label}: {less:?} were lost");
            expected.extend(&more);
            expected.retain(|ticket| !less.contains(ticket));
        }
    }
    expected.sort_unstable();
    taken.sort_unstable();
    assert_eq!(taken, expected, "{label}: each committed item comes exactly once");
    rig.assert_whole(survivor);
    outcome.is_some()
}

/// The tickets of all committed items that nobody has taken for good: READY, RETURNED, or held by a reader.
fn committed(rig: &Rig) -> Vec<u64> {
    use crate::sync::Ordering;
    use crate::word::Phase;

    rig.ring()
        .words()
        .zip(&rig.slots)
        .filter(|(word, _)| matches!(word.phase(), Some(Phase::Ready | Phase::Returned | Phase::Reading)))
        .map(|(_, slot)| slot.ticket.load(Ordering::Relaxed))
        .collect()
}

#[test]
fn a_sweeper_may_die_and_the_next_goes_on() {
    for steps in 0..MANY_STEPS {
        let rig = Rig::new(3);
        put_n(&rig, 2);
        let _reading = borrow(&rig, BYSTANDER);
        let _writing = reserve(&rig, BYSTANDER);
        let done = abandon_after(steps, || rig.ring().recover(owner(BYSTANDER), || true).expect("sound"));
        rig.ring().recover(owner(BYSTANDER), || true).expect("sound");
        assert_eq!(rig.drain(owner(SURVIVOR)), [0, 1], "killed before access {steps}");
        rig.assert_whole(owner(SURVIVOR));
        if done.is_some() {
            return;
        }
    }
    panic!("the sweep never ends");
}

#[test]
fn a_stale_sweeper_does_not_touch_the_next_tenant() {
    let rig = Rig::new(2);
    let (dead, tenant) = (Owner::new(BYSTANDER, 0, super::ID_BITS), Owner::new(BYSTANDER, 1, super::ID_BITS));
    let claim = rig.ring().reserve(tenant, |_| true).expect("sound").expect("a free slot");
    assert_eq!(rig.ring().recover(dead, || true), Ok(0));
    rig.ring().commit(claim).expect("still the tenant's");
}

#[test]
fn a_sweeper_that_slept_for_generations_does_not_touch_a_tenant_that_looks_the_same() {
    let rig = Rig::new(2);
    let claim = reserve(&rig, BYSTANDER);
    assert_eq!(rig.ring().recover(owner(BYSTANDER), || false), Ok(0), "the entry has moved on");
    rig.ring().commit(claim).expect("still the tenant's");
}

#[test]
fn a_slot_held_for_long_blocks_no_other_slot() {
    for hold in [reserve as fn(&Rig, u32) -> Claim, |rig, id| {
        put_n(rig, 1);
        borrow(rig, id)
    }] {
        let rig = Rig::new(3);
        let held = hold(&rig, BYSTANDER);
        for _ in 0..20 {
            let put: Vec<u64> = std::iter::from_fn(|| rig.put(owner(SURVIVOR))).collect();
            assert_eq!(put.len(), 2, "two slots are free");
            assert_eq!(rig.drain(owner(SURVIVOR)), put, "in order");
        }
        rig.ring()
            .abort(held)
            .or_else(|_| rig.ring().recover(owner(BYSTANDER), || true).map(drop))
            .expect("sound");
        rig.drain(owner(SURVIVOR));
        rig.assert_whole(owner(SURVIVOR));
    }
}

#[test]
fn a_late_commit_comes_out_first() {
    let rig = Rig::new(2);
    let late = reserve(&rig, BYSTANDER);
    let mine = late.ticket;
    rig.put(owner(SURVIVOR)).expect("a free slot");
    rig.drain(owner(SURVIVOR));
    let newer = rig.put(owner(SURVIVOR)).expect("a free slot");
    rig.ring().commit(late).expect("sound");
    assert_eq!(rig.drain(owner(SURVIVOR)), [mine, newer]);
}

#[test]
fn a_meaningless_state_word_is_an_error_not_a_panic() {
    use crate::sync::Ordering;

    let rig = Rig::new(2);
    rig.slots[0].state.store(7, Ordering::Relaxed);
    rig.ring().reserve(owner(SURVIVOR), |_| true).expect_err("phase 7 does not exist");
    rig.ring().borrow(owner(SURVIVOR), || true, |_| true).expect_err("phase 7 does not exist");
    rig.ring().recover(owner(SURVIVOR), || true).expect_err("phase 7 does not exist");
}

#[test]
fn cursors_that_contradict_the_words_are_an_error_not_a_loop() {
    use crate::sync::Ordering;

    for capacity in [1, 2, 1 << 16] {
        for ticket in [1 << 30, u64::MAX - 1, u64::MAX] {
            let rig = Rig::new(capacity);
            rig.control.head.store(ticket, Ordering::Relaxed);
            let reserved = rig.ring().reserve(owner(SURVIVOR), |_| true);
            // The last tickets of all are one step before ticket 0, which is in its place.
            assert!(reserved.is_err() || ticket > 1 << 60, "slots never skip laps");
            let rig = Rig::new(capacity);
            rig.put(owner(SURVIVOR)).expect("a free slot");
            rig.control.tail.store(ticket, Ordering::Relaxed);
            // Whatever a damaged tail makes of it, it ends.
            let _ = rig.ring().borrow(owner(SURVIVOR), || true, |_| true);
        }
    }
}

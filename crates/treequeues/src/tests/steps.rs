//! Death between any two shared accesses, exhaustively for one operation at a time.
//!
//! The victim runs one operation on a prepared ring and is abandoned before access 0, 1, 2, ... until the operation
//! gets through. After each, a survivor sweeps and must find every committed item exactly once, and all capacity.

use super::{Kept, Rig, owner};
use crate::format::word::Owner;
use crate::queue::ring::{Claim, Ring};
use crate::sync::{AtomicU64, abandon_after};

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
    rig.ring().borrow(owner(id), &Kept::default(), |_| true).expect("sound").expect("an item")
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
    Scene {
        name: "the tail is laps behind",
        prepare: |rig| {
            for _ in 0..10 {
                rig.ring().abort(reserve(rig, BYSTANDER)).expect("sound");
            }
            put_n(rig, 2);
            vec![]
        },
    },
    Scene {
        name: "a writer far behind nothing but aborts",
        prepare: |rig| {
            let held = reserve(rig, BYSTANDER);
            for _ in 0..2 {
                rig.ring().abort(reserve(rig, BYSTANDER)).expect("sound");
            }
            vec![held]
        },
    },
    Scene {
        name: "a writer far behind an item",
        prepare: |rig| {
            let held = reserve(rig, BYSTANDER);
            rig.ring().abort(reserve(rig, BYSTANDER)).expect("sound");
            put_n(rig, 1);
            vec![held]
        },
    },
    Scene {
        name: "a slot lingers in the way",
        prepare: |rig| {
            let held = reserve(rig, BYSTANDER);
            let held = rig.ring().linger(held).expect("sound");
            put_n(rig, 2);
            rig.take(owner(BYSTANDER)).expect("an item");
            vec![held]
        },
    },
    Scene {
        name: "a late writer's slot lingers",
        prepare: |rig| {
            let held = reserve(rig, BYSTANDER);
            put_n(rig, 2);
            rig.drain(owner(BYSTANDER));
            put_n(rig, 1);
            vec![rig.ring().linger(held).expect("sound")]
        },
    },
];

/// An operation of the victim, and what it may put or take for good before it gets through.
struct Operation {
    name: &'static str,
    may_put: usize,
    may_take: usize,
    run: fn(&Ring<'_>, Owner) -> Outcome,
}

/// The tickets that an operation put or took for good when it got through.
#[derive(Default)]
struct Outcome {
    put: Vec<u64>,
    taken: Vec<u64>,
}

/// Reserves until `count` slots are claimed, or none is free.
fn claim_free(ring: &Ring<'_>, me: Owner, count: usize) -> Vec<Claim> {
    std::iter::from_fn(|| ring.reserve(me, |_| true).expect("sound")).take(count).collect()
}

/// Borrows until `count` items are claimed, or there is none.
fn claim_items(ring: &Ring<'_>, me: Owner, count: usize) -> Vec<Claim> {
    std::iter::from_fn(|| ring.borrow(me, &Kept::default(), |_| true).expect("sound")).take(count).collect()
}

fn tickets(claims: &[Claim]) -> Vec<u64> {
    claims.iter().map(|claim| claim.ticket).collect()
}

fn each(claims: Vec<Claim>, end: impl Fn(Claim) -> Result<(), crate::Corrupted>) {
    claims.into_iter().for_each(|claim| end(claim).expect("sound"));
}

/// One more than any of these rings has.
const TOO_MANY: usize = 4;

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "reserve",
        may_put: 0,
        may_take: 0,
        run: |ring, me| {
            // Held until the sweep: as if killed afterwards.
            let _held = claim_free(ring, me, 1);
            Outcome::default()
        },
    },
    Operation {
        name: "reserve, commit",
        may_put: 1,
        may_take: 0,
        run: |ring, me| {
            let claims = claim_free(ring, me, 1);
            let put = tickets(&claims);
            each(claims, |claim| ring.commit(claim));
            Outcome { put, taken: vec![] }
        },
    },
    Operation {
        name: "reserve, abort",
        may_put: 0,
        may_take: 0,
        run: |ring, me| {
            each(claim_free(ring, me, 1), |claim| ring.abort(claim));
            Outcome::default()
        },
    },
    Operation {
        name: "reserve, linger",
        may_put: 0,
        may_take: 0,
        run: |ring, me| {
            each(claim_free(ring, me, 1), |claim| ring.linger(claim).map(drop));
            Outcome::default()
        },
    },
    Operation {
        name: "reserve, linger, let go",
        may_put: 0,
        may_take: 0,
        run: |ring, me| {
            each(claim_free(ring, me, 1), |claim| ring.let_go(ring.linger(claim)?));
            Outcome::default()
        },
    },
    Operation {
        name: "reserve two, commit both",
        may_put: 2,
        may_take: 0,
        run: |ring, me| {
            let claims = claim_free(ring, me, 2);
            let put = tickets(&claims);
            each(claims, |claim| ring.commit(claim));
            Outcome { put, taken: vec![] }
        },
    },
    Operation {
        name: "reserve a batch, fall short, abort all",
        may_put: 0,
        may_take: 0,
        run: |ring, me| {
            each(claim_free(ring, me, TOO_MANY), |claim| ring.abort(claim));
            Outcome::default()
        },
    },
    Operation {
        name: "borrow",
        may_put: 0,
        may_take: 0,
        run: |ring, me| {
            let _held = claim_items(ring, me, 1);
            Outcome::default()
        },
    },
    Operation {
        name: "borrow, release",
        may_put: 0,
        may_take: 1,
        run: |ring, me| {
            let claims = claim_items(ring, me, 1);
            let taken = tickets(&claims);
            each(claims, |claim| ring.release(claim));
            Outcome { put: vec![], taken }
        },
    },
    Operation {
        name: "borrow, give back",
        may_put: 0,
        may_take: 0,
        run: |ring, me| {
            each(claim_items(ring, me, 1), |claim| ring.give_back(claim));
            Outcome::default()
        },
    },
    Operation {
        name: "borrow, linger",
        may_put: 0,
        may_take: 1,
        run: |ring, me| {
            let claims = claim_items(ring, me, 1);
            let taken = tickets(&claims);
            each(claims, |claim| ring.linger(claim).map(drop));
            Outcome { put: vec![], taken }
        },
    },
    Operation {
        name: "borrow, linger, let go",
        may_put: 0,
        may_take: 1,
        run: |ring, me| {
            let claims = claim_items(ring, me, 1);
            let taken = tickets(&claims);
            each(claims, |claim| ring.let_go(ring.linger(claim)?));
            Outcome { put: vec![], taken }
        },
    },
    Operation {
        name: "borrow two, release both",
        may_put: 0,
        may_take: 2,
        run: |ring, me| {
            let claims = claim_items(ring, me, 2);
            let taken = tickets(&claims);
            each(claims, |claim| ring.release(claim));
            Outcome { put: vec![], taken }
        },
    },
    Operation {
        name: "borrow a batch, fall short, give all back",
        may_put: 0,
        may_take: 0,
        run: |ring, me| {
            each(claim_items(ring, me, TOO_MANY), |claim| ring.give_back(claim));
            Outcome::default()
        },
    },
    Operation {
        name: "sweep of the bystander",
        may_put: 0,
        may_take: 0,
        run: |ring, _| {
            ring.recover(owner(BYSTANDER), &AtomicU64::new(0), || true).expect("sound");
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
    assert!(kill_points > 1500, "the accesses are counted");
}

/// Runs one operation with one kill point; true when it got through before the kill point.
fn survives(scene: &Scene, operation: &Operation, steps: u32) -> bool {
    let label = format!("{} killed before access {steps} in {:?}", operation.name, scene.name);
    let rig = Rig::passing(3, 2);
    let held = (scene.prepare)(&rig);
    let before = committed(&rig);
    let outcome = abandon_after(steps, || (operation.run)(&rig.ring(), owner(VICTIM)));

    // Others go on at once, short of what the dead and the bystander hold; then the dead are swept.
    let survivor = owner(SURVIVOR);
    let mut taken: Vec<u64> = rig.take(survivor).into_iter().collect();
    drop(held);
    for id in [VICTIM, BYSTANDER] {
        rig.ring().recover(owner(id), &rig.publishing, || true).expect("sound");
    }
    taken.extend(rig.drain(survivor));

    let mut expected = before.clone();
    match &outcome {
        Some(Outcome { put, taken }) => {
            expected.extend(put);
            expected.retain(|ticket| !taken.contains(ticket));
        }
        // Killed half-way: at most the items that it was putting are more, or that it was taking are less.
        None => {
            let more: Vec<u64> = taken.iter().copied().filter(|ticket| !before.contains(ticket)).collect();
            let less: Vec<u64> = before.iter().copied().filter(|ticket| !taken.contains(ticket)).collect();
            assert!(more.len() <= operation.may_put, "{label}: {more:?} came from nowhere");
            assert!(less.len() <= operation.may_take, "{label}: {less:?} were lost");
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
    use crate::format::word::Phase;
    use crate::sync::Ordering;

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
        let done = abandon_after(steps, || {
            rig.ring().recover(owner(BYSTANDER), &rig.publishing, || true).expect("sound")
        });
        rig.ring().recover(owner(BYSTANDER), &rig.publishing, || true).expect("sound");
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
    assert_eq!(rig.ring().recover(dead, &rig.publishing, || true), Ok(0));
    rig.ring().commit(claim).expect("still the tenant's");
}

#[test]
fn a_sweeper_that_slept_for_generations_does_not_touch_a_tenant_that_looks_the_same() {
    let rig = Rig::new(2);
    let claim = reserve(&rig, BYSTANDER);
    assert_eq!(
        rig.ring().recover(owner(BYSTANDER), &rig.publishing, || false),
        Ok(0),
        "the entry has moved on"
    );
    rig.ring().commit(claim).expect("still the tenant's");
}

#[test]
fn a_slot_held_for_long_blocks_no_other_slot() {
    let holds: [fn(&Rig, u32) -> Claim; 4] = [
        reserve,
        |rig, id| {
            put_n(rig, 1);
            borrow(rig, id)
        },
        |rig, id| rig.ring().linger(reserve(rig, id)).expect("sound"),
        |rig, id| {
            put_n(rig, 1);
            rig.ring().linger(borrow(rig, id)).expect("sound")
        },
    ];
    for hold in holds {
        let rig = Rig::new(3);
        let held = hold(&rig, BYSTANDER);
        for _ in 0..20 {
            let put: Vec<u64> = std::iter::from_fn(|| rig.put(owner(SURVIVOR))).collect();
            assert_eq!(put.len(), 2, "two slots are free");
            assert_eq!(rig.drain(owner(SURVIVOR)), put, "in order");
        }
        rig.ring()
            .abort(held)
            .or_else(|_| rig.ring().recover(owner(BYSTANDER), &rig.publishing, || true).map(drop))
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
fn a_slot_let_go_serves_the_next_ticket_that_the_ring_has_for_it() {
    // Let go before, and long after, the ring has passed its ticket.
    for laps in 0..3 {
        let rig = Rig::new(2);
        let held = rig.ring().linger(reserve(&rig, BYSTANDER)).expect("sound");
        for _ in 0..laps {
            put_n(&rig, 1);
            assert_eq!(rig.put(owner(SURVIVOR)), None, "the other slot lingers");
            rig.take(owner(SURVIVOR)).expect("an item");
        }
        rig.ring().let_go(held).expect("sound");
        rig.assert_whole(owner(SURVIVOR));
    }
}

#[test]
fn a_batch_that_falls_short_gives_back_in_order() {
    let rig = Rig::new(3);
    put_n(&rig, 3);
    each(claim_items(&rig.ring(), owner(VICTIM), TOO_MANY), |claim| rig.ring().give_back(claim));
    assert_eq!(rig.drain(owner(SURVIVOR)), [0, 1, 2]);
}

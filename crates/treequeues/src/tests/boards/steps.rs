//! Death between any two shared accesses, for one operation at a time.
//!
//! The victim runs one operation on a prepared board and is abandoned before access 0, 1, 2, ... until the operation gets through.
//! After each, a survivor sweeps, and finds the newest item whole, all pins gone and all slots to be had.

use super::{PLACES, Rig, tenant};
use crate::format::word::Tenant;
use crate::sync::abandon_after;
use crate::topic::board::{Claim, Found, Pinned, Start};

/// More accesses than any operation on these small boards makes.
const MANY_STEPS: u32 = 500;
const CAPACITY: usize = 3;

const BYSTANDER: u32 = 0;
const VICTIM: u32 = 1;
const SURVIVOR: u32 = 2;

/// What somebody else has in hand meanwhile.
#[derive(Default)]
struct Held {
    claims: Vec<Claim>,
    pinned: Vec<Pinned>,
}

struct Scene {
    name: &'static str,
    prepare: fn(&Rig) -> Held,
}

fn put_n(rig: &Rig, n: u64) {
    for number in 0..n {
        rig.put(&tenant(BYSTANDER), 100 + number).expect("a free slot");
    }
}

fn pin_newest(rig: &Rig) -> Pinned {
    rig.board().latest(&tenant(BYSTANDER), || ()).expect("sound").expect("an item")
}

const SCENES: &[Scene] = &[
    Scene { name: "fresh", prepare: |_| Held::default() },
    Scene {
        name: "one item",
        prepare: |rig| {
            put_n(rig, 1);
            Held::default()
        },
    },
    Scene {
        name: "all slots have had items",
        prepare: |rig| {
            put_n(rig, 7);
            Held::default()
        },
    },
    Scene {
        name: "the newest is being read",
        prepare: |rig| {
            put_n(rig, 5);
            Held { pinned: vec![pin_newest(rig)], ..Held::default() }
        },
    },
    Scene {
        name: "the oldest is being read",
        prepare: |rig| {
            put_n(rig, 1);
            let pinned = vec![pin_newest(rig)];
            put_n(rig, 2);
            Held { pinned, ..Held::default() }
        },
    },
    Scene {
        name: "a slot is being written",
        prepare: |rig| {
            put_n(rig, 5);
            Held { claims: vec![rig.claim(&tenant(BYSTANDER)).expect("free")], ..Held::default() }
        },
    },
    Scene {
        name: "every slot but the newest is held",
        prepare: |rig| {
            put_n(rig, 2);
            let pinned = vec![pin_newest(rig)];
            put_n(rig, 1);
            Held { claims: vec![rig.claim(&tenant(BYSTANDER)).expect("an old item")], pinned }
        },
    },
    Scene {
        name: "the newest was linked by one who died before it was ready",
        prepare: |rig| {
            put_n(rig, 2);
            let me = tenant(BYSTANDER);
            let linked_at = (0..MANY_STEPS).find(|&steps| {
                let copy = Rig::new(CAPACITY);
                put_n(&copy, 2);
                let claim = copy.claim(&me).expect("free");
                copy.write(&claim, 200);
                abandon_after(steps, || copy.board().commit(claim)).is_none() && copy.board().version() == 3
            });
            let claim = rig.claim(&me).expect("free");
            rig.write(&claim, 200);
            let died = abandon_after(linked_at.expect("a step between"), || rig.board().commit(claim));
            assert!(died.is_none());
            Held::default()
        },
    },
];

/// What an operation must leave: the highest ticket, and what `read` has seen.
struct Operation {
    name: &'static str,
    may_put: u64,
    run: fn(&Rig, &Tenant),
}

const MINE: u64 = 77;

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "claim",
        may_put: 0,
        run: |rig, me| std::mem::forget(rig.board().claim(me.owner, || ())),
    },
    Operation {
        name: "put",
        may_put: 1,
        run: |rig, me| {
            rig.put(me, MINE);
        },
    },
    Operation {
        name: "put twice",
        may_put: 2,
        run: |rig, me| {
            rig.put(me, MINE);
            rig.put(me, MINE + 1);
        },
    },
    Operation {
        name: "abort",
        may_put: 0,
        run: |rig, me| {
            if let Some(claim) = rig.claim(me) {
                rig.board().abort(claim).expect("sound");
            }
        },
    },
    Operation {
        name: "linger, and let go",
        may_put: 0,
        run: |rig, me| {
            if let Some(claim) = rig.claim(me) {
                let kept = rig.board().linger(claim, me).expect("sound");
                rig.board().release(kept, me).expect("sound");
            }
        },
    },
    Operation {
        name: "linger, and put elsewhere",
        may_put: 1,
        run: |rig, me| {
            if let Some(claim) = rig.claim(me) {
                let kept = rig.board().linger(claim, me).expect("sound");
                if let Some(other) = rig.claim(me) {
                    assert_ne!(other.slot, kept.slot, "views could write to it");
                    rig.write(&other, MINE);
                    rig.board().commit(other).expect("sound");
                }
            }
        },
    },
    Operation {
        name: "latest",
        may_put: 0,
        run: |rig, me| {
            rig.latest(me);
        },
    },
    Operation {
        name: "latest, kept",
        may_put: 0,
        run: |rig, me| std::mem::forget(rig.board().latest(me, || ())),
    },
    Operation {
        name: "two reads of the newest, one after the other and at once",
        may_put: 0,
        run: |rig, me| {
            let first = rig.board().latest(me, || ()).expect("sound");
            let second = rig.board().latest(me, || ()).expect("sound");
            for pinned in [first, second].into_iter().flatten() {
                rig.read_and_release(pinned, me);
            }
        },
    },
    Operation {
        name: "subscribe to the oldest, and take all",
        may_put: 0,
        run: |rig, me| {
            let mut cursor = rig.board().subscribe(Start::Oldest).expect("sound");
            while let Some((ticket, _)) = rig.next(cursor, me) {
                assert!(ticket >= cursor, "in order");
                cursor = ticket + 1;
            }
        },
    },
    Operation {
        name: "read, and put meanwhile",
        may_put: 2,
        run: |rig, me| {
            let pinned = rig.board().latest(me, || ()).expect("sound");
            rig.put(me, MINE);
            rig.put(me, MINE + 1);
            if let Some(pinned) = pinned {
                rig.read_and_release(pinned, me);
            }
        },
    },
    Operation {
        name: "recover of the bystander",
        may_put: 0,
        run: |rig, _| {
            rig.recover(&tenant(BYSTANDER));
        },
    },
    Operation {
        name: "the end",
        may_put: 0,
        run: |rig, _| {
            let cursor = rig.board().version() + 1;
            assert_ne!(rig.board().at_the_end(cursor, |_| false).expect("sound"), Found::Item);
        },
    },
];

#[test]
fn death_before_any_access_of_any_operation_loses_nothing() {
    for scene in SCENES {
        for operation in OPERATIONS {
            let mut steps = 0;
            loop {
                let rig = Rig::new(CAPACITY);
                let held = (scene.prepare)(&rig);
                let before = rig.board().version();
                let was_through = abandon_after(steps, || (operation.run)(&rig, &tenant(VICTIM))).is_some();
                let case = || format!("{}: {}, before access {steps}", scene.name, operation.name);
                rig.recover(&tenant(VICTIM));
                let after = rig.board().version();
                assert!(after >= before && after <= before + operation.may_put, "{}", case());
                if after > 0 {
                    let (ticket, number) = rig.latest(&tenant(SURVIVOR)).expect("an item");
                    assert_eq!(ticket, after, "{}: the newest was lost", case());
                    let is_mine = (MINE..=MINE + 1).contains(&number);
                    assert_eq!(is_mine, after > before, "{}: number {number}", case());
                }
                // A bystander that was swept lives no more.
                if operation.name != "recover of the bystander" {
                    for pinned in held.pinned {
                        let number = rig.read(&pinned);
                        assert!(!(MINE..=MINE + 1).contains(&number), "{}: it was written over", case());
                        rig.board().release(pinned, &tenant(BYSTANDER)).expect("sound");
                    }
                    for claim in held.claims {
                        rig.write(&claim, 300);
                        rig.board().commit(claim).expect("sound");
                    }
                }
                rig.recover(&tenant(BYSTANDER));
                rig.assert_whole(&tenant(SURVIVOR));
                if was_through {
                    break;
                }
                steps += 1;
                assert!(steps < MANY_STEPS, "{} never gets through", operation.name);
            }
        }
    }
}

#[test]
fn a_sweeper_that_slept_for_generations_does_not_touch_a_tenant_that_looks_the_same() {
    let rig = Rig::new(CAPACITY);
    // 18 bits of the tenancy are in the owner's field.
    let (then, now) = (tenant(VICTIM), Tenant::new(VICTIM, 1 << 18, super::ID_BITS));
    assert_eq!(then.owner, now.owner);
    rig.put(&now, 1).expect("free");
    let pinned = rig.board().latest(&now, || ()).expect("sound").expect("an item");
    let claim = rig.claim(&now).expect("free");
    assert_eq!(rig.board().recover(&then, || false), Ok(0));
    rig.board().commit(claim).expect("not taken away");
    rig.board().release(pinned, &now).expect("not taken away");
    rig.assert_whole(&now);
}

#[test]
fn a_pin_that_is_not_its_own_is_damage() {
    let rig = Rig::new(CAPACITY);
    rig.put(&tenant(BYSTANDER), 1).expect("free");
    let pinned = rig.board().latest(&tenant(VICTIM), || ()).expect("sound").expect("an item");
    let next_tenant = Tenant::new(VICTIM, 1, super::ID_BITS);
    let refused = rig.board().latest(&next_tenant, || ()).expect_err("another tenant's pin");
    assert!(refused.to_string().contains("the pin of participant 1 on slot 0 is "), "{refused}");
    rig.board().release(pinned, &tenant(VICTIM)).expect("sound");
    assert!(rig.board().latest(&next_tenant, || ()).expect("sound").is_some());
    // Nothing is there to be released.
    assert!(rig.board().release(Pinned { slot: 2, ticket: 1 }, &next_tenant).is_err());
}

#[test]
fn readers_and_writers_and_one_more_slots_are_never_full() {
    let rig = Rig::new(PLACES + 2);
    let mut pinned = Vec::new();
    for place in 0..PLACES as u32 {
        rig.put(&tenant(BYSTANDER), u64::from(place)).expect("free");
        pinned.push(rig.board().latest(&tenant(place), || ()).expect("sound").expect("an item"));
    }
    for number in 0..20 {
        rig.put(&tenant(BYSTANDER), 100 + number).expect("a slot is neither read, nor the newest");
    }
    for (place, pinned) in (0..).zip(pinned) {
        assert_eq!(rig.read_and_release(pinned, &tenant(place)), (u64::from(place) + 1, u64::from(place)));
    }
    // One slot less, and the newest is all that is not being read.
    let rig = Rig::new(2);
    rig.put(&tenant(BYSTANDER), 1).expect("free");
    let pinned = rig.board().latest(&tenant(VICTIM), || ()).expect("sound").expect("an item");
    rig.put(&tenant(BYSTANDER), 2).expect("free");
    assert_eq!(rig.put(&tenant(BYSTANDER), 3), None);
    assert!(!rig.board().may_claim());
    rig.read_and_release(pinned, &tenant(VICTIM));
    assert!(rig.board().may_claim());
    rig.assert_whole(&tenant(BYSTANDER));
}

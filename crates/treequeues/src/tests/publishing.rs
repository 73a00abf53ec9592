//! Batches that are whole or not at all: their producer is killed before each of its shared accesses, the sweeper that completes
//! them before each of its own, beside other threads of the producer, other sweepers and takers.

use std::sync::Barrier;

use super::bytes::{drain, get, local, put, schema};
use super::{Rig, owner};
use crate::error::{Corrupted, Damage};
use crate::format::word::{Owner, Phase, Word};
use crate::queue::ring::{Claim, Comes, Kept};
use crate::sync::{Ordering, abandon_after};
use crate::{BatchSize, Queue};

const BYSTANDER: u32 = 1;
const VICTIM: u32 = 2;
const SURVIVOR: u32 = 3;
/// More accesses than anything makes here.
const MANY_STEPS: u32 = 500;

fn reserve(rig: &Rig, id: u32) -> Claim {
    rig.ring().reserve(owner(id), |_| true).expect("sound").expect("a free slot")
}

/// Takes an item as a queue does: counted before the slot is free.
fn take(rig: &Rig, me: Owner) -> Option<u64> {
    let claim = rig.ring().borrow(me, &Kept::default(), |_| true).expect("sound")?;
    rig.slots[claim.slot].delivery_count.fetch_or(1, Ordering::Relaxed);
    let ticket = claim.ticket;
    rig.ring().release(claim).expect("sound");
    Some(ticket)
}

/// Puts a batch that comes from elsewhere: the steps of any batch, and the note.
fn bring(rig: &Rig, claims: Vec<Claim>) -> Vec<u64> {
    rig.publish(Comes::FromElsewhere, claims)
}

fn recover(rig: &Rig, id: u32) -> usize {
    rig.ring().recover(owner(id), &rig.publishing, || true).expect("sound")
}

/// A ring on which the victim has claimed a batch, and what others hold meanwhile.
struct Scene {
    name: &'static str,
    prepare: fn() -> (Rig, Vec<Claim>, Vec<Claim>),
}

fn claims(rig: &Rig, id: u32, count: usize) -> Vec<Claim> {
    (0..count).map(|_| reserve(rig, id)).collect()
}

const SCENES: &[Scene] = &[
    Scene {
        name: "the whole ring",
        prepare: || {
            let rig = Rig::new(3);
            let batch = claims(&rig, VICTIM, 3);
            (rig, batch, vec![])
        },
    },
    Scene {
        name: "around the end of the ring, behind an item",
        prepare: || {
            let rig = Rig::new(4);
            for _ in 0..3 {
                rig.put(owner(BYSTANDER)).expect("a free slot");
            }
            take(&rig, owner(BYSTANDER)).expect("an item");
            take(&rig, owner(BYSTANDER)).expect("an item");
            let batch = claims(&rig, VICTIM, 3);
            (rig, batch, vec![])
        },
    },
    Scene {
        name: "beside another writer",
        prepare: || {
            let rig = Rig::new(4);
            let first = reserve(&rig, VICTIM);
            let held = reserve(&rig, BYSTANDER);
            let batch = std::iter::once(first).chain(claims(&rig, VICTIM, 2)).collect();
            (rig, batch, vec![held])
        },
    },
    Scene {
        name: "in part passed by the ring",
        prepare: || {
            let rig = Rig::new(3);
            let batch = claims(&rig, VICTIM, 2);
            for _ in 0..2 {
                rig.put(owner(BYSTANDER)).expect("a free slot");
                take(&rig, owner(BYSTANDER)).expect("an item");
            }
            (rig, batch, vec![])
        },
    },
    Scene {
        name: "far behind what was put since",
        prepare: || {
            let rig = Rig::passing(4, 1);
            let batch = claims(&rig, VICTIM, 2);
            for _ in 0..2 {
                rig.put(owner(BYSTANDER)).expect("a free slot");
            }
            take(&rig, owner(BYSTANDER)).expect("an item");
            (rig, batch, vec![])
        },
    },
    Scene {
        name: "over more than a lap of tickets, the last slot first",
        prepare: || {
            let rig = Rig::new(3);
            rig.ring().abort(reserve(&rig, BYSTANDER)).expect("sound");
            let mut batch = vec![reserve(&rig, VICTIM)];
            let mut held = claims(&rig, BYSTANDER, 2);
            rig.ring().abort(held.remove(0)).expect("sound");
            rig.ring().abort(held.remove(0)).expect("sound");
            while batch.len() < 3 {
                let claim = reserve(&rig, VICTIM);
                if claim.ticket < 7 {
                    rig.ring().abort(claim).expect("sound");
                } else {
                    batch.push(claim);
                }
            }
            assert!(batch[1].ticket > batch[0].ticket + 3, "a lap further");
            (rig, batch, held)
        },
    },
];

/// What is READY or RETURNED, or held by a reader.
fn committed(rig: &Rig) -> Vec<u64> {
    let is_item = |phase| matches!(phase, Some(Phase::Ready | Phase::Returned | Phase::Reading));
    let ring = rig.ring();
    let words = ring.words().zip(&rig.slots);
    words
        .filter(|(word, _)| is_item(word.phase()))
        .map(|(_, slot)| slot.ticket.load(Ordering::Relaxed))
        .collect()
}

/// What came of a batch in the end.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Whole,
    Nothing,
}

/// All are dead and swept: whether of `batch` everything came, or nothing, and all else that was there before. That is what is said of its
/// arrival then, and before, if anything is.
fn end(rig: &Rig, label: &str, before: &[u64], batch: &[u64], taken: Vec<u64>) -> Came {
    let arrival = || rig.ring().arrival_of(batch[0]).expect("sound");
    let told_before = arrival();
    recover(rig, VICTIM);
    recover(rig, BYSTANDER);
    let told = arrival();
    let came = come(rig, label, before, batch, taken);
    assert_eq!(told, Some(came == Came::Whole), "{label}: whether it has arrived");
    assert!(told_before.is_none_or(|before| Some(before) == told), "{label}: told before the sweep");
    came
}

/// The rest of `end`.
fn come(rig: &Rig, label: &str, before: &[u64], batch: &[u64], mut taken: Vec<u64>) -> Came {
    taken.extend(std::iter::from_fn(|| take(rig, owner(SURVIVOR))));
    let (came, mut others): (Vec<u64>, Vec<u64>) = taken.into_iter().partition(|it| batch.contains(it));
    others.sort_unstable();
    let mut before = before.to_vec();
    before.sort_unstable();
    assert_eq!(others, before, "{label}: what else was there comes once");
    rig.assert_whole(owner(SURVIVOR));
    if came.is_empty() {
        return Came::Nothing;
    }
    assert_eq!(came, batch, "{label}: the batch comes whole, and in its order");
    Came::Whole
}

/// Publishes and is killed before access `steps`, in a scene; true if it got through.
fn publish(scene: &Scene, steps: u32) -> (Rig, Vec<u64>, Vec<u64>, Vec<Claim>, bool) {
    let (rig, claims, held) = (scene.prepare)();
    let before = committed(&rig);
    let batch = claims.iter().map(|claim| claim.ticket).collect();
    let is_through = abandon_after(steps, || bring(&rig, claims)).is_some();
    (rig, before, batch, held, is_through)
}

#[test]
fn a_batch_whose_producer_dies_before_any_access_is_whole_or_not_at_all() {
    for scene in SCENES {
        for takes in 0..3 {
            let mut came = vec![];
            for steps in 0.. {
                assert!(steps < MANY_STEPS, "it never ends");
                let label = format!("killed before access {steps}, {}, {takes} taken", scene.name);
                let (rig, before, batch, held, is_through) = publish(scene, steps);
                // Others go on at once, and may see a part of it before anybody sweeps.
                let taken = (0..takes).map_while(|_| take(&rig, owner(SURVIVOR))).collect();
                drop(held);
                came.push(end(&rig, &label, &before, &batch, taken));
                if is_through {
                    break;
                }
            }
            assert!(came.is_sorted_by_key(|came| *came == Came::Whole), "once begun, there is no way back");
            assert_eq!((&came[0], came.last()), (&Came::Nothing, Some(&Came::Whole)), "{}", scene.name);
        }
    }
}

#[test]
fn a_sweeper_that_dies_before_any_access_leaves_the_batch_to_the_next_one() {
    let mut kill_points = 0;
    for scene in SCENES {
        for steps in 0..MANY_STEPS {
            let mut is_through = false;
            for sweeper_steps in 0.. {
                assert!(sweeper_steps < MANY_STEPS, "it never ends");
                let label = format!(
                    "killed before access {steps}, its sweeper before access {sweeper_steps}, {}",
                    scene.name
                );
                let (rig, before, batch, held, through) = publish(scene, steps);
                is_through = through;
                let is_swept = abandon_after(sweeper_steps, || recover(&rig, VICTIM)).is_some();
                let taken = std::iter::from_fn(|| take(&rig, owner(SURVIVOR))).collect();
                drop(held);
                end(&rig, &label, &before, &batch, taken);
                kill_points += 1;
                if is_swept {
                    break;
                }
            }
            if is_through {
                break;
            }
        }
    }
    println!("{kill_points} pairs of kill points");
    assert!(kill_points > 1000, "the accesses are counted");
}

/// One thread is killed before each access of a batch, another one of the same process before each of a put in a slot that the
/// batch has had before.
#[test]
fn a_put_of_another_thread_in_a_slot_of_the_batch_is_no_part_of_it() {
    for steps in 0..MANY_STEPS {
        let mut is_through = false;
        for others_steps in 0..MANY_STEPS {
            let rig = Rig::new(2);
            let claims = claims(&rig, VICTIM, 2);
            let batch: Vec<u64> = claims.iter().map(|claim| claim.ticket).collect();
            is_through = abandon_after(steps, || bring(&rig, claims)).is_some();
            let Some(first) = take(&rig, owner(SURVIVOR)) else { break };
            let other = reserve(&rig, VICTIM);
            let ticket = other.ticket;
            let is_put = abandon_after(others_steps, || rig.ring().commit(other).expect("sound")).is_some();
            let before = committed(&rig).into_iter().filter(|it| *it == ticket).collect::<Vec<_>>();
            assert!(!is_put || before == [ticket]);
            let label = format!("killed before accesses {steps} and {others_steps}");
            assert_eq!(end(&rig, &label, &before, &batch, vec![first]), Came::Whole);
            if is_put {
                break;
            }
        }
        if is_through {
            return;
        }
    }
    panic!("it never ends");
}

/// The same with two batches: the second one waits for its turn, so that it dies before it says anything in the entry. It may
/// begin in the slot that the first one began in.
#[test]
fn a_batch_of_another_thread_that_waits_for_its_turn_is_no_part_of_the_first() {
    for (capacity, others) in [(4, 3), (2, 1)] {
        let publish = |steps| {
            let rig = Rig::new(capacity);
            let claims = claims(&rig, VICTIM, 2);
            let batch = claims.iter().map(|claim| claim.ticket).collect::<Vec<_>>();
            let _ = abandon_after(steps, || bring(&rig, claims));
            (rig, batch)
        };
        // Killed before its second commit.
        let steps = (0..MANY_STEPS).find(|steps| committed(&publish(*steps).0).len() == 1);
        for others_steps in 0..MANY_STEPS {
            let (rig, first) = publish(steps.expect("it has two commits"));
            let taken = take(&rig, owner(SURVIVOR)).into_iter().collect();
            let second = claims(&rig, VICTIM, others);
            let is_marked =
                abandon_after(others_steps, || rig.ring().mark_batch(&second, Comes::FromElsewhere, |_| ()))
                    .is_some();
            let label = format!("killed before access {others_steps}");
            assert_eq!(end(&rig, &label, &[], &first, taken), Came::Whole);
            if is_marked {
                break;
            }
        }
    }
}

#[test]
fn a_sweeper_that_slept_for_generations_completes_nothing_of_a_tenant_that_looks_the_same() {
    let rig = Rig::new(2);
    let claims = claims(&rig, VICTIM, 2);
    begin_to_publish(&rig, claims);
    let moved = rig.ring().recover(owner(VICTIM), &rig.publishing, || false);
    assert_eq!((moved, committed(&rig)), (Ok(0), vec![]), "the entry has moved on");
}

/// What a producer leaves that is killed before its first commit, and after it has said that it publishes.
fn begin_to_publish(rig: &Rig, claims: Vec<Claim>) {
    rig.ring().mark_batch(&claims, Comes::FromHere, |_| ());
    rig.publishing.store(claims[0].ticket + 1, Ordering::Relaxed);
}

/// Moves a slot from one phase to another, as somebody else does meanwhile.
fn move_on(rig: &Rig, slot: usize, from: Phase, to: impl Fn(Word) -> Word) {
    let state = &rig.slots[slot].state;
    let word = Word(state.load(Ordering::Relaxed));
    if word.phase() == Some(from) {
        state.store(to(word).0, Ordering::Relaxed);
    }
}

#[test]
fn an_item_that_is_burned_while_a_sweeper_completes_it_is_completed_late() {
    let rig = Rig::new(3);
    let claims = claims(&rig, VICTIM, 3);
    let batch: Vec<u64> = claims.iter().map(|claim| claim.ticket).collect();
    begin_to_publish(&rig, claims);
    // Between a look and the compare-and-swap that follows.
    let burn_all = || {
        for slot in 0..3 {
            move_on(&rig, slot, Phase::Writing, |word| {
                word.with(Phase::Late, word.owner()).one_lap_further()
            });
        }
        true
    };
    let moved = rig.ring().recover(owner(VICTIM), &rig.publishing, burn_all).expect("sound");
    assert_eq!((moved, rig.drain(owner(SURVIVOR))), (3, batch));
    rig.assert_whole(owner(SURVIVOR));
}

/// A sweeper completes an item that comes first, and dies before it moves the root's version again; a consumer that looked between
/// the sweeper's setting of the bits and its compare-and-swap has found nothing, and keeps that. The next sweeper is killed before
/// each of its accesses.
#[test]
fn what_a_sweeper_completed_that_died_comes_before_what_the_next_one_completes() {
    for completed in 1..=2 {
        for steps in 0..MANY_STEPS {
            let rig = Rig::new(4);
            let mut batch = claims(&rig, VICTIM, 2);
            // The first two are late, behind the tail; the third is not.
            for _ in 0..3 {
                rig.put(owner(BYSTANDER)).expect("a free slot");
                take(&rig, owner(BYSTANDER)).expect("an item");
            }
            batch.push(reserve(&rig, VICTIM));
            let tickets: Vec<u64> = batch.iter().map(|claim| claim.ticket).collect();
            let slots: Vec<usize> = batch.iter().map(|claim| claim.slot).collect();
            begin_to_publish(&rig, batch);
            let kept = Kept::default();
            for slot in &slots[..completed] {
                rig.ring().raise(*slot);
            }
            assert!(rig.ring().borrow(owner(SURVIVOR), &kept, |_| true).expect("sound").is_none());
            for slot in &slots[..completed] {
                move_on(&rig, *slot, Phase::Late, |word| word.with(Phase::Returned, Owner::NOBODY));
            }
            let recover = || rig.ring().recover(owner(VICTIM), &rig.publishing, || true);
            let outcome = abandon_after(steps, recover);
            let take = || {
                let claim = rig.ring().borrow(owner(SURVIVOR), &kept, |_| true).expect("sound")?;
                let ticket = claim.ticket;
                rig.ring().release(claim).expect("sound");
                Some(ticket)
            };
            let drained: Vec<u64> = std::iter::from_fn(take).collect();
            assert_eq!(drained, tickets[..drained.len()], "killed before access {steps}");
            if let Some(outcome) = outcome {
                assert_eq!((outcome, drained), (Ok(3 - completed), tickets));
                break;
            }
        }
    }
}

/// Free slots with these values in them, not yet committed.
fn fill<'q>(queue: &'q Queue, values: &[u8]) -> crate::WriteBatch<'q> {
    let mut batch = queue.try_reserve_batch(BatchSize::exactly(values.len())).expect("free slots");
    for (item, value) in values.iter().enumerate() {
        batch.leaf_bytes_mut(item, 0).fill(*value);
    }
    batch
}

#[test]
fn a_queue_completes_the_batch_of_a_participant_that_dies_before_any_access() {
    for steps in 0..MANY_STEPS {
        let queue = Queue::create_crowded(schema(), 4, 4);
        put(&queue, 1);
        let other = queue.join().expect("a place");
        let batch = fill(&other, &[2, 3, 4]);
        let is_through = abandon_after(steps, || batch.commit().expect("sound")).is_some();
        let mut came: Vec<u8> = (0..steps % 3).map_while(|_| get(&queue)).collect();
        other.die();
        queue.sweep().expect("sound");
        came.extend(drain(&queue));
        assert!([&[1][..], &[1, 2, 3, 4]].contains(&&came[..]), "{came:?} after {steps} accesses");
        assert!(!is_through || came.len() == 4);
        // A successor in the same place begins anew.
        let successor = queue.join().expect("the dead one's place");
        fill(&successor, &[5, 6]).commit().expect("sound");
        assert_eq!(drain(&queue), [5, 6]);
        if is_through {
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_participant_that_leaves_with_a_batch_in_hand_leaves_nothing_of_it() {
    let queue = Queue::create_crowded(schema(), 4, 4);
    let other = queue.join().expect("a place");
    fill(&other, &[1, 2]).commit().expect("sound");
    std::mem::forget(fill(&other, &[3, 4]));
    drop(other);
    assert_eq!(drain(&queue), [1, 2]);
    fill(&queue, &[5, 6, 7, 8]).commit().expect("all slots are free");
    assert_eq!(drain(&queue), [5, 6, 7, 8]);
}

#[test]
fn threads_publish_batches_one_after_the_other() {
    const ROUNDS: usize = 200;
    /// Enough of them that two threads meet.
    const SIZE: u8 = 120;
    let queue = local(256);
    let barrier = Barrier::new(2);
    for round in 0..ROUNDS {
        std::thread::scope(|scope| {
            for first in [0, SIZE] {
                let (queue, barrier) = (&queue, &barrier);
                scope.spawn(move || {
                    let batch = fill(queue, &(first..first + SIZE).collect::<Vec<_>>());
                    barrier.wait();
                    batch.commit().expect("nobody else publishes");
                });
            }
        });
        let (low, high): (Vec<u8>, Vec<u8>) = drain(&queue).into_iter().partition(|value| *value < SIZE);
        assert!(low.into_iter().eq(0..SIZE) && high.into_iter().eq(SIZE..2 * SIZE), "round {round}");
    }
}

#[test]
fn a_batch_is_refused_where_the_entry_says_that_another_is_published() {
    let queue = local(4);
    put(&queue, 1);
    let entry = &queue.attachment().segment().entries()[0];
    entry.publishing.store(0xbad, Ordering::Relaxed);
    let error: Corrupted = fill(&queue, &[2, 3]).commit().expect_err("damaged");
    assert_eq!(error.damage(), &Damage::Publishing { participant: 0, found: 0xbad });
    put(&queue, 4);
    entry.publishing.store(0, Ordering::Relaxed);
    fill(&queue, &[5, 6]).commit().expect("mended");
    assert_eq!(drain(&queue), [1, 4, 5, 6], "nothing of the batch, and its slots are free");
}

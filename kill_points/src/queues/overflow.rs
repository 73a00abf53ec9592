//! Queues that drop their oldest items: a put is never refused while anything can be dropped, so the queue is full when one drops something.

use treequeues::{BatchSize, BorrowError, CreateOptions, Hold, Queue, ReserveError, Wait};

use super::items::{CAPACITY, SHORT_WAIT, fill, options, put, read, schema, take, value_of, write};
use super::scenes::{borrowed, put_all, settled};
use super::verdict::assert_order;
use crate::children::die;
use crate::ledger::{LATER, Ledger, VICTIMS, is_victims};
use crate::pool::Case;
use crate::short;
use crate::structure::{Groups, Operation, Scene, Structure, finish};
use crate::tracer::begin;

/// A queue that drops its oldest items.
pub struct Dropping(Queue);

/// What a victim may have done that was killed half-way.
#[derive(Clone, Copy, Debug, Default)]
pub struct May {
    put: usize,
    take: usize,
    /// How many items it drops at most.
    overwrite: usize,
}

/// What was put and taken by the survivor since the victim began.
#[derive(Debug, Default)]
pub struct Account {
    put: Vec<u64>,
    taken: Vec<u64>,
}

/// Puts of the survivor around a victim, for each slot.
const LAPS: usize = 3;

/// What the first of two victims does, of which the second one sweeps, and on which ring.
pub const FIRST: &[(&str, &str)] =
    &[("reserve", "full"), ("put, whole", "full"), ("put, whole", "a dead reader"), ("put a batch", "full")];

const SCENES: &[Scene<Dropping>] = &[
    Scene { name: "empty", capacity: CAPACITY, known: &[], prepare: |_| vec![] },
    Scene {
        name: "full",
        capacity: CAPACITY,
        known: &[1, 2, 3],
        prepare: |queue| {
            put_all(&queue.0, &[1, 2, 3]);
            vec![]
        },
    },
    Scene {
        name: "second lap",
        capacity: CAPACITY,
        known: &[2, 3, 4],
        prepare: |queue| {
            put_all(&queue.0, &[1, 2, 3]);
            take(&queue.0).expect("an item");
            put_all(&queue.0, &[4]);
            vec![]
        },
    },
    Scene {
        name: "the oldest is being read",
        capacity: CAPACITY,
        known: &[1, 2, 3],
        prepare: |queue| {
            put_all(&queue.0, &[1, 2, 3]);
            vec![borrowed(&queue.0)]
        },
    },
    Scene {
        name: "all but one are being read",
        capacity: CAPACITY,
        known: &[1, 2, 3],
        prepare: |queue| {
            put_all(&queue.0, &[1, 2, 3]);
            vec![borrowed(&queue.0), borrowed(&queue.0)]
        },
    },
    Scene {
        name: "an item given back",
        capacity: CAPACITY,
        known: &[1, 2, 3],
        prepare: |queue| {
            put_all(&queue.0, &[1, 2, 3]);
            borrowed(&queue.0).give_back().expect("sound");
            vec![]
        },
    },
    Scene {
        name: "a dead reader",
        capacity: CAPACITY,
        known: &[1, 2, 3],
        prepare: |queue| {
            put_all(&queue.0, &[1, 2, 3]);
            die(|| borrowed(&queue.0));
            vec![]
        },
    },
];

const NOTHING: May = May { put: 0, take: 0, overwrite: 0 };

const OPERATIONS: &[Operation<Dropping>] = &[
    Operation {
        name: "reserve",
        may: May { overwrite: 1, ..NOTHING },
        life: |queue, ledger| {
            begin();
            let _held = queue.0.try_reserve();
            finish(ledger);
        },
    },
    Operation {
        name: "put, whole",
        may: May { put: 1, overwrite: 1, ..NOTHING },
        life: |queue, ledger| {
            begin();
            if let Some(loan) = write(&queue.0, VICTIMS) {
                loan.commit().expect("sound");
                ledger.put(1);
            }
            finish(ledger);
        },
    },
    Operation {
        name: "put and wait",
        may: May { put: 1, overwrite: 1, ..NOTHING },
        life: |queue, ledger| {
            begin();
            if let Ok(mut loan) = queue.0.reserve_with(Wait::at_most(SHORT_WAIT)) {
                fill(&mut loan, VICTIMS);
                loan.commit().expect("sound");
                ledger.put(1);
            }
            finish(ledger);
        },
    },
    Operation {
        name: "put a batch",
        may: May { put: 2, overwrite: 2, ..NOTHING },
        life: |queue, ledger| {
            begin();
            if let Ok(mut batch) = queue.0.try_reserve_batch(BatchSize::exactly(2)) {
                for item in 0..2 {
                    batch.leaf_mut::<u64>(item, 0).expect("the leaf").fill(VICTIMS + item as u64);
                }
                batch.commit().expect("sound");
                ledger.put(2);
            }
            finish(ledger);
        },
    },
    Operation {
        name: "get, whole",
        may: May { take: 1, ..NOTHING },
        life: |queue, ledger| {
            begin();
            if let Some(loan) = read(&queue.0) {
                let value = value_of(&loan);
                loan.release().expect("sound");
                ledger.took(value);
            }
            finish(ledger);
        },
    },
    Operation {
        name: "sweep",
        may: NOTHING,
        life: |queue, ledger| {
            begin();
            queue.0.sweep().expect("sound");
            finish(ledger);
        },
    },
];

impl Structure for Dropping {
    const PREFIX: &'static str = "overflow: ";
    const GROUPS: Groups = Groups {
        short: "operations of queues that drop their oldest items",
        beside_a_sleeper: "beside a sleeper",
        sweepers: "sweepers that die too",
    };
    const SCENES: &'static [Scene<Self>] = SCENES;
    const OPERATIONS: &'static [Operation<Self>] = OPERATIONS;
    type Held<'s> = Vec<Hold>;
    /// As for queues; what is dropped meanwhile is counted.
    type Known = &'static [u64];
    type May = May;
    type Account = Account;

    fn create(capacity: usize) -> Self {
        let options = CreateOptions { drop_oldest: true, ..options() };
        Self(Queue::create_with(schema(), capacity as u64, options).expect("memory"))
    }

    fn join(&self) {
        self.0.snapshot().expect("sound");
    }

    fn sweep(&self) {
        self.0.sweep().expect("sound");
    }

    fn warm_up() {
        Queue::warm_up();
    }

    fn prepare(&self, scene: &Scene<Self>) -> Vec<Hold> {
        settled(&self.0, || (scene.prepare)(self))
    }

    fn glance(&self, _: &mut Vec<Hold>, _: &Scene<Self>, _: May) -> Account {
        let found = self.0.snapshot().expect("sound");
        match self.0.try_borrow() {
            Ok(loan) => loan.give_back().expect("sound"),
            Err(BorrowError::Empty) => {
                assert_eq!(found.ready, 0, "an item is there, and cannot be had: {found:?}")
            }
            Err(error) => panic!("{error}"),
        }
        Account::default()
    }

    /// Two puts for each take, so that there is something to drop.
    fn go_on(&self, _: &mut Vec<Hold>, _: &Scene<Self>, _: May) -> Account {
        let mut account = Account::default();
        for (turn, value) in (LATER..).take(LAPS * self.0.capacity()).enumerate() {
            let before = self.0.snapshot().expect("sound");
            match self.0.try_reserve() {
                Ok(mut loan) => {
                    fill(&mut loan, value);
                    loan.commit().expect("sound");
                    account.put.push(value);
                }
                Err(ReserveError::Full) => {
                    assert_eq!(before.ready, 0, "an item could be dropped, and was not: {before:?}");
                }
                Err(error) => panic!("{error}"),
            }
            if turn % 2 == 1 {
                account.taken.extend(take(&self.0));
            }
        }
        account
    }

    fn slept(_: &mut Account, _: &[u64], _: Vec<u64>) {}

    fn assert_nothing_is_lost(
        &self,
        scene: &Scene<Self>,
        held: Vec<Hold>,
        account: Account,
        may: May,
        ledger: &Ledger,
    ) {
        // What was read is given back.
        drop(held);
        self.sweep();
        let stats = self.0.stats().expect("sound");
        assert_eq!(stats.participants.len(), 1, "the dead are gone from the table: {stats:?}");
        assert_eq!(stats.held, [], "nothing is held any more");

        let mut taken = account.taken;
        taken.extend(assert_order(&self.0));
        let mut once = taken.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), taken.len(), "an item came twice: {taken:?}");

        let overwritten = self.overwritten();
        let known = || scene.known.iter().chain(&account.put);
        let less: Vec<_> = known().filter(|value| !taken.contains(value)).collect();
        let outcome = ledger.outcome();
        let (put, taken_by_victim) = outcome.clone().unwrap_or_default();
        match outcome {
            Some(_) => {
                let lost = less.len() + put.iter().filter(|value| !taken.contains(value)).count();
                assert_eq!(
                    lost,
                    overwritten + taken_by_victim.len(),
                    "{less:?} are gone: what was dropped is counted"
                );
            }
            None => {
                let more: Vec<_> = taken.iter().copied().filter(|value| is_victims(*value)).collect();
                assert!(more.len() <= may.put, "{more:?}, more than it put");
                // Between a drop and its count it was killed, or between the drop and its put.
                let dropped = overwritten.saturating_sub(may.put)..=overwritten + may.overwrite + may.take;
                assert!(dropped.contains(&less.len()), "{less:?} are gone, and {overwritten} were dropped");
            }
        }
        // Whichever of the two was put last. A victim that has dropped something, and then put nothing, may have dropped that.
        let mut newest = account.put.last().into_iter().chain(put.last()).peekable();
        assert!(
            newest.peek().is_none()
                || put.is_empty() && may.overwrite > 0
                || newest.any(|value| taken.contains(value) || taken_by_victim.contains(value)),
            "what was put last was dropped: {taken:?}"
        );
        self.assert_capacity_is_whole();
    }
}

impl Dropping {
    fn overwritten(&self) -> usize {
        self.0.stats().expect("sound").counters.overwritten as usize
    }

    /// As many as there are slots are put and none is dropped; one more drops the oldest.
    fn assert_capacity_is_whole(&self) {
        let before = self.overwritten();
        let capacity = self.0.capacity() as u64;
        assert!((0..capacity).all(|value| put(&self.0, value)), "a put is not refused");
        assert_eq!(self.overwritten(), before, "capacity was lost");
        assert!(put(&self.0, capacity));
        assert_eq!(self.overwritten(), before + 1, "there are more slots than there were");
        let all: Vec<_> = std::iter::from_fn(|| take(&self.0)).collect();
        assert!(all.iter().copied().eq(1..=capacity), "{all:?} came for a full ring");
    }
}

pub fn cases() -> Vec<Case> {
    short::cases::<Dropping>()
}

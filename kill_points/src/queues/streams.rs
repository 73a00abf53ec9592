//! Queues that know how many producers there will be: the stream ends when all have left, whoever dies where.

use std::num::NonZeroU32;

use treequeues::{BorrowError, CreateOptions, Producing, ProducingError, Queue, Wait};

use super::items::{CAPACITY, SHORT_WAIT, options, put, read, schema, take, value_of};
use super::scenes::{put_all, settled};
use crate::children::{WATCHDOG, die};
use crate::ledger::{LATER, Ledger, VICTIMS, is_victims};
use crate::pool::Case;
use crate::short;
use crate::sleepers::{Night, Sleeper};
use crate::structure::{Groups, Operation, Scene, Structure, finish};
use crate::tracer::begin;

/// A queue that knows how many producers there will be.
pub struct Streaming(Queue);

/// How many that is.
const SAID: u64 = 2;

/// What is known of a scene.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    items: &'static [u64],
    /// Blocks that have come.
    came: u64,
    /// Of these, in processes that are dead.
    died: u64,
}

/// What a victim may have done that was killed half-way.
#[derive(Clone, Copy, Debug)]
pub struct May {
    put: usize,
    take: usize,
    /// Blocks that it begins.
    come: u64,
}

/// What the survivor did since the victim began.
#[derive(Debug, Default)]
pub struct Account {
    put: Vec<u64>,
    taken: Vec<u64>,
    came: u64,
}

const SCENES: &[Scene<Streaming>] = &[
    Scene {
        name: "nobody has come",
        capacity: CAPACITY,
        known: Known { items: &[1, 2], came: 0, died: 0 },
        prepare: |queue| {
            put_all(&queue.0, &[1, 2]);
            vec![]
        },
    },
    Scene {
        name: "another block is there",
        capacity: CAPACITY,
        known: Known { items: &[1, 2], came: 1, died: 0 },
        prepare: |queue| {
            put_all(&queue.0, &[1, 2]);
            vec![queue.0.producing().expect("open")]
        },
    },
    Scene {
        name: "another has left",
        capacity: CAPACITY,
        known: Known { items: &[1, 2], came: 1, died: 0 },
        prepare: |queue| {
            put_all(&queue.0, &[1, 2]);
            queue.0.producing().expect("open").end();
            vec![]
        },
    },
    Scene {
        name: "another died",
        capacity: CAPACITY,
        known: Known { items: &[1], came: 1, died: 1 },
        prepare: |queue| {
            put_all(&queue.0, &[1]);
            die(|| queue.0.producing().expect("open"));
            vec![]
        },
    },
    Scene {
        name: "all have left",
        capacity: CAPACITY,
        known: Known { items: &[1, 2], came: SAID, died: 0 },
        prepare: |queue| {
            put_all(&queue.0, &[1, 2]);
            let first = queue.0.producing().expect("open");
            queue.0.producing().expect("open").end();
            first.end();
            vec![]
        },
    },
];

const OPERATIONS: &[Operation<Streaming>] = &[
    Operation {
        name: "begin a block",
        may: May { put: 0, take: 0, come: 1 },
        life: |queue, ledger| {
            begin();
            let block = queue.0.producing();
            finish(ledger);
            // It ends by this process's death.
            std::mem::forget(block);
        },
    },
    Operation {
        name: "end a block",
        may: May { put: 0, take: 0, come: 1 },
        life: |queue, ledger| {
            let Ok(block) = queue.0.producing() else { return };
            begin();
            block.end();
            finish(ledger);
        },
    },
    Operation {
        name: "a block, whole",
        may: May { put: 1, take: 0, come: 1 },
        life: |queue, ledger| {
            begin();
            if let Ok(_block) = queue.0.producing()
                && put(&queue.0, VICTIMS)
            {
                ledger.put(1);
            }
            finish(ledger);
        },
    },
    Operation {
        name: "get and wait",
        may: May { put: 0, take: 1, come: 0 },
        life: |queue, ledger| {
            begin();
            if let Ok(loan) = queue.0.borrow_with(Wait::at_most(SHORT_WAIT)) {
                let value = value_of(&loan);
                loan.release().expect("sound");
                ledger.took(value);
            }
            finish(ledger);
        },
    },
    Operation {
        name: "sweep",
        may: May { put: 0, take: 0, come: 0 },
        life: |queue, ledger| {
            begin();
            queue.0.sweep().expect("sound");
            finish(ledger);
        },
    },
];

impl Structure for Streaming {
    const PREFIX: &'static str = "stream: ";
    const GROUPS: Groups = Groups {
        short: "producers' blocks",
        beside_a_sleeper: "beside a sleeper",
        sweepers: "sweepers that die too",
    };
    const SCENES: &'static [Scene<Self>] = SCENES;
    const OPERATIONS: &'static [Operation<Self>] = OPERATIONS;
    type Held<'s> = Vec<Producing>;
    type Known = Known;
    type May = May;
    type Account = Account;

    fn create(capacity: usize) -> Self {
        let options = CreateOptions { producers: NonZeroU32::new(SAID as u32), ..options() };
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

    fn prepare(&self, scene: &Scene<Self>) -> Vec<Producing> {
        settled(&self.0, || (scene.prepare)(self))
    }

    fn glance(&self, _: &mut Vec<Producing>, _: &Scene<Self>, _: May) -> Account {
        if let Some(loan) = read(&self.0) {
            loan.give_back().expect("sound");
        }
        Account::default()
    }

    /// Takes everything, and puts as long as the stream goes on, in a block of its own.
    fn go_on(&self, _: &mut Vec<Producing>, _: &Scene<Self>, _: May) -> Account {
        let mut account = Account::default();
        let before = self.0.snapshot().expect("sound");
        account.taken.extend(std::iter::from_fn(|| take(&self.0)));
        assert_eq!(account.taken.len(), before.ready, "an item is there, and cannot be had: {before:?}");
        account.run_a_block(&self.0);
        account
    }

    fn slept(account: &mut Account, _: &[u64], taken: Vec<u64>) {
        account.taken.extend(taken);
    }

    fn assert_nothing_is_lost(
        &self,
        scene: &Scene<Self>,
        held: Vec<Producing>,
        mut account: Account,
        may: May,
        ledger: &Ledger,
    ) {
        drop(held);
        self.sweep();
        let stats = self.0.stats().expect("sound");
        assert_eq!(stats.participants.len(), 1, "the dead are gone from the table: {stats:?}");
        let blocks = stats.producers.expect("it was made with a number");
        let others = scene.known.came + account.came;
        assert!((others..=others + may.come).contains(&blocks.came), "{blocks:?}, {others} were others'");
        assert_eq!(blocks.came, blocks.left + blocks.died, "a block was left");
        // One that ends is counted before its process can say that it is done.
        let died = scene.known.died..=scene.known.died + may.come;
        assert!(died.contains(&blocks.died), "{blocks:?} of {:?}", scene.known);

        if blocks.came < SAID {
            self.assert_it_goes_on(&mut account);
        }
        (blocks.came..SAID).for_each(|_| account.run_a_block(&self.0));
        account.taken.extend(std::iter::from_fn(|| take(&self.0)));
        match self.0.borrow_with(Wait::at_most(WATCHDOG)) {
            Err(BorrowError::ShutDown(shutdown)) => {
                let ended = shutdown.ended().expect("by its producers");
                assert!(
                    u64::from(ended.came) >= SAID && u64::from(ended.died) <= blocks.died,
                    "{ended:?} of {blocks:?}"
                );
            }
            other => panic!("all producers have left, and a consumer finds {other:?}"),
        }
        assert!(matches!(self.0.producing(), Err(ProducingError::ShutDown(_))), "the stream has ended");

        let mut expected: Vec<_> = scene.known.items.iter().chain(&account.put).copied().collect();
        let mut taken = account.taken;
        match ledger.outcome() {
            Some((put, taken_by_victim)) => {
                expected.extend(put);
                taken.extend(taken_by_victim);
            }
            None => {
                let victims = taken.iter().copied().filter(|value| is_victims(*value));
                expected.extend(victims.take(may.put));
                let less: Vec<_> = expected.iter().copied().filter(|value| !taken.contains(value)).collect();
                assert!(less.len() <= may.take, "{less:?} were lost");
                taken.extend(less);
            }
        }
        expected.sort_unstable();
        taken.sort_unstable();
        assert_eq!(taken, expected, "each item comes exactly once");
    }
}

impl Streaming {
    /// Not all have come: all slots can be filled, and no more.
    fn assert_it_goes_on(&self, account: &mut Account) {
        account.taken.extend(std::iter::from_fn(|| take(&self.0)));
        super::verdict::assert_capacity_is_whole(&self.0);
        assert!(matches!(self.0.try_borrow(), Err(BorrowError::Empty)), "not all producers have come");
    }
}

impl Account {
    /// A block with one item, unless the stream has ended.
    fn run_a_block(&mut self, queue: &Queue) {
        let value = LATER + self.came;
        match queue.producing() {
            Ok(block) => {
                self.came += 1;
                if put(queue, value) {
                    self.put.push(value);
                }
                block.end();
            }
            Err(ProducingError::ShutDown(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

const CONSUMER: Sleeper<Streaming> = Sleeper {
    name: "a consumer sleeps until the end",
    life: |queue, ledger| {
        loop {
            match queue.0.borrow_with(Wait::at_most(WATCHDOG * 2)) {
                Ok(loan) => {
                    ledger.took(value_of(&loan));
                    loan.release().expect("sound");
                }
                Err(BorrowError::ShutDown(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        ledger.done();
    },
};

/// A consumer of an empty queue waits for the end of the stream.
pub fn nights() -> Vec<Night<Streaming>> {
    let another_has_left = || Scene {
        name: "empty, another has left",
        capacity: CAPACITY,
        known: Known { items: &[], came: 1, died: 0 },
        prepare: |queue: &Streaming| {
            queue.0.producing().expect("open").end();
            vec![]
        },
    };
    let another_died = || Scene {
        name: "empty, another died",
        capacity: CAPACITY,
        known: Known { items: &[], came: 1, died: 1 },
        prepare: |queue: &Streaming| {
            die(|| queue.0.producing().expect("open"));
            vec![]
        },
    };
    let night = |scene, operation| Night {
        scene,
        sleeper: CONSUMER,
        operation,
        // Of a victim that was killed before its block had come, the survivor does the part.
        nudge: |queue: &Streaming, _| {
            let mut account = Account::default();
            account.run_a_block(&queue.0);
            account
        },
        also_stopped: false,
    };
    let by_death_alone = |scene| Night { nudge: |_, _| Account::default(), ..night(scene, "end a block") };
    vec![
        by_death_alone(another_has_left()),
        by_death_alone(another_died()),
        night(another_has_left(), "a block, whole"),
        night(another_has_left(), "begin a block"),
        night(another_died(), "sweep"),
    ]
}

pub fn cases() -> Vec<Case> {
    short::cases::<Streaming>()
}

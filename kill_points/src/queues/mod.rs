//! Queues: what is in them, the rings that operations begin on, what victims do, and what a survivor must find.
//!
//! | module | what it is |
//! |---|---|
//! | `items` | queues of items that name themselves |
//! | `scenes`, `operations` | the rings, and what victims do |
//! | `verdict` | what a survivor must find |
//! | `nights` | who sleeps beside what |
//! | `overflow` | the same of queues that drop their oldest items |
//! | `streams` | the same of queues that know how many producers there will be |

pub mod items;
mod nights;
mod operations;
mod overflow;
pub mod scenes;
mod streams;
pub mod verdict;

use std::time::Duration;

use treequeues::{BatchSize, Hold, Queue, Wait};

use self::items::{CAPACITY, queue, take};
use self::operations::{May, OPERATIONS};
use self::scenes::{SCENES, put_all, settled};
use self::verdict::{Account, assert_first_comes_first, assert_nothing_is_lost};
use crate::ledger::{Ledger, SLEEPERS};
use crate::pool::Case;
use crate::structure::{Groups, Operation, Scene, Structure};
use crate::{double, short, sleepers};

/// What the first of two victims does, of which the second one sweeps, and on which ring.
const FIRST: &[(&str, &str)] = &[
    ("reserve", "empty"),
    ("commit", "one item"),
    ("commit, late", "empty"),
    ("borrow", "full"),
    ("release", "full"),
    ("give back", "full"),
    ("linger, read", "full"),
    ("get, whole", "an item in the way"),
    ("put, whole", "a reader in the way"),
    ("reserve a batch", "empty"),
    ("commit a batch", "empty"),
    ("commit a batch, late", "empty"),
    ("bring a batch", "empty"),
    ("bring a batch, late", "empty"),
    ("borrow a batch", "full"),
    ("give back a batch", "full"),
];

impl Structure for Queue {
    const PREFIX: &'static str = "";
    const GROUPS: Groups = Groups {
        short: "operations",
        beside_a_sleeper: "beside a sleeper",
        sweepers: "sweepers that die too",
    };
    const SCENES: &'static [Scene<Self>] = SCENES;
    const OPERATIONS: &'static [Operation<Self>] = OPERATIONS;
    type Held<'s> = Vec<Hold>;
    /// The items that must be found by and by, if nothing else happens: what nobody has taken for good.
    type Known = &'static [u64];
    type May = May;
    type Account = Account;

    fn create(capacity: usize) -> Self {
        queue(capacity)
    }

    fn join(&self) {
        self.snapshot().expect("sound");
    }

    fn sweep(&self) {
        self.sweep().expect("sound");
    }

    /// What is made at its first use, as the clock's address, is made before anybody forks: so all victims take one way.
    fn warm_up() {
        let queue = queue(CAPACITY);
        put_all(&queue, &[1, 2]);
        while take(&queue).is_some() {}
        let wait = || Wait::at_most(Duration::from_millis(1));
        assert!(queue.borrow_batch_with(BatchSize::exactly(2), wait()).is_err(), "it is empty");
    }

    fn prepare(&self, scene: &Scene<Self>) -> Vec<Hold> {
        settled(self, || (scene.prepare)(self))
    }

    fn glance(&self, _: &mut Vec<Hold>, _: &Scene<Self>, _: May) -> Account {
        Account::of_a_glance(self)
    }

    fn go_on(&self, _: &mut Vec<Hold>, _: &Scene<Self>, _: May) -> Account {
        Account::of_going_on(self)
    }

    fn slept(account: &mut Account, put: &[u64], taken: Vec<u64>) {
        account.put.extend(put.iter().map(|_| SLEEPERS));
        account.taken.extend(taken);
    }

    fn assert_it_went_on(&self) {
        assert_first_comes_first(self);
    }

    fn assert_nothing_is_lost(
        &self,
        scene: &Scene<Self>,
        held: Vec<Hold>,
        account: Account,
        may: May,
        ledger: &Ledger,
    ) {
        assert_nothing_is_lost(self, scene.known, held, account, may, ledger);
    }
}

/// Every operation on every ring, beside sleepers, and with sweepers that die.
pub fn cases() -> Vec<Case> {
    [
        short::cases::<Queue>(),
        overflow::cases(),
        streams::cases(),
        sleepers::cases(nights::nights()),
        sleepers::cases(streams::nights()),
        double::cases::<Queue>(FIRST),
        double::cases::<overflow::Dropping>(overflow::FIRST),
    ]
    .into_iter()
    .flatten()
    .collect()
}

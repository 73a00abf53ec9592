//! Topics: what is in them, what operations begin on, what victims do, and what a survivor must find.
//!
//! | module | what it is |
//! |---|---|
//! | `items` | topics of items that name themselves |
//! | `verdict` | what a survivor must find |
//! | `scenes`, `operations` | the topics that operations begin on, and what victims do |
//! | `nights` | who sleeps beside what |

mod items;
mod nights;
mod operations;
mod scenes;
mod verdict;

use std::time::Duration;

use treequeues::{Start, Topic, Wait};

use self::items::{CAPACITY, put, subscribe, topic};
use self::verdict::{Account, Held, Known, May};
use crate::ledger::Ledger;
use crate::pool::Case;
use crate::structure::{Groups, Operation, Scene, Structure};
use crate::{double, short, sleepers};

/// What the first of two victims does, of which the second one sweeps, and on which topic.
const FIRST: &[(&str, &str)] = &[
    ("reserve", "all slots have had items"),
    ("commit", "no item yet"),
    ("commit", "all slots have had items"),
    ("put, whole", "the oldest is being read"),
    ("abort", "all slots have had items"),
    ("latest", "all slots have had items"),
    ("next", "all slots have had items"),
    ("next, whole, to the end", "a slot is being written"),
    ("release", "all slots have had items"),
    ("release one of two", "one item"),
    ("linger, written", "all slots have had items"),
    ("let go, written", "all slots have had items"),
    ("subscribe", "one item"),
    ("shut down", "one item"),
];

impl Structure for Topic {
    const PREFIX: &'static str = "topic: ";
    const GROUPS: Groups = Groups {
        short: "operations of topics",
        beside_a_sleeper: "topics beside a sleeper",
        sweepers: "sweepers of topics that die too",
    };
    const SCENES: &'static [Scene<Self>] = scenes::SCENES;
    const OPERATIONS: &'static [Operation<Self>] = operations::OPERATIONS;
    type Held<'s> = Held<'s>;
    type Known = Known;
    type May = May;
    type Account = Account;

    fn create(capacity: usize) -> Self {
        topic(capacity)
    }

    fn join(&self) {
        items::join(self);
    }

    fn sweep(&self) {
        self.sweep().expect("sound");
    }

    fn warm_up() {
        let topic = topic(CAPACITY);
        put(&topic, 1).expect("room");
        let all = subscribe(&topic, Start::Oldest);
        all.try_borrow().expect("an item").release().expect("sound");
        assert!(all.borrow_with(Wait::at_most(Duration::from_millis(1))).is_err(), "that was all");
    }

    fn glance(&self, _: &mut Held<'_>, scene: &Scene<Self>, may: May) -> Account {
        Account::of_a_glance(self, scene.known, may)
    }

    fn go_on(&self, held: &mut Held<'_>, scene: &Scene<Self>, may: May) -> Account {
        Account::of_going_on(self, held, scene.known, may)
    }

    fn slept(account: &mut Account, put: &[u64], _: Vec<u64>) {
        account.of_sleepers += put.len() as u64;
    }

    fn assert_nothing_is_lost(
        &self,
        scene: &Scene<Self>,
        held: Held<'_>,
        account: Account,
        may: May,
        ledger: &Ledger,
    ) {
        verdict::assert_nothing_is_lost(self, held, account, scene.known, may, ledger);
    }
}

/// Every operation on every topic, beside sleepers, and with sweepers that die.
pub fn cases() -> Vec<Case> {
    [short::cases::<Topic>(), sleepers::cases(nights::nights()), double::cases::<Topic>(FIRST)]
        .into_iter()
        .flatten()
        .collect()
}

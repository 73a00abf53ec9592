//! Who sleeps beside an operation of a queue.

use treequeues::{BatchSize, Queue, Wait};

use super::items::{CAPACITY, fill, put, take, value_in, value_of};
use super::scenes::{borrowed, put_all};
use super::verdict::Account;
use crate::children::{WATCHDOG, die};
use crate::ledger::{LATER, SLEEPERS};
use crate::sleepers::{Night, Sleeper};
use crate::structure::Scene;

const CONSUMER: Sleeper<Queue> = Sleeper {
    name: "a consumer sleeps",
    life: |queue, ledger| {
        let loan = queue.borrow_with(Wait::at_most(WATCHDOG * 2)).expect("an item");
        ledger.took(value_of(&loan));
        loan.release().expect("sound");
        ledger.done();
    },
};

const PRODUCER: Sleeper<Queue> = Sleeper {
    name: "a producer sleeps",
    life: |queue, ledger| {
        let mut loan = queue.reserve_with(Wait::at_most(WATCHDOG * 2)).expect("a slot");
        fill(&mut loan, SLEEPERS);
        loan.commit().expect("sound");
        ledger.put(1);
        ledger.done();
    },
};

const CONSUMER_OF_TWO: Sleeper<Queue> = Sleeper {
    name: "a consumer of two sleeps",
    life: |queue, ledger| {
        let wait = Wait::at_most(WATCHDOG * 2);
        let batch = queue.borrow_batch_with(BatchSize::exactly(2), wait).expect("two items");
        for item in 0..2 {
            ledger.took(value_in(&batch, item));
        }
        batch.release().expect("sound");
        ledger.done();
    },
};

/// What the survivor does after the death, so that the sleeper has what it waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nudge {
    /// The death alone is enough.
    Nothing,
    Put,
    Take,
}

/// Two, so that there is enough in any case; the second one may have to wait for what the dead one held.
fn put_two(queue: &Queue, is_stopped: bool) -> Account {
    let mut account = Account::default();
    assert!(put(queue, LATER), "there is room");
    account.put.push(LATER);
    if !is_stopped {
        let mut loan = queue.reserve_with(Wait::at_most(WATCHDOG)).expect("room");
        fill(&mut loan, LATER + 1);
        loan.commit().expect("sound");
        account.put.push(LATER + 1);
    }
    account
}

/// Every operation that somebody can wait for.
pub fn nights() -> Vec<Night<Queue>> {
    let empty = || Scene::<Queue> { name: "empty", capacity: CAPACITY, known: &[], prepare: |_| vec![] };
    let full = || Scene::<Queue> {
        name: "full",
        capacity: CAPACITY,
        known: &[1, 2, 3],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            vec![]
        },
    };
    let one_item = || Scene::<Queue> {
        name: "one item",
        capacity: CAPACITY,
        known: &[1],
        prepare: |queue| {
            put_all(queue, &[1]);
            vec![]
        },
    };
    let two_items = || Scene::<Queue> {
        name: "two items",
        capacity: CAPACITY,
        known: &[1, 2],
        prepare: |queue| {
            put_all(queue, &[1, 2]);
            vec![]
        },
    };
    let dead_reader = || Scene::<Queue> {
        name: "a dead one has the only item",
        capacity: CAPACITY,
        known: &[1],
        prepare: |queue| {
            put_all(queue, &[1]);
            die(|| {
                let held = borrowed(queue);
                // It looks for the dead, so that nobody else does so for a while.
                assert_eq!(take(queue), None);
                held
            });
            vec![]
        },
    };
    let night = |scene, sleeper: Sleeper<Queue>, operation, nudge: Nudge| {
        // Where the death alone brings something, a stop brings nothing; and with a stopped one's slots missing, there may be no two items
        // for anybody.
        let also_stopped = nudge == Nudge::Put && sleeper.name != CONSUMER_OF_TWO.name;
        let nudge = match nudge {
            Nudge::Nothing => |_: &Queue, _| Account::default(),
            Nudge::Put => put_two,
            Nudge::Take => {
                |queue: &Queue, _| Account { taken: take(queue).into_iter().collect(), ..Account::default() }
            }
        };
        Night { scene, sleeper, operation, nudge, also_stopped }
    };
    vec![
        night(empty(), CONSUMER, "commit", Nudge::Put),
        night(empty(), CONSUMER, "put, whole", Nudge::Put),
        night(empty(), CONSUMER, "commit a batch", Nudge::Put),
        night(empty(), CONSUMER_OF_TWO, "commit a batch", Nudge::Put),
        night(one_item(), CONSUMER, "give back", Nudge::Nothing),
        night(one_item(), CONSUMER, "release", Nudge::Put),
        night(two_items(), CONSUMER, "give back a batch", Nudge::Nothing),
        night(two_items(), CONSUMER_OF_TWO, "give back a batch", Nudge::Nothing),
        night(dead_reader(), CONSUMER, "sweep", Nudge::Nothing),
        night(full(), PRODUCER, "release", Nudge::Take),
        night(full(), PRODUCER, "get, whole", Nudge::Take),
        night(full(), PRODUCER, "release a batch", Nudge::Take),
        night(full(), PRODUCER, "linger, read", Nudge::Take),
        night(full(), PRODUCER, "let go", Nudge::Nothing),
        night(two_items(), PRODUCER, "abort", Nudge::Nothing),
        night(one_item(), PRODUCER, "abort a batch", Nudge::Nothing),
        night(two_items(), PRODUCER, "linger, written", Nudge::Nothing),
    ]
}

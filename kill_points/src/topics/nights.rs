//! Who sleeps beside an operation of a topic.

use treequeues::{PublishError, Start, SubscribeError, Topic, Wait};

use super::items::{CAPACITY, fill, found, from_the_first, put, subscribe, value_of, write};
use super::verdict::{Account, Held, Known};
use crate::children::{WATCHDOG, die};
use crate::ledger::{LATER, SLEEPERS, VICTIMS};
use crate::sleepers::{Night, Sleeper};
use crate::structure::Scene;

const SUBSCRIBER: Sleeper<Topic> = Sleeper {
    name: "a subscriber sleeps",
    life: |_, ledger| {
        let all = from_the_first();
        // What was there before does not count.
        while value_of(&all.borrow_with(watched()).expect("an item")) < VICTIMS {}
        ledger.done();
    },
};

const READER: Sleeper<Topic> = Sleeper {
    name: "a reader of the newest sleeps",
    life: |topic, ledger| {
        let loan = topic.borrow_latest_with(watched()).expect("an item");
        value_of(&loan);
        ledger.done();
    },
};

const SUBSCRIBER_TO_THE_END: Sleeper<Topic> = Sleeper {
    name: "a subscriber sleeps until the end",
    life: |topic, ledger| {
        let new = subscribe(topic, Start::New);
        assert!(matches!(new.borrow_with(watched()), Err(SubscribeError::ShutDown(_))));
        ledger.done();
    },
};

const PUBLISHER: Sleeper<Topic> = Sleeper {
    name: "a publisher sleeps",
    life: |topic, ledger| {
        let mut loan = topic.reserve_with(watched()).expect("a slot");
        fill(&mut loan, SLEEPERS);
        loan.commit().expect("sound");
        ledger.put(1);
        ledger.done();
    },
};

const PUBLISHER_TO_THE_END: Sleeper<Topic> = Sleeper {
    name: "a publisher sleeps until the end",
    life: |topic, ledger| {
        assert!(matches!(topic.reserve_with(watched()), Err(PublishError::ShutDown(_))));
        ledger.done();
    },
};

fn watched() -> Wait<'static> {
    Wait::at_most(WATCHDOG * 2)
}

/// Of what somebody has published before it died, the death alone is enough.
fn put_if_nothing_came(known: u64) -> fn(&Topic, bool) -> Account {
    fn put_after(topic: &Topic, known: u64) -> Account {
        let mut account = Account::default();
        if topic.version().expect("attached") == known {
            let ticket = put(topic, LATER).expect("there is room");
            account.put.insert(ticket, LATER);
        }
        account
    }
    match known {
        0 => |topic, _| put_after(topic, 0),
        _ => |topic, _| put_after(topic, 1),
    }
}

/// Every operation that somebody can wait for.
pub fn nights() -> Vec<Night<Topic>> {
    let none_yet = || Scene::<Topic> {
        name: "no item yet",
        capacity: CAPACITY,
        known: Known { items: 0, is_roomy: true, freed: 0 },
        prepare: |topic| Held::after(topic, 0),
    };
    let one_item = || Scene::<Topic> {
        name: "one item",
        capacity: CAPACITY,
        known: Known { items: 1, is_roomy: true, freed: 0 },
        prepare: |topic| Held::after(topic, 1),
    };
    let two_slots = Known { items: 2, is_roomy: false, freed: 0 };
    let two_items = || Scene::<Topic> {
        name: "two items, as many as there are slots",
        capacity: 2,
        known: two_slots,
        prepare: |topic| Held::after(topic, 2),
    };
    let survivor_reads = || Scene::<Topic> {
        name: "the survivor reads",
        capacity: 2,
        known: two_slots,
        prepare: |topic| {
            let mut held = Held::after(topic, 1);
            held.reading.push(topic.try_borrow_latest().expect("an item"));
            assert_eq!(put(topic, 2), Some(2));
            held
        },
    };
    let dead_reader = || Scene::<Topic> {
        name: "a dead one read the item in the way",
        capacity: 2,
        known: two_slots,
        prepare: |topic| {
            let held = Held::after(topic, 2);
            die(|| {
                let all = Box::leak(Box::new(subscribe(topic, Start::Oldest)));
                let reading = found(all.try_borrow()).expect("an item");
                // It looks for the dead, so that nobody else does so for a while.
                assert!(topic.try_reserve().is_err());
                reading
            });
            held
        },
    };
    let dead_publisher = || Scene::<Topic> {
        name: "a dead one wrote to the slot in the way",
        capacity: 2,
        known: Known { freed: 1, ..two_slots },
        prepare: |topic| {
            let held = Held::after(topic, 2);
            die(|| {
                let writing = write(topic, 0).expect("a slot");
                assert!(topic.try_reserve().is_err());
                writing
            });
            held
        },
    };
    let night =
        |scene, sleeper, operation, nudge| Night { scene, sleeper, operation, nudge, also_stopped: false };
    let alone =
        |scene, sleeper, operation| night(scene, sleeper, operation, |_: &Topic, _| Account::default());
    let to_the_end = |scene, sleeper| {
        night(scene, sleeper, "shut down", |topic: &Topic, _| {
            // Once it is shut down, that alone is enough.
            if !matches!(topic.try_reserve(), Err(PublishError::ShutDown(_))) {
                topic.shutdown(false).expect("attached");
            }
            Account { freed: 1, ..Account::default() }
        })
    };
    vec![
        night(none_yet(), SUBSCRIBER, "commit", put_if_nothing_came(0)),
        night(none_yet(), SUBSCRIBER, "abort", put_if_nothing_came(0)),
        night(none_yet(), READER, "commit", put_if_nothing_came(0)),
        night(none_yet(), READER, "put, whole", put_if_nothing_came(0)),
        night(one_item(), SUBSCRIBER, "put, whole", put_if_nothing_came(1)),
        alone(two_items(), PUBLISHER, "release"),
        alone(two_items(), PUBLISHER, "abort"),
        alone(two_items(), PUBLISHER, "commit"),
        alone(two_items(), PUBLISHER, "linger, written"),
        alone(two_items(), PUBLISHER, "let go, written"),
        alone(two_items(), PUBLISHER, "let go, read"),
        alone(dead_reader(), PUBLISHER, "sweep"),
        alone(dead_publisher(), PUBLISHER, "sweep"),
        to_the_end(none_yet(), SUBSCRIBER_TO_THE_END),
        to_the_end(one_item(), SUBSCRIBER_TO_THE_END),
        to_the_end(survivor_reads(), PUBLISHER_TO_THE_END),
    ]
}

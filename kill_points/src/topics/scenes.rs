//! The topics that operations begin on.

use std::thread;
use std::time::Duration;

use treequeues::{Start, Topic};

use super::items::{CAPACITY, found, put, subscribe, write};
use super::verdict::{Held, Known, Watcher};
use crate::children::die;
use crate::structure::Scene;

/// Longer than between two sweeps of calls that find nothing: a victim that is stepped slowly and one that runs find one due.
const SWEEPS_APART: Duration = Duration::from_millis(6);

/// There are slots enough, and none has lost its item.
const ROOMY: Known = Known { items: 0, is_roomy: true, freed: 0 };

pub const SCENES: &[Scene<Topic>] = &[
    Scene { name: "no item yet", capacity: CAPACITY, known: ROOMY, prepare: |topic| Held::after(topic, 0) },
    Scene {
        name: "one item",
        capacity: CAPACITY,
        known: Known { items: 1, ..ROOMY },
        prepare: |topic| Held::after(topic, 1),
    },
    Scene {
        name: "all slots have had items",
        capacity: CAPACITY,
        known: Known { items: 7, ..ROOMY },
        prepare: |topic| Held::after(topic, 7),
    },
    Scene {
        name: "a slot was given back",
        capacity: CAPACITY,
        known: Known { items: 7, freed: 1, ..ROOMY },
        prepare: |topic| {
            let held = Held::after(topic, 7);
            write(topic, 0).expect("room").abort().expect("sound");
            held
        },
    },
    Scene {
        name: "the newest is being read",
        capacity: CAPACITY + 1,
        known: Known { items: 5, ..ROOMY },
        prepare: |topic| {
            let mut held = Held::after(topic, 5);
            held.reading.push(topic.try_borrow_latest().expect("an item"));
            held
        },
    },
    Scene {
        name: "the oldest is being read",
        capacity: CAPACITY + 1,
        known: Known { items: 4, ..ROOMY },
        prepare: |topic| {
            let mut held = Held::after(topic, 1);
            held.reading.push(topic.try_borrow_latest().expect("an item"));
            (2..=4).for_each(|value| assert_eq!(put(topic, value), Some(value)));
            held
        },
    },
    Scene {
        name: "a slot is being written",
        capacity: CAPACITY + 1,
        known: Known { items: 6, freed: 1, ..ROOMY },
        prepare: |topic| {
            let mut held = Held::after(topic, 6);
            held.writing.push(write(topic, 0).expect("room"));
            held
        },
    },
    Scene {
        name: "every slot but the newest is held",
        capacity: CAPACITY,
        known: Known { items: 3, is_roomy: false, freed: 1 },
        prepare: |topic| {
            let mut held = Held::after(topic, 2);
            held.reading.push(topic.try_borrow_latest().expect("an item"));
            assert_eq!(put(topic, 3), Some(3));
            held.writing.push(write(topic, 0).expect("room"));
            held
        },
    },
    Scene {
        name: "two slots",
        capacity: 2,
        known: Known { items: 3, is_roomy: false, freed: 0 },
        prepare: |topic| Held::after(topic, 3),
    },
    Scene {
        name: "a dead reader",
        capacity: CAPACITY + 1,
        known: Known { items: 5, ..ROOMY },
        prepare: |topic| {
            let held = Held::after(topic, 5);
            reader_dies(topic);
            held
        },
    },
    Scene {
        name: "a dead publisher",
        capacity: CAPACITY + 1,
        known: Known { items: 5, freed: 1, ..ROOMY },
        prepare: |topic| {
            let held = Held::after(topic, 5);
            die(|| write(topic, 0).expect("room"));
            thread::sleep(SWEEPS_APART);
            held
        },
    },
];

/// Somebody dies who read the oldest item.
pub fn reader_dies(topic: &Topic) {
    die(|| {
        let all = Box::leak(Box::new(subscribe(topic, Start::Oldest)));
        found(all.try_borrow()).expect("an item")
    });
    thread::sleep(SWEEPS_APART);
}

impl<'t> Held<'t> {
    /// Nothing is held, and so many items were put. One subscription has looked at nothing since the beginning, one is up to date.
    pub fn after(topic: &'t Topic, items: u64) -> Self {
        let lagging = Watcher::new(topic, Start::Oldest, 1);
        (1..=items).for_each(|value| assert_eq!(put(topic, value), Some(value)));
        let eager = Watcher::new(topic, Start::New, items + 1);
        Self { reading: Vec::new(), writing: Vec::new(), lagging, eager }
    }
}

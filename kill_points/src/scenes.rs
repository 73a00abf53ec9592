//! The rings that operations begin on.

use treequeues::{Hold, Queue};

use crate::children::die;
use crate::items::{put, read, take, write};

/// How to bring a fresh queue into a state, with what the survivor holds meanwhile.
pub struct Scene {
    pub name: &'static str,
    /// The items that must be found by and by, if nothing else happens: what nobody has taken for good.
    pub items: &'static [u64],
    pub prepare: fn(&Queue) -> Vec<Hold>,
}

pub const SCENES: &[Scene] = &[
    Scene { name: "empty", items: &[], prepare: |_| vec![] },
    Scene {
        name: "one item",
        items: &[1],
        prepare: |queue| {
            put_all(queue, &[1]);
            vec![]
        },
    },
    Scene {
        name: "full",
        items: &[1, 2, 3],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            vec![]
        },
    },
    Scene {
        name: "second lap",
        items: &[4, 5],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            while take(queue).is_some() {}
            put_all(queue, &[4, 5]);
            vec![]
        },
    },
    Scene {
        name: "a reader in the way",
        items: &[1, 3],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            let held = borrowed(queue);
            take(queue).expect("an item");
            vec![held]
        },
    },
    Scene {
        name: "a writer in the way",
        items: &[2],
        prepare: |queue| {
            let held = reserved(queue);
            put_all(queue, &[1, 2]);
            take(queue).expect("an item");
            vec![held]
        },
    },
    Scene {
        name: "an item in the way",
        items: &[1, 2],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            let held = borrowed(queue);
            let mut given_back = borrowed(queue);
            take(queue).expect("an item");
            given_back.give_back().expect("sound");
            vec![held]
        },
    },
    Scene {
        name: "an item given back",
        items: &[1, 2],
        prepare: |queue| {
            put_all(queue, &[1, 2]);
            borrowed(queue).give_back().expect("sound");
            vec![]
        },
    },
    Scene {
        name: "a writer late",
        items: &[3, 4],
        prepare: |queue| {
            let held = reserved(queue);
            put_all(queue, &[1, 2]);
            while take(queue).is_some() {}
            put_all(queue, &[3, 4]);
            vec![held]
        },
    },
    Scene {
        name: "the tail laps behind",
        items: &[1, 2],
        prepare: |queue| {
            for _ in 0..10 {
                write(queue, 0).expect("a free slot").abort().expect("sound");
            }
            put_all(queue, &[1, 2]);
            vec![]
        },
    },
    Scene {
        name: "a view in the way",
        items: &[3],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            let mut held = borrowed(queue);
            held.linger().expect("sound");
            take(queue).expect("an item");
            vec![held]
        },
    },
    Scene {
        name: "a dead reader",
        items: &[1, 2, 3],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            die(|| borrowed(queue));
            vec![]
        },
    },
    Scene {
        name: "all held by a dead one",
        items: &[1],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            die(|| {
                let reading = borrowed(queue);
                take(queue).expect("an item");
                let mut lingering = borrowed(queue);
                lingering.linger().expect("sound");
                (reading, lingering, reserved(queue))
            });
            vec![]
        },
    },
];

pub fn put_all(queue: &Queue, values: &[u64]) {
    for value in values {
        assert!(put(queue, *value), "a free slot");
    }
}

pub fn borrowed(queue: &Queue) -> Hold {
    read(queue).expect("an item").into_hold()
}

fn reserved(queue: &Queue) -> Hold {
    write(queue, 0).expect("a free slot").into_hold()
}

//! The rings that operations begin on.

use std::thread;
use std::time::Duration;

use treequeues::{Hold, Queue};

use super::items::{CAPACITY, MAX_CAPACITY, put, read, take, write};
use crate::children::die;
use crate::structure::Scene;

/// Longer than between two sweeps of calls that find nothing: a victim that is stepped slowly and one that runs find one due.
const SWEEPS_APART: Duration = Duration::from_millis(6);
/// Slots of a ring whose tree has a level between the root and the words that have a bit for each slot.
const OF_TWO_LEVELS: usize = 40;
/// Slots of a ring that a look which finds it full does not look over each time.
const NOT_FEW: usize = 80;
/// How far behind a ticket that is still being written is passed: the ring's own number.
const FAR_BEHIND: usize = 256;

/// The values from 1 to `N`.
const fn first<const N: usize>() -> [u64; N] {
    let mut values = [0; N];
    let mut index = 0;
    while index < N {
        values[index] = index as u64 + 1;
        index += 1;
    }
    values
}

pub const SCENES: &[Scene<Queue>] = &[
    Scene { name: "empty", capacity: CAPACITY, known: &[], prepare: |_| vec![] },
    Scene {
        name: "one item",
        capacity: CAPACITY,
        known: &[1],
        prepare: |queue| {
            put_all(queue, &[1]);
            vec![]
        },
    },
    Scene {
        name: "full",
        capacity: CAPACITY,
        known: &[1, 2, 3],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            vec![]
        },
    },
    Scene {
        name: "second lap",
        capacity: CAPACITY,
        known: &[4, 5],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            while take(queue).is_some() {}
            put_all(queue, &[4, 5]);
            vec![]
        },
    },
    Scene {
        name: "a reader in the way",
        capacity: CAPACITY,
        known: &[1, 3],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            let held = borrowed(queue);
            take(queue).expect("an item");
            vec![held]
        },
    },
    Scene {
        name: "a writer in the way",
        capacity: CAPACITY,
        known: &[2],
        prepare: |queue| {
            let held = reserved(queue);
            put_all(queue, &[1, 2]);
            take(queue).expect("an item");
            vec![held]
        },
    },
    Scene {
        name: "an item in the way",
        capacity: CAPACITY,
        known: &[1, 2],
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
        capacity: CAPACITY,
        known: &[1, 2],
        prepare: |queue| {
            put_all(queue, &[1, 2]);
            borrowed(queue).give_back().expect("sound");
            vec![]
        },
    },
    Scene {
        name: "a writer late",
        capacity: CAPACITY,
        known: &[3, 4],
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
        capacity: CAPACITY,
        known: &[1, 2],
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
        capacity: CAPACITY,
        known: &[3],
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
        capacity: CAPACITY,
        known: &[1, 2, 3],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            die(|| borrowed(queue));
            vec![]
        },
    },
    Scene {
        name: "all held by a dead one",
        capacity: CAPACITY,
        known: &[1],
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
    Scene {
        name: "an item given back in a larger ring",
        capacity: OF_TWO_LEVELS,
        known: &[1, 2, 3],
        prepare: |queue| {
            go_round(queue, OF_TWO_LEVELS - 2);
            put_all(queue, &[1, 2, 3]);
            let mut first = borrowed(queue);
            let mut second = borrowed(queue);
            // Of two words of the tree.
            let mut third = borrowed(queue);
            third.give_back().expect("sound");
            first.give_back().expect("sound");
            second.give_back().expect("sound");
            vec![]
        },
    },
    Scene {
        name: "full beside a reader that the ring has passed",
        capacity: NOT_FEW,
        known: &first::<NOT_FEW>(),
        prepare: |queue| {
            put_all(queue, &[1]);
            let held = borrowed(queue);
            go_round(queue, 2 * NOT_FEW);
            put_all(queue, &first::<NOT_FEW>()[1..]);
            assert!(!put(queue, 0) && !put(queue, 0), "it is full, and that is known");
            vec![held]
        },
    },
    Scene {
        name: "a writer far behind",
        capacity: MAX_CAPACITY,
        known: &[1, 2],
        prepare: |queue| {
            let held = reserved(queue);
            go_round(queue, FAR_BEHIND - 1);
            put_all(queue, &[1, 2]);
            vec![held]
        },
    },
];

pub fn put_all(queue: &Queue, values: &[u64]) {
    for value in values {
        assert!(put(queue, *value), "a free slot");
    }
}

/// Moves the head and the tail by so many tickets.
fn go_round(queue: &Queue, tickets: usize) {
    for _ in 0..tickets {
        put_all(queue, &[0]);
        take(queue).expect("an item");
    }
}

pub fn borrowed(queue: &Queue) -> Hold {
    read(queue).expect("an item").into_hold()
}

fn reserved(queue: &Queue) -> Hold {
    write(queue, 0).expect("a free slot").into_hold()
}

/// Brings a queue into a state, and waits if that has swept.
pub fn settled<T>(queue: &Queue, prepare: impl FnOnce() -> T) -> T {
    let sweeps = || queue.stats().expect("sound").counters.sweeps;
    let before = sweeps();
    let held = prepare();
    if sweeps() != before {
        thread::sleep(SWEEPS_APART);
    }
    held
}

//! What a survivor must find.

use std::thread;
use std::time::Duration;

use treequeues::{Hold, Queue};

use super::items::{put, read, take, value_of};
use super::operations::May;
use crate::ledger::{LATER, Ledger, VICTIMS, is_victims};

/// Times that the survivor goes around the ring while the victim is stopped.
const LAPS: usize = 3;

/// So long, for a look that took next to no time, and a little more.
const NONE_FREE_IS_KEPT_FOR: Duration = Duration::from_millis(120);

/// What was put and taken by the survivor since the victim began.
#[derive(Debug, Default)]
pub struct Account {
    pub put: Vec<u64>,
    pub taken: Vec<u64>,
}

impl Account {
    /// The others go on at once, short of what is held, whether the victim is dead or stopped, and nobody has swept.
    pub fn of_going_on(queue: &Queue) -> Self {
        let mut account = Self::default();
        for value in (LATER..).take(LAPS * queue.capacity()) {
            let before = queue.snapshot().expect("sound");
            let was_put = put(queue, value) || (before.free > 0 && put_by_and_by(queue, value));
            assert!(was_put || before.free == 0, "a slot is free, and cannot be reserved: {before:?}");
            if was_put {
                account.put.push(value);
            }
            let before = queue.snapshot().expect("sound");
            let taken = take(queue);
            assert!(taken.is_some() || before.ready == 0, "an item is there, and cannot be had: {before:?}");
            account.taken.extend(taken);
        }
        account
    }

    /// The least that shows that nobody is in the way, changing as little as can be.
    pub fn of_a_glance(queue: &Queue) -> Self {
        let found = queue.snapshot().expect("sound");
        match queue.try_reserve() {
            Ok(loan) => loan.abort().expect("sound"),
            Err(_) => assert_eq!(found.free, 0, "a slot is free, and cannot be reserved: {found:?}"),
        }
        match read(queue) {
            Some(loan) => loan.give_back().expect("sound"),
            None => assert_eq!(found.ready, 0, "an item is there, and cannot be had: {found:?}"),
        }
        Self::default()
    }
}

/// A victim that is stopped between freeing a slot that the ring has passed and saying so keeps it from those who have found none such
/// free a moment ago: until they forget that (`ring` R8).
fn put_by_and_by(queue: &Queue, value: u64) -> bool {
    thread::sleep(NONE_FREE_IS_KEPT_FOR);
    put(queue, value)
}

/// Items that came again come first, although nobody has swept since: a sweep moves the version of the root, and would hide that the
/// victim had not. All of them are given back.
pub fn assert_first_comes_first(queue: &Queue) {
    let ready = queue.snapshot().expect("sound").ready;
    let loans: Vec<_> = (0..ready).map_while(|_| read(queue)).collect();
    assert_eq!(loans.len(), ready, "an item is there, and cannot be had");
    assert!(
        loans.is_sorted_by_key(|loan| loan.ticket()),
        "out of order: {:?}",
        loans.iter().map(|loan| (loan.ticket(), value_of(loan))).collect::<Vec<_>>()
    );
    for loan in loans {
        loan.give_back().expect("sound");
    }
}

/// Sweeps, takes everything, and holds it against what was there and what the victim did. The victim has ended.
pub fn assert_nothing_is_lost(
    queue: &Queue,
    items: &[u64],
    held: Vec<Hold>,
    account: Account,
    may: May,
    ledger: &Ledger,
) {
    // Give back what was read, abort what was written: items come again.
    drop(held);
    let arrival = || ledger.brought().map(|ticket| queue.has_arrived(ticket).expect("sound"));
    let told_before = arrival();
    queue.sweep().expect("sound");
    let told = arrival();
    let stats = queue.stats().expect("sound");
    assert_eq!(stats.participants.len(), 1, "the dead are gone from the table: {stats:?}");
    assert_eq!(stats.held, [], "nothing is held any more");

    let mut taken = account.taken;
    taken.extend(assert_order(queue));
    assert_in_order(&taken);

    if let (Some(told), Some(told_before)) = (told, told_before) {
        let has_come = taken.iter().any(|value| is_victims(*value));
        assert_eq!(told, Some(has_come), "whether the batch has arrived");
        assert!(told_before.is_none_or(|before| before == has_come), "told before the sweep");
    }

    let before = items.iter().chain(&account.put).copied();
    let mut expected: Vec<u64> = before.clone().collect();
    match ledger.outcome() {
        Some((put, taken_by_victim)) => {
            expected.extend(put);
            for value in taken_by_victim {
                let place = expected.iter().position(|other| *other == value);
                expected.swap_remove(place.expect("it took what was there"));
            }
        }
        // Killed half-way: what it put is there whole or not at all; some others are not there.
        None => {
            let more: Vec<_> = taken.iter().copied().filter(|value| is_victims(*value)).collect();
            assert!([0, may.put].contains(&more.len()), "{more:?}, a part of what it put or too much");
            assert!(
                more.iter().copied().eq((VICTIMS..).take(more.len())),
                "{more:?} are not its first items"
            );
            let less: Vec<_> = before.filter(|value| !taken.contains(value)).collect();
            assert!(less.len() <= may.take, "{less:?} were lost");
            expected.retain(|value| !less.contains(value));
            expected.extend(more);
        }
    }
    expected.sort_unstable();
    taken.sort_unstable();
    assert_eq!(taken, expected, "each item comes exactly once");

    assert_capacity_is_whole(queue);
}

/// Takes what was left, which comes in order.
pub fn assert_order(queue: &Queue) -> Vec<u64> {
    let left: Vec<_> = std::iter::from_fn(|| {
        read(queue).map(|loan| {
            let ticket = loan.ticket();
            let value = value_of(&loan);
            loan.release().expect("sound");
            (ticket, value)
        })
    })
    .collect();
    assert!(left.is_sorted(), "what was left came out of order: {left:?}");
    left.into_iter().map(|(_, value)| value).collect()
}

/// All slots can be filled, and no more, and come out in order.
pub fn assert_capacity_is_whole(queue: &Queue) {
    let filled = (0..).take_while(|value| put(queue, *value)).count();
    assert_eq!(filled, queue.capacity(), "capacity was lost");
    let all: Vec<_> = std::iter::from_fn(|| take(queue)).collect();
    assert!(all.iter().copied().eq(0..queue.capacity() as u64), "{all:?} came for a full ring");
}

/// What the survivor put one after the other around the victim, and took itself, came in that order.
fn assert_in_order(taken: &[u64]) {
    let later: Vec<_> = taken.iter().filter(|value| **value >= LATER).collect();
    assert!(later.is_sorted(), "out of order: {taken:?}");
}

//! What an epoch is like, drawn from the seed and the epoch's number alone. What the system's scheduler makes of it differs from run to
//! run.

use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

use crate::history::MAX_BATCH;
use crate::items::{Items, LAYOUTS};

/// What workers are there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Puts.
    Producer,
    /// Takes.
    Consumer,
    /// Both in turn.
    Both,
}

/// One epoch.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Its number.
    pub epoch: u64,
    /// What the workers' seeds are drawn from.
    pub seed: u64,
    /// Slots.
    pub capacity: usize,
    /// Which of `LAYOUTS`.
    pub layout: usize,
    /// Whether the queue has a name.
    pub is_named: bool,
    /// Places for participants beside those that are needed.
    pub spare_places: u64,
    /// Workers in Rust.
    pub rust: usize,
    /// Workers in Python.
    pub python: usize,
    /// Whether workers in Python inherit their queue, or each attaches for itself.
    pub python_inherits: bool,
    /// The most items of a batch that is put; 1 is no batches.
    pub put_batch: usize,
    /// The most items of a batch that is taken. Without batches no call holds what it has not taken, so the order is strict.
    pub take_batch: usize,
    /// Whether there are gets whose item cannot be found after their death.
    pub has_plain_gets: bool,
    /// Of a hundred borrows, how many give back.
    pub give_back: u32,
    /// Of a hundred reserves, how many abort.
    pub abort: u32,
    /// Of a hundred loans, how many are kept for a while.
    pub stall: u32,
    /// The longest such while.
    pub stall_us: u64,
    /// The longest pause between two calls.
    pub pause_us: u64,
    /// Of a hundred calls, how many are followed by a pause.
    pub pause: u32,
    /// What the killer does.
    #[serde(skip)]
    killing: Killing,
}

/// What the killer does in one epoch.
#[derive(Clone, Copy, Debug)]
pub struct Killing {
    /// What it is drawn from.
    pub seed: u64,
    /// Workers in all.
    pub workers: usize,
    /// The mean time between two deeds.
    pub between_deeds: Duration,
    /// Of a hundred deeds, how many stop somebody.
    pub stop: u32,
    /// Of a thousand deeds, how many kill everybody at once.
    pub massacre: u32,
    /// Whether all are killed in the end, instead of being told to leave.
    pub ends_in_massacre: bool,
}

/// How long an epoch's killing goes on.
pub const EPOCH: Duration = Duration::from_secs(3);

impl Plan {
    /// The plan of an epoch. Without a Python all workers are in Rust.
    pub fn new(seed: u64, epoch: u64, has_python: bool) -> Self {
        let mut rng = rng_of(seed, epoch);
        let capacity = [1, 2, 3, 4, 5, 7, 8, 13, 16, 32, 64][rng.usize(..11)];
        let workers = rng.usize(4..=8);
        let python = if has_python { rng.usize(1..workers) } else { 0 };
        let largest = MAX_BATCH.min(capacity);
        let seed = rng.u64(..);
        Self {
            epoch,
            seed,
            capacity,
            layout: rng.usize(..LAYOUTS.len()),
            is_named: rng.bool(),
            spare_places: rng.u64(0..8),
            rust: workers - python,
            python,
            python_inherits: rng.bool(),
            put_batch: if rng.bool() { 1 } else { largest },
            take_batch: if rng.bool() { 1 } else { largest },
            has_plain_gets: rng.u8(..4) == 0,
            give_back: [0, 5, 30][rng.usize(..3)],
            abort: [0, 5, 30][rng.usize(..3)],
            stall: [0, 5, 30][rng.usize(..3)],
            stall_us: [50, 1000, 20_000][rng.usize(..3)],
            pause_us: [30, 200, 2000][rng.usize(..3)],
            pause: [30, 60, 100][rng.usize(..3)],
            killing: Killing::drawn_from(&mut rng, seed, workers),
        }
    }

    /// What the killer does.
    pub fn killing(&self) -> Killing {
        self.killing
    }

    /// What the items look like.
    pub fn items(&self) -> Items {
        LAYOUTS[self.layout]
    }

    /// Workers in all.
    pub fn workers(&self) -> usize {
        self.rust + self.python
    }

    /// What the worker in this place is there for: there is always somebody who puts and somebody who takes.
    pub fn role(&self, place: usize) -> Role {
        match place % 5 {
            0 | 2 => Role::Producer,
            1 | 3 => Role::Consumer,
            _ => Role::Both,
        }
    }

    /// Whether the worker in this place is one in Python. They are dealt out evenly among the roles.
    pub fn is_python(&self, place: usize) -> bool {
        let dealt = |places: usize| places * self.python / self.workers();
        dealt(place + 1) > dealt(place)
    }
}

impl Killing {
    /// Drawn like the rest of a plan.
    pub fn drawn_from(rng: &mut Rng, seed: u64, workers: usize) -> Self {
        Self {
            seed,
            workers,
            between_deeds: Duration::from_micros([1000, 3000, 10_000][rng.usize(..3)]),
            stop: [0, 10, 30][rng.usize(..3)],
            massacre: [0, 2, 10][rng.usize(..3)],
            ends_in_massacre: rng.u8(..3) == 0,
        }
    }
}

/// What an epoch of a seed is drawn from.
pub fn rng_of(seed: u64, epoch: u64) -> Rng {
    Rng::with_seed(seed ^ epoch.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_an_epoch_make_one_plan() {
        let shown = |seed, epoch| format!("{:?}", Plan::new(seed, epoch, true));
        assert_eq!(shown(7, 3), shown(7, 3));
        assert_ne!(shown(7, 3), shown(7, 4));
        assert_ne!(shown(7, 3), shown(8, 3));
    }

    #[test]
    fn as_many_places_are_python_as_are_planned() {
        for epoch in 0..200 {
            let plan = Plan::new(1, epoch, true);
            let python = (0..plan.workers()).filter(|place| plan.is_python(*place)).count();
            assert_eq!(python, plan.python);
        }
    }
}

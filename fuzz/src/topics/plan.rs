//! What an epoch of a topic is like, drawn from the seed and the epoch's number alone.

use super::history::Role;
use crate::items::{Items, LAYOUTS};
use crate::plan::{Killing, rng_of};

/// One epoch.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its number.
    pub epoch: u64,
    /// What the workers' seeds are drawn from.
    pub seed: u64,
    /// Slots.
    pub capacity: usize,
    /// Which of `LAYOUTS`.
    pub layout: usize,
    /// Whether the topic has a name.
    pub is_named: bool,
    /// Places for participants beside those that are needed.
    pub spare_places: u64,
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
    /// Of a hundred calls of a subscription, how many begin another one instead.
    pub subscribe: u32,
    /// What the killer does.
    pub killing: Killing,
}

/// Who works in the first places.
const ROLES: [Role; 9] = [
    Role::Publisher,
    Role::Follower,
    Role::Reader,
    Role::Sweeper,
    Role::Publisher,
    Role::Sampler,
    Role::Both,
    Role::Follower,
    Role::Reader,
];

impl Plan {
    /// The plan of an epoch.
    pub fn new(seed: u64, epoch: u64) -> Self {
        let mut rng = rng_of(seed, epoch);
        let workers = rng.usize(4..=ROLES.len());
        let enough = slots_in_use(workers) + 1;
        let capacity = [2, 3, 4, enough, enough, enough, enough + 3, 32][rng.usize(..8)];
        let seed = rng.u64(..);
        Self {
            epoch,
            seed,
            capacity,
            layout: rng.usize(..LAYOUTS.len()),
            is_named: rng.bool(),
            spare_places: rng.u64(0..8),
            abort: [0, 5, 30][rng.usize(..3)],
            stall: [0, 5, 30][rng.usize(..3)],
            stall_us: [50, 1000, 20_000][rng.usize(..3)],
            pause_us: [30, 200, 2000][rng.usize(..3)],
            pause: [30, 60, 100][rng.usize(..3)],
            subscribe: [0, 1, 20][rng.usize(..3)],
            killing: Killing::drawn_from(&mut rng, seed, workers),
        }
    }

    /// What the items look like.
    pub fn items(&self) -> Items {
        LAYOUTS[self.layout]
    }

    /// What the worker in this place is there for.
    pub fn role(&self, place: usize) -> Role {
        ROLES[place % ROLES.len()]
    }

    /// Whether there are slots enough for all who read and write at a time, and one more.
    pub fn is_roomy(&self) -> bool {
        self.capacity > slots_in_use(self.killing.workers)
    }
}

/// How many slots so many workers use at a time: one for each who reads or writes. A dead one's is its place's, until the next one there has
/// attached, which looks for the dead.
fn slots_in_use(workers: usize) -> usize {
    ROLES[..workers].iter().filter(|role| **role != Role::Sweeper).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_an_epoch_make_one_plan() {
        let shown = |seed, epoch| format!("{:?}", Plan::new(seed, epoch));
        assert_eq!(shown(7, 3), shown(7, 3));
        assert_ne!(shown(7, 3), shown(7, 4));
        assert_ne!(shown(7, 3), shown(8, 3));
    }

    #[test]
    fn some_topics_have_slots_enough_and_some_have_not() {
        let roomy = (0..200).filter(|epoch| Plan::new(1, *epoch).is_roomy()).count();
        assert!((50..150).contains(&roomy), "{roomy} of 200");
    }
}

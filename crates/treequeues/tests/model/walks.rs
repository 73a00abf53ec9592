//! Larger mixes, walked at random.
//!
//! All properties are evaluated in every state of a walk. A walk ends where it comes to a state it has seen, for
//! instance when a consumer has polled in vain while nobody else moved.

use std::time::{Duration, Instant};

use stateright::{Checker, Chooser, HasDiscoveries, Model};

use crate::cast::Scenario;
use crate::explore::{Action, RingModel, State};
use crate::memory::MAX_PROCESSES;
use crate::properties::{NEWCOMER_ORDER, PRODUCER_ORDER, PUT_ORDER};
use crate::protocol::Mutation;

/// Chooses by weight: crashes are rare, so that most walks get far; now and then one process is left out for long,
/// because the protocol's hard cases need a process that sleeps while the ring goes round.
#[derive(Clone)]
struct Weighted;

struct Dice {
    seed: u64,
    /// The process left out, and for how many choices more.
    asleep: (u8, u32),
}

impl Dice {
    /// A random number below `bound` (xorshift64*, good enough to choose among few).
    fn below(&mut self, bound: u64) -> u64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

impl Chooser<RingModel> for Weighted {
    type State = Dice;

    fn new_state(&self, seed: u64) -> Dice {
        // Zero is the one seed from which xorshift never gets away.
        Dice { seed: seed | 1, asleep: (0, 0) }
    }

    fn choose_initial_state(&self, _: &mut Dice, _: &[State]) -> usize {
        0
    }

    fn choose_action(&self, dice: &mut Dice, _: &State, actions: &[Action]) -> usize {
        if dice.asleep.1 > 0 {
            dice.asleep.1 -= 1;
        } else if dice.below(24) == 0 {
            dice.asleep = (dice.below(MAX_PROCESSES as u64) as u8, dice.below(120) as u32);
        }
        let asleep = |p: u8| dice.asleep.1 > 0 && p == dice.asleep.0;
        let weights: Vec<u64> = actions
            .iter()
            .map(|action| match *action {
                Action::Step(p) if asleep(p) => 1,
                Action::Step(_) => 400,
                Action::GiveBack(_) | Action::Linger(_) | Action::LetGo(_) | Action::Abort(_) => 200,
                Action::Decline(_) | Action::Forget(_) => 200,
                Action::Sweep { .. } => 100,
                Action::Restart(_) => 200,
                Action::Crash(_) => 3,
            })
            .collect();
        let mut rest = dice.below(weights.iter().sum());
        weights
            .iter()
            .position(|weight| {
                let here = rest < *weight;
                rest = rest.saturating_sub(*weight);
                here
            })
            .unwrap_or(0)
    }
}

/// Walks until `states` states were seen in all; the first property that fails, with its path told step by step.
fn walk(scenario: Scenario, states: usize) -> Option<(&'static str, String)> {
    const SEED: u64 = 0x7265_6163_6821;
    /// A watchdog only: walks end by their number of states.
    const WATCHDOG: Duration = Duration::from_secs(3600);
    let model = scenario.model();
    let begin = Instant::now();
    let checker = model
        .clone()
        .checker()
        .threads(1)
        .timeout(WATCHDOG)
        .target_state_count(states)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_simulation(SEED, Weighted)
        .join();
    println!(
        "{}: {} states walked, up to {} steps in one walk, {:.1} s",
        model.scenario,
        checker.state_count(),
        checker.max_depth(),
        begin.elapsed().as_secs_f64()
    );
    let failed = checker.discoveries().into_iter().next();
    assert!(failed.is_some() || checker.state_count() >= states, "the watchdog ended the walk");
    failed.map(|(property, path)| (property, model.narrate(&path.into_actions())))
}

fn holds(scenario: Scenario, states: usize) {
    if let Some((property, story)) = walk(scenario, states) {
        panic!("{property}\n{story}");
    }
}

/// Three of each, and everything that may go wrong.
fn crowd(capacity: u8) -> Scenario {
    Scenario::new(capacity)
        .producers(3, 4)
        .consumers(3)
        .sweepers(2)
        .crashes(3)
        .give_backs(3)
        .lingers(1)
        .aborts(2)
        .restarts(2)
        .honest()
}

/// Batches among single calls, on both sides.
fn crowd_of_batches(capacity: u8) -> Scenario {
    Scenario::new(capacity)
        .batch_producers(1, 6, 3)
        .batch_producers(1, 4, 2)
        .producers(1, 2)
        .batch_consumers(1, 3)
        .batch_consumers(1, 2)
        .consumers(1)
        .sweepers(2)
        .crashes(3)
        .give_backs(2)
        .lingers(2)
        .aborts(2)
        .restarts(2)
        .honest()
}

/// The same on the way to their end.
fn crowd_that_is_shut_down(capacity: u8) -> Scenario {
    Scenario::new(capacity)
        .producers(1, 4)
        .batch_producers(1, 4, 2)
        .consumers(2)
        .batch_consumers(1, 2)
        .sweepers(1)
        .closer(false)
        .crashes(2)
        .give_backs(3)
        .lingers(1)
        .aborts(1)
        .restarts(1)
        .honest()
}

const QUICK: usize = 300_000;
const LONG: usize = 30_000_000;

#[test]
fn crowd_on_two_slots() {
    holds(crowd(2), QUICK);
}

#[test]
fn crowd_on_three_slots() {
    holds(crowd(3), QUICK);
}

#[test]
fn crowd_on_four_slots() {
    holds(crowd(4), QUICK);
}

#[test]
fn crowd_of_batches_on_four_slots() {
    holds(crowd_of_batches(4), QUICK);
}

#[test]
fn crowd_that_is_shut_down_on_three_slots() {
    holds(crowd_that_is_shut_down(3), QUICK);
}

#[test]
fn a_walk_notices_a_missing_step() {
    let mutation = Mutation { no_second_look: true, ..Mutation::default() };
    let (property, _) = walk(crowd(3).mutated(mutation), 10 * QUICK).expect("the walk fails");
    println!("without the second look before taking: \"{property}\" failed");
    assert!([PRODUCER_ORDER, PUT_ORDER, NEWCOMER_ORDER].contains(&property));
}

#[test]
#[ignore = "minutes of walking, for `make soak`"]
fn soak_crowd_on_two_slots() {
    holds(crowd(2), LONG);
}

#[test]
#[ignore = "minutes of walking, for `make soak`"]
fn soak_crowd_on_three_slots() {
    holds(crowd(3), LONG);
}

#[test]
#[ignore = "minutes of walking, for `make soak`"]
fn soak_crowd_on_four_slots() {
    holds(crowd(4), LONG);
}

#[test]
#[ignore = "minutes of walking, for `make soak`"]
fn soak_crowd_that_is_shut_down_on_three_slots() {
    holds(crowd_that_is_shut_down(3), LONG);
}

#[test]
#[ignore = "minutes of walking, for `make soak`"]
fn soak_crowd_of_batches_on_three_slots() {
    holds(crowd_of_batches(3), LONG);
}

#[test]
#[ignore = "minutes of walking, for `make soak`"]
fn soak_crowd_of_batches_on_four_slots() {
    holds(crowd_of_batches(4), LONG);
}

//! Whether all that live come to an end, from every reachable state.
//!
//! The properties of `properties` are about single states; that nobody waits for ever is about what may follow. Here all reachable
//! states are kept, with the steps between them, and walked backwards from those in which everyone is at rest.
//!
//! V1. **At rest**: each living process is done, or between two calls with nothing in hand and rightly so: a put finds fewer
//!     free slots than it wants, a get fewer items, and the queue is not shut down.
//! V2. From every reachable state, steps of the living alone lead to a state at rest. Calls that come back at random times (as
//!     batches that fall short do) then come there sooner or later, however unlucky the state. Two that each wait with
//!     a part of the ring in hand, or a drain that waits for nobody, never do.
//! V3. Nobody can go on for a dead holder that nobody sweeps: such states count as at rest.

use crate::cast::{Role, Scenario};
use crate::exploration::{Goal, explore};
use crate::explore::{Action, RingModel, State};
use crate::memory::Phase;
use crate::protocol::Mutation;
use crate::steps::Pc;

impl RingModel {
    /// V1 and V3.
    fn is_at_rest(&self, state: &State) -> bool {
        let slots = &state.memory.slots[..usize::from(self.scenario.capacity)];
        let count = |like: fn(Phase) -> bool| slots.iter().filter(|slot| like(slot.word.phase)).count();
        let free = count(|phase| phase == Phase::Free);
        let items = count(|phase| matches!(phase, Phase::Ready | Phase::Returned));
        let unswept = (0..self.scenario.roles.len())
            .any(|p| state.memory.entries[p].used && !state.memory.is_locked(p));
        let living =
            || state.processes.iter().enumerate().take(self.scenario.roles.len()).filter(|(_, p)| p.alive);
        if unswept {
            return !living().any(|(p, _)| self.role(p) == Role::Sweeper);
        }
        living().all(|(p, process)| {
            let waits = process.pc == Pc::Idle && process.kept.len == 0 && process.ended == 0;
            let is_shut_down = state.memory.flag != 0;
            match self.role(p) {
                _ if self.is_done(p, process) => true,
                Role::Producer { .. } => waits && !is_shut_down && free < usize::from(self.batch(p, process)),
                Role::Consumer { batch } => waits && !is_shut_down && items < usize::from(batch),
                Role::Sweeper => waits,
                Role::Closer { .. } => false,
            }
        })
    }
}

/// Explores all states; the path to one from which no state at rest can be reached, told step by step.
fn stuck(scenario: Scenario) -> Option<String> {
    let model = scenario.model();
    let rest = Goal {
        name: "all that live come to rest",
        is_reached: Box::new(RingModel::is_at_rest),
        goes_by: Box::new(|_, action| {
            matches!(action, Action::Step(_) | Action::LetGo(_) | Action::Sweep { .. })
        }),
    };
    let explored = explore(&model, &[], &[rest]);
    println!(
        "{}: {} states, {} steps, {} at rest, {:.1} s",
        model.scenario, explored.states, explored.steps, explored.reached[0], explored.seconds
    );
    assert!(explored.reached[0] > 0, "nobody ever rests");
    explored.failure.map(|failure| format!("{}, never\n{}", failure.name, model.narrate(&failure.path)))
}

fn everyone_comes_to_rest(scenario: Scenario) {
    if let Some(story) = stuck(scenario.clone()) {
        panic!("{scenario}: no way on\n{story}");
    }
}

/// The scenario comes to rest as it is, and mutated does not.
fn gets_stuck(scenario: Scenario, mutation: Mutation) {
    everyone_comes_to_rest(scenario.clone());
    let story = stuck(scenario.mutated(mutation)).expect("some state has no way on");
    println!("{mutation:?}: stuck after {} steps", story.lines().count() / 2);
}

fn ring(capacity: u8) -> Scenario {
    Scenario::new(capacity)
}

#[test]
fn two_gets_that_each_want_the_whole_ring() {
    everyone_comes_to_rest(ring(2).producers(1, 3).batch_consumers(2, 2));
}

#[test]
fn gets_of_two_sizes_with_a_give_back() {
    everyone_comes_to_rest(ring(3).producers(1, 3).batch_consumers(1, 3).batch_consumers(1, 2).give_backs(1));
}

#[test]
fn batches_on_both_sides_that_each_want_the_whole_ring() {
    everyone_comes_to_rest(ring(2).batch_producers(2, 2, 2).batch_consumers(1, 2));
}

#[test]
fn batches_on_both_sides_with_a_crash() {
    everyone_comes_to_rest(ring(2).batch_producers(1, 2, 2).batch_consumers(2, 2).sweepers(1).crashes(1));
}

#[test]
fn batches_by_two_threads_that_publish_one_after_the_other() {
    let scenario = ring(4).batch_producers(2, 2, 2).two_threads().consumers(1).crashes(1).publishing();
    everyone_comes_to_rest(scenario);
}

#[test]
fn a_batch_that_is_completed_by_two_sweepers_that_may_die() {
    let scenario = ring(2).batch_producers(1, 2, 2).consumers(1).sweepers(2).crashes(2).publishing();
    everyone_comes_to_rest(scenario);
}

#[test]
fn a_batch_beside_views_that_linger() {
    everyone_comes_to_rest(ring(2).producers(1, 2).batch_consumers(1, 2).consumers(1).lingers(1));
}

#[test]
fn a_drain_with_a_crash_and_a_give_back() {
    let scenario = ring(2).producers(1, 1).consumers(2).sweepers(1).closer(false);
    everyone_comes_to_rest(scenario.crashes(1).give_backs(1));
}

#[test]
fn a_drain_by_a_batch_and_a_single_get() {
    everyone_comes_to_rest(ring(2).producers(1, 2).batch_consumers(1, 2).consumers(1).closer(false));
}

#[test]
fn an_immediate_shutdown_beside_batches() {
    everyone_comes_to_rest(ring(2).batch_producers(1, 2, 2).batch_consumers(2, 2).closer(true));
}

#[test]
fn gets_that_wait_with_half_a_batch_in_hand() {
    let mutation = Mutation { waits_holding: true, ..Mutation::default() };
    gets_stuck(ring(2).producers(1, 2).batch_consumers(2, 2), mutation);
}

#[test]
fn puts_that_wait_with_half_a_batch_in_hand() {
    let mutation = Mutation { waits_holding: true, ..Mutation::default() };
    gets_stuck(ring(2).batch_producers(2, 2, 2).consumers(1), mutation);
}

#[test]
fn without_helping_the_head_after_a_death() {
    let mutation = Mutation { no_head_help: true, ..Mutation::default() };
    gets_stuck(ring(1).producers(2, 1).consumers(1).sweepers(1).crashes(1), mutation);
}

#[test]
#[ignore = "a million states, for `make soak`"]
fn soak_a_drain_of_two_items_with_a_crash_and_a_give_back() {
    let scenario = ring(2).producers(1, 2).consumers(2).sweepers(1).closer(false);
    everyone_comes_to_rest(scenario.crashes(1).give_backs(1));
}

#[test]
#[ignore = "a million states, for `make soak`"]
fn soak_two_gets_that_each_want_the_whole_ring_with_a_crash_and_a_give_back() {
    let scenario = ring(2).producers(1, 3).batch_consumers(2, 2).sweepers(1);
    everyone_comes_to_rest(scenario.crashes(1).give_backs(1));
}

#[test]
#[ignore = "a million states, for `make soak`"]
fn soak_a_drain_by_batches_with_a_crash() {
    let scenario = ring(2).batch_producers(1, 2, 2).producers(1, 1).batch_consumers(1, 2).consumers(1);
    everyone_comes_to_rest(scenario.sweepers(1).closer(false).crashes(1));
}

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

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Instant;

use stateright::Model;

use crate::cast::{Role, Scenario};
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
    let begin = Instant::now();
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut known: HashMap<u64, u32> = HashMap::new();
    // Of each state: how it was come to first, and from where the living alone come to it.
    let mut parents: Vec<Option<(u32, Action)>> = Vec::new();
    let mut before: Vec<Vec<u32>> = Vec::new();
    let mut at_rest: Vec<u32> = Vec::new();
    let mut open: VecDeque<(u32, State)> = VecDeque::new();
    let mut add = |state: State, parent: Option<(u32, Action)>, open: &mut VecDeque<(u32, State)>| {
        let next = known.len() as u32;
        let index = *known.entry(hasher.hash_one(state)).or_insert(next);
        if index == next {
            parents.push(parent);
            open.push_back((index, state));
        }
        index
    };
    for state in model.init_states() {
        add(state, None, &mut open);
    }
    let mut actions = Vec::new();
    while let Some((index, state)) = open.pop_front() {
        if model.is_at_rest(&state) {
            at_rest.push(index);
        }
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = model.next_state(&state, action) else { continue };
            let to = add(next, Some((index, action)), &mut open);
            before.resize_with(before.len().max(to as usize + 1), Vec::new);
            if matches!(action, Action::Step(_) | Action::LetGo(_) | Action::Sweep { .. }) {
                before[to as usize].push(index);
            }
        }
    }
    let mut comes_to_rest = vec![false; parents.len()];
    let rests = at_rest.len();
    while let Some(index) = at_rest.pop() {
        if !std::mem::replace(&mut comes_to_rest[index as usize], true) {
            at_rest.append(&mut before[index as usize]);
        }
    }
    println!(
        "{}: {} states, {rests} at rest, {:.1} s",
        model.scenario,
        parents.len(),
        begin.elapsed().as_secs_f64()
    );
    assert!(rests > 0, "nobody ever rests");
    let mut at = comes_to_rest.iter().position(|comes| !comes)? as u32;
    let mut path = Vec::new();
    while let Some((parent, action)) = parents[at as usize] {
        path.push(action);
        at = parent;
    }
    path.reverse();
    Some(model.narrate(&path))
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

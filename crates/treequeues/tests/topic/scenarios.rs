//! Small mixes of publishers and readers, each explored exhaustively; those that wait, die or end are in `waits` and `deaths`.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, OnceLock};

use stateright::Model;

use crate::cast::{Call, Mutation, Scenario, Start};
use crate::exploration::{Explored, explore};
use crate::explore::{Action, State, TopicModel};
use crate::properties::{ALONE, FULL, REST, goals};

pub const ALL_CALLS: [Call; 3] = [Call::Next, Call::Newer, Call::Latest];
pub const OF_SUBSCRIPTIONS: [Call; 2] = [Call::Next, Call::Newer];

/// Explores all states; prints how many there are.
pub fn look_at_all(scenario: &Scenario) -> Explored<Action> {
    let model = TopicModel::new(scenario.clone());
    let explored = explore(&model, &model.properties(), &goals(scenario));
    println!(
        "{scenario}: {} states, {} steps, {} at rest, {:.1} s",
        explored.states,
        explored.steps,
        explored.reached.first().copied().unwrap_or_default(),
        explored.seconds
    );
    explored
}

/// Explores all states, once for all tests that ask for it; panics with the path, told step by step, if a property fails.
pub fn holds(scenario: Scenario) {
    static EXPLORED: Mutex<Vec<(Scenario, Arc<OnceLock<()>>)>> = Mutex::new(Vec::new());
    let once = {
        let mut explored = EXPLORED.lock().expect("nothing panics while it is locked");
        match explored.iter().find(|(other, _)| *other == scenario) {
            Some((_, once)) => Arc::clone(once),
            None => {
                let once = Arc::default();
                explored.push((scenario.clone(), Arc::clone(&once)));
                once
            }
        }
    };
    once.get_or_init(|| {
        let explored = look_at_all(&scenario);
        if let Some(failure) = explored.failure {
            let model = TopicModel::new(scenario.clone());
            panic!("{scenario}: not so: {}\n{}", failure.name, model.narrate(&failure.path));
        }
        assert!(explored.reached[0] > 0, "nobody ever rests");
    });
}

/// One of the properties `expected` fails.
pub fn refutes(scenario: Scenario, expected: &[&str]) {
    let failure = look_at_all(&scenario).failure;
    let Some(failure) = failure else { panic!("{scenario}: holds, mutated by {:?}", scenario.mutation) };
    println!("    fails after {} steps: {}", failure.path.len(), failure.name);
    let story = || TopicModel::new(scenario.clone()).narrate(&failure.path);
    assert!(expected.contains(&failure.name), "expected {expected:?}, not: {}\n{}", failure.name, story());
}

/// The scenario holds as it is; mutated, one of `expected` fails.
pub fn fails(scenario: Scenario, mutation: Mutation, expected: &[&str]) {
    holds(scenario.clone());
    refutes(scenario.mutated(mutation), expected);
}

pub fn topic(slots: u8) -> Scenario {
    Scenario::new(slots)
}

#[test]
fn a_publisher_and_a_reader_with_all_calls_and_a_crash() {
    for start in [Start::Oldest, Start::Latest, Start::New] {
        let scenario = topic(3).publishers(1, 4).readers(1, 2).sweepers(1).crashes(1);
        holds(scenario.calls(&ALL_CALLS).start(start));
    }
}

#[test]
fn two_publishers_and_a_reader() {
    for start in [Start::Oldest, Start::Latest, Start::New] {
        let scenario = topic(3).publishers(1, 2).publishers(1, 1).readers(1, 2);
        holds(scenario.calls(&OF_SUBSCRIPTIONS).start(start));
    }
}

#[test]
fn two_publishers_and_a_reader_with_a_crash() {
    holds(topic(3).publishers(2, 1).readers(1, 2).sweepers(1).crashes(1));
}

#[test]
fn two_readers() {
    holds(topic(3).publishers(1, 4).readers(2, 1));
    holds(topic(3).publishers(1, 3).readers(2, 2));
}

#[test]
fn a_publisher_that_goes_round_eight_times() {
    holds(topic(3).publishers(1, 8).readers(1, 3));
}

#[test]
fn a_publisher_that_stays_behind_while_another_goes_round() {
    for slots in [2, 3] {
        holds(topic(slots).publishers(1, 1).publishers(1, 6));
        holds(topic(slots).publishers(2, 3));
    }
    holds(topic(2).publishers(1, 1).publishers(1, 5).sweepers(2).crashes(1));
    holds(topic(2).publishers(1, 1).publishers(1, 3).readers(1, 1).calls(&OF_SUBSCRIPTIONS));
}

#[test]
fn two_slots_with_aborts_and_a_crash() {
    holds(topic(2).publishers(1, 3).readers(1, 2).calls(&ALL_CALLS).aborting().sweepers(2).crashes(1));
}

#[test]
fn publishers_whose_views_outlive_the_write() {
    holds(topic(2).publishers(1, 3).readers(1, 2).calls(&ALL_CALLS).lingering().sweepers(2).crashes(1));
    holds(topic(3).publishers(1, 2).publishers(1, 2).readers(1, 1).lingering());
    holds(topic(2).publishers(2, 1).readers(1, 1).lingering().waiting().filled(1).sweepers(1).crashes(1));
    holds(topic(2).publishers(1, 2).readers(1, 2).lingering().waiting().closer());
}

#[test]
fn two_slots_two_publishers_and_a_crash() {
    holds(topic(2).publishers(1, 2).publishers(1, 1).readers(1, 1).sweepers(1).crashes(1));
}

#[test]
fn two_slots_two_readers_and_a_crash() {
    holds(topic(2).publishers(1, 3).readers(2, 1).sweepers(1).crashes(1));
}

#[test]
fn two_slots_and_two_deaths() {
    holds(topic(2).publishers(2, 1).readers(1, 1).aborting().sweepers(1).crashes(2));
}

#[test]
fn one_slot_is_refused_because_its_second_put_never_ends() {
    holds(topic(1).publishers(1, 1).readers(1, 2).aborting());
    refutes(topic(1).publishers(1, 2), &[REST]);
}

#[test]
fn two_readers_are_threads_that_share_a_pin() {
    holds(topic(3).publishers(1, 3).readers(2, 2).threads(&[1, 2]));
    holds(topic(2).publishers(1, 3).readers(2, 1).threads(&[1, 2]).sweepers(1).crashes(1));
}

#[test]
fn two_publishers_are_threads() {
    let scenario = topic(3).publishers(1, 2).publishers(1, 1).readers(1, 1).threads(&[0, 1]);
    holds(scenario.sweepers(1).crashes(1).aborting());
}

#[test]
fn all_are_threads_of_one_process() {
    holds(topic(3).publishers(2, 2).readers(1, 1).threads(&[0, 1, 2]).sweepers(1).crashes(1));
}

#[test]
fn the_first_look_at_the_pins_only_spares_items_that_are_being_read() {
    let mutation = Mutation { no_first_look: true, ..Mutation::default() };
    let scenario = topic(3).publishers(1, 4).readers(1, 2).calls(&OF_SUBSCRIPTIONS);
    holds(scenario.sweepers(1).crashes(1).mutated(mutation));
}

#[test]
fn every_step_is_taken_and_no_two_states_have_one_hash() {
    let mut taken = BTreeSet::new();
    for scenario in [
        topic(2).publishers(2, 1).readers(1, 2).calls(&ALL_CALLS).aborting().sweepers(1).crashes(1),
        topic(2).publishers(1, 3).readers(1, 2).waiting().closer(),
        topic(2).publishers(2, 1).tenants(0, 2).lasting_sweepers(1, None),
    ] {
        let mut states = 0;
        visit_all(&scenario, |_, state| {
            states += 1;
            for process in &state.processes[..scenario.roles.len()] {
                let name = format!("{:?}", process.pc);
                taken.insert(name.split([' ', '(']).next().unwrap_or_default().to_owned());
            }
        });
        assert_eq!(states, look_at_all(&scenario).states);
    }
    let steps = "LookAtFlag LoadWord LoadPin Claim LoadPinAgain BackOff LookAtFlagAgain Refuse Write WriteRest \
        Abort LoadNewestAgain Link MakeReady LoadHelped Help Subscribe LoadOldest LoadReady Pin LookPinned Hold Unpin \
        LookAtEnd LoadWriting LoadLast SetBit FallAsleep Asleep LookAtLock Sweep SweepNewest AskEntry SweepWord \
        SweepPin FreeEntry Leave Down Done Dead";
    let never: Vec<_> = steps.split_whitespace().filter(|step| !taken.contains(*step)).collect();
    assert!(never.is_empty(), "never taken: {never:?}");
}

/// Visits all states, which are known whole, not by their hashes.
pub fn visit_all(scenario: &Scenario, mut visit: impl FnMut(&TopicModel, &State)) {
    let model = TopicModel::new(scenario.clone());
    let mut known: HashSet<_> = model.init_states().into_iter().collect();
    let mut open: Vec<_> = known.iter().copied().collect();
    let mut actions = Vec::new();
    while let Some(state) = open.pop() {
        visit(&model, &state);
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            open.extend(model.next_state(&state, action).filter(|next| known.insert(*next)));
        }
    }
}

#[test]
fn readers_plus_writers_plus_one_slots_are_needed() {
    // With one slot less a put waits for the reader.
    assert!(!topic(2).publishers(1, 3).readers(1, 1).has_enough());
    assert!(topic(3).publishers(1, 3).readers(1, 1).has_enough());
    let mutation = Mutation { one_look_is_enough: true, ..Mutation::default() };
    fails(topic(3).publishers(1, 6).readers(1, 3).waiting(), mutation, &[FULL, ALONE]);
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_all_calls_and_a_crash() {
    for start in [Start::Oldest, Start::Latest, Start::New] {
        let scenario = topic(3).publishers(1, 5).readers(1, 3).sweepers(1).crashes(1);
        holds(scenario.calls(&ALL_CALLS).start(start));
        let scenario = topic(3).publishers(2, 2).readers(1, 2);
        holds(scenario.calls(&OF_SUBSCRIPTIONS).start(start));
    }
    holds(topic(3).publishers(1, 8).readers(1, 4).calls(&OF_SUBSCRIPTIONS));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_publishers_of_two_and_a_reader_with_a_crash() {
    holds(topic(3).publishers(2, 2).readers(1, 2).sweepers(1).crashes(1));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_readers() {
    holds(topic(3).publishers(1, 4).readers(2, 2));
    holds(topic(3).publishers(1, 5).readers(2, 1));
    holds(topic(3).publishers(1, 4).readers(2, 1).sweepers(1).crashes(1));
    holds(topic(3).publishers(1, 2).publishers(1, 1).readers(2, 1));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_publisher_that_stays_behind() {
    for slots in [2, 3] {
        holds(topic(slots).publishers(1, 1).publishers(1, 5).sweepers(2).crashes(1));
        holds(topic(slots).publishers(1, 1).publishers(1, 4).readers(1, 1).calls(&OF_SUBSCRIPTIONS));
    }
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_slots() {
    holds(topic(2).publishers(1, 4).readers(1, 3).calls(&ALL_CALLS).aborting().sweepers(2).crashes(1));
    holds(topic(2).publishers(2, 2).readers(1, 2).sweepers(1).crashes(1));
    holds(topic(2).publishers(1, 4).readers(2, 1).sweepers(1).crashes(1));
    holds(topic(2).publishers(2, 2).readers(1, 1).aborting().sweepers(1).crashes(2));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_threads() {
    holds(topic(3).publishers(1, 4).readers(2, 2).threads(&[1, 2]));
    let two = topic(2).publishers(1, 4).readers(2, 1).threads(&[1, 2]);
    holds(two.calls(&OF_SUBSCRIPTIONS).sweepers(1).crashes(1));
    holds(topic(3).publishers(2, 2).readers(1, 2).threads(&[0, 1]).sweepers(1).crashes(1));
    holds(topic(3).publishers(2, 2).readers(1, 1).threads(&[0, 1]).aborting().sweepers(1).crashes(1));
    holds(topic(3).publishers(2, 2).readers(1, 2).threads(&[0, 1, 2]).sweepers(1).crashes(1));
}

#[test]
#[ignore = "ten million states, for `make soak`"]
fn soak_two_threads_that_read_three_slots_and_a_crash() {
    holds(topic(3).publishers(1, 5).readers(2, 1).threads(&[1, 2]).sweepers(1).crashes(1));
}

//! Deaths beside calls that wait, with and without a sweep; and places that several tenants have, one after the other.

use crate::cast::{Mutation, Scenario};
use crate::memory::Window;
use crate::scenarios::{holds, topic, visit_all};

#[test]
fn a_dead_publisher_or_reader_is_swept() {
    holds(topic(2).publishers(2, 1).readers(1, 1).waiting().sweepers(1).crashes(1).filled(1));
    holds(topic(2).publishers(1, 1).readers(1, 2).waiting().sweepers(1).crashes(1).filled(2).closer());
}

#[test]
fn sweepers_die_too() {
    holds(topic(2).publishers(1, 1).readers(1, 1).waiting().sweepers(2).crashes(1).filled(2));
}

#[test]
fn a_death_while_all_slots_are_read_and_all_publishers_sleep() {
    holds(topic(3).publishers(2, 1).readers(2, 1).all_asleep().sweepers(1).crashes(1));
}

#[test]
fn before_a_sweep_a_bounded_sleep_makes_up_for_the_dead() {
    holds(topic(3).publishers(1, 2).readers(2, 1).waiting().crashes(1));
    holds(topic(2).publishers(2, 1).readers(1, 1).waiting().crashes(1).filled(1));
    holds(topic(3).publishers(2, 1).readers(2, 1).all_asleep().crashes(1));
    let windows = windows_of(&topic(3).publishers(1, 2).readers(2, 1).waiting().crashes(1));
    assert_eq!(windows, [Window::Linked, Window::Changed, Window::Moved]);
}

#[test]
fn a_sweeper_without_a_place_may_lose_a_wake_up_and_a_bounded_sleep_makes_up_for_it() {
    let scenario = topic(2).publishers(1, 1).readers(2, 1).waiting().outsiders(2).mortal(2);
    holds(scenario.clone());
    assert_eq!(windows_of(&scenario), [Window::Outside]);
}

/// What the dead were in the middle of, in all states in which somebody sleeps in vain.
fn windows_of(scenario: &Scenario) -> Vec<Window> {
    let mut windows = Vec::new();
    visit_all(scenario, |model, state| {
        let mut sleepers = (0..scenario.places.len()).filter(|p| model.sleeps_in_vain(state, *p));
        let window = state.memory.ledger.window;
        if model.is_quiet(state) && sleepers.next().is_some() && !windows.contains(&window) {
            windows.push(window);
        }
    });
    windows.sort_by_key(|window| *window as u8);
    windows
}

/// The place of one of two publishers has so many tenants.
pub fn publishers_come_again(tenants: u8) -> Scenario {
    let sweeps = (tenants > 2).then_some(2);
    topic(2).publishers(2, 1).tenants(0, tenants).lasting_sweepers(2, sweeps)
}

/// The place of a reader has so many tenants.
pub fn readers_come_again(tenants: u8) -> Scenario {
    let sweeps = (tenants > 2).then_some(2);
    topic(2).publishers(1, 3).readers(1, 1).tenants(1, tenants).lasting_sweepers(2, sweeps)
}

#[test]
fn a_publisher_takes_the_place_of_the_dead() {
    holds(publishers_come_again(2));
    holds(publishers_come_again(2).generation_bits(1));
}

#[test]
fn a_reader_takes_the_place_of_the_dead() {
    holds(readers_come_again(2));
}

#[test]
fn with_whole_generations_a_sweep_need_not_ask() {
    let mutation = Mutation { sweep_asks_not: true, ..Mutation::default() };
    holds(publishers_come_again(2).mutated(mutation));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_three_tenants_of_a_place() {
    holds(publishers_come_again(3));
    holds(readers_come_again(3));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_publisher_and_a_reader_of_one_process_come_again() {
    let scenario = topic(2).publishers(2, 1).readers(1, 1).threads(&[0, 2]);
    holds(scenario.tenants(0, 2).lasting_sweepers(2, None));
}

#[test]
#[ignore = "ten million states, for `make soak`"]
fn soak_sweepers_die_beside_two_publishers() {
    holds(topic(2).publishers(2, 1).readers(1, 1).waiting().sweepers(2).crashes(1).filled(1));
}

#[test]
#[ignore = "ten million states, for `make soak`"]
fn soak_sweepers_die_while_all_slots_are_read_and_all_publishers_sleep() {
    holds(topic(3).publishers(2, 1).readers(2, 1).all_asleep().sweepers(2).crashes(1));
}

#[test]
#[ignore = "ten million states, for `make soak`"]
fn soak_sweepers_without_places_die() {
    holds(topic(2).publishers(2, 1).readers(1, 1).waiting().outsiders(2).crashes(1).filled(1));
}

#[test]
#[ignore = "a million states, for `make soak`"]
fn soak_a_death_beside_two_publishers() {
    holds(topic(2).publishers(2, 1).readers(1, 2).waiting().sweepers(1).crashes(1));
    holds(topic(2).publishers(1, 1).readers(1, 2).waiting().sweepers(1).crashes(1).closer().aborting());
}

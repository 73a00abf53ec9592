//! Waiting and waking as a model: what the steps of `src/wait.rs` do between processes that spin, sleep, wake each other, and die.
//!
//! Each step makes one access to what is shared: the number of items, the event's word, the spinners' marks, the kernel's list of
//! sleepers. A mark may be seen as one whose time is over whenever somebody looks at it, since a holder may be slow. The word
//! is its waiters bit alone. Its sequence only tells whether it has moved since somebody read it, so each process remembers
//! that instead of a number, and the states stay finite. Every access is sequentially consistent here; why the code may rely on
//! that is E1 of `wait`.
//!
//! K1. No wake-up is lost: while nobody has died, nobody sleeps beside enough items, or in a queue that is shut down, with no
//!     other process under way.
//! K2. Whatever was lost with the dead, the end of one bounded sleep makes up for: who sleeps beside enough items gets them alone.
//!     The mark of a spinner that died is heeded for as long as it happens to be, or not at all.
//! K3. Between two waiters that come, wakers make one system call at most: no dead waiter costs every later call one (E4).
//!
//! Each step that is left out in a mutation makes one of them fail.
//!
//! - `cast`: who takes part, and where each stands.
//! - `steps`: the steps, and the mutations of them.
//! - `explore`: all of them in any order, with deaths, for stateright; what must hold.
//!
//! The long explorations are ignored: `cargo test --release --test wake -- --ignored` runs them.

mod cast;
mod explore;
mod steps;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::cast::{Expiry, Mutation, Role, Wakes};
use crate::explore::{CALLS, LOST};

/// Explores all states; the property that fails, if one does, and the way there.
fn explore(model: &Wakes) -> Option<(&'static str, String)> {
    let begin = Instant::now();
    let checker =
        model.clone().checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{:?}, {} crashes: {} states, {:.1} s",
        model.roles,
        model.crashes,
        checker.unique_state_count(),
        begin.elapsed().as_secs_f64()
    );
    let (property, path) = checker.discoveries().into_iter().next()?;
    let story: Vec<String> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
    Some((property, story.join("\n")))
}

fn holds(model: &Wakes) {
    if let Some((property, story)) = explore(model) {
        panic!("{:?}: {property}\n{story}", model.roles);
    }
}

/// Holds as it is; mutated, `expected` fails.
fn fails(model: Wakes, mutation: Mutation, expected: &str) {
    holds(&model);
    let (failed, story) = explore(&model.mutated(mutation)).expect("some property fails");
    println!("{mutation:?}: \"{failed}\" failed after {} steps", story.lines().count());
    assert_eq!(failed, expected, "{story}");
}

fn getter(calls: u8) -> Role {
    Role::Getter { wanted: 1, calls }
}

fn batch(wanted: u8) -> Role {
    Role::Getter { wanted, calls: 1 }
}

#[test]
fn two_getters_and_two_putters() {
    holds(&Wakes::new(&[getter(1), getter(1), Role::Putter(1), Role::Putter(1)]));
}

#[test]
fn getters_that_come_again() {
    holds(&Wakes::new(&[getter(2), getter(2), Role::Putter(4)]));
}

#[test]
fn getters_that_give_up() {
    holds(&Wakes::new(&[getter(1), getter(1), getter(1), Role::Putter(2)]).giving_up());
}

#[test]
fn a_batch_beside_a_getter() {
    holds(&Wakes::new(&[batch(2), getter(1), Role::Putter(3)]));
}

#[test]
fn two_batches() {
    holds(&Wakes::new(&[batch(2), batch(2), Role::Putter(3)]));
}

#[test]
fn a_batch_beside_two_getters() {
    holds(&Wakes::new(&[batch(2), getter(1), getter(1), Role::Putter(2)]));
}

#[test]
fn batches_of_two_sizes_that_give_up() {
    holds(&Wakes::new(&[batch(3), batch(2), Role::Putter(3)]).giving_up());
}

#[test]
fn a_waiter_or_a_waker_dies() {
    holds(&Wakes::new(&[getter(1), getter(2), Role::Putter(2), Role::Putter(1)]).crashes(2));
}

#[test]
fn a_batch_dies_beside_others() {
    holds(&Wakes::new(&[batch(2), getter(1), Role::Putter(2)]).crashes(1));
}

#[test]
fn a_shutdown_reaches_everybody() {
    holds(&Wakes::new(&[getter(1), getter(1), batch(2), Role::Putter(1), Role::Shutter]));
}

#[test]
fn a_shutdown_beside_those_who_give_up_and_die() {
    holds(&Wakes::new(&[getter(1), getter(1), Role::Putter(1), Role::Shutter]).giving_up().crashes(1));
}

#[test]
fn waking_everybody_by_the_bit() {
    let mutation = Mutation { all_by_the_bit: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(1), Role::Shutter]), mutation, LOST);
}

#[test]
fn sleeping_without_a_look_after_the_bit() {
    let mutation = Mutation { no_look_after_the_bit: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), Role::Putter(1)]), mutation, LOST);
}

#[test]
fn looking_at_the_bit_before_the_item_is_there() {
    let mutation = Mutation { bit_before_item: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), Role::Putter(1)]), mutation, LOST);
}

#[test]
fn setting_no_bit_for_the_others() {
    let mutation = Mutation { no_bit_for_others: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).giving_up(), mutation, LOST);
}

#[test]
fn looking_for_more_before_the_bit() {
    let mutation = Mutation { looks_before_the_bit: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).giving_up(), mutation, LOST);
}

#[test]
fn keeping_the_rest_of_a_wake_up() {
    let mutation = Mutation { keeps_the_rest: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(2)]), mutation, LOST);
}

#[test]
fn keeping_a_wake_up_that_is_of_no_use() {
    let mutation = Mutation { keeps_the_useless: true, ..Mutation::default() };
    fails(Wakes::new(&[batch(2), getter(1), Role::Putter(1)]), mutation, LOST);
}

#[test]
fn keeping_a_wake_up_that_comes_again() {
    let mutation = Mutation { keeps_the_second: true, ..Mutation::default() };
    fails(Wakes::new(&[batch(2), getter(1), getter(1), Role::Putter(2)]), mutation, LOST);
}

#[test]
fn resting_although_the_word_has_moved() {
    let mutation = Mutation { rests_on: true, ..Mutation::default() };
    fails(Wakes::new(&[batch(2), Role::Putter(2)]), mutation, LOST);
}

#[test]
fn clearing_the_bit_without_a_new_sequence() {
    let mutation = Mutation { sequence_stands: true, ..Mutation::default() };
    fails(Wakes::new(&[batch(2), getter(1), Role::Putter(1)]), mutation, LOST);
}

#[test]
fn counting_waiters_costs_every_call_after_a_death() {
    let mutation = Mutation { counts_waiters: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), Role::Putter(2)]).crashes(1), mutation, CALLS);
}

#[test]
fn a_spinner_beside_getters_and_putters() {
    holds(&Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).marks(1));
    holds(&Wakes::new(&[getter(1), getter(1), Role::Putter(1), Role::Putter(1)]).marks(1));
}

#[test]
fn spinners_that_come_again() {
    holds(&Wakes::new(&[getter(2), getter(2), Role::Putter(3)]).marks(1));
}

#[test]
fn two_spinners_beside_a_third_getter() {
    holds(&Wakes::new(&[getter(1), getter(1), getter(1), Role::Putter(2)]).marks(2));
}

#[test]
fn spinners_that_give_up_their_calls() {
    holds(&Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).marks(1).giving_up());
}

#[test]
fn a_batch_that_spins_beside_a_getter() {
    holds(&Wakes::new(&[batch(2), getter(1), Role::Putter(2)]).marks(1));
    holds(&Wakes::new(&[batch(2), getter(1), Role::Putter(3)]).marks(2));
}

#[test]
fn a_spinner_or_a_waker_dies() {
    holds(&Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).marks(1).crashes(1));
}

#[test]
fn a_shutdown_reaches_spinners() {
    holds(&Wakes::new(&[getter(1), getter(1), Role::Putter(1), Role::Shutter]).marks(1));
}

#[test]
fn spinners_that_are_always_in_time() {
    let model = Wakes::new(&[getter(1), getter(1), getter(1), Role::Putter(2)]);
    holds(&model.marks(1).expiring(Expiry::Never));
}

#[test]
fn spinners_that_nobody_heeds() {
    let model = Wakes::new(&[getter(1), getter(1), Role::Putter(2)]);
    holds(&model.marks(1).expiring(Expiry::AtOnce));
}

#[test]
fn owing_nothing_after_a_spin_in_vain() {
    let mutation = Mutation { owes_nothing: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).marks(1), mutation, LOST);
}

#[test]
fn keeping_the_rest_after_a_spin() {
    let mutation = Mutation { keeps_what_it_spun_for: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).marks(1), mutation, LOST);
}

#[test]
fn looking_for_more_before_the_mark_is_cleared() {
    let mutation = Mutation { looks_before_the_clearing: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).marks(1), mutation, LOST);
}

#[test]
fn setting_the_bit_before_the_mark_is_cleared() {
    let mutation = Mutation { bit_before_the_clearing: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), Role::Putter(1)]).marks(1), mutation, LOST);
}

#[test]
fn spinning_again_before_the_bit_is_set() {
    let mutation = Mutation { spins_when_woken: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), getter(1), Role::Putter(2)]).marks(1), mutation, LOST);
}

#[test]
fn looking_at_the_marks_before_the_item_is_there() {
    let mutation = Mutation { marks_before_item: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), Role::Putter(1)]).marks(1), mutation, LOST);
}

#[test]
fn keeping_the_rest_of_a_wake_up_beside_spinners() {
    let mutation = Mutation { keeps_the_rest: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).marks(1), mutation, LOST);
}

#[test]
#[ignore = "a million states, for `make soak`"]
fn soak_two_spinners_and_getters_that_come_again() {
    holds(&Wakes::new(&[getter(2), getter(2), Role::Putter(3)]).marks(2));
    holds(&Wakes::new(&[getter(1), getter(1), getter(1), Role::Putter(3)]).marks(2));
    holds(&Wakes::new(&[getter(1), getter(1), getter(1), Role::Putter(1), Role::Putter(1)]).marks(1));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_spinning_batches_that_give_up_and_die() {
    holds(&Wakes::new(&[batch(2), getter(1), getter(1), Role::Putter(2)]).marks(1));
    holds(&Wakes::new(&[batch(2), batch(2), Role::Putter(3)]).marks(2).giving_up());
    holds(&Wakes::new(&[batch(2), getter(1), Role::Putter(2)]).marks(2).giving_up().crashes(1));
    holds(&Wakes::new(&[getter(1), batch(2), Role::Putter(2), Role::Shutter]).marks(1).giving_up());
}

#[test]
#[ignore = "a million states, for `make soak`"]
fn soak_two_batches_and_a_getter_one_of_which_dies() {
    holds(&Wakes::new(&[batch(2), batch(2), getter(1), Role::Putter(3)]).crashes(1));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_batch_and_getters_that_give_up_and_die() {
    holds(&Wakes::new(&[batch(2), getter(1), Role::Putter(2), Role::Putter(1)]).giving_up().crashes(2));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_three_sizes_that_give_up() {
    holds(&Wakes::new(&[batch(3), batch(2), getter(1), Role::Putter(3)]).giving_up());
}

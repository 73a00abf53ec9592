//! Shutdowns: what was put before is drained, what comes after is refused, and a drain ends only when nothing can come.

use crate::cast::Scenario;
use crate::mutations::fails;
use crate::properties::{DRAINED, GETS_END, PUTS_END};
use crate::protocol::Mutation;
use crate::scenarios::holds;

const DRAIN: bool = false;
const IMMEDIATE: bool = true;

fn ring(capacity: u8) -> Scenario {
    Scenario::new(capacity)
}

#[test]
fn a_drain_beside_a_put() {
    holds(ring(2).producers(1, 2).consumers(1).closer(DRAIN).honest());
}

#[test]
fn a_drain_beside_two_puts() {
    holds(ring(2).producers(2, 1).consumers(1).closer(DRAIN).honest());
}

#[test]
fn a_drain_by_two_gets_one_of_which_dies_or_gives_back() {
    holds(ring(2).producers(1, 1).consumers(2).sweepers(1).closer(DRAIN).crashes(1).give_backs(1).honest());
}

#[test]
fn a_drain_while_a_put_dies() {
    holds(ring(2).producers(1, 2).consumers(1).sweepers(1).closer(DRAIN).crashes(1).honest());
}

#[test]
fn a_drain_by_batches() {
    holds(ring(2).producers(1, 2).batch_consumers(1, 2).consumers(1).closer(DRAIN).honest());
}

#[test]
fn a_batch_is_put_whole_or_refused_by_a_drain() {
    holds(ring(2).batch_producers(1, 2, 2).producers(1, 1).consumers(1).closer(DRAIN).honest());
}

#[test]
fn a_drain_beside_a_view_that_lingers() {
    holds(ring(2).producers(1, 2).consumers(2).closer(DRAIN).lingers(1).honest());
}

#[test]
fn an_immediate_shutdown() {
    holds(ring(2).producers(1, 2).batch_consumers(1, 2).consumers(1).closer(IMMEDIATE).honest());
}

#[test]
fn an_immediate_shutdown_and_a_drain_at_once() {
    holds(ring(2).producers(1, 2).consumers(1).closer(IMMEDIATE).closer(DRAIN).honest());
}

#[test]
fn without_the_look_at_the_flag_after_a_claim() {
    let mutation = Mutation { no_flag_after: true, ..Mutation::default() };
    fails(ring(2).producers(1, 2).consumers(1).closer(DRAIN), mutation, &[DRAINED]);
}

#[test]
fn without_any_look_at_the_flag_by_puts() {
    let mutation = Mutation { no_flag_before: true, no_flag_after: true, ..Mutation::default() };
    fails(ring(2).producers(1, 2).closer(DRAIN), mutation, &[PUTS_END]);
}

#[test]
fn without_a_look_at_the_flag_by_gets() {
    let mutation = Mutation { no_flag_before: true, ..Mutation::default() };
    fails(ring(2).producers(1, 2).consumers(1).closer(IMMEDIATE), mutation, &[GETS_END]);
}

#[test]
fn draining_past_a_writer() {
    let mutation = Mutation { drain_ignores_writers: true, ..Mutation::default() };
    fails(ring(2).producers(1, 2).consumers(1).closer(DRAIN), mutation, &[DRAINED]);
}

#[test]
fn draining_past_a_reader() {
    let mutation = Mutation { drain_ignores_readers: true, ..Mutation::default() };
    fails(ring(2).producers(1, 2).consumers(2).closer(DRAIN).give_backs(1), mutation, &[DRAINED]);
}

#[test]
fn draining_without_a_look_at_all_slots() {
    let mutation = Mutation { drain_without_a_look: true, ..Mutation::default() };
    fails(ring(2).producers(1, 2).consumers(1).closer(DRAIN), mutation, &[DRAINED]);
}

#[test]
fn a_drain_that_takes_an_immediate_shutdown_back() {
    let mutation = Mutation { shutdown_by_store: true, ..Mutation::default() };
    let scenario = ring(2).producers(1, 2).consumers(1).closer(IMMEDIATE).closer(DRAIN);
    fails(scenario, mutation, &[GETS_END]);
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_drain_by_two_gets_with_a_crash_and_a_give_back() {
    holds(ring(2).producers(1, 2).consumers(2).sweepers(1).closer(DRAIN).crashes(1).give_backs(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_drain_beside_two_puts_a_sweeper_and_a_crash() {
    holds(ring(2).producers(2, 2).consumers(1).sweepers(1).closer(DRAIN).crashes(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_drain_by_batches_on_both_sides_with_a_crash() {
    let scenario = ring(2).batch_producers(1, 2, 2).producers(1, 1).batch_consumers(1, 2).consumers(1);
    holds(scenario.sweepers(1).closer(DRAIN).crashes(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_drain_on_three_slots() {
    holds(ring(3).producers(2, 2).batch_consumers(1, 2).consumers(1).closer(DRAIN).honest());
}

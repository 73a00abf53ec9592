//! RETURNED items are found by the tree, in order, and by the list that a consumer keeps.

use crate::cast::Scenario;
use crate::mutations::{fails, refutes};
use crate::properties::{ALONE, BITS, DIE, EMPTY, PRODUCER_ORDER, RETURNED_FIRST, STOP};
use crate::protocol::Mutation;
use crate::scenarios::holds;

fn ring(capacity: u8) -> Scenario {
    Scenario::new(capacity)
}

/// Two producers meet each other's slots, and a consumer looks for what they burn; the tree has two levels.
fn burns() -> Scenario {
    ring(2).producers(2, 2).consumers(1).honest().fans(&[1]).lone()
}

/// What is given back is in one of three slots, the first two of which share a word.
fn gives_back_on_two_levels() -> Scenario {
    ring(3).producers(1, 3).consumers(2).give_backs(2).honest().fans(&[2]).lone()
}

/// A batch of all slots is given back while another consumer takes.
fn gives_batches_back() -> Scenario {
    ring(3).producers(1, 3).batch_consumers(1, 3).consumers(1).give_backs(2).honest().fans(&[1]).lone()
}

/// Consumers keep what they found, and two items go back.
fn gives_back_twice() -> Scenario {
    ring(2).producers(1, 3).consumers(2).give_backs(2).honest().keeping().lone()
}

/// Consumers keep what they found.
fn keeps() -> Scenario {
    ring(2).producers(1, 3).consumers(2).give_backs(1).honest().keeping().lone()
}

#[test]
fn a_tree_of_two_levels() {
    holds(ring(2).producers(1, 3).consumers(2).give_backs(1).honest().fans(&[1]).lone());
    holds(ring(2).producers(2, 1).consumers(2).honest().fans(&[1]).lone());
}

#[test]
fn a_tree_of_three_levels() {
    holds(ring(2).producers(2, 1).consumers(2).honest().fans(&[1, 1]).lone());
}

#[test]
fn a_list_is_kept() {
    holds(keeps());
}

#[test]
fn a_list_is_kept_beside_a_sweeper() {
    holds(ring(2).producers(1, 2).consumers(2).sweepers(1).crashes(1).honest().keeping().lone());
}

#[test]
fn a_list_is_kept_by_a_batch() {
    holds(ring(2).producers(1, 2).batch_consumers(1, 2).consumers(1).give_backs(1).honest().keeping().lone());
}

#[test]
fn setting_the_bits_after_the_word() {
    let mutation = Mutation { raises_after: true, ..Mutation::default() };
    refutes(burns(), mutation, &[STOP, BITS]);
}

#[test]
fn setting_the_root_first() {
    let mutation = Mutation { root_before_leaf: true, ..Mutation::default() };
    refutes(burns(), mutation, &[ALONE, STOP]);
}

#[test]
fn setting_the_middle_after_the_root() {
    let mutation = Mutation { middle_after_root: true, ..Mutation::default() };
    refutes(burns().fans(&[1, 1]), mutation, &[ALONE, STOP]);
}

#[test]
fn leaving_out_what_is_set_already() {
    let mutation = Mutation { skips_what_is_set: true, ..Mutation::default() };
    refutes(gives_batches_back(), mutation, &[BITS, STOP]);
}

#[test]
fn leaving_out_what_is_above_a_word_that_had_bits() {
    let mutation = Mutation { skips_the_rest_of_a_word: true, ..Mutation::default() };
    refutes(gives_back_on_two_levels(), mutation, &[BITS, STOP, DIE]);
}

#[test]
fn leaving_the_version_where_it_is_after_the_word() {
    let mutation = Mutation { no_second_raise: true, ..Mutation::default() };
    refutes(burns(), mutation, &[PRODUCER_ORDER]);
    fails(keeps(), mutation, &[RETURNED_FIRST]);
}

#[test]
fn taking_bits_away_whatever_the_word_is_by_now() {
    let mutation = Mutation { clears_any_version: true, ..Mutation::default() };
    refutes(gives_back_twice(), mutation, &[BITS, STOP]);
}

#[test]
fn comparing_the_bits_of_the_last_level_alone() {
    let mutation = Mutation { last_level_without_version: true, ..Mutation::default() };
    refutes(gives_back_twice(), mutation, &[BITS, STOP]);
}

#[test]
fn comparing_the_bits_of_a_middle_level_alone() {
    let mutation = Mutation { middle_without_version: true, ..Mutation::default() };
    let scenario = ring(3).producers(1, 1).producers(1, 3).consumers(1).aborts(1).honest();
    refutes(scenario.keeping().fans(&[2, 1]).lone(), mutation, &[ALONE]);
}

#[test]
fn comparing_the_bits_of_the_root_alone() {
    let mutation = Mutation { root_without_version: true, ..Mutation::default() };
    refutes(gives_batches_back(), mutation, &[BITS, STOP]);
}

#[test]
fn taking_the_bit_of_a_ready_slot_away() {
    let mutation = Mutation { clears_ready: true, ..Mutation::default() };
    refutes(burns(), mutation, &[ALONE, BITS]);
}

#[test]
fn taking_the_bit_of_a_slot_away_that_is_read() {
    let mutation = Mutation { clears_reading: true, ..Mutation::default() };
    refutes(keeps(), mutation, &[BITS, STOP]);
}

#[test]
fn taking_the_bit_of_a_late_slot_away() {
    let mutation = Mutation { clears_late: true, ..Mutation::default() };
    refutes(burns(), mutation, &[ALONE, BITS]);
}

#[test]
fn keeping_a_list_whatever_the_version() {
    let mutation = Mutation { keeps_for_ever: true, ..Mutation::default() };
    refutes(burns().fans(&[]).keeping(), mutation, &[PRODUCER_ORDER]);
}

#[test]
fn keeping_a_list_when_a_call_starts_over() {
    let mutation = Mutation { keeps_at_restart: true, ..Mutation::default() };
    refutes(burns().fans(&[]).keeping(), mutation, &[ALONE]);
}

#[test]
fn saying_empty_by_an_old_look() {
    let mutation = Mutation { empty_by_an_old_look: true, ..Mutation::default() };
    refutes(burns().fans(&[]).keeping(), mutation, &[EMPTY]);
}

#[test]
fn taking_what_a_look_found_without_a_second_load_of_the_root() {
    let mutation = Mutation { no_version_before_taking_returned: true, ..Mutation::default() };
    let scenario = ring(3).producers(1, 6).consumers(1).give_backs(1).aborts(2).fans(&[2]);
    refutes(scenario, mutation, &[PRODUCER_ORDER]);
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_trees_of_two_and_three_levels() {
    holds(burns());
    holds(burns().fans(&[1, 1]));
    holds(gives_back_on_two_levels());
    holds(gives_batches_back());
    holds(ring(3).producers(1, 6).consumers(1).give_backs(1).aborts(2).honest().fans(&[2]).lone());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_lists_are_kept() {
    holds(gives_back_twice());
    holds(burns().fans(&[1, 1]).keeping());
    holds(
        ring(3)
            .producers(1, 3)
            .batch_consumers(1, 2)
            .consumers(1)
            .give_backs(2)
            .honest()
            .fans(&[2])
            .keeping()
            .lone(),
    );
    holds(ring(3).producers(2, 2).consumers(1).aborts(1).honest().keeping().fans(&[1, 1]).lone());
    holds(
        ring(3)
            .producers(1, 1)
            .producers(1, 3)
            .consumers(1)
            .aborts(1)
            .honest()
            .keeping()
            .fans(&[2, 1])
            .lone(),
    );
}

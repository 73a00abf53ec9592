//! RETURNED items are found by the tree, in order, and by the list that a consumer keeps.

use crate::cast::Scenario;
use crate::mutations::{fails, refutes};
use crate::properties::{
    ALONE, BITS, DIE, EMPTY, NEWCOMER_ORDER, PRODUCER_ORDER, PUT_ORDER, RETURNED_FIRST, RETURNED_ORDER, STOP,
};
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

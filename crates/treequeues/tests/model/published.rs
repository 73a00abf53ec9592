//! Batches whose producers are killed while they publish them, beside takers, threads of the same process, and sweepers that die
//! half-way: they are whole or not at all.

use crate::cast::Scenario;
use crate::mutations::fails;
use crate::properties::{FROM_THE_FIRST, NEWCOMER_ORDER, NO_DAMAGE, PRODUCER_ORDER, WHOLE};
use crate::protocol::Mutation;
use crate::scenarios::holds;

fn ring(capacity: u8) -> Scenario {
    Scenario::new(capacity).publishing()
}

fn a_batch_dies() -> Scenario {
    ring(2).batch_producers(1, 2, 2).consumers(1).sweepers(1).crashes(1).honest()
}

fn a_batch_dies_beside_another_producer() -> Scenario {
    ring(2).batch_producers(1, 2, 2).producers(1, 1).consumers(1).sweepers(1).crashes(1).honest()
}

fn a_batch_and_a_put_by_two_threads() -> Scenario {
    ring(2).batch_producers(1, 2, 2).producers(1, 1).two_threads().consumers(1).crashes(1)
}

fn batches_by_two_threads() -> Scenario {
    ring(2).batch_producers(2, 2, 2).two_threads().consumers(1).crashes(1)
}

fn batches_by_two_threads_on_four_slots() -> Scenario {
    ring(4).batch_producers(2, 2, 2).two_threads().crashes(1)
}

fn two_sweepers_complete_what_was_passed() -> Scenario {
    ring(2).batch_producers(1, 2, 2).consumers(1).sweepers(2).crashes(1).passing()
}

fn a_successor_publishes() -> Scenario {
    ring(2).batch_producers(1, 4, 2).consumers(1).sweepers(1).crashes(1).restarts(1)
}

#[test]
fn a_batch_dies_and_is_completed() {
    holds(a_batch_dies());
    holds(ring(2).batch_producers(1, 4, 2).consumers(1).sweepers(1).crashes(1).honest());
}

#[test]
fn a_batch_is_completed_beside_another_producer() {
    holds(a_batch_dies_beside_another_producer());
}

#[test]
fn a_sweeper_dies_while_it_completes_a_batch() {
    holds(ring(2).batch_producers(1, 2, 2).consumers(1).sweepers(2).crashes(2).honest());
}

#[test]
fn two_sweepers_complete_a_batch_that_was_passed() {
    holds(two_sweepers_complete_what_was_passed());
}

#[test]
fn a_thread_puts_a_batch_and_another_one_a_single_item() {
    holds(a_batch_and_a_put_by_two_threads());
}

#[test]
fn two_threads_put_batches() {
    holds(batches_by_two_threads());
    holds(batches_by_two_threads_on_four_slots());
}

#[test]
fn a_successor_publishes_after_the_dead() {
    holds(a_successor_publishes());
}

#[test]
fn a_batch_is_aborted_before_it_is_published() {
    holds(ring(2).batch_producers(1, 4, 2).consumers(1).sweepers(1).crashes(1).aborts(1).passing());
}

#[test]
fn a_drain_while_a_batch_dies() {
    holds(ring(2).batch_producers(1, 2, 2).consumers(1).sweepers(1).closer(false).crashes(1).honest());
}

#[test]
fn a_batch_is_taken_by_a_batch_that_dies() {
    holds(ring(2).batch_producers(1, 2, 2).batch_consumers(1, 2).sweepers(1).crashes(2).honest());
}

#[test]
fn names_of_batches_that_come_again() {
    let mutation = Mutation { batches_come_again: true, ..Mutation::default() };
    fails(batches_by_two_threads(), mutation, &[WHOLE]);
}

#[test]
fn setting_the_delivery_count_back_before_the_batch() {
    let mutation = Mutation { count_before_batch: true, ..Mutation::default() };
    fails(a_batch_and_a_put_by_two_threads(), mutation, &[WHOLE]);
    fails(batches_by_two_threads(), mutation, &[WHOLE]);
}

#[test]
fn a_single_put_that_leaves_the_batch_of_its_slot() {
    let mutation = Mutation { no_batch_reset_at_put: true, ..Mutation::default() };
    fails(a_batch_and_a_put_by_two_threads(), mutation, &[WHOLE]);
}

#[test]
fn publishing_before_all_slots_say_their_batch() {
    let mutation = Mutation { publishes_early: true, ..Mutation::default() };
    fails(a_batch_dies(), mutation, &[WHOLE]);
}

#[test]
fn publishing_after_the_first_commit() {
    let mutation = Mutation { publishes_late: true, ..Mutation::default() };
    fails(a_batch_dies(), mutation, &[WHOLE]);
}

#[test]
fn publishing_for_ever() {
    let mutation = Mutation { publishes_for_ever: true, ..Mutation::default() };
    fails(batches_by_two_threads_on_four_slots(), mutation, &[WHOLE]);
}

#[test]
fn publishing_over_the_batch_of_another_thread() {
    let mutation = Mutation { overwrites_publishing: true, ..Mutation::default() };
    fails(batches_by_two_threads_on_four_slots(), mutation, &[WHOLE]);
}

#[test]
fn a_successor_that_leaves_what_the_dead_was_publishing() {
    let mutation = Mutation { no_publishing_reset_at_join: true, ..Mutation::default() };
    fails(a_successor_publishes(), mutation, &[NO_DAMAGE, WHOLE]);
}

#[test]
fn completing_all_that_the_dead_was_writing() {
    let mutation = Mutation { completes_all: true, ..Mutation::default() };
    fails(a_batch_and_a_put_by_two_threads(), mutation, &[WHOLE]);
}

#[test]
fn completing_a_slot_whose_item_was_taken() {
    let mutation = Mutation { completes_taken: true, ..Mutation::default() };
    fails(a_batch_and_a_put_by_two_threads(), mutation, &[WHOLE]);
}

#[test]
fn completing_what_lies_within_a_lap_alone() {
    let mutation = Mutation { completes_one_lap: true, ..Mutation::default() };
    fails(a_batch_and_a_put_by_two_threads(), mutation, &[WHOLE]);
}

#[test]
fn completing_in_the_order_of_the_slots() {
    let mutation = Mutation { completes_by_slot: true, ..Mutation::default() };
    fails(a_batch_dies_beside_another_producer(), mutation, &[FROM_THE_FIRST]);
}

#[test]
fn completing_each_item_only_once() {
    let mutation = Mutation { completes_once: true, ..Mutation::default() };
    fails(two_sweepers_complete_what_was_passed(), mutation, &[FROM_THE_FIRST]);
}

#[test]
fn completing_without_a_raise() {
    let mutation = Mutation { completes_without_raise: true, ..Mutation::default() };
    fails(two_sweepers_complete_what_was_passed(), mutation, &[NEWCOMER_ORDER, PRODUCER_ORDER]);
}

#[test]
fn completing_without_a_raise_after_what_another_sweeper_completed() {
    let mutation = Mutation { completes_raising_once: true, ..Mutation::default() };
    fails(two_sweepers_complete_what_was_passed(), mutation, &[NEWCOMER_ORDER, PRODUCER_ORDER]);
}

#[test]
fn completing_without_a_second_raise() {
    let mutation = Mutation { completes_without_second_raise: true, ..Mutation::default() };
    fails(two_sweepers_complete_what_was_passed(), mutation, &[NEWCOMER_ORDER, PRODUCER_ORDER]);
}

#[test]
fn returning_slots_before_the_batch_is_complete() {
    let mutation = Mutation { returns_first: true, ..Mutation::default() };
    fails(a_batch_dies(), mutation, &[WHOLE]);
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_sweepers_complete_a_batch_beside_another_producer() {
    holds(ring(2).batch_producers(1, 2, 2).producers(1, 1).consumers(1).sweepers(2).crashes(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_batch_that_was_passed_is_completed_beside_another_producer() {
    holds(a_batch_dies_beside_another_producer().passing());
    holds(ring(3).batch_producers(1, 3, 3).producers(1, 1).consumers(1).sweepers(1).crashes(1).passing());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_successor_publishes_beside_another_producer() {
    holds(a_successor_publishes().producers(1, 1));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_threads_put_batches_beside_a_sweeper() {
    holds(batches_by_two_threads().sweepers(1));
    holds(ring(2).batch_producers(1, 2, 2).producers(1, 2).two_threads().consumers(1).crashes(1));
    holds(ring(3).batch_producers(2, 2, 2).two_threads().consumers(1).crashes(1));
    holds(ring(2).batch_producers(2, 4, 2).two_threads().consumers(1).crashes(1));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_threads_put_batches_that_are_passed() {
    holds(ring(3).batch_producers(2, 2, 2).two_threads().consumers(1).crashes(1).passing());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_threads_put_batches_that_are_taken_by_two() {
    holds(ring(3).batch_producers(2, 2, 2).two_threads().consumers(2).crashes(1));
}

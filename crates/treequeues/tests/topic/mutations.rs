//! The protocol with a step left out or made wrong: the exploration must notice.
//!
//! Each test names a scenario that holds without the mutation, and a property that fails with it.

use crate::cast::{Call, Mutation, Scenario, Silent};
use crate::deaths::{publishers_come_again, readers_come_again};
use crate::properties::{
    ALONE, END, FORWARD, GONE, LEFT, LOST, MISSED, NEWEST, ONE_WRITER, PINS, REST, STALE, TORN,
};
use crate::scenarios::{fails, refutes, topic};

const ITEMS: Silent = Silent { items: true, slots: false };
const SLOTS: Silent = Silent { items: false, slots: true };

/// Two slots, a publisher and a reader.
fn two(items: u8) -> Scenario {
    topic(2).publishers(1, items).readers(1, 2)
}

/// The same with a shutdown.
fn ends(items: u8) -> Scenario {
    two(items).closer()
}

/// A publisher of one item beside one that goes round.
fn stays_behind(slots: u8) -> Scenario {
    topic(slots).publishers(1, 1).publishers(1, 6)
}

/// All wait, and one dies.
fn dies(sweepers: usize) -> Scenario {
    topic(2).publishers(2, 1).readers(1, 1).waiting().filled(1).sweepers(sweepers).crashes(1)
}

#[test]
fn without_a_second_look_at_the_pins() {
    let mutation = Mutation { no_second_look: true, ..Mutation::default() };
    fails(two(4), mutation, &[TORN, ONE_WRITER]);
}

#[test]
fn a_free_slot_is_claimed_without_a_look_at_its_pins() {
    let mutation = Mutation { free_without_pins: true, ..Mutation::default() };
    fails(two(4), mutation, &[TORN]);
}

#[test]
fn the_newest_may_be_claimed() {
    let mutation = Mutation { takes_the_newest: true, ..Mutation::default() };
    fails(two(4), mutation, &[NEWEST]);
}

#[test]
fn a_claim_that_backs_off_makes_the_slot_ready_again() {
    let mutation = Mutation { backs_off_to_ready: true, ..Mutation::default() };
    fails(two(4), mutation, &[GONE]);
}

#[test]
fn an_abort_makes_the_slot_ready_again() {
    let mutation = Mutation { aborts_to_ready: true, ..Mutation::default() };
    fails(two(4).aborting(), mutation, &[GONE]);
}

/// Two publishers whose views may outlive what they write.
fn lingers() -> Scenario {
    topic(3).publishers(1, 2).publishers(1, 2).readers(1, 1).lingering()
}

#[test]
fn a_slot_that_views_keep_is_freed_before_it_is_pinned() {
    let mutation = Mutation { linger_frees_first: true, ..Mutation::default() };
    fails(lingers(), mutation, &[TORN, FORWARD, NEWEST]);
}

#[test]
fn a_slot_that_views_keep_is_not_pinned() {
    let mutation = Mutation { linger_without_pin: true, ..Mutation::default() };
    fails(lingers(), mutation, &[TORN, FORWARD, NEWEST]);
}

#[test]
fn the_death_of_the_last_view_wakes_nobody() {
    let mutation = Mutation { let_go_silent: true, ..Mutation::default() };
    let scenario = topic(2).publishers(2, 1).readers(1, 1).lingering().waiting().filled(1);
    fails(scenario, mutation, &[LOST]);
}

#[test]
fn nobody_helps() {
    let mutation = Mutation { no_help: true, ..Mutation::default() };
    fails(two(4), mutation, &[ALONE]);
}

#[test]
fn helping_whatever_is_being_written() {
    let mutation = Mutation { helps_any: true, ..Mutation::default() };
    fails(two(4), mutation, &[ONE_WRITER]);
}

#[test]
fn helping_over_any_other_ticket() {
    let mutation = Mutation { helps_another: true, ..Mutation::default() };
    fails(two(5), mutation, &[ONE_WRITER]);
}

#[test]
fn the_commit_is_a_store() {
    let mutation = Mutation { commit_stores: true, ..Mutation::default() };
    fails(stays_behind(2), mutation, &[FORWARD]);
}

#[test]
fn the_commit_compares_one_bit_of_the_ticket() {
    let mutation = Mutation { commit_modulo: 2, ..Mutation::default() };
    fails(stays_behind(3), mutation, &[FORWARD]);
}

#[test]
fn the_commit_compares_two_bits_of_the_ticket() {
    let mutation = Mutation { commit_modulo: 4, ..Mutation::default() };
    fails(stays_behind(3), mutation, &[FORWARD]);
}

#[test]
fn the_word_becomes_ready_by_a_store() {
    let mutation = Mutation { ready_stores: true, ..Mutation::default() };
    fails(stays_behind(2), mutation, &[ONE_WRITER, GONE]);
}

#[test]
fn without_a_fence_after_the_pin() {
    let mutation = Mutation { no_fence: true, ..Mutation::default() };
    fails(two(4), mutation, &[TORN]);
}

#[test]
fn without_a_look_after_the_pin() {
    let mutation = Mutation { no_look: true, ..Mutation::default() };
    fails(two(4), mutation, &[TORN]);
}

#[test]
fn any_ready_will_do_after_the_pin() {
    let mutation = Mutation { any_ready: true, ..Mutation::default() };
    fails(two(4), mutation, &[TORN]);
}

#[test]
fn the_oldest_is_sought_above_the_newest_that_was_read() {
    let mutation = Mutation { oldest_unbounded: true, ..Mutation::default() };
    fails(topic(3).publishers(2, 2).readers(1, 1), mutation, &[MISSED]);
}

#[test]
fn the_next_is_sought_above_the_newest_that_was_read() {
    let mutation = Mutation { next_unbounded: true, ..Mutation::default() };
    fails(two(4), mutation, &[MISSED]);
}

#[test]
fn a_subscriber_that_lags_does_not_help_the_newest() {
    let mutation = Mutation { lagging_helps_not: true, ..Mutation::default() };
    fails(two(4), mutation, &[ALONE]);
}

#[test]
fn a_call_for_the_newest_takes_the_next_in_order() {
    let mutation = Mutation { newest_in_order: true, ..Mutation::default() };
    fails(two(4).calls(&[Call::Newer]), mutation, &[STALE]);
}

#[test]
fn a_release_does_not_notify() {
    let mutation = Mutation { release_silent: true, ..Mutation::default() };
    fails(two(3).waiting(), mutation, &[LOST]);
}

#[test]
fn a_release_notifies_before_its_pin_is_gone() {
    let mutation = Mutation { release_notifies_before: true, ..Mutation::default() };
    fails(two(3).waiting(), mutation, &[LOST]);
}

#[test]
fn a_look_that_failed_does_not_notify() {
    let mutation = Mutation { failed_look_silent: true, ..Mutation::default() };
    fails(two(3).waiting(), mutation, &[LOST]);
}

#[test]
fn sleeping_without_another_try() {
    let mutation = Mutation { no_second_try: true, ..Mutation::default() };
    fails(two(3).waiting(), mutation, &[LOST]);
}

#[test]
fn an_item_wakes_one_subscriber() {
    let mutation = Mutation { item_wakes_one: true, ..Mutation::default() };
    fails(topic(2).publishers(1, 1).readers(2, 1).waiting(), mutation, &[LOST]);
}

#[test]
fn a_slot_wakes_one_publisher() {
    let mutation = Mutation { slot_wakes_one: true, ..Mutation::default() };
    fails(topic(3).publishers(2, 1).readers(2, 1).all_asleep(), mutation, &[LOST]);
}

#[test]
fn a_shutdown_does_not_notify() {
    let mutation = Mutation { shutdown_silent: true, ..Mutation::default() };
    fails(ends(1).waiting(), mutation, &[LOST]);
}

#[test]
fn without_a_second_look_at_the_flag() {
    let mutation = Mutation { no_second_look_at_flag: true, ..Mutation::default() };
    fails(ends(2), mutation, &[END]);
}

#[test]
fn a_refused_claim_does_not_notify() {
    let mutation = Mutation { refused_silent: true, ..Mutation::default() };
    fails(ends(2).waiting().aborting(), mutation, &[LOST]);
}

#[test]
fn the_end_looks_at_the_words_and_then_at_the_flag() {
    let mutation = Mutation { end_reversed: true, ..Mutation::default() };
    fails(ends(2), mutation, &[END]);
}

#[test]
fn the_end_minds_no_writers() {
    let mutation = Mutation { end_ignores_writers: true, ..Mutation::default() };
    fails(ends(2), mutation, &[END]);
}

#[test]
fn the_end_without_a_last_look() {
    let mutation = Mutation { end_without_last_look: true, ..Mutation::default() };
    fails(ends(2), mutation, &[END]);
}

#[test]
fn a_claim_that_backs_off_does_not_notify_publishers() {
    let mutation = Mutation { back_off_silent: SLOTS, ..Mutation::default() };
    fails(topic(3).publishers(2, 1).readers(1, 1).waiting().filled(3), mutation, &[LOST]);
}

#[test]
fn a_claim_that_backs_off_does_not_notify_subscribers() {
    let mutation = Mutation { back_off_silent: ITEMS, ..Mutation::default() };
    fails(ends(1).waiting().filled(2), mutation, &[LOST]);
}

#[test]
fn a_publication_does_not_notify_publishers() {
    let mutation = Mutation { publication_silent: SLOTS, ..Mutation::default() };
    fails(topic(2).publishers(2, 2).waiting().aborting().filled(2), mutation, &[LOST]);
}

#[test]
fn a_publication_does_not_notify_subscribers() {
    let mutation = Mutation { publication_silent: ITEMS, ..Mutation::default() };
    fails(two(3).waiting(), mutation, &[LOST]);
}

#[test]
fn an_abort_does_not_notify_publishers() {
    let mutation = Mutation { abort_silent: SLOTS, ..Mutation::default() };
    fails(topic(2).publishers(2, 2).waiting().aborting().filled(2), mutation, &[LOST]);
}

#[test]
fn an_abort_does_not_notify_subscribers() {
    let mutation = Mutation { abort_silent: ITEMS, ..Mutation::default() };
    fails(ends(2).waiting().aborting(), mutation, &[LOST]);
}

#[test]
fn a_sweep_frees_what_is_linked() {
    let mutation = Mutation { sweep_frees_linked: true, ..Mutation::default() };
    fails(two(3).sweepers(1).crashes(1), mutation, &[NEWEST]);
}

#[test]
fn the_entry_is_freed_before_what_it_held() {
    let mutation = Mutation { entry_freed_first: true, ..Mutation::default() };
    fails(two(4).sweepers(2).crashes(1), mutation, &[LEFT, REST]);
}

#[test]
fn pins_without_a_generation() {
    let mutation = Mutation { pins_without_generation: true, ..Mutation::default() };
    fails(readers_come_again(2), mutation, &[PINS, TORN]);
}

#[test]
fn a_sweep_does_not_notify() {
    let mutation = Mutation { sweep_silent: true, ..Mutation::default() };
    fails(dies(1), mutation, &[LOST]);
}

#[test]
fn a_sweep_notifies_only_where_the_bit_is_set() {
    let mutation = Mutation { sweep_minds_bit: true, ..Mutation::default() };
    fails(dies(1), mutation, &[LOST]);
}

#[test]
fn threads_count_their_pins_by_themselves() {
    let mutation = Mutation { counts_by_itself: true, ..Mutation::default() };
    fails(topic(2).publishers(1, 3).readers(2, 1).threads(&[1, 2]), mutation, &[TORN]);
}

#[test]
fn threads_count_by_themselves_and_store_each_pin() {
    let mutation = Mutation { counts_and_stores: true, ..Mutation::default() };
    fails(topic(2).publishers(1, 3).readers(2, 1).threads(&[1, 2]), mutation, &[TORN]);
}

#[test]
fn a_sweep_notifies_after_it_has_freed_the_entry() {
    // It dies in between, and nobody sweeps it; the scenario without the mutation is a soak of `deaths`.
    let mutation = Mutation { sweep_rings_after: true, ..Mutation::default() };
    refutes(dies(0).outsiders(2).mutated(mutation), &[LOST]);
}

#[test]
fn owners_without_a_generation() {
    refutes(publishers_come_again(2).generation_bits(0), &[ONE_WRITER]);
    let mutation = Mutation { sweep_asks_not: true, ..Mutation::default() };
    refutes(publishers_come_again(2).generation_bits(0).mutated(mutation), &[ONE_WRITER]);
}

#[test]
fn owners_with_one_bit_of_a_generation_and_three_tenants() {
    refutes(publishers_come_again(3).generation_bits(1), &[ONE_WRITER]);
}

//! Calls that wait, wake-ups, and shutdowns.

use crate::cast::{Call, Scenario};
use crate::scenarios::{ALL_CALLS, OF_SUBSCRIPTIONS, holds, topic};

#[test]
fn a_publisher_and_a_reader_wait_for_each_other() {
    holds(topic(2).publishers(1, 3).readers(1, 2).waiting());
    holds(topic(2).publishers(2, 1).readers(1, 2).waiting().aborting());
    holds(topic(2).publishers(2, 2).waiting().aborting().filled(2));
}

#[test]
fn two_readers_wait() {
    holds(topic(3).publishers(1, 2).readers(2, 2).waiting());
    holds(topic(3).publishers(1, 2).readers(2, 1).waiting().filled(2));
}

#[test]
fn two_readers_wait_for_the_newest() {
    holds(topic(2).publishers(1, 2).readers(2, 1).waiting().calls(&[Call::Newer]));
    holds(topic(2).publishers(1, 2).readers(2, 1).waiting().calls(&[Call::Latest]));
}

#[test]
fn all_slots_are_read_and_all_publishers_sleep() {
    holds(topic(3).publishers(2, 1).readers(2, 1).all_asleep());
    holds(topic(3).publishers(1, 2).publishers(1, 1).readers(2, 1).all_asleep());
}

#[test]
fn with_enough_slots_no_put_sleeps() {
    holds(topic(3).publishers(1, 4).readers(1, 3).waiting());
    holds(topic(3).publishers(2, 3).waiting());
    holds(topic(4).publishers(2, 1).readers(1, 2).waiting());
    holds(topic(4).publishers(1, 3).readers(2, 1).waiting());
}

#[test]
fn a_shutdown_ends_all_calls() {
    holds(topic(2).publishers(1, 3).readers(1, 2).closer().aborting().calls(&OF_SUBSCRIPTIONS));
    holds(topic(3).publishers(2, 1).readers(1, 2).closer().aborting().calls(&OF_SUBSCRIPTIONS));
    holds(topic(2).publishers(1, 2).readers(1, 2).closer().calls(&ALL_CALLS).sweepers(2).crashes(1));
    holds(topic(3).publishers(1, 2).readers(2, 2).closer());
}

#[test]
fn a_shutdown_reaches_all_that_sleep() {
    holds(topic(2).publishers(1, 2).readers(1, 2).waiting().closer().aborting());
    holds(topic(2).publishers(1, 1).readers(1, 2).waiting().closer().filled(2));
    holds(topic(2).publishers(2, 1).readers(1, 2).waiting().closer());
}

/// A publisher that is woken and refused wakes nobody else: both must be woken at once.
pub fn two_publishers_sleep_at_the_shutdown() -> Scenario {
    topic(2).publishers(2, 1).readers(1, 1).waiting().closer().filled(2)
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_publishers_sleep_at_the_shutdown() {
    holds(two_publishers_sleep_at_the_shutdown());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_readers_and_publishers_wait_for_each_other() {
    holds(topic(2).publishers(2, 1).readers(2, 1).waiting());
    holds(topic(2).publishers(1, 1).publishers(1, 2).readers(1, 2).waiting());
    holds(topic(3).publishers(2, 1).readers(1, 2).waiting().filled(3));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_readers_wait() {
    holds(topic(2).publishers(1, 3).readers(2, 1).waiting());
    holds(topic(3).publishers(1, 2).readers(2, 1).waiting().filled(3));
    holds(topic(2).publishers(1, 3).readers(2, 1).waiting().calls(&[Call::Newer]));
    holds(topic(2).publishers(1, 3).readers(2, 1).waiting().calls(&[Call::Latest]));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_with_enough_slots_no_put_sleeps() {
    holds(topic(4).publishers(2, 2).readers(1, 1).waiting());
    holds(topic(4).publishers(1, 4).readers(2, 1).waiting());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_shutdown_of_two_publishers() {
    holds(topic(3).publishers(2, 2).readers(1, 2).closer());
    holds(topic(3).publishers(2, 1).readers(1, 3).closer().sweepers(1).crashes(1));
    holds(topic(3).publishers(1, 3).readers(2, 2).closer());
    holds(topic(2).publishers(1, 3).readers(1, 2).closer().calls(&ALL_CALLS).sweepers(2).crashes(1));
}

//! Full, and the size, are told by the cursors and the gap: a put looks no further, and the items are counted without a look at each
//! slot.

use crate::cast::Scenario;
use crate::mutations::{fails, refutes};
use crate::properties::{FULL, SIZE, STOP};
use crate::protocol::Mutation;
use crate::scenarios::holds;

fn ring(capacity: u8) -> Scenario {
    Scenario::new(capacity).gap()
}

fn aborts() -> Scenario {
    ring(2).producers(2, 2).consumers(1).aborts(1).honest()
}

/// A slot is being written, and the item behind it goes back.
fn gives_back_behind_a_writer() -> Scenario {
    ring(2).producers(2, 1).consumers(1).give_backs(1).honest()
}

#[test]
fn what_is_given_back() {
    holds(gives_back_behind_a_writer());
    holds(ring(2).producers(1, 2).consumers(2).give_backs(1).honest());
}

#[test]
fn what_is_aborted() {
    holds(ring(2).producers(1, 3).producers(1, 1).consumers(1).aborts(1).honest());
}

#[test]
fn what_is_aborted_on_three_slots() {
    holds(ring(3).producers(1, 6).consumers(1).aborts(2).honest());
}

#[test]
fn what_two_consumers_release() {
    holds(ring(3).producers(1, 4).consumers(2).honest());
}

#[test]
fn what_is_passed() {
    holds(ring(3).producers(1, 1).producers(1, 2).consumers(1).aborts(1).honest().passing());
}

#[test]
fn an_abort_that_does_not_raise_the_gap() {
    refutes(aborts(), Mutation { no_gap_at_abort: true, ..Mutation::default() }, &[STOP, FULL]);
}

#[test]
fn an_abort_that_raises_the_gap_afterwards() {
    refutes(aborts(), Mutation { gap_after_abort: true, ..Mutation::default() }, &[STOP, FULL]);
}

#[test]
fn a_burn_that_does_not_raise_the_gap() {
    let mutation = Mutation { no_gap_at_burn: true, ..Mutation::default() };
    refutes(ring(3).producers(1, 6).consumers(1).aborts(2).honest(), mutation, &[SIZE]);
}

#[test]
fn a_release_that_does_not_raise_the_gap() {
    refutes(aborts(), Mutation { no_gap_at_release: true, ..Mutation::default() }, &[STOP, FULL]);
}

#[test]
fn a_view_that_is_let_go_without_raising_the_gap() {
    let mutation = Mutation { no_gap_at_let_go: true, ..Mutation::default() };
    fails(ring(2).producers(1, 2).consumers(2).lingers(1).honest(), mutation, &[STOP, SIZE]);
}

#[test]
fn a_give_back_that_does_not_raise_the_gap() {
    let mutation = Mutation { no_gap_at_give_back: true, ..Mutation::default() };
    refutes(gives_back_behind_a_writer(), mutation, &[SIZE]);
}

#[test]
fn a_sweep_that_does_not_raise_the_gap() {
    let mutation = Mutation { no_gap_at_sweep: true, ..Mutation::default() };
    fails(ring(2).producers(1, 3).consumers(1).sweepers(1).crashes(1).honest(), mutation, &[STOP, SIZE]);
}

/// Producers keep that nothing is free beyond the lap from the tail on, while one holds a slot there.
fn keeps() -> Scenario {
    ring(2).producers(1, 3).producers(1, 2).consumers(1).aborts(1).honest().keeping()
}

#[test]
fn that_nothing_is_free_is_kept() {
    holds(ring(2).producers(1, 3).producers(1, 1).consumers(1).aborts(1).honest().keeping().lone());
    holds(ring(2).producers(1, 3).consumers(2).honest().keeping());
    holds(ring(2).producers(1, 3).consumers(1).sweepers(1).crashes(1).honest().keeping());
}

#[test]
fn an_abort_that_does_not_move_the_version() {
    refutes(keeps(), Mutation { no_version_at_abort: true, ..Mutation::default() }, &[FULL]);
}

#[test]
fn a_release_that_does_not_move_the_version() {
    let mutation = Mutation { no_version_at_release: true, ..Mutation::default() };
    refutes(keeps(), mutation, &[FULL]);
}

#[test]
fn a_view_that_is_let_go_without_moving_the_version() {
    let mutation = Mutation { no_version_at_let_go: true, ..Mutation::default() };
    refutes(ring(2).producers(1, 4).consumers(2).lingers(1).honest().keeping(), mutation, &[FULL]);
}

#[test]
fn a_sweep_that_does_not_move_the_version() {
    let mutation = Mutation { no_version_at_sweep: true, ..Mutation::default() };
    let scenario = ring(2).producers(1, 1).producers(1, 3).consumers(1).sweepers(1).crashes(1);
    refutes(scenario.honest().keeping(), mutation, &[FULL]);
}

#[test]
fn keeping_a_look_at_the_version_of_its_end() {
    refutes(keeps(), Mutation { version_of_any_time: true, ..Mutation::default() }, &[FULL]);
}

#[test]
fn raising_the_gap_by_a_store() {
    refutes(aborts(), Mutation { gap_by_store: true, ..Mutation::default() }, &[STOP, FULL]);
}

#[test]
fn looking_as_far_as_the_tail_alone() {
    refutes(aborts(), Mutation { full_without_the_gap: true, ..Mutation::default() }, &[STOP, FULL]);
}

#[test]
fn looking_as_far_as_the_gap_alone() {
    refutes(aborts(), Mutation { full_without_the_tail: true, ..Mutation::default() }, &[STOP, FULL]);
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_gaps() {
    holds(aborts());
    holds(ring(2).producers(1, 3).consumers(2).give_backs(2).honest());
    holds(ring(2).producers(2, 2).consumers(1).lingers(1).aborts(1).honest());
    holds(ring(2).producers(2, 2).consumers(1).sweepers(1).crashes(1).honest());
    holds(ring(3).producers(2, 2).consumers(1).give_backs(1).aborts(1).honest());
    holds(ring(2).batch_producers(2, 2, 2).batch_consumers(1, 2).crashes(1).honest());
}

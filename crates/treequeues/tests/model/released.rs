//! The look that says whether the item of a ticket is done with: it says so of every item that was released and of no other. Every scenario
//! checks it, in each state, with its two loads in one; `Ring::is_released` says why they may be two. Here are ways to do it wrong.

use crate::cast::Scenario;
use crate::mutations::refutes;
use crate::properties::RELEASED;
use crate::protocol::Mutation;

fn ring(capacity: u8) -> Scenario {
    Scenario::new(capacity)
}

#[test]
fn looking_at_the_reach_alone() {
    let mutation = Mutation { released_by_reach: true, ..Mutation::default() };
    refutes(ring(2).producers(1, 3).consumers(2), mutation, &[RELEASED]);
}

#[test]
fn taking_a_late_slot_for_the_item_before_it() {
    let mutation = Mutation { released_before_its_ticket: true, ..Mutation::default() };
    refutes(ring(2).producers(2, 2).consumers(1), mutation, &[RELEASED]);
}

#[test]
fn waiting_for_views_of_the_item() {
    let mutation = Mutation { released_after_its_views: true, ..Mutation::default() };
    refutes(ring(2).producers(1, 2).consumers(1).lingers(1), mutation, &[RELEASED]);
}

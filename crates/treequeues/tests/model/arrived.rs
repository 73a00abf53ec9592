//! Batches from elsewhere, whose bringer wants to know, after its death, whether the last one came: it is noted that it has arrived. The look
//! is one step here; `Ring::arrival_of` says why its loads may be apart.

use crate::cast::Scenario;
use crate::mutations::{fails, refutes};
use crate::properties::ARRIVED;
use crate::protocol::Mutation;
use crate::scenarios::holds;

fn ring(capacity: u8) -> Scenario {
    Scenario::new(capacity).arriving()
}

fn its_bringer_dies() -> Scenario {
    ring(2).batch_producers(1, 2, 2).consumers(1).sweepers(1).crashes(1).honest()
}

/// The first sweeper may be late: the successor brings the next batch meanwhile.
fn a_successor_brings_the_next() -> Scenario {
    ring(4).batch_producers(1, 4, 2).sweepers(2).crashes(2).restarts(1)
}

#[test]
fn a_batch_arrives_or_does_not() {
    holds(its_bringer_dies());
    holds(ring(2).batch_producers(1, 4, 2).consumers(1).sweepers(1).crashes(1));
    holds(ring(2).batch_producers(1, 2, 2).consumers(1).sweepers(1).crashes(2).aborts(1).passing());
}

#[test]
fn a_successor_brings_the_next_batch() {
    holds(ring(2).batch_producers(1, 4, 2).consumers(1).sweepers(1).crashes(1).restarts(1));
    holds(a_successor_brings_the_next());
}

#[test]
fn noting_it_before_there_is_no_way_back() {
    let mutation = Mutation { arrives_early: true, ..Mutation::default() };
    fails(its_bringer_dies(), mutation, &[ARRIVED]);
}

#[test]
fn noting_it_when_all_is_committed() {
    let mutation = Mutation { arrives_late: true, ..Mutation::default() };
    refutes(its_bringer_dies(), mutation, &[ARRIVED]);
}

#[test]
fn noting_it_by_a_store() {
    let mutation = Mutation { arrives_by_store: true, ..Mutation::default() };
    fails(a_successor_brings_the_next(), mutation, &[ARRIVED]);
}

#[test]
fn completing_a_batch_without_a_note() {
    let mutation = Mutation { completes_without_arrival: true, ..Mutation::default() };
    refutes(its_bringer_dies(), mutation, &[ARRIVED]);
}

#[test]
fn telling_it_while_the_first_slot_is_still_written() {
    let mutation = Mutation { arrival_told_early: true, ..Mutation::default() };
    refutes(its_bringer_dies(), mutation, &[ARRIVED]);
}

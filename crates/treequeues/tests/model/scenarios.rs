//! Small mixes of processes, each explored exhaustively.
//!
//! The quick ones have up to some hundred thousand states; the ignored ones, up to some ten million.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::cast::{Call, Scenario};
use crate::explore::Action;

/// Explores all states, once for all tests that ask for it; panics with the path, told step by step, if a property fails.
pub fn holds(scenario: Scenario) {
    static EXPLORED: Mutex<Vec<(Scenario, Arc<OnceLock<()>>)>> = Mutex::new(Vec::new());
    let once = {
        let mut explored = EXPLORED.lock().expect("nothing panics while it is locked");
        match explored.iter().find(|(other, _)| *other == scenario) {
            Some((_, once)) => Arc::clone(once),
            None => {
                let once = Arc::default();
                explored.push((scenario.clone(), Arc::clone(&once)));
                once
            }
        }
    };
    once.get_or_init(|| explore(scenario));
}

fn explore(scenario: Scenario) {
    let model = scenario.model();
    let begin = Instant::now();
    let checker =
        model.clone().checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{}: {} states, {} steps, depth {}, {:.1} s",
        model.scenario,
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begin.elapsed().as_secs_f64()
    );
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{}: {property}\n{}", model.scenario, model.narrate(&path.into_actions()));
    }
    checker.assert_properties();
}

fn ring(capacity: u8) -> Scenario {
    Scenario::new(capacity)
}

#[test]
fn two_producers_and_a_consumer() {
    holds(ring(2).producers(2, 2).consumers(1).honest());
}

#[test]
fn two_producers_and_a_consumer_with_a_crash() {
    holds(ring(2).producers(2, 2).consumers(1).crashes(1).honest());
}

#[test]
fn two_consumers_with_a_crash_and_a_give_back() {
    holds(ring(2).producers(1, 3).consumers(2).crashes(1).give_backs(1).honest());
}

#[test]
fn two_producers_and_two_consumers_with_a_crash_and_a_give_back() {
    holds(ring(2).producers(2, 1).consumers(2).crashes(1).give_backs(1).honest());
}

#[test]
fn two_crashes_with_two_sweepers_that_may_die() {
    holds(ring(2).producers(1, 3).consumers(1).sweepers(2).crashes(2).honest());
}

#[test]
fn a_successor_takes_the_id_of_the_dead_under_two_sweepers() {
    holds(ring(2).producers(1, 2).consumers(1).sweepers(2).crashes(1).restarts(1).honest());
}

#[test]
fn two_successors_of_one_id() {
    holds(ring(2).producers(1, 3).consumers(1).sweepers(1).crashes(2).restarts(2).honest());
}

#[test]
fn a_swept_item_comes_first() {
    holds(ring(2).producers(1, 2).consumers(2).sweepers(1).crashes(1).honest());
}

#[test]
fn a_lingering_view_and_an_abort() {
    holds(ring(2).producers(1, 2).producers(1, 1).consumers(1).lingers(1).aborts(1));
}

#[test]
fn a_producer_sets_a_slot_aside_and_puts_the_item_again() {
    holds(ring(2).producers(1, 3).consumers(1).lingers(2).honest());
}

#[test]
fn a_producer_dies_with_a_slot_set_aside() {
    holds(ring(2).producers(1, 3).consumers(1).sweepers(1).lingers(1).crashes(1).honest());
}

#[test]
fn a_late_producer_sets_its_slot_aside() {
    holds(ring(2).producers(1, 1).producers(1, 2).consumers(1).lingers(1).honest());
}

#[test]
fn a_batch_of_two_beside_a_consumer() {
    holds(ring(2).producers(1, 3).batch_consumers(1, 2).consumers(1).honest());
}

#[test]
fn two_batches_that_each_want_the_whole_ring() {
    holds(ring(2).producers(1, 3).batch_consumers(2, 2).honest());
}

#[test]
fn a_batch_that_falls_short_gives_all_back() {
    holds(ring(3).producers(1, 3).batch_consumers(1, 3).consumers(1).honest());
}

#[test]
fn a_batch_dies_while_it_falls_short() {
    holds(ring(2).producers(1, 3).batch_consumers(1, 2).consumers(1).sweepers(1).crashes(1).honest());
}

#[test]
fn a_batch_is_put_whole_or_not_at_all() {
    holds(ring(2).batch_producers(1, 2, 2).producers(1, 2).consumers(1).aborts(2).honest());
}

#[test]
fn two_batches_are_put_and_a_crash() {
    holds(ring(2).batch_producers(2, 2, 2).consumers(1).crashes(1).honest());
}

#[test]
fn batches_on_both_sides_of_three_slots() {
    holds(ring(3).batch_producers(1, 4, 2).batch_consumers(1, 2).consumers(1).honest());
}

#[test]
fn a_batch_is_given_back_whole_beside_a_consumer() {
    holds(ring(2).producers(1, 3).batch_consumers(1, 2).consumers(1).give_backs(2).honest());
}

#[test]
fn a_batch_is_given_back_under_a_sweeper_that_may_die() {
    holds(ring(2).producers(1, 2).batch_consumers(1, 2).sweepers(2).give_backs(1).crashes(2).honest());
}

#[test]
fn an_item_comes_back_between_the_claims_of_a_batch() {
    holds(ring(3).producers(1, 3).batch_consumers(1, 3).consumers(1).give_backs(1).honest());
}

#[test]
fn a_batch_is_put_while_a_producer_dies_half_way() {
    holds(ring(3).batch_producers(1, 3, 3).consumers(1).sweepers(1).crashes(1).honest());
}

#[test]
fn capacity_one() {
    holds(ring(1).producers(2, 1).consumers(2).crashes(1).give_backs(1).honest());
}

#[test]
fn capacity_three_with_a_crash_and_a_give_back() {
    holds(ring(3).producers(1, 5).consumers(1).crashes(1).give_backs(1).honest());
}

#[test]
fn capacity_three_with_two_producers_and_a_crash() {
    holds(ring(3).producers(2, 2).consumers(1).crashes(1));
}

#[test]
fn capacity_three_with_aborts_that_put_ready_items_in_the_way() {
    holds(ring(3).producers(1, 6).consumers(1).give_backs(1).aborts(2).honest());
}

#[test]
fn laps_of_aborts_run_away_from_a_consumer() {
    let scenario = ring(2).producers(1, 4).producers(1, 1).consumers(1).aborts(2);
    holds(scenario.begun_by(&[Call::Abort(0); 2]).honest());
}

#[test]
fn laps_of_aborts_run_away_in_a_ring_of_one() {
    holds(ring(1).producers(1, 4).producers(1, 1).consumers(1).aborts(4).honest());
}

#[test]
fn a_writer_is_passed_on_two_slots() {
    holds(ring(2).producers(1, 1).producers(1, 2).consumers(1).honest().passing());
}

#[test]
fn a_writer_is_passed_on_three_slots() {
    holds(ring(3).producers(1, 1).producers(1, 2).consumers(1).honest().passing());
}

#[test]
fn a_writer_is_passed_and_dies() {
    holds(ring(2).producers(2, 1).consumers(1).sweepers(1).crashes(1).honest().passing());
}

#[test]
fn a_writer_is_passed_and_aborts() {
    holds(ring(3).producers(1, 1).producers(1, 2).consumers(1).aborts(1).honest().passing());
}

#[test]
fn a_writer_is_passed_and_sets_its_slot_aside() {
    holds(ring(2).producers(2, 1).consumers(1).lingers(1).honest().passing());
}

#[test]
fn a_batch_is_passed_in_part_and_whole() {
    holds(ring(3).batch_producers(1, 2, 2).producers(1, 1).consumers(1).honest().passing());
}

#[test]
fn writers_are_passed_by_a_batch() {
    holds(ring(3).producers(1, 1).producers(1, 2).batch_consumers(1, 2).honest().passing());
}

#[test]
fn two_consumers_pass_a_batch() {
    holds(ring(2).batch_producers(1, 2, 2).consumers(2).honest().passing());
}

#[test]
fn three_producers() {
    holds(ring(2).producers(3, 1).consumers(1).give_backs(1).honest());
}

#[test]
fn every_step_is_taken() {
    let mut taken = BTreeSet::new();
    for scenario in [
        ring(2).producers(1, 1).producers(1, 4).consumers(1).aborts(1).passing(),
        ring(2).producers(1, 2).consumers(1).sweepers(1).crashes(1).restarts(1),
        ring(2).producers(1, 2).consumers(2).give_backs(1).fans(&[1]),
        ring(2).producers(2, 1).batch_consumers(1, 2).lingers(2),
        ring(2).producers(1, 2).batch_consumers(2, 2),
        ring(2).batch_producers(1, 2, 2).producers(1, 1).consumers(1).closer(false),
        ring(2).producers(2, 1).consumers(1).give_backs(1).aborts(1).gap(),
        ring(2).producers(1, 2).consumers(1).sweepers(1).crashes(1).lingers(1).gap(),
        ring(2).batch_producers(1, 2, 2).consumers(1).sweepers(1).crashes(1).restarts(1).passing().arriving(),
        ring(2).producers(1, 1).arriving(),
    ] {
        taken.extend(steps_taken(scenario));
    }
    let steps = "R0 R1 R2 R2Raise R2Cas R2RaiseAgain R3 R4 R5 R6 \
        Reserved C2 C2Raise C2Cas C2Again C2RaiseAgain A1 A2 W1 W2 \
        R1Head R1Again BJ BJLook BJRaise BJCas B3Pass \
        B1 T1 T2 T2Ticket T3 T4 T5 T6Word T6Ticket T6 T7 B2Tail B2 B3 B3Version B4 B5 B6 \
        Borrowed L1 L2 Lingering L4 G0 G1 G2 G3 S1 S2 S2Raise S2Cas S3 S4 J \
        NTail N NVersion NLook Enough F1 D0 D \
        RV RT RF RG AF AV LT LF LV S2F S3V NTicket \
        M2 C1 P1 P1Count P2 P3 J2 Count PN SP SPNote SPWord SPMeta SPAgain SPRaise SPCas SPRaiseAgain";
    let never: Vec<_> = steps.split_whitespace().filter(|step| !taken.contains(*step)).collect();
    assert!(never.is_empty(), "never taken: {never:?}");
}

/// The names of the steps that are taken in any reachable state.
fn steps_taken(scenario: Scenario) -> BTreeSet<String> {
    let model = scenario.model();
    let mut names = BTreeSet::new();
    let mut known: HashSet<_> = model.init_states().into_iter().collect();
    let mut open: Vec<_> = known.iter().copied().collect();
    let mut actions = Vec::new();
    while let Some(state) = open.pop() {
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            if let Action::Step(p) = action {
                let pc = format!("{:?}", state.processes[usize::from(p)].pc);
                names.insert(pc.split(' ').next().unwrap_or_default().to_owned());
            }
            open.extend(model.next_state(&state, action).filter(|next| known.insert(*next)));
        }
    }
    names
}

#[test]
#[ignore = "some 30 million states, for `make soak`"]
fn soak_two_producers_and_two_consumers_with_two_items_each() {
    // Both at once are more states than 20 GB hold.
    holds(ring(2).producers(2, 2).consumers(2).crashes(1));
    holds(ring(2).producers(2, 2).consumers(2).give_backs(1));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_producers_a_sweeper_a_crash_and_a_give_back() {
    holds(ring(2).producers(2, 2).consumers(1).sweepers(1).crashes(1).give_backs(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_producers_and_a_successor() {
    holds(ring(2).producers(2, 2).consumers(1).sweepers(1).crashes(1).restarts(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_consumers_two_sweepers_and_two_crashes() {
    holds(ring(2).producers(1, 3).consumers(2).sweepers(2).crashes(2).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_consumers_a_sweeper_a_crash_and_a_give_back() {
    holds(ring(2).producers(1, 3).consumers(2).sweepers(1).crashes(1).give_backs(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_consumers_and_two_give_backs() {
    holds(ring(2).producers(1, 4).consumers(2).give_backs(2).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_producers_with_three_items_and_a_crash() {
    holds(ring(2).producers(2, 3).consumers(1).crashes(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_capacity_three_with_two_consumers_a_crash_and_a_give_back() {
    holds(ring(3).producers(1, 5).consumers(2).crashes(1).give_backs(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_capacity_three_with_two_producers_a_give_back_and_an_abort() {
    holds(ring(3).producers(2, 2).consumers(1).give_backs(1).aborts(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_capacity_one() {
    holds(ring(1).producers(2, 2).consumers(2).crashes(1).give_backs(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_producers_with_a_lingering_view_and_an_abort() {
    holds(ring(2).producers(2, 2).consumers(1).lingers(1).aborts(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_late_producer_sets_two_slots_aside() {
    holds(ring(2).producers(1, 1).producers(1, 3).consumers(1).lingers(2).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_producers_with_a_slot_set_aside_a_sweeper_and_a_crash() {
    holds(ring(2).producers(2, 2).consumers(1).sweepers(1).lingers(1).crashes(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_batches_that_each_want_the_whole_ring_and_a_crash() {
    holds(ring(2).producers(1, 3).batch_consumers(2, 2).sweepers(1).crashes(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_batches_are_put_and_taken_by_a_batch() {
    holds(ring(3).batch_producers(2, 2, 2).batch_consumers(1, 2).crashes(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_batches_are_given_back_under_two_sweepers_that_may_die() {
    let scenario = ring(2).producers(1, 3).batch_consumers(1, 2).consumers(1).sweepers(2);
    holds(scenario.give_backs(1).crashes(2).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_batches_of_two_sizes_with_a_give_back() {
    holds(ring(3).producers(1, 4).batch_consumers(1, 3).batch_consumers(1, 2).give_backs(1).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_batch_of_the_whole_ring_is_put_beside_another_producer() {
    holds(ring(3).batch_producers(1, 3, 3).producers(1, 2).consumers(1).aborts(1).honest());
}

#[test]
#[ignore = "some 30 million states, for `make soak`"]
fn soak_laps_of_aborts_run_away_from_a_consumer() {
    holds(ring(2).producers(1, 6).producers(1, 1).consumers(1).aborts(5).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_laps_run_away_while_a_batch_falls_short() {
    holds(ring(2).batch_producers(1, 4, 2).producers(1, 2).consumers(1).aborts(2).honest());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_writers_are_passed() {
    holds(ring(2).producers(2, 2).consumers(1).honest().passing());
    holds(ring(3).producers(2, 2).consumers(1).honest().passing());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_two_consumers_pass_two_writers() {
    holds(ring(2).producers(2, 1).consumers(2).honest().passing());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_writers_are_passed_and_one_dies() {
    holds(ring(3).producers(1, 1).producers(1, 3).consumers(1).sweepers(1).crashes(1).honest().passing());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_writers_are_passed_and_one_sets_its_slot_aside() {
    holds(ring(3).producers(1, 1).producers(1, 2).consumers(1).lingers(1).honest().passing());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_writer_is_passed_beside_a_give_back_and_an_abort() {
    holds(ring(3).producers(1, 1).producers(1, 3).consumers(1).give_backs(1).aborts(1).honest().passing());
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_batches_are_passed_beside_another_producer() {
    holds(ring(3).batch_producers(1, 2, 2).producers(1, 2).consumers(1).honest().passing());
    holds(ring(3).batch_producers(1, 3, 3).producers(1, 1).consumers(1).honest().passing());
}

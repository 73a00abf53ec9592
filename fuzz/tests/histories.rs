//! What the checker says of histories made by hand: one for each thing that can be wrong, beside one in which it is explained.

mod common;

use common::{begun, borrow, empty, get, killed, kinds, left, put, verdict};
use treequeues_fuzz::checker::Kind;
use treequeues_fuzz::history::{Call, End, Receipt};

#[test]
fn what_is_put_and_taken_in_order_is_fine() {
    let lives = [put(&[1], (0, 1)), put(&[2], (2, 3)), get(&[1], (4, 5)), get(&[2], (6, 7))];
    assert_eq!(kinds(lives.map(left).to_vec()), []);
}

#[test]
fn an_item_that_nobody_put_is_a_phantom() {
    assert_eq!(kinds(vec![left(get(&[1], (0, 1)))]), [Kind::Phantom]);
    assert_eq!(kinds(vec![left(get(&[1], (0, 1))), left(put(&[1], (2, 3)))]), [Kind::Phantom]);
}

#[test]
fn an_item_whose_put_was_refused_or_aborted_is_a_phantom() {
    let refused = Receipt { outcome: treequeues_fuzz::history::Outcome::Nothing, ..put(&[1], (0, 1)) };
    assert_eq!(kinds(vec![left(refused), left(get(&[1], (2, 3)))]), [Kind::Phantom]);
    let aborted = Receipt { call: Call::Reserve, ..borrow(&[1], (0, 1), End::Abort, (2, 3)) };
    assert_eq!(kinds(vec![left(aborted), left(get(&[1], (4, 5)))]), [Kind::Phantom]);
}

#[test]
fn an_item_that_was_never_committed_is_a_phantom() {
    let reserved = Receipt { call: Call::Reserve, ..put(&[1], (0, 1)) };
    assert_eq!(kinds(vec![killed(reserved.clone(), (2, 3)), left(get(&[1], (4, 5)))]), [Kind::Phantom]);
    let committing = Receipt { end: End::Commit, end_invoked: Some(1), ..reserved };
    assert_eq!(kinds(vec![killed(committing.clone(), (2, 3)), left(get(&[1], (4, 5)))]), []);
    assert_eq!(kinds(vec![killed(committing, (2, 3))]), []);
}

#[test]
fn an_item_that_does_not_come_is_lost() {
    assert_eq!(kinds(vec![left(put(&[1], (0, 1)))]), [Kind::Lost]);
    let returned = borrow(&[1], (2, 3), End::GiveBack, (4, 5));
    assert_eq!(kinds(vec![left(put(&[1], (0, 1))), left(returned)]), [Kind::Lost]);
}

#[test]
fn an_item_that_a_killed_borrower_held_must_come_again() {
    let holding =
        Receipt { end_invoked: None, end_responded: None, ..borrow(&[1], (2, 3), End::Release, (0, 0)) };
    let lives = vec![left(put(&[1], (0, 1))), killed(holding.clone(), (5, 6))];
    assert_eq!(kinds(lives.clone()), [Kind::Lost]);
    assert_eq!(kinds([lives, vec![left(get(&[1], (7, 8)))]].concat()), []);
    let releasing = Receipt { end_invoked: Some(4), ..holding };
    let lives = vec![left(put(&[1], (0, 1))), killed(releasing, (5, 6))];
    assert_eq!(kinds(lives.clone()), []);
    assert_eq!(kinds([lives, vec![left(get(&[1], (7, 8)))]].concat()), []);
}

#[test]
fn a_killed_get_explains_as_many_missing_items_as_it_wanted() {
    let missing = |wanted| {
        let cut = killed(begun(Call::Get, wanted, 4), (5, 6));
        kinds(vec![left(put(&[1], (0, 1))), left(put(&[2], (2, 3))), cut])
    };
    assert_eq!(missing(2), []);
    assert_eq!(missing(1), [Kind::Lost]);
}

#[test]
fn a_killed_get_does_not_explain_what_was_put_after_its_death() {
    let cut = killed(begun(Call::Get, 1, 4), (5, 6));
    assert_eq!(kinds(vec![cut, left(put(&[1], (7, 8)))]), [Kind::Lost]);
}

#[test]
fn a_killed_borrow_explains_nothing_that_is_missing() {
    let cut = killed(begun(Call::Borrow, 1, 4), (5, 6));
    assert_eq!(kinds(vec![left(put(&[1], (0, 1))), cut]), [Kind::Lost]);
}

#[test]
fn where_a_killed_get_had_memory_of_its_own_the_item_must_lie_there() {
    let cut = |out: Vec<Option<u64>>| {
        let mut life = killed(Receipt { has_out: true, ..begun(Call::Get, 1, 4) }, (5, 6));
        life.out = out;
        kinds(vec![left(put(&[1], (0, 1))), life])
    };
    assert_eq!(cut(vec![Some(1)]), []);
    assert_eq!(cut(vec![None]), [Kind::Lost]);
    // Only the rows that the call was to fill count.
    assert_eq!(cut(vec![None, Some(1)]), [Kind::Lost]);
}

#[test]
fn an_item_that_comes_twice_is_a_duplicate() {
    let lives = [put(&[1], (0, 1)), get(&[1], (2, 3)), get(&[1], (4, 5))];
    assert_eq!(kinds(lives.map(left).to_vec()), [Kind::Duplicate]);
    let lives = [put(&[1], (0, 1)), borrow(&[1], (2, 3), End::GiveBack, (4, 5)), get(&[1], (6, 7))];
    assert_eq!(kinds(lives.map(left).to_vec()), []);
}

#[test]
fn an_item_that_two_hold_at_a_time_is_a_duplicate() {
    let lives = [put(&[1], (0, 1)), borrow(&[1], (2, 3), End::GiveBack, (6, 7)), get(&[1], (4, 5))];
    assert_eq!(kinds(lives.map(left).to_vec()), [Kind::Duplicate]);
    let holding = Receipt { call: Call::Borrow, ..get(&[1], (2, 3)) };
    let lives = vec![left(put(&[1], (0, 1))), killed(holding, (6, 7)), left(get(&[1], (4, 5)))];
    assert_eq!(kinds(lives), [Kind::Duplicate]);
}

#[test]
fn a_delivery_count_that_does_not_grow_is_a_duplicate() {
    let counted = |counts: [u8; 2]| {
        let mut first = borrow(&[1], (2, 3), End::GiveBack, (4, 5));
        let mut second = get(&[1], (6, 7));
        (first.deliveries, second.deliveries) = (vec![counts[0]], vec![counts[1]]);
        kinds([put(&[1], (0, 1)), first, second].map(left).to_vec())
    };
    assert_eq!(counted([1, 2]), []);
    assert_eq!(counted([1, 1]), [Kind::Duplicate]);
}

#[test]
fn a_batch_of_the_dead_comes_whole_or_not_at_all() {
    let cut = Receipt { responded: None, ..put(&[1, 2, 3], (0, 0)) };
    let left_behind = |values: &[u64]| kinds(vec![killed(cut.clone(), (1, 2)), left(get(values, (3, 4)))]);
    assert_eq!(kinds(vec![killed(cut.clone(), (1, 2))]), []);
    assert_eq!(left_behind(&[1, 2, 3]), []);
    assert_eq!(left_behind(&[1, 2]), [Kind::Lost]);
    assert_eq!(left_behind(&[1, 3]), [Kind::Lost]);
    // Somebody may have had the second one.
    let taker = killed(begun(Call::Get, 1, 3), (4, 5));
    assert_eq!(kinds(vec![killed(cut, (1, 2)), left(get(&[1, 3], (3, 4))), taker]), []);
}

#[test]
fn what_a_sweep_puts_of_a_batch_of_the_dead_may_be_overtaken_before() {
    let overtaken = |values: &[u64]| {
        let cut = Receipt { responded: None, ..put(values, (0, 0)) };
        let others = [put(&[9], (5, 6)), get(&[9], (7, 8)), get(values, (9, 10))].map(left);
        kinds([killed(cut, (1, 2))].into_iter().chain(others).collect())
    };
    assert_eq!(overtaken(&[1, 2]), []);
    // One that is put alone was there when its process died, or never.
    assert_eq!(overtaken(&[1]), [Kind::Order]);
}

/// Puts of 1 and 2, one after the other, and gets of 2 and 1, one after the other.
fn overtaking() -> Vec<treequeues_fuzz::history::Life> {
    [put(&[1], (0, 1)), put(&[2], (2, 3)), get(&[2], (10, 11)), get(&[1], (20, 21))].map(left).to_vec()
}

#[test]
fn an_item_that_overtakes_is_out_of_order() {
    assert_eq!(kinds(overtaking()), [Kind::Order]);
    let overlapping = [put(&[1], (0, 2)), put(&[2], (2, 3)), get(&[2], (10, 11)), get(&[1], (20, 21))];
    assert_eq!(kinds(overlapping.map(left).to_vec()), []);
    let overlapping = [put(&[1], (0, 1)), put(&[2], (2, 3)), get(&[2], (10, 20)), get(&[1], (20, 21))];
    assert_eq!(kinds(overlapping.map(left).to_vec()), []);
}

#[test]
fn an_overtaking_is_explained_by_a_take_that_was_killed_holding_the_item() {
    let with_cut = |invoked, death| {
        let cut = killed(begun(Call::Get, 1, invoked), death);
        verdict([overtaking(), vec![cut]].concat())
    };
    let explained = with_cut(5, (12, 13));
    assert_eq!((explained.findings, explained.counts.explained), (vec![], 1));
    // It began after the overtaking; it died after the item had come.
    for found in [with_cut(12, (13, 14)), with_cut(5, (22, 23))] {
        assert_eq!(found.findings.iter().map(|found| found.kind).collect::<Vec<_>>(), [Kind::Order]);
    }
}

#[test]
fn a_killed_take_explains_no_more_items_than_it_wanted() {
    let lives = |wanted| {
        let calls = [
            put(&[1], (0, 1)),
            put(&[2], (2, 3)),
            put(&[3], (4, 5)),
            get(&[3], (10, 11)),
            get(&[1], (20, 21)),
            get(&[2], (22, 23)),
        ];
        let cut = killed(begun(Call::Borrow, wanted, 6), (12, 13));
        kinds([calls.map(left).to_vec(), vec![cut]].concat())
    };
    assert_eq!(lives(2), []);
    assert_eq!(lives(1), [Kind::Order]);
}

#[test]
fn an_overtaking_is_explained_by_a_batch_that_may_fall_short_meanwhile() {
    let with_batch = |span: (u64, u64), short| {
        // It found too little, whatever it held.
        let batch = Receipt { short, min: 9, wanted: 9, ..empty(span) };
        kinds([overtaking(), vec![left(batch)]].concat())
    };
    assert_eq!(with_batch((5, 12), 1), []);
    assert_eq!(with_batch((5, 9), 1), [Kind::Order]);
    assert_eq!(with_batch((12, 14), 1), [Kind::Order]);
    assert_eq!(with_batch((5, 12), 0), [Kind::Order]);
}

#[test]
fn the_dead_explain_first_what_nobody_else_can() {
    let puts = [(1, (0, 1)), (2, (2, 3)), (3, (4, 5)), (4, (6, 7)), (5, (6, 7)), (6, (8, 9)), (7, (9, 10))];
    let gets = [
        (3, (13, 14)),
        (6, (34, 35)),
        (4, (40, 41)),
        (5, (42, 43)),
        (7, (54, 55)),
        (1, (60, 61)),
        (2, (62, 63)),
    ];
    // When 3 overtook 1 and 2, the early one held one of them and the long batch the other. When 6 overtook 4 and 5 too, the late one
    // held one of these and the short batch the other. All of that can be said only if 4 and 5, of which the early one may have held
    // one as well, leave it to 1 and 2, although these were overtaken last.
    let early = killed(begun(Call::Borrow, 1, 10), (11, 12));
    let late = killed(begun(Call::Borrow, 1, 30), (31, 32));
    let batch = |span| left(Receipt { short: 1, min: 9, wanted: 9, ..empty(span) });
    let others = || {
        let calls = puts.map(|(value, span)| put(&[value], span)).into_iter();
        let calls = calls.chain(gets.map(|(value, span)| get(&[value], span))).map(left);
        calls.chain([late.clone(), batch((12, 57)), batch((20, 36))]).collect::<Vec<_>>()
    };
    assert_eq!(kinds([others(), vec![early]].concat()), []);
    assert!(kinds(others()).contains(&Kind::Order));
}

#[test]
fn a_batch_does_not_explain_what_its_own_call_took_out_of_order() {
    let calls = [put(&[1], (0, 1)), put(&[2], (2, 3)), get(&[1], (20, 21))];
    let batch = Receipt { short: 1, min: 2, ..get(&[2, 3], (10, 11)) };
    let lives = [calls.map(left).to_vec(), vec![left(put(&[3], (4, 5))), left(batch)]].concat();
    // Both items of the batch overtake.
    assert_eq!(kinds(lives), [Kind::Order, Kind::Order]);
}

#[test]
fn an_item_that_was_given_back_comes_first() {
    let again = |from_to| {
        let calls = [
            put(&[1], (0, 1)),
            put(&[2], (2, 3)),
            borrow(&[1], (4, 5), End::GiveBack, from_to),
            get(&[2], (10, 11)),
            get(&[1], (20, 21)),
        ];
        kinds(calls.map(left).to_vec())
    };
    // While it is held or on its way back, others may pass.
    assert_eq!(again((12, 13)), []);
    assert_eq!(again((9, 10)), []);
    assert_eq!(again((8, 9)), [Kind::Order]);
}

#[test]
fn the_items_of_a_batch_are_put_and_taken_in_its_order() {
    let took = |values: &[u64]| kinds(vec![left(put(&[1, 2], (0, 5))), left(get(values, (6, 7)))]);
    assert_eq!(took(&[1, 2]), []);
    assert_eq!(took(&[2, 1]), [Kind::Order]);
    let lives = [put(&[1, 2], (0, 30)), get(&[2], (10, 11)), get(&[1], (20, 21))];
    assert_eq!(kinds(lives.map(left).to_vec()), [Kind::Order]);
    let lives = [put(&[1], (0, 1)), put(&[2], (2, 3)), get(&[2, 1], (10, 11))];
    assert_eq!(kinds(lives.map(left).to_vec()), [Kind::Order]);
}

#[test]
fn a_take_that_finds_nothing_although_something_is_there_all_the_time_is_wrong() {
    let calls = |span| {
        let calls = [put(&[1], (0, 1)), empty(span), get(&[1], (10, 11))];
        kinds(calls.map(left).to_vec())
    };
    assert_eq!(calls((2, 9)), [Kind::Empty]);
    assert_eq!(calls((1, 9)), []);
    assert_eq!(calls((2, 10)), []);
}

#[test]
fn a_batch_may_find_nothing_where_there_is_too_little() {
    let calls = |min| {
        let batch = Receipt { min, ..empty((4, 5)) };
        let calls = [put(&[1], (0, 1)), put(&[2], (2, 3)), batch, get(&[1], (10, 11)), get(&[2], (12, 13))];
        kinds(calls.map(left).to_vec())
    };
    assert_eq!(calls(3), []);
    assert_eq!(calls(2), [Kind::Empty]);
}

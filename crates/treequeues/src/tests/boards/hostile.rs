//! Any words anywhere: each call comes back, by an error that says where, or with what it was asked for.

use proptest::prelude::*;

use super::super::hostile::{assert_says_where, config, hostile_u64};
use super::{PLACES, Rig, tenant};
use crate::error::Corrupted;
use crate::sync::Ordering;
use crate::topic::board::{Found, Start};

const CAPACITY: usize = 3;

/// A word, by its number among all, and what is written there.
fn edits() -> impl Strategy<Value = Vec<(usize, u64)>> {
    let words = 1 + CAPACITY + CAPACITY * PLACES;
    // Among them words as they might be, but of other moments: small tickets in any phase, and pins of the first tenancy.
    let word = prop_oneof![
        2 => hostile_u64(),
        2 => (0_u64..8, 0_u64..8).prop_map(|(ticket, phase)| ticket << 3 | phase),
        1 => (0_u64..8, 0_u64..4).prop_map(|(ticket, slot)| ticket << 16 | slot),
        1 => (0_u64..3).prop_map(|count| 1 << 24 | count),
    ];
    prop::collection::vec((0..words, word), 1..6)
}

fn edit(rig: &Rig, (which, word): (usize, u64)) {
    let words = std::iter::once(&*rig.control.newest)
        .chain(rig.slots.iter().map(|slot| &slot.state))
        .chain(&rig.pins);
    words.into_iter().nth(which).expect("one of them").store(word, Ordering::Relaxed);
}

fn told<T>(outcome: Result<T, Corrupted>) -> Option<T> {
    outcome.inspect_err(assert_says_where).ok()
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn each_call_on_hostile_words_comes_back(puts in 0_u64..6, edits in edits(), cursor in 1_u64..10) {
        let rig = Rig::new(CAPACITY);
        for number in 0..puts {
            rig.put(&tenant(0), number).expect("free");
        }
        let claim = rig.claim(&tenant(1)).expect("free");
        edits.into_iter().for_each(|one| edit(&rig, one));
        let me = tenant(2);
        let board = rig.board();
        for _ in 0..2 {
            let newest = told(board.latest(&me, || ())).flatten();
            let next = told(board.next(cursor, &me, || ())).flatten();
            for pinned in [newest, next].into_iter().flatten() {
                prop_assert!(pinned.slot < CAPACITY);
                told(board.release(pinned, &me));
            }
            for start in [Start::New, Start::Latest, Start::Oldest] {
                told(board.subscribe(start));
            }
            prop_assert!(matches!(board.at_the_end(cursor, |_| false), Ok(Found::Nothing | Found::Item | Found::End) | Err(_)));
            board.may_claim();
            if let Some(claim) = told(board.claim(me.owner, || ())).flatten() {
                told(board.commit(claim));
            }
            if let Some(claim) = told(board.claim(me.owner, || ())).flatten() {
                told(board.abort(claim));
            }
        }
        told(board.commit(claim));
        for place in 0..PLACES as u32 {
            told(board.recover(&tenant(place), || true));
        }
    }
}

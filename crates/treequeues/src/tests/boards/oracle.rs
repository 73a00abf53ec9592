//! Random operations of several participants against the simplest thing that could be right.
//!
//! One operation at a time, so all is determined: which item is the newest, which one a claim replaces, what a subscription comes to.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{PLACES, Rig, tenant};
use crate::topic::board::{Claim, Pinned, Start};

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(u32),
    Commit(usize),
    Abort(usize),
    Latest(u32),
    Next(u32),
    Newest(u32),
    Subscribe(u32, Start),
    Release(usize),
    Kill(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = || 0..PLACES as u32;
    let start = prop_oneof![Just(Start::New), Just(Start::Latest), Just(Start::Oldest)];
    let step = prop_oneof![
        6 => place().prop_map(Step::Claim),
        6 => any::<usize>().prop_map(Step::Commit),
        1 => any::<usize>().prop_map(Step::Abort),
        2 => place().prop_map(Step::Latest),
        4 => place().prop_map(Step::Next),
        1 => place().prop_map(Step::Newest),
        1 => (place(), start).prop_map(|(place, start)| Step::Subscribe(place, start)),
        5 => any::<usize>().prop_map(Step::Release),
        1 => place().prop_map(Step::Kill),
    ];
    prop::collection::vec(step, 1..200)
}

/// What the board should do.
#[derive(Default)]
struct Oracle {
    /// Numbers of the items that are there, by ticket.
    items: BTreeMap<u64, u64>,
    newest: u64,
    /// Who is writing.
    writing: Vec<(u32, Claim, u64)>,
    reading: Vec<(u32, Pinned)>,
    /// By place: where its subscription is.
    cursors: [u64; PLACES],
    /// By place: what it has got, and what it has passed over.
    got: [u64; PLACES],
    missed: [u64; PLACES],
    began: [u64; PLACES],
}

impl Oracle {
    /// What a claim replaces: `Some(None)` for a free slot.
    fn claim(&self, capacity: usize) -> Option<Option<u64>> {
        if self.items.len() + self.writing.len() < capacity {
            return Some(None);
        }
        let is_read = |ticket| self.reading.iter().any(|(_, pinned)| pinned.ticket == ticket);
        self.items.keys().copied().find(|&ticket| ticket != self.newest && !is_read(ticket)).map(Some)
    }

    fn next(&self, cursor: u64) -> Option<u64> {
        self.items.range(cursor..).next().map(|(ticket, _)| *ticket)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_board_does_what_a_map_of_items_would(capacity in 2_usize..6, steps in steps()) {
        let rig = Rig::new(capacity);
        let mut oracle = Oracle { cursors: [1; PLACES], ..Oracle::default() };
        let mut number = 0;
        for step in steps {
            match step {
                Step::Claim(place) => {
                    let claim = rig.claim(&tenant(place));
                    let expected = oracle.claim(capacity);
                    prop_assert_eq!(claim.is_some(), expected.is_some());
                    if let (Some(claim), Some(replaced)) = (claim, expected) {
                        replaced.map(|ticket| oracle.items.remove(&ticket));
                        number += 1;
                        rig.write(&claim, number);
                        oracle.writing.push((place, claim, number));
                    }
                }
                Step::Commit(which) if !oracle.writing.is_empty() => {
                    let (_, claim, number) = oracle.writing.swap_remove(which % oracle.writing.len());
                    oracle.newest += 1;
                    prop_assert_eq!(rig.board().commit(claim), Ok(oracle.newest));
                    oracle.items.insert(oracle.newest, number);
                }
                Step::Abort(which) if !oracle.writing.is_empty() => {
                    let (_, claim, _) = oracle.writing.swap_remove(which % oracle.writing.len());
                    rig.board().abort(claim).expect("sound");
                }
                Step::Latest(place) => {
                    let found = rig.board().latest(&tenant(place), || ()).expect("sound");
                    prop_assert_eq!(found.as_ref().map_or(0, |found| found.ticket), oracle.newest);
                    oracle.reading.extend(found.map(|found| (place, found)));
                }
                Step::Next(place) | Step::Newest(place) => {
                    let at = place as usize;
                    let cursor = oracle.cursors[at];
                    let (found, expected) = match step {
                        Step::Next(_) => (rig.board().next(cursor, &tenant(place), || ()), oracle.next(cursor)),
                        _ => (
                            rig.board().newest_from(cursor, &tenant(place), || ()),
                            (oracle.newest >= cursor).then_some(oracle.newest),
                        ),
                    };
                    let found = found.expect("sound");
                    prop_assert_eq!(found.as_ref().map(|found| found.ticket), expected);
                    if let Some(found) = found {
                        oracle.missed[at] += found.ticket - cursor;
                        oracle.got[at] += 1;
                        oracle.cursors[at] = found.ticket + 1;
                        oracle.reading.push((place, found));
                    }
                }
                Step::Subscribe(place, start) => {
                    let at = place as usize;
                    let cursor = rig.board().subscribe(start).expect("sound");
                    let expected = match start {
                        Start::New => oracle.newest + 1,
                        Start::Latest => oracle.newest.max(1),
                        Start::Oldest => oracle.next(1).unwrap_or(1),
                    };
                    prop_assert_eq!(cursor, expected);
                    oracle.cursors[at] = cursor;
                    (oracle.got[at], oracle.missed[at], oracle.began[at]) = (0, 0, cursor);
                }
                Step::Release(which) if !oracle.reading.is_empty() => {
                    let (place, pinned) = oracle.reading.swap_remove(which % oracle.reading.len());
                    let expected = oracle.items.get(&pinned.ticket).copied();
                    prop_assert_eq!(Some(rig.read(&pinned)), expected, "what is being read stays");
                    rig.board().release(pinned, &tenant(place)).expect("sound");
                }
                Step::Kill(place) => {
                    rig.recover(&tenant(place));
                    oracle.writing.retain(|(whose, ..)| *whose != place);
                    oracle.reading.retain(|(whose, _)| *whose != place);
                }
                Step::Commit(_) | Step::Abort(_) | Step::Release(_) => {}
            }
            prop_assert_eq!(rig.board().version(), oracle.newest);
            for at in 0..PLACES {
                let passed = oracle.cursors[at] - oracle.began[at].max(1);
                prop_assert_eq!(oracle.got[at] + oracle.missed[at], passed, "each ticket was got or missed");
            }
        }
        for place in 0..PLACES as u32 {
            rig.recover(&tenant(place));
        }
        rig.assert_whole(&tenant(0));
    }
}

//! Random operations of several participants against the simplest thing that could be right.
//!
//! One operation at a time, so the ring's order is fully determined: given-back and late items come first, lowest
//! ticket first, then the others in the order of their tickets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::{Rig, owner};
use crate::queue::ring::{Claim, Kept};

const PARTICIPANTS: u32 = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve(u32),
    Commit(usize),
    Abort(usize),
    Borrow(u32),
    Release(usize),
    GiveBack(usize),
    LingerWrite(usize),
    LingerRead(usize),
    LetGo(usize),
    Kill(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..PARTICIPANTS).prop_map(Step::Reserve),
        4 => any::<usize>().prop_map(Step::Commit),
        1 => any::<usize>().prop_map(Step::Abort),
        4 => (0..PARTICIPANTS).prop_map(Step::Borrow),
        3 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::LingerWrite),
        1 => any::<usize>().prop_map(Step::LingerRead),
        2 => any::<usize>().prop_map(Step::LetGo),
        1 => (0..PARTICIPANTS).prop_map(Step::Kill),
    ];
    prop::collection::vec(step, 1..200)
}

/// What the ring should do.
#[derive(Default)]
struct Oracle {
    capacity: usize,
    first: BTreeSet<u64>,
    in_order: VecDeque<u64>,
    writing: BTreeMap<u64, u32>,
    reading: BTreeMap<u64, u32>,
    lingering: BTreeMap<u64, u32>,
    /// Of all items, whatever has become of them.
    put: Vec<u64>,
}

impl Oracle {
    fn is_full(&self) -> bool {
        let items = self.first.len() + self.in_order.len();
        items + self.writing.len() + self.reading.len() + self.lingering.len() == self.capacity
    }

    fn commit(&mut self, ticket: u64, was_late: bool) {
        self.writing.remove(&ticket);
        self.put.push(ticket);
        if was_late {
            self.first.insert(ticket);
        } else {
            self.in_order.push_back(ticket);
            self.in_order.make_contiguous().sort_unstable();
        }
    }

    fn is_released(&self, ticket: u64) -> bool {
        !self.first.contains(&ticket)
            && !self.in_order.contains(&ticket)
            && !self.reading.contains_key(&ticket)
    }

    fn next(&mut self) -> Option<u64> {
        self.first.pop_first().or_else(|| self.in_order.pop_front())
    }
}

/// Claims that are open, with their holders.
type Claims = Vec<(u32, Claim)>;

/// One of them, chosen by any number.
fn pick(claims: &mut Claims, number: usize) -> Option<(u32, Claim)> {
    if claims.is_empty() { None } else { Some(claims.swap_remove(number % claims.len())) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ring_is_a_queue_with_holds(capacity in 1_usize..6, steps in steps()) {
        let rig = Rig::new(capacity);
        let mut oracle = Oracle { capacity, ..Oracle::default() };
        let (mut writes, mut reads, mut lingering) = (Claims::new(), Claims::new(), Claims::new());
        let mut passed = 0;
        for step in steps {
            match step {
                Step::Reserve(id) => match rig.ring().reserve(owner(id), |_| true).expect("sound") {
                    Some(claim) => {
                        prop_assert!(!oracle.is_full());
                        prop_assert!(claim.ticket >= passed, "tickets grow");
                        passed = claim.ticket + 1;
                        // What the ring passed comes first from now on.
                        let horizon = passed.saturating_sub(capacity as u64);
                        while oracle.in_order.front().is_some_and(|&ticket| ticket < horizon) {
                            oracle.first.extend(oracle.in_order.pop_front());
                        }
                        oracle.writing.insert(claim.ticket, id);
                        writes.push((id, claim));
                    }
                    None => prop_assert!(oracle.is_full()),
                },
                Step::Commit(number) => if let Some((_, claim)) = pick(&mut writes, number) {
                    oracle.commit(claim.ticket, claim.ticket + (capacity as u64) < passed);
                    rig.ring().commit(claim).expect("sound");
                },
                Step::Abort(number) => if let Some((_, claim)) = pick(&mut writes, number) {
                    oracle.writing.remove(&claim.ticket);
                    rig.ring().abort(claim).expect("sound");
                },
                Step::Borrow(id) => {
                    let claim = rig.ring().borrow(owner(id), &Kept::default(), |_| true).expect("sound");
                    prop_assert_eq!(claim.as_ref().map(|claim| claim.ticket), oracle.next());
                    if let Some(claim) = claim {
                        oracle.reading.insert(claim.ticket, id);
                        reads.push((id, claim));
                    }
                }
                Step::Release(number) => if let Some((_, claim)) = pick(&mut reads, number) {
                    oracle.reading.remove(&claim.ticket);
                    rig.ring().release(claim).expect("sound");
                },
                Step::GiveBack(number) => if let Some((_, claim)) = pick(&mut reads, number) {
                    oracle.reading.remove(&claim.ticket);
                    oracle.first.insert(claim.ticket);
                    rig.ring().give_back(claim).expect("sound");
                },
                Step::LingerWrite(number) => if let Some((id, claim)) = pick(&mut writes, number) {
                    oracle.writing.remove(&claim.ticket);
                    oracle.lingering.insert(claim.ticket, id);
                    lingering.push((id, rig.ring().linger(claim).expect("sound")));
                },
                Step::LingerRead(number) => if let Some((id, claim)) = pick(&mut reads, number) {
                    oracle.reading.remove(&claim.ticket);
                    oracle.lingering.insert(claim.ticket, id);
                    lingering.push((id, rig.ring().linger(claim).expect("sound")));
                },
                Step::LetGo(number) => if let Some((_, claim)) = pick(&mut lingering, number) {
                    oracle.lingering.remove(&claim.ticket);
                    rig.ring().let_go(claim).expect("sound");
                },
                Step::Kill(id) => {
                    for claims in [&mut writes, &mut reads, &mut lingering] {
                        claims.retain(|(holder, _)| *holder != id);
                    }
                    oracle.writing.retain(|_, holder| *holder != id);
                    oracle.lingering.retain(|_, holder| *holder != id);
                    let returned = oracle.reading.extract_if(.., |_, holder| *holder == id);
                    oracle.first.extend(returned.map(|(ticket, _)| ticket));
                    rig.ring().recover(owner(id), &rig.publishing, || true).expect("sound");
                }
            }
            for &ticket in &oracle.put {
                prop_assert_eq!(rig.ring().is_released(ticket), Ok(oracle.is_released(ticket)), "{}", ticket);
            }
        }
        for id in 0..PARTICIPANTS {
            rig.ring().recover(owner(id), &rig.publishing, || true).expect("sound");
        }
        oracle.first.extend(oracle.reading.keys());
        prop_assert_eq!(rig.drain(owner(0)), std::iter::from_fn(|| oracle.next()).collect::<Vec<_>>());
        rig.assert_whole(owner(0));
    }
}

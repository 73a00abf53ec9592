//! The checker against a search through all orders: on small complete histories its verdict is exactly linearizability. And
//! against a queue that was simulated, with deaths and returns: nothing that such a queue does is called wrong.

mod common;

use std::collections::{BTreeMap, VecDeque};

use common::{begun, borrow, empty, get, killed, kinds, left, put, verdict};
use proptest::prelude::*;
use treequeues_fuzz::history::{Call, End, Life, Outcome, Receipt};

/// Whether some order of the calls that keeps those apart which do not overlap is that of a queue which is empty in the end.
fn is_linearizable(calls: &[Receipt]) -> bool {
    fn goes_on(left: &mut Vec<&Receipt>, queue: &mut VecDeque<u64>) -> bool {
        let Some(first_response) = left.iter().filter_map(|call| call.responded).min() else {
            return queue.is_empty();
        };
        for index in 0..left.len() {
            if left[index].invoked > first_response {
                continue;
            }
            let call = left.swap_remove(index);
            let before = queue.clone();
            let is_possible = match (call.call, call.outcome) {
                (Call::Put, _) => {
                    queue.extend(&call.values);
                    true
                }
                (_, Outcome::Done) => queue.pop_front() == Some(call.values[0]),
                _ => queue.is_empty(),
            };
            let goes_on = is_possible && goes_on(left, queue);
            *queue = before;
            left.push(call);
            let last = left.len() - 1;
            left.swap(index, last);
            if goes_on {
                return true;
            }
        }
        false
    }
    goes_on(&mut calls.iter().collect(), &mut VecDeque::new())
}

fn span() -> impl Strategy<Value = (u64, u64)> {
    (1..40_u64, 0..12_u64).prop_map(|(from, length)| (from, from + length))
}

/// Up to five items, each put and, mostly, taken once.
fn complete_calls() -> impl Strategy<Value = Vec<Receipt>> {
    let item = (span(), span(), 0..20_u8);
    proptest::collection::vec(item, 1..6).prop_map(|items| {
        let mut calls = Vec::new();
        for (value, (put_in, (from, to), luck)) in (1..).zip(items) {
            calls.push(put(&[value], put_in));
            // Mostly somewhat later than the put, else hardly any history is right.
            let taken_in = if luck < 12 { (from + put_in.0, to + put_in.1) } else { (from, to) };
            if luck != 0 {
                calls.push(get(&[value], taken_in));
            }
            if luck == 1 {
                calls.push(get(&[value], (from, to)));
            }
        }
        calls
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn complete_histories_are_right_exactly_if_they_are_linearizable(calls in complete_calls()) {
        let found = kinds(calls.iter().cloned().map(left).collect());
        prop_assert_eq!(found.is_empty(), is_linearizable(&calls), "{:?}", found);
    }

    #[test]
    fn a_take_that_is_called_wrongly_empty_is_not_linearizable(
        calls in complete_calls(),
        nothing in proptest::collection::vec(span(), 1..3),
    ) {
        let calls = [calls, nothing.into_iter().map(empty).collect()].concat();
        let found = kinds(calls.iter().cloned().map(left).collect());
        prop_assert!(found.is_empty() || !is_linearizable(&calls), "{:?}", found);
    }

    #[test]
    fn nothing_that_a_queue_does_is_called_wrong(steps in proptest::collection::vec(step(), 1..80)) {
        let lives = Simulation::run(&steps);
        let verdict = verdict(lives.clone());
        prop_assert!(verdict.findings.is_empty(), "{:?} in {}", verdict.findings, shown(&lives));
    }
}

/// A history, a line a life.
fn shown(lives: &[Life]) -> String {
    let line = |life: &Life| {
        let Receipt { call, invoked, responded, values, end, end_invoked, end_responded, .. } =
            &life.receipts[0];
        format!(
            "\n{call:?} {values:?} {invoked}..{responded:?}, {end:?} {end_invoked:?}..{end_responded:?}, {:?}",
            life.fate
        )
    };
    lives.iter().map(line).collect()
}

/// What happens next, and how long before and after it its call begins and returns.
#[derive(Clone, Copy, Debug)]
struct Step {
    what: u8,
    before: u64,
    after: u64,
    which: usize,
}

fn step() -> impl Strategy<Value = Step> {
    (0..14_u8, 0..60_u64, 0..60_u64, any::<usize>()).prop_map(|(what, before, after, which)| Step {
        what,
        before,
        after,
        which,
    })
}

/// A queue: the item that was put first comes first, also when it was returned. Calls may overlap; each has its effect at one moment.
#[derive(Default)]
struct Simulation {
    /// By their order.
    there: BTreeMap<u64, ()>,
    held: Vec<(u64, Step, u64)>,
    lives: Vec<Life>,
    /// What the dead hold: nobody sees when it comes back.
    of_the_dead: Vec<u64>,
    puts: u64,
}

impl Simulation {
    fn run(steps: &[Step]) -> Vec<Life> {
        let mut simulation = Self::default();
        let mut now = 1000;
        for step in steps {
            simulation.step(*step, now);
            now += 10;
        }
        for (value, step, at) in std::mem::take(&mut simulation.held) {
            simulation.end_of_borrow(value, step, at, End::GiveBack, now);
        }
        simulation.return_what_the_dead_held();
        now += 1000;
        while let Some((value, ())) = simulation.there.pop_first() {
            simulation.lives.push(left(get(&[value], (now, now + 1))));
            now += 10;
        }
        simulation.lives
    }

    fn step(&mut self, step: Step, now: u64) {
        let span = (now - step.before, now + step.after);
        match step.what {
            0..5 => {
                self.puts += 1;
                self.there.insert(self.puts, ());
                self.lives.push(match step.which % 8 {
                    // Its process dies after it has put, and before it can say so.
                    0 => killed(Receipt { responded: None, ..put(&[self.puts], span) }, (now, span.1)),
                    _ => left(put(&[self.puts], span)),
                });
            }
            5..8 => match self.there.pop_first() {
                Some((value, ())) if step.which.is_multiple_of(8) => {
                    // It dies with what it got, or holding it.
                    let call = if step.which.is_multiple_of(16) { Call::Get } else { Call::Borrow };
                    if call == Call::Borrow {
                        self.of_the_dead.push(value);
                    }
                    self.lives.push(killed(begun(call, 1, span.0), (now, span.1)));
                }
                Some((value, ())) => self.lives.push(left(get(&[value], span))),
                None => self.lives.push(left(empty(span))),
            },
            8..10 => {
                if let Some((value, ())) = self.there.pop_first() {
                    self.held.push((value, step, now));
                }
            }
            10..12 if !self.held.is_empty() => {
                let (value, begun, at) = self.held.swap_remove(step.which % self.held.len());
                let end = if step.what == 10 { End::GiveBack } else { End::Release };
                self.end_of_borrow(value, begun, at, end, now);
            }
            12 => self.fall_short(step, now),
            _ => self.return_what_the_dead_held(),
        }
    }

    /// The second phase's end has its effect at once; it is invoked after the first has returned.
    fn end_of_borrow(&mut self, value: u64, begun: Step, at: u64, end: End, now: u64) {
        let responded = (at + begun.after).min(now - 1);
        let span = (responded.max(now - begun.before.min(9)), now + begun.after);
        if end == End::GiveBack {
            self.there.insert(value, ());
        }
        self.lives.push(left(borrow(&[value], (at - begun.before, responded), end, span)));
    }

    /// A batch holds what there is for a moment, while a get takes the next.
    fn fall_short(&mut self, step: Step, now: u64) {
        let held = step.which % 3;
        let values: Vec<u64> = self.there.keys().take(held).copied().collect();
        if values.len() < held {
            return;
        }
        let passing = self.there.keys().nth(held).copied();
        if let Some(value) = passing {
            self.there.remove(&value);
            self.lives.push(left(get(&[value], (now - step.after, now + step.before))));
        }
        let batch = empty((now - step.before, now + step.after));
        self.lives.push(left(Receipt { short: held, min: 1000, wanted: held + 1, ..batch }));
    }

    fn return_what_the_dead_held(&mut self) {
        self.there.extend(self.of_the_dead.drain(..).map(|value| (value, ())));
    }
}

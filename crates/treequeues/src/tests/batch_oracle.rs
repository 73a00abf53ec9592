//! Random batches, single calls and holds of one queue against the simplest thing that could be right.
//!
//! One operation at a time, so every ticket is known beforehand: a reserve gets the lowest ticket that a free slot can
//! serve, and whatever is still in a slot whose ticket that passes is burned; a borrow gets the lowest ticket of those out
//! of order, then of those in order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::wait::Wait;
use crate::{
    BatchSize, BorrowError, Dtype, Hold, LeafKind, LeafSpec, Queue, ReserveError, Schema, Structure,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve(Size),
    Borrow(Size),
    /// Ends one of the holds, in one of the ways that its state allows.
    End {
        which: usize,
        how: usize,
    },
}

/// How many slots a call wants, before it is cut to the capacity.
#[derive(Clone, Copy, Debug)]
struct Size {
    min: usize,
    more: usize,
    is_side_by_side: bool,
}

impl Size {
    fn of(self, capacity: usize) -> (usize, usize, BatchSize) {
        let min = self.min.min(capacity);
        let max = (min + self.more).min(capacity);
        let size = BatchSize::between(min, max);
        (min, max, if self.is_side_by_side { size.side_by_side() } else { size })
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = (1_usize..4, 0_usize..4, any::<bool>());
    let size = size.prop_map(|(min, more, is_side_by_side)| Size { min, more, is_side_by_side });
    let step = prop_oneof![
        2 => size.clone().prop_map(Step::Reserve),
        2 => size.prop_map(Step::Borrow),
        5 => (any::<usize>(), any::<usize>()).prop_map(|(which, how)| Step::End { which, how }),
    ];
    prop::collection::vec(step, 1..120)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Writing,
    Reading,
    Lingering,
}

/// What the queue should do.
struct Oracle {
    capacity: u64,
    /// Of each slot, the ticket that it serves next: so far also when it is not free.
    next: Vec<u64>,
    /// Committed and not taken, with their deliveries so far; those that the ring has passed, or that were given back.
    first: BTreeMap<u64, u32>,
    in_order: BTreeMap<u64, u32>,
    /// Held slots, by their tickets.
    held: BTreeMap<u64, State>,
}

impl Oracle {
    fn new(capacity: usize) -> Self {
        let next = (0..capacity as u64).collect();
        let [first, in_order] = [BTreeMap::new(), BTreeMap::new()];
        Self { capacity: capacity as u64, next, first, in_order, held: BTreeMap::new() }
    }

    fn slot(&self, ticket: u64) -> usize {
        (ticket % self.capacity) as usize
    }

    fn free(&self) -> usize {
        self.next.len() - self.first.len() - self.in_order.len() - self.held.len()
    }

    fn count(&self, state: State) -> usize {
        self.held.values().filter(|held| **held == state).count()
    }

    /// The tickets that a reserve gets.
    fn reserve(&mut self, min: usize, max: usize, is_side_by_side: bool) -> Option<Vec<u64>> {
        if self.free() < min {
            return None;
        }
        let mut tickets: Vec<u64> = Vec::new();
        while tickets.len() < max && self.free() > 0 {
            let mut is_free = vec![true; self.next.len()];
            for taken in self.first.keys().chain(self.in_order.keys()).chain(self.held.keys()) {
                is_free[self.slot(*taken)] = false;
            }
            let free = self.next.iter().zip(is_free).filter(|(_, is_free)| *is_free);
            let ticket = free.map(|(next, _)| *next).min().expect("a slot is free");
            if is_side_by_side && tickets.last().is_some_and(|last| self.slot(*last) + 1 != self.slot(ticket))
            {
                break;
            }
            for next in &mut self.next {
                *next += if *next <= ticket { self.capacity } else { 0 };
            }
            // What the ring has passed comes first from now on.
            let passed = self.in_order.extract_if(.., |item, _| item + self.capacity <= ticket);
            self.first.extend(passed);
            self.held.insert(ticket, State::Writing);
            tickets.push(ticket);
        }
        Some(tickets)
    }

    /// The tickets that a borrow gets, and how often each was delivered then.
    fn borrow(&mut self, min: usize, max: usize, is_side_by_side: bool) -> Option<Vec<(u64, u32)>> {
        if self.first.len() + self.in_order.len() < min {
            return None;
        }
        let mut items: Vec<(u64, u32)> = Vec::new();
        while items.len() < max {
            let Some(ticket) = self.first.keys().chain(self.in_order.keys()).next().copied() else { break };
            let last = items.last().map(|(last, _)| self.slot(*last));
            if is_side_by_side && last.is_some_and(|last| last + 1 != self.slot(ticket)) {
                break;
            }
            let deliveries = self.first.remove(&ticket).or_else(|| self.in_order.remove(&ticket));
            self.held.insert(ticket, State::Reading);
            items.push((ticket, deliveries.expect("one of the two") + 1));
        }
        Some(items)
    }

    fn commit(&mut self, ticket: u64) {
        let is_late = self.next[self.slot(ticket)] != ticket + self.capacity;
        if is_late { &mut self.first } else { &mut self.in_order }.insert(ticket, 0);
    }
}

/// A hold with the tickets and deliveries of its items.
struct Held {
    hold: Hold,
    state: State,
    items: Vec<(u64, u32)>,
}

/// The queue's, beside what they should be.
struct Rig {
    queue: Queue,
    oracle: Oracle,
    held: Vec<Held>,
}

impl Rig {
    fn new(capacity: usize) -> Self {
        let leaf = LeafSpec::new(Dtype::from_name("uint8").expect("known"), vec![8], LeafKind::Array);
        let schema = Schema::new(Structure::leaf(), vec![leaf]).expect("one leaf");
        let queue = Queue::create_local(schema, capacity as u64).expect("small");
        Self { queue, oracle: Oracle::new(capacity), held: Vec::new() }
    }

    /// Reserves, and writes into each row the ticket that the item should have.
    fn reserve(&mut self, size: Size) {
        let (min, max, batch) = size.of(self.queue.capacity());
        let expected = self.oracle.reserve(min, max, size.is_side_by_side);
        let (hold, tickets) = match (self.queue.try_reserve_batch(batch), expected) {
            (Err(ReserveError::Full), None) => return,
            (Ok(mut claimed), Some(tickets)) => {
                assert_eq!(claimed.len(), tickets.len());
                claimed.for_each_run(0, |first, run| {
                    for (row, ticket) in run.chunks_exact_mut(8).zip(&tickets[first..]) {
                        row.copy_from_slice(&ticket.to_le_bytes());
                    }
                });
                (claimed.into_hold(), tickets)
            }
            (got, expected) => panic!("expected {expected:?}, got {got:?}"),
        };
        assert_eq!(hold.infos().map(|info| info.ticket).collect::<Vec<_>>(), tickets);
        assert!(!size.is_side_by_side || hold.is_side_by_side());
        self.keep(hold, State::Writing, tickets.iter().map(|ticket| (*ticket, 0)).collect());
    }

    /// Borrows, and compares what is in the rows.
    fn borrow(&mut self, size: Size) {
        let (min, max, batch) = size.of(self.queue.capacity());
        let expected = self.oracle.borrow(min, max, size.is_side_by_side);
        let (hold, items) = match (self.queue.try_borrow_batch(batch), expected) {
            (Err(BorrowError::Empty), None) => return,
            (Ok(claimed), Some(items)) => {
                let infos: Vec<_> = claimed.infos().map(|info| (info.ticket, info.delivery_count)).collect();
                assert_eq!(infos, items);
                let mut rows = Vec::new();
                for (first, run) in claimed.runs(0) {
                    assert_eq!(first, rows.len(), "runs follow each other");
                    rows.extend(
                        run.chunks_exact(8).map(|row| u64::from_le_bytes(row.try_into().expect("8"))),
                    );
                }
                assert_eq!(rows, items.iter().map(|(ticket, _)| *ticket).collect::<Vec<_>>());
                assert!(!size.is_side_by_side || claimed.runs(0).count() == 1);
                (claimed.into_hold(), items)
            }
            (got, expected) => panic!("expected {expected:?}, got {got:?}"),
        };
        self.keep(hold, State::Reading, items);
    }

    fn keep(&mut self, hold: Hold, state: State, items: Vec<(u64, u32)>) {
        assert_eq!(hold.len(), items.len());
        self.held.push(Held { hold, state, items });
    }

    fn end(&mut self, which: usize, how: usize) {
        if self.held.is_empty() {
            return;
        }
        let Held { mut hold, state, items } = self.held.swap_remove(which % self.held.len());
        for (ticket, _) in &items {
            self.oracle.held.remove(ticket);
        }
        let goes_back = match (state, how % 4) {
            (State::Writing | State::Reading, 0) => {
                hold.linger().expect("sound");
                self.oracle.held.extend(items.iter().map(|(ticket, _)| (*ticket, State::Lingering)));
                self.held.push(Held { hold, state: State::Lingering, items });
                return;
            }
            (State::Writing, 1 | 2) => {
                hold.commit().expect("sound");
                items.iter().for_each(|(ticket, _)| self.oracle.commit(*ticket));
                false
            }
            (State::Writing, _) => {
                // Dropped, it aborts: one of the two, by the number of its items.
                if items.len() % 2 == 0 {
                    hold.abort().expect("sound");
                }
                false
            }
            (State::Reading, 1) => {
                hold.release().expect("sound");
                false
            }
            (State::Reading, 2) => {
                hold.give_back().expect("sound");
                true
            }
            (State::Reading, _) => true,
            (State::Lingering, _) => false,
        };
        drop(hold);
        if goes_back {
            self.oracle.first.extend(items);
        }
    }

    /// Slot by slot counted.
    fn compare(&self) {
        let snapshot = self.queue.snapshot().expect("sound");
        let oracle = &self.oracle;
        assert_eq!(snapshot.free, oracle.free());
        assert_eq!(snapshot.ready, oracle.first.len() + oracle.in_order.len());
        assert_eq!(snapshot.returned, oracle.first.len());
        assert_eq!(snapshot.writing, oracle.count(State::Writing));
        assert_eq!(snapshot.reading, oracle.count(State::Reading));
        assert_eq!(snapshot.lingering, oracle.count(State::Lingering));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_is_a_deque_with_batches_and_holds(capacity in 1_usize..7, steps in steps()) {
        let mut rig = Rig::new(capacity);
        for step in steps {
            match step {
                Step::Reserve(size) => rig.reserve(size),
                Step::Borrow(size) => rig.borrow(size),
                Step::End { which, how } => rig.end(which, how),
            }
            rig.compare();
        }
        while !rig.held.is_empty() {
            rig.end(0, 3);
        }
        rig.compare();
        while let Some(item) = rig.oracle.borrow(1, 1, false) {
            let loan = rig.queue.borrow_with(Wait::at_most(std::time::Duration::ZERO)).expect("an item");
            prop_assert_eq!([(loan.info().ticket, loan.info().delivery_count)].to_vec(), item);
        }
        prop_assert_eq!(rig.queue.snapshot().expect("sound").free, capacity);
    }
}

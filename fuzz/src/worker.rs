//! A worker in Rust: calls drawn at random, each with its receipt, until it is told to leave, or killed.

use std::thread;
use std::time::Duration;

use fastrand::Rng;
use treequeues::{BatchSize, BorrowError, Queue, ReserveError, Wait};

use crate::history::{Call, End, MAX_BATCH, Outcome};
use crate::items::Items;
use crate::lives::is_told_to_leave;
use crate::log::Log;
use crate::plan::{Plan, Role};
use crate::receipts::Sizes;
use crate::system::{SharedWords, now_ns};

/// The longest bounded wait of a call.
const MAX_WAIT_MS: u64 = 30;

/// One life.
pub struct Worker<'e> {
    /// Its number in the epoch.
    pub number: u32,
    /// What it is there for.
    pub role: Role,
    /// The epoch.
    pub plan: &'e Plan,
    /// Word 0 is 1 when everybody is to leave.
    pub control: &'e SharedWords,
    /// Its receipts.
    pub log: &'e mut Log,
}

/// What a worker has between its calls.
struct State<'w, 'e> {
    worker: &'w mut Worker<'e>,
    queue: &'w Queue,
    rng: Rng,
    items: Items,
    /// Items put or tried so far.
    sequence: u32,
}

/// How a call waits.
pub(crate) enum Patience {
    Never,
    AtMost(Duration),
    UntilToldToLeave,
}

impl Worker<'_> {
    /// Works until it is told to leave, or its log is full. An item that is torn, and an error of the queue, are panics.
    pub fn run(&mut self, queue: &Queue) {
        let rng = Rng::with_seed(self.plan.seed ^ u64::from(self.number).wrapping_mul(0x2545_F491_4F6C_DD1D));
        let (items, role) = (self.plan.items(), self.role);
        let mut state = State { worker: self, queue, rng, items, sequence: 0 };
        while !state.is_to_leave() && !state.worker.log.is_full() {
            match role {
                Role::Producer => state.put(),
                Role::Consumer => state.take(),
                Role::Both if state.rng.bool() => state.put(),
                Role::Both => state.take(),
            }
            if state.percent(state.worker.plan.pause) {
                state.pause(state.worker.plan.pause_us);
            }
        }
    }
}

impl State<'_, '_> {
    fn put(&mut self) {
        let plan = self.worker.plan;
        if plan.put_batch > 1 && self.percent(30) { self.put_batch(plan.put_batch) } else { self.put_one() }
    }

    fn take(&mut self) {
        let plan = self.worker.plan;
        if plan.take_batch > 1 && self.percent(30) {
            self.take_batch(plan.take_batch)
        } else {
            self.take_one()
        }
    }

    fn put_one(&mut self) {
        let value = self.next_value();
        let patience = Patience::drawn_from(&mut self.rng);
        let is_brief = self.rng.bool();
        let (queue, control) = (self.queue, self.worker.control);
        let mut is_told = || is_told_to_leave(control);
        self.worker.log.invoke(Call::Reserve, Sizes::ONE, &[value]);
        let reserved = match (patience, is_brief) {
            (Patience::Never, true) => queue.try_reserve_briefly(),
            (Patience::Never, false) => queue.try_reserve(),
            (patience, true) => queue.reserve_briefly_with(patience.wait(&mut is_told)),
            (patience, false) => queue.reserve_with(patience.wait(&mut is_told)),
        };
        let mut loan = match reserved {
            Ok(loan) => loan,
            Err(error) => return self.worker.log.came_to_nothing(refusal(&error)),
        };
        self.worker.log.reserved(1);
        self.items.write(&mut loan, value);
        self.stall();
        let end = self.end_of_reserve();
        self.worker.log.invoke_end(end);
        if end == End::Commit { loan.commit() } else { loan.abort() }.expect("a sound queue");
        self.worker.log.ended();
    }

    fn put_batch(&mut self, largest: usize) {
        let mut values = [0; MAX_BATCH];
        let wanted = self.rng.usize(2..=largest);
        values[..wanted].fill_with(|| self.next_value());
        let (size, sizes) = self.batch_size(wanted);
        let patience = Patience::drawn_from(&mut self.rng);
        let (queue, control) = (self.queue, self.worker.control);
        let mut is_told = || is_told_to_leave(control);
        self.worker.log.invoke(Call::Reserve, sizes, &values[..wanted]);
        let reserved = match patience {
            Patience::Never => queue.try_reserve_batch(size),
            patience => queue.reserve_batch_with(size, patience.wait(&mut is_told)),
        };
        let mut batch = match reserved {
            Ok(batch) => batch,
            Err(error) => return self.worker.log.came_to_nothing(refusal(&error)),
        };
        self.worker.log.reserved(batch.len());
        self.items.write_batch(&mut batch, &values);
        self.stall();
        let end = self.end_of_reserve();
        self.worker.log.invoke_end(end);
        if end == End::Commit { batch.commit() } else { batch.abort() }.expect("a sound queue");
        self.worker.log.ended();
    }

    fn take_one(&mut self) {
        let patience = Patience::drawn_from(&mut self.rng);
        let is_brief = self.rng.bool();
        let (queue, control) = (self.queue, self.worker.control);
        let mut is_told = || is_told_to_leave(control);
        self.worker.log.invoke(Call::Borrow, Sizes::ONE, &[]);
        let borrowed = match (patience, is_brief) {
            (Patience::Never, true) => queue.try_borrow_briefly(),
            (Patience::Never, false) => queue.try_borrow(),
            (patience, true) => queue.borrow_briefly_with(patience.wait(&mut is_told)),
            (patience, false) => queue.borrow_with(patience.wait(&mut is_told)),
        };
        let loan = match borrowed {
            Ok(loan) => loan,
            Err(error) => return self.worker.log.came_to_nothing(emptiness(&error)),
        };
        let at = now_ns();
        let value = self.items.read(|leaf| loan.leaf_bytes(leaf)).expect("an item is whole");
        self.worker.log.took(at, &[(value, loan.info().delivery_count)]);
        self.stall();
        assert_eq!(
            self.items.read(|leaf| loan.leaf_bytes(leaf)),
            Some(value),
            "nobody writes to what is borrowed"
        );
        let end = self.end_of_borrow();
        self.worker.log.invoke_end(end);
        if end == End::Release { loan.release() } else { loan.give_back() }.expect("a sound queue");
        self.worker.log.ended();
    }

    fn take_batch(&mut self, largest: usize) {
        let wanted = self.rng.usize(2..=largest);
        let (size, sizes) = self.batch_size(wanted);
        let patience = Patience::drawn_from(&mut self.rng);
        let (queue, control) = (self.queue, self.worker.control);
        let mut is_told = || is_told_to_leave(control);
        self.worker.log.invoke(Call::Borrow, sizes, &[]);
        let borrowed = match patience {
            Patience::Never => queue.try_borrow_batch(size),
            patience => queue.borrow_batch_with(size, patience.wait(&mut is_told)),
        };
        let batch = match borrowed {
            Ok(batch) => batch,
            Err(error) => return self.worker.log.came_to_nothing(emptiness(&error)),
        };
        let at = now_ns();
        let read = |item| self.items.read(|leaf| batch.leaf_bytes(item, leaf)).expect("an item is whole");
        let taken: Vec<_> =
            batch.infos().enumerate().map(|(item, info)| (read(item), info.delivery_count)).collect();
        self.worker.log.took(at, &taken);
        self.stall();
        let end = self.end_of_borrow();
        self.worker.log.invoke_end(end);
        if end == End::Release { batch.release() } else { batch.give_back() }.expect("a sound queue");
        self.worker.log.ended();
    }

    fn batch_size(&mut self, wanted: usize) -> (BatchSize, Sizes) {
        let min = if self.rng.bool() { wanted } else { self.rng.usize(1..=wanted) };
        let size = BatchSize::between(min, wanted);
        if self.rng.u8(..3) == 0 {
            // Content with one once it claims, so it never holds what it does not take.
            (size.side_by_side(), Sizes { wanted, min, short: 0 })
        } else {
            (size, Sizes { wanted, min, short: min - 1 })
        }
    }

    fn end_of_reserve(&mut self) -> End {
        if self.percent(self.worker.plan.abort) { End::Abort } else { End::Commit }
    }

    fn end_of_borrow(&mut self) -> End {
        if self.percent(self.worker.plan.give_back) { End::GiveBack } else { End::Release }
    }

    fn stall(&mut self) {
        if self.percent(self.worker.plan.stall) {
            self.pause(self.worker.plan.stall_us);
        }
    }

    fn pause(&mut self, longest_us: u64) {
        thread::sleep(Duration::from_micros(self.rng.u64(..=longest_us)));
    }

    fn next_value(&mut self) -> u64 {
        self.sequence += 1;
        u64::from(self.worker.number) << 32 | u64::from(self.sequence)
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    fn is_to_leave(&self) -> bool {
        is_told_to_leave(self.worker.control)
    }
}

impl Patience {
    pub(crate) fn drawn_from(rng: &mut Rng) -> Self {
        match rng.u8(..10) {
            0..3 => Self::Never,
            3..7 => Self::AtMost(Duration::from_micros(rng.u64(..MAX_WAIT_MS * 1000))),
            _ => Self::UntilToldToLeave,
        }
    }

    pub(crate) fn wait(self, is_told: &mut dyn FnMut() -> bool) -> Wait<'_> {
        match self {
            Self::Never => Wait::at_most(Duration::ZERO),
            Self::AtMost(time) => Wait::at_most(time),
            Self::UntilToldToLeave => Wait::forever().or_until(is_told),
        }
    }
}

fn refusal(error: &ReserveError) -> Outcome {
    match error {
        ReserveError::Full => Outcome::Nothing,
        ReserveError::Interrupted => Outcome::BrokenOff,
        error => panic!("a reserve failed: {error}"),
    }
}

fn emptiness(error: &BorrowError) -> Outcome {
    match error {
        BorrowError::Empty => Outcome::Nothing,
        BorrowError::Interrupted => Outcome::BrokenOff,
        error => panic!("a borrow failed: {error}"),
    }
}

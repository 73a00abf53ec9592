//! What a victim does.

use std::time::SystemTime;

use treequeues::{BatchSize, ItemOrigin, Queue, Wait, WriteBatch};

use super::items::{CAPACITY, SHORT_WAIT, fill, put, read, take, value_in, value_of, write};
use crate::ledger::{Ledger, VICTIMS};
use crate::structure::{Operation, finish};
use crate::tracer::begin;

/// What a victim may have done that was killed half-way.
#[derive(Clone, Copy, Debug, Default)]
pub struct May {
    /// How many items it puts, if any.
    pub put: usize,
    /// How many items it takes for good at most.
    pub take: usize,
}

impl Operation<Queue> {
    const fn new(name: &'static str, life: fn(&Queue, &Ledger)) -> Self {
        Self { name, may: May { put: 0, take: 0 }, life }
    }

    const fn puts(self, put: usize) -> Self {
        Self { may: May { put, ..self.may }, ..self }
    }

    const fn takes(self, take: usize) -> Self {
        Self { may: May { take, ..self.may }, ..self }
    }
}

pub const OPERATIONS: &[Operation<Queue>] = &[
    Operation::new("reserve", |queue, ledger| {
        begin();
        let _held = queue.try_reserve();
        finish(ledger);
    }),
    Operation::new("commit", |queue, ledger| {
        let Some(loan) = write(queue, VICTIMS) else { return };
        begin();
        loan.commit().expect("sound");
        ledger.put(1);
        finish(ledger);
    })
    .puts(1),
    Operation::new("abort", |queue, ledger| {
        let Some(loan) = write(queue, VICTIMS) else { return };
        begin();
        loan.abort().expect("sound");
        finish(ledger);
    }),
    Operation::new("linger, written", |queue, ledger| {
        let Some(loan) = write(queue, VICTIMS) else { return };
        let mut hold = loan.into_hold();
        begin();
        hold.linger().expect("sound");
        finish(ledger);
    }),
    Operation::new("borrow", |queue, ledger| {
        begin();
        let held = queue.try_borrow();
        finish(ledger);
        // Dropped, it would come again; ended like this, it does so when this process has died.
        std::mem::forget(held);
    }),
    Operation::new("release", |queue, ledger| {
        let Some(loan) = read(queue) else { return };
        let value = value_of(&loan);
        begin();
        loan.release().expect("sound");
        ledger.took(value);
        finish(ledger);
    })
    .takes(1),
    Operation::new("give back", |queue, ledger| {
        let Some(loan) = read(queue) else { return };
        begin();
        loan.give_back().expect("sound");
        finish(ledger);
    }),
    Operation::new("linger, read", |queue, ledger| {
        let Some(loan) = read(queue) else { return };
        let value = value_of(&loan);
        let mut hold = loan.into_hold();
        begin();
        hold.linger().expect("sound");
        ledger.took(value);
        finish(ledger);
    })
    .takes(1),
    Operation::new("let go", |queue, ledger| {
        let Some(loan) = read(queue) else { return };
        let value = value_of(&loan);
        let mut hold = loan.into_hold();
        hold.linger().expect("sound");
        // It is taken already, whatever comes.
        ledger.took(value);
        begin();
        drop(hold);
        finish(ledger);
    })
    .takes(1),
    Operation::new("commit, late", |queue, ledger| {
        let Some(loan) = write(queue, VICTIMS) else { return };
        go_around(queue);
        begin();
        loan.commit().expect("sound");
        ledger.put(1);
        finish(ledger);
    })
    .puts(1),
    Operation::new("abort, late", |queue, ledger| {
        let Some(loan) = write(queue, VICTIMS) else { return };
        go_around(queue);
        begin();
        loan.abort().expect("sound");
        finish(ledger);
    }),
    Operation::new("release, passed by", |queue, ledger| {
        let Some(loan) = read(queue) else { return };
        let value = value_of(&loan);
        go_around(queue);
        begin();
        loan.release().expect("sound");
        ledger.took(value);
        finish(ledger);
    })
    .takes(1),
    Operation::new("give back, passed by", |queue, ledger| {
        let Some(loan) = read(queue) else { return };
        go_around(queue);
        begin();
        loan.give_back().expect("sound");
        finish(ledger);
    }),
    Operation::new("put, whole", |queue, ledger| {
        begin();
        if let Some(loan) = write(queue, VICTIMS) {
            loan.commit().expect("sound");
            ledger.put(1);
        }
        finish(ledger);
    })
    .puts(1),
    Operation::new("get, whole", |queue, ledger| {
        begin();
        if let Some(loan) = read(queue) {
            let value = value_of(&loan);
            loan.release().expect("sound");
            ledger.took(value);
        }
        finish(ledger);
    })
    .takes(1),
    Operation::new("put and wait", |queue, ledger| {
        begin();
        if let Ok(mut loan) = queue.reserve_with(Wait::at_most(SHORT_WAIT)) {
            fill(&mut loan, VICTIMS);
            loan.commit().expect("sound");
            ledger.put(1);
        }
        finish(ledger);
    })
    .puts(1),
    Operation::new("get and wait", |queue, ledger| {
        begin();
        if let Ok(loan) = queue.borrow_with(Wait::at_most(SHORT_WAIT)) {
            let value = value_of(&loan);
            loan.release().expect("sound");
            ledger.took(value);
        }
        finish(ledger);
    })
    .takes(1),
    Operation::new("reserve a batch", |queue, ledger| {
        begin();
        let _held = queue.try_reserve_batch(BatchSize::between(1, CAPACITY));
        finish(ledger);
    }),
    Operation::new("commit a batch", |queue, ledger| {
        let Some(batch) = write_two(queue) else { return };
        begin();
        batch.commit().expect("sound");
        ledger.put(2);
        finish(ledger);
    })
    .puts(2),
    Operation::new("commit a batch, late", |queue, ledger| {
        let Some(batch) = write_two(queue) else { return };
        go_around(queue);
        begin();
        batch.commit().expect("sound");
        ledger.put(2);
        finish(ledger);
    })
    .puts(2),
    Operation::new("bring a batch", |queue, ledger| {
        let Some(batch) = write_two(queue) else { return };
        ledger.brings(batch.tickets().next().expect("two"));
        begin();
        batch.commit_from("elsewhere", &[origin(); 2]).expect("sound");
        ledger.put(2);
        finish(ledger);
    })
    .puts(2),
    Operation::new("bring a batch, late", |queue, ledger| {
        let Some(batch) = write_two(queue) else { return };
        ledger.brings(batch.tickets().next().expect("two"));
        go_around(queue);
        begin();
        batch.commit_from("elsewhere", &[origin(); 2]).expect("sound");
        ledger.put(2);
        finish(ledger);
    })
    .puts(2),
    Operation::new("abort a batch", |queue, ledger| {
        let Ok(batch) = queue.try_reserve_batch(BatchSize::exactly(2)) else { return };
        begin();
        batch.abort().expect("sound");
        finish(ledger);
    }),
    Operation::new("borrow a batch", |queue, ledger| {
        begin();
        let held = queue.try_borrow_batch(BatchSize::between(1, CAPACITY));
        finish(ledger);
        std::mem::forget(held);
    }),
    Operation::new("release a batch", |queue, ledger| {
        let Ok(batch) = queue.try_borrow_batch(BatchSize::exactly(2)) else { return };
        let values = [0, 1].map(|item| value_in(&batch, item));
        begin();
        batch.release().expect("sound");
        values.into_iter().for_each(|value| ledger.took(value));
        finish(ledger);
    })
    .takes(2),
    Operation::new("give back a batch", |queue, ledger| {
        let Ok(batch) = queue.try_borrow_batch(BatchSize::exactly(2)) else { return };
        begin();
        batch.give_back().expect("sound");
        finish(ledger);
    }),
    Operation::new("wait for a batch of free slots", |queue, ledger| {
        begin();
        let _held = queue.reserve_batch_with(BatchSize::exactly(CAPACITY), Wait::at_most(SHORT_WAIT));
        finish(ledger);
    }),
    Operation::new("wait for a batch of items", |queue, ledger| {
        begin();
        let held = queue.borrow_batch_with(BatchSize::exactly(CAPACITY), Wait::at_most(SHORT_WAIT));
        finish(ledger);
        std::mem::forget(held);
    }),
    Operation::new("sweep", |queue, ledger| {
        begin();
        queue.sweep().expect("sound");
        finish(ledger);
    }),
];

/// A batch of two with items in it.
fn write_two(queue: &Queue) -> Option<WriteBatch<'_>> {
    let mut batch = queue.try_reserve_batch(BatchSize::exactly(2)).ok()?;
    for item in 0..2 {
        batch.leaf_mut::<u64>(item, 0).expect("the leaf").fill(VICTIMS + item as u64);
    }
    Some(batch)
}

fn origin() -> ItemOrigin {
    ItemOrigin { put_time: SystemTime::UNIX_EPOCH, producer_pid: 1, delivery_count: 0 }
}

/// Others go around the ring, past what the victim holds: its ticket is burned. Items are what they were, in another order.
fn go_around(queue: &Queue) {
    for _ in 0..2 * queue.capacity() {
        let value = take(queue).unwrap_or(u64::MAX);
        if !put(queue, value) {
            return;
        }
        if value == u64::MAX {
            assert_eq!(take(queue), Some(value));
        }
    }
}

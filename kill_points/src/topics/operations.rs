//! What a victim does.

use std::time::Duration;

use treequeues::{Start, Topic, Wait};

use super::items::{fill, found, from_the_first, put, subscribe, value_of, write};
use super::verdict::May;
use crate::ledger::{Ledger, VICTIMS};
use crate::structure::{Operation, finish};
use crate::tracer::begin;

/// Longer than a spin, so that the call sleeps.
const SHORT_WAIT: Duration = Duration::from_millis(1);

impl Operation<Topic> {
    const fn new(name: &'static str, life: fn(&Topic, &Ledger)) -> Self {
        Self { name, may: May { put: 0, free: 0, shut_down: false }, life }
    }

    /// It claims a slot, whose item is gone, and may put one.
    const fn claims(self, put: u64) -> Self {
        Self { may: May { put, free: 1, ..self.may }, ..self }
    }

    const fn shuts_down(self) -> Self {
        Self { may: May { shut_down: true, ..self.may }, ..self }
    }
}

pub const OPERATIONS: &[Operation<Topic>] = &[
    Operation::new("reserve", |topic, ledger| {
        begin();
        let _held = topic.try_reserve();
        finish(ledger);
    })
    .claims(0),
    Operation::new("commit", |topic, ledger| {
        let Some(loan) = write(topic, VICTIMS) else { return };
        begin();
        loan.commit().expect("sound");
        ledger.put(1);
        finish(ledger);
    })
    .claims(1),
    Operation::new("abort", |topic, ledger| {
        let Some(loan) = write(topic, VICTIMS) else { return };
        begin();
        loan.abort().expect("sound");
        finish(ledger);
    })
    .claims(0),
    Operation::new("put, whole", |topic, ledger| {
        begin();
        if put(topic, VICTIMS).is_some() {
            ledger.put(1);
        }
        finish(ledger);
    })
    .claims(1),
    Operation::new("put and wait", |topic, ledger| {
        begin();
        if let Ok(mut loan) = topic.reserve_with(Wait::at_most(SHORT_WAIT)) {
            fill(&mut loan, VICTIMS);
            loan.commit().expect("sound");
            ledger.put(1);
        }
        finish(ledger);
    })
    .claims(1),
    Operation::new("latest", |topic, ledger| {
        begin();
        let held = found(topic.try_borrow_latest());
        finish(ledger);
        // It ends by this process's death.
        std::mem::forget(held);
    }),
    Operation::new("latest, whole", |topic, ledger| {
        begin();
        if let Some(loan) = found(topic.try_borrow_latest()) {
            value_of(&loan);
            loan.release().expect("sound");
        }
        finish(ledger);
    }),
    Operation::new("latest and wait", |topic, ledger| {
        begin();
        if let Ok(loan) = topic.borrow_latest_with(Wait::at_most(SHORT_WAIT)) {
            value_of(&loan);
            loan.release().expect("sound");
        }
        finish(ledger);
    }),
    Operation::new("next", |_, ledger| {
        let all = from_the_first();
        begin();
        let held = found(all.try_borrow());
        finish(ledger);
        std::mem::forget(held);
    }),
    Operation::new("next, whole, to the end", |_, ledger| {
        let all = from_the_first();
        begin();
        let mut last = 0;
        while let Some(loan) = found(all.try_borrow()) {
            value_of(&loan);
            assert_eq!(loan.info().missed, loan.ticket() - last - 1);
            last = loan.ticket();
            loan.release().expect("sound");
        }
        finish(ledger);
    }),
    Operation::new("next and wait", |topic, ledger| {
        let new = subscribe(topic, Start::New);
        begin();
        if let Ok(loan) = new.borrow_with(Wait::at_most(SHORT_WAIT)) {
            value_of(&loan);
            loan.release().expect("sound");
        }
        finish(ledger);
    }),
    Operation::new("the newest of a subscription", |_, ledger| {
        let all = from_the_first();
        begin();
        let held = found(all.try_borrow_latest());
        finish(ledger);
        std::mem::forget(held);
    }),
    Operation::new("the newest of a subscription and wait", |topic, ledger| {
        let new = subscribe(topic, Start::New);
        begin();
        if let Ok(loan) = new.borrow_latest_with(Wait::at_most(SHORT_WAIT)) {
            value_of(&loan);
            loan.release().expect("sound");
        }
        finish(ledger);
    }),
    Operation::new("release", |_, ledger| {
        let all = from_the_first();
        let Some(loan) = found(all.try_borrow()) else { return };
        begin();
        loan.release().expect("sound");
        finish(ledger);
    }),
    Operation::new("release one of two", |topic, ledger| {
        let Some(first) = found(topic.try_borrow_latest()) else { return };
        let second = found(topic.try_borrow_latest()).expect("it is there");
        begin();
        second.release().expect("sound");
        finish(ledger);
        drop(first);
    }),
    Operation::new("linger, written", |topic, ledger| {
        let Some(loan) = write(topic, VICTIMS) else { return };
        let mut hold = loan.into_hold();
        begin();
        hold.linger().expect("sound");
        finish(ledger);
        // The views live until this process dies.
        std::mem::forget(hold);
    })
    .claims(0),
    Operation::new("let go, written", |topic, ledger| {
        let Some(loan) = write(topic, VICTIMS) else { return };
        let mut hold = loan.into_hold();
        hold.linger().expect("sound");
        begin();
        drop(hold);
        finish(ledger);
    })
    .claims(0),
    Operation::new("let go, read", |_, ledger| {
        let all = from_the_first();
        let Some(loan) = found(all.try_borrow()) else { return };
        let mut hold = loan.into_hold();
        hold.linger().expect("sound");
        begin();
        drop(hold);
        finish(ledger);
    }),
    Operation::new("subscribe", |topic, ledger| {
        begin();
        let subscriber = subscribe(topic, Start::Oldest);
        finish(ledger);
        std::mem::forget(subscriber);
    }),
    Operation::new("unsubscribe", |_, ledger| {
        let all = from_the_first();
        begin();
        drop(all);
        finish(ledger);
    }),
    Operation::new("shut down", |topic, ledger| {
        begin();
        topic.shutdown(false).expect("attached");
        finish(ledger);
    })
    .shuts_down(),
    Operation::new("sweep", |topic, ledger| {
        begin();
        topic.sweep().expect("sound");
        finish(ledger);
    }),
];

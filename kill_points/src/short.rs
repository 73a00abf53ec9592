//! The short operations: a stop before every instruction of each, on each ring.

use std::cmp::Ordering;
use std::thread;
use std::time::Duration;

use treequeues::{BatchSize, Hold, Queue, Wait};

use crate::items::{CAPACITY, Ledger, queue, take};
use crate::operations::{OPERATIONS, Operation};
use crate::pool::{Case, Settings};
use crate::scenes::{SCENES, Scene, put_all};
use crate::tally::{Tally, at};
use crate::tracer::{Path, Reached, Victim};
use crate::verdict::{Account, assert_first_comes_first, assert_nothing_is_lost};

/// Ways that are recorded of each case, until so many of the shortest are alike.
const MAX_RECORDINGS: usize = 30;
const ALIKE: usize = 2;
/// Longer than between two sweeps of calls that find nothing: a victim that is stepped slowly and one that runs find one due.
const SWEEPS_APART: Duration = Duration::from_millis(6);

/// Of an operation with more instructions than this, so many are kill points, evenly spread.
const LONG: usize = 2500;

/// What becomes of the victim at its stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Killed,
    StoppedThenKilled,
    StoppedThenGoesOn,
}

/// All stops of one operation on one ring.
fn sweep(scene: &Scene, operation: &Operation, settings: &Settings) -> Tally {
    let mut tally = Tally::default();
    warm_up();
    let Some(path) = shortest(|| record(scene, operation)) else { return tally };
    tally.instructions = path.len();
    for (fate, stride) in [
        (Fate::Killed, settings.stride),
        (Fate::StoppedThenKilled, settings.coarse_stride),
        (Fate::StoppedThenGoesOn, settings.coarse_stride),
    ] {
        // A walk over hundreds of slots repeats itself.
        for n in (0..=path.len()).step_by(stride * path.len().div_ceil(LONG).max(1)) {
            let _place =
                at(format!("{} on {:?}, {fate:?} before instruction {n}", operation.name, scene.name));
            let reached = stop_at(scene, operation, fate, &path, n);
            tally.count(fate, reached);
        }
    }
    tally
}

/// What is made at its first use, as the clock's address, is made before anybody forks: so all victims take one way.
pub fn warm_up() {
    let queue = queue(CAPACITY);
    put_all(&queue, &[1, 2]);
    while take(&queue).is_some() {}
    let wait = || Wait::at_most(Duration::from_millis(1));
    assert!(queue.borrow_batch_with(BatchSize::exactly(2), wait()).is_err(), "it is empty");
}

/// The shortest way of several, of which two are alike: the kernel's clock is read again when it was just moved, which single
/// steps run into more often than anybody else.
pub fn shortest(record: impl Fn() -> Option<Path>) -> Option<Path> {
    let mut shortest = record()?;
    let mut alike = 1;
    for _ in 1..MAX_RECORDINGS {
        let other = record()?;
        match other.len().cmp(&shortest.len()) {
            Ordering::Less => (shortest, alike) = (other, 1),
            Ordering::Equal => alike += 1,
            Ordering::Greater => {}
        }
        if alike == ALIKE {
            break;
        }
    }
    Some(shortest)
}

fn record(scene: &Scene, operation: &Operation) -> Option<Path> {
    let (queue, ledger) = (scene.queue(), Ledger::new());
    let (_held, mut victim) = prepare(scene, operation, &queue, &ledger)?;
    Some(victim.record(|_, _| {}))
}

/// A ring, and a victim at its beginning on it.
pub fn prepare(
    scene: &Scene,
    operation: &Operation,
    queue: &Queue,
    ledger: &Ledger,
) -> Option<(Vec<Hold>, Victim)> {
    // It is a participant before anybody dies: whoever registers sweeps.
    let mut victim = Victim::start(
        || {
            queue.snapshot().expect("sound");
        },
        || (operation.life)(queue, ledger),
    );
    let sweeps = || queue.stats().expect("sound").counters.sweeps;
    let before = sweeps();
    let held = (scene.prepare)(queue);
    if sweeps() != before {
        thread::sleep(SWEEPS_APART);
    }
    victim.begins().then_some((held, victim))
}

fn stop_at(scene: &Scene, operation: &Operation, fate: Fate, path: &Path, n: usize) -> Reached {
    let (queue, ledger) = (scene.queue(), Ledger::new());
    let (held, mut victim) = prepare(scene, operation, &queue, &ledger).expect("it began before");
    let reached = victim.run_to(path, n);
    if n == path.len() {
        assert!(ledger.is_done(), "an operation that is over says so");
    }
    let account = match fate {
        Fate::Killed => {
            victim.kill();
            Account::of_a_glance(&queue)
        }
        Fate::StoppedThenKilled => {
            let account = Account::of_going_on(&queue);
            victim.kill();
            account
        }
        Fate::StoppedThenGoesOn => {
            let account = Account::of_going_on(&queue);
            victim.run_to_end();
            assert_first_comes_first(&queue);
            victim.let_exit();
            account
        }
    };
    assert_nothing_is_lost(&queue, scene.items, held, account, operation, &ledger);
    reached
}

/// Every operation on every ring.
pub fn cases() -> Vec<Case> {
    let pairs = OPERATIONS.iter().flat_map(|operation| SCENES.iter().map(move |scene| (operation, scene)));
    pairs
        .map(|(operation, scene)| Case {
            group: "operations",
            operation: operation.name.to_owned(),
            circumstance: scene.name.to_owned(),
            run: Box::new(move |settings| sweep(scene, operation, settings)),
        })
        .collect()
}

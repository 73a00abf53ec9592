//! Death of the sweeper: the first victim is killed in an operation, the second one while it returns what the first held.

use treequeues::Queue;

use crate::items::Ledger;
use crate::operations::{self, Operation};
use crate::pool::{Case, Settings};
use crate::scenes::{SCENES, Scene};
use crate::short::{Fate, prepare, shortest, warm_up};
use crate::tally::{Tally, at};
use crate::tracer::{Path, Victim};
use crate::verdict::{Account, assert_nothing_is_lost};

/// Both instructions are chosen more coarsely than one: the product counts.
const COARSER: usize = 8;

/// What the first victim does, and on which ring.
const FIRST: &[(&str, &str)] = &[
    ("reserve", "empty"),
    ("commit", "one item"),
    ("commit, late", "empty"),
    ("borrow", "full"),
    ("release", "full"),
    ("give back", "full"),
    ("linger, read", "full"),
    ("get, whole", "an item in the way"),
    ("put, whole", "a reader in the way"),
    ("reserve a batch", "empty"),
    ("commit a batch", "empty"),
    ("commit a batch, late", "empty"),
    ("borrow a batch", "full"),
    ("give back a batch", "full"),
];

fn sweep(scene: &Scene, operation: &Operation, settings: &Settings) -> Tally {
    let mut tally = Tally::default();
    warm_up();
    let first_path = shortest(|| {
        let (queue, ledger) = (scene.queue(), Ledger::new());
        let (_held, mut victim) = prepare(scene, operation, &queue, &ledger)?;
        Some(victim.record(|_, _| {}))
    })
    .expect("it begins");
    let stride = settings.coarse_stride * COARSER;
    for n in (0..=first_path.len()).step_by(stride) {
        let path = record_sweeper(scene, operation, &first_path, n);
        tally.instructions = tally.instructions.max(path.len());
        for (which, m) in (0..=path.len()).step_by(stride).enumerate() {
            // Both kinds of end: the next sweeper finds a dead one, and one that was stopped half-way and goes on.
            let fate = if which % 2 == 0 { Fate::Killed } else { Fate::StoppedThenGoesOn };
            let _place = at(format!(
                "{} on {:?} killed before instruction {n}, then its sweeper before {m}",
                operation.name, scene.name
            ));
            die_twice(scene, operation, &first_path, n, &path, m, fate, &mut tally);
        }
    }
    tally
}

/// A participant that is about to sweep.
fn sweeper(queue: &Queue, ledger: &Ledger) -> Victim {
    let sweep = operations::named("sweep");
    let first = || {
        queue.snapshot().expect("sound");
    };
    Victim::start(first, || (sweep.life)(queue, ledger))
}

fn record_sweeper(scene: &Scene, operation: &Operation, first_path: &Path, n: usize) -> Path {
    let record = || {
        let (queue, ledger, sweepers) = (scene.queue(), Ledger::new(), Ledger::new());
        let mut sweeper = sweeper(&queue, &sweepers);
        let (_held, mut first) = prepare(scene, operation, &queue, &ledger)?;
        first.run_to(first_path, n);
        first.kill();
        assert!(sweeper.begins(), "it has something to do");
        Some(sweeper.record(|_, _| {}))
    };
    shortest(record).expect("it began before")
}

#[expect(clippy::too_many_arguments, reason = "two deaths, each by its place")]
fn die_twice(
    scene: &Scene,
    operation: &Operation,
    first_path: &Path,
    n: usize,
    path: &Path,
    m: usize,
    fate: Fate,
    tally: &mut Tally,
) {
    let (queue, ledger, sweepers) = (scene.queue(), Ledger::new(), Ledger::new());
    let mut sweeper = sweeper(&queue, &sweepers);
    let (held, mut first) = prepare(scene, operation, &queue, &ledger).expect("it began before");
    first.run_to(first_path, n);
    first.kill();
    assert!(sweeper.begins(), "it has something to do");
    let reached = sweeper.run_to(path, m);
    let account = if fate == Fate::Killed {
        sweeper.kill();
        Account::of_a_glance(&queue)
    } else {
        let account = Account::of_going_on(&queue);
        queue.sweep().expect("sound");
        sweeper.run_to_end();
        sweeper.let_exit();
        account
    };
    tally.count(fate, reached);
    assert_nothing_is_lost(&queue, scene.items, held, account, operation, &ledger);
}

/// A sweeper of each.
pub fn cases() -> Vec<Case> {
    let case = |&(operation, ring): &(&'static str, &str)| {
        let operation = operations::named(operation);
        let scene = SCENES.iter().find(|scene| scene.name == ring).expect("a scene of the list");
        Case {
            group: "sweepers that die too",
            operation: format!("sweep after {}", operation.name),
            circumstance: scene.name.to_owned(),
            run: Box::new(move |settings| sweep(scene, operation, settings)),
        }
    };
    FIRST.iter().map(case).collect()
}

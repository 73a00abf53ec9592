//! Death of the sweeper: the first victim is killed in an operation, the second one while it returns what the first held.

use crate::ledger::Ledger;
use crate::pool::{Case, Settings};
use crate::structure::{self, Operation, Scene, Structure, prepare};
use crate::tally::{Fate, Tally, at};
use crate::tracer::{Path, Victim, shortest};

/// Both instructions are chosen more coarsely than one: the product counts.
const COARSER: usize = 8;

fn sweep<S: Structure>(scene: &Scene<S>, operation: &Operation<S>, settings: &Settings) -> Tally {
    let mut tally = Tally::default();
    S::warm_up();
    let first_path = shortest(|| {
        let (structure, ledger) = (S::create(scene.capacity), Ledger::new());
        let (_held, mut victim) = prepare(scene, operation, &structure, &ledger)?;
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
            die_twice(scene, operation, (&first_path, n), (&path, m), fate, &mut tally);
        }
    }
    tally
}

/// A participant that is about to sweep.
fn sweeper<S: Structure>(structure: &S, ledger: &Ledger) -> Victim {
    let sweep = structure::operation::<S>("sweep");
    Victim::start(|| structure.join(), || (sweep.life)(structure, ledger))
}

fn record_sweeper<S: Structure>(
    scene: &Scene<S>,
    operation: &Operation<S>,
    first_path: &Path,
    n: usize,
) -> Path {
    let record = || {
        let (structure, ledger, sweepers) = (S::create(scene.capacity), Ledger::new(), Ledger::new());
        let mut sweeper = sweeper(&structure, &sweepers);
        let (_held, mut first) = prepare(scene, operation, &structure, &ledger)?;
        first.run_to(first_path, n);
        first.kill();
        assert!(sweeper.begins(), "it has something to do");
        Some(sweeper.record(|_, _| {}))
    };
    shortest(record).expect("it began before")
}

/// Each of the two dies before the instruction of that number on its way.
fn die_twice<S: Structure>(
    scene: &Scene<S>,
    operation: &Operation<S>,
    (first_path, n): (&Path, usize),
    (path, m): (&Path, usize),
    fate: Fate,
    tally: &mut Tally,
) {
    let (structure, ledger, sweepers) = (S::create(scene.capacity), Ledger::new(), Ledger::new());
    let may = operation.may;
    let mut sweeper = sweeper(&structure, &sweepers);
    let (mut held, mut first) = prepare(scene, operation, &structure, &ledger).expect("it began before");
    first.run_to(first_path, n);
    first.kill();
    assert!(sweeper.begins(), "it has something to do");
    let reached = sweeper.run_to(path, m);
    let account = if fate == Fate::Killed {
        sweeper.kill();
        structure.glance(&mut held, scene, may)
    } else {
        let account = structure.go_on(&mut held, scene, may);
        structure.sweep();
        sweeper.run_to_end();
        sweeper.let_exit();
        account
    };
    tally.count(fate, reached);
    structure.assert_nothing_is_lost(scene, held, account, may, &ledger);
}

/// A sweeper of each of these: what the first victim does, and on which scene.
pub fn cases<S: Structure>(first: &[(&'static str, &'static str)]) -> Vec<Case> {
    let case = |&(operation, scene): &(&'static str, &'static str)| {
        let (operation, scene) = (structure::operation::<S>(operation), structure::scene::<S>(scene));
        Case {
            group: S::GROUPS.sweepers,
            operation: format!("{}sweep after {}", S::PREFIX, operation.name),
            circumstance: scene.name.to_owned(),
            run: Box::new(move |settings| sweep(scene, operation, settings)),
        }
    };
    first.iter().map(case).collect()
}

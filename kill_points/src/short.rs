//! The short operations: a stop before every instruction of each, on each scene.

use crate::ledger::Ledger;
use crate::pool::{Case, Settings};
use crate::structure::{Operation, Scene, Structure, prepare};
use crate::tally::{Fate, Tally, at};
use crate::tracer::{Path, Reached, shortest};

/// Of an operation with more instructions than this, so many are kill points, evenly spread.
const LONG: usize = 2500;

/// All stops of one operation on one scene.
fn sweep<S: Structure>(scene: &Scene<S>, operation: &Operation<S>, settings: &Settings) -> Tally {
    let mut tally = Tally::default();
    S::warm_up();
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

fn record<S: Structure>(scene: &Scene<S>, operation: &Operation<S>) -> Option<Path> {
    let (structure, ledger) = (S::create(scene.capacity), Ledger::new());
    let (_held, mut victim) = prepare(scene, operation, &structure, &ledger)?;
    Some(victim.record(|_, _| {}))
}

fn stop_at<S: Structure>(
    scene: &Scene<S>,
    operation: &Operation<S>,
    fate: Fate,
    path: &Path,
    n: usize,
) -> Reached {
    let (structure, ledger) = (S::create(scene.capacity), Ledger::new());
    let may = operation.may;
    let (mut held, mut victim) = prepare(scene, operation, &structure, &ledger).expect("it began before");
    let reached = victim.run_to(path, n);
    if n == path.len() {
        assert!(ledger.is_done(), "an operation that is over says so");
    }
    let account = match fate {
        Fate::Killed => {
            victim.kill();
            // Every other time the sweep comes first: whoever looks may help, and hide that the sweep does not.
            if n.is_multiple_of(2) { structure.glance(&mut held, scene, may) } else { S::Account::default() }
        }
        Fate::StoppedThenKilled => {
            let account = structure.go_on(&mut held, scene, may);
            victim.kill();
            account
        }
        Fate::StoppedThenGoesOn => {
            let account = structure.go_on(&mut held, scene, may);
            victim.run_to_end();
            structure.assert_it_went_on();
            victim.let_exit();
            account
        }
    };
    structure.assert_nothing_is_lost(scene, held, account, may, &ledger);
    reached
}

/// Every operation on every scene.
pub fn cases<S: Structure>() -> Vec<Case> {
    let pairs =
        S::OPERATIONS.iter().flat_map(|operation| S::SCENES.iter().map(move |scene| (operation, scene)));
    pairs
        .map(|(operation, scene)| Case {
            group: S::GROUPS.short,
            operation: format!("{}{}", S::PREFIX, operation.name),
            circumstance: scene.name.to_owned(),
            run: Box::new(move |settings| sweep(scene, operation, settings)),
        })
        .collect()
}

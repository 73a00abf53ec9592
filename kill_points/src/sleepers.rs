//! Deaths beside a sleeper: who waits for what the victim was about to do goes on in any case.
//!
//! The sleeper's call has gone to sleep before the victim begins. After the victim's death it must come back: by itself where
//! the death alone brings what it waits for, else when the survivor does its part.

use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::children::{PAUSE, fork_child, is_asleep, until};
use crate::ledger::Ledger;
use crate::pool::{Case, Settings};
use crate::structure::{self, Operation, Scene, Structure};
use crate::tally::{Fate, Tally, at};
use crate::tracer::{Path, Victim, shortest};

/// For a sleeper that comes to sleep only if it does so in good time.
const MAX_TRIES: usize = 20;

/// A sleeper, and what it waits for.
pub struct Sleeper<S> {
    pub name: &'static str,
    pub life: fn(&S, &Ledger),
}

/// An operation beside a sleeper.
pub struct Night<S: Structure> {
    pub scene: Scene<S>,
    pub sleeper: Sleeper<S>,
    /// By its name.
    pub operation: &'static str,
    /// What the survivor does after the death, so that the sleeper has what it waits for. It is told whether the victim is only stopped.
    pub nudge: fn(&S, bool) -> S::Account,
    /// Whether the same holds beside a victim that is stopped.
    pub also_stopped: bool,
}

/// A victim at its beginning, and a sleeper that sleeps.
struct Prepared<'s, S: Structure> {
    held: S::Held<'s>,
    ledger: Ledger,
    victim: Victim,
    sleeper: Pid,
    sleepers: Ledger,
}

/// Does something with what is prepared; anew if the sleeper was late to bed.
fn prepared<S: Structure, R>(
    night: &Night<S>,
    operation: &Operation<S>,
    then: impl Fn(&S, Prepared<'_, S>) -> R,
) -> R {
    let once = |_| {
        let structure = S::create(night.scene.capacity);
        try_to_prepare(&structure, night, operation).map(|prepared| then(&structure, prepared))
    };
    (0..MAX_TRIES).find_map(once).expect("it sleeps once")
}

/// `None` if the sleeper found the dead one itself.
fn try_to_prepare<'s, S: Structure>(
    structure: &'s S,
    night: &Night<S>,
    operation: &Operation<S>,
) -> Option<Prepared<'s, S>> {
    let (ledger, sleepers) = (Ledger::new(), Ledger::new());
    let mut victim = Victim::start(|| structure.join(), || (operation.life)(structure, &ledger));
    // It registers before anybody dies, and sleeps after the victim has what it begins with.
    let go = Ledger::new();
    let sleeper = fork_child(|| {
        structure.join();
        go.put(1);
        while !go.is_done() {
            thread::sleep(PAUSE);
        }
        go.took(1);
        (night.sleeper.life)(structure, &sleepers);
    });
    until("the sleeper is registered", || go.has_put());
    let held = (night.scene.prepare)(structure);
    assert!(victim.begins(), "there is something for it to do");
    go.done();
    // Not in that sleep.
    until("the sleeper begins", || go.count_taken() > 0);
    until("the sleeper sleeps", || sleepers.is_done() || is_asleep(sleeper));
    if sleepers.is_done() {
        waitpid(sleeper, None).expect("a child");
        return None;
    }
    Some(Prepared { held, ledger, victim, sleeper, sleepers })
}

/// All kill points of one operation beside one sleeper.
fn sweep<S: Structure>(night: &Night<S>, settings: &Settings) -> Tally {
    let operation = structure::operation::<S>(night.operation);
    let mut tally = Tally::default();
    S::warm_up();
    let path = shortest(|| {
        prepared(night, operation, |_, Prepared { mut victim, sleeper, .. }| {
            let path = victim.record(|_, _| {});
            victim.kill();
            kill(sleeper, Signal::SIGKILL).expect("there");
            waitpid(sleeper, None).expect("a child");
            Some(path)
        })
    })
    .expect("it begins");
    tally.instructions = path.len();
    let mut fates = vec![(Fate::Killed, settings.stride)];
    if night.also_stopped {
        fates.push((Fate::StoppedThenKilled, settings.coarse_stride));
    }
    for (fate, stride) in fates {
        for n in (0..=path.len()).step_by(stride) {
            let Night { scene, sleeper, .. } = night;
            let _place = at(format!(
                "{} on {:?} while {}, {fate:?} before instruction {n}",
                operation.name, scene.name, sleeper.name
            ));
            die_beside(night, operation, fate, &path, n, &mut tally);
        }
    }
    tally
}

fn die_beside<S: Structure>(
    night: &Night<S>,
    operation: &Operation<S>,
    fate: Fate,
    path: &Path,
    n: usize,
    tally: &mut Tally,
) {
    let (reached, waited) = prepared(night, operation, |structure, prepared| {
        let Prepared { held, ledger, mut victim, sleeper, sleepers } = prepared;
        let reached = victim.run_to(path, n);
        let stopped = match fate {
            Fate::Killed => {
                victim.kill();
                None
            }
            Fate::StoppedThenKilled | Fate::StoppedThenGoesOn => Some(victim),
        };
        let since = Instant::now();
        let mut account = (night.nudge)(structure, stopped.is_some());
        let has_ended = || match waitpid(sleeper, Some(WaitPidFlag::WNOHANG)).expect("a child") {
            WaitStatus::StillAlive => false,
            WaitStatus::Exited(_, 0) => true,
            other => panic!("the sleeper was {other:?}"),
        };
        until("the sleeper goes on", has_ended);
        let waited = since.elapsed();
        drop(stopped);
        let (put, taken) = sleepers.outcome().expect("it said that it is done");
        S::slept(&mut account, &put, taken);
        structure.assert_nothing_is_lost(&night.scene, held, account, operation.may, &ledger);
        (reached, waited)
    });
    tally.longest_wait = tally.longest_wait.max(waited);
    tally.count(fate, reached);
}

/// A case of each night.
pub fn cases<S: Structure>(nights: Vec<Night<S>>) -> Vec<Case> {
    let case = |night: Night<S>| Case {
        group: S::GROUPS.beside_a_sleeper,
        operation: format!("{}{}, {}", S::PREFIX, night.operation, night.sleeper.name),
        circumstance: night.scene.name.to_owned(),
        run: Box::new(move |settings| sweep(&night, settings)),
    };
    nights.into_iter().map(case).collect()
}

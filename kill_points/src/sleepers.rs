//! Deaths beside a sleeper: who waits for what the victim was about to do goes on in any case.
//!
//! The sleeper's call has gone to sleep before the victim begins. After the victim's death it must come back: by itself where
//! the death alone brings what it waits for, else when the survivor does its part.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use treequeues::{BatchSize, Queue, Wait};

use crate::children::{die, fork_child};
use crate::items::{CAPACITY, LATER, Ledger, fill, put, take, value_in, value_of};
use crate::operations::{self, Operation};
use crate::pool::{Case, Settings};
use crate::scenes::{Scene, borrowed, put_all};
use crate::short::{Fate, shortest, warm_up};
use crate::tally::{Tally, at};
use crate::tracer::{Path, Victim};
use crate::verdict::{Account, assert_nothing_is_lost};

/// What the sleeper puts.
const SLEEPERS: u64 = 3000;
/// Far above the bound of a sleep: over it, the sleeper hangs.
const WATCHDOG: Duration = Duration::from_secs(20);
/// For a sleeper that comes to sleep only if it does so in good time.
const MAX_TRIES: usize = 20;
const PAUSE: Duration = Duration::from_micros(100);

/// A sleeper, and what it waits for.
struct Sleeper {
    name: &'static str,
    life: fn(&Queue, &Ledger),
}

const CONSUMER: Sleeper = Sleeper {
    name: "a consumer sleeps",
    life: |queue, ledger| {
        let loan = queue.borrow_with(Wait::at_most(WATCHDOG * 2)).expect("an item");
        ledger.took(value_of(&loan));
        loan.release().expect("sound");
        ledger.done();
    },
};

const PRODUCER: Sleeper = Sleeper {
    name: "a producer sleeps",
    life: |queue, ledger| {
        let mut loan = queue.reserve_with(Wait::at_most(WATCHDOG * 2)).expect("a slot");
        fill(&mut loan, SLEEPERS);
        loan.commit().expect("sound");
        ledger.put(1);
        ledger.done();
    },
};

const CONSUMER_OF_TWO: Sleeper = Sleeper {
    name: "a consumer of two sleeps",
    life: |queue, ledger| {
        let wait = Wait::at_most(WATCHDOG * 2);
        let batch = queue.borrow_batch_with(BatchSize::exactly(2), wait).expect("two items");
        for item in 0..2 {
            ledger.took(value_in(&batch, item));
        }
        batch.release().expect("sound");
        ledger.done();
    },
};

/// What the survivor does after the death, so that the sleeper has what it waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nudge {
    /// The death alone is enough.
    Nothing,
    Put,
    Take,
}

struct Night {
    scene: Scene,
    sleeper: Sleeper,
    /// By its name.
    operation: &'static str,
    nudge: Nudge,
}

fn nights() -> Vec<Night> {
    let empty = || Scene { name: "empty", capacity: CAPACITY, items: &[], prepare: |_| vec![] };
    let full = || Scene {
        name: "full",
        capacity: CAPACITY,
        items: &[1, 2, 3],
        prepare: |queue| {
            put_all(queue, &[1, 2, 3]);
            vec![]
        },
    };
    let one_item = || Scene {
        name: "one item",
        capacity: CAPACITY,
        items: &[1],
        prepare: |queue| {
            put_all(queue, &[1]);
            vec![]
        },
    };
    let two_items = || Scene {
        name: "two items",
        capacity: CAPACITY,
        items: &[1, 2],
        prepare: |queue| {
            put_all(queue, &[1, 2]);
            vec![]
        },
    };
    let dead_reader = || Scene {
        name: "a dead one has the only item",
        capacity: CAPACITY,
        items: &[1],
        prepare: |queue| {
            put_all(queue, &[1]);
            die(|| {
                let held = borrowed(queue);
                // It looks for the dead, so that nobody else does so for a while.
                assert_eq!(take(queue), None);
                held
            });
            vec![]
        },
    };
    let night = |scene, sleeper, operation, nudge| Night { scene, sleeper, operation, nudge };
    vec![
        night(empty(), CONSUMER, "commit", Nudge::Put),
        night(empty(), CONSUMER, "put, whole", Nudge::Put),
        night(empty(), CONSUMER, "commit a batch", Nudge::Put),
        night(empty(), CONSUMER_OF_TWO, "commit a batch", Nudge::Put),
        night(one_item(), CONSUMER, "give back", Nudge::Nothing),
        night(one_item(), CONSUMER, "release", Nudge::Put),
        night(two_items(), CONSUMER, "give back a batch", Nudge::Nothing),
        night(two_items(), CONSUMER_OF_TWO, "give back a batch", Nudge::Nothing),
        night(dead_reader(), CONSUMER, "sweep", Nudge::Nothing),
        night(full(), PRODUCER, "release", Nudge::Take),
        night(full(), PRODUCER, "get, whole", Nudge::Take),
        night(full(), PRODUCER, "release a batch", Nudge::Take),
        night(full(), PRODUCER, "linger, read", Nudge::Take),
        night(full(), PRODUCER, "let go", Nudge::Nothing),
        night(two_items(), PRODUCER, "abort", Nudge::Nothing),
        night(one_item(), PRODUCER, "abort a batch", Nudge::Nothing),
        night(two_items(), PRODUCER, "linger, written", Nudge::Nothing),
    ]
}

/// A victim at its beginning, and a sleeper that sleeps.
struct Prepared {
    queue: Queue,
    ledger: Ledger,
    victim: Victim,
    sleeper: Pid,
    sleepers: Ledger,
}

fn prepare(night: &Night, operation: &'static Operation) -> Prepared {
    (0..MAX_TRIES).find_map(|_| try_to_prepare(night, operation)).expect("it sleeps once")
}

/// `None` if the sleeper was late to bed, and found the dead one itself.
fn try_to_prepare(night: &Night, operation: &'static Operation) -> Option<Prepared> {
    let (queue, ledger, sleepers) = (night.scene.queue(), Ledger::new(), Ledger::new());
    let mut victim = Victim::start(
        || {
            queue.snapshot().expect("sound");
        },
        || (operation.life)(&queue, &ledger),
    );
    // It registers before anybody dies, and sleeps after the victim has what it begins with.
    let go = Ledger::new();
    let sleeper = fork_child(|| {
        queue.snapshot().expect("sound");
        go.put(1);
        while !go.is_done() {
            thread::sleep(PAUSE);
        }
        (night.sleeper.life)(&queue, &sleepers);
    });
    until("the sleeper is registered", || go.has_put());
    (night.scene.prepare)(&queue);
    assert!(victim.begins(), "there is something for it to do");
    go.done();
    until("the sleeper sleeps", || sleepers.is_done() || is_asleep(sleeper));
    if sleepers.is_done() {
        waitpid(sleeper, None).expect("a child");
        return None;
    }
    Some(Prepared { queue, ledger, victim, sleeper, sleepers })
}

/// All kill points of one operation beside one sleeper.
fn sweep(night: &Night, settings: &Settings) -> Tally {
    let operation = operations::named(night.operation);
    let mut tally = Tally::default();
    warm_up();
    let path = shortest(|| {
        let mut prepared = prepare(night, operation);
        let path = prepared.victim.record(|_, _| {});
        prepared.victim.kill();
        kill(prepared.sleeper, Signal::SIGKILL).expect("there");
        waitpid(prepared.sleeper, None).expect("a child");
        Some(path)
    })
    .expect("it begins");
    tally.instructions = path.len();
    let mut fates = vec![(Fate::Killed, settings.stride)];
    // Where the death alone brings something, a stop brings nothing; and with a stopped one's slots missing, there may be no
    // two items for anybody.
    if night.nudge == Nudge::Put && night.sleeper.name != CONSUMER_OF_TWO.name {
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

fn die_beside(
    night: &Night,
    operation: &'static Operation,
    fate: Fate,
    path: &Path,
    n: usize,
    tally: &mut Tally,
) {
    let Prepared { queue, ledger, mut victim, sleeper, sleepers } = prepare(night, operation);
    let reached = victim.run_to(path, n);
    let stopped = match fate {
        Fate::Killed => {
            victim.kill();
            None
        }
        Fate::StoppedThenKilled | Fate::StoppedThenGoesOn => Some(victim),
    };
    let since = Instant::now();
    let mut account = Account::default();
    match night.nudge {
        Nudge::Nothing => {}
        Nudge::Put => {
            // Two, so that there is enough in any case; the second one may have to wait for what the dead one held.
            assert!(put(&queue, LATER), "there is room");
            account.put.push(LATER);
            if stopped.is_none() {
                let mut loan = queue.reserve_with(Wait::at_most(WATCHDOG)).expect("room");
                fill(&mut loan, LATER + 1);
                loan.commit().expect("sound");
                account.put.push(LATER + 1);
            }
        }
        Nudge::Take => account.taken.extend(take(&queue)),
    }
    until("the sleeper goes on", || match waitpid(sleeper, Some(WaitPidFlag::WNOHANG)).expect("a child") {
        WaitStatus::StillAlive => false,
        WaitStatus::Exited(_, 0) => true,
        other => panic!("the sleeper was {other:?}"),
    });
    tally.longest_wait = tally.longest_wait.max(since.elapsed());
    drop(stopped);
    assert!(sleepers.is_done());
    let (put, taken) = sleepers.outcome().expect("it said that it is done");
    account.put.extend(put.iter().map(|_| SLEEPERS));
    account.taken.extend(taken);
    assert_nothing_is_lost(&queue, night.scene.items, vec![], account, operation, &ledger);
    tally.count(fate, reached);
}

pub fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + WATCHDOG;
    while !condition() {
        assert!(Instant::now() < deadline, "within {WATCHDOG:?} it did not happen that {what}");
        thread::sleep(PAUSE);
    }
}

/// Whether a process is in a system call that sleeps.
fn is_asleep(pid: Pid) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).expect("a child");
    let number = call.split_whitespace().next().and_then(|number| number.parse().ok());
    [libc::SYS_futex, libc::SYS_nanosleep, libc::SYS_clock_nanosleep].map(Some).contains(&number)
}

/// Every operation that somebody can wait for.
pub fn cases() -> Vec<Case> {
    let case = |night: Night| Case {
        group: "beside a sleeper",
        operation: format!("{}, {}", night.operation, night.sleeper.name),
        circumstance: night.scene.name.to_owned(),
        run: Box::new(move |settings| sweep(&night, settings)),
    };
    nights().into_iter().map(case).collect()
}

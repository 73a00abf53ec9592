//! The long operations: creating, attaching, registering in a forked child, leaving, a name's coming and going.
//!
//! They take a hundred thousand instructions, of which few matter to others: the stores into the segment and the system
//! calls. The tracer sees both on a recorded way, by looking at the victim's mapping after each step, and the kill points are
//! before and after each of them. So are the stops, at which others come by the name, put, and take.

use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, pause};
use treequeues::{AttachError, Queue, names, names_folder};

use crate::children::{fork, fork_child, until};
use crate::ledger::Ledger;
use crate::pool::Case;
use crate::queues::items::{CAPACITY, PARTICIPANTS, options, queue, schema, take, write};
use crate::queues::scenes::{borrowed, put_all};
use crate::queues::verdict::assert_capacity_is_whole;
use crate::structure::{Structure, finish};
use crate::tally::{Fate, Tally, at};
use crate::tracer::{Path, Reached, Victim, begin};

const NAME: &str = "journey";
/// All of a segment here but its leaves.
const WATCHED_NBYTES: usize = 4096;
/// How often all items go round a stopped victim.
const LAPS: usize = 4;
/// `syscall`, as the first two bytes of a word.
const SYSTEM_CALL: i64 = 0x050f;

/// What a victim does from far away, and what the survivor has to do with it.
struct Journey {
    name: &'static str,
    /// What is there before the victim is forked.
    before: fn() -> Option<Queue>,
    /// What the victim has done when it is stopped for the first time.
    first: fn(Option<&Queue>) -> Option<Queue>,
    /// What the survivor makes after that.
    after: fn(Option<Queue>) -> Option<Queue>,
    /// The way itself, from its `begin` on: it gets the inherited queue, and what `first` made.
    life: fn(Option<&Queue>, Option<Queue>),
    verify: fn(Option<Queue>),
}

/// A victim by itself; what it leaves of a name can be had.
const ALONE: Journey = Journey {
    name: "",
    before: || None,
    first: |_| None,
    after: |queue| queue,
    life: |_, _| {},
    verify: assert_name_can_be_had,
};

/// The survivor's queue has a name and items, and the victim comes to it.
const BESIDE_A_SURVIVOR: Journey = Journey {
    after: |_| Some(with_items(create_named())),
    verify: |queue| assert_only_survivor(queue.as_ref()),
    ..ALONE
};

/// The victim is forked by the survivor, which has a queue with items.
const A_CHILD: Journey = Journey {
    before: || Some(with_items(queue(CAPACITY))),
    verify: |queue| assert_only_survivor(queue.as_ref()),
    ..ALONE
};

/// The victim is the child of a process that holds something, on its first steps.
const FORK: &str = "a child in a fork";

const JOURNEYS: &[Journey] = &[
    Journey {
        name: "create",
        life: |_, _| {
            begin();
            drop(queue(CAPACITY));
        },
        verify: |_| {},
        ..ALONE
    },
    Journey {
        name: "create by a name",
        life: |_, _| {
            begin();
            std::mem::forget(create_named());
        },
        ..ALONE
    },
    Journey {
        name: "create over a stale name",
        before: || {
            let child = fork_child(|| std::mem::forget(create_named()));
            assert_eq!(waitpid(child, None).expect("a child"), WaitStatus::Exited(child, 0));
            None
        },
        life: |_, _| {
            begin();
            std::mem::forget(open());
        },
        ..ALONE
    },
    Journey {
        name: "attach by a name",
        life: |_, _| {
            begin();
            std::mem::forget(attach());
        },
        ..BESIDE_A_SURVIVOR
    },
    Journey {
        name: "register a forked child",
        life: |queue, _| {
            begin();
            queue.expect("inherited").snapshot().expect("sound");
        },
        ..A_CHILD
    },
    Journey {
        name: FORK,
        life: |queue, _| {
            let queue = queue.expect("inherited");
            let _held = borrowed(queue);
            begin();
            if let ForkResult::Parent { .. } = fork() {
                pause();
            }
            queue.snapshot().expect("sound");
        },
        verify: |queue| {
            let queue = queue.as_ref().expect("the survivor's");
            queue.sweep().expect("sound");
            let stats = queue.stats().expect("sound");
            let parent = &stats.participants[1];
            let found = (stats.participants.len(), parent.is_alive, parent.reading);
            assert_eq!(found, (2, true, 1), "the child's death changes nothing for its parent: {stats:?}");
        },
        ..A_CHILD
    },
    Journey {
        name: "close",
        life: |_, _| {
            let queue = attach();
            begin();
            drop(queue);
        },
        ..BESIDE_A_SURVIVOR
    },
    Journey {
        name: "close, holding views",
        life: |_, _| {
            let queue = attach();
            let reading = borrowed(&queue);
            let mut lingering = write(&queue, 9).expect("room").into_hold();
            lingering.linger().expect("sound");
            drop(queue);
            begin();
            drop(lingering);
            drop(reading);
        },
        ..BESIDE_A_SURVIVOR
    },
    Journey {
        name: "close as the last of a name",
        first: |_| Some(create_named()),
        life: |_, own| {
            begin();
            drop(own);
        },
        ..ALONE
    },
    Journey {
        name: "unlink",
        life: |_, _| {
            let queue = attach();
            begin();
            queue.unlink().expect("the lock is free");
            std::mem::forget(queue);
        },
        verify: |queue| {
            assert_only_survivor(queue.as_ref());
            queue.as_ref().expect("the survivor's").unlink().expect("nobody is in the way");
            assert_eq!(names().expect("the folder"), [], "the name is gone");
            assert_name_can_be_had(None);
        },
        ..BESIDE_A_SURVIVOR
    },
];

fn attach() -> Queue {
    Queue::attach(NAME).expect("it is there")
}

fn create_named() -> Queue {
    Queue::create_named(NAME, schema(), CAPACITY as u64, options()).expect("memory")
}

fn open() -> Queue {
    Queue::open(NAME, schema(), CAPACITY as u64, options()).expect("the name can be had")
}

fn with_items(queue: Queue) -> Queue {
    put_all(&queue, &[1, 2]);
    queue
}

/// Items, capacity and places are what they would be without the victim.
fn assert_only_survivor(queue: Option<&Queue>) {
    let queue = queue.expect("the survivor's");
    queue.sweep().expect("sound");
    let stats = queue.stats().expect("sound");
    assert_eq!((stats.participants.len(), stats.held.len()), (1, 0), "{stats:?}");
    let items: Vec<_> = std::iter::from_fn(|| take(queue)).collect();
    assert_eq!(items, [1, 2]);
    assert_capacity_is_whole(queue);
    // All places but the survivor's can be taken at once.
    let (here, go) = (Ledger::new(), Ledger::new());
    let guests: Vec<Pid> = (1..PARTICIPANTS)
        .map(|_| {
            fork_child(|| {
                queue.snapshot().expect("a place");
                here.took(1);
                while !go.is_done() {
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    let all_here = || here.count_taken() == guests.len();
    until("all places are taken", || all_here() || guests.iter().any(|guest| has_ended(*guest)));
    go.done();
    for guest in guests {
        assert_eq!(waitpid(guest, None).expect("a child"), WaitStatus::Exited(guest, 0), "a place was lost");
    }
}

fn has_ended(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a child");
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

/// A newcomer has the name, whole, and with it goes all that was left.
fn assert_name_can_be_had(_: Option<Queue>) {
    let queue = open();
    queue.sweep().expect("sound");
    assert_eq!(queue.stats().expect("sound").participants.len(), 1, "the dead are gone from the table");
    assert_capacity_is_whole(&queue);
    drop(queue);
    let left: Vec<_> = fs::read_dir(names_folder()).expect("made by open").collect();
    assert!(left.is_empty(), "{left:?} were left behind");
}

/// What the victim has mapped of a segment, as the tracer last saw it.
struct Watched {
    pid: Pid,
    address: Option<u64>,
    bytes: Vec<u8>,
}

impl Watched {
    fn new(pid: Pid) -> Self {
        let mut watched = Self { pid, address: None, bytes: Vec::new() };
        watched.find();
        watched.has_changed();
        watched
    }

    /// Looks where the mapping is now.
    fn find(&mut self) {
        let folder = names_folder();
        let of_segments = [PathBuf::from("/memfd:treequeues"), folder];
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid)).expect("a child");
        self.address = maps
            .lines()
            .filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.ends_with('s')))
            .find_map(|line| {
                let is_segment = of_segments.iter().any(|path| line.contains(&*path.to_string_lossy()));
                let (start, _) = line.split_once('-').filter(|_| is_segment)?;
                u64::from_str_radix(start, 16).ok()
            });
    }

    fn has_changed(&mut self) -> bool {
        let Some(address) = self.address else { return false };
        let memory = File::open(format!("/proc/{}/mem", self.pid)).expect("traced");
        let mut now = vec![0; WATCHED_NBYTES];
        if memory.read_exact_at(&mut now, address).is_err() {
            // Unmapped since.
            return false;
        }
        let has_changed = now != self.bytes;
        self.bytes = now;
        has_changed
    }
}

/// The way of a journey, and where to stop on it: before and after each instruction that matters to others.
fn record(journey: &Journey) -> (Path, Vec<usize>) {
    let ledger = Ledger::new();
    let (_survivor, mut victim) = prepare(journey, &ledger);
    let mut child = (journey.name == FORK).then(|| victim.follow_fork());
    let victim = child.as_mut().unwrap_or(&mut victim);
    let watched = RefCell::new(Watched::new(victim.pid()));
    let mut stops = vec![0];
    let mut was_system_call = false;
    let mut n = 0;
    let path = victim.record(|victim, address| {
        let mut watched = watched.borrow_mut();
        if was_system_call {
            watched.find();
        }
        if watched.has_changed() || was_system_call {
            stops.extend([n - 1, n]);
        }
        was_system_call = victim.peek(address) & 0xffff == SYSTEM_CALL;
        n += 1;
    });
    stops.push(path.len());
    stops.dedup();
    (path, stops)
}

/// A victim that is about to go, and what the survivor has.
fn prepare(journey: &Journey, ledger: &Ledger) -> (Option<Queue>, Victim) {
    // What the victim before left of its name is not this one's.
    for name in names().expect("the folder") {
        treequeues::remove_name(&name, true).expect("stale");
    }
    let before = (journey.before)();
    let made = RefCell::new(None);
    let mut victim = Victim::start(
        || {
            made.replace((journey.first)(before.as_ref()));
        },
        || {
            (journey.life)(before.as_ref(), made.take());
            finish(ledger);
        },
    );
    let survivors = (journey.after)(before.clone());
    assert!(victim.begins(), "there is something for it to do");
    (survivors, victim)
}

fn sweep(journey: &Journey, stride: usize) -> Tally {
    let mut tally = Tally::default();
    Queue::warm_up();
    let (path, stops) = record(journey);
    tally.instructions = path.len();
    for fate in [Fate::Killed, Fate::StoppedThenKilled, Fate::StoppedThenGoesOn] {
        for &n in stops.iter().step_by(stride) {
            let _place = at(format!("{}, {fate:?} before instruction {n} of {}", journey.name, path.len()));
            tally.count(fate, stop_at(journey, fate, &path, n));
        }
    }
    tally
}

fn stop_at(journey: &Journey, fate: Fate, path: &Path, n: usize) -> Reached {
    let ledger = Ledger::new();
    let (survivor, mut victim) = prepare(journey, &ledger);
    let stop = |mut victim: Victim| {
        let reached = victim.run_to(path, n);
        if fate != Fate::Killed {
            others_go_on(survivor.as_ref());
        }
        if fate == Fate::StoppedThenGoesOn {
            victim.run_to_end();
            victim.let_exit();
        } else {
            victim.kill();
        }
        (journey.verify)(survivor.clone());
        reached
    };
    if journey.name != FORK {
        return stop(victim);
    }
    let reached = stop(victim.follow_fork());
    victim.kill();
    assert_only_survivor(survivor.as_ref());
    reached
}

/// Somebody comes by the name, if that can be had now, and goes; the survivor takes all items and puts them again.
fn others_go_on(survivor: Option<&Queue>) {
    let guest = fork_child(|| match Queue::attach(NAME) {
        Ok(queue) => drop(queue),
        Err(AttachError::NotFound { .. } | AttachError::Stale { .. } | AttachError::ChangingHands { .. }) => {
        }
        Err(error) => panic!("a guest found {error}"),
    });
    assert_eq!(waitpid(guest, None).expect("a child"), WaitStatus::Exited(guest, 0), "a guest is in trouble");
    let Some(queue) = survivor else { return };
    for _ in 0..LAPS {
        let items: Vec<_> = std::iter::from_fn(|| take(queue)).collect();
        assert!(!items.is_empty(), "an item is there, and cannot be had");
        put_all(queue, &items);
    }
}

/// Each journey.
pub fn cases() -> Vec<Case> {
    let case = |journey: &'static Journey| Case {
        group: "long operations",
        operation: journey.name.to_owned(),
        circumstance: "before and after each store and system call".to_owned(),
        run: Box::new(move |settings| sweep(journey, settings.stride)),
    };
    JOURNEYS.iter().map(case).collect()
}

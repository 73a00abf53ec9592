//! Whole queues on damaged memory, in a process of their own, so that a crash is seen and a hang ends.
//!
//! A case is a number: what it does follows from that alone. The child says each before it begins, so the last one that it said
//! is the one that it died of; `TREEQUEUES_HOSTILE_SEED=N cargo test hostile::queues` plays that one alone.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::mem::offset_of;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::super::bytes::schema;
use super::{assert_refused_well, assert_says_where, factor};
use crate::error::{AttachError, BorrowError, CreateError, OpenError, ReserveError};
use crate::format::{Control, Entry, ShutdownLine, Slot};
use crate::presence::names::{name_state, names_folder, remove_name};
use crate::{BatchSize, CreateOptions, Hold, Observer, Queue, QueueName, Wait};

/// Cases of an ordinary run.
const CASES: u64 = 120;
/// Far longer than any case takes, with its hundred waits of a millisecond.
const WATCHDOG: Duration = Duration::from_secs(120);
/// Tells the child which cases it is to play.
const PLAY: &str = "TREEQUEUES_HOSTILE_PLAY";
const ONE_SEED: &str = "TREEQUEUES_HOSTILE_SEED";
/// What the child says when it is through.
const THROUGH: &str = "through";

/// Numbers without end from one: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A segment's file, and where what can be damaged is.
struct Victim {
    file: File,
    control: usize,
    entries: Range<usize>,
    slots: Range<usize>,
    nbytes: usize,
}

impl Victim {
    fn of(queue: &Queue) -> Self {
        let segment = queue.attachment().segment();
        let layout = segment.layout();
        let entries = layout.front.entries_offset;
        Self {
            file: File::from(segment.fd().expect("a file").try_clone_to_owned().expect("a descriptor")),
            control: layout.front.control_offset,
            entries: entries..entries + layout.participants as usize * size_of::<Entry>(),
            slots: layout.front.slots_offset..layout.front.words_offset,
            nbytes: layout.total_nbytes,
        }
    }

    /// Overwrites one number, mostly where the protocol's are.
    fn damage(&self, random: &mut Random) {
        let slot = self.slots.start + random.below(self.slots.len() / size_of::<Slot>()) * size_of::<Slot>();
        let flag_at = self.control + offset_of!(Control, shutdown) + offset_of!(ShutdownLine, flag);
        let place = match random.below(12) {
            0..=3 => slot + offset_of!(Slot, state),
            4 => slot + random.below(size_of::<Slot>() / 8) * 8,
            5 => self.control + offset_of!(Control, head),
            6 => self.control + offset_of!(Control, tail),
            7 => self.control + offset_of!(Control, returned),
            8 => self.control + random.below(size_of::<Control>() / 8) * 8,
            9 => flag_at,
            10 => self.entries.start + random.below(self.entries.len() / 8) * 8,
            _ => random.below(self.nbytes / 8) * 8,
        };
        let number = match random.below(6) {
            0 => random.next(),
            1 => random.next() % 16,
            2 => u64::MAX - random.next() % 4,
            3 => 1 << random.below(64),
            // A word of the first laps, held by one of the first participants.
            _ => ((random.next() % 4) << 24) | ((random.next() % 4) << 3) | (random.next() % 8),
        };
        if place == flag_at {
            // Half of the flags that mean something would end most cases at once.
            let flag = (number as u32) & if random.below(4) == 0 { u32::MAX } else { !3 };
            self.file.write_all_at(&flag.to_le_bytes(), place as u64).expect("in memory");
        } else {
            self.file.write_all_at(&number.to_le_bytes(), place as u64).expect("in memory");
        }
    }
}

fn briefly() -> Wait<'static> {
    Wait::at_most(Duration::from_millis(1))
}

fn told(error: &ReserveError) {
    match error {
        ReserveError::Corrupted(error) => assert_says_where(error),
        ReserveError::Attach(error) => assert_refused_well(error),
        ReserveError::Full | ReserveError::ShutDown(_) => {}
        ReserveError::Kept => panic!("nobody has views"),
        ReserveError::Interrupted => panic!("nobody interrupts"),
    }
}

fn told_by_borrow(error: &BorrowError) {
    match error {
        BorrowError::Corrupted(error) => assert_says_where(error),
        BorrowError::Attach(error) => assert_refused_well(error),
        BorrowError::Empty | BorrowError::ShutDown(_) => {}
        BorrowError::Interrupted => panic!("nobody interrupts"),
        BorrowError::OnDrop(_) => panic!("nobody handles dropped items"),
    }
}

fn told_by_attach(error: &AttachError) {
    match error {
        AttachError::NotFound { .. } | AttachError::Stale { .. } => {}
        other => assert_refused_well(other),
    }
}

/// One call of the queue's, whatever comes of it: an error that says where, or what the call should give.
fn call(queue: &Queue, holds: &mut Vec<Hold>, random: &mut Random) {
    let size = match (1 + random.below(queue.capacity()), random.below(3)) {
        (max, 0) => BatchSize::between(1, max),
        (max, 1) => BatchSize::exactly(max),
        (max, _) => BatchSize::between(1, max).side_by_side(),
    };
    match random.below(16) {
        0 | 1 => match queue.reserve_with(briefly()) {
            Ok(mut loan) => {
                loan.leaf_bytes_mut(0)[0] = 1;
                let _ = loan.commit().inspect_err(assert_says_where);
            }
            Err(error) => told(&error),
        },
        2 | 3 => match queue.borrow_with(briefly()) {
            Ok(loan) => {
                let (_, _) = (loan.leaf_bytes(0)[0], loan.info());
                let ended = if random.below(3) == 0 { loan.give_back() } else { loan.release() };
                let _ = ended.inspect_err(assert_says_where);
            }
            Err(error) => told_by_borrow(&error),
        },
        4 => match queue.try_reserve() {
            Ok(loan) if random.below(2) == 0 => holds.push(loan.into_hold()),
            Ok(loan) => drop(loan),
            Err(error) => told(&error),
        },
        5 => match queue.try_borrow() {
            Ok(loan) if random.below(2) == 0 => holds.push(loan.into_hold()),
            Ok(loan) => drop(loan),
            Err(error) => told_by_borrow(&error),
        },
        6 | 7 => match queue.reserve_batch_with(size, briefly()) {
            Ok(mut batch) => {
                batch.for_each_run(0, |_, rows| rows.fill(2));
                let _ = batch.commit().inspect_err(assert_says_where);
            }
            Err(error) => told(&error),
        },
        8 | 9 => match queue.borrow_batch_with(size, briefly()) {
            Ok(batch) => {
                assert!((size.min().min(1)..=size.max()).contains(&batch.len()));
                let (_, _) = (batch.runs(0).count(), batch.infos().count());
                let ended = if random.below(3) == 0 { batch.give_back() } else { batch.release() };
                let _ = ended.inspect_err(assert_says_where);
            }
            Err(error) => told_by_borrow(&error),
        },
        10 => {
            let tried = queue.try_borrow_batch(size).map(|batch| holds.push(batch.into_hold()));
            let _ = tried.inspect_err(told_by_borrow);
            let tried = queue.try_reserve_batch(size).map(drop);
            let _ = tried.inspect_err(told);
        }
        11 => {
            if let Some(mut hold) = holds.pop() {
                let _ = (hold.first_row(0), hold.is_side_by_side(), hold.infos().count());
                let _ = hold.linger().inspect_err(assert_says_where);
            }
        }
        12 => {
            let _ = queue.stats().inspect_err(told_by_attach);
            let _ = queue.snapshot().inspect_err(told_by_attach);
            let _ = queue.may_borrow();
        }
        13 => {
            let _ = queue.sweep().inspect_err(told_by_attach);
        }
        14 => match queue.join() {
            // Another participant, that leaves, or dies.
            Ok(other) => {
                let loan = other.try_borrow().map(|loan| loan.into_hold());
                if random.below(2) == 0 {
                    other.clone().die();
                    std::mem::forget((other, loan));
                }
            }
            Err(error) => told_by_attach(&error),
        },
        _ if random.below(8) == 0 => queue.shutdown(random.below(2) == 0).expect("only a flag"),
        _ => holds.clear(),
    }
}

/// What can be done by a name alone.
fn call_by_name(name: &QueueName, random: &mut Random) {
    match random.below(6) {
        0 => {
            let looked = Observer::open(name).and_then(|observer| {
                let _ = (observer.created_at(), observer.state()?);
                observer.look()
            });
            let _ = looked.inspect_err(told_by_attach);
        }
        1 => {
            let _ = Observer::open(name).and_then(|observer| observer.peek()).inspect_err(told_by_attach);
        }
        2 => {
            let _ = name_state(name).expect("the folder can be read");
        }
        3 => {
            let _ = Queue::attach(name.as_str()).inspect_err(told_by_attach);
        }
        4 => match Queue::open(name.as_str(), schema(), 2, CreateOptions::default()) {
            Ok(_) | Err(OpenError::Misfit { .. }) => {}
            Err(OpenError::Attach(error) | OpenError::Create(CreateError::Attach(error))) => {
                told_by_attach(&error);
            }
            Err(OpenError::Create(CreateError::Exists { .. })) => {}
            Err(error) => panic!("{error}"),
        },
        _ => {
            let _ = remove_name(name, false).inspect_err(told_by_attach);
        }
    }
}

fn play(seed: u64) {
    let mut random = Random(seed);
    let random = &mut random;
    let capacity = [1, 2, 3, 5, 70][random.below(5)];
    let options = CreateOptions { participants: 4, ..CreateOptions::default() };
    let name: Option<QueueName> = (random.below(3) == 0)
        .then(|| format!("hostile-{}-{seed}", std::process::id()).parse().expect("plain"));
    let queue = match &name {
        Some(name) => Queue::create_named(name.as_str(), schema(), capacity, options),
        None => Queue::create_with(schema(), capacity, options),
    };
    let queue = queue.expect("small");
    let victim = Victim::of(&queue);
    let mut holds = Vec::new();
    for _ in 0..random.below(20) {
        call(&queue, &mut holds, random);
    }
    for _ in 0..1 + random.below(12) {
        for _ in 0..1 + random.below(3) {
            victim.damage(random);
        }
        for _ in 0..random.below(6) {
            match &name {
                Some(name) if random.below(4) == 0 => call_by_name(name, random),
                _ => call(&queue, &mut holds, random),
            }
        }
    }
    // In either order: a hold outlives its queue.
    if random.below(2) == 0 {
        drop(queue);
        drop(holds);
    }
    if let Some(name) = name {
        let _ = std::fs::remove_file(names_folder().join(name.as_str()));
    }
}

/// Not a test of its own: the process that plays.
#[test]
fn child() {
    let Ok(seeds) = std::env::var(PLAY) else { return };
    let (first, after) = seeds.split_once('-').expect("two numbers");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    for seed in number(first)..number(after) {
        eprintln!("seed {seed}");
        play(seed);
    }
    eprintln!("{THROUGH}");
}

#[test]
fn queues_on_damaged_memory_say_where_or_work_and_never_crash_or_hang() {
    let seeds = match std::env::var(ONE_SEED) {
        Ok(seed) => seed.parse::<u64>().map(|seed| seed..seed + 1).expect("a number"),
        // The first ones are always the same; a long run goes on where an ordinary one ends.
        Err(_) => 0..CASES * u64::from(factor()),
    };
    let module = module_path!().split_once("::").expect("in a crate").1;
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("{module}::child"), "--nocapture"])
        .env(PLAY, format!("{}-{}", seeds.start, seeds.end))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program starts");
    let said = BufReader::new(child.stderr.take().expect("a pipe"));
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let (mut seed, mut cause) = (String::from("none"), Vec::new());
    let hung = loop {
        match lines.recv_timeout(WATCHDOG) {
            Ok(line) if line.starts_with("seed ") || line == THROUGH => seed = line,
            Ok(line) => cause.push(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => break false,
            Err(mpsc::RecvTimeoutError::Timeout) => break true,
        }
    };
    if hung {
        child.kill().expect("still there");
    }
    let status = child.wait().expect("a child");
    let replay = format!("{ONE_SEED}={} cargo test hostile::queues", seed.trim_start_matches("seed "));
    assert!(!hung, "{seed} hangs; replay: {replay}");
    assert!(
        status.success() && seed == THROUGH,
        "{seed} ended with {status}; replay: {replay}\n{}",
        cause.join("\n")
    );
}

#[test]
fn a_shutdown_flag_without_meaning_is_named_by_every_call_that_looks_at_it() {
    let queue = Queue::create(schema(), 2).expect("small");
    let victim = Victim::of(&queue);
    let flag = victim.control + offset_of!(Control, shutdown) + offset_of!(ShutdownLine, flag);
    victim.file.write_all_at(&2_u32.to_le_bytes(), flag as u64).expect("in memory");
    let batch = BatchSize::exactly(2);
    let said = [
        queue.try_reserve().expect_err("no flag").to_string(),
        queue.reserve_with(briefly()).expect_err("no flag").to_string(),
        queue.try_borrow().expect_err("no flag").to_string(),
        queue.borrow_with(briefly()).expect_err("no flag").to_string(),
        queue.reserve_batch_with(batch, briefly()).expect_err("no flag").to_string(),
        queue.borrow_batch_with(batch, briefly()).expect_err("no flag").to_string(),
        queue.stats().expect_err("no flag").to_string(),
        queue.snapshot().expect_err("no flag").to_string(),
    ];
    for said in said {
        assert_eq!(said, "the segment is corrupted: the shutdown flag is 0x00000002, which has no meaning");
    }
}

/// A batch counts before it claims. It must not take a word without meaning for a slot that is not ready, and wait for ever.
#[test]
fn a_state_word_without_meaning_ends_every_wait() {
    let queue = Queue::create(schema(), 2).expect("small");
    let victim = Victim::of(&queue);
    for slot in victim.slots.clone().step_by(size_of::<Slot>()).take(2) {
        victim.file.write_all_at(&7_u64.to_le_bytes(), slot as u64).expect("in memory");
    }
    let batch = BatchSize::exactly(2);
    let said = [
        queue.reserve().expect_err("phase 7").to_string(),
        queue.borrow().expect_err("phase 7").to_string(),
        queue.reserve_batch_with(batch, Wait::forever()).expect_err("phase 7").to_string(),
        queue.borrow_batch_with(batch, Wait::forever()).expect_err("phase 7").to_string(),
        queue.sweep().map_or_else(|error| error.to_string(), |dead| format!("{dead} dead")),
    ];
    let word =
        "the segment is corrupted: the state word of slot 0 is 0x0000000000000007, which has no meaning";
    assert_eq!(said, [word, word, word, word, "0 dead"]);
}

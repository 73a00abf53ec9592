//! One queue, from its creation to its verdict.
//!
//! E1. Every life has a log of its own in the epoch's folder, kept until the verdict. Life 0 is this process: it takes what is left.
//! E2. A worker ends by SIGKILL, or by itself with its log saying so. Anything else is a failure.
//! E3. In the end everybody is dead or gone, and swept. Then nobody but this process is a participant (and the Python that forks workers, if
//!     it is one), the queue is drained, takes exactly as many items as it has slots, and gives them back in order.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde_json::json;
use treequeues::{BorrowError, CreateOptions, Queue, ReserveError};

use crate::checker::{Counts, Finding, Kind, check};
use crate::history::{self, Call, End, Fate, History, Life};
use crate::items::Items;
use crate::killer::Killer;
use crate::log::{Log, Sizes};
use crate::nursery::{Language, Python, fork_rust};
use crate::plan::Plan;
use crate::system::{Process, SharedWords, now_ns, reap};
use crate::worker::Worker;

/// In values that show the capacity: no life has this number.
const NOBODY: u64 = u32::MAX as u64;
const FATES: &str = "fates.json";

/// What an epoch came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the checker counted.
    pub counts: Counts,
    /// What the killer did.
    pub deeds: Deeds,
    /// What must not be.
    pub findings: Vec<Finding>,
}

/// What the killer did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deeds {
    /// Processes that died of it.
    pub kills: usize,
    /// Processes that were stopped.
    pub stops: usize,
    /// Times at which everybody was killed at once.
    pub massacres: usize,
    /// Workers that were started.
    pub lives: usize,
}

/// A worker that has not ended.
#[derive(Debug)]
pub struct Living {
    /// Its number.
    pub number: u32,
    /// Its place among the workers: who takes it over does the same.
    pub place: usize,
    /// What it is written in.
    pub language: Language,
    /// The process.
    pub process: Process,
    /// Its receipts.
    pub log: Log,
}

/// A queue and everybody who works on it.
pub struct Epoch<'f> {
    /// What it is like.
    pub plan: Plan,
    /// The queue.
    pub queue: Queue,
    control: SharedWords,
    folder: PathBuf,
    python: Option<&'f mut Python>,
    next: u32,
    fates: BTreeMap<u32, Fate>,
    /// What the killer did.
    pub deeds: Deeds,
    /// What must not be.
    pub findings: Vec<Finding>,
}

/// Runs one epoch. Its logs stay in the folder.
pub fn run(plan: Plan, folder: &Path, python: Option<&mut Python>) -> io::Result<Outcome> {
    let mut epoch = Epoch::begin(plan, folder, python)?;
    let mut outcome = Outcome::default();
    let everybody_ended = Killer::new(&epoch.plan).run(&mut epoch)?;
    if everybody_ended {
        epoch.take_what_is_left()?;
        epoch.check_capacity();
    }
    let (items, deeds) = (epoch.plan.items(), epoch.deeds);
    outcome.findings = epoch.end()?;
    outcome.deeds = deeds;
    if everybody_ended {
        let verdict = check(&load(folder, &items)?);
        outcome.counts = verdict.counts;
        outcome.findings.extend(verdict.findings);
    }
    Ok(outcome)
}

/// The history whose logs lie in a folder.
pub fn load(folder: &Path, items: &Items) -> io::Result<History> {
    let fates: BTreeMap<u32, (u64, u64)> = serde_json::from_slice(&fs::read(folder.join(FATES))?)?;
    let mut history = History::default();
    for (number, (not_before, not_after)) in fates {
        let log = Log::open(&folder.join(number.to_string()))?;
        let receipts = log.receipts();
        // Only of a call that was cut off it says anything.
        let is_cut = receipts.last().is_some_and(|last| last.has_out && last.responded.is_none());
        let out = if is_cut { log.out(items) } else { Vec::new() };
        let fate = if not_after == 0 { Fate::Left } else { Fate::Killed { not_before, not_after } };
        history.lives.push(Life { number, fate, receipts, out });
    }
    Ok(history)
}

impl<'f> Epoch<'f> {
    fn begin(plan: Plan, folder: &Path, mut python: Option<&'f mut Python>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let control_path = folder.join("control");
        let control = SharedWords::create(&control_path, 512)?;
        // This process and the Python beside the workers.
        let participants = plan.workers() as u64 + 2 + plan.spare_places;
        let options = CreateOptions { participants, ..CreateOptions::default() };
        let (schema, capacity) = (plan.items().schema(), plan.capacity as u64);
        let name = plan.is_named.then(|| format!("fuzz-{}-{}", std::process::id(), plan.epoch));
        let queue = match &name {
            Some(name) => Queue::create_named(name, schema, capacity, options),
            None => Queue::create_with(schema, capacity, options),
        }
        .map_err(io::Error::other)?;
        if let Some(python) = &mut python {
            let handle = queue.handle().map_err(io::Error::other)?;
            let mut epoch = serde_json::to_value(&plan)?;
            epoch["lengths"] = json!(plan.items().lengths());
            epoch["control"] = json!(control_path);
            epoch["handle"] =
                json!({ "name": name, "pid": handle.pid, "fd": handle.fd, "segment": handle.id });
            python.begin(&epoch)?;
        }
        Ok(Self {
            plan,
            queue,
            control,
            folder: folder.to_owned(),
            python,
            next: 1,
            fates: BTreeMap::new(),
            deeds: Deeds::default(),
            findings: Vec::new(),
        })
    }

    /// Starts a worker in this place.
    pub fn start(&mut self, place: usize) -> io::Result<Living> {
        let number = self.next;
        self.next += 1;
        self.deeds.lives += 1;
        let (role, path) = (self.plan.role(place), self.folder.join(number.to_string()));
        let mut log = Log::create(&path, &self.plan.items())?;
        let is_python = self.plan.is_python(place);
        let (language, process) = match &mut self.python {
            Some(python) if is_python => (Language::Python, python.fork(number, role, &path)?),
            _ => {
                let (plan, control) = (&self.plan, &self.control);
                let worker = Worker { number, role, plan, control, log: &mut log };
                (Language::Rust, fork_rust(worker, self.queue.clone(), number.is_multiple_of(2))?)
            }
        };
        Ok(Living { number, place, language, process, log })
    }

    /// Enters how a worker ended, which it has. `killed_at` is when it was sent SIGKILL, if it was.
    pub fn bury(&mut self, living: &Living, killed_at: Option<u64>) -> io::Result<()> {
        let not_after = now_ns();
        let status = match (&mut self.python, living.language) {
            (Some(python), Language::Python) => python.reap(&living.process)?,
            _ => reap(&living.process)?,
        };
        let fate = match (status.as_str(), killed_at) {
            ("signal 9", Some(not_before)) => {
                self.deeds.kills += 1;
                Fate::Killed { not_before, not_after }
            }
            ("exit 0", _) if living.log.has_left() => Fate::Left,
            (status, _) => {
                let text =
                    format!("worker {} ({:?}) ended by itself: {status}", living.number, living.language);
                self.findings.push(Finding { kind: Kind::Failure, text });
                Fate::Left
            }
        };
        self.fates.insert(living.number, fate);
        Ok(())
    }

    /// Says that everybody is to leave.
    pub fn tell_all_to_leave(&self) {
        self.control.words()[0].store(1, Ordering::Release);
    }

    /// Drains the queue, as life 0 (E1).
    fn take_what_is_left(&mut self) -> io::Result<()> {
        self.queue.sweep().map_err(io::Error::other)?;
        let items = self.plan.items();
        let mut log = Log::create(&self.folder.join("0"), &items)?;
        self.fates.insert(0, Fate::Left);
        loop {
            log.invoke(Call::Borrow, Sizes::ONE, &[]);
            match self.queue.try_borrow() {
                Ok(loan) => {
                    let at = now_ns();
                    let Some(value) = items.read(&loan) else {
                        let text = "an item that was left in the queue is torn".into();
                        self.findings.push(Finding { kind: Kind::Failure, text });
                        return Ok(());
                    };
                    log.took(at, &[(value, loan.info().delivery_count)]);
                    log.invoke_end(End::Release);
                    loan.release().map_err(io::Error::other)?;
                    log.ended();
                }
                Err(BorrowError::Empty) => {
                    log.came_to_nothing(history::Outcome::Nothing);
                    return Ok(());
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// E3.
    fn check_capacity(&mut self) {
        let capacity = self.plan.capacity;
        match self.queue.stats() {
            Ok(stats) => {
                let expected = 1 + usize::from(self.python.is_some() && self.plan.python_inherits);
                if stats.participants.len() != expected || stats.snapshot.free != capacity {
                    self.fail(Kind::Capacity, format!("everybody is gone, but there is {stats:?}"));
                }
            }
            Err(error) => self.fail(Kind::Failure, format!("no stats: {error}")),
        }
        let items = self.plan.items();
        let mut put = 0;
        let refused = loop {
            match self.queue.try_reserve() {
                Ok(mut loan) if put < capacity => {
                    items.write(&mut loan, NOBODY << 32 | put as u64);
                    put += usize::from(loan.commit().is_ok());
                }
                Ok(_) => break "an item more than there are slots was put".to_owned(),
                Err(ReserveError::Full) if put == capacity => break String::new(),
                Err(error) => break format!("of {capacity} slots {put} could be filled: {error}"),
            }
        };
        if !refused.is_empty() {
            self.fail(Kind::Capacity, refused);
        }
        for expected in 0..put {
            let got = self.queue.try_borrow().map(|loan| items.read(&loan));
            if !matches!(got, Ok(Some(value)) if value == NOBODY << 32 | expected as u64) {
                self.fail(Kind::Capacity, format!("in the end {got:?} came, and not the item {expected}"));
                break;
            }
        }
    }

    fn fail(&mut self, kind: Kind, text: String) {
        self.findings.push(Finding { kind, text });
    }

    /// Takes leave of the queue, and writes down who ended how.
    fn end(self) -> io::Result<Vec<Finding>> {
        let Self { queue, mut findings, fates, folder, python, plan, .. } = self;
        if let Some(python) = python
            && findings.iter().all(|finding| finding.kind != Kind::Hang)
        {
            python.end()?;
        }
        let name = queue.name().map(ToString::to_string);
        drop(queue);
        if let Some(name) = name.filter(|_| findings.is_empty())
            && let Ok(queue) = Queue::attach(&name)
        {
            let text =
                format!("everybody is gone from epoch {}, but its name is there: {queue:?}", plan.epoch);
            findings.push(Finding { kind: Kind::Capacity, text });
        }
        let times = |fate: &Fate| match fate {
            Fate::Left => (0, 0),
            Fate::Killed { not_before, not_after } => (*not_before, *not_after),
        };
        let fates: BTreeMap<u32, (u64, u64)> =
            fates.iter().map(|(life, fate)| (*life, times(fate))).collect();
        fs::write(folder.join(FATES), serde_json::to_vec(&fates)?)?;
        Ok(findings)
    }
}

//! One queue, from its creation to its verdict.
//!
//! E3. In the end everybody is dead or gone, and swept. Then nobody but this process is a participant (and the Python that forks workers, if
//!     it is one), the queue is drained, takes exactly as many items as it has slots, and gives them back in order.

use std::io;
use std::path::Path;

use serde_json::json;
use treequeues::{BorrowError, CreateOptions, Queue, ReserveError};

use crate::checker::{Counts, Finding, Kind, check};
use crate::history::{self, Call, End, History, Life};
use crate::items::Items;
use crate::killer::Killer;
use crate::lives::{self, Deeds, Lives, Living, Stage};
use crate::log::Log;
use crate::nursery::{Language, Python, fork_rust};
use crate::plan::Plan;
use crate::receipts::Sizes;
use crate::system::now_ns;
use crate::worker::Worker;

/// In values that show the capacity: no life has this number.
const NOBODY: u64 = u32::MAX as u64;

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

/// A queue and everybody who works on it.
struct Epoch<'f> {
    plan: Plan,
    queue: Queue,
    lives: Lives<'f>,
}

/// Runs one epoch. Its logs stay in the folder.
pub fn run(plan: Plan, folder: &Path, python: Option<&mut Python>) -> io::Result<Outcome> {
    let mut epoch = Epoch::begin(plan, folder, python)?;
    let mut outcome = Outcome::default();
    let everybody_ended = Killer::new(epoch.plan.killing()).run(&mut epoch)?;
    if everybody_ended {
        epoch.take_what_is_left()?;
        epoch.check_capacity();
    }
    let (items, deeds) = (epoch.plan.items(), epoch.lives.deeds);
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
    let mut history = History::default();
    for life in lives::load(folder)? {
        let (number, fate, log) = life?;
        let receipts = log.receipts();
        // Only of a call that was cut off it says anything.
        let is_cut = receipts.last().is_some_and(|last| last.has_out && last.responded.is_none());
        let out = if is_cut { log.out(items) } else { Vec::new() };
        history.lives.push(Life { number, fate, receipts, out });
    }
    Ok(history)
}

impl<'f> Stage<'f> for Epoch<'f> {
    fn lives(&mut self) -> &mut Lives<'f> {
        &mut self.lives
    }

    fn start(&mut self, place: usize) -> io::Result<Living> {
        let (plan, lives) = (&self.plan, &mut self.lives);
        let (number, path) = lives.new_life();
        let role = plan.role(place);
        let mut log = Log::create(&path, plan.items().out_words())?;
        let is_python = plan.is_python(place);
        let (language, process) = match &mut lives.python {
            Some(python) if is_python => (Language::Python, python.fork(number, role, &path)?),
            _ => {
                let queue = self.queue.clone();
                let process = fork_rust(|| {
                    let mut worker = Worker { number, role, plan, control: &lives.control, log: &mut log };
                    worker.run(&queue);
                    // A polite one takes leave of the queue in the end, the others just end.
                    if number.is_multiple_of(2) {
                        drop(queue);
                    } else {
                        std::mem::forget(queue);
                    }
                    log.leave();
                })?;
                (Language::Rust, process)
            }
        };
        Ok(Living { number, place, language, process, log })
    }

    fn last_call_of(&self, living: &Living) -> String {
        format!("{:?}", living.log.last())
    }

    fn state(&self) -> String {
        format!("{:?}", self.queue.stats())
    }
}

impl<'f> Epoch<'f> {
    fn begin(plan: Plan, folder: &Path, python: Option<&'f mut Python>) -> io::Result<Self> {
        let mut lives = Lives::begin(folder, python)?;
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
        let control_path = lives.control_path();
        if let Some(python) = &mut lives.python {
            let handle = queue.handle().map_err(io::Error::other)?;
            let mut epoch = serde_json::to_value(&plan)?;
            epoch["lengths"] = json!(plan.items().lengths());
            epoch["control"] = json!(control_path);
            epoch["handle"] =
                json!({ "name": name, "pid": handle.pid, "fd": handle.fd, "segment": handle.id });
            python.begin(&epoch)?;
        }
        Ok(Self { plan, queue, lives })
    }

    /// Drains the queue, as life 0 (E1).
    fn take_what_is_left(&mut self) -> io::Result<()> {
        self.queue.sweep().map_err(io::Error::other)?;
        let items = self.plan.items();
        let mut log = Log::create(&self.lives.observer(), items.out_words())?;
        loop {
            log.invoke(Call::Borrow, Sizes::ONE, &[]);
            match self.queue.try_borrow() {
                Ok(loan) => {
                    let at = now_ns();
                    let Some(value) = items.read(|leaf| loan.leaf_bytes(leaf)) else {
                        let text = "an item that was left in the queue is torn".into();
                        self.lives.fail(Kind::Failure, text);
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
                let expected = 1 + usize::from(self.lives.python.is_some() && self.plan.python_inherits);
                if stats.participants.len() != expected || stats.snapshot.free != capacity {
                    self.lives.fail(Kind::Capacity, format!("everybody is gone, but there is {stats:?}"));
                }
            }
            Err(error) => self.lives.fail(Kind::Failure, format!("no stats: {error}")),
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
            self.lives.fail(Kind::Capacity, refused);
        }
        for expected in 0..put {
            let got = self.queue.try_borrow().map(|loan| items.read(|leaf| loan.leaf_bytes(leaf)));
            if !matches!(got, Ok(Some(value)) if value == NOBODY << 32 | expected as u64) {
                self.lives
                    .fail(Kind::Capacity, format!("in the end {got:?} came, and not the item {expected}"));
                break;
            }
        }
    }

    /// Takes leave of the queue, and writes down who ended how.
    fn end(self) -> io::Result<Vec<Finding>> {
        let Self { queue, lives, plan } = self;
        let name = queue.name().map(ToString::to_string);
        // The Python that forks workers leaves first.
        let mut findings = lives.end()?;
        drop(queue);
        if let Some(name) = name.filter(|_| findings.is_empty())
            && let Ok(queue) = Queue::attach(&name)
        {
            let text =
                format!("everybody is gone from epoch {}, but its name is there: {queue:?}", plan.epoch);
            findings.push(Finding { kind: Kind::Capacity, text });
        }
        Ok(findings)
    }
}

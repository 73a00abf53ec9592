//! One topic, from its creation to its verdict.
//!
//! F1. In the end everybody is dead or gone, and swept: nobody but this process is a participant. The newest item is there. Every slot but its
//!     own can be written to at once, twice, so that each of them was; and as many items as there are slots stay, the last ones.

use std::io;
use std::path::Path;

use treequeues::{Start, Topic, TopicOptions};

use super::checker::{Counts, Finding, Kind, check};
use super::history::{Call, End, History, Life, Outcome as CallOutcome, Role};
use super::plan::Plan;
use super::receipts::{self, Read, TopicLog};
use super::worker::Worker;
use crate::items::Items;
use crate::killer::Killer;
use crate::lives::{self, Deeds, Lives, Living, Stage};
use crate::nursery::{Language, fork_rust};
use crate::system::now_ns;

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

/// A topic and everybody who works on it.
struct Epoch {
    plan: Plan,
    topic: Topic,
    lives: Lives<'static>,
}

/// Runs one epoch. Its logs stay in the folder.
pub fn run(plan: Plan, folder: &Path) -> io::Result<Outcome> {
    let mut epoch = Epoch::begin(plan, folder)?;
    let is_roomy = epoch.plan.is_roomy();
    let everybody_ended = Killer::new(epoch.plan.killing).run(&mut epoch)?;
    if everybody_ended {
        epoch.look_at_the_newest()?;
        if let Err(text) = epoch.check_capacity() {
            epoch.lives.fail(Kind::Capacity, text);
        }
    }
    let deeds = epoch.lives.deeds;
    let mut outcome = Outcome { findings: epoch.end()?, deeds, ..Outcome::default() };
    if everybody_ended {
        let verdict = check(&load(folder, is_roomy)?);
        outcome.counts = verdict.counts;
        outcome.findings.extend(verdict.findings);
    }
    Ok(outcome)
}

/// The history whose logs lie in a folder.
pub fn load(folder: &Path, is_roomy: bool) -> io::Result<History> {
    let mut history = History { lives: Vec::new(), is_roomy };
    for life in lives::load(folder)? {
        let (number, fate, log) = life?;
        let (role, receipts) = (receipts::role(&log), receipts::receipts(&log));
        history.lives.push(Life { number, role, fate, receipts });
    }
    Ok(history)
}

impl Stage<'static> for Epoch {
    fn lives(&mut self) -> &mut Lives<'static> {
        &mut self.lives
    }

    fn start(&mut self, place: usize) -> io::Result<Living> {
        let (plan, lives) = (&self.plan, &mut self.lives);
        let (number, path) = lives.new_life();
        let role = plan.role(place);
        let mut log = TopicLog::create(&path, role)?;
        let topic = self.topic.clone();
        let process = fork_rust(|| {
            let mut worker = Worker { number, role, plan, control: &lives.control, log: &mut log };
            worker.run(&topic);
            // A polite one takes leave of the topic in the end, the others just end.
            if number.is_multiple_of(2) {
                drop(topic);
            } else {
                std::mem::forget(topic);
            }
            log.0.leave();
        })?;
        Ok(Living { number, place, language: Language::Rust, process, log: log.0 })
    }

    fn last_call_of(&self, living: &Living) -> String {
        format!("{:?}", receipts::last(&living.log))
    }

    fn state(&self) -> String {
        format!("{:?}", self.topic.stats())
    }
}

impl Epoch {
    fn begin(plan: Plan, folder: &Path) -> io::Result<Self> {
        let lives = Lives::begin(folder, None)?;
        // This process beside the workers.
        let participants = plan.killing.workers as u64 + 1 + plan.spare_places;
        let options = TopicOptions { participants, ..TopicOptions::default() };
        let (schema, capacity) = (plan.items().schema(), plan.capacity as u64);
        let topic = if plan.is_named {
            let name = format!("fuzz-topic-{}-{}", std::process::id(), plan.epoch);
            Topic::create_named(&name, schema, capacity, options)
        } else {
            Topic::create_with(schema, capacity, options)
        };
        Ok(Self { plan, topic: topic.map_err(io::Error::other)?, lives })
    }

    /// Reads the newest item, as life 0.
    fn look_at_the_newest(&mut self) -> io::Result<()> {
        self.topic.sweep().map_err(io::Error::other)?;
        let mut log = TopicLog::create(&self.lives.observer(), Role::Reader)?;
        log.invoke(Call::Version);
        let version = self.topic.version().map_err(io::Error::other)?;
        log.said(now_ns(), version);
        log.invoke(Call::Latest);
        match self.topic.try_borrow_latest() {
            Ok(loan) => {
                let at = now_ns();
                let value = read(self.plan.items(), &loan);
                log.read(at, Read { value, ticket: loan.ticket(), ..Read::default() });
                log.invoke_end(End::Release);
                loan.release().map_err(io::Error::other)?;
                log.ended();
            }
            Err(_) => log.came_to_nothing(CallOutcome::Nothing),
        }
        Ok(())
    }

    /// F1.
    fn check_capacity(&self) -> Result<(), String> {
        let (topic, items, capacity) = (&self.topic, self.plan.items(), self.plan.capacity);
        let said = |error: &dyn std::fmt::Display| format!("everybody is gone, but: {error}");
        let stats = topic.stats().map_err(|error| said(&error))?;
        if stats.participants.len() != 1 || !stats.held.is_empty() || !stats.subscriptions.is_empty() {
            return Err(format!("everybody is gone, but there is {stats:?}"));
        }
        for _ in 0..2 {
            let wanted = capacity - usize::from(topic.version().map_err(|error| said(&error))? > 0);
            let mut loans = Vec::new();
            for _ in 0..wanted {
                let mut loan = topic.try_reserve().map_err(|error| said(&error))?;
                items.write(&mut loan, NOBODY << 32 | 1);
                loans.push(loan);
            }
            if topic.try_reserve().is_ok() {
                return Err("there are more slots than there were".into());
            }
            for loan in loans {
                loan.commit().map_err(|error| said(&error))?;
            }
        }
        let version = topic.version().map_err(|error| said(&error))?;
        for ticket in version + 1..=version + capacity as u64 {
            let mut loan = topic.try_reserve().map_err(|error| said(&error))?;
            items.write(&mut loan, NOBODY << 32 | ticket);
            let got = loan.commit().map_err(|error| said(&error))?;
            let newest = topic.try_borrow_latest().map_err(|error| said(&error))?;
            if (got, newest.ticket(), read(items, &newest)) != (ticket, ticket, NOBODY << 32 | ticket) {
                return Err(format!("put as {ticket}, it has {got}, and {} is the newest", newest.ticket()));
            }
        }
        let all = topic.subscribe(Start::Oldest).map_err(|error| said(&error))?;
        for ticket in version + 1..=version + capacity as u64 {
            let loan = all.try_borrow().map_err(|error| said(&error))?;
            if (loan.ticket(), read(items, &loan)) != (ticket, NOBODY << 32 | ticket) {
                return Err(format!("in the end {} came, and not {ticket}", loan.ticket()));
            }
        }
        Ok(())
    }

    /// Takes leave of the topic, and writes down who ended how.
    fn end(self) -> io::Result<Vec<Finding>> {
        let Self { topic, lives, plan } = self;
        let name = topic.name().map(ToString::to_string);
        let mut findings = lives.end()?;
        drop(topic);
        if let Some(name) = name.filter(|_| findings.is_empty())
            && let Ok(topic) = Topic::attach(&name)
        {
            let text =
                format!("everybody is gone from epoch {}, but its name is there: {topic:?}", plan.epoch);
            findings.push(Finding { kind: Kind::Capacity, text });
        }
        Ok(findings)
    }
}

/// The value of an item; 0 if it is not whole.
fn read(items: Items, loan: &treequeues::TopicReadLoan<'_>) -> u64 {
    items.read(|leaf| loan.leaf_bytes(leaf)).unwrap_or(0)
}

//! What is seen of a queue at about one moment, as plain data.
//!
//! The names of the fields are those of the JSON, so they are part of the interface: fields are added, not renamed. Spans
//! are seconds, moments are UTC.
//!
//! A process is known by the number that it sees itself. In another pid namespace that number is another process's, or
//! nobody's, so the name of a command is a help for people and decides nothing.

use std::fs;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use treequeues::{Counters, HeldSlot, NameState, Observer, ParticipantStats, Stats, WhatFor};

use crate::units;

/// The most of a command's name that is read: the kernel keeps 15 bytes.
const MAX_COMMAND_CHARS: usize = 15;

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Live,
    Idle,
    Stale,
    Broken,
    Foreign,
}

/// One look at one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    pub name: String,
    pub state: State,
    /// Why it is broken or foreign, or could not be looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(flatten)]
    pub facts: Option<Facts>,
    #[serde(flatten)]
    pub content: Option<Content>,
}

/// What does not change while a queue lives, but for its age.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// The segment's random id, in hexadecimal: another one under the same name is another queue.
    pub id: String,
    pub capacity: usize,
    /// Of the whole segment.
    pub bytes: usize,
    pub item_bytes: usize,
    pub max_participants: u32,
    /// How many takers an item may kill before it is dropped; null for no limit.
    pub max_deliveries: Option<u32>,
    /// Whether a put into the full queue drops the oldest item.
    pub drops_oldest: bool,
    pub created_at: String,
    pub age_seconds: f64,
    pub creator_pid: u32,
    /// Whether it was made to outlive its participants.
    pub kept: bool,
}

/// What is in a queue, what was done to it, and by whom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Content {
    /// Items to be had.
    pub items: usize,
    pub shut_down: bool,
    /// The process that shut it down first, and when.
    pub shut_down_by: Option<u32>,
    pub shut_down_at: Option<String>,
    /// How many takers died with the item with which most have died.
    pub most_deaths: u32,
    pub slots: Slots,
    pub counters: Totals,
    /// Those of a queue that was told how many there will be.
    pub producers: Option<Producers>,
    pub participants: Vec<Participant>,
    /// Held longest first.
    pub held: Vec<Held>,
}

/// Blocks of producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Producers {
    /// How many there will be.
    pub said: u32,
    pub came: u64,
    pub left: u64,
    /// As far as they were found.
    pub died: u64,
}

/// Slots by their state. Their sum is the capacity, until an immediate shutdown puts items out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Slots {
    pub free: usize,
    pub writing: usize,
    /// In order.
    pub ready: usize,
    /// Out of order: they come first.
    pub returned: usize,
    pub reading: usize,
    pub lingering: usize,
}

/// The core's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    pub puts: u64,
    pub gets: u64,
    pub full: u64,
    pub empty: u64,
    pub put_waits: u64,
    pub put_wait_seconds: f64,
    pub get_waits: u64,
    pub get_wait_seconds: f64,
    pub give_backs: u64,
    pub redeliveries: u64,
    pub sweeps: u64,
    pub deaths: u64,
    /// Items that killed too many takers.
    pub dropped: u64,
    /// Items dropped by puts into the full queue.
    pub overwritten: u64,
}

/// An attached process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Participant {
    /// Its place in the table of participants.
    pub place: u32,
    pub pid: u32,
    /// Its command, where a living process of that number can be seen from here.
    pub command: Option<String>,
    pub alive: bool,
    pub attached_at: String,
    pub attached_seconds: f64,
    pub counters: Totals,
    pub writing: usize,
    pub reading: usize,
    pub lingering: usize,
    /// Of the slots in its loans.
    pub longest_hold_seconds: Option<f64>,
}

/// A slot that somebody holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    pub slot: usize,
    pub ticket: u64,
    /// The holder's place in the table of participants, and its process if it is still there.
    pub participant: u32,
    pub pid: Option<u32>,
    #[serde(rename = "for")]
    pub purpose: Purpose,
    /// None while a put or a get is under way: only loans look at the clock.
    pub held_seconds: Option<f64>,
}

/// What a slot is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    Writing,
    Reading,
    Lingering,
}

impl State {
    pub fn of(state: &NameState) -> Self {
        match state {
            NameState::Live => Self::Live,
            NameState::Idle => Self::Idle,
            NameState::Stale => Self::Stale,
            NameState::Broken(_) => Self::Broken,
            NameState::Foreign(_) => Self::Foreign,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Idle => "idle",
            Self::Stale => "stale",
            Self::Broken => "broken",
            Self::Foreign => "foreign",
        }
    }
}

impl Purpose {
    pub fn word(self) -> &'static str {
        match self {
            Self::Writing => "writing",
            Self::Reading => "reading",
            Self::Lingering => "lingering",
        }
    }
}

impl Facts {
    pub fn of(observer: &Observer) -> Self {
        Self {
            id: observer.id().iter().map(|byte| format!("{byte:02x}")).collect(),
            capacity: observer.capacity(),
            bytes: observer.nbytes(),
            item_bytes: observer.schema().item_nbytes(),
            max_participants: observer.max_participants(),
            max_deliveries: observer.max_deliveries().map(NonZeroU32::get),
            drops_oldest: observer.drops_oldest(),
            created_at: units::moment(observer.created_at()),
            age_seconds: seconds_since(observer.created_at()),
            creator_pid: observer.creator_pid(),
            kept: observer.is_kept(),
        }
    }
}

impl Content {
    pub fn of(stats: &Stats) -> Self {
        let snapshot = &stats.snapshot;
        let pid_of = |place| stats.participants.iter().find(|who| who.id == place).map(|who| who.pid);
        let mut held: Vec<_> =
            stats.held.iter().map(|held| Held::of(held, pid_of(held.participant))).collect();
        held.sort_by(|a, b| b.held_seconds.unwrap_or(0.0).total_cmp(&a.held_seconds.unwrap_or(0.0)));
        Self {
            items: snapshot.ready,
            shut_down: snapshot.is_shut_down,
            shut_down_by: stats.shutdown.and_then(|shutdown| shutdown.pid()),
            shut_down_at: stats.shutdown.and_then(|shutdown| shutdown.at()).map(units::moment),
            most_deaths: stats.most_deaths,
            slots: Slots {
                free: snapshot.free,
                writing: snapshot.writing,
                ready: snapshot.ready - snapshot.returned,
                returned: snapshot.returned,
                reading: snapshot.reading,
                lingering: snapshot.lingering,
            },
            counters: Totals::of(&stats.counters),
            producers: stats.producers.map(|stats| Producers {
                said: stats.said.get(),
                came: stats.came,
                left: stats.left,
                died: stats.died,
            }),
            participants: stats.participants.iter().map(Participant::of).collect(),
            held,
        }
    }
}

impl Totals {
    fn of(counters: &Counters) -> Self {
        Self {
            puts: counters.puts,
            gets: counters.gets,
            full: counters.full,
            empty: counters.empty,
            put_waits: counters.put_waits,
            put_wait_seconds: counters.put_wait.as_secs_f64(),
            get_waits: counters.get_waits,
            get_wait_seconds: counters.get_wait.as_secs_f64(),
            give_backs: counters.give_backs,
            redeliveries: counters.redeliveries,
            sweeps: counters.sweeps,
            deaths: counters.deaths,
            dropped: counters.dropped,
            overwritten: counters.overwritten,
        }
    }
}

impl Producers {
    /// `producers: 2 of 3 came, 1 left, 1 died`.
    pub fn text(self) -> String {
        let Self { said, came, left, died } = self;
        let died = if died > 0 { format!(", {died} died") } else { String::new() };
        format!("producers: {came} of {said} came, {left} left{died}")
    }
}

impl Participant {
    fn of(stats: &ParticipantStats) -> Self {
        Self {
            place: stats.id,
            pid: stats.pid,
            command: if stats.is_alive { command_of(stats.pid) } else { None },
            alive: stats.is_alive,
            attached_at: units::moment(stats.attached_at),
            attached_seconds: seconds_since(stats.attached_at),
            counters: Totals::of(&stats.counters),
            writing: stats.writing,
            reading: stats.reading,
            lingering: stats.lingering,
            longest_hold_seconds: stats.longest_hold.map(|hold| hold.as_secs_f64()),
        }
    }

    /// `reading 2, lingering 1`, or nothing.
    pub fn holds(&self) -> String {
        let parts = [("writing", self.writing), ("reading", self.reading), ("lingering", self.lingering)];
        let parts =
            parts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what} {count}"));
        parts.collect::<Vec<_>>().join(", ")
    }
}

impl Held {
    fn of(held: &HeldSlot, pid: Option<u32>) -> Self {
        Self {
            slot: held.slot,
            ticket: held.ticket,
            participant: held.participant,
            pid,
            purpose: match held.what_for {
                WhatFor::Writing => Purpose::Writing,
                WhatFor::Reading => Purpose::Reading,
                WhatFor::Lingering => Purpose::Lingering,
            },
            held_seconds: held.held_for.map(|hold| hold.as_secs_f64()),
        }
    }
}

/// What the system calls this process, where it shows it.
pub fn command_of(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    // A process may call itself anything.
    let name = String::from_utf8_lossy(&name);
    let plain = name.trim_end_matches('\n').chars().take(MAX_COMMAND_CHARS);
    Some(plain.map(|c| if c.is_control() { '?' } else { c }).collect())
}

fn seconds_since(moment: SystemTime) -> f64 {
    // The clock may have been set back.
    SystemTime::now().duration_since(moment).unwrap_or(Duration::ZERO).as_secs_f64()
}

//! Attached processes, and what was done.

use std::fs;

use serde::Serialize;
use treequeues::{Counters, ParticipantStats};

use super::seconds_since;
use crate::units;

/// The most of a command's name that is read: the kernel keeps 15 bytes.
const MAX_COMMAND_CHARS: usize = 15;

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
    /// Items of a topic that subscriptions passed over.
    pub missed: u64,
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

impl Totals {
    pub(super) fn of(counters: &Counters) -> Self {
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
            missed: counters.missed,
        }
    }
}

impl Participant {
    pub(super) fn of(stats: &ParticipantStats) -> Self {
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

/// The process of a participant, if it is still there.
pub(super) fn pid_of(participants: &[ParticipantStats], place: u32) -> Option<u32> {
    participants.iter().find(|who| who.id == place).map(|who| who.pid)
}

/// What the system calls this process, where it shows it.
pub fn command_of(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    // A process may call itself anything.
    let name = String::from_utf8_lossy(&name);
    let plain = name.trim_end_matches('\n').chars().take(MAX_COMMAND_CHARS);
    Some(plain.map(|c| if c.is_control() { '?' } else { c }).collect())
}

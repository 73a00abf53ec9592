//! `treequeues clean`: removes what is left of queues and topics whose participants have all died.
//!
//! What may be removed is decided by the core, under the locks of the queue or topic, at the moment of the removal. What is found
//! here before only says why something stays.

use std::fs;
use std::io::Write;

use serde::Serialize;
use treequeues::{AnyObserver, NameState, QueueName, name_state, names_folder, remove_name};

use crate::arguments::Clean;
use crate::failure::Failure;
use crate::look::{Kind, State};
use crate::output::write_json;
use crate::units;
use crate::watcher::{all_names, not_found};

/// What became of all names.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    removed: Vec<Removed>,
    left: Vec<Left>,
    removed_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Removed {
    name: String,
    kind: Option<Kind>,
    state: State,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Left {
    name: String,
    kind: Option<Kind>,
    state: State,
    reason: String,
}

pub fn run(asked: &Clean, out: &mut dyn Write) -> Result<(), Failure> {
    let names = if asked.names.is_empty() { all_names()? } else { asked.names.clone() };
    let mut report =
        Report { dry_run: asked.dry_run, removed: Vec::new(), left: Vec::new(), removed_bytes: 0 };
    let mut missing = None;
    for name in &names {
        if !clean(name, asked, &mut report)? && !asked.names.is_empty() {
            missing = missing.or(Some(name));
        }
    }
    report.removed_bytes = report.removed.iter().map(|removed| removed.bytes).sum();
    if asked.json {
        write_json(&report, out)?;
    } else {
        write_text(&report, !asked.names.is_empty(), out)?;
    }
    if let Some(name) = missing {
        return Err(not_found(name));
    }
    // Who names one wants it removed; who names none wants what can be.
    if asked.names.is_empty() || report.left.is_empty() {
        return Ok(());
    }
    let left: Vec<&str> = report.left.iter().map(|left| left.name.as_str()).collect();
    let tense = if asked.dry_run { "would not be" } else { "not" };
    Err(Failure::refused(format!("{tense} removed: {}", left.join(", "))))
}

/// Removes one name if it may be. False if it is not there.
fn clean(name: &QueueName, asked: &Clean, report: &mut Report) -> Result<bool, Failure> {
    let Some(found) = name_state(name)? else { return Ok(false) };
    let state = State::of(&found);
    // What is damaged does not say.
    let kind = AnyObserver::open(name).ok().map(|observer| Kind::of(&observer));
    let bytes = fs::symlink_metadata(names_folder().join(name.as_str())).map_or(0, |file| file.len());
    let reason = match found {
        NameState::Stale | NameState::Broken(_) => None,
        NameState::Idle if asked.idle => None,
        NameState::Idle => Some("it was made to be kept; --idle removes it, with the items in it".to_owned()),
        NameState::Live => Some("somebody is attached to it".to_owned()),
        NameState::Foreign(error) => Some(error.to_string()),
    };
    let reason = match reason {
        None if asked.dry_run || remove_name(name, asked.idle)? => {
            report.removed.push(Removed { name: name.to_string(), kind, state, bytes });
            return Ok(true);
        }
        None => "it came into use, or went, meanwhile".to_owned(),
        Some(reason) => reason,
    };
    report.left.push(Left { name: name.to_string(), kind, state, reason });
    Ok(true)
}

fn write_text(report: &Report, is_named: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let verb = if report.dry_run { "would remove" } else { "removed" };
    for Removed { name, state, bytes, .. } in &report.removed {
        writeln!(out, "{verb} {name} ({}, {})", state.word(), units::bytes(*bytes as f64))?;
    }
    let mut says_what_is_left = false;
    for Left { name, state, reason, .. } in &report.left {
        // A live one that nobody asked about is not worth a line.
        if is_named || *state != State::Live {
            writeln!(out, "left {name} ({}): {reason}", state.word())?;
            says_what_is_left = true;
        }
    }
    let bytes = units::bytes(report.removed_bytes as f64);
    match report.removed.len() {
        0 if is_named || says_what_is_left => {}
        0 => writeln!(out, "nothing to remove")?,
        _ => {
            let removed = Kind::counted(report.removed.iter().map(|removed| removed.kind));
            writeln!(out, "{verb} {removed}, {bytes} in all")?
        }
    }
    Ok(())
}

//! `treequeues inspect`: all about one queue or topic.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use treequeues::{LeafKind, QueueName, Schema};

use crate::arguments::Inspect;
use crate::failure::Failure;
use crate::look::{Content, Facts, Kind, Look, Participant, SlotCount, State, Subscription, Totals};
use crate::output::{BOLD, Cell, DIM, PLAIN, Side, Table, style_of, write_json};
use crate::watcher::{Watcher, not_found};
use crate::{prometheus, tree, units};

/// Nodes of a schema that people read; the JSON has all leaves.
const MAX_TREE_LINES: usize = 200;
/// Held slots that people read; the JSON has those that a look lists.
const MAX_HELD_LINES: usize = 20;
/// Subscriptions that people read; the JSON has all that are listed.
const MAX_SUBSCRIPTION_LINES: usize = 20;
const INDENT: &str = "  ";

/// The JSON of one.
#[derive(Serialize)]
struct Report<'l> {
    #[serde(flatten)]
    look: &'l Look,
    leaves: Vec<Leaf<'l>>,
}

#[derive(Serialize)]
struct Leaf<'l> {
    path: &'l str,
    dtype: String,
    shape: &'l [usize],
    kind: LeafKind,
    bytes: usize,
}

pub fn run(asked: &Inspect, out: &mut dyn Write) -> Result<(), Failure> {
    let mut watcher = Watcher::default();
    let Some(name) = &asked.name else {
        return Ok(prometheus::write(&watcher.look_at_all()?, out)?);
    };
    let look = watcher.look_at(name)?.ok_or_else(|| not_found(name))?;
    if asked.prometheus {
        return Ok(prometheus::write(&[look], out)?);
    }
    let (Some(observer), Some(facts)) = (watcher.observer(name), &look.facts) else {
        return Err(unusable(name, &look));
    };
    let schema = observer.observed().schema();
    if asked.json {
        return Ok(write_json(&Report { look: &look, leaves: leaves(schema) }, out)?);
    }
    write_facts(&look, facts, schema, out)?;
    write_schema(schema, out)?;
    if let Some(content) = &look.content {
        write_slots(facts, content, out)?;
        write_counters(facts, &content.counters, out)?;
        write_participants(content, out)?;
        write_subscriptions(content, out)?;
        write_held(content, out)?;
    }
    Ok(())
}

/// For a file that cannot be looked into.
pub fn unusable(name: &QueueName, look: &Look) -> Failure {
    let reason = look.reason.as_deref().unwrap_or("it cannot be looked into");
    let mend = if look.state == State::Broken {
        format!("; `treequeues clean {name}` removes it")
    } else {
        String::new()
    };
    Failure::refused(format!("{name} is {}: {reason}{mend}", look.state.word()))
}

fn leaves(schema: &Schema) -> Vec<Leaf<'_>> {
    schema
        .leaves()
        .iter()
        .map(|leaf| Leaf {
            path: &leaf.path,
            dtype: leaf.dtype.to_string(),
            shape: &leaf.shape,
            kind: leaf.kind,
            bytes: leaf.nbytes(),
        })
        .collect()
}

fn write_facts(look: &Look, facts: &Facts, schema: &Schema, out: &mut dyn Write) -> io::Result<()> {
    let style = style_of(look.state);
    let note = match &look.content {
        Some(content) if content.shut_down => shut_down_by_whom(content),
        _ => String::new(),
    };
    let kind = look.kind.map_or("", Kind::word);
    writeln!(out, "{BOLD}{}{BOLD:#}  {style}{}{style:#} {kind}{note}", look.name, look.state.word())?;
    if let Some(reason) = &look.reason {
        writeln!(out, "{INDENT}{reason}")?;
    }
    let items = units::plural(facts.capacity, "item");
    let item = units::bytes(facts.item_bytes as f64);
    writeln!(out, "{INDENT}capacity  {items} of {item}, {} in all", units::bytes(facts.bytes as f64))?;
    let age = units::age(facts.age_seconds);
    writeln!(out, "{INDENT}created   {} ({age} ago) by process {}", facts.created_at, facts.creator_pid)?;
    let kept = if facts.kept {
        "until it is removed, also without participants"
    } else {
        "as long as its participants"
    };
    writeln!(out, "{INDENT}lives     {kept}")?;
    if let Some(limit) = facts.max_deliveries() {
        let takers = units::plural(limit as usize, "taker");
        writeln!(out, "{INDENT}drops     items that killed {takers}")?;
    }
    if facts.drops_oldest() {
        writeln!(out, "{INDENT}overflow  a put into the full queue drops the oldest item")?;
    }
    let leaves = match schema.leaves().len() {
        1 => "1 leaf".to_owned(),
        count => format!("{count} leaves"),
    };
    writeln!(out, "{INDENT}schema    {leaves}, fingerprint {:016x}", schema.fingerprint())
}

/// `, shut down by process 4711 at 2026-05-04T12:30:00Z`.
fn shut_down_by_whom(content: &Content) -> String {
    let by = content.shut_down_by.map_or_else(String::new, |pid| format!(" by process {pid}"));
    let at = content.shut_down_at.as_ref().map_or_else(String::new, |at| format!(" at {at}"));
    format!(", shut down{by}{at}")
}

fn write_schema(schema: &Schema, out: &mut dyn Write) -> io::Result<()> {
    let (lines, left_out) = tree::lines(schema, MAX_TREE_LINES);
    writeln!(out, "\n{BOLD}SCHEMA{BOLD:#}")?;
    let widest = |text: fn(&tree::Line) -> &str| lines.iter().map(|line| text(line).chars().count()).max();
    let (names, whats) = (widest(|line| &line.name).unwrap_or(0), widest(|line| &line.what).unwrap_or(0));
    for tree::Line { name, what, bytes } in &lines {
        let bytes = bytes.map_or(String::new(), |bytes| units::bytes(bytes as f64));
        let line = if name.is_empty() {
            format!("{what:<width$}  {bytes:>8}", width = names + 2 + whats)
        } else {
            format!("{name:<names$}  {what:<whats$}  {bytes:>8}")
        };
        writeln!(out, "{INDENT}{}", line.trim_end())?;
    }
    if left_out > 0 {
        writeln!(out, "{INDENT}... and {left_out} more; `--json` lists all leaves")?;
    }
    Ok(())
}

fn write_slots(facts: &Facts, content: &Content, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{BOLD}SLOTS{BOLD:#}")?;
    let mut table = Table::new([("", Side::Left), ("", Side::Right), ("", Side::Left)]).indented(INDENT);
    for SlotCount { state, count, meaning, .. } in content.slots.told() {
        table.add(vec![(*state).into(), count.to_string().into(), Cell::styled(*meaning, DIM)]);
    }
    table.write_rows(out)?;
    for (what, text) in content.notes(facts) {
        writeln!(out, "{INDENT}{what}: {text}")?;
    }
    let counted = content.slots.sum();
    if content.shut_down && counted < facts.capacity {
        writeln!(out, "{INDENT}{} out of reach: it was shut down at once", facts.capacity - counted)?;
    }
    Ok(())
}

fn write_counters(facts: &Facts, counters: &Totals, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{BOLD}SINCE IT WAS CREATED{BOLD:#}")?;
    let volume = |count: u64| units::bytes(count as f64 * facts.item_bytes as f64);
    let waits = |calls: u64, waits: u64, seconds: f64| match calls {
        0 => String::new(),
        _ => format!("{calls} found none; {waits} waited, {} in all", span(seconds)),
    };
    let Totals { puts, gets, full, empty, put_waits, get_waits, .. } = *counters;
    let mut rows = vec![
        (
            "puts",
            puts,
            volume(puts),
            waits(full, put_waits, counters.put_wait_seconds).replace("none", "no room"),
        ),
        (
            "gets",
            gets,
            volume(gets),
            waits(empty, get_waits, counters.get_wait_seconds).replace("none", "no item"),
        ),
    ];
    for (what, count, why) in [
        ("given back", counters.give_backs, "items returned by their takers"),
        ("redelivered", counters.redeliveries, "deliveries after the first one"),
        ("deaths", counters.deaths, "participants that ended without leaving"),
        ("dropped", counters.dropped, "items that killed too many takers"),
        ("overwritten", counters.overwritten, "items dropped by puts into the full queue"),
        ("missed", counters.missed, "items that subscriptions passed over"),
    ] {
        if count > 0 {
            rows.push((what, count, String::new(), why.to_owned()));
        }
    }
    let sides = [Side::Left, Side::Right, Side::Right, Side::Left];
    let mut table = Table::new(sides.map(|side| ("", side))).indented(INDENT);
    for (what, count, volume, note) in rows {
        table.add(vec![what.into(), count.to_string().into(), volume.into(), Cell::styled(note, DIM)]);
    }
    table.write_rows(out)
}

fn write_participants(content: &Content, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{BOLD}PARTICIPANTS{BOLD:#}")?;
    if content.participants.is_empty() {
        return writeln!(out, "{INDENT}nobody is attached");
    }
    let mut table = Table::new([
        ("PLACE", Side::Right),
        ("PID", Side::Right),
        ("COMMAND", Side::Left),
        ("STATE", Side::Left),
        ("ATTACHED", Side::Right),
        ("PUTS", Side::Right),
        ("GETS", Side::Right),
        ("HOLDS", Side::Left),
        ("LONGEST", Side::Right),
    ])
    .indented(INDENT);
    for who in &content.participants {
        table.add(participant(who));
    }
    table.write(out)
}

fn participant(who: &Participant) -> Vec<Cell> {
    let state =
        if who.alive { Cell::styled("alive", PLAIN) } else { Cell::styled("dead", style_of(State::Broken)) };
    vec![
        who.place.to_string().into(),
        who.pid.to_string().into(),
        who.command.clone().unwrap_or_else(|| "-".to_owned()).into(),
        state,
        units::age(who.attached_seconds).into(),
        who.counters.puts.to_string().into(),
        who.counters.gets.to_string().into(),
        who.holds().into(),
        who.longest_hold_seconds.map_or(String::new(), |hold| units::hold(Some(hold))).into(),
    ]
}

fn write_subscriptions(content: &Content, out: &mut dyn Write) -> io::Result<()> {
    if content.subscriptions().is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{BOLD}SUBSCRIPTIONS{BOLD:#}")?;
    let columns = ["PLACE", "PID", "NEXT", "LAG", "MISSED"];
    let mut table = Table::new(columns.map(|heading| (heading, Side::Right))).indented(INDENT);
    for Subscription { participant, pid, next_ticket, lag, missed, .. } in
        content.subscriptions().iter().take(MAX_SUBSCRIPTION_LINES)
    {
        let pid = pid_text(*pid);
        let numbers = [next_ticket, lag, missed].map(|number| number.to_string().into());
        table.add([participant.to_string().into(), pid.into()].into_iter().chain(numbers).collect());
    }
    table.write(out)?;
    write_more(content.subscriptions().len(), MAX_SUBSCRIPTION_LINES, out)
}

fn write_held(content: &Content, out: &mut dyn Write) -> io::Result<()> {
    if content.held.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{BOLD}HELD SLOTS{BOLD:#}")?;
    let mut table = Table::new([
        ("SLOT", Side::Right),
        ("TICKET", Side::Right),
        ("PID", Side::Right),
        ("FOR", Side::Left),
        ("TIMES", Side::Right),
        ("SINCE", Side::Right),
    ])
    .indented(INDENT);
    for held in content.held.iter().take(MAX_HELD_LINES) {
        table.add(vec![
            held.slot.to_string().into(),
            held.ticket.map_or("-".to_owned(), |ticket| ticket.to_string()).into(),
            pid_text(held.pid).into(),
            held.purpose.word().into(),
            held.times.map_or(String::new(), |times| times.to_string()).into(),
            held.since.text().unwrap_or_default().into(),
        ]);
    }
    table.write(out)?;
    write_more(content.held.len(), MAX_HELD_LINES, out)
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map_or("?".to_owned(), |pid| pid.to_string())
}

/// How many lines are missing.
fn write_more(count: usize, shown: usize, out: &mut dyn Write) -> io::Result<()> {
    if count > shown {
        writeln!(out, "{INDENT}... and {} more", count - shown)?;
    }
    Ok(())
}

fn span(seconds: f64) -> String {
    units::span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

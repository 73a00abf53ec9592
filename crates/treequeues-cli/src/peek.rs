//! `treequeues peek`: a queue's oldest item, or a topic's newest, without taking it.

use std::io::{self, Write};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;
use treequeues::dtype::DisplayShape;
use treequeues::{AnyObserver, AttachError, LeafSpec, PeekedItem, PeekedTopicItem};

use crate::arguments::Peek;
use crate::elements::{Summary, summarize};
use crate::failure::Failure;
use crate::inspect::unusable;
use crate::look::command_of;
use crate::output::{BOLD, Side, Table, write_json};
use crate::units;
use crate::watcher::{Watcher, not_found};

/// Leaves that people read; the JSON has all.
const MAX_LINES: usize = 200;

/// The JSON of an item.
#[derive(Serialize)]
struct Report<'i> {
    name: &'i str,
    ticket: u64,
    put_at: String,
    age_seconds: f64,
    producer_pid: u32,
    /// Of a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_count: Option<u32>,
    leaves: Vec<Leaf<'i>>,
}

#[derive(Serialize)]
struct Leaf<'i> {
    path: &'i str,
    dtype: String,
    shape: &'i [usize],
    #[serde(flatten)]
    summary: Summary,
}

/// What is peeked at.
struct Peeked {
    ticket: u64,
    put_time: SystemTime,
    producer_pid: u32,
    delivery_count: Option<u32>,
    rows: Vec<Vec<u8>>,
}

impl Peeked {
    /// The item that whoever asks next would have: the oldest of a queue, the newest of a topic.
    fn at(observer: &AnyObserver) -> Result<Option<Self>, AttachError> {
        Ok(match observer {
            AnyObserver::Queue(queue) => queue.peek()?.map(Self::from),
            AnyObserver::Topic(topic) => topic.peek()?.map(Self::from),
        })
    }
}

impl From<PeekedItem> for Peeked {
    fn from(item: PeekedItem) -> Self {
        let PeekedItem { ticket, put_time, producer_pid, delivery_count, rows, .. } = item;
        Self { ticket, put_time, producer_pid, delivery_count: Some(delivery_count), rows }
    }
}

impl From<PeekedTopicItem> for Peeked {
    fn from(item: PeekedTopicItem) -> Self {
        let PeekedTopicItem { ticket, put_time, producer_pid, rows, .. } = item;
        Self { ticket, put_time, producer_pid, delivery_count: None, rows }
    }
}

pub fn run(asked: &Peek, out: &mut dyn Write) -> Result<(), Failure> {
    let name = &asked.name;
    let mut watcher = Watcher::default();
    let look = watcher.look_at(name)?.ok_or_else(|| not_found(name))?;
    let Some(observer) = watcher.observer(name).filter(|_| look.content.is_some()) else {
        return Err(unusable(name, &look));
    };
    // After an immediate shutdown, what is left can no longer be had.
    let is_over = look.content.is_some_and(|content| content.shut_down && content.items == 0);
    let item = if is_over { None } else { Peeked::at(observer)? };
    let Some(item) = item else { return Err(Failure::refused(format!("{name} is empty"))) };
    let report = report(name.as_str(), &item, observer.observed().schema().leaves());
    if asked.json {
        write_json(&report, out)?
    } else {
        write_text(&report, out)?
    }
    Ok(())
}

fn report<'i>(name: &'i str, item: &Peeked, leaves: &'i [LeafSpec]) -> Report<'i> {
    let leaf = |(leaf, row): (&'i LeafSpec, &Vec<u8>)| Leaf {
        path: &leaf.path,
        dtype: leaf.dtype.to_string(),
        shape: &leaf.shape,
        summary: summarize(&leaf.dtype, row),
    };
    Report {
        name,
        ticket: item.ticket,
        put_at: units::moment(item.put_time),
        age_seconds: SystemTime::now().duration_since(item.put_time).unwrap_or_default().as_secs_f64(),
        producer_pid: item.producer_pid,
        delivery_count: item.delivery_count,
        leaves: leaves.iter().zip(&item.rows).map(leaf).collect(),
    }
}

fn write_text(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let producer = match command_of(report.producer_pid) {
        Some(command) => format!("{} ({command})", report.producer_pid),
        None => report.producer_pid.to_string(),
    };
    let delivered = match report.delivery_count {
        None | Some(0) => String::new(),
        Some(count) => format!(", delivered {} before", units::plural(count as usize, "time")),
    };
    let Report { name, ticket, age_seconds, .. } = report;
    let age = units::span(std::time::Duration::from_secs_f64(*age_seconds));
    writeln!(out, "{BOLD}{name}{BOLD:#}  item {ticket}, put {age} ago by process {producer}{delivered}\n")?;
    let mut table = Table::new([
        ("LEAF", Side::Left),
        ("DTYPE", Side::Left),
        ("SHAPE", Side::Left),
        ("MINIMUM", Side::Right),
        ("MAXIMUM", Side::Right),
        ("MEAN", Side::Right),
        ("NAN", Side::Right),
        ("FIRST", Side::Left),
    ]);
    for Leaf { path, dtype, shape, summary } in report.leaves.iter().take(MAX_LINES) {
        let value = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), plain);
        table.add(vec![
            (*path).into(),
            dtype.as_str().into(),
            DisplayShape(shape).to_string().into(),
            value(&summary.minimum).into(),
            value(&summary.maximum).into(),
            summary.mean.map_or("-".to_owned(), number).into(),
            if summary.left_out > 0 { summary.left_out.to_string() } else { String::new() }.into(),
            summary.first.clone().unwrap_or_default().into(),
        ]);
    }
    table.write(out)?;
    if report.leaves.len() > MAX_LINES {
        writeln!(out, "... and {} more; `--json` lists all leaves", report.leaves.len() - MAX_LINES)?;
    }
    Ok(())
}

/// A value without the quotes of JSON, and a float with the digits that people read.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(value) if value.is_f64() => number(value.as_f64().unwrap_or(f64::NAN)),
        other => other.to_string(),
    }
}

/// Six significant digits, as NumPy's `%g`.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1e-4..1e6).contains(&magnitude) {
        let decimals =
            if value == 0.0 { 0 } else { (5 - magnitude.log10().floor() as i32).clamp(0, 9) as usize };
        let text = format!("{value:.decimals$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else if value.is_finite() {
        format!("{value:.5e}")
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_six_digits() {
        let cases =
            [(0.0, "0"), (1.5, "1.5"), (127.123_456_7, "127.123"), (-0.001, "-0.001"), (1e9, "1.00000e9")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(f64::INFINITY), "inf");
    }
}

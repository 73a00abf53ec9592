//! `treequeues bench`: what this machine can do, in a few seconds.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | what is measured, and what is printed of it |
//! | `native` | copies, latency and rates of this process and a second one |
//! | `python` | the same rates by Python, `multiprocessing.Queue` among them |
//!
//! All are medians of rounds that are short enough to be done with soon, so they are a look and no record.

mod native;
mod python;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arguments::Bench;
use crate::failure::Failure;
use crate::output::{BOLD, DIM, Side, Table, write_json};
use crate::units;

pub use native::{echo, sink};

/// Bytes of the copies: one that fits in a processor's cache, and one that hardly does.
const COPIES: [usize; 2] = [1_000_000, 10_000_000];
/// Bytes of the items: a few numbers, an Atari observation of four frames, a camera's picture.
const ITEMS: [usize; 3] = [64, 4 * 84 * 84, 1_000_000];
/// Slots of the queues.
const MAXSIZE: u64 = 10;
/// Rounds of each rate.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(200);

/// What the JSON has, and what is printed of it.
#[derive(Default, Serialize)]
struct Report {
    processors: usize,
    copies: Vec<Copy>,
    latency: Option<Latency>,
    rates: Vec<Rate>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Copy {
    bytes: usize,
    bytes_per_second: f64,
}

/// From one process to another, half of a round trip, both spinning.
#[derive(Serialize)]
struct Latency {
    p50_seconds: f64,
    p99_seconds: f64,
    round_trips: usize,
}

/// One process puts and another gets, as fast as they can.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Rate {
    queue: String,
    item_bytes: usize,
    items_per_second: f64,
}

pub fn run(asked: &Bench, restart: &[OsString], out: &mut dyn Write) -> Result<(), Failure> {
    let mut report =
        Report { processors: thread::available_parallelism().map_or(1, usize::from), ..Report::default() };
    if report.processors == 1 {
        report.notes.push(
            "this process may use one processor, so latency and rates are those of taking turns".into(),
        );
    }
    if let Some(load) = load().filter(|&load| load > report.processors as f64) {
        let processors = units::plural(report.processors, "processor");
        report.notes.push(format!(
            "the machine is busy, {load:.0} processes want {processors}: the figures are worse than it can do"
        ));
    }
    report.copies = COPIES.map(native::copy).into();
    report.latency = Some(native::latency(restart)?);
    for item_bytes in ITEMS {
        report.rates.push(native::rate(restart, item_bytes)?);
    }
    match python::rates(asked.python.as_ref()) {
        Ok(rates) => report.rates.extend(rates),
        // Who names a Python wants its figures.
        Err(why) if asked.python.is_some() => return Err(Failure::refused(why)),
        Err(why) => report.notes.push(why),
    }
    if asked.json {
        write_json(&report, out)?
    } else {
        write_text(&report, out)?
    }
    Ok(())
}

fn write_text(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let span = |seconds: f64| units::span(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let processors = units::plural(report.processors, "processor");
    writeln!(
        out,
        "Medians of a few short rounds on {processors}; other work on this machine shows in them."
    )?;
    writeln!(out, "\n{BOLD}COPY{BOLD:#}  {DIM}one process, between two warm buffers{DIM:#}")?;
    for Copy { bytes, bytes_per_second } in &report.copies {
        let size = units::bytes(*bytes as f64);
        writeln!(out, "  {size:>7}  {}/s", units::bytes(*bytes_per_second))?;
    }
    if let Some(latency) = &report.latency {
        writeln!(out, "\n{BOLD}LATENCY{BOLD:#}  {DIM}8 bytes, one way, two processes that both spin{DIM:#}")?;
        writeln!(out, "  p50  {}\n  p99  {}", span(latency.p50_seconds), span(latency.p99_seconds))?;
    }
    writeln!(out, "\n{BOLD}RATE{BOLD:#}  {DIM}one process puts, another gets, {MAXSIZE} slots{DIM:#}")?;
    let mut table = Table::new([
        ("ITEM", Side::Right),
        ("QUEUE", Side::Left),
        ("ITEMS/S", Side::Right),
        ("BYTES/S", Side::Right),
        ("AN ITEM", Side::Right),
    ])
    .indented("  ");
    for item_bytes in ITEMS {
        let of_this_size = report.rates.iter().filter(|rate| rate.item_bytes == item_bytes);
        for (place, rate) in of_this_size.enumerate() {
            let size = if place == 0 { units::bytes(item_bytes as f64) } else { String::new() };
            table.add(vec![
                size.into(),
                rate.queue.clone().into(),
                units::count(rate.items_per_second).into(),
                format!("{}/s", units::bytes(rate.items_per_second * item_bytes as f64)).into(),
                span(1.0 / rate.items_per_second).into(),
            ]);
        }
    }
    table.write(out)?;
    for note in &report.notes {
        writeln!(out, "\nNote: {note}.")?;
    }
    Ok(())
}

/// How many processes ran or wanted to, in the mean of the last minute.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The middle one, or the upper of two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![2.0, 1.0]), 2.0);
    }

    #[test]
    fn the_system_tells_its_load() {
        assert!(load().is_some_and(|load| load >= 0.0));
    }
}

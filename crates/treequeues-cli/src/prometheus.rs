//! Looks in the text format that Prometheus reads, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>: all samples of a metric stand together under its HELP and
//! TYPE lines. Seconds and bytes are the units, and counters end in `_total`.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::look::{Look, Participant, State, Totals};

const STATES: [State; 5] = [State::Live, State::Idle, State::Stale, State::Broken, State::Foreign];

#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

/// The metric `treequeues_{name}`, in the making.
struct Metric {
    name: &'static str,
    lines: String,
}

pub fn write(looks: &[Look], out: &mut dyn Write) -> io::Result<()> {
    let mut text = String::new();
    for metric in metrics(looks) {
        // HELP and TYPE of a metric without samples would say nothing.
        if metric.lines.lines().count() > 2 {
            text += &metric.lines;
        }
    }
    out.write_all(text.as_bytes())
}

fn metrics(looks: &[Look]) -> Vec<Metric> {
    let mut metrics = vec![states(looks), info(looks)];
    metrics.extend(facts(looks));
    metrics.extend(slots(looks));
    metrics.extend(counters(looks));
    metrics.extend(participants(looks));
    metrics
}

fn states(looks: &[Look]) -> Metric {
    let mut metric =
        Metric::new("state", Kind::Gauge, "1 for the state that the name is in, 0 for the others.");
    for look in looks {
        for state in STATES {
            let labels = [("name", look.name.as_str()), ("state", state.word())];
            metric.add(&labels, f64::from(u8::from(look.state == state)));
        }
    }
    metric
}

fn info(looks: &[Look]) -> Metric {
    let mut metric =
        Metric::new("info", Kind::Gauge, "1 for each queue; another id is another queue of that name.");
    for look in looks {
        if let Some(facts) = &look.facts {
            metric.add(&[("name", &look.name), ("id", &facts.id)], 1.0);
        }
    }
    metric
}

fn facts(looks: &[Look]) -> Vec<Metric> {
    type Value = fn(&crate::look::Facts) -> f64;
    let table: [(&'static str, &str, Value); 4] = [
        ("capacity_items", "Items that fit in.", |facts| facts.capacity as f64),
        ("segment_bytes", "Bytes of shared memory, all in all.", |facts| facts.bytes as f64),
        ("item_bytes", "Bytes of the leaves of one item.", |facts| facts.item_bytes as f64),
        ("age_seconds", "Time since the queue was created.", |facts| facts.age_seconds),
    ];
    let one = |(name, help, value): (_, _, Value)| {
        let mut metric = Metric::new(name, Kind::Gauge, help);
        for look in looks {
            if let Some(facts) = &look.facts {
                metric.add(&[("name", &look.name)], value(facts));
            }
        }
        metric
    };
    table.map(one).into()
}

fn slots(looks: &[Look]) -> Vec<Metric> {
    let mut items = Metric::new("items", Kind::Gauge, "Items to be had.");
    let mut slots = Metric::new("slots", Kind::Gauge, "Slots by their state.");
    let mut attached =
        Metric::new("participants", Kind::Gauge, "Processes attached, dead ones not yet found included.");
    let mut shut_down = Metric::new("shut_down", Kind::Gauge, "1 if the queue is shut down.");
    let mut most_deaths = Metric::new("most_deaths", Kind::Gauge, "Takers that died with the worst item.");
    let mut producers =
        Metric::new("producers", Kind::Gauge, "Producers of a queue that was told how many there will be.");
    for look in looks {
        let Some(content) = &look.content else { continue };
        let name = ("name", look.name.as_str());
        items.add(&[name], content.items as f64);
        attached.add(&[name], content.participants.len() as f64);
        shut_down.add(&[name], f64::from(u8::from(content.shut_down)));
        most_deaths.add(&[name], f64::from(content.most_deaths));
        if let Some(of) = content.producers {
            let counts = [("said", of.said.into()), ("came", of.came), ("left", of.left), ("died", of.died)];
            for (what, count) in counts {
                producers.add(&[name, ("count", what)], count as f64);
            }
        }
        for (state, count) in [
            ("free", content.slots.free),
            ("writing", content.slots.writing),
            ("ready", content.slots.ready),
            ("returned", content.slots.returned),
            ("reading", content.slots.reading),
            ("lingering", content.slots.lingering),
        ] {
            slots.add(&[name, ("state", state)], count as f64);
        }
    }
    vec![items, slots, attached, shut_down, most_deaths, producers]
}

type Count = fn(&Totals) -> f64;

fn counters(looks: &[Look]) -> Vec<Metric> {
    let table: [(&'static str, &str, Count); 14] = [
        ("puts_total", "Items put.", |totals| totals.puts as f64),
        ("gets_total", "Items taken for good.", |totals| totals.gets as f64),
        ("full_total", "Calls that found too few free slots.", |totals| totals.full as f64),
        ("empty_total", "Calls that found too few items.", |totals| totals.empty as f64),
        ("put_waits_total", "Calls that waited for free slots.", |totals| totals.put_waits as f64),
        ("put_wait_seconds_total", "How long those waited.", |totals| totals.put_wait_seconds),
        ("get_waits_total", "Calls that waited for items.", |totals| totals.get_waits as f64),
        ("get_wait_seconds_total", "How long those waited.", |totals| totals.get_wait_seconds),
        ("give_backs_total", "Items given back by their takers.", |totals| totals.give_backs as f64),
        ("redeliveries_total", "Deliveries after the first one.", |totals| totals.redeliveries as f64),
        ("sweeps_total", "Looks for dead participants.", |totals| totals.sweeps as f64),
        ("deaths_total", "Dead participants found.", |totals| totals.deaths as f64),
        ("dropped_total", "Items that killed too many takers.", |totals| totals.dropped as f64),
        ("overwritten_total", "Items dropped by puts into the full queue.", |totals| {
            totals.overwritten as f64
        }),
    ];
    let one = |(name, help, count): (_, _, Count)| {
        let mut metric = Metric::new(name, Kind::Counter, help);
        for look in looks {
            if let Some(content) = &look.content {
                metric.add(&[("name", &look.name)], count(&content.counters));
            }
        }
        metric
    };
    let mut metrics: Vec<Metric> = table.map(one).into();
    let volumes: [(&'static str, &str, Count); 2] = [
        ("put_bytes_total", "Bytes of the items put.", |totals| totals.puts as f64),
        ("get_bytes_total", "Bytes of the items taken for good.", |totals| totals.gets as f64),
    ];
    for (name, help, count) in volumes {
        let mut metric = Metric::new(name, Kind::Counter, help);
        for look in looks {
            if let (Some(facts), Some(content)) = (&look.facts, &look.content) {
                metric.add(&[("name", &look.name)], count(&content.counters) * facts.item_bytes as f64);
            }
        }
        metrics.push(metric);
    }
    metrics
}

fn participants(looks: &[Look]) -> Vec<Metric> {
    type Value = fn(&Participant) -> f64;
    use Kind::{Counter, Gauge};
    let table: [(&'static str, Kind, &str, Value); 6] = [
        ("participant_alive", Gauge, "1 if the process lives.", |who| f64::from(u8::from(who.alive))),
        ("participant_puts_total", Counter, "Items put by it.", |who| who.counters.puts as f64),
        ("participant_gets_total", Counter, "Items taken by it.", |who| who.counters.gets as f64),
        ("participant_put_wait_seconds_total", Counter, "How long it waited for free slots.", |who| {
            who.counters.put_wait_seconds
        }),
        ("participant_get_wait_seconds_total", Counter, "How long it waited for items.", |who| {
            who.counters.get_wait_seconds
        }),
        (
            "participant_longest_hold_seconds",
            Gauge,
            "How long it has held the slot that it has held longest.",
            |who| who.longest_hold_seconds.unwrap_or(0.0),
        ),
    ];
    let everybody = || {
        let content = looks.iter().filter_map(|look| Some((look, look.content.as_ref()?)));
        content.flat_map(|(look, content)| content.participants.iter().map(move |who| (look, who)))
    };
    let labels =
        |look: &Look, who: &Participant| (look.name.clone(), who.place.to_string(), who.pid.to_string());
    let mut metrics: Vec<Metric> = table
        .map(|(name, kind, help, value)| {
            let mut metric = Metric::new(name, kind, help);
            for (look, who) in everybody() {
                let (name, place, pid) = labels(look, who);
                metric.add(&[("name", &name), ("participant", &place), ("pid", &pid)], value(who));
            }
            metric
        })
        .into();
    let mut slots = Metric::new("participant_slots", Gauge, "Slots that it holds, by what for.");
    for (look, who) in everybody() {
        let (name, place, pid) = labels(look, who);
        for (what, count) in
            [("writing", who.writing), ("reading", who.reading), ("lingering", who.lingering)]
        {
            let labels = [("name", name.as_str()), ("participant", &place), ("pid", &pid), ("for", what)];
            slots.add(&labels, count as f64);
        }
    }
    metrics.push(slots);
    metrics
}

impl Metric {
    fn new(name: &'static str, kind: Kind, help: &str) -> Self {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let lines = format!("# HELP treequeues_{name} {help}\n# TYPE treequeues_{name} {kind}\n");
        Self { name, lines }
    }

    fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(self.lines, "treequeues_{}{{{}}} {value}", self.name, labels.join(","));
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

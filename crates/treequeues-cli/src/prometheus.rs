//! Looks in the text format that Prometheus reads, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>: all samples of a metric stand together under its HELP and
//! TYPE lines. Seconds and bytes are the units, and counters end in `_total`.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::look::{Kind as Structure, Look, Participant, State, Subscription, Totals};

const STATES: [State; 5] = [State::Live, State::Idle, State::Stale, State::Broken, State::Foreign];

#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

/// Which looks have samples of a metric.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    All,
    Queues,
    Topics,
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
    metrics.extend(subscriptions(looks));
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
    let mut metric = Metric::new(
        "info",
        Kind::Gauge,
        "1 for each queue and topic; another id is another one of that name.",
    );
    for look in looks {
        if let (Some(facts), Some(kind)) = (&look.facts, look.kind) {
            metric.add(&[("name", &look.name), ("id", &facts.id), ("kind", kind.word())], 1.0);
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
        ("age_seconds", "Time since it was created.", |facts| facts.age_seconds),
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
    let mut shut_down = Metric::new("shut_down", Kind::Gauge, "1 if it is shut down.");
    let mut most_deaths = Metric::new("most_deaths", Kind::Gauge, "Takers that died with the worst item.");
    let mut producers =
        Metric::new("producers", Kind::Gauge, "Producers of a queue that was told how many there will be.");
    let mut version = Metric::new("version", Kind::Gauge, "Ticket of a topic's newest item; 0 for none.");
    let mut subscriptions = Metric::new("subscriptions", Kind::Gauge, "A topic's subscriptions.");
    for look in looks {
        let Some(content) = &look.content else { continue };
        let name = ("name", look.name.as_str());
        items.add(&[name], content.items as f64);
        attached.add(&[name], content.participants.len() as f64);
        shut_down.add(&[name], f64::from(u8::from(content.shut_down)));
        if let Some(deaths) = content.most_deaths() {
            most_deaths.add(&[name], f64::from(deaths));
        }
        if let Some(newest) = content.version() {
            version.add(&[name], newest as f64);
            subscriptions.add(&[name], content.subscriptions().len() as f64);
        }
        if let Some(of) = content.producers() {
            let counts = [("said", of.said.into()), ("came", of.came), ("left", of.left), ("died", of.died)];
            for (what, count) in counts {
                producers.add(&[name, ("count", what)], count as f64);
            }
        }
        for of in &content.slots.0 {
            slots.add(&[name, ("state", of.state)], of.count as f64);
        }
    }
    vec![items, slots, attached, shut_down, most_deaths, producers, version, subscriptions]
}

type Count = fn(&Totals) -> f64;

fn counters(looks: &[Look]) -> Vec<Metric> {
    let table: [(&'static str, Of, &str, Count); 15] = [
        ("puts_total", Of::All, "Items put.", |totals| totals.puts as f64),
        ("gets_total", Of::All, "Items taken for good; of a topic, reads.", |totals| totals.gets as f64),
        ("full_total", Of::All, "Calls that found too few free slots.", |totals| totals.full as f64),
        ("empty_total", Of::All, "Calls that found too few items.", |totals| totals.empty as f64),
        ("put_waits_total", Of::All, "Calls that waited for free slots.", |totals| totals.put_waits as f64),
        ("put_wait_seconds_total", Of::All, "How long those waited.", |totals| totals.put_wait_seconds),
        ("get_waits_total", Of::All, "Calls that waited for items.", |totals| totals.get_waits as f64),
        ("get_wait_seconds_total", Of::All, "How long those waited.", |totals| totals.get_wait_seconds),
        ("give_backs_total", Of::Queues, "Items given back by their takers.", |totals| {
            totals.give_backs as f64
        }),
        ("redeliveries_total", Of::Queues, "Deliveries after the first one.", |totals| {
            totals.redeliveries as f64
        }),
        ("sweeps_total", Of::All, "Looks for dead participants.", |totals| totals.sweeps as f64),
        ("deaths_total", Of::All, "Dead participants found.", |totals| totals.deaths as f64),
        ("dropped_total", Of::Queues, "Items that killed too many takers.", |totals| totals.dropped as f64),
        ("overwritten_total", Of::Queues, "Items dropped by puts into the full queue.", |totals| {
            totals.overwritten as f64
        }),
        ("missed_total", Of::Topics, "Items that subscriptions passed over.", |totals| totals.missed as f64),
    ];
    let one = |(name, of, help, count): (_, Of, _, Count)| {
        let mut metric = Metric::new(name, Kind::Counter, help);
        for look in looks.iter().filter(|look| of.has(look)) {
            if let Some(content) = &look.content {
                metric.add(&[("name", &look.name)], count(&content.counters));
            }
        }
        metric
    };
    let mut metrics: Vec<Metric> = table.map(one).into();
    let volumes: [(&'static str, &str, Count); 2] = [
        ("put_bytes_total", "Bytes of the items put.", |totals| totals.puts as f64),
        ("get_bytes_total", "Bytes of the items taken for good, or read.", |totals| totals.gets as f64),
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
            "How long it has held the slot that it has held longest; of a topic, of those that it writes to.",
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

/// Of those that have a record: a participant has some for its first subscriptions.
fn subscriptions(looks: &[Look]) -> Vec<Metric> {
    type Value = fn(&Subscription) -> f64;
    use Kind::{Counter, Gauge};
    let table: [(&'static str, Kind, &str, Value); 2] = [
        (
            "subscription_lag_items",
            Gauge,
            "Items that the subscription has not come to yet.",
            |subscription| subscription.lag as f64,
        ),
        ("subscription_missed_total", Counter, "Items that the subscription passed over.", |subscription| {
            subscription.missed as f64
        }),
    ];
    let one = |(name, kind, help, value): (_, _, _, Value)| {
        let mut metric = Metric::new(name, kind, help);
        for look in looks {
            for it in look.content.iter().flat_map(|content| content.subscriptions()) {
                let [number, place] = [it.number.to_string(), it.participant.to_string()];
                let pid = it.pid.map_or(String::new(), |pid| pid.to_string());
                let labels =
                    [("name", &look.name), ("subscription", &number), ("participant", &place), ("pid", &pid)];
                metric.add(&labels.map(|(label, value)| (label, value.as_str())), value(it));
            }
        }
        metric
    };
    table.map(one).into()
}

impl Of {
    fn has(self, look: &Look) -> bool {
        match self {
            Self::All => true,
            Self::Queues => look.kind == Some(Structure::Queue),
            Self::Topics => look.kind == Some(Structure::Topic),
        }
    }
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

//! What only queues have.

use std::num::NonZeroU32;

use serde::Serialize;
use treequeues::{HeldSlot, Observer, ProducerStats, Snapshot, Stats, WhatFor};

use super::participant::pid_of;
use super::{
    Content, Facts, Held, Own, Participant, Purpose, Since, SlotCount, Slots, Totals, shut_down_by_whom,
};
use crate::units;

/// What does not change while a queue lives, of what topics do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct QueueFacts {
    /// How many takers an item may kill before it is dropped; null for no limit.
    pub max_deliveries: Option<u32>,
    /// Whether a put into the full queue drops the oldest item.
    pub drops_oldest: bool,
}

/// What is known of a queue's content alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueContent {
    /// How many takers died with the item with which most have died.
    pub most_deaths: u32,
    /// Those of a queue that was told how many there will be.
    pub producers: Option<Producers>,
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

impl QueueFacts {
    pub(super) fn of(observer: &Observer) -> Self {
        Self {
            max_deliveries: observer.max_deliveries().map(NonZeroU32::get),
            drops_oldest: observer.drops_oldest(),
        }
    }
}

pub(super) fn content(stats: &Stats) -> Content {
    let Snapshot { ready, is_shut_down, .. } = stats.snapshot;
    let (shut_down_by, shut_down_at) = shut_down_by_whom(stats.shutdown);
    let held = |held: &HeldSlot| Held::of_queue(held, pid_of(&stats.participants, held.participant));
    let mut held: Vec<_> = stats.held.iter().map(held).collect();
    held.sort_by(|a, b| b.since.seconds().unwrap_or(0.0).total_cmp(&a.since.seconds().unwrap_or(0.0)));
    Content {
        items: ready,
        depth: ready,
        shut_down: is_shut_down,
        shut_down_by,
        shut_down_at,
        slots: slots(&stats.snapshot),
        counters: Totals::of(&stats.counters),
        participants: stats.participants.iter().map(Participant::of).collect(),
        held,
        held_order: "the longest first",
        own: Own::Queue(QueueContent {
            most_deaths: stats.most_deaths,
            producers: stats.producers.as_ref().map(Producers::of),
        }),
    }
}

fn slots(snapshot: &Snapshot) -> Slots {
    let Snapshot { free, writing, ready, returned, reading, lingering, .. } = *snapshot;
    let count = |state, count, meaning| SlotCount {
        state,
        count,
        meaning,
        also_none: matches!(state, "free" | "ready"),
    };
    Slots(vec![
        count("free", free, "to put into"),
        count("writing", writing, "held by producers"),
        count("ready", ready - returned, "items to get"),
        count("returned", returned, "items that come first: given back, or taken by somebody who died"),
        count("reading", reading, "held by consumers"),
        count("lingering", lingering, "kept by arrays that still live, though their loans have ended"),
    ])
}

impl QueueContent {
    pub(super) fn notes(&self, facts: &Facts, counters: &Totals) -> Vec<(&'static str, String)> {
        let mut notes = Vec::new();
        notes.extend(self.killers(facts, counters).map(|killers| ("killers", killers)));
        if facts.drops_oldest() {
            let items = units::plural(counters.overwritten as usize, "item");
            notes.push(("overflow", format!("{items} dropped for newer ones")));
        }
        notes.extend(self.producers.map(|producers| ("producers", producers.text())));
        notes
    }

    /// What is known of items that kill their takers, if there are any.
    fn killers(&self, facts: &Facts, counters: &Totals) -> Option<String> {
        let mut parts = Vec::new();
        if self.most_deaths > 0 {
            let takers = units::plural(self.most_deaths as usize, "taker");
            let of = facts.max_deliveries().map_or(String::new(), |limit| format!(", dropped after {limit}"));
            parts.push(format!("{takers} died with the worst item{of}"));
        }
        if counters.dropped > 0 {
            parts.push(format!("{} dropped", units::plural(counters.dropped as usize, "item")));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl Producers {
    fn of(stats: &ProducerStats) -> Self {
        Self { said: stats.said.get(), came: stats.came, left: stats.left, died: stats.died }
    }

    /// `2 of 3 came, 1 left, 1 died`.
    fn text(self) -> String {
        let Self { said, came, left, died } = self;
        let died = if died > 0 { format!(", {died} died") } else { String::new() };
        format!("{came} of {said} came, {left} left{died}")
    }
}

impl Held {
    fn of_queue(held: &HeldSlot, pid: Option<u32>) -> Self {
        Self {
            slot: held.slot,
            ticket: Some(held.ticket),
            participant: held.participant,
            pid,
            purpose: match held.what_for {
                WhatFor::Writing => Purpose::Writing,
                WhatFor::Reading => Purpose::Reading,
                WhatFor::Lingering => Purpose::Lingering,
            },
            since: Since::of(held.held_for),
            times: None,
        }
    }
}

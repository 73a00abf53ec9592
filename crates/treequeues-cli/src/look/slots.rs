//! Slots by their state, and who holds them.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::units;

/// Slots by their state. The sum is the capacity, until an immediate shutdown puts items out of reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Slots(pub Vec<SlotCount>);

/// How many slots are in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotCount {
    pub state: &'static str,
    pub count: usize,
    pub meaning: &'static str,
    /// Whether people are told of none.
    pub also_none: bool,
}

/// A slot that somebody holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    pub slot: usize,
    /// Of its item. None of a topic's slot that has no item yet, or no more.
    pub ticket: Option<u64>,
    /// The holder's place in the table of participants, and its process if it is still there.
    pub participant: u32,
    pub pid: Option<u32>,
    #[serde(rename = "for")]
    pub purpose: Purpose,
    #[serde(rename = "held_seconds")]
    pub since: Since,
    /// How often the holder reads a topic's item at this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// What a slot is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    Writing,
    Reading,
    Lingering,
}

/// For how long a slot has been held, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Since {
    Seconds(f64),
    /// A put or a get is under way: only loans look at the clock.
    Moment,
    /// Nobody has looked at the clock: a read of a topic is as cheap as it can be.
    Unknown,
}

impl Slots {
    /// What people are told.
    pub fn told(&self) -> impl Iterator<Item = &SlotCount> {
        self.0.iter().filter(|slots| slots.count > 0 || slots.also_none)
    }

    pub fn sum(&self) -> usize {
        self.0.iter().map(|slots| slots.count).sum()
    }
}

impl Serialize for Slots {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for SlotCount { state, count, .. } in &self.0 {
            map.serialize_entry(state, count)?;
        }
        map.end()
    }
}

impl Since {
    /// Of a loan, or of a call that is under way.
    pub(super) fn of(held_for: Option<Duration>) -> Self {
        held_for.map_or(Self::Moment, |held_for| Self::Seconds(held_for.as_secs_f64()))
    }

    pub fn seconds(self) -> Option<f64> {
        if let Self::Seconds(seconds) = self { Some(seconds) } else { None }
    }

    /// As people read it, where it is known.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Seconds(seconds) => Some(units::hold(Some(seconds))),
            Self::Moment => Some(units::hold(None)),
            Self::Unknown => None,
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

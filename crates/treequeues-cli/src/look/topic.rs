//! What only topics have.

use serde::Serialize;
use treequeues::{HeldTopicSlot, ParticipantStats, TopicStats};

use super::participant::pid_of;
use super::{Content, Held, Own, Participant, Purpose, Since, SlotCount, Slots, Totals, shut_down_by_whom};
use crate::units;

/// What is known of a topic's content alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicContent {
    /// The ticket of the newest item; 0 while there is none.
    pub version: u64,
    /// The one that is furthest behind first.
    pub subscriptions: Vec<Subscription>,
}

/// How far a subscription has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Subscription {
    /// Its own while it lasts; a later one may have it again.
    pub number: usize,
    /// The place of its participant in the table, and its process.
    pub participant: u32,
    pub pid: Option<u32>,
    /// The lowest ticket that it may come to.
    pub next_ticket: u64,
    /// How many items it has not come to yet.
    pub lag: u64,
    /// How many items it has passed over.
    pub missed: u64,
}

pub(super) fn content(stats: &TopicStats) -> Content {
    let (shut_down_by, shut_down_at) = shut_down_by_whom(stats.shutdown);
    // After an immediate shutdown, what nobody reads can no longer be had.
    let is_over = stats.shutdown.is_some_and(|shutdown| shutdown.is_immediate());
    let unread = if is_over { 0 } else { stats.items - stats.reading };
    let mut held: Vec<_> =
        stats.held.iter().flat_map(|held| Held::of_topic(held, &stats.participants)).collect();
    held.sort_by_key(Held::age_rank);
    let subscription = |it: &treequeues::SubscriptionStats| Subscription {
        number: it.number,
        participant: it.participant,
        pid: pid_of(&stats.participants, it.participant),
        next_ticket: it.next_ticket,
        lag: it.lag(stats.version),
        missed: it.missed,
    };
    let mut subscriptions: Vec<_> = stats.subscriptions.iter().map(subscription).collect();
    subscriptions.sort_by_key(|subscription| (std::cmp::Reverse(subscription.lag), subscription.number));
    Content {
        items: if is_over { 0 } else { stats.items },
        depth: stats.writing + stats.reading + stats.lingering,
        shut_down: stats.shutdown.is_some(),
        shut_down_by,
        shut_down_at,
        slots: slots(stats, unread),
        counters: Totals::of(&stats.counters),
        participants: stats.participants.iter().map(Participant::of).collect(),
        held,
        held_order: "the oldest items first",
        own: Own::Topic(TopicContent { version: stats.version, subscriptions }),
    }
}

fn slots(stats: &TopicStats, unread: usize) -> Slots {
    let count = |state, count, meaning| SlotCount {
        state,
        count,
        meaning,
        also_none: matches!(state, "free" | "ready"),
    };
    Slots(vec![
        count("free", stats.free, "without an item"),
        count("writing", stats.writing, "held by publishers"),
        count("ready", unread, "items that nobody reads: a put may have all but the newest"),
        count("reading", stats.reading, "items that somebody reads, or keeps by arrays that still live"),
        count("lingering", stats.lingering, "without an item, but kept by arrays that still live"),
    ])
}

impl TopicContent {
    pub(super) fn notes(&self, counters: &Totals) -> Vec<(&'static str, String)> {
        let mut parts = vec![self.version.to_string()];
        if !self.subscriptions.is_empty() || counters.missed > 0 {
            let behind = match self.most_lag() {
                None => String::new(),
                Some(0) => ", none behind".to_owned(),
                Some(lag) => format!(", the last one {} behind", units::plural(lag as usize, "item")),
            };
            parts.push(units::plural(self.subscriptions.len(), "subscription") + &behind);
            parts.push(format!("{} missed", counters.missed));
        }
        vec![("version", parts.join("; "))]
    }

    pub(super) fn most_lag(&self) -> Option<u64> {
        self.subscriptions.iter().map(|subscription| subscription.lag).max()
    }
}

impl Held {
    /// One for each participant that has the slot.
    fn of_topic<'s>(
        held: &'s HeldTopicSlot,
        participants: &'s [ParticipantStats],
    ) -> impl Iterator<Item = Self> + 's {
        let by = move |place, purpose, since, times| Self {
            slot: held.slot,
            ticket: held.ticket,
            participant: place,
            pid: pid_of(participants, place),
            purpose,
            since,
            times,
        };
        let purpose = if held.ticket.is_some() { Purpose::Reading } else { Purpose::Lingering };
        let writer = held.writer.map(|place| by(place, Purpose::Writing, Since::of(held.written_for), None));
        // While a slot is written to, pins on it are those of readers that come too late, and will see that.
        let readers = held.readers.iter().filter(move |_| held.writer.is_none());
        writer
            .into_iter()
            .chain(readers.map(move |&(place, times)| by(place, purpose, Since::Unknown, Some(times))))
    }

    /// What comes first: slots whose items are gone, items by age, and those to come.
    fn age_rank(&self) -> (u8, Option<u64>, usize) {
        let rank = match self.purpose {
            Purpose::Lingering => 0,
            Purpose::Reading => 1,
            Purpose::Writing => 2,
        };
        (rank, self.ticket, self.slot)
    }
}

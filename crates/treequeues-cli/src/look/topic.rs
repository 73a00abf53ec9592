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

#[cfg(test)]
mod tests {
    use treequeues::{Schema, Start, Topic};

    use super::*;

    fn topic() -> Topic {
        let schema = Schema::builder().array::<u8>("pixels", [2]).build().expect("sound");
        Topic::create(schema, 4).expect("memory")
    }

    fn put(topic: &Topic) -> u64 {
        topic.reserve().expect("free").commit().expect("sound")
    }

    fn seen(topic: &Topic) -> Content {
        content(&topic.stats().expect("sound"))
    }

    fn told(content: &Content) -> Vec<(&'static str, usize)> {
        content.slots.told().map(|slots| (slots.state, slots.count)).collect()
    }

    #[test]
    fn who_writes_reads_and_keeps_which_slot_is_told_oldest_items_first() {
        let topic = topic();
        let mut kept = topic.reserve().expect("free").into_hold();
        kept.linger().expect("sound");
        put(&topic);
        let _old = topic.borrow_latest().expect("an item");
        put(&topic);
        let _writing = topic.reserve().expect("free");
        let content = seen(&topic);
        assert_eq!(
            told(&content),
            [("free", 0), ("writing", 1), ("ready", 1), ("reading", 1), ("lingering", 1)]
        );
        assert_eq!((content.items, content.depth, content.slots.sum()), (2, 3, 4));
        let held: Vec<_> = content.held.iter().map(|it| (it.purpose, it.ticket, it.times)).collect();
        assert_eq!(
            held,
            [
                (Purpose::Lingering, None, Some(1)),
                (Purpose::Reading, Some(1), Some(1)),
                (Purpose::Writing, None, None),
            ]
        );
        assert_eq!(content.held[1].since, Since::Unknown, "a read does not look at the clock");
        assert!(content.held[2].since.seconds().is_some(), "a loan that is written to does");
    }

    #[test]
    fn the_subscription_that_is_furthest_behind_comes_first() {
        let topic = topic();
        let [all, newest] =
            [Start::Oldest, Start::Latest].map(|start| topic.subscribe(start).expect("attached"));
        for _ in 0..9 {
            put(&topic);
        }
        newest.borrow_latest().expect("an item").release().expect("sound");
        let content = seen(&topic);
        let lags: Vec<_> = content.subscriptions().iter().map(|it| (it.number, it.lag, it.missed)).collect();
        assert_eq!(lags, [(0, 9, 0), (1, 0, 8)]);
        assert_eq!(
            content.notes(&facts()),
            [("version", "9; 2 subscriptions, the last one 9 items behind; 8 missed".to_owned())]
        );
        drop((all, newest));
        let notes = seen(&topic).notes(&facts());
        assert_eq!(notes, [("version", "9; 0 subscriptions; 8 missed".to_owned())]);
    }

    #[test]
    fn a_topic_that_nobody_has_put_into_has_version_0() {
        let content = seen(&topic());
        assert_eq!((content.version(), content.items), (Some(0), 0));
        assert_eq!(content.notes(&facts()), [("version", "0".to_owned())]);
    }

    #[test]
    fn after_an_immediate_shutdown_items_are_out_of_reach() {
        for (immediate, items, slots) in [(false, 1, 4), (true, 0, 3)] {
            let topic = topic();
            put(&topic);
            topic.shutdown(immediate).expect("attached");
            let content = seen(&topic);
            assert_eq!((content.shut_down, content.items, content.slots.sum()), (true, items, slots));
            assert_eq!(content.shut_down_by, Some(std::process::id()));
        }
    }

    fn facts() -> crate::look::Facts {
        crate::look::Facts {
            id: String::new(),
            capacity: 4,
            bytes: 0,
            item_bytes: 2,
            max_participants: 64,
            of_queue: None,
            created_at: String::new(),
            age_seconds: 0.0,
            creator_pid: 1,
            kept: false,
        }
    }
}

//! Looks for tests: a queue of 64 slots of 1000 bytes, a topic of 8.

use crate::look::{
    Content, Facts, Held, Kind, Look, Own, Participant, Purpose, QueueContent, QueueFacts, Since, SlotCount,
    Slots, State, Subscription, TopicContent, Totals,
};

pub struct TestLook {
    pub look: Look,
}

/// A live queue with so many items and nobody attached.
pub fn look(name: &str, id: u32, items: usize) -> TestLook {
    let facts = Facts {
        id: format!("{id:032x}"),
        capacity: 64,
        bytes: 100_000,
        item_bytes: 1000,
        max_participants: 256,
        of_queue: Some(QueueFacts { max_deliveries: None, drops_oldest: false }),
        created_at: "2026-01-02T03:04:05Z".into(),
        age_seconds: 75.0,
        creator_pid: 4000,
        kept: false,
    };
    let content = Content {
        items,
        depth: items,
        shut_down: false,
        shut_down_by: None,
        shut_down_at: None,
        slots: slots(&[("free", 64 - items), ("ready", items)]),
        counters: Totals::default(),
        participants: Vec::new(),
        held: Vec::new(),
        held_order: "the longest first",
        own: Own::Queue(QueueContent::default()),
    };
    let look = Look {
        name: name.into(),
        kind: Some(Kind::Queue),
        state: State::Live,
        reason: None,
        facts: Some(facts),
        content: Some(content),
    };
    TestLook { look }
}

/// A live topic with items in all its 8 slots, of which so many are read, and nobody attached.
pub fn topic(name: &str, id: u32, version: u64, reading: usize) -> TestLook {
    let mut look = look(name, id, 8).look;
    look.kind = Some(Kind::Topic);
    let facts = look.facts.as_mut().expect("there are some");
    (facts.capacity, facts.bytes, facts.of_queue) = (8, 10_000, None);
    let content = look.content.as_mut().expect("there is one");
    (content.depth, content.held_order) = (reading, "the oldest items first");
    content.slots = slots(&[("free", 0), ("ready", 8 - reading), ("reading", reading)]);
    content.counters.puts = version;
    content.own = Own::Topic(TopicContent { version, subscriptions: Vec::new() });
    TestLook { look }
}

fn slots(counts: &[(&'static str, usize)]) -> Slots {
    let slots = counts.iter().map(|&(state, count)| {
        let also_none = matches!(state, "free" | "ready");
        SlotCount { state, count, meaning: "", also_none }
    });
    Slots(slots.collect())
}

/// A participant that has put and got so many items.
pub fn participant(place: u32, puts: u64, gets: u64) -> Participant {
    Participant {
        place,
        pid: 4000 + place,
        command: Some("python3".into()),
        alive: true,
        attached_at: "2026-01-02T03:04:05Z".into(),
        attached_seconds: 75.0,
        counters: Totals { puts, gets, ..Totals::default() },
        writing: 0,
        reading: 0,
        lingering: 0,
        longest_hold_seconds: None,
    }
}

impl TestLook {
    /// The same with one more participant, its counts added to the queue's.
    pub fn with(mut self, who: Participant) -> Self {
        let content = self.look.content.as_mut().expect("there is one");
        content.counters.puts += who.counters.puts;
        content.counters.gets += who.counters.gets;
        content.participants.push(who);
        self
    }

    /// The same, where an item may kill `limit` takers, the worst one has killed so many, and so many were dropped.
    pub fn killing(mut self, limit: u32, most_deaths: u32, dropped: u64) -> Self {
        let facts = self.look.facts.as_mut().expect("there are some");
        facts.of_queue.as_mut().expect("a queue's").max_deliveries = Some(limit);
        let content = self.look.content.as_mut().expect("there is one");
        content.own = Own::Queue(QueueContent { most_deaths, producers: None });
        content.counters.dropped = dropped;
        self
    }

    /// The same, where puts into the full queue drop the oldest item, and have dropped so many.
    pub fn overwriting(mut self, overwritten: u64) -> Self {
        let facts = self.look.facts.as_mut().expect("there are some");
        facts.of_queue.as_mut().expect("a queue's").drops_oldest = true;
        self.look.content.as_mut().expect("there is one").counters.overwritten = overwritten;
        self
    }

    /// The same with a slot that the participant at this place reads.
    pub fn held_by(mut self, place: u32, held_seconds: f64) -> Self {
        let content = self.look.content.as_mut().expect("there is one");
        let held = Held {
            slot: 7,
            ticket: Some(71),
            participant: place,
            pid: Some(4000 + place),
            purpose: Purpose::Reading,
            since: Since::Seconds(held_seconds),
            times: None,
        };
        content.held.push(held);
        let who = content.participants.iter_mut().find(|who| who.place == place).expect("attached");
        (who.reading, who.longest_hold_seconds) = (1, Some(held_seconds));
        self
    }
}

impl TestLook {
    /// The same with a subscription of the participant at this place, so far behind the topic's newest item, that has missed so many.
    pub fn subscribed(mut self, place: u32, lag: u64, missed: u64) -> Self {
        let content = self.look.content.as_mut().expect("there is one");
        content.counters.missed += missed;
        let Own::Topic(own) = &mut content.own else { panic!("a topic's") };
        let (number, next_ticket) = (own.subscriptions.len(), own.version + 1 - lag);
        own.subscriptions.push(Subscription {
            number,
            participant: place,
            pid: Some(4000 + place),
            next_ticket,
            lag,
            missed,
        });
        self
    }

    /// The same with an item that the participant at this place reads so many times.
    pub fn read_by(mut self, place: u32, slot: usize, ticket: u64, times: u64) -> Self {
        let content = self.look.content.as_mut().expect("there is one");
        content.held.push(Held {
            slot,
            ticket: Some(ticket),
            participant: place,
            pid: Some(4000 + place),
            purpose: Purpose::Reading,
            since: Since::Unknown,
            times: Some(times),
        });
        let who = content.participants.iter_mut().find(|who| who.place == place).expect("attached");
        who.reading += 1;
        self
    }
}

impl Participant {
    /// The same after so many seconds of waiting for room, and for items.
    pub fn waited(mut self, put_wait_seconds: f64, get_wait_seconds: f64) -> Self {
        (self.counters.put_wait_seconds, self.counters.get_wait_seconds) =
            (put_wait_seconds, get_wait_seconds);
        self
    }
}

//! Looks for tests: a queue of 64 slots of 1000 bytes.

use crate::look::{Content, Facts, Held, Look, Participant, Purpose, Slots, State, Totals};

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
        max_deliveries: None,
        drops_oldest: false,
        created_at: "2026-01-02T03:04:05Z".into(),
        age_seconds: 75.0,
        creator_pid: 4000,
        kept: false,
    };
    let content = Content {
        items,
        shut_down: false,
        shut_down_by: None,
        shut_down_at: None,
        most_deaths: 0,
        slots: Slots { free: 64 - items, ready: items, ..Slots::default() },
        counters: Totals::default(),
        producers: None,
        participants: Vec::new(),
        held: Vec::new(),
    };
    let look = Look {
        name: name.into(),
        state: State::Live,
        reason: None,
        facts: Some(facts),
        content: Some(content),
    };
    TestLook { look }
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
        self.look.facts.as_mut().expect("there are some").max_deliveries = Some(limit);
        let content = self.look.content.as_mut().expect("there is one");
        (content.most_deaths, content.counters.dropped) = (most_deaths, dropped);
        self
    }

    /// The same, where puts into the full queue drop the oldest item, and have dropped so many.
    pub fn overwriting(mut self, overwritten: u64) -> Self {
        self.look.facts.as_mut().expect("there are some").drops_oldest = true;
        self.look.content.as_mut().expect("there is one").counters.overwritten = overwritten;
        self
    }

    /// The same with a slot that the participant at this place reads.
    pub fn held_by(mut self, place: u32, held_seconds: f64) -> Self {
        let content = self.look.content.as_mut().expect("there is one");
        let held = Held {
            slot: 7,
            ticket: 71,
            participant: place,
            pid: Some(4000 + place),
            purpose: Purpose::Reading,
            held_seconds: Some(held_seconds),
        };
        content.held.push(held);
        let who = content.participants.iter_mut().find(|who| who.place == place).expect("attached");
        (who.reading, who.longest_hold_seconds) = (1, Some(held_seconds));
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

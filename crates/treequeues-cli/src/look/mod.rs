//! What is seen of a queue or a topic at about one moment, as plain data.
//!
//! The names of the fields are those of the JSON, so they are part of the interface: fields are added, not renamed. Spans
//! are seconds, moments are UTC.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | a look: what queues and topics have in common |
//! | `slots` | slots by their state, and who holds them |
//! | `participant` | attached processes, and what was done |
//! | `queue` | what only queues have |
//! | `topic` | what only topics have |
//!
//! A process is known by the number that it sees itself. In another pid namespace that number is another process's, or
//! nobody's, so the name of a command is a help for people and decides nothing.

mod participant;
mod queue;
mod slots;
mod topic;

use std::time::{Duration, SystemTime};

use serde::Serialize;
use treequeues::{AnyObserver, AttachError, NameState, Observed, Shutdown};

use crate::units;
pub use participant::{Participant, Totals, command_of};
pub use queue::{Producers, QueueContent, QueueFacts};
pub use slots::{Held, Purpose, Since, SlotCount, Slots};
pub use topic::{Subscription, TopicContent};

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Live,
    Idle,
    Stale,
    Broken,
    Foreign,
}

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Queue,
    Topic,
}

/// One look at one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    pub name: String,
    /// None of what is broken or foreign.
    pub kind: Option<Kind>,
    pub state: State,
    /// Why it is broken or foreign, or could not be looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(flatten)]
    pub facts: Option<Facts>,
    #[serde(flatten)]
    pub content: Option<Content>,
}

/// What does not change while a queue or a topic lives, but for its age.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// The segment's random id, in hexadecimal: another one under the same name is another queue or topic.
    pub id: String,
    pub capacity: usize,
    /// Of the whole segment.
    pub bytes: usize,
    pub item_bytes: usize,
    pub max_participants: u32,
    #[serde(flatten)]
    pub of_queue: Option<QueueFacts>,
    pub created_at: String,
    pub age_seconds: f64,
    pub creator_pid: u32,
    /// Whether it was made to outlive its participants.
    pub kept: bool,
}

/// What is in a queue or a topic, what was done to it, and by whom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Content {
    /// Items to be had.
    pub items: usize,
    /// Slots that a put cannot have now, or would have to wait for: of a queue its items, of a topic what somebody reads, writes or keeps.
    #[serde(skip)]
    pub depth: usize,
    pub shut_down: bool,
    /// The process that shut it down first, and when.
    pub shut_down_by: Option<u32>,
    pub shut_down_at: Option<String>,
    pub slots: Slots,
    pub counters: Totals,
    pub participants: Vec<Participant>,
    /// In the order of `held_order`.
    pub held: Vec<Held>,
    #[serde(skip)]
    pub held_order: &'static str,
    #[serde(flatten)]
    pub own: Own,
}

/// What only one of the kinds has.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Own {
    Queue(QueueContent),
    Topic(TopicContent),
}

impl State {
    pub fn of(state: &NameState) -> Self {
        match state {
            NameState::Live => Self::Live,
            NameState::Idle => Self::Idle,
            NameState::Stale => Self::Stale,
            NameState::Broken(_) => Self::Broken,
            NameState::Foreign(_) => Self::Foreign,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Idle => "idle",
            Self::Stale => "stale",
            Self::Broken => "broken",
            Self::Foreign => "foreign",
        }
    }
}

impl Kind {
    pub fn of(observer: &AnyObserver) -> Self {
        match observer {
            AnyObserver::Queue(_) => Self::Queue,
            AnyObserver::Topic(_) => Self::Topic,
        }
    }

    /// `2 queues, 1 topic`. What does not say what it is counts as a queue.
    pub fn counted(kinds: impl Iterator<Item = Option<Self>>) -> String {
        let (topics, queues): (Vec<_>, Vec<_>) = kinds.partition(|kind| *kind == Some(Self::Topic));
        let parts = [(queues.len(), Self::Queue), (topics.len(), Self::Topic)];
        let parts =
            parts.iter().filter(|(count, kind)| *count > 0 || (topics.is_empty() && *kind == Self::Queue));
        let parts: Vec<_> = parts.map(|(count, kind)| units::plural(*count, kind.word())).collect();
        parts.join(", ")
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Topic => "topic",
        }
    }
}

impl Look {
    /// What is seen of it now.
    pub fn at(observer: &AnyObserver) -> Result<Self, AttachError> {
        let (of_queue, content) = match observer {
            AnyObserver::Queue(queue) => {
                (Some(QueueFacts::of(queue)), queue.look().map(|stats| queue::content(&stats)))
            }
            AnyObserver::Topic(topic) => (None, topic.look().map(|stats| topic::content(&stats))),
        };
        let observed = observer.observed();
        let state = observed.state()?;
        let (content, damage) = match content {
            Ok(content) => (Some(content), None),
            Err(error @ AttachError::Corrupted(_)) => (None, Some(error.to_string())),
            Err(error) => return Err(error),
        };
        let reason = match &state {
            NameState::Broken(error) | NameState::Foreign(error) => Some(error.to_string()),
            NameState::Live | NameState::Idle | NameState::Stale => damage,
        };
        Ok(Self {
            name: observed.name().to_string(),
            kind: Some(Kind::of(observer)),
            state: State::of(&state),
            reason,
            facts: Some(Facts::of(observed, of_queue)),
            content,
        })
    }
}

impl Facts {
    fn of(observed: &Observed, of_queue: Option<QueueFacts>) -> Self {
        Self {
            id: observed.id().iter().map(|byte| format!("{byte:02x}")).collect(),
            capacity: observed.capacity(),
            bytes: observed.nbytes(),
            item_bytes: observed.schema().item_nbytes(),
            max_participants: observed.max_participants(),
            of_queue,
            created_at: units::moment(observed.created_at()),
            age_seconds: seconds_since(observed.created_at()),
            creator_pid: observed.creator_pid(),
            kept: observed.is_kept(),
        }
    }

    /// How many takers an item may kill before it is dropped.
    pub fn max_deliveries(&self) -> Option<u32> {
        self.of_queue.and_then(|facts| facts.max_deliveries)
    }

    /// Whether a put into the full queue drops the oldest item.
    pub fn drops_oldest(&self) -> bool {
        self.of_queue.is_some_and(|facts| facts.drops_oldest)
    }
}

impl Content {
    /// What is worth a line of its own: what it is about, and what is said of that.
    pub fn notes(&self, facts: &Facts) -> Vec<(&'static str, String)> {
        match &self.own {
            Own::Queue(own) => own.notes(facts, &self.counters),
            Own::Topic(own) => own.notes(&self.counters),
        }
    }

    /// The ticket of a topic's newest item.
    pub fn version(&self) -> Option<u64> {
        self.topic().map(|topic| topic.version)
    }

    pub fn subscriptions(&self) -> &[Subscription] {
        self.topic().map_or(&[], |topic| &topic.subscriptions)
    }

    /// How far the last of a topic's subscriptions is behind.
    pub fn most_lag(&self) -> Option<u64> {
        self.topic().and_then(TopicContent::most_lag)
    }

    /// How many takers died with the item with which most have died.
    pub fn most_deaths(&self) -> Option<u32> {
        self.queue().map(|queue| queue.most_deaths)
    }

    /// Of a queue that was told how many there will be.
    pub fn producers(&self) -> Option<Producers> {
        self.queue().and_then(|queue| queue.producers)
    }

    fn queue(&self) -> Option<&QueueContent> {
        if let Own::Queue(own) = &self.own { Some(own) } else { None }
    }

    fn topic(&self) -> Option<&TopicContent> {
        if let Own::Topic(own) = &self.own { Some(own) } else { None }
    }
}

/// Who shut it down first, and when: of a `Content`.
fn shut_down_by_whom(shutdown: Option<Shutdown>) -> (Option<u32>, Option<String>) {
    let at = shutdown.and_then(|shutdown| shutdown.at());
    (shutdown.and_then(|shutdown| shutdown.pid()), at.map(units::moment))
}

fn seconds_since(moment: SystemTime) -> f64 {
    // The clock may have been set back.
    SystemTime::now().duration_since(moment).unwrap_or(Duration::ZERO).as_secs_f64()
}

//! A history: the receipts of everybody who worked on one topic, and who was killed when. As for queues, a receipt is written in halves.

use treequeues::Start;

pub use crate::history::{Fate, Outcome};

/// Everything that happened to one topic.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Everybody who ever worked on it.
    pub lives: Vec<Life>,
    /// Whether there were slots enough for all who read and write at a time, and one more: then no put is refused.
    pub is_roomy: bool,
}

/// What workers are there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Puts.
    Publisher,
    /// Reads the newest item.
    Reader,
    /// Reads all items, in order.
    Follower,
    /// Reads the newest item of those that it has not had.
    Sampler,
    /// Puts and reads in turn.
    Both,
    /// Looks for the dead.
    Sweeper,
}

/// One process that worked on the topic, from its start to its end.
#[derive(Clone, Debug)]
pub struct Life {
    /// Its number in the epoch: the upper half of each value that it put.
    pub number: u32,
    /// What it was there for.
    pub role: Role,
    /// How it ended.
    pub fate: Fate,
    /// What it did, in order.
    pub receipts: Vec<Receipt>,
}

/// What kind of call a receipt is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Reserves; its end commits or aborts.
    Publish,
    /// Borrows the newest item; its end releases, as of all that borrow.
    Latest,
    /// Asks for the ticket of the newest item.
    Version,
    /// Begins a subscription.
    Subscribe(Start),
    /// Borrows the next item of a subscription.
    Next,
    /// Borrows the newest item of those that a subscription has not had.
    Newest,
    /// Looks for the dead.
    Sweep,
}

/// How the second phase of a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The item is published.
    Commit,
    /// It is not.
    Abort,
    /// It is no longer read.
    Release,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Its kind.
    pub call: Call,
    /// When it began.
    pub invoked: u64,
    /// When it returned.
    pub responded: Option<u64>,
    /// What came of it; says nothing before it returned.
    pub outcome: Outcome,
    /// What it puts, or read; 0 for what was not whole.
    pub value: u64,
    /// Of what it read, or said; of what it put once that is committed. 0 where that is not known.
    pub ticket: u64,
    /// What its subscription passed over just before.
    pub missed: u64,
    /// What that has passed over in all.
    pub missed_in_all: u64,
    /// Whether the item was another one when its reader was done with it.
    pub has_changed: bool,
    /// How its second phase ends; says nothing before that began.
    pub end: End,
    /// When its second phase's end began.
    pub end_invoked: Option<u64>,
    /// When that returned.
    pub end_responded: Option<u64>,
}

impl Call {
    /// Whether it borrows an item.
    pub fn reads(self) -> bool {
        matches!(self, Self::Latest | Self::Next | Self::Newest)
    }
}

impl Life {
    /// Whether it was killed within a call, or while it held something.
    pub fn was_cut_off(&self) -> bool {
        let has_ended = |last: &Receipt| match last.call {
            Call::Publish | Call::Latest | Call::Next | Call::Newest if last.is_done() => {
                last.end_responded.is_some()
            }
            _ => last.responded.is_some(),
        };
        matches!(self.fate, Fate::Killed { .. }) && self.receipts.last().is_some_and(|last| !has_ended(last))
    }
}

impl Receipt {
    /// Whether the call returned with what it was called for.
    pub fn is_done(&self) -> bool {
        self.responded.is_some() && self.outcome == Outcome::Done
    }
}

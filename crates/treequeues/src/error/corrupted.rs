//! Damage: shared memory that does not hold what the protocol can have written there, and where that stands.

use crate::format::word::Word;
use crate::item::schema::SchemaError;

/// Shared memory that does not hold what the protocol can have written there. The message says what, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segment is corrupted: {0}")]
pub struct Corrupted(Box<Damage>);

// A pointer that is never null: the result of a call that mostly succeeds is one register.
const _: () = assert!(size_of::<Result<(), Corrupted>>() == size_of::<usize>());

/// What is corrupted, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A field of the header, which is written once, is none that a queue can have.
    #[error("its header's {field}, at byte {offset}, is {found}, and not {expected}")]
    Header {
        /// The field.
        field: &'static str,
        /// Where it begins, in bytes from the segment's begin.
        offset: usize,
        /// What is there.
        found: String,
        /// What could be.
        expected: String,
    },
    /// The schema, which is written once, is none.
    #[error("its schema, at bytes {offset} to {end}: {error}")]
    Schema {
        /// Where it begins, in bytes from the segment's begin.
        offset: usize,
        /// The byte after its last.
        end: usize,
        /// Why not.
        error: SchemaError,
    },
    /// A slot's state word is one that nobody writes.
    #[error("the state word of slot {slot} is {word:#018x}, which has no meaning")]
    StateWord {
        /// The slot's number.
        slot: usize,
        /// What is there.
        word: u64,
    },
    /// A slot that this participant holds was taken from it.
    #[error("slot {slot}, held here with state word {}, was taken away: now it has {}", Word(*held), Word(*found))]
    TakenAway {
        /// The slot's number.
        slot: usize,
        /// The state word that this participant wrote.
        held: u64,
        /// What is there.
        found: u64,
    },
    /// A cursor and the state words cannot both be right.
    #[error(
        "the cursor {cursor} is at ticket {ticket}, which the state words contradict: slot {slot}, to which that belongs, has {}",
        Word(*word)
    )]
    Cursor {
        /// `head` or `tail`.
        cursor: &'static str,
        /// What is there.
        ticket: u64,
        /// The slot of that ticket.
        slot: usize,
        /// The slot's state word.
        word: u64,
    },
    /// The tail is more than a lap past the head.
    #[error(
        "the cursor tail is at ticket {tail}, more than {capacity} slots past the cursor head, at {head}"
    )]
    Cursors {
        /// Where the head is.
        head: u64,
        /// Where the tail is.
        tail: u64,
        /// The number of slots.
        capacity: usize,
    },
    /// The tree says that an item came back into a slot that is none.
    #[error("the tree of returned items names slot {slot}, and there are {capacity}")]
    Tree {
        /// The slot's number.
        slot: usize,
        /// The number of slots.
        capacity: usize,
    },
    /// An item came back that the tree does not name.
    #[error("slot {slot} has {}, and the tree of returned items does not say so", Word(*word))]
    NotInTree {
        /// The slot's number.
        slot: usize,
        /// Its state word.
        word: u64,
    },
    /// A slot's item has a ticket that belongs to another slot.
    #[error("slot {slot} has an item of ticket {ticket}, which belongs to another slot")]
    Ticket {
        /// The slot's number.
        slot: usize,
        /// What is there.
        ticket: u64,
    },
    /// The word that names the newest item of a topic is one that nobody writes.
    #[error("the word of the newest item is {found:#018x}, which has no meaning")]
    Newest {
        /// What is there.
        found: u64,
    },
    /// The newest item of a topic is not where it is said to be.
    #[error(
        "the newest item is said to be that of ticket {ticket} in slot {slot}, which has state word {word:#018x}"
    )]
    NotNewest {
        /// The ticket.
        ticket: u64,
        /// The slot's number.
        slot: usize,
        /// The slot's state word.
        word: u64,
    },
    /// A slot of a topic that this participant was writing to was taken from it.
    #[error("slot {slot}, held here with state word {held:#018x}, was taken away: now it has {found:#018x}")]
    SlotTaken {
        /// The slot's number.
        slot: usize,
        /// The state word that this participant wrote.
        held: u64,
        /// What is there.
        found: u64,
    },
    /// A participant's pin on a slot of a topic is not its own, or is gone while it reads there.
    #[error("the pin of participant {participant} on slot {slot} is {found:#018x}, which is not its own")]
    Pin {
        /// The slot's number.
        slot: usize,
        /// The number of the participant's place.
        participant: u32,
        /// What is there.
        found: u64,
    },
    /// A participant is said to publish a batch, although it does not.
    #[error(
        "the entry of participant {participant} says that it publishes the batch {found:#x}, although it publishes none"
    )]
    Publishing {
        /// The number of the participant's place.
        participant: u32,
        /// What is there.
        found: u64,
    },
    /// The shutdown flag is one that nobody writes.
    #[error("the shutdown flag is {found:#010x}, which has no meaning")]
    ShutdownFlag {
        /// What is there.
        found: u32,
    },
}

impl Corrupted {
    /// What is corrupted, and where.
    pub fn damage(&self) -> &Damage {
        &self.0
    }
}

impl From<Damage> for Corrupted {
    #[cold]
    fn from(damage: Damage) -> Self {
        Self(Box::new(damage))
    }
}

//! The shared memory of the model: state words, cursors, tree, participants' entries and locks.
//!
//! Beside what the real segment holds there is a [`Ledger`], which no process reads: it remembers what was
//! committed, delivered and released, so that a wrong delivery is noticed in the very step that makes it.
//!
//! M1. Every method that the steps call is one atomic access of the real ring.
//! M2. The ledger changes only inside the access that it describes, so it adds no step of its own.

use std::fmt;

use crate::tree::{Bits, Tree};

/// More than any scenario needs; a fixed array keeps the state flat and cheap to copy.
pub const MAX_CAPACITY: usize = 4;
/// Processes of one scenario, sweepers included.
pub const MAX_PROCESSES: usize = 8;
/// Items of all producers of one scenario; the ids from here on are for refills in [`crate::properties`].
pub const MAX_ITEMS: usize = 12;
/// The bit of the flag of every shutdown.
pub const SHUT_DOWN: u8 = 1;
/// The bit of an immediate one.
pub const IMMEDIATELY: u8 = 2;
/// The payload of a slot that holds no item.
pub const NO_ITEM: u8 = u8::MAX;

/// Monotonic position in the ring.
pub type Ticket = u8;
/// Bits by item id.
pub type Items = u16;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Free,
    Writing,
    Late,
    Ready,
    Reading,
    Returned,
    Lingering,
}

impl Phase {
    pub fn is_owned(self) -> bool {
        matches!(self, Phase::Writing | Phase::Late | Phase::Reading | Phase::Lingering)
    }
}

/// A participant's id and generation, as a state word carries them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(u8);

impl Owner {
    pub const NOBODY: Owner = Owner(0);

    /// Generations stay below 4: a scenario restarts a process at most three times.
    pub fn new(id: usize, generation: u8) -> Owner {
        assert!(generation < 4 && id < 32, "the model's owner has room for 32 ids and 4 generations");
        Owner(((id as u8 + 1) << 2) | generation)
    }

    pub fn id(self) -> usize {
        (self.0 >> 2) as usize - 1
    }
}

/// One state word.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Word {
    pub phase: Phase,
    pub owner: Owner,
    pub reach: u8,
}

impl Word {
    pub fn new(phase: Phase, owner: Owner, reach: u8) -> Word {
        Word { phase, owner, reach }
    }

    pub fn nobodys(phase: Phase, reach: u8) -> Word {
        Word { phase, owner: Owner::NOBODY, reach }
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase =
            ["FREE", "WRITING", "LATE", "READY", "READING", "RETURNED", "LINGERING"][self.phase as usize];
        match self.owner {
            Owner::NOBODY => write!(f, "{phase}({})", self.reach),
            Owner(raw) => write!(f, "{phase}(p{}g{}, {})", self.owner.id(), raw & 3, self.reach),
        }
    }
}

/// A slot's word, the ticket in its metadata, and its payload.
///
/// The payload is written with the ticket and read by the ledger alone. That this merges no race away is
/// what the property on words shows: whoever believes to hold a slot is its word's owner.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    pub word: Word,
    pub ticket: Ticket,
    pub item: u8,
    /// The batch that the item was published with, or 0: see `publish`.
    pub batch: u8,
    /// Whether the delivery count is other than 0.
    pub taken: bool,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.word, self.ticket)?;
        if self.item == NO_ITEM { Ok(()) } else { write!(f, "#{}", self.item) }
    }
}

/// A participant's place in the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    pub used: bool,
    pub generation: u8,
    /// The batch that its tenant is publishing, or 0.
    pub publishing: u8,
}

/// What a single step did wrong; the first fault ends a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    None,
    /// A first delivery while an earlier item of the same producer still waited for its own.
    ProducerOrder,
    /// A first delivery while an item whose put had ended before this one's began still waited for its own.
    PutOrder,
    /// A get took from the order although an item that had come back before the get began still waited.
    ReturnedNotFirst,
    /// A get took an item although one with a lower ticket had come back before the get began, and still waited.
    ReturnedOrder,
    /// What was delivered was never committed.
    NeverCommitted,
    /// What was delivered had been released, or its taker lives and has not given it back.
    Twice,
    /// A process lost a slot that it holds, or a word went backwards.
    Words,
    /// A put said full although one slot was free all the time.
    FullWithAFreeSlot,
    /// A get said empty although one item was there all the time, or as many as its batch wants.
    EmptyWithAnItem,
    /// A batch was put in part by a call that failed.
    PartOfABatch,
    /// An item of a batch was committed before an earlier one.
    NotFromTheFirst,
    /// What a batch gives back was taken before an item of a lower ticket that it was still to give back.
    GaveBackOrder,
    /// A put that began after a shutdown was committed.
    PutAfterShutdown,
    /// A get that began after an immediate shutdown took an item.
    TookAfterShutdown,
    /// The tail passed an item in order, or a ticket that may become one.
    TailPassed,
    /// A sweep completed an item that was not being published.
    NotPublished,
    /// An operation saw what no honest ring has.
    Damage,
}

/// What the last step did that other processes' ledgers want to know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    None,
    Took { item: u8, in_order: bool },
    CameBack(u8),
    Claimed(usize),
    Committed(u8),
}

/// The history, as far as the properties need it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ledger {
    pub committed: Items,
    /// Committed by a put that has returned. Between the two, a put overlaps with those that begin.
    pub put: Items,
    pub delivered: Items,
    pub released: Items,
    /// Delivered to a process that lives and has neither released nor given back.
    pub held: Items,
    /// For each item not yet delivered, the items that had been put before its own put began, or before it by the same
    /// batch, and still wait.
    pub before: [Items; MAX_ITEMS],
    /// Items that are of one batch with the next one.
    pub joined: Items,
    /// Items whose publishing has begun.
    pub publishing: Items,
    /// Of the last batch from elsewhere that was to be published: the ticket of its first item, and that item.
    pub from_elsewhere: (Ticket, u8),
    /// Given back or swept, by a call that has ended, and not yet taken again.
    pub back_again: Items,
    /// A get was told that the queue is drained: that fewer than so many items are left. 0: none was.
    pub fewer_left: u8,
    /// Of slots that were freed by a call that has still to move the version: whose participant's, plus one.
    pub freeing: [u8; MAX_CAPACITY],
    /// The bits of all shutdowns that have been.
    pub shut_down: u8,
    pub fault: Fault,
    pub event: Event,
}

impl Ledger {
    pub fn fail(&mut self, fault: Fault) {
        if self.fault == Fault::None {
            self.fault = fault;
        }
    }

    /// A put of `item` begins.
    pub fn begin_put(&mut self, item: u8) {
        if (item as usize) < MAX_ITEMS {
            self.before[item as usize] = self.put & !self.delivered;
        }
    }

    /// The put of `item` has returned.
    pub fn end_put(&mut self, item: u8) {
        self.put |= bit(item) & self.committed;
        self.forget_put(item);
    }

    /// The put of `item` has ended, maybe without a commit.
    pub fn forget_put(&mut self, item: u8) {
        if (item as usize) < MAX_ITEMS && (self.committed | self.publishing) & bit(item) == 0 {
            self.before[item as usize] = 0;
        }
    }

    /// A batch has published `item`, and will publish `next`.
    pub fn published_before(&mut self, item: u8, next: u8) {
        if (next as usize) < MAX_ITEMS {
            self.before[next as usize] |= bit(item) & self.put & !self.delivered;
        }
    }

    /// All of these items of a batch, the first of them and those after it, are claimed.
    pub fn claimed_together(&mut self, first: u8, len: u8) {
        self.joined |= (first..first + len - 1).map(bit).sum::<Items>();
    }

    /// Their publishing begins: from now on they are put, whatever happens.
    pub fn begin_publishing(&mut self, first: u8, len: u8) {
        self.publishing |= (first..first + len).map(bit).sum::<Items>();
    }

    /// An item of a batch has been committed, by its producer or by a sweep; those after it come later.
    pub fn committed_in_order(&mut self, item: u8) {
        if item > 0 && self.joined & bit(item - 1) != 0 && self.committed & bit(item - 1) == 0 {
            self.fail(Fault::NotFromTheFirst);
        }
        if self.joined & bit(item) != 0 {
            self.before[usize::from(item) + 1] |= bit(item) & !self.delivered;
        }
    }

    /// Whether each batch is there whole or not at all.
    pub fn batches_are_whole(&self) -> bool {
        (self.committed ^ self.committed >> 1) & self.joined == 0
    }

    fn deliver(&mut self, item: u8, same_producers: Items, in_order: bool) {
        if item == NO_ITEM || self.committed & bit(item) == 0 {
            return self.fail(Fault::NeverCommitted);
        }
        if (self.released | self.held) & bit(item) != 0 {
            return self.fail(Fault::Twice);
        }
        if self.delivered & bit(item) == 0 && (item as usize) < MAX_ITEMS {
            match self.before[item as usize] {
                0 => {}
                before if before & same_producers != 0 => self.fail(Fault::ProducerOrder),
                _ => self.fail(Fault::PutOrder),
            }
        }
        self.delivered |= bit(item);
        self.held |= bit(item);
        for before in &mut self.before {
            *before &= !bit(item);
        }
        self.back_again &= !bit(item);
        self.event = Event::Took { item, in_order };
    }
}

/// The bit of one item; none for [`NO_ITEM`], which a faulty protocol may come to deliver.
pub fn bit(item: u8) -> Items {
    1u16.checked_shl(u32::from(item)).unwrap_or(0)
}

/// Everything shared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Memory {
    pub slots: [Slot; MAX_CAPACITY],
    pub head: Ticket,
    pub tail: Ticket,
    /// One past the highest ticket that was used up otherwise than by an item that was taken in order.
    pub gap: Ticket,
    /// The version of what was freed beyond the lap from the tail on; only whether it is that of an earlier look matters.
    pub frees: u8,
    /// The last batch from elsewhere that has arrived, by its name; 0: none has.
    pub arrived: u8,
    pub tree: Tree,
    pub entries: [Entry; MAX_PROCESSES],
    /// Bits of the participants whose lock is held, that is, who live.
    pub locks: u8,
    /// How the queue was shut down; [`SHUT_DOWN`] and [`IMMEDIATELY`] are its bits.
    pub flag: u8,
    pub ledger: Ledger,
}

impl Memory {
    pub fn new(participants: usize) -> Memory {
        let empty =
            Slot { word: Word::nobodys(Phase::Free, 0), ticket: 0, item: NO_ITEM, batch: 0, taken: false };
        let free = Entry { used: false, generation: 0, publishing: 0 };
        let mut entries = [free; MAX_PROCESSES];
        entries[..participants].fill(Entry { used: true, ..free });
        Memory {
            slots: [empty; MAX_CAPACITY],
            head: 0,
            tail: 0,
            gap: 0,
            frees: Bits::NOW,
            arrived: 0,
            tree: Tree::EMPTY,
            entries,
            locks: ((1u16 << participants) - 1) as u8,
            flag: 0,
            ledger: Ledger {
                committed: 0,
                put: 0,
                delivered: 0,
                released: 0,
                held: 0,
                before: [0; MAX_ITEMS],
                joined: 0,
                publishing: 0,
                from_elsewhere: (0, NO_ITEM),
                back_again: 0,
                fewer_left: 0,
                freeing: [0; MAX_CAPACITY],
                shut_down: 0,
                fault: Fault::None,
                event: Event::None,
            },
        }
    }

    /// CAS of a state word, with the ledger's share of it; `of_producer` tells all items of an item's producer.
    pub fn cas_word(&mut self, slot: usize, from: Word, to: Word, of_producer: impl Fn(u8) -> Items) -> bool {
        if self.slots[slot].word != from {
            return false;
        }
        self.slots[slot].word = to;
        let item = self.slots[slot].item;
        let ledger = &mut self.ledger;
        if to.reach < from.reach {
            ledger.fail(Fault::Words);
        }
        match (from.phase, to.phase) {
            (Phase::Free, Phase::Writing) => ledger.event = Event::Claimed(slot),
            (Phase::Writing, Phase::Ready) | (Phase::Late, Phase::Returned) => {
                ledger.committed |= bit(item);
                ledger.event = Event::Committed(item);
            }
            (Phase::Ready | Phase::Returned, Phase::Reading) => {
                ledger.deliver(item, of_producer(item), from.phase == Phase::Ready);
            }
            (Phase::Reading, Phase::Returned) => ledger.event = Event::CameBack(item),
            (Phase::Reading, Phase::Free | Phase::Lingering) => {
                ledger.released |= bit(item);
                ledger.held &= !bit(item);
            }
            _ => {}
        }
        // What a producer sets aside is no item any more.
        let was_set_aside =
            matches!(from.phase, Phase::Writing | Phase::Late) && to.phase == Phase::Lingering;
        if to.phase == Phase::Free || was_set_aside {
            self.slots[slot].item = NO_ITEM;
        }
        true
    }

    /// Those of `items` that have lower tickets than `item`; all of them are in slots.
    pub fn of_lower_tickets(&self, items: Items, item: u8) -> Items {
        let ticket = self.slots.iter().find(|slot| slot.item == item).map(|slot| slot.ticket);
        let lower = |slot: &&Slot| slot.item != NO_ITEM && ticket.is_some_and(|ticket| slot.ticket < ticket);
        items & self.slots.iter().filter(lower).map(|slot| bit(slot.item)).fold(0, |all, one| all | one)
    }

    /// CAS of a cursor.
    pub fn cas_head(&mut self, from: Ticket, to: Ticket) {
        if self.head == from {
            self.head = to;
        }
    }

    /// CAS of a cursor.
    pub fn cas_tail(&mut self, from: Ticket, to: Ticket) -> bool {
        let is_there = self.tail == from;
        if is_there {
            self.tail = to;
        }
        is_there
    }

    pub fn is_locked(&self, participant: usize) -> bool {
        self.locks & (1 << participant) != 0
    }
}

//! What the participants of a topic share, and a ledger of what happened, for the properties alone.

pub const MAX_SLOTS: usize = 4;
/// Places whose tenants read and write.
pub const MAX_PLACES: usize = 4;
/// All places, with those of the sweepers, which hold no slot and no pin.
pub const MAX_ENTRIES: usize = MAX_PLACES + 2;

/// Of an item; they count from 1. As the last ticket of a slot, 0 says that the slot has had none.
pub type Ticket = u8;

/// Tickets that a scenario comes to at most, so that half of [`LOW`] tells which of two is the earlier one.
pub const MAX_TICKET: Ticket = 8;

/// WRITING keeps a ticket modulo this.
const LOW: u8 = 16;

/// The low bits of a ticket.
pub fn low(ticket: Ticket) -> u8 {
    ticket % LOW
}

/// Whether the ticket with these low bits is an earlier one than `ticket`, less than half of all low bits away.
pub fn is_before(low: u8, ticket: Ticket) -> bool {
    (1..=LOW / 2).contains(&(ticket.wrapping_sub(low) % LOW))
}

/// The ticket with these low bits, which is none after `newest`.
pub fn whole(low: u8, newest: Ticket) -> Ticket {
    newest.saturating_sub(newest.wrapping_sub(low) % LOW)
}

/// A place, and as much of its tenant's generation as the word has bits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Owner {
    pub place: u8,
    pub generation: u8,
}

/// A slot's state word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Word {
    /// Nobody's, with the ticket of the slot's last item.
    Free(Ticket),
    /// A publisher's, with the low bits of the ticket of the slot's last item.
    Writing(Owner, u8),
    /// The item of this ticket.
    Ready(Ticket),
}

/// Which item is the newest, and where: one word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Newest {
    pub ticket: Ticket,
    pub slot: u8,
}

/// How many threads of a place's tenant pin a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pin {
    /// The tenant's generation, plus one; 0 where there is no pin.
    pub generation: u8,
    pub count: u8,
    /// In mutations: what the tenant's process has counted by itself.
    pub counted: u8,
}

impl Pin {
    pub const NONE: Pin = Pin { generation: 0, count: 0, counted: 0 };

    pub fn is_none(self) -> bool {
        self.generation == 0
    }
}

/// What stands in a slot's rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rows {
    /// Half of something.
    Torn,
    /// What this process has written, whole and not yet published.
    Filled(u8),
    /// The item of this ticket.
    Item(Ticket),
}

/// Of a place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    pub is_used: bool,
    pub generation: u8,
}

/// The two events: `Items` for subscribers, `Slots` for publishers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    Items,
    Slots,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Memory {
    pub newest: Newest,
    pub words: [Word; MAX_SLOTS],
    pub rows: [Rows; MAX_SLOTS],
    pub pins: [[Pin; MAX_PLACES]; MAX_SLOTS],
    pub entries: [Entry; MAX_ENTRIES],
    /// Whether each place's lock is held: whether its tenant lives.
    pub locks: [bool; MAX_ENTRIES],
    pub is_shut_down: bool,
    /// The waiters bit of each event. The sequences are not here: whoever has seen one remembers whether it has moved.
    pub waiters: [bool; 2],
    pub ledger: Ledger,
}

/// What has gone wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    None,
    /// A commit published rows that the publisher did not write.
    NotItsRows,
    /// `newest` went back, or stood.
    NewestWentBack,
    /// An item that had gone is there again.
    CameBack,
    /// A subscriber passed over an item that was there.
    PassedWhatIsThere,
    /// A subscriber got an item from before its cursor, or from before where it was to start.
    NotInOrder,
    /// A call for the newest gave one older than what had been put before the call.
    Stale,
    /// A call found nothing, although something had been put before it.
    EmptyWithAnItem,
    /// A reader got an older item than before.
    WentBack,
    /// A put found no slot, with enough of them.
    FullWithEnough,
    /// An item came after a subscriber had been told of the end.
    PutAfterTheEnd,
    /// A subscriber was told of the end beside an item.
    EndBesideAnItem,
    /// A living reader's pin was taken away.
    PinTaken,
}

/// What the dead was in the middle of, as far as wake-ups go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Window {
    /// Nobody has died, or nobody waited for anything of the dead.
    None,
    /// The item was linked, and nobody notified.
    Linked,
    /// Something was changed, and the event not moved.
    Changed,
    /// The event was moved, and the futex not called.
    Moved,
    /// The same by a sweeper without a place, which nobody sweeps; another sweep of the same tenant may have rung before.
    Outside,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ledger {
    pub fault: Fault,
    /// The highest ticket whose put has returned.
    pub returned: Ticket,
    /// A bit for each ticket that has been READY.
    pub been_ready: u16,
    pub window: Window,
}

impl Memory {
    pub fn new(places: usize) -> Memory {
        let is_place: [bool; MAX_ENTRIES] = std::array::from_fn(|place| place < places);
        Memory {
            newest: Newest { ticket: 0, slot: 0 },
            words: [Word::Free(0); MAX_SLOTS],
            rows: [Rows::Torn; MAX_SLOTS],
            pins: [[Pin::NONE; MAX_PLACES]; MAX_SLOTS],
            entries: is_place.map(|is_used| Entry { is_used, generation: 0 }),
            locks: is_place,
            is_shut_down: false,
            waiters: [false; 2],
            ledger: Ledger { fault: Fault::None, returned: 0, been_ready: 0, window: Window::None },
        }
    }

    pub fn word(&self, slot: u8) -> Word {
        self.words[usize::from(slot)]
    }

    pub fn set_word(&mut self, slot: u8, word: Word) {
        if let Word::Ready(ticket) = word {
            if self.ledger.been_ready >> ticket & 1 == 1 {
                self.blame(Fault::CameBack);
            }
            self.ledger.been_ready |= 1 << ticket;
        }
        self.words[usize::from(slot)] = word;
    }

    /// A compare-and-swap: whether it succeeded.
    pub fn swap_word(&mut self, slot: u8, from: Word, to: Word) -> bool {
        let succeeds = self.word(slot) == from;
        if succeeds {
            self.set_word(slot, to);
        }
        succeeds
    }

    pub fn pin(&self, slot: u8, place: u8) -> Pin {
        self.pins[usize::from(slot)][usize::from(place)]
    }

    pub fn pin_mut(&mut self, slot: u8, place: u8) -> &mut Pin {
        &mut self.pins[usize::from(slot)][usize::from(place)]
    }

    pub fn entry(&self, place: u8) -> Entry {
        self.entries[usize::from(place)]
    }

    /// The tenant leaves, or a sweep is through with it.
    pub fn free_entry(&mut self, place: u8) {
        let entry = &mut self.entries[usize::from(place)];
        *entry = Entry { is_used: false, generation: entry.generation + 1 };
    }

    /// Whether some tenant is dead and its place not yet swept.
    pub fn has_unswept(&self) -> bool {
        self.entries.iter().zip(self.locks).any(|(entry, is_alive)| entry.is_used && !is_alive)
    }

    /// Whether the dead may have lost a wake-up that nobody has made up for.
    pub fn is_left_behind(&self) -> bool {
        self.has_unswept() || self.ledger.window == Window::Outside
    }

    /// Whether a publisher may have this slot now.
    pub fn is_claimable(&self, slot: u8) -> bool {
        let is_pinned = self.pins[usize::from(slot)].iter().any(|pin| !pin.is_none());
        !is_pinned
            && match self.word(slot) {
                Word::Free(_) => true,
                Word::Ready(ticket) => ticket < self.newest.ticket,
                Word::Writing(..) => false,
            }
    }

    /// Whether the item of this ticket was there once and is no more.
    pub fn has_gone(&self, ticket: Ticket) -> bool {
        self.ledger.been_ready >> ticket & 1 == 1 && !self.words.contains(&Word::Ready(ticket))
    }

    pub fn blame(&mut self, fault: Fault) {
        if self.ledger.fault == Fault::None {
            self.ledger.fault = fault;
        }
    }

    /// Blames if something that must hold does not.
    pub fn expect(&mut self, holds: bool, fault: Fault) {
        if !holds {
            self.blame(fault);
        }
    }
}

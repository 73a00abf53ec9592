//! Where a process stands, step by step.
//!
//! Each step makes one access to the shared memory, the one that its comment names; a decision that needs no access belongs to the
//! step before it.

use crate::memory::{MAX_SLOTS, Newest, Owner, Ticket, Word};

/// What a claim has seen in a slot that it may take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Was {
    Free(Ticket),
    Ready(Ticket),
}

impl Was {
    /// Of the slot's last item.
    pub fn ticket(self) -> Ticket {
        match self {
            Was::Free(ticket) | Was::Ready(ticket) => ticket,
        }
    }

    pub fn word(self) -> Word {
        match self {
            Was::Free(ticket) => Word::Free(ticket),
            Was::Ready(ticket) => Word::Ready(ticket),
        }
    }
}

/// A claim's look at all slots: the ticket of `newest` before it, and what may still be taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Look {
    pub newest: Ticket,
    pub seen: [Option<Was>; MAX_SLOTS],
}

/// A slot that a publisher has claimed, and the ticket of its last item.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Claim {
    pub slot: u8,
    pub last: Ticket,
}

/// What the newest item is helped for: where its helper goes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum For {
    /// The commit of the next one.
    Link(Claim),
    /// The start of a subscription at the oldest.
    Oldest,
    /// The next one of a subscription.
    Next,
    /// The newest itself.
    Newest,
}

/// A tenant that is swept: its place, and its whole generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    pub place: u8,
    pub generation: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Pc {
    /// Between two calls.
    Idle,

    /// A put looks at the flag.
    LookAtFlag,
    /// Load `newest` for a claim.
    LoadNewest,
    /// Load the word of a slot.
    LoadWord {
        look: Look,
        slot: u8,
    },
    /// Load a pin of the slot that is to be claimed.
    LoadPin {
        look: Look,
        slot: u8,
        place: u8,
    },
    /// CAS its word to WRITING.
    Claim {
        look: Look,
        slot: u8,
    },
    /// Load a pin of it again.
    LoadPinAgain {
        look: Look,
        slot: u8,
        was: Was,
        place: u8,
    },
    /// It is pinned: to FREE.
    BackOff {
        look: Look,
        slot: u8,
        was: Was,
    },
    /// Look at the flag again.
    LookAtFlagAgain(Claim),
    /// Shut down meanwhile: to FREE.
    Refuse(Claim),
    /// Write the first half of the rows, or abort.
    Write(Claim),
    /// Write the second half, or abort.
    WriteRest(Claim),
    /// To FREE.
    Abort(Claim),
    /// Views outlive the write: pin the slot.
    LingerPin(Claim),
    /// To FREE.
    LingerFree(Claim),
    /// A view writes.
    Kept(Claim),
    /// The last view dies: unpin.
    LetGo(Claim),
    /// Load `newest` for the commit.
    LoadNewestAgain(Claim),
    /// The commit: CAS `newest`.
    Link {
        claim: Claim,
        newest: Newest,
    },
    /// CAS the word to READY.
    MakeReady {
        claim: Claim,
        ticket: Ticket,
    },

    /// Load the word of the newest item, for whatever it is helped for.
    LoadHelped {
        newest: Newest,
        then: For,
    },
    /// CAS it to READY.
    Help {
        newest: Newest,
        owner: Owner,
        last: u8,
        then: For,
    },

    /// A subscription starts: load `newest`.
    Subscribe,
    /// At the oldest: load the word of a slot; the lowest ticket so far.
    LoadOldest {
        newest: Ticket,
        slot: u8,
        oldest: Option<Ticket>,
    },
    /// A get looks for the item at the cursor: load `newest`.
    LoadNext,
    /// It is not the newest: load the word of a slot; the lowest ticket from the cursor on so far, and its slot.
    LoadReady {
        newest: Ticket,
        slot: u8,
        next: Option<(Ticket, u8)>,
    },
    /// A call looks for the newest: load `newest`.
    LoadLatest,
    /// Pin a slot for an item.
    Pin {
        ticket: Ticket,
        slot: u8,
    },
    /// Where a mutation counts by itself: store the pin.
    StorePin {
        ticket: Ticket,
        slot: u8,
    },
    /// Load the slot's word.
    LookPinned {
        ticket: Ticket,
        slot: u8,
    },
    /// Where a mutation has no fence: the pin is seen by others only now.
    PinLate {
        ticket: Ticket,
        slot: u8,
    },
    /// The item is being read.
    Hold {
        ticket: Ticket,
        slot: u8,
    },
    /// Unpin, with or without having read.
    Unpin {
        ticket: Ticket,
        slot: u8,
        has_read: bool,
    },
    /// Where a mutation counts by itself: store that there is no pin.
    StoreNoPin {
        ticket: Ticket,
        slot: u8,
        has_read: bool,
    },
    /// A get that found nothing looks at the flag.
    LookAtEnd,
    /// The queue is shut down: load all words.
    LoadWriting {
        slot: u8,
    },
    /// Nobody writes: load `newest` once more.
    LoadLast,

    /// Set the waiters bit.
    SetBit,
    /// Sleep, if the event has not moved.
    FallAsleep,
    Asleep,

    /// Set the flag.
    ShutDown,

    /// Look at the target's lock.
    LookAtLock(Target),
    /// Where a mutation frees the entry first.
    FreeEntryFirst(Target),
    /// Load the word of a slot.
    Sweep {
        target: Target,
        slot: u8,
    },
    /// It is the target's: load `newest`.
    SweepNewest {
        target: Target,
        slot: u8,
        last: u8,
    },
    /// Load the entry, which still must be the target's.
    AskEntry {
        target: Target,
        slot: u8,
        last: u8,
        to: Word,
    },
    /// CAS the word.
    SweepWord {
        target: Target,
        slot: u8,
        last: u8,
        to: Word,
    },
    /// Take the target's pin away, by CAS.
    SweepPin {
        target: Target,
        slot: u8,
    },
    /// CAS the entry to free.
    FreeEntry(Target),

    /// The tenant leaves: free the entry, once all threads are done, then drop the lock.
    Leave,
    /// Told of the end, or refused.
    Down,
    /// Nothing left to do.
    Done,
    Dead,
}

impl Pc {
    /// The slot that a publisher believes to hold.
    pub fn written(self) -> Option<u8> {
        match self {
            Pc::LoadPinAgain { slot, .. } | Pc::BackOff { slot, .. } => Some(slot),
            Pc::LookAtFlagAgain(claim)
            | Pc::Refuse(claim)
            | Pc::Write(claim)
            | Pc::WriteRest(claim)
            | Pc::Abort(claim)
            | Pc::LingerFree(claim)
            | Pc::LoadNewestAgain(claim)
            | Pc::Link { claim, .. }
            | Pc::LoadHelped { then: For::Link(claim), .. }
            | Pc::Help { then: For::Link(claim), .. } => Some(claim.slot),
            _ => None,
        }
    }

    /// The item that a reader reads, and its slot.
    pub fn read(self) -> Option<(Ticket, u8)> {
        match self {
            Pc::Hold { ticket, slot } | Pc::Unpin { ticket, slot, has_read: true } => Some((ticket, slot)),
            _ => None,
        }
    }

    /// Whether a process is between two calls, or has made its last one.
    pub fn is_between(self) -> bool {
        matches!(self, Pc::Idle | Pc::Leave | Pc::Down | Pc::Done | Pc::Dead)
    }
}

//! Where a process stands, step by step.
//!
//! The labels name the steps of the verbs: R reserve, C commit, A abort, W linger of a write, B borrow, L release and
//! linger of a read, G give_back, P publish, N count before a batch, F and D the looks of a call at the shutdown, X shutdown, S
//! sweep, J
//! join. Each variant that is not an end of a call makes one access to the shared memory, the one
//! that its comment names; a decision that needs no access belongs to the step before it.

use crate::memory::{Phase, Ticket, Word};
use crate::tree::{Found, Look, Path};

/// Whom a sweep is for: the participant and the generation that its entry had.
pub type Target = (u8, u8);

/// A sweeper's walk along the tickets of a batch, a lap at a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Walk {
    pub batch: u8,
    /// Where the present lap begins.
    pub first: Ticket,
    pub t: Ticket,
    /// The lowest ticket of the batch that was seen beyond this lap.
    pub beyond: Option<Ticket>,
    /// Whether a slot was passed by that another sweeper may have completed, and the root's version was not moved since.
    pub passed_by: bool,
}

/// A word that was seen at a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Seen {
    pub t: Ticket,
    pub w: Word,
}

/// What a look for a free slot has passed: the first `lead` tickets were all used up, or `in_way` was in the way; some slot was free
/// for a later ticket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Passed {
    pub lead: u8,
    pub in_way: Option<Seen>,
    pub free: bool,
}

/// How far a look for a free slot goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FreeEnd {
    pub t: Ticket,
    pub frees: Frees,
    /// Whether the look goes beyond the lap from the tail on.
    pub is_far: bool,
}

/// The version of what is freed beyond the lap from the tail on, as loaded before any slot was looked at, and whether an earlier look
/// at that version found nothing free there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Frees {
    pub version: u8,
    pub is_known: bool,
}

/// What a load of the tail is made for: the end of a hold, whose slot may have used up a ticket that the tail has not passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Leaving {
    Release,
    LetGo,
    GiveBack,
}

/// What a walk from the tail on has ended at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// A READY ticket.
    Candidate,
    /// A ticket that the ring has not come to.
    Untouched,
    /// The end of the lap.
    Lap,
}

/// Where a process stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Pc {
    /// Between two calls.
    Idle,

    /// Load the head.
    R0,
    /// Load the version of what is freed beyond the lap from the tail on.
    RV { h: Ticket },
    /// Load the word at ticket `t`.
    R1 { h: Ticket, t: Ticket, passed: Passed, end: FreeEnd },
    /// The head's slot is not to be had: load the tail.
    RT { h: Ticket, passed: Passed, frees: Frees },
    /// Load the gap: it and the tail say how far a free slot may lie.
    RF { h: Ticket, passed: Passed, frees: Frees, tail: Ticket },
    /// A ticket was used up that is a lap further than `h` allows: load the head again, which must have moved.
    R1Head { h: Ticket },
    /// A ticket was used up behind one that was in the way: load that word again, which must have changed.
    R1Again { in_way: Seen },
    /// Raise the gap to the candidate, before what is in the way is burned.
    RG { h: Ticket, c: Ticket },
    /// Load the word at ticket `t`, which lies before the candidate `c`.
    R2 { h: Ticket, c: Ticket, t: Ticket },
    /// Burn a READY ticket: set its bits first, one a step.
    R2Raise { h: Ticket, c: Ticket, t: Ticket, w: Word, number: u8 },
    /// Burn: CAS.
    R2Cas { h: Ticket, c: Ticket, t: Ticket, w: Word },
    /// Burn a READY ticket: move the root's version.
    R2RaiseAgain { h: Ticket, c: Ticket, t: Ticket },
    /// CAS the candidate to WRITING.
    R3 { h: Ticket, c: Ticket },
    /// Store the ticket.
    R4 { h: Ticket, c: Ticket },
    /// CAS the head past the ticket.
    R5 { h: Ticket, c: Ticket },
    /// CAS the head over `lead` used-up tickets.
    R6 { h: Ticket, passed: Passed, end: FreeEnd },
    /// The call has ended: full, by a look that the version is of, if that went beyond the lap from the tail on.
    Full { looked: Option<u8> },

    /// The call has ended with a claim, and the next step is commit's CAS WRITING to READY (C1) or abort's first. Where batches
    /// are published: store 0 as the slot's batch.
    Reserved { c: Ticket },
    /// Store 0 as the delivery count.
    M2 { c: Ticket },
    /// CAS WRITING to READY.
    C1 { c: Ticket },
    /// Load the word, which must be LATE.
    C2 { c: Ticket },
    /// Set the bits, one a step.
    C2Raise { c: Ticket, w: Word, number: u8 },
    /// CAS LATE to RETURNED.
    C2Cas { c: Ticket, w: Word },
    /// Load the word again: its ticket was burned once more.
    C2Again { c: Ticket },
    /// Move the root's version.
    C2RaiseAgain { c: Ticket },
    /// Load the word.
    A1 { s: u8 },
    /// Raise the gap past the ticket.
    AF { s: u8, w: Word },
    /// CAS it to FREE.
    A2 { s: u8, w: Word },
    /// Move the version of what is freed beyond the lap from the tail on.
    AV { s: u8 },
    /// Linger: load the word.
    W1 { s: u8 },
    /// CAS it to LINGERING.
    W2 { s: u8, w: Word },
    /// The put has ended with or without an item.
    PutDone,

    /// Store the batch in the slot of its claim number `i`.
    P1 { i: u8 },
    /// Store 0 as its delivery count.
    P1Count { i: u8 },
    /// CAS the entry's word from 0 to the batch.
    P2,
    /// Raise the note of what has arrived to the batch.
    PN,
    /// What follows is the commit of the first claim.
    Publishing,
    /// All is committed: store 0 in the entry's word.
    P3,

    /// Load the root.
    B1,
    /// Load the word of the tree at `level` with slot `s`, whose bit is set in the word above.
    T1 { path: Path, look: Look, level: u8, s: u8, found: Found },
    /// Load the word of slot `s`, whose bit is set; `clear`: bits that may go.
    T2 { path: Path, look: Look, s: u8, clear: u8, found: Found },
    /// Load the ticket of slot `s`, which was RETURNED.
    T2Ticket { path: Path, look: Look, s: u8, clear: u8, found: Found },
    /// CAS the word of the last level without the bits `clear`.
    T3 { path: Path, look: Look, s: u8, clear: u8, found: Found },
    /// CAS the word at `level` without the bit of the word below, which has none.
    T4 { path: Path, look: Look, level: u8, s: u8, found: Found },
    /// Load the root again.
    T5 { look: Look, found: Found },
    /// Load the word of the first slot of the list.
    T6Word { look: Look, found: Found },
    /// Load its ticket.
    T6Ticket { look: Look, found: Found, w: Word },
    /// CAS it to READING.
    T6 { look: Look, found: Found, w: Word },
    /// Take its bit away.
    T7 { s: u8, look: Look, rest: Found },
    /// Load the tail.
    B2Tail { look: Look },
    /// Load the head: the tail may be more than a lap behind it.
    BJ { look: Look, t0: Ticket },
    /// Load the word at ticket `h - 1`, which must be used up, and no more than that of the next lap with it.
    BJLook { t0: Ticket, h: Ticket },
    /// A slot has used up more than `h` allows: load the head again, which must have moved.
    BJHead { h: Ticket },
    /// Move the root's version.
    BJRaise { t0: Ticket, n: Ticket },
    /// CAS the tail to `n`, and start over.
    BJCas { t0: Ticket, n: Ticket },
    /// Load the word at ticket `t`; `fw` is the first ticket that is still being written.
    B2 { look: Look, t0: Ticket, t: Ticket, fw: Option<Ticket> },
    /// Load the word at ticket `t` again, one of those before `c`, at which the walk ended; `fw` is the first one that is
    /// still being written and was not passed.
    B3 { look: Look, t0: Ticket, c: Ticket, fw: Option<Ticket>, t: Ticket, end: End },
    /// Pass the ticket `t`: CAS WRITING to LATE.
    B3Pass { look: Look, t0: Ticket, c: Ticket, fw: Option<Ticket>, t: Ticket, w: Word, end: End },
    /// Load the root.
    B3Version { look: Look, t0: Ticket, c: Ticket, fw: Option<Ticket> },
    /// CAS the candidate to READING.
    B4 { t0: Ticket, c: Ticket, fw: Option<Ticket> },
    /// CAS the tail to `n`.
    B5 { t0: Ticket, n: Ticket, s: u8 },
    /// CAS the tail to `n`, then start over or end.
    B6 { look: Look, t0: Ticket, n: Ticket, again: bool },
    /// The call has ended: empty.
    Empty,

    /// Count the delivery of slot `s`, where batches are published.
    Count { s: u8 },
    /// The call has ended with an item, and the next step is release's (L1), linger's or give_back's first.
    Borrowed { s: u8 },
    /// CAS READING to FREE, or to LINGERING.
    L2 { s: u8, w: Word, linger: bool, is_odd: bool },
    /// Load the tail.
    LT { s: u8, w: Word, to: Leaving },
    /// The tail has not passed the slot's last ticket: raise the gap past that.
    LF { s: u8, w: Word, to: Leaving },
    /// It is free: move the version of what is freed beyond the lap from the tail on.
    LV { s: u8 },
    /// Load the word again.
    L1 { s: u8, linger: bool },
    /// Done with the item, but views still live; the next step is the load for their end.
    Lingering { s: u8 },
    /// CAS LINGERING to FREE.
    L4 { s: u8, w: Word, is_odd: bool },
    /// Set the bits, one a step.
    G0 { s: u8, number: u8 },
    /// Load the word.
    G1 { s: u8 },
    /// CAS READING to RETURNED.
    G2 { s: u8, w: Word },
    /// Move the root's version.
    G3 { s: u8 },
    /// The get has ended.
    GetDone,

    /// Look at the target's lock.
    S1 { p: Target },
    /// Load the target's entry, where a mutation has looked at the lock first.
    S1Entry { p: u8 },
    /// Load the entry's word that says what the target was publishing.
    SP { p: Target },
    /// Raise the note of what has arrived to that batch.
    SPNote { p: Target, at: Walk },
    /// Complete that: load the word of the slot of the walk's ticket.
    SPWord { p: Target, at: Walk },
    /// Load the slot's ticket, delivery count and batch: its holder, who wrote them, is dead.
    SPMeta { p: Target, at: Walk, w: Word },
    /// Move the root's version for what another sweeper may have completed before.
    SPAgain { p: Target, at: Walk, w: Word },
    /// Set the bits of a LATE slot, one a step.
    SPRaise { p: Target, at: Walk, w: Word, number: u8 },
    /// CAS it to READY or RETURNED.
    SPCas { p: Target, at: Walk, w: Word },
    /// Move the root's version for one that became RETURNED.
    SPRaiseAgain { p: Target, at: Walk },
    /// Load the word of slot `s`.
    S2 { p: Target, s: u8 },
    /// Set the bits of a slot that the target read, one a step.
    S2Raise { p: Target, s: u8, w: Word, number: u8 },
    /// Raise the gap past the slot's last ticket.
    S2F { p: Target, s: u8, w: Word },
    /// CAS what the target held.
    S2Cas { p: Target, s: u8, w: Word },
    /// Move the root's version.
    S3 { p: Target },
    /// Move the version of what is freed beyond the lap from the tail on.
    S3V { p: Target },
    /// CAS the entry to free.
    S4 { p: Target },
    /// The sweep has ended.
    SweepDone,

    /// The lock is taken: CAS the entry to used.
    J { generation: u8 },
    /// Store 0 as what the entry's tenant is publishing.
    J2,

    /// A batch counts first: load the head, or the root.
    N0,
    /// Load the tail, after a look.
    NTail { look: Look, found: Found },
    /// Load the root for a look.
    NLook,
    /// Load the word at ticket `t`, one of those from `t0` on.
    N { look: Look, found: Found, t0: Ticket, t: Ticket, count: u8 },
    /// Load the ticket of the slot of ticket `t`, which was RETURNED: the look may have found it.
    NTicket { look: Look, found: Found, t0: Ticket, t: Ticket, count: u8 },
    /// Too few: load the root again.
    NVersion { look: Look },
    /// The count says that there is enough; the next step is the first claim's first.
    Enough,
    /// The count says that there is not.
    Short,

    /// Load the flag before the claim.
    F0,
    /// Load the flag after the claim of a producer.
    F1 { c: Ticket },
    /// Load the flag after a call in vain.
    D0,
    /// Load the word of slot `s`; `left` items were seen before it.
    D { s: u8, left: u8 },
    /// The call has ended: shut down, or drained.
    ShutDown,
    /// Shut the queue down: set the flag's bits.
    X { flag: u8 },
    /// The process makes no more calls.
    Down,
}

impl Pc {
    /// The slot that the process believes to hold, with the phases that its word may have.
    pub fn believes_to_hold(self, capacity: u8) -> Option<(u8, [Phase; 2])> {
        match self {
            Pc::R4 { c, .. }
            | Pc::R5 { c, .. }
            | Pc::Reserved { c }
            | Pc::M2 { c }
            | Pc::C1 { c }
            | Pc::F1 { c }
            | Pc::C2 { c }
            | Pc::C2Raise { c, .. }
            | Pc::C2Cas { c, .. }
            | Pc::C2Again { c } => Some((c % capacity, [Phase::Writing, Phase::Late])),
            Pc::A1 { s } | Pc::AF { s, .. } | Pc::A2 { s, .. } | Pc::W1 { s } | Pc::W2 { s, .. } => {
                Some((s, [Phase::Writing, Phase::Late]))
            }
            Pc::B5 { s, .. }
            | Pc::Count { s }
            | Pc::Borrowed { s }
            | Pc::L1 { s, .. }
            | Pc::L2 { s, .. }
            | Pc::T7 { s, .. }
            | Pc::LT { s, to: Leaving::Release | Leaving::GiveBack, .. }
            | Pc::LF { s, to: Leaving::Release | Leaving::GiveBack, .. }
            | Pc::G0 { s, .. }
            | Pc::G1 { s }
            | Pc::G2 { s, .. } => Some((s, [Phase::Reading, Phase::Reading])),
            Pc::Lingering { s }
            | Pc::L4 { s, .. }
            | Pc::LT { s, to: Leaving::LetGo, .. }
            | Pc::LF { s, to: Leaving::LetGo, .. } => Some((s, [Phase::Lingering, Phase::Lingering])),
            _ => None,
        }
    }
}

//! One process: where it stands, and what it holds beside the slot that it works on.
//!
//! H1. A process that claims several slots keeps those it has, oldest first, while it claims the next. It never waits with
//!     a claim kept: where there is no next one, it gives all back.
//! H2. It ends a batch in the order of its claims; what goes back goes lowest ticket first.
//! H3. A consumer may keep what a look has found while the root's version is that of the look. It drops the list where it starts
//!     over, but for an item of the list that is gone.
//! H4. A producer whose views survive its put sets the slot aside, LINGERING, and goes on: it puts the same item again.

use crate::cast::{MAX_BATCH, Role};
use crate::memory::{Items, Phase};
use crate::steps::Pc;
use crate::tree::Found;

/// No slot set aside.
pub const NOWHERE: u8 = u8::MAX;

/// Claims of a batch, oldest first: tickets of a producer, slots of a consumer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Kept {
    // Zero past `len`, so that equal claims are equal states.
    claims: [u8; MAX_BATCH],
    pub len: u8,
}

impl Kept {
    pub fn push(&mut self, claim: u8) {
        self.claims[usize::from(self.len)] = claim;
        self.len += 1;
    }

    /// The oldest claim.
    pub fn first(&self) -> u8 {
        self.claims[0]
    }

    /// The oldest claim, which is kept no longer.
    pub fn take(&mut self) -> Option<u8> {
        self.take_lowest(|_| 0)
    }

    /// The claim with the lowest of these numbers, the oldest of such, which is kept no longer.
    pub fn take_lowest(&mut self, number: impl Fn(u8) -> u8) -> Option<u8> {
        let len = usize::from(self.len);
        let place = (0..len).min_by_key(|place| number(self.claims[*place]))?;
        let lowest = self.claims[place];
        self.claims[place..len].rotate_left(1);
        self.claims[len - 1] = 0;
        self.len -= 1;
        Some(lowest)
    }

    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        self.claims[..usize::from(self.len)].iter().copied()
    }
}

/// What a look has found, and the version of the root that it was made at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct List {
    pub version: u8,
    pub found: Found,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Process {
    pub pc: Pc,
    pub alive: bool,
    pub generation: u8,
    /// The producer's items so far, those that never came to a commit included.
    pub next: u8,
    /// The items (of a get) or the free slots (of a put) that were there from the call's beginning until now.
    pub throughout: Items,
    /// In a get: the items that had come back when the call began, and still wait. In a give_back or a sweep: the
    /// items that it brought back, and that still wait.
    pub came_back: Items,
    /// The other claims of a batch.
    pub kept: Kept,
    /// Whether what is left of the batch goes back: it fell short, was refused, or its user said so.
    pub goes_back: bool,
    /// How many claims of the batch have ended.
    pub ended: u8,
    /// What of the batch has gone back, and still waits.
    pub gave_back: Items,
    /// Whether the call was told that the queue is shut down.
    pub refused: bool,
    /// Whether the claim began after a shutdown that it must not survive.
    pub began_after: bool,
    /// The slot that a producer set aside.
    pub aside: u8,
    /// What a consumer has found, for the calls that follow.
    pub list: Option<List>,
    /// The version at which a producer has looked beyond the lap from the tail on, and found nothing free.
    pub none_free: Option<u8>,
    /// Whether it is publishing a batch.
    pub publishing: bool,
}

impl Process {
    pub const NEW: Process = Process {
        pc: Pc::Idle,
        alive: true,
        generation: 0,
        next: 0,
        throughout: 0,
        came_back: 0,
        kept: Kept { claims: [0; MAX_BATCH], len: 0 },
        goes_back: false,
        ended: 0,
        gave_back: 0,
        refused: false,
        began_after: false,
        aside: NOWHERE,
        list: None,
        none_free: None,
        publishing: false,
    };

    /// Items that a producer has begun to put: those of its kept claims, and the one of a call under way.
    pub fn items_under_way(&self) -> u8 {
        let is_putting = !matches!(
            self.pc,
            Pc::Idle
                | Pc::J { .. }
                | Pc::J2
                | Pc::P1 { .. }
                | Pc::P1Count { .. }
                | Pc::P2
                | Pc::PN
                | Pc::P3
                | Pc::Lingering { .. }
                | Pc::L4 { .. }
                | Pc::LT { .. }
                | Pc::LF { .. }
                | Pc::LV { .. }
                | Pc::N0
                | Pc::N { .. }
                | Pc::D0
                | Pc::Down
        );
        self.kept.len + u8::from(is_putting)
    }

    /// The slots that the process believes to hold, with the phases that each word may have.
    pub fn holds(&self, role: Role, capacity: u8) -> impl Iterator<Item = (u8, [Phase; 2])> + '_ {
        let kept = self.kept.iter().map(move |claim| match role {
            Role::Producer { .. } => (claim % capacity, [Phase::Writing, Phase::Late]),
            _ => (claim, [Phase::Reading; 2]),
        });
        let aside = (self.aside != NOWHERE).then_some((self.aside, [Phase::Lingering; 2]));
        self.pc.believes_to_hold(capacity).into_iter().chain(kept).chain(aside)
    }
}

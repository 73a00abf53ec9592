//! A history: the receipts of everybody who worked on one queue, and who was killed when.
//!
//! A receipt is written in halves. Before a call: what it is, what it puts, and when it begins. After it: what came of it, and
//! when. A two-phase call (reserve and commit, borrow and release) has the same two halves for its end. So a kill leaves a
//! receipt that is partial, and true.
//!
//! All times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.

/// The most values of one call.
pub const MAX_BATCH: usize = 16;

/// Everything that happened to one queue.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Everybody who ever worked on it.
    pub lives: Vec<Life>,
}

/// One process that worked on the queue, from its start to its end.
#[derive(Clone, Debug)]
pub struct Life {
    /// Its number in the epoch: the upper half of each value that it put.
    pub number: u32,
    /// How it ended.
    pub fate: Fate,
    /// What it did, in order.
    pub receipts: Vec<Receipt>,
    /// What lies in the memory that its last call was to fill, row by row: a value where the row is one item, whole.
    pub out: Vec<Option<u64>>,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// By itself.
    Left,
    /// By SIGKILL.
    Killed {
        /// Just before the signal was sent.
        not_before: u64,
        /// Once the process was known to be dead.
        not_after: u64,
    },
}

/// What kind of call a receipt is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Puts; seen from outside it is one step.
    Put,
    /// Reserves; its end commits or aborts.
    Reserve,
    /// Takes copies; seen from outside it is one step.
    Get,
    /// Borrows; its end releases or gives back.
    Borrow,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What it was called for.
    Done,
    /// Full, or empty, as long as it waited.
    Nothing,
    /// The wait was broken off: it says nothing of the queue.
    BrokenOff,
}

/// How a two-phase call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The items are in the queue.
    Commit,
    /// They are not.
    Abort,
    /// The items are done with.
    Release,
    /// They come again.
    GiveBack,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Its kind.
    pub call: Call,
    /// How many items it wants at most.
    pub wanted: usize,
    /// How few it is content with.
    pub min: usize,
    /// How many items it may hold for a moment and return because they are too few (`batch` T2 of the queue).
    pub short: usize,
    /// Whether what it takes is copied to where `Life::out` is read.
    pub has_out: bool,
    /// When it began.
    pub invoked: u64,
    /// When it returned.
    pub responded: Option<u64>,
    /// What came of it; says nothing before it returned.
    pub outcome: Outcome,
    /// What it puts, or took.
    pub values: Vec<u64>,
    /// Of what it took, how often each item was delivered, this time included; 0 where that is not known.
    pub deliveries: Vec<u8>,
    /// How its second phase ends; says nothing before that began.
    pub end: End,
    /// When its second phase's end began.
    pub end_invoked: Option<u64>,
    /// When that returned.
    pub end_responded: Option<u64>,
}

impl Life {
    /// When it was surely alive for the last time, and surely dead for the first.
    pub fn killed(&self) -> Option<(u64, u64)> {
        match self.fate {
            Fate::Left => None,
            Fate::Killed { not_before, not_after } => Some((not_before, not_after)),
        }
    }

    /// Whether it was killed within a call, or while it held something.
    pub fn was_cut_off(&self) -> bool {
        let has_ended = |last: &Receipt| match last.call {
            Call::Put | Call::Get => last.responded.is_some(),
            Call::Reserve | Call::Borrow if last.is_done() => last.end_responded.is_some(),
            Call::Reserve | Call::Borrow => last.responded.is_some(),
        };
        self.killed().is_some() && self.receipts.last().is_some_and(|last| !has_ended(last))
    }
}

impl Receipt {
    /// Whether the call takes.
    pub fn takes(&self) -> bool {
        matches!(self.call, Call::Get | Call::Borrow)
    }

    /// Whether it returned with what it was called for.
    pub fn is_done(&self) -> bool {
        self.responded.is_some() && self.outcome == Outcome::Done
    }
}

//! Who takes part, and where each process stands.

pub const MAX_PROCESSES: usize = 5;
pub const MAX_MARKS: usize = 2;

#[derive(Clone, Copy, Debug, Default)]
pub struct Mutation {
    /// A waiter looks before it sets the bit, and not again.
    pub no_look_after_the_bit: bool,
    /// A waker looks at the bit before its item is there.
    pub bit_before_item: bool,
    /// Who was woken and is done sets no bit for the others.
    pub no_bit_for_others: bool,
    /// Who was woken and is done looks for more before it sets the bit.
    pub looks_before_the_bit: bool,
    /// Who was woken and is done does not pass the wake-up on.
    pub keeps_the_rest: bool,
    /// A batch that cannot use what it was woken for does not pass the wake-up on.
    pub keeps_the_useless: bool,
    /// A batch passes on what it cannot use once, and keeps it if the kernel wakes it for the same again.
    pub keeps_the_second: bool,
    /// A waker clears the bit, and moves no sequence.
    pub sequence_stands: bool,
    /// A waker that means everybody wakes nobody while the bit is clear.
    pub all_by_the_bit: bool,
    /// Waiters are counted, and take themselves off the count when they are back.
    pub counts_waiters: bool,
    /// A waiter that spun in vain passes nothing on once it gets something.
    pub owes_nothing: bool,
    /// A waiter that got something in its spin passes nothing on.
    pub keeps_what_it_spun_for: bool,
    /// A waiter that got something in its spin looks for more before it clears its mark.
    pub looks_before_the_clearing: bool,
    /// A waiter that spun in vain sets the bit and looks before it clears its mark.
    pub bit_before_the_clearing: bool,
    /// A waiter that was woken spins again before it sets the bit.
    pub spins_when_woken: bool,
    /// A waker looks at the marks before its item is there.
    pub marks_before_item: bool,
    /// A batch that fell short does not count again, although it was woken.
    pub rests_on: bool,
}

/// When others see that the time of a mark is over, which is while its holder spins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Now or later.
    AtAnyTime,
    /// Every holder is in time.
    Never,
    /// No mark is ever heeded.
    AtOnce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Puts so many items, one by one.
    Putter(u8),
    /// Gets batches of `wanted` items, in so many calls.
    Getter { wanted: u8, calls: u8 },
    /// Shuts the queue down, once: calls that find too little end then.
    Shutter,
}

/// The next step of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pc {
    /// Make an item available.
    Publish,
    /// Take this mark, or try the next one.
    TakeMark(u8),
    /// Look for items, busily.
    Spin,
    /// Clear the mark, having spun in vain, or with items in hand.
    ClearMark,
    ClearMarkWithItems,
    /// The same in the mutation that looks for more before, and found nothing.
    ClearMarkAtLast,
    /// Look whether anybody sleeps, with items in hand.
    LookForSleepers,
    /// Set the bit, at the beginning of each round of a wait.
    SetBit,
    /// Count the items: a batch alone.
    Count,
    /// Claim one.
    Claim,
    /// Make a claimed one available again, having fallen short.
    PutBack,
    /// Return what a dead process had claimed, or go on.
    Sweep,
    /// Count the items once more, and decide how to wait.
    Decide,
    /// Sleep, if the word has not moved.
    FallAsleep,
    Asleep,
    /// Asleep for a while whatever happens.
    Napping,
    /// Done, and woken before: set the bit for the others.
    SetForOthers,
    /// Look whether there is more for them.
    LookForOthers,
    /// Shut the queue down; then move the word, and wake all sleepers.
    ShutDown,
    MoveForAll,
    WakeAll,
    /// A wake-up's load of the word, its look at one of the marks, its move of the word, and its system call.
    Load(After),
    LookAtMark(u8, After),
    Move(After),
    Wake(After),
    /// Nothing left to do.
    Done,
}

/// Where a process goes on that has woken others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum After {
    Publishing,
    PuttingBack,
    /// Having passed a wake-up on: the next round.
    Passing,
    /// Having passed one on for the second time: a nap, in which the kernel finds others.
    PassingAgain,
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub pc: Pc,
    pub is_alive: bool,
    /// Items to put, or calls to make.
    pub left: u8,
    pub claimed: u8,
    /// Whether it was woken, or has held a mark, and has not passed that on yet.
    pub was_woken: bool,
    /// One more than the number of the mark that it has taken; 0 for none.
    pub mark: u8,
    /// Whether the word is still that which the process set the bit in, or was about to move.
    pub seen: bool,
    pub loaded: bool,
    /// Whether its last count fell short in a word that it had set the bit in, and that still stands: then it does not count again.
    pub rests: bool,
    /// Whether nothing has moved in the ring since it passed a wake-up on.
    pub passed_on: bool,
    /// In the mutation that looks at the marks first: whether one was valid.
    pub heeds_mark: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub items: u8,
    pub is_shut_down: bool,
    /// 1 with the waiters bit; more only in the mutation that counts.
    pub waiters: u8,
    /// Each spinner's mark: one more than who took it last; 0 for free.
    pub marks: [u8; MAX_MARKS],
    pub processes: [Process; MAX_PROCESSES],
    pub crashes: u8,
    /// System calls of wakers since a waiter came, at most two.
    pub calls: u8,
    pub has_crashed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Step(usize),
    /// A wake-up that reaches this sleeper.
    WakeUp {
        waker: usize,
        sleeper: usize,
    },
    /// A batch that lacks more than one item naps instead of sleeping.
    Nap(usize),
    /// A sleep ends by itself.
    TimeOut(usize),
    /// A spin ends in vain.
    StopSpinning(usize),
    /// The time of the mark that this process looks at is over.
    SeeExpired(usize),
    /// A call's time is over, or it is interrupted.
    GiveUp(usize),
    Crash(usize),
}

#[derive(Clone, Debug)]
pub struct Wakes {
    pub roles: Vec<Role>,
    pub crashes: u8,
    /// Whether calls may give up.
    pub give_up: bool,
    /// How many may spin at once.
    pub marks: u8,
    pub expiry: Expiry,
    pub mutation: Mutation,
}

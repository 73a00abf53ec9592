//! The board: which slot is whose, which item is the newest, and who reads where.
//!
//! | word of a slot | whose it is | next |
//! |---|---|---|
//! | FREE(x) | nobody's; x is the ticket of its last item, 0 if it had none | WRITING |
//! | WRITING(owner, x) | a publisher's | READY, FREE |
//! | READY(t) | nobody's: the item of ticket t, for any number of readers | WRITING |
//!
//! One word, `newest`, has the ticket T and the slot of the newest item. There is no list of tickets, and no cursor but those of the
//! subscriptions. Each participant has a pin on each slot: how often it reads there.
//!
//! B1. *Claim.* A publisher loads T, then all words. It takes a FREE slot, else the oldest item before T: the newest never goes. It looks
//!     at all pins of the slot, moves the word to WRITING, and looks at the pins again. If one is set, the slot becomes FREE, and
//!     never READY again: a subscription may have counted its item as missed.
//! B2. *Full.* A claim that finds nothing proves nothing, since slots change during its look. Only one that began after the waiters bit was
//!     set, and after which the event has not moved, says that the topic is full. With a slot for each item that is being read, one for
//!     each publisher and one more there always is one.
//! B3. *Commit.* The compare-and-swap of `newest` from (T, s) to (T + 1, mine) is the commit: tickets are consecutive. The word becomes
//!     READY(T + 1) after it, by compare-and-swap, since others may have done it (B4).
//! B4. *Help.* Before anybody goes on from (T, s), slot s is READY(T) or has gone further: if it is WRITING with a last ticket before T, it is
//!     moved to READY(T). So all items up to T are READY or gone once T is known, and a publisher that stops between its commit and the
//!     word delays nobody. A helper may be slower than two laps, so another last ticket than T is not enough: it must be before T.
//! B5. *Abort.* A slot that is not published becomes FREE(x): its old item has gone at the claim.
//! B6. *Read.* A reader pins the slot, and only then looks at the word, which must be READY with just its ticket. Else it unpins and begins
//!     anew. Of its look, and of the second look of B1, one sees the other: both have a fence between what they write and what they read.
//! B7. *Next.* A subscription at c finds nothing while T < c. Else it takes the lowest READY ticket from c to T. It moves on when its look
//!     of B6 has succeeded: what it passes over then has gone for good.
//! B8. *Recover.* Of a dead tenant's slots the one that `newest` names becomes READY, the others FREE. Whether the entry still is the dead
//!     tenant's is asked before each such change. Its pins go by compare-and-swap from its tenancy alone.
//! B9. Every change of a word and of a pin that somebody may wait for is SeqCst, and so is the look at the waiters bit that follows
//!     (`wait` E1). Whoever calls a function of the board that says so notifies.
//! B10. *Linger.* A publisher that gives up a slot which it cannot keep from being written to pins it first, and frees it then. Whoever
//!     claims it later has seen it FREE, and so sees the pin. The end of the topic does not wait for such a slot: nothing comes of it.
//!
//! What is explored exhaustively, and why each step is there, is in `tests/topic`.

mod publish;
mod read;
mod recover;

use std::fmt;

use super::word::{Newest, Pin, State};
use crate::error::{Corrupted, Damage};
use crate::format::{Control, Slot};
use crate::sync::{AtomicU64, Ordering, load_to_swap};
pub(crate) use publish::Claim;
pub use read::Start;
pub(crate) use read::{Found, Pinned};

/// One segment's board: safe code over references to atomics.
pub(crate) struct Board<'s> {
    control: &'s Control,
    slots: &'s [Slot],
    /// Those of slot 0 first, a word for each place.
    pins: &'s [AtomicU64],
}

impl fmt::Debug for Board<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Board").field("capacity", &self.slots.len()).finish_non_exhaustive()
    }
}

impl<'s> Board<'s> {
    pub(crate) fn new(control: &'s Control, slots: &'s [Slot], pins: &'s [AtomicU64]) -> Self {
        debug_assert!(!slots.is_empty() && pins.len().is_multiple_of(slots.len()));
        Self { control, slots, pins }
    }

    pub(crate) fn control(&self) -> &'s Control {
        self.control
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How often the tenant of a place reads in a slot.
    pub(crate) fn pin_of(&self, slot: usize, place: u32) -> Option<Pin> {
        // Relaxed: one more look among many.
        Pin::unpack(self.pins_of(slot)[place as usize].load(Ordering::Relaxed))
    }

    /// The ticket of the newest item; 0 while there is none.
    pub(crate) fn version(&self) -> u64 {
        // Acquire: who knows of an item may know what its publisher knew.
        Newest::unpack(self.control.newest.load(Ordering::Acquire)).ticket
    }

    /// Whether any slot is being written, but for those that `is_own` knows.
    pub(crate) fn is_any_written(&self, is_own: impl Fn(&Slot) -> bool) -> bool {
        self.slots.iter().filter(|slot| !is_own(slot)).any(|slot| {
            // SeqCst: B9: before it the flag was looked at, and after it the newest item is.
            let word = slot.state.load(Ordering::SeqCst);
            matches!(State::unpack(word), Some(State::Writing(..)))
        })
    }

    /// Whether anybody reads in a slot.
    pub(crate) fn is_pinned(&self, slot: usize) -> bool {
        // Acquire: the reads of whoever has unpinned are before what is written next. The order against the word comes of a fence (B6).
        self.pins_of(slot).iter().any(|pin| pin.load(Ordering::Acquire) != Pin::NONE)
    }

    /// The pins of one slot, by place.
    pub(crate) fn pins_of(&self, slot: usize) -> &'s [AtomicU64] {
        let places = self.pins.len() / self.slots.len();
        &self.pins[slot * places..][..places]
    }

    /// What a slot's word says.
    pub(crate) fn state(&self, slot: usize) -> Result<State, Corrupted> {
        // SeqCst: of a reader's look and a publisher's claim (B6), one sees the other, with a fence before this. Acquire: the rows of an
        // item, and all that its publisher knew.
        unpack(slot, self.slots[slot].state.load(Ordering::SeqCst))
    }

    /// The same before it is changed.
    fn state_to_swap(&self, slot: usize) -> Result<State, Corrupted> {
        unpack(slot, load_to_swap(&self.slots[slot].state, Ordering::SeqCst))
    }

    fn swap(&self, slot: usize, from: State, to: State) -> bool {
        // SeqCst: B9. Release: the rows. Acquire: what the one before has left.
        let (from, to) = (from.pack(), to.pack());
        self.slots[slot].state.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    fn newest(&self) -> Result<Newest, Corrupted> {
        // SeqCst: B9. Acquire: the words that were READY before it.
        self.checked(self.control.newest.load(Ordering::SeqCst))
    }

    /// The same before it is changed.
    fn newest_to_swap(&self) -> Result<Newest, Corrupted> {
        self.checked(load_to_swap(&self.control.newest, Ordering::SeqCst))
    }

    fn checked(&self, word: u64) -> Result<Newest, Corrupted> {
        let newest = Newest::unpack(word);
        if newest.slot < self.slots.len() { Ok(newest) } else { Err(Damage::Newest { found: word }.into()) }
    }

    /// B4.
    fn help(&self, newest: Newest) -> Result<(), Corrupted> {
        let state = self.state_to_swap(newest.slot)?;
        if let State::Writing(_, last) = state
            && last.is_before(newest.ticket)
        {
            // If it fails, somebody else has helped, or the publisher has gone on.
            self.swap(newest.slot, state, State::Ready(newest.ticket));
        }
        Ok(())
    }
}

fn unpack(slot: usize, word: u64) -> Result<State, Corrupted> {
    State::unpack(word).ok_or_else(|| Damage::StateWord { slot, word }.into())
}

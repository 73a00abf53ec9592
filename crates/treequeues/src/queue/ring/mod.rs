//! The ring: who may touch which slot, decided by one compare-and-swap on the slot's state word.
//!
//! All truth is in the slots' state words (`word`). The two cursors and the tree (`tree`) only help to find it: anyone may
//! advance a cursor, and a participant that dies before it does delays nobody.
//!
//! | phase | who holds it | next |
//! |---|---|---|
//! | FREE(reach) | nobody; its next ticket is that of lap `reach` | WRITING |
//! | WRITING(owner, reach) | a producer, its ticket not yet passed by the ring | READY, LATE, FREE, LINGERING |
//! | LATE(owner, reach) | a producer whose ticket the ring has passed | RETURNED, FREE, LINGERING |
//! | READY(reach) | nobody, in order: its ticket is that of lap `reach` | READING, RETURNED |
//! | READING(owner, reach) | a consumer | FREE, RETURNED, LINGERING |
//! | RETURNED(reach) | nobody, out of order: comes first, lowest ticket first | READING |
//! | LINGERING(owner, reach) | a producer or consumer that is done, whose views still live | FREE |
//!
//! A ticket t belongs to slot t % capacity in lap t / capacity. A slot that cannot serve its ticket of this lap has the
//! ticket *burned*: its reach grows by one, the ring passes it by, and what it holds becomes LATE or RETURNED.
//!
//! A ticket that is WRITING holds the tail, and whoever borrows walks from there. So one that lies far behind is *passed*: it
//! becomes LATE with the reach that it has.
//!
//! R1. A slot's ticket of lap L is used up at most once: by a reserve (FREE(L) to WRITING(L)) or by a burn.
//! R2. `head` never passes a ticket that is not used up; `tail` never passes a WRITING or READY ticket of its lap. A ticket is
//!     used up only after all before it, and less than a lap beyond `head`; so a tail more than a lap behind `head` may jump.
//! R3. Only the owner, or a sweeper after the owner's death, moves a held slot to another holder; others may only burn and
//!     pass.
//! R4. A slot that is RETURNED has its bits in the tree. A borrow takes a READY ticket only while the root's version is that of a
//!     look that found nothing RETURNED, and says that there is nothing only after a look of its own.
//! R5. An item keeps the ticket that it was reserved under until its slot is free.
//! R6. What makes an operation start over is that something has moved, and a lone one comes to an end. What would make it start
//!     over although nothing has moved is damage; nothing else is.
//! R7. A ticket is used up by an item that is taken in order, after which the tail passes it; or the gap is past it, and was raised
//!     before. So the tickets of FREE slots lie below max(tail, gap) + capacity, and a reserve looks no further.
//! R8. Whoever frees a slot whose ticket the tail has not passed counts that afterwards; a sweep does so before the entry is free.
//!     While the count is what it was before a look that found none FREE beyond tail + capacity, there is none, but by those who
//!     stand between.
//!
//! The same steps, one shared access each, are explored exhaustively in `tests/model`.
//!
//! Orderings. O1: a slot's rows and metadata are published by the Release half of the compare-and-swap that leaves a
//! phase, and seen through the Acquire half of the load or compare-and-swap that finds it. O2: compare-and-swaps that
//! make a slot available are SeqCst, as is the load of the waiters bit that follows (`wait`); a sleeper has a SeqCst fence
//! between setting the bit and its last look. So either the waker sees the bit, or the sleeper sees the slot. The same holds for
//! what tells that look where to end, or that a list still stands: the cursors, the root's version, the gap's count. O3: a cursor
//! is moved with Release and read with Acquire, so that every ticket before it is seen as used up: a word that says otherwise is
//! damage.

mod borrow;
mod free;
mod look;
mod publish;
mod recover;
mod reserve;
mod returned;
mod size;
mod tree;

use std::fmt;
use std::sync::Arc;

use crate::error::{Corrupted, Damage};
use crate::format::word::{Owner, Phase, Word};
use crate::format::{Control, Slot, words_below_root};
use crate::sync::{AtomicU64, Backoff, Ordering};
pub(crate) use free::KnownFree;
pub(crate) use returned::Kept;
pub(crate) use size::Holes;

pub(crate) use publish::{Batch, Comes, Publisher};

/// A ticket that is still being written is passed when a walk ends so many further on. Not at once: what is committed a moment
/// later should come in order.
pub(crate) const FAR_BEHIND: u64 = 256;
/// The cursors' names.
const HEAD: &str = "head";
const TAIL: &str = "tail";

/// The right to a slot, won by a compare-and-swap. Spent by exactly one of `commit`, `abort`, `release`, `give_back` and
/// `let_go`.
#[derive(Debug)]
#[must_use]
pub(crate) struct Claim {
    /// The slot's index.
    pub(crate) slot: usize,
    /// The ticket of the item that is in the slot or goes there.
    pub(crate) ticket: u64,
    /// The word that won the claim.
    word: Word,
    notes: Notes,
}

/// What a claim knows. A number, not flags: a claim is returned through three functions, and fields of one size are moved in one
/// piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Notes(usize);

impl Notes {
    /// Other holders were in the way.
    const MET_HOLDS: Self = Self(1);
    /// The tail has passed the ticket.
    const IS_PASSED: Self = Self(2);

    fn when(self, is_so: bool) -> Self {
        Self(if is_so { self.0 } else { 0 })
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Claim {
    /// Whether other holders were in the way: a reason to look whether they still live.
    pub(crate) fn has_met_holds(&self) -> bool {
        self.notes.has(Notes::MET_HOLDS)
    }
}

// What a verb returns is moved through several functions: no error makes it larger.
const _: () = assert!(size_of::<Result<Option<Claim>, Corrupted>>() == size_of::<Option<Claim>>());

/// A walk along consecutive tickets, with one division at its start.
#[derive(Clone, Copy)]
struct Position {
    ticket: u64,
    slot: usize,
    lap: u64,
}

/// One segment's ring: safe code over references to atomics. Made once for each mapping: what every call works with is one reference.
pub(crate) struct Ring<'s> {
    control: &'s Control,
    slots: &'s [Slot],
    /// The words of the tree below its root, the last level first.
    tree: &'s [AtomicU64],
    /// What this process knows (R8).
    known_free: Arc<KnownFree>,
    far_behind: u64,
}

impl fmt::Debug for Ring<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ring").field("capacity", &self.slots.len()).finish_non_exhaustive()
    }
}

impl<'s> Ring<'s> {
    pub(crate) fn new(
        control: &'s Control,
        slots: &'s [Slot],
        tree: &'s [AtomicU64],
        known_free: Arc<KnownFree>,
    ) -> Self {
        debug_assert!(!slots.is_empty() && tree.len() == words_below_root(slots.len()));
        Self { control, slots, tree, known_free, far_behind: FAR_BEHIND }
    }

    /// The same that passes what is so many tickets behind.
    #[cfg(test)]
    pub(crate) fn passing(self, far_behind: u64) -> Self {
        Self { far_behind, ..self }
    }

    #[inline]
    pub(crate) fn control(&self) -> &'s Control {
        self.control
    }

    #[inline]
    pub(crate) fn slots(&self) -> &'s [Slot] {
        self.slots
    }

    /// Publishes a written slot. The item comes in order, or first if the ring had to pass its ticket.
    #[inline]
    pub(crate) fn commit(&self, claim: Claim) -> Result<(), Corrupted> {
        self.mark(&claim, Batch::NONE);
        self.commit_marked(claim)
    }

    /// The same of a slot that says which batch its item belongs to.
    fn commit_marked(&self, claim: Claim) -> Result<(), Corrupted> {
        // Release: publishes the rows and the slot's metadata (O1). SeqCst: O2.
        if self.swap(claim.slot, claim.word, claim.word.with(Phase::Ready, Owner::NOBODY)) {
            return Ok(());
        }
        self.make_returned(&claim, Phase::Late)
    }

    /// Frees a reserved slot unwritten: its ticket is used up, and no reader sees anything.
    pub(crate) fn abort(&self, claim: Claim) -> Result<(), Corrupted> {
        self.leave(&claim, &[Phase::Writing, Phase::Late], |word| {
            self.raise_gap(self.used_up_by(&claim, word));
            word.freed()
        })?;
        self.has_freed_beyond_the_tail();
        Ok(())
    }

    /// Ends a read: the slot is free for its next ticket.
    pub(crate) fn release(&self, claim: Claim) -> Result<(), Corrupted> {
        let word = claim.word;
        // Release: the reads of the rows are over before a producer's Acquire sees FREE (O1). SeqCst: O2.
        if claim.notes.has(Notes::IS_PASSED) && self.swap(claim.slot, word, word.freed()) {
            return Ok(());
        }
        self.free_what_the_tail_may_not_have_passed(&claim, Phase::Reading)
    }

    /// Puts a borrowed item back: it comes first again.
    pub(crate) fn give_back(&self, claim: Claim) -> Result<(), Corrupted> {
        self.make_returned(&claim, Phase::Reading)
    }

    /// Ends a reserve or a borrow, but keeps the slot, because views of it still live: no item comes of it, neither now nor
    /// after this participant's death. `let_go` ends that.
    pub(crate) fn linger(&self, claim: Claim) -> Result<Claim, Corrupted> {
        let lingering = |word: Word| word.with(Phase::Lingering, word.owner());
        let word = self.leave(&claim, &[Phase::Writing, Phase::Late, Phase::Reading], lingering)?;
        Ok(Claim { word, ..claim })
    }

    /// The last view has died: the slot is free.
    pub(crate) fn let_go(&self, claim: Claim) -> Result<(), Corrupted> {
        // Release: what the views read is read before a producer's Acquire sees FREE (O1).
        self.free_what_the_tail_may_not_have_passed(&claim, Phase::Lingering)
    }

    /// Every slot's word, one look each.
    pub(crate) fn words(&self) -> impl Iterator<Item = Word> {
        (0..self.slots.len()).map(move |index| self.word(index))
    }

    /// Frees a slot whose ticket was used up by an item, in order or not (R7).
    #[cold]
    #[inline(never)]
    fn free_what_the_tail_may_not_have_passed(&self, claim: &Claim, from: Phase) -> Result<(), Corrupted> {
        let mut is_beyond = false;
        self.leave(claim, &[from], |word| {
            is_beyond = self.raise_gap_before_the_tail(self.used_up_by(claim, word));
            word.freed()
        })?;
        if is_beyond {
            self.has_freed_beyond_the_tail();
        }
        Ok(())
    }

    /// Makes an item of a claimed slot that comes first.
    #[cold]
    fn make_returned(&self, claim: &Claim, from: Phase) -> Result<(), Corrupted> {
        self.raise(claim.slot);
        self.leave(claim, &[from], |word| {
            // A late one was burned, and the gap was raised then, or passed.
            if from == Phase::Reading {
                self.raise_gap_before_the_tail(self.used_up_by(claim, word));
            }
            word.with(Phase::Returned, Owner::NOBODY)
        })?;
        self.raise_again();
        Ok(())
    }

    /// Leaves a claimed slot although its ticket may be burned again and again meanwhile (R3); returns the word it left.
    fn leave(
        &self,
        claim: &Claim,
        from: &[Phase],
        mut to: impl FnMut(Word) -> Word,
    ) -> Result<Word, Corrupted> {
        let mut backoff = Backoff::new();
        loop {
            let word = self.word(claim.slot);
            let mine =
                word.owner() == claim.word.owner() && word.phase().is_some_and(|phase| from.contains(&phase));
            if !mine {
                return Err(Damage::TakenAway { slot: claim.slot, held: claim.word.0, found: word.0 }.into());
            }
            let left = to(word);
            if self.swap(claim.slot, word, left) {
                return Ok(left);
            }
            backoff.pause();
        }
    }

    fn word(&self, index: usize) -> Word {
        // Acquire: pairs with every `swap` (O1).
        Word(self.slots[index].state.load(Ordering::Acquire))
    }

    fn swap(&self, index: usize, from: Word, to: Word) -> bool {
        // SeqCst: O1 (its Acquire and Release halves) and O2. Relaxed on failure: the caller looks again.
        self.slots[index].state.compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Where the cursor is then, or was before somebody moved it further on.
    fn advance(&self, cursor: &AtomicU64, from: u64, to: u64) -> u64 {
        if from == to {
            return from;
        }
        // SeqCst: O2, O3. Failure means that somebody else advanced it; Acquire, since what the caller does then is as if it had.
        match cursor.compare_exchange(from, to, Ordering::SeqCst, Ordering::Acquire) {
            Ok(_) => to,
            Err(further) => further,
        }
    }

    /// Before a ticket is used up otherwise than by an item that is taken in order (R7): moves the gap past it.
    #[cold]
    fn raise_gap(&self, end: u64) {
        // Relaxed: a gap that is there already is seen by whoever sees what follows from the caller.
        if self.control.gap.ticket.load(Ordering::Relaxed) < end {
            // Release: pairs with the Acquire in `end_of_free`. Acquire: keeps the slot's compare-and-swap behind it.
            self.control.gap.ticket.fetch_max(end, Ordering::AcqRel);
        }
    }

    /// The same where the tail has not passed the ticket: whether that is so.
    fn raise_gap_before_the_tail(&self, end: u64) -> bool {
        let is_beyond = self.tail().ticket < end;
        if is_beyond {
            self.raise_gap(end);
        }
        is_beyond
    }

    /// After a slot was freed whose last ticket the tail has not passed, or may not have: whoever has found none such free looks
    /// again (R8).
    #[cold]
    fn has_freed_beyond_the_tail(&self) {
        // SeqCst: as the compare-and-swaps of O2, for a sleeper that looks no further than this. Its Release half pairs with the
        // Acquire in `frees`.
        self.control.gap.frees.fetch_add(1, Ordering::SeqCst);
    }

    /// One past the last ticket that the slot of a claim has used up, in a word that was seen there.
    fn used_up_by(&self, claim: &Claim, word: Word) -> u64 {
        let capacity = self.slots.len() as u64;
        let burned = word.laps_ahead_of(claim.ticket / capacity);
        claim.ticket.wrapping_add_signed(burned.wrapping_mul(capacity as i64)).wrapping_add(1)
    }

    /// The same of any slot that is not FREE.
    fn used_up_in(&self, slot: usize, word: Word) -> u64 {
        let head = self.head();
        let laps = word.laps_ahead_of(head.lap);
        let in_lap_of_head = head.ticket.wrapping_sub(head.slot as u64).wrapping_add(slot as u64);
        in_lap_of_head.wrapping_add_signed(laps.wrapping_mul(self.slots.len() as i64)).wrapping_add(1)
    }

    /// A cursor that no ring can have with its words.
    #[cold]
    fn contradicted(&self, cursor: &'static str, at: Position) -> Corrupted {
        let Position { ticket, slot, .. } = at;
        Damage::Cursor { cursor, ticket, slot, word: self.word(slot).0 }.into()
    }

    fn head(&self) -> Position {
        // Acquire: O3.
        self.position(self.control.head.load(Ordering::Acquire))
    }

    fn tail(&self) -> Position {
        // Acquire: O3.
        self.position(self.control.tail.load(Ordering::Acquire))
    }

    fn position(&self, ticket: u64) -> Position {
        let capacity = self.slots.len() as u64;
        Position { ticket, slot: (ticket % capacity) as usize, lap: ticket / capacity }
    }

    /// `capacity` consecutive tickets from `first` on.
    fn lap_from(&self, first: Position) -> impl Iterator<Item = Position> {
        let capacity = self.slots.len();
        let mut next = first;
        (0..capacity).map(move |_| {
            let this = next;
            next.ticket = next.ticket.wrapping_add(1);
            next.slot += 1;
            if next.slot == capacity {
                next.slot = 0;
                next.lap = next.lap.wrapping_add(1);
            }
            this
        })
    }
}

/// The phase of a slot's word.
#[inline]
pub(crate) fn phase_of(slot: usize, word: Word) -> Result<Phase, Corrupted> {
    word.phase().ok_or_else(|| Damage::StateWord { slot, word: word.0 }.into())
}

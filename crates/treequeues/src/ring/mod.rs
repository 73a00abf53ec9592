//! The ring: who may touch which slot, decided by one compare-and-swap on the slot's state word.
//!
//! All truth is in the slots' state words (`word`). The two cursors and the hint only help to find it: anyone may
//! advance them, and whoever dies before advancing them delays nobody.
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
//! R4. The hint is up while RETURNED slots may exist. Who makes one raises the hint before and after, and who finds no
//!     item looks at every slot before saying so: a raiser may have died in between.
//! R5. An item keeps the ticket that it was reserved under until its slot is free.
//! R6. What makes an operation start over is that something has moved, and a lone one comes to an end. What would make it start
//!     over although nothing has moved is damage; nothing else is.
//!
//! The same steps, one shared access each, are explored exhaustively in `tests/model`.
//!
//! Orderings. O1: a slot's rows and metadata are published by the Release half of the compare-and-swap that leaves a
//! phase, and seen through the Acquire half of the load or compare-and-swap that finds it. O2: compare-and-swaps that
//! make a slot available are SeqCst, as is the load of the waiters bit that follows (`wait`); a sleeper has a SeqCst fence
//! between setting the bit and its last look. So either the waker sees the bit, or the sleeper sees the slot. O3: a cursor is
//! moved with Release and read with Acquire, so that every ticket before it is seen as used up: a word that says otherwise is
//! damage.

mod borrow;
mod look;
mod publish;
mod recover;
mod reserve;

use crate::error::{Corrupted, Damage};
use crate::format::{Control, Slot};
use crate::sync::{AtomicU64, Ordering, spin_loop};
use crate::word::{Owner, Phase, Word};

use publish::Batch;
pub(crate) use publish::Publisher;

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
    /// How many other holders were in the way: a reason to look whether they still live. A number, not a flag: a claim is
    /// returned through three functions, and fields of one size are moved in one piece.
    pub(crate) met_holds: usize,
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

/// A view of one segment's ring: safe code over references to atomics.
#[derive(Clone, Copy)]
pub(crate) struct Ring<'s> {
    control: &'s Control,
    slots: &'s [Slot],
    far_behind: u64,
}

impl<'s> Ring<'s> {
    pub(crate) fn new(control: &'s Control, slots: &'s [Slot]) -> Self {
        debug_assert!(!slots.is_empty());
        Self { control, slots, far_behind: FAR_BEHIND }
    }

    /// The same that passes what is so many tickets behind.
    #[cfg(test)]
    pub(crate) fn passing(self, far_behind: u64) -> Self {
        Self { far_behind, ..self }
    }

    /// Publishes a written slot. The item comes in order, or first if the ring had to pass its ticket.
    #[inline]
    pub(crate) fn commit(self, claim: Claim) -> Result<(), Corrupted> {
        self.mark(&claim, Batch::NONE);
        self.commit_marked(claim)
    }

    /// The same of a slot that says which batch its item belongs to.
    fn commit_marked(self, claim: Claim) -> Result<(), Corrupted> {
        // Release: publishes the rows and the slot's metadata (O1). SeqCst: O2.
        if self.swap(claim.slot, claim.word, claim.word.with(Phase::Ready, Owner::NOBODY)) {
            return Ok(());
        }
        self.raise_hint();
        self.leave(&claim, &[Phase::Late], |late| late.with(Phase::Returned, Owner::NOBODY))?;
        self.raise_hint();
        Ok(())
    }

    /// Frees a reserved slot unwritten: its ticket is used up, and no reader sees anything.
    pub(crate) fn abort(self, claim: Claim) -> Result<(), Corrupted> {
        self.leave(&claim, &[Phase::Writing, Phase::Late], Word::freed).map(drop)
    }

    /// Ends a read: the slot is free for its next ticket.
    pub(crate) fn release(self, claim: Claim) -> Result<(), Corrupted> {
        let word = claim.word;
        // Release: the reads of the rows are over before a producer's Acquire sees FREE (O1). SeqCst: O2.
        if self.swap(claim.slot, word, word.freed()) {
            return Ok(());
        }
        self.leave(&claim, &[Phase::Reading], Word::freed).map(drop)
    }

    /// Puts a borrowed item back: it comes first again.
    pub(crate) fn give_back(self, claim: Claim) -> Result<(), Corrupted> {
        self.raise_hint();
        self.leave(&claim, &[Phase::Reading], |word| word.with(Phase::Returned, Owner::NOBODY))?;
        self.raise_hint();
        Ok(())
    }

    /// Ends a reserve or a borrow, but keeps the slot, because views of it still live: no item comes of it, neither now nor
    /// after this participant's death. `let_go` ends that.
    pub(crate) fn linger(self, claim: Claim) -> Result<Claim, Corrupted> {
        let lingering = |word: Word| word.with(Phase::Lingering, word.owner());
        let word = self.leave(&claim, &[Phase::Writing, Phase::Late, Phase::Reading], lingering)?;
        Ok(Claim { word, ..claim })
    }

    /// The last view has died: the slot is free.
    pub(crate) fn let_go(self, claim: Claim) -> Result<(), Corrupted> {
        // Release: what the views read is read before a producer's Acquire sees FREE (O1).
        self.leave(&claim, &[Phase::Lingering], Word::freed).map(drop)
    }

    /// Every slot's word, one look each.
    pub(crate) fn words(self) -> impl Iterator<Item = Word> + 's {
        (0..self.slots.len()).map(move |index| self.word(index))
    }

    /// Leaves a claimed slot although its ticket may be burned again and again meanwhile (R3); returns the word it left.
    fn leave(self, claim: &Claim, from: &[Phase], to: impl Fn(Word) -> Word) -> Result<Word, Corrupted> {
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
            spin_loop();
        }
    }

    fn word(self, index: usize) -> Word {
        // Acquire: pairs with every `swap` (O1).
        Word(self.slots[index].state.load(Ordering::Acquire))
    }

    fn swap(self, index: usize, from: Word, to: Word) -> bool {
        // SeqCst: O1 (its Acquire and Release halves) and O2. Relaxed on failure: the caller looks again.
        self.slots[index].state.compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    fn advance(self, cursor: &AtomicU64, from: u64, to: u64) {
        if from != to {
            // Release: O3. Failure means that somebody else advanced it.
            let _ = cursor.compare_exchange(from, to, Ordering::Release, Ordering::Relaxed);
        }
    }

    /// Puts the hint up, and makes it other than before, so that a clearing that began earlier fails (R4).
    fn raise_hint(self) {
        // Release: pairs with the Acquire loads in `borrow`. Acquire: keeps what follows behind it.
        self.control.hint.fetch_add(HINT_RAISE, Ordering::AcqRel);
    }

    /// A cursor that no ring can have with its words.
    #[cold]
    fn contradicted(self, cursor: &'static str, at: Position) -> Corrupted {
        let Position { ticket, slot, .. } = at;
        Damage::Cursor { cursor, ticket, slot, word: self.word(slot).0 }.into()
    }

    fn head(self) -> Position {
        // Acquire: O3.
        self.position(self.control.head.load(Ordering::Acquire))
    }

    fn tail(self) -> Position {
        // Acquire: O3.
        self.position(self.control.tail.load(Ordering::Acquire))
    }

    fn position(self, ticket: u64) -> Position {
        let capacity = self.slots.len() as u64;
        Position { ticket, slot: (ticket % capacity) as usize, lap: ticket / capacity }
    }

    /// `capacity` consecutive tickets from `first` on.
    fn lap_from(self, first: Position) -> impl Iterator<Item = Position> {
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

/// The hint counts raises in its upper half, and in its lower half those that a fruitless look has answered.
const HINT_RAISE: u64 = 1 << 32;

fn is_up(hint: u64) -> bool {
    hint >> 32 != hint & (HINT_RAISE - 1)
}

fn cleared(hint: u64) -> u64 {
    hint & !(HINT_RAISE - 1) | hint >> 32
}

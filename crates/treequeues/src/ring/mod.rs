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
//! R1. A slot's ticket of lap L is used up at most once: by a reserve (FREE(L) to WRITING(L)) or by a burn.
//! R2. `head` never passes a ticket that is not used up; `tail` never passes a WRITING or READY ticket of its lap.
//! R3. Only the owner, or a sweeper after the owner's death, moves a held slot to another holder; others may only burn.
//! R4. The hint is up while RETURNED slots may exist. Who makes one raises the hint before and after, and who finds no
//!     item looks at every slot before saying so: a raiser may have died in between.
//! R5. An item keeps the ticket that it was reserved under until its slot is free.
//!
//! The same steps, one shared access each, are explored exhaustively in `tests/model`.
//!
//! Orderings. O1: a slot's rows and metadata are published by the Release half of the compare-and-swap that leaves a
//! phase, and seen through the Acquire half of the load or compare-and-swap that finds it. O2: compare-and-swaps that
//! make a slot available are SeqCst, as is the load of the waiters bit that follows (`wait`); a sleeper has a SeqCst fence
//! between setting the bit and its last look. So either the waker sees the bit, or the sleeper sees the slot. O3: cursors
//! are Relaxed where a stale value only costs a restart.

mod borrow;
mod look;
mod reserve;

use crate::error::{Corrupted, Damage};
use crate::format::{Control, Slot};
use crate::sync::{AtomicU64, Ordering, spin_loop};
use crate::word::{Owner, Phase, Word};

/// Looks at slots, beyond `LAPS_LOOKED_AT` laps, before an operation calls the ring corrupted. Each honest restart means
/// that another participant moved on; a million looks in one call are not contention but a cursor that contradicts the
/// words.
const MAX_LOOKS: u64 = 1 << 20;
/// Laps that an operation may look at in any case: an honest one needs a few.
const LAPS_LOOKED_AT: u64 = 64;
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
}

impl<'s> Ring<'s> {
    pub(crate) fn new(control: &'s Control, slots: &'s [Slot]) -> Self {
        debug_assert!(!slots.is_empty());
        Self { control, slots }
    }

    /// Publishes a written slot. The item comes in order, or first if the ring had to pass its ticket.
    pub(crate) fn commit(self, claim: Claim) -> Result<(), Corrupted> {
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

    /// Returns what `dead` held: unwritten and finished slots become free, unfinished reads are redelivered.
    ///
    /// Any number of sweepers may do this at once, and each may die half-way. A word names its owner by a few bits of the
    /// generation, so `is_still_theirs` is asked before each change: a sweeper that slept for hundreds of generations must
    /// not take the slots of a living tenant. Returns how many slots it moved.
    pub(crate) fn recover(self, dead: Owner, is_still_theirs: impl Fn() -> bool) -> Result<usize, Corrupted> {
        let mut looks = self.looks();
        let mut moved = 0;
        'slots: for index in 0..self.slots.len() {
            loop {
                looks.spend(|| self.restless(index))?;
                let word = self.word(index);
                let phase = phase_of(index, word)?;
                if word.owner() != dead || !phase.is_held() {
                    break;
                }
                if !is_still_theirs() {
                    break 'slots;
                }
                let to = match phase {
                    Phase::Reading => word.with(Phase::Returned, Owner::NOBODY),
                    _ => word.freed(),
                };
                if self.swap(index, word, to) {
                    moved += 1;
                    break;
                }
            }
        }
        self.raise_hint();
        Ok(moved)
    }

    /// Every slot's word, one look each.
    pub(crate) fn words(self) -> impl Iterator<Item = Word> + 's {
        (0..self.slots.len()).map(move |index| self.word(index))
    }

    /// Leaves a claimed slot although its ticket may be burned again and again meanwhile (R3); returns the word it left.
    fn leave(self, claim: &Claim, from: &[Phase], to: impl Fn(Word) -> Word) -> Result<Word, Corrupted> {
        let mut looks = self.looks();
        loop {
            looks.spend(|| self.restless(claim.slot))?;
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
            // Relaxed: O3. Failure means that somebody else advanced it.
            let _ = cursor.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Puts the hint up, and makes it other than before, so that a clearing that began earlier fails (R4).
    fn raise_hint(self) {
        // Release: pairs with the Acquire loads in `borrow`. Acquire: keeps what follows behind it.
        self.control.hint.fetch_add(HINT_RAISE, Ordering::AcqRel);
    }

    /// The looks are spent, and no state of a ring explains that but a wrong cursor.
    #[cold]
    fn lost(self, cursor: &'static str, ticket: &AtomicU64) -> Corrupted {
        let Position { ticket, slot, .. } = self.position(ticket.load(Ordering::Relaxed));
        Damage::Cursor { cursor, ticket, slot, word: self.word(slot).0 }.into()
    }

    /// The looks are spent on one slot.
    #[cold]
    fn restless(self, slot: usize) -> Corrupted {
        Damage::Restless { slot, word: self.word(slot).0 }.into()
    }

    fn looks(self) -> Looks {
        Looks { left: MAX_LOOKS + LAPS_LOOKED_AT * self.slots.len() as u64 }
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

/// How many looks at slots one operation has left.
struct Looks {
    left: u64,
}

impl Looks {
    #[inline]
    fn spend(&mut self, damage: impl FnOnce() -> Corrupted) -> Result<(), Corrupted> {
        self.left = self.left.checked_sub(1).ok_or_else(damage)?;
        Ok(())
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

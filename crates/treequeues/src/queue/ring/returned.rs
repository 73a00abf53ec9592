//! RETURNED items: found by the tree, lowest ticket first, and kept for the calls that follow.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::tree::Bits;
use super::{Claim, Notes, Ring, phase_of};
use crate::error::{Corrupted, Damage};
use crate::format::word::{Owner, Phase, Word};
use crate::long_look::kept_for;
use crate::sync::Ordering;

/// Looks for the RETURNED item with the lowest ticket, beyond which a borrow takes the lowest that it found although others gave
/// items back meanwhile: somebody who gives back thousands would keep it from ever having any.
const PATIENT_LOOKS: u32 = 16;
/// The most tickets that a process keeps: 8 MiB, and twice that while it looks. Once they are taken, it looks for the next ones.
const MAX_KEPT: usize = 1 << 20;

/// What this process found RETURNED, for all its threads. Never shared with others.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<List>);

/// The tickets that a look found, while they are worth anything.
#[derive(Debug)]
struct List {
    /// The most tickets that it keeps.
    most: usize,
    /// The root's version that the look began with, and when the list is to be dropped: a participant that is stopped between
    /// returning an item and moving that version (T2) would keep it from this process. `None` for no list.
    of: Option<(u32, Instant)>,
    /// Highest first.
    tickets: Vec<u64>,
    /// Items found beyond those: with higher tickets.
    others: usize,
}

/// What came of the tree.
pub(super) enum Returned {
    Claimed(Claim),
    Refused,
    Moved,
    /// Nothing is there; `is_fresh` says whether this very call has looked.
    None {
        is_fresh: bool,
    },
}

/// How many items are RETURNED, and which.
pub(super) struct Census<'k> {
    list: Option<MutexGuard<'k, List>>,
    pub(super) is_fresh: bool,
}

impl Default for List {
    fn default() -> Self {
        Self { most: MAX_KEPT, of: None, tickets: Vec::new(), others: 0 }
    }
}

impl Kept {
    /// One that keeps no more tickets than so many.
    #[cfg(test)]
    pub(crate) fn of_at_most(most: usize) -> Self {
        Self(Mutex::new(List { most, ..List::default() }))
    }

    /// As every process has one; in tests it keeps so few that others are left.
    pub(crate) fn of_a_process() -> Self {
        #[cfg(test)]
        return Self::of_at_most(8);
        #[cfg(not(test))]
        Self::default()
    }

    /// Drops the list, as whoever starts over must: the next look is a fresh one.
    #[cold]
    pub(super) fn forget(&self) {
        self.lock().forget();
    }

    /// Whether the list says that nothing is RETURNED below this root. False also when another thread has the list.
    pub(super) fn knows_of_none(&self, root: Bits) -> bool {
        self.0.try_lock().is_ok_and(|list| list.holds(root) && list.tickets.is_empty())
    }

    /// Whether what was found below this root still stands. False also when another thread has the list.
    pub(super) fn is_of(&self, root: Bits) -> bool {
        self.0.try_lock().is_ok_and(|list| list.holds(root))
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        // Whoever panicked with it has at most left a ticket too many, and each is looked at before it is taken.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// Whether it says below this root which item comes first, or that there is none.
    fn holds(&self, root: Bits) -> bool {
        // Others may have taken all that it kept, and then one that it did not keep is the first.
        (!self.tickets.is_empty() || self.others == 0)
            && self.of.is_some_and(|(version, until)| version == root.version() && Instant::now() < until)
    }

    fn forget(&mut self) {
        self.of = None;
        self.tickets.clear();
        self.others = 0;
    }

    fn push(&mut self, ticket: u64) {
        self.tickets.push(ticket);
        if self.tickets.len() >= 2 * self.most {
            self.keep_the_lowest();
        }
    }

    fn keep_the_lowest(&mut self) {
        if self.tickets.len() > self.most {
            self.tickets.select_nth_unstable(self.most - 1);
            self.others += self.tickets.len() - self.most;
            self.tickets.truncate(self.most);
        }
    }

    fn has(&self, ticket: u64) -> bool {
        self.tickets.binary_search_by(|other| ticket.cmp(other)).is_ok()
    }
}

impl Census<'_> {
    pub(super) fn len(&self) -> usize {
        self.list.as_ref().map_or(0, |list| list.tickets.len() + list.others)
    }

    /// Whether a RETURNED item is among them; those that are not kept are taken for it.
    pub(super) fn has(&self, ticket: u64) -> bool {
        self.list.as_ref().is_some_and(|list| list.others > 0 || list.has(ticket))
    }

    /// Drops the list: what follows is a fresh look.
    pub(super) fn forget(mut self) {
        if let Some(list) = &mut self.list {
            list.forget();
        }
    }
}

impl Ring<'_> {
    /// Claims the RETURNED item with the lowest ticket. `root` has bits; it becomes the root of the last look.
    #[cold]
    pub(super) fn borrow_returned(
        &self,
        me: Owner,
        root: &mut Bits,
        kept: &Kept,
        accept: &impl Fn(usize) -> bool,
    ) -> Result<Returned, Corrupted> {
        let mut list = kept.lock();
        let mut patience = PATIENT_LOOKS;
        let mut is_fresh = false;
        while root.has_any() && !list.holds(*root) {
            self.look_for_returned(*root, &mut list)?;
            is_fresh = true;
            // A lower ticket may have been returned behind the look; then the root has moved. One that was returned before this
            // borrow began was seen in any case.
            let root_now = self.root();
            if list.tickets.is_empty() || root_now.version() == root.version() {
                break;
            }
            patience -= 1;
            if patience == 0 {
                break;
            }
            *root = root_now;
        }
        let had_any = !list.tickets.is_empty();
        while let Some(&ticket) = list.tickets.last() {
            let Some((slot, word)) = self.returned_in_slot_of(ticket)? else {
                list.tickets.pop();
                continue;
            };
            if !accept(slot) {
                return Ok(Returned::Refused);
            }
            let taken = word.with(Phase::Reading, me);
            if !self.swap(slot, word, taken) {
                // Burned, or gone: another look at the same.
                continue;
            }
            list.tickets.pop();
            if list.tickets.is_empty() {
                // The next look takes the bits away that stand for nothing any more.
                list.forget();
            }
            drop(list);
            self.lower(slot);
            return Ok(Returned::Claimed(Claim { slot, ticket, word: taken, notes: Notes::default() }));
        }
        if had_any {
            list.forget();
            return Ok(Returned::Moved);
        }
        Ok(Returned::None { is_fresh })
    }

    /// What is RETURNED below this root, for a count.
    pub(super) fn census<'k>(&self, root: Bits, kept: &'k Kept) -> Result<Census<'k>, Corrupted> {
        if !root.has_any() {
            return Ok(Census { list: None, is_fresh: true });
        }
        let mut list = kept.lock();
        if list.holds(root) {
            // Others may have taken some since: what is counted begins with one that is there.
            while let Some(&ticket) = list.tickets.last()
                && self.returned_in_slot_of(ticket)?.is_none()
            {
                list.tickets.pop();
            }
        }
        let is_fresh = !list.holds(root);
        if is_fresh {
            self.look_for_returned(root, &mut list)?;
        }
        Ok(Census { list: Some(list), is_fresh })
    }

    /// How many items are RETURNED. Of more than `few`, those may count that others have taken since this process looked last.
    pub(super) fn count_returned(&self, kept: &Kept, few: usize) -> Result<usize, Corrupted> {
        let root = self.root();
        let known = self.census(root, kept)?;
        if known.is_fresh || known.len() > few {
            return Ok(known.len());
        }
        known.forget();
        Ok(self.census(root, kept)?.len())
    }

    /// The word of a ticket's slot, if the item of that ticket is RETURNED there.
    fn returned_in_slot_of(&self, ticket: u64) -> Result<Option<(usize, Word)>, Corrupted> {
        let slot = (ticket % self.slots.len() as u64) as usize;
        let word = self.word(slot);
        // Relaxed: written before the word that `self.word` acquired; a later tenant fails the swap (W2).
        let is_there = phase_of(slot, word)? == Phase::Returned
            && self.slots[slot].ticket.load(Ordering::Relaxed) == ticket;
        Ok(is_there.then_some((slot, word)))
    }

    /// Makes a fresh list below a root.
    fn look_for_returned(&self, root: Bits, list: &mut List) -> Result<(), Corrupted> {
        let began = Instant::now();
        list.forget();
        self.for_each_returned(root, &mut |slot| {
            // Relaxed: as in `returned_in_slot_of`.
            let ticket = self.slots[slot].ticket.load(Ordering::Relaxed);
            if ticket % self.slots.len() as u64 != slot as u64 {
                return Err(Damage::Ticket { slot, ticket }.into());
            }
            list.push(ticket);
            Ok(())
        })?;
        list.keep_the_lowest();
        let most = list.most;
        list.tickets.shrink_to(most);
        list.tickets.sort_unstable_by(|one, other| other.cmp(one));
        let now = Instant::now();
        list.of = Some((root.version(), now + kept_for(now - began)));
        Ok(())
    }
}

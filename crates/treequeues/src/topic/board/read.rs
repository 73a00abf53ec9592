//! Latest, subscribe, next, release, and the end of a subscription (B6, B7).

use super::Board;
use crate::error::{Corrupted, Damage};
use crate::format::Slot;
use crate::format::word::Tenant;
use crate::sync::{Backoff, Ordering, fence, load_to_swap};
use crate::topic::word::{Newest, Pin, State};

/// An item that its reader has pinned: nobody writes to its rows. Spent by `release`.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pinned {
    /// The slot's index.
    pub(crate) slot: usize,
    pub(crate) ticket: u64,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the newest item that is there, or the first one that comes.
    #[default]
    Latest,
    /// With the oldest item that is there, or the first one that comes.
    Oldest,
    /// With the next item that comes.
    New,
}

/// What a look at the end of a topic has found, for a subscription that has found no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Something may still come.
    Nothing,
    /// An item, since.
    Item,
    /// Nothing, and nothing can come.
    End,
}

/// Rounds of a look that goes after items which publishers replace: each that fails is a publisher's progress, or damage.
///
/// What was helped is READY, and stays so while it is the newest (B1, B4). So a round that has not found it, and after which it still is
/// the newest, has met words that contradict each other.
struct Rounds {
    backoff: Backoff,
    last: Option<Newest>,
}

impl Rounds {
    fn begin() -> Self {
        Self { backoff: Backoff::new(), last: None }
    }

    /// The newest item, with which a round begins.
    fn next(&mut self, board: &Board<'_>) -> Result<Newest, Corrupted> {
        if self.last.is_some() {
            self.backoff.pause();
        }
        let newest = board.newest()?;
        if self.last == Some(newest) && newest.ticket > 0 {
            let Newest { ticket, slot } = newest;
            return Err(Damage::NotNewest { ticket, slot, word: board.state(slot)?.pack() }.into());
        }
        self.last = Some(newest);
        Ok(newest)
    }

    /// The round failed at this item: if it is another one than the newest, that may be the same in the next round.
    fn met(&mut self, found: Newest, newest: Newest) {
        if found != newest {
            self.last = Some(Newest { ticket: 0, slot: 0 });
        }
    }
}

impl Board<'_> {
    /// Pins the newest item; nothing if there is none yet. `gave_way` notifies those who wait for slots: a slot was pinned for a moment.
    pub(crate) fn latest(&self, me: &Tenant, gave_way: impl Fn()) -> Result<Option<Pinned>, Corrupted> {
        self.newest_from(1, me, gave_way)
    }

    /// Pins the newest item; nothing if its ticket is before `first`.
    pub(crate) fn newest_from(
        &self,
        first: u64,
        me: &Tenant,
        gave_way: impl Fn(),
    ) -> Result<Option<Pinned>, Corrupted> {
        debug_assert!(first > 0, "tickets count from 1");
        let mut rounds = Rounds::begin();
        loop {
            let newest = rounds.next(self)?;
            if newest.ticket < first {
                return Ok(None);
            }
            self.help(newest)?;
            if let Some(pinned) = self.pin(newest, me)? {
                return Ok(Some(pinned));
            }
            gave_way();
        }
    }

    /// Pins the item that a subscription at `cursor` comes to next (B7).
    pub(crate) fn next(
        &self,
        cursor: u64,
        me: &Tenant,
        gave_way: impl Fn(),
    ) -> Result<Option<Pinned>, Corrupted> {
        debug_assert!(cursor > 0, "tickets count from 1");
        let mut rounds = Rounds::begin();
        loop {
            let newest = rounds.next(self)?;
            if newest.ticket < cursor {
                return Ok(None);
            }
            self.help(newest)?;
            let found = match newest.ticket == cursor {
                true => Some(newest),
                false => self.oldest_of(cursor, newest.ticket)?,
            };
            if let Some(found) = found {
                if let Some(pinned) = self.pin(found, me)? {
                    return Ok(Some(pinned));
                }
                gave_way();
                // It was an older item, and its slot is a publisher's now: the newest may be the same.
                rounds.met(found, newest);
            }
        }
    }

    /// Where a subscription begins: its cursor, the lowest ticket that it may come to.
    pub(crate) fn subscribe(&self, start: Start) -> Result<u64, Corrupted> {
        let mut rounds = Rounds::begin();
        loop {
            let newest = rounds.next(self)?;
            match start {
                Start::New => return Ok(newest.ticket + 1),
                Start::Latest => return Ok(newest.ticket.max(1)),
                Start::Oldest if newest.ticket == 0 => return Ok(1),
                Start::Oldest => {}
            }
            self.help(newest)?;
            if let Some(oldest) = self.oldest_of(1, newest.ticket)? {
                return Ok(oldest.ticket);
            }
        }
    }

    /// The item with the lowest ticket from `first` to `last`, by one look at all words.
    fn oldest_of(&self, first: u64, last: u64) -> Result<Option<Newest>, Corrupted> {
        let mut oldest: Option<Newest> = None;
        for slot in 0..self.slots.len() {
            if let State::Ready(ticket) = self.state(slot)?
                && (first..=last).contains(&ticket)
                && oldest.is_none_or(|oldest| ticket < oldest.ticket)
            {
                oldest = Some(Newest { ticket, slot });
            }
        }
        Ok(oldest)
    }

    /// After the topic was seen to be shut down, and nothing was found: whether a subscription at `cursor` is at its end.
    ///
    /// Whoever writes may still commit: it has looked at the flag before that was set. So first all words, then the newest item. What
    /// `is_own` knows is what the caller itself is writing: it would wait for ever for that.
    pub(crate) fn at_the_end(&self, cursor: u64, is_own: impl Fn(&Slot) -> bool) -> Result<Found, Corrupted> {
        // SeqCst: pairs with the fence of a claim. A publisher that did not see the flag afterwards is seen here.
        fence(Ordering::SeqCst);
        if self.is_any_written(is_own) {
            return Ok(Found::Nothing);
        }
        Ok(if self.newest()?.ticket >= cursor { Found::Item } else { Found::End })
    }

    /// Ends a read (B6). The caller notifies those who wait for slots.
    pub(crate) fn release(&self, pinned: Pinned, me: &Tenant) -> Result<(), Corrupted> {
        self.unpin(pinned.slot, me)
    }

    /// Pins the slot of an item, and looks whether it is there still.
    fn pin(&self, item: Newest, me: &Tenant) -> Result<Option<Pinned>, Corrupted> {
        let Newest { ticket, slot } = item;
        self.pin_slot(slot, me)?;
        // SeqCst: B6, pairs with the fence of a claim.
        fence(Ordering::SeqCst);
        if self.state(slot)? == State::Ready(ticket) {
            return Ok(Some(Pinned { slot, ticket }));
        }
        self.unpin(slot, me)?;
        Ok(None)
    }

    pub(super) fn pin_slot(&self, slot: usize, me: &Tenant) -> Result<(), Corrupted> {
        self.change_pin(slot, me, |pin| match pin {
            None => Some(Pin { tenancy: me.tenancy, count: 1 }.pack()),
            Some(pin) => pin.one_more().map(Pin::pack),
        })
    }

    fn unpin(&self, slot: usize, me: &Tenant) -> Result<(), Corrupted> {
        self.change_pin(slot, me, |pin| pin.map(Pin::one_less))
    }

    /// Changes this tenant's pin on a slot, which its threads do at once.
    fn change_pin(
        &self,
        slot: usize,
        me: &Tenant,
        change: impl Fn(Option<Pin>) -> Option<u64>,
    ) -> Result<(), Corrupted> {
        let word = &self.pins_of(slot)[me.place as usize];
        // Each round that fails is another thread's progress.
        loop {
            let found = load_to_swap(word, Ordering::Relaxed);
            let pin = Pin::unpack(found);
            let is_ours = pin.is_none_or(|pin| pin.tenancy == me.tenancy);
            let Some(to) = is_ours.then(|| change(pin)).flatten() else {
                return Err(Damage::Pin { slot, participant: me.place, found }.into());
            };
            // SeqCst: B9. Release: the reads are before whatever is written next.
            if word.compare_exchange(found, to, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                return Ok(());
            }
        }
    }
}

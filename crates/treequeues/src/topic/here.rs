//! A topic as one process has it: the board over its mapping, and what the process remembers of it.

use crate::error::{AttachError, Corrupted};
use crate::format::word::Tenant;
use crate::format::{Entry, Kind, Slot, topic_words};
use crate::long_look::LongLook;
use crate::memory::segment::Parts;
use crate::presence::attached;
use crate::presence::structure::Structure;
use crate::sync::AtomicU64;
use crate::topic::board::Board;
use crate::topic::stats::TopicStats;
use crate::topic::subscriptions::Subscriptions;
use crate::topic::word::State;
use crate::wait::{Event, Patience, Wakes};

/// This process's attachment to a topic.
pub(crate) type Attached = attached::Attached<Here>;

/// What the threads of this process share of a topic.
#[derive(Debug)]
pub(crate) struct Here {
    /// Only handed out for as long as this is borrowed.
    board: Board<'static>,
    /// As above.
    subscriptions: Subscriptions<'static>,
    /// As above: pins and records.
    words: &'static [AtomicU64],
    publishers: Patience,
    readers: Patience,
    /// What the last look came to, where it takes long.
    seen: LongLook<TopicStats>,
}

// SAFETY: 1. `board`, `subscriptions` and `stats` use these for as long as `self` is borrowed, and nothing else does. 2. Neither has a destructor
// of its own.
unsafe impl Structure for Here {
    fn kind() -> Kind {
        Kind::Topic
    }

    fn over(parts: Parts<'static>) -> Self {
        let pins =
            topic_words::pins(parts.slots.len(), parts.participants).expect("the layout has room for them");
        let (pins, records) = parts.words.split_at(pins);
        Self {
            board: Board::new(parts.control, parts.slots, pins),
            subscriptions: Subscriptions::new(records),
            words: parts.words,
            seen: LongLook::default(),
            publishers: Patience::new(),
            readers: Patience::new(),
        }
    }

    fn recover(
        &self,
        dead: &Tenant,
        _: &Entry,
        is_still_theirs: &dyn Fn() -> bool,
    ) -> Result<usize, Corrupted> {
        let moved = self.board().recover(dead, is_still_theirs)?;
        self.subscriptions().end_all_of(dead);
        // Whatever the bits say, and before the entry is freed: the dead may have cleared a bit and woken nobody, and so may this one
        // before the next sweep, which then finds the entry still in use.
        self.wake_everyone();
        Ok(moved)
    }

    fn wake_everyone(&self) {
        self.items().notify_all();
        self.free_slots().notify_all();
    }

    fn count_held(&self, by: &Tenant) -> usize {
        self.slots_and_states()
            .map(|(slot, state)| {
                let is_written = matches!(state, Ok(State::Writing(owner, _)) if owner == by.owner);
                usize::from(
                    is_written
                        || self.board().pin_of(slot, by.place).is_some_and(|pin| pin.tenancy == by.tenancy),
                )
            })
            .sum()
    }

    /// Nothing is taken away from a topic, so nothing is left over that is lost with it.
    fn count_items(&self, _: bool) -> usize {
        0
    }
}

impl Here {
    pub(super) fn board(&self) -> &Board<'_> {
        &self.board
    }

    pub(super) fn subscriptions(&self) -> &Subscriptions<'_> {
        &self.subscriptions
    }

    /// What those wait at who want an item.
    fn items(&self) -> Event<'_> {
        let control = self.board().control();
        Event { word: &control.not_empty, marks: &control.spinning_consumers, wakes: Wakes::All }
    }

    /// What those wait at who want to put one.
    fn free_slots(&self) -> Event<'_> {
        let control = self.board().control();
        Event { word: &control.not_full, marks: &control.spinning_producers, wakes: Wakes::All }
    }

    fn slots_and_states(&self) -> impl Iterator<Item = (usize, Result<State, Corrupted>)> {
        (0..self.board().capacity()).map(|slot| (slot, self.board().state(slot)))
    }
}

impl Attached {
    pub(crate) fn board(&self) -> &Board<'_> {
        self.structure().board()
    }

    pub(crate) fn subscriptions(&self) -> &Subscriptions<'_> {
        self.structure().subscriptions()
    }

    pub(crate) fn slot(&self, slot: usize) -> &Slot {
        &self.segment().slots()[slot]
    }

    pub(crate) fn items(&self) -> Event<'_> {
        self.structure().items()
    }

    pub(crate) fn free_slots(&self) -> Event<'_> {
        self.structure().free_slots()
    }

    /// What is in the topic, what was done to it, and who reads what. Where there are many slots and places, it may be of an earlier look.
    pub(crate) fn stats(&self) -> Result<TopicStats, AttachError> {
        let (me, here) = (self.participant(), self.structure());
        let look = || TopicStats::of_attached(self.segment(), me.locks(), me.id(), here.words);
        if TopicStats::is_long(here.words.len()) { here.seen.get(look) } else { look() }
    }

    pub(crate) fn publishers(&self) -> &Patience {
        &self.structure().publishers
    }

    pub(crate) fn readers(&self) -> &Patience {
        &self.structure().readers
    }

    /// Notifies both sides: a slot is no longer written.
    pub(crate) fn notify_everybody(&self) {
        self.items().notify();
        self.free_slots().notify();
    }
}

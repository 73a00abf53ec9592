//! What the words of a topic say: a slot's state, which item is the newest, who reads where.
//!
//! ```text
//!             63                                24 23                  3 2      0
//!            +------------------------------------+---------------------+--------+
//!  FREE(x)   | ticket of the slot's last item, 0 if it had none         | 0      |
//!  WRITING   | x, its low 40 bits                 | owner               | 1      |
//!  READY(t)  | ticket of the item                                       | 3      |
//!            +------------------------------------+---------------------+--------+
//!             63                                            16 15              0
//!            +------------------------------------------------+-----------------+
//!  newest    | its ticket, from 1 on; 0: no item yet          | its slot        |
//!            +------------------------------------------------+-----------------+
//!             63                                   24 23                       0
//!            +---------------------------------------+--------------------------+
//!  pin       | the reader's tenancy, plus one        | how often it reads there |
//!            +---------------------------------------+--------------------------+
//! ```
//!
//! Fresh memory, all zero, is a topic without items: FREE(0), no newest, no pins.

use crate::format::layout::MAX_TOPIC_CAPACITY;
use crate::format::word::Owner;

const PHASE_BITS: u32 = 3;
const FREE: u64 = 0;
const WRITING: u64 = 1;
const READY: u64 = 3;
/// Where the owner's bits end and the last ticket's begin.
const LOW_SHIFT: u32 = 24;
const LOW_BITS: u32 = u64::BITS - LOW_SHIFT;

/// Bits of a slot's number in the word of the newest item.
const SLOT_BITS: u32 = MAX_TOPIC_CAPACITY.ilog2();
/// One more than the largest ticket: a million puts a second come to it after eight years.
const TICKETS: u64 = 1 << (u64::BITS - SLOT_BITS);

const COUNT_BITS: u32 = 24;
const MAX_COUNT: u64 = (1 << COUNT_BITS) - 1;

/// A slot's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody's, with the ticket of its last item; 0 if it had none.
    Free(u64),
    /// A publisher's, with what is left of the ticket of its last item.
    Writing(Owner, Low),
    /// The item of this ticket.
    Ready(u64),
}

impl State {
    /// Nothing for the bit patterns that have no meaning.
    pub(crate) fn unpack(word: u64) -> Option<Self> {
        let ticket = word >> PHASE_BITS;
        Some(match word & ((1 << PHASE_BITS) - 1) {
            FREE => Self::Free(ticket),
            WRITING => Self::Writing(Owner::from_bits(ticket), Low(word >> LOW_SHIFT)),
            READY => Self::Ready(ticket),
            _ => return None,
        })
    }

    pub(crate) fn pack(self) -> u64 {
        match self {
            Self::Free(ticket) => ticket << PHASE_BITS | FREE,
            Self::Writing(owner, Low(low)) => low << LOW_SHIFT | owner.bits() << PHASE_BITS | WRITING,
            Self::Ready(ticket) => ticket << PHASE_BITS | READY,
        }
    }
}

/// The low bits of a ticket: which of two is the earlier one can be told while they are less than half of all their values apart, so as
/// long as nobody holds a slot for five hundred billion items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Low(u64);

impl Low {
    const MASK: u64 = (1 << LOW_BITS) - 1;

    pub(crate) fn of(ticket: u64) -> Self {
        Self(ticket & Self::MASK)
    }

    /// How far this is behind a ticket.
    fn behind(self, ticket: u64) -> u64 {
        ticket.wrapping_sub(self.0) & Self::MASK
    }

    /// Whether this is an earlier ticket.
    pub(crate) fn is_before(self, ticket: u64) -> bool {
        (1..=1 << (LOW_BITS - 1)).contains(&self.behind(ticket))
    }

    /// The whole ticket, which is not after `newest`.
    pub(crate) fn whole(self, newest: u64) -> u64 {
        newest.saturating_sub(self.behind(newest))
    }
}

/// Which item is the newest, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    /// From 1 on; 0 if there is none yet.
    pub(crate) ticket: u64,
    pub(crate) slot: usize,
}

impl Newest {
    pub(crate) fn unpack(word: u64) -> Self {
        Self { ticket: word >> SLOT_BITS, slot: (word & (MAX_TOPIC_CAPACITY - 1)) as usize }
    }

    pub(crate) fn pack(self) -> u64 {
        self.ticket << SLOT_BITS | self.slot as u64
    }

    /// The next one, in `slot`; nothing after the last ticket.
    pub(crate) fn next(self, slot: usize) -> Option<Self> {
        let ticket = self.ticket + 1;
        (ticket < TICKETS).then_some(Self { ticket, slot })
    }
}

/// How often one tenant of a place reads a slot, all its threads together, looks that are about to fail included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) tenancy: u64,
    /// At least 1.
    pub(crate) count: u64,
}

impl Pin {
    /// Nobody's.
    pub(crate) const NONE: u64 = 0;

    /// Nothing where there is no pin.
    pub(crate) fn unpack(word: u64) -> Option<Self> {
        (word != Self::NONE)
            .then(|| Self { tenancy: (word >> COUNT_BITS).wrapping_sub(1), count: word & MAX_COUNT })
    }

    pub(crate) fn pack(self) -> u64 {
        debug_assert!((1..=MAX_COUNT).contains(&self.count));
        self.tenancy.wrapping_add(1) << COUNT_BITS | self.count
    }

    /// One more; nothing when so many threads and loans have it that there is no room.
    pub(crate) fn one_more(self) -> Option<Self> {
        (self.count < MAX_COUNT).then_some(Self { count: self.count + 1, ..self })
    }

    /// The word after one of them has ended.
    pub(crate) fn one_less(self) -> u64 {
        if self.count == 1 { Self::NONE } else { Self { count: self.count - 1, ..self }.pack() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn words_come_back_as_they_were(ticket in 0..TICKETS, id in 0_u32..256, tenancy in 0_u64..1 << 40, count in 1..=MAX_COUNT) {
            let owner = Owner::new(id, tenancy, 8);
            for state in [State::Free(ticket), State::Ready(ticket), State::Writing(owner, Low::of(ticket))] {
                prop_assert_eq!(State::unpack(state.pack()), Some(state));
            }
            let newest = Newest { ticket, slot: id as usize * 255 };
            prop_assert_eq!(Newest::unpack(newest.pack()), newest);
            let pin = Pin { tenancy, count };
            prop_assert_eq!(Pin::unpack(pin.pack()), Some(pin));
        }

        #[test]
        fn low_bits_tell_what_is_before(ticket in 0..TICKETS, ahead in 0_u64..1 << 39) {
            let newest = ticket.saturating_add(ahead).min(TICKETS - 1);
            let low = Low::of(ticket);
            prop_assert_eq!(low.whole(newest), ticket);
            prop_assert_eq!(low.is_before(newest), ticket < newest);
            prop_assert_eq!(Low::of(newest).is_before(ticket), false);
        }
    }

    #[test]
    fn fresh_memory_is_a_topic_without_items() {
        assert_eq!(State::unpack(0), Some(State::Free(0)));
        assert_eq!(Newest::unpack(0).ticket, 0);
        assert_eq!(Pin::unpack(0), None);
    }

    #[test]
    fn a_pin_of_the_last_reader_is_none() {
        let pin = Pin { tenancy: 7, count: 1 };
        assert_eq!(pin.one_more(), Some(Pin { tenancy: 7, count: 2 }));
        assert_eq!(Pin::unpack(Pin { tenancy: 7, count: 2 }.one_less()), Some(pin));
        assert_eq!(pin.one_less(), Pin::NONE);
        assert_eq!(Pin { tenancy: 7, count: MAX_COUNT }.one_more(), None);
    }
}

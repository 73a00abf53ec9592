//! A slot's state word: phase, owner and reach in one u64, so that one compare-and-swap moves a slot.
//!
//! ```text
//!   63                                    24 23                  3 2      0
//!  +----------------------------------------+---------------------+--------+
//!  | reach: the last lap whose ticket this  | owner: participant  | phase  |
//!  | slot has used up (FREE: its next lap)  | id and generation   |        |
//!  +----------------------------------------+---------------------+--------+
//! ```
//!
//! W1. A word with a phase that nobody holds (FREE, READY, RETURNED) has owner 0.
//! W2. Reach never decreases. It wraps after 2^40 laps, and is compared by its signed distance, so a wrap is harmless.

/// Bits of the owner field.
pub(crate) const OWNER_BITS: u32 = 21;
const PHASE_BITS: u32 = 3;
const REACH_SHIFT: u32 = PHASE_BITS + OWNER_BITS;
const PHASE_MASK: u64 = (1 << PHASE_BITS) - 1;
const OWNER_MASK: u64 = (1 << OWNER_BITS) - 1;

/// Who holds a slot, and what it may become next; the table is in `ring`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nobody's; its next ticket is that of lap `reach`. Zero, so that fresh memory is an empty ring.
    Free = 0,
    /// A producer's, its ticket not yet passed by the ring.
    Writing = 1,
    /// A producer's whose ticket the ring has passed.
    Late = 2,
    /// An item in order: its ticket is that of lap `reach`.
    Ready = 3,
    /// A consumer's.
    Reading = 4,
    /// An item out of order: it comes first, lowest ticket first.
    Returned = 5,
    /// A producer's or a consumer's that is done, whose views still live.
    Lingering = 6,
}

impl Phase {
    /// Whether a participant holds a slot in this phase.
    pub(crate) fn is_held(self) -> bool {
        matches!(self, Self::Writing | Self::Late | Self::Reading | Self::Lingering)
    }
}

/// A participant's id and generation, packed as in a state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u32);

impl Owner {
    /// The owner of a word that nobody holds.
    pub(crate) const NOBODY: Self = Self(0);

    /// Packs `id` into the low `id_bits` of the owner field and as much of `generation` as fits above it.
    pub(crate) fn new(id: u32, generation: u64, id_bits: u32) -> Self {
        debug_assert!(id_bits < OWNER_BITS && id >> id_bits == 0);
        Self((((generation as u32) << id_bits) | id) & OWNER_MASK as u32)
    }

    /// The participant's id.
    pub(crate) fn id(self, id_bits: u32) -> u32 {
        self.0 & ((1 << id_bits) - 1)
    }

    /// The field of the word.
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.0)
    }

    /// What the low bits of a number say.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self((bits & OWNER_MASK) as u32)
    }
}

/// A participant, whole: a word has room for a part of its tenancy alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    /// Its place in the table.
    pub(crate) place: u32,
    /// How many had the place before.
    pub(crate) tenancy: u64,
    /// What words say of both.
    pub(crate) owner: Owner,
}

impl Tenant {
    pub(crate) fn new(place: u32, tenancy: u64, id_bits: u32) -> Self {
        Self { place, tenancy, owner: Owner::new(place, tenancy, id_bits) }
    }
}

/// One slot's state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    pub(crate) fn new(phase: Phase, owner: Owner, lap: u64) -> Self {
        Self((lap << REACH_SHIFT) | (u64::from(owner.0) << PHASE_BITS) | phase as u64)
    }

    /// The phase, or nothing for the one bit pattern that has no meaning.
    pub(crate) fn phase(self) -> Option<Phase> {
        Some(match self.0 & PHASE_MASK {
            0 => Phase::Free,
            1 => Phase::Writing,
            2 => Phase::Late,
            3 => Phase::Ready,
            4 => Phase::Reading,
            5 => Phase::Returned,
            6 => Phase::Lingering,
            _ => return None,
        })
    }

    pub(crate) fn owner(self) -> Owner {
        Owner(((self.0 >> PHASE_BITS) & OWNER_MASK) as u32)
    }

    /// Reach minus `lap`, as the signed distance on the 40-bit circle.
    pub(crate) fn laps_ahead_of(self, lap: u64) -> i64 {
        ((self.0 & !(OWNER_MASK << PHASE_BITS | PHASE_MASK)).wrapping_sub(lap << REACH_SHIFT)) as i64
            >> REACH_SHIFT
    }

    /// The same reach in another phase, held by `owner`.
    pub(crate) fn with(self, phase: Phase, owner: Owner) -> Self {
        Self((self.0 >> REACH_SHIFT << REACH_SHIFT) | (u64::from(owner.0) << PHASE_BITS) | phase as u64)
    }

    /// The same phase and owner, reach one lap further.
    pub(crate) fn one_lap_further(self) -> Self {
        Self(self.0.wrapping_add(1 << REACH_SHIFT))
    }

    /// FREE for the ticket of the lap after this reach.
    pub(crate) fn freed(self) -> Self {
        self.with(Phase::Free, Owner::NOBODY).one_lap_further()
    }
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (reach, owner) = (self.0 >> REACH_SHIFT, self.owner().0);
        match self.phase() {
            Some(phase) if phase.is_held() => write!(f, "{phase:?}(owner {owner:#x}, reach {reach})"),
            Some(phase) => write!(f, "{phase:?}(reach {reach})"),
            None => write!(f, "{:#018x}, which has no meaning", self.0),
        }
    }
}

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn distance_survives_the_wrap_of_the_reach() {
        let last = (1 << 40) - 1;
        let word = Word::new(Phase::Ready, Owner::NOBODY, last);
        assert_eq!(word.laps_ahead_of(last), 0);
        assert_eq!(word.laps_ahead_of(last + 1), -1);
        assert_eq!(word.one_lap_further().laps_ahead_of(last), 1);
        assert_eq!(word.one_lap_further().laps_ahead_of(last + 1), 0);
        assert_eq!(word.one_lap_further().phase(), Some(Phase::Ready));
    }

    #[test]
    fn fields_do_not_touch_each_other() {
        let owner = Owner::new(200, 8191, 8);
        let word = Word::new(Phase::Writing, owner, 7);
        assert_eq!(word.phase(), Some(Phase::Writing));
        assert_eq!(word.owner(), owner);
        assert_eq!(word.laps_ahead_of(7), 0);
        let freed = word.freed();
        assert_eq!(
            (freed.phase(), freed.owner(), freed.laps_ahead_of(8)),
            (Some(Phase::Free), Owner::NOBODY, 0)
        );
    }
}

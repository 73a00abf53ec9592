//! The tree: which slots may be RETURNED, so that these are found in time that grows with their number alone.
//!
//! A word has 32 bits, and above them a version of 32. A word of the last level has a bit for each of 32 slots, a word above it
//! one for each of 32 words, and so on up to the root: five levels at 2^24 slots. Up to 32 slots there is the root alone.
//!
//! ```text
//!   63                32 31                 0
//!  +--------------------+--------------------+
//!  | version            | bits               |
//!  +--------------------+--------------------+
//! ```
//!
//! T1. A slot that is RETURNED has its bit in each level. A participant that makes it so sets them before the slot's word changes,
//!     from the last level up to the root, and also those that are set already: each setting moves the version of its word.
//! T2. After the slot's word has changed, the root's version moves once more. So while the version is what it was when
//!     somebody began to look, nothing has become RETURNED that the look may have missed, but by those who stand between.
//! T3. A bit is taken away by a compare-and-swap from the word that was loaded before the slot was seen FREE, WRITING or LINGERING, or
//!     before the word below was seen without bits; or, of a slot, by the holder that has taken the item. A slot in another
//!     phase may be about to become RETURNED by somebody who has set the bit already.
//! T4. A version wraps after 2^32 settings. A participant that is stopped in the middle of one look for exactly so many takes
//!     an old word for a new one.
//!
//! Orderings: a setting is a Release, so whoever loads the word with Acquire sees the slot as the setter saw it, or later.

use super::{Ring, phase_of};
use crate::error::{Corrupted, Damage};
use crate::format::TREE_FAN;
use crate::format::word::{Phase, Word};
use crate::sync::{AtomicU64, Ordering, load_to_swap};

const FAN: usize = TREE_FAN;
const FAN_SHIFT: u32 = FAN.trailing_zeros();
const VERSION_STEP: u64 = 1 << FAN;

/// A word as it was loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Bits(u64);

impl Bits {
    #[inline(always)]
    pub(super) fn has_any(self) -> bool {
        self.bits() != 0
    }

    pub(super) fn version(self) -> u32 {
        (self.0 >> FAN) as u32
    }

    fn bits(self) -> u32 {
        self.0 as u32
    }

    fn with(self, bits: u32) -> Self {
        Self((self.0 | u64::from(bits)).wrapping_add(VERSION_STEP))
    }

    fn without(self, bits: u32) -> Self {
        Self(self.0 & !u64::from(bits))
    }
}

/// Where a word of the tree stands: how many levels above the last one, and the number of its first slot.
#[derive(Clone, Copy)]
struct Node {
    height: u32,
    first: usize,
}

impl Node {
    /// The word of that height with the bit of `slot`.
    fn over(slot: usize, height: u32) -> Self {
        let shift = FAN_SHIFT * (height + 1);
        Self { height, first: slot >> shift << shift }
    }

    /// The bit that stands for `slot`.
    fn bit(self, slot: usize) -> u32 {
        1 << ((slot - self.first) >> (FAN_SHIFT * self.height))
    }

    /// The first slot that a bit stands for.
    fn slot(self, bit: u32) -> usize {
        self.first + ((bit.trailing_zeros() as usize) << (FAN_SHIFT * self.height))
    }
}

impl<'s> Ring<'s> {
    #[inline(always)]
    pub(super) fn root(&self) -> Bits {
        // Acquire: pairs with `raise` and `raise_again`, so that what was returned before is seen as RETURNED.
        Bits(self.control.returned.load(Ordering::Acquire))
    }

    /// Before a slot becomes RETURNED (T1).
    #[cold]
    pub(crate) fn raise(&self, slot: usize) {
        for height in 0..=self.height() {
            let node = Node::over(slot, height);
            let word = self.node(node);
            // Relaxed: the compare-and-swap has the last word on it.
            let mut seen = Bits(load_to_swap(word, Ordering::Relaxed));
            // Each failure is another participant's progress.
            // Release: what this participant saw of the slot. Acquire: the setting of the word above comes after it.
            while let Err(newer) = word.compare_exchange(
                seen.0,
                seen.with(node.bit(slot)).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                seen = Bits(newer);
            }
        }
    }

    /// After a slot became RETURNED (T2).
    #[cold]
    pub(super) fn raise_again(&self) {
        // SeqCst: O2. A sleeper's last look may rest on a list, which stands while this version does.
        self.control.returned.fetch_add(VERSION_STEP, Ordering::SeqCst);
    }

    /// Takes the bit of a slot away that this participant has taken (T3).
    pub(super) fn lower(&self, slot: usize) {
        let node = Node::over(slot, 0);
        // Relaxed: the slot is this participant's, and nobody sets its bit but itself, and who sweeps it after its death.
        self.node(node).fetch_and(!u64::from(node.bit(slot)), Ordering::Relaxed);
    }

    /// A slot was seen RETURNED beside a look that did not find it: that is an error if it is in a state that no look can find (T1).
    #[cold]
    pub(super) fn expect_in_tree(&self, slot: usize, word: Word) -> Result<(), Corrupted> {
        let version = self.root().version();
        let is_missing = (0..=self.height()).any(|height| {
            let node = Node::over(slot, height);
            // Acquire: the looks that follow come after it.
            Bits(self.node(node).load(Ordering::Acquire)).bits() & node.bit(slot) == 0
        });
        // If the slot was taken and came back meanwhile, the version has moved.
        if is_missing && self.word(slot) == word && self.root().version() == version {
            return Err(Damage::NotInTree { slot, word: word.0 }.into());
        }
        Ok(())
    }

    /// Calls `found` with each slot that is RETURNED below the root, which was loaded as `root`; takes away the bits that stand for
    /// nothing.
    pub(super) fn for_each_returned(
        &self,
        root: Bits,
        found: &mut impl FnMut(usize) -> Result<(), Corrupted>,
    ) -> Result<(), Corrupted> {
        self.look_below(Node { height: self.height(), first: 0 }, root, found).map(drop)
    }

    /// The same below one word; what is left of it.
    fn look_below(
        &self,
        node: Node,
        mut word: Bits,
        found: &mut impl FnMut(usize) -> Result<(), Corrupted>,
    ) -> Result<Bits, Corrupted> {
        let mut unseen = word.bits();
        let mut for_nothing = 0;
        while unseen != 0 {
            let bit = 1 << unseen.trailing_zeros();
            unseen &= !bit;
            let slot = node.slot(bit);
            if slot >= self.slots.len() {
                return Err(Damage::Tree { slot, capacity: self.slots.len() }.into());
            }
            if node.height == 0 {
                match phase_of(slot, self.word(slot))? {
                    Phase::Returned => found(slot)?,
                    Phase::Free | Phase::Writing | Phase::Lingering => for_nothing |= bit,
                    Phase::Ready | Phase::Reading | Phase::Late => {}
                }
            } else {
                let below = Node { height: node.height - 1, first: slot };
                // Acquire: pairs with `raise`.
                let child = Bits(self.node(below).load(Ordering::Acquire));
                if !self.look_below(below, child, found)?.has_any() {
                    word = self.clear(node, word, bit);
                }
            }
        }
        Ok(if for_nothing == 0 { word } else { self.clear(node, word, for_nothing) })
    }

    /// Takes bits away from a word that was loaded as `word`; what is left of it, as far as this look knows.
    fn clear(&self, node: Node, word: Bits, bits: u32) -> Bits {
        let cleared = word.without(bits);
        // AcqRel: goes on with the setters' releases. Relaxed on failure: somebody has changed it, and looks after it.
        let swapped =
            self.node(node).compare_exchange(word.0, cleared.0, Ordering::AcqRel, Ordering::Relaxed);
        if swapped.is_ok() { cleared } else { word }
    }

    /// Levels above the last one.
    fn height(&self) -> u32 {
        // The bits that number a slot, in groups.
        (usize::BITS - (self.slots.len() - 1).leading_zeros()).div_ceil(FAN_SHIFT).saturating_sub(1)
    }

    fn node(&self, node: Node) -> &'s AtomicU64 {
        if node.height == self.height() {
            return &self.control.returned;
        }
        let mut words = self.slots.len();
        let mut before = 0;
        for _ in 0..node.height {
            words = words.div_ceil(FAN);
            before += words;
        }
        &self.tree[before + (node.first >> (FAN_SHIFT * (node.height + 1)))]
    }
}

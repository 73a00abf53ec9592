//! Producers: how many blocks of theirs came, left, and died; and whether all have left.
//!
//! A queue may be told how many producers there will be. Each works inside a block. When so many blocks have come and none is left, the
//! stream has ended, and the queue is shut down for draining (`producing`).
//!
//! Q1. Each place counts the blocks of all its tenants, in three words that only grow: `came` and `left` are added to by the tenant's own
//!     threads, and `died` is set by sweeps. So nothing has to be moved when a tenant leaves or dies.
//! Q2. The blocks of a place that are still there are `came - left - died`. Once its tenant is dead that number stands still, and a sweep
//!     makes it 0 before it frees the entry, by a compare-and-swap of `died`. It reads `died` first, then the other two, and then asks
//!     whether the entry still is the dead one's: what it read was nobody else's. If another sweep was faster, the compare-and-swap fails,
//!     or changes nothing.
//! Q3. All have left at a moment at which no place has a block, and as many have come as were said. The places are looked at one after the
//!     other, and a block may come to one behind the look while the last one leaves another before it. So all are looked at twice: words
//!     that only grow and are the same both times were so at one moment, between the two looks.
//! Q4. Whoever ends a block looks whether it was the last one. If it dies before it has looked, or the last block dies, whoever waits
//!     finds that: before each sleep it sweeps and looks, and sleeps no longer than while a slot is held (`wait` E3).
//! Q5. A block that comes after the moment of Q3 and before the flag is set is let in, and its first put is refused. Nobody waits for it.
//!
//! The same steps are explored in `tests/producers.rs`.

use crate::format::{Blocks, Entry};
use crate::presence::values::BlockCounts;
use crate::sync::Ordering;

/// Looks at all places for one that finds nothing moving: each one in vain is a block that came, left or was found dead. Those who wait look
/// again.
const MAX_LOOKS: usize = 64;

/// What has become of all blocks, if so many have come as were said and none is left.
pub(crate) fn all_have_left(entries: &[Entry], said: u32) -> Option<BlockCounts> {
    let look = || entries.iter().map(|entry| BlockCounts::load(&entry.blocks));
    for _ in 0..MAX_LOOKS {
        let mut first = Vec::with_capacity(entries.len());
        for counts in look() {
            // Mostly somebody is there, and that is all there is to know.
            if counts.present() != 0 {
                return None;
            }
            first.push(counts);
        }
        let all: BlockCounts = first.iter().copied().sum();
        if all.came < u64::from(said) {
            return None;
        }
        if look().eq(first) {
            return Some(all);
        }
    }
    None
}

/// Counts the blocks of a dead tenant as died (Q2).
pub(crate) fn end_blocks_of_the_dead(blocks: &Blocks, is_still_theirs: &dyn Fn() -> bool) {
    // SeqCst, here and below: as in `load`. Died first (Q2).
    let died = blocks.died.load(Ordering::SeqCst);
    let came = blocks.came.load(Ordering::SeqCst);
    let ended = came.wrapping_sub(blocks.left.load(Ordering::SeqCst));
    if ended != died && is_still_theirs() {
        // If it fails, another sweep has done it.
        let _ = blocks.died.compare_exchange(died, ended, Ordering::SeqCst, Ordering::SeqCst);
    }
}

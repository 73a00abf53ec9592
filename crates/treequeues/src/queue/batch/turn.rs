//! Turns of those who claim batches (T4).

use crate::sync::{AtomicU64, Backoff, Ordering};

/// Looks at the turn of one and the same call before it is taken away, and one more for each `SLOTS_A_LOOK` of a batch. The pauses
/// between them double, up to some two microseconds: together a few times what such a batch takes to claim.
const LOOKS: usize = 10;
const SLOTS_A_LOOK: usize = 16;
/// The most looks at those of different calls, or as many as at one: enough for dozens of them to be before this one.
const MAX_LOOKS: usize = 200;

/// A call's turn to claim a batch. It ends when this is dropped.
pub(crate) struct Turn<'s> {
    word: &'s AtomicU64,
    me: u64,
}

impl<'s> Turn<'s> {
    /// Waits while others have their turns, but for none of them long: as long as a batch of so many slots may take.
    pub(crate) fn take(word: &'s AtomicU64, me: u64, slots: usize) -> Self {
        let mut backoff = Backoff::new();
        let looks = LOOKS + slots / SLOTS_A_LOOK;
        let (mut last, mut looks_left) = (0, looks);
        for _ in 0..looks.max(MAX_LOOKS) {
            // Relaxed, and below: what is claimed is safe without any turn.
            let holder = word.load(Ordering::Relaxed);
            if holder == 0 && word.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Self { word, me };
            }
            if holder != last {
                (last, looks_left) = (holder, looks);
            } else if looks_left == 0 {
                break;
            }
            looks_left -= 1;
            backoff.pause();
        }
        // It was killed, or is not running. Others wait for this call from here on.
        word.store(me, Ordering::Relaxed);
        Self { word, me }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // A failure means that it was taken away.
        let _ = self.word.compare_exchange(self.me, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

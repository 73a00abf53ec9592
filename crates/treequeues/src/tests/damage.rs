//! Words and cursors that no participant can have written: an error, whatever the operation, and never a loop.

use super::{Kept, Rig, owner};

const SURVIVOR: u32 = 3;

#[test]
fn a_meaningless_state_word_is_an_error_not_a_panic() {
    use crate::queue::ring::Kept;
    use crate::sync::Ordering;

    let rig = Rig::new(2);
    rig.slots[0].state.store(7, Ordering::Relaxed);
    rig.ring().reserve(owner(SURVIVOR), |_| true).expect_err("phase 7 does not exist");
    rig.ring().borrow(owner(SURVIVOR), &Kept::default(), |_| true).expect_err("phase 7 does not exist");
    rig.ring().recover(owner(SURVIVOR), &rig.publishing, || true).expect_err("phase 7 does not exist");
}

#[test]
fn cursors_that_contradict_the_words_are_an_error_not_a_loop() {
    use crate::sync::Ordering;

    for capacity in [1, 2, 1 << 16] {
        for ticket in [1 << 30, u64::MAX - 1, u64::MAX] {
            let rig = Rig::new(capacity);
            rig.control.head.store(ticket, Ordering::Relaxed);
            let reserved = rig.ring().reserve(owner(SURVIVOR), |_| true);
            // The last tickets of all are one step before ticket 0, which is in its place.
            assert!(reserved.is_err() || ticket > 1 << 60, "slots never skip laps");
            let rig = Rig::new(capacity);
            rig.put(owner(SURVIVOR)).expect("a free slot");
            rig.control.tail.store(ticket, Ordering::Relaxed);
            // Whatever a damaged tail makes of it, it ends.
            let _ = rig.ring().borrow(owner(SURVIVOR), &Kept::default(), |_| true);
        }
    }
}

//! What the slots of a full topic are used for: said by the put that found none.

use std::collections::BTreeMap;

use super::here::Attached;
use super::word::State;
use crate::error::Used;
use crate::sync::Ordering;

impl Used {
    /// One look, for people: by the time that it is read, it may be otherwise.
    pub(crate) fn of(attached: &Attached) -> Self {
        let board = attached.board();
        let id_bits = attached.segment().layout().id_bits();
        let entries = attached.segment().entries();
        // Relaxed: for people.
        let pid =
            |place: u32| entries.get(place as usize).map_or(0, |entry| entry.pid.load(Ordering::Relaxed));
        let mut readers: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let (mut writers, mut keepers) = (Vec::new(), Vec::new());
        let pinned_by = |slot| {
            (0..attached.segment().layout().participants)
                .filter(move |place| board.pin_of(slot, *place).is_some())
        };
        for slot in 0..board.capacity() {
            match board.state(slot) {
                Ok(State::Writing(owner, _)) => writers.push(pid(owner.id(id_bits))),
                Ok(State::Ready(ticket)) => {
                    pinned_by(slot).for_each(|place| readers.entry(pid(place)).or_default().push(ticket));
                }
                // Without a pin it is free meanwhile.
                Ok(State::Free(_)) => keepers.extend(pinned_by(slot).map(pid)),
                // Damage, which the next call reports.
                Err(_) => {}
            }
        }
        let mut readers: Vec<_> = readers.into_iter().collect();
        readers.iter_mut().for_each(|(_, tickets)| tickets.sort_unstable());
        Self { slots: board.capacity(), readers, writers, keepers }
    }
}

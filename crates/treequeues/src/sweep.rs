//! The sweep: find participants that died, return what they held, free their entries.
//!
//! Any number of participants may sweep at once, and each may die half-way: a slot is returned by one compare-and-swap
//! on a word that names the dead by id and generation, and the entry stays in use until all its slots are returned
//! (`participant` P2), so the next sweeper goes on where this one stopped.

use crate::error::AttachError;
use crate::liveness::{EntryState, Locks};
use crate::segment::Segment;
use crate::word::Owner;

/// Returns what dead participants held, and how many participants that were. `me` is not asked about (P3).
pub(crate) fn sweep(segment: &Segment, locks: &Locks, me: Option<u32>) -> Result<usize, AttachError> {
    // A descriptor that was closed and opened again as another file would call everybody dead.
    locks.are_of(segment)?;
    let mut dead = 0;
    for (id, entry) in (0..).zip(segment.entries()) {
        // The entry is read before its lock: a lock that is free then was the entry's last tenant's, and it is dead (P1).
        let state = EntryState::load(entry);
        if !state.used || Some(id) == me {
            continue;
        }
        let alive = locks
            .is_locked(id)
            .map_err(|source| AttachError::System { action: "look at a participant's lock", source })?;
        if alive {
            continue;
        }
        let owner = Owner::new(id, state.generation, segment.layout().id_bits());
        segment.ring().recover(owner, || EntryState::load(entry) == state)?;
        state.swap(entry, state.freed());
        dead += 1;
    }
    Ok(dead)
}

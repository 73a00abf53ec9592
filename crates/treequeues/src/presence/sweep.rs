//! The sweep: find participants that died, return what they held, free their entries.
//!
//! Any number of participants may sweep at once, and each may die half-way: a slot is returned by one compare-and-swap
//! on a word that names the dead by id and generation, and the entry stays in use until all its slots are returned
//! (`participant` P2), so the next sweeper goes on where this one stopped. A batch that the dead was publishing is completed
//! first (`ring::publish`), and then it is all there. The compare-and-swap that frees the entry counts
//! the death (`EntryState`): once, and whoever dies when.

use crate::error::AttachError;
use crate::format::word::Tenant;
use crate::memory::segment::Segment;
use crate::presence::liveness::{EntryState, Locks};
use crate::presence::structure::Structure;

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Deaths that this sweep was the first to record.
    pub(crate) deaths: usize,
    /// Slots that it returned; of deaths that another sweeper recorded, too.
    pub(crate) slots: usize,
}

impl Swept {
    /// Whether others should look again.
    pub(crate) fn has_found_some(self) -> bool {
        self.deaths > 0 || self.slots > 0
    }
}

/// Returns what dead participants held. `me` is not asked about (P3).
pub(crate) fn sweep(
    segment: &Segment,
    structure: &dyn Structure,
    locks: &Locks,
    me: Option<u32>,
) -> Result<Swept, AttachError> {
    // A descriptor that was closed and opened again as another file would call everybody dead.
    locks.are_of(segment)?;
    let mut swept = Swept::default();
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
        let dead = Tenant::new(id, state.tenancy(), segment.layout().id_bits());
        swept.slots += structure.recover(&dead, entry, &|| EntryState::load(entry) == state)?;
        // If it fails, it was no death: the participant left between the two looks. Or another sweeper has recorded it.
        swept.deaths += usize::from(state.swap(entry, state.died()));
    }
    Ok(swept)
}

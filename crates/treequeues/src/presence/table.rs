//! The table of participants as people see it: who is there, and what each has done.

use std::io;
use std::time::{Duration, SystemTime};

use super::counters::Counters;
use super::liveness::EntryState;
use super::values::EntryValues;
use crate::error::AttachError;
use crate::format::COUNTERS;
use crate::format::layout::Layout;
use crate::format::word::{Owner, Tenant};

/// One participant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParticipantStats {
    /// Its place in the table.
    pub id: u32,
    /// Its process, as that one sees its own number.
    pub pid: u32,
    /// Whether the process lives: a stopped one does.
    pub is_alive: bool,
    /// When it attached.
    pub attached_at: SystemTime,
    /// What it has done since.
    pub counters: Counters,
    /// Slots that it is writing.
    pub writing: usize,
    /// Slots that it is reading.
    pub reading: usize,
    /// Slots that its views keep, whose loans have ended.
    pub lingering: usize,
    /// How long it has held the slot that it has held longest, of those in loans.
    pub longest_hold: Option<Duration>,
}

/// One look at the table.
pub(crate) struct Table {
    /// Those who are attached, by their place in the table.
    pub(crate) participants: Vec<ParticipantStats>,
    /// What all have done, those that are gone included.
    pub(crate) counters: Counters,
    pub(crate) tenants: Tenants,
}

/// Where in the list of participants each tenant stands.
pub(crate) struct Tenants {
    id_bits: u32,
    /// By place in the table; `None` where nobody is.
    places: Vec<Option<(usize, Tenant)>>,
}

impl Table {
    pub(crate) fn of(
        layout: &Layout,
        entries: &[EntryValues],
        is_alive: impl Fn(u32) -> io::Result<bool>,
    ) -> Result<Self, AttachError> {
        let id_bits = layout.id_bits();
        let mut totals = [0_u64; COUNTERS];
        let mut deaths = 0;
        let mut participants = Vec::new();
        let mut places = Vec::with_capacity(entries.len());
        for (id, entry) in (0..).zip(entries) {
            let counts = Counters::of_place(entry.own, entry.counts);
            for (total, count) in totals.iter_mut().zip(counts) {
                *total = total.wrapping_add(count);
            }
            let state = EntryState::unpack(entry.state);
            deaths += state.deaths();
            if !state.used {
                places.push(None);
                continue;
            }
            places.push(Some((participants.len(), Tenant::new(id, state.tenancy(), id_bits))));
            let is_alive = is_alive(id)
                .map_err(|source| AttachError::System { action: "look at a participant's lock", source })?;
            // Not below zero where the tenant has not remembered yet what was there before it.
            let since: [u64; COUNTERS] =
                std::array::from_fn(|which| counts[which].saturating_sub(entry.counts_before[which]));
            participants.push(ParticipantStats {
                id,
                pid: entry.pid,
                is_alive,
                attached_at: SystemTime::UNIX_EPOCH + Duration::from_nanos(entry.attached_at_ns),
                counters: Counters::from_array(since),
                writing: 0,
                reading: 0,
                lingering: 0,
                longest_hold: None,
            });
        }
        let counters = Counters { deaths, ..Counters::from_array(totals) };
        Ok(Self { participants, counters, tenants: Tenants { id_bits, places } })
    }
}

impl Tenants {
    /// The place that an owner names, and where in the list its participant stands, if it is still there.
    pub(crate) fn of_owner(&self, owner: Owner) -> (u32, Option<usize>) {
        let id = owner.id(self.id_bits);
        let place = self.places.get(id as usize).copied().flatten();
        (id, place.filter(|(_, tenant)| tenant.owner == owner).map(|(index, _)| index))
    }

    /// Where in the list the tenant of this place and tenancy stands, if it is still there.
    pub(crate) fn of_tenancy(&self, place: u32, tenancy: u64) -> Option<usize> {
        let found = self.places.get(place as usize).copied().flatten();
        found.filter(|(_, tenant)| tenant.tenancy == tenancy).map(|(index, _)| index)
    }
}

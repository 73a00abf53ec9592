//! Hosts that items came from: a queue's slots say which one by its number in a table of names.
//!
//! H1. A slot's word of origin is written by the slot's holder, as all that is said of an item: 0 of an item that was put here, else the
//!     number of its host plus one, and above 16 bits how often the item was delivered there.
//! H2. One process at a time brings items (`ring::publish` U5), and one thread of it at a time. It alone writes names, each before any slot
//!     says its number, and over another name only if no slot says that one's that has an item or may come to have one. Whoever reads a
//!     name holds such an item.

use std::sync::Arc;

use super::ring::{Claim, Ring, phase_of};
use crate::error::{ArrivalError, Corrupted};
use crate::format::word::Phase;
use crate::format::{HOST_NAME_NBYTES, HOSTS, HostName, Slot};
use crate::sync::Ordering;

const NUMBER_BITS: u32 = 16;

/// A slot's word of origin (H1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FromHost(u32);

impl FromHost {
    /// An item that was put here.
    pub(super) const HERE: Self = Self(0);

    pub(super) fn new(host: usize, deliveries: u32) -> Self {
        debug_assert!(host < HOSTS, "in the table");
        Self(deliveries.min(u32::from(u16::MAX)) << NUMBER_BITS | (host as u32 + 1))
    }

    #[inline]
    pub(super) fn of(slot: &Slot) -> Self {
        // Relaxed: published by the item's commit.
        Self(slot.origin.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn say(self, slot: &Slot) {
        // Relaxed: published by the commit.
        slot.origin.store(self.0, Ordering::Relaxed);
    }

    /// Its number in the table.
    fn host(self) -> Option<usize> {
        (self.0 & u32::from(u16::MAX)).checked_sub(1).map(|host| host as usize)
    }

    /// How often the item was delivered there.
    pub(super) fn deliveries(self) -> u32 {
        self.0 >> NUMBER_BITS
    }
}

/// The table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hosts<'m>(pub(super) &'m [HostName]);

impl Hosts<'_> {
    /// The name of the host that a held item came from; `None` if it was put here.
    pub(super) fn name_of(self, from: FromHost) -> Option<Arc<str>> {
        // A number past the table is damage, and as good as no name.
        let words = from.host().and_then(|host| self.0.get(host)).map(words_of)?;
        let bytes: Vec<u8> =
            words.into_iter().flat_map(u64::to_le_bytes).take_while(|byte| *byte != 0).collect();
        Some(String::from_utf8_lossy(&bytes).into())
    }

    /// The number of a host, which is given one if it has none (H2). `claims` are those of the items that are to say it.
    pub(super) fn number_of(
        self,
        name: &str,
        ring: &Ring<'_>,
        claims: &[Claim],
    ) -> Result<usize, ArrivalError> {
        let wanted = as_words(name).ok_or_else(|| ArrivalError::HostName(name.to_owned()))?;
        let number_of = |words| self.0.iter().position(|entry| words_of(entry) == words);
        if let Some(host) = number_of(wanted) {
            return Ok(host);
        }
        let free = number_of(EMPTY).map_or_else(|| self.unused(ring, claims), |host| Ok(Some(host)))?;
        let host = free.ok_or(ArrivalError::TooManyHosts)?;
        for (word, bytes) in self.0[host].0.iter().zip(wanted) {
            // Relaxed: published by the commit of the first item that says the number.
            word.store(bytes, Ordering::Relaxed);
        }
        Ok(host)
    }

    /// One that no item says, nor a slot that is being written: a sweep may complete what a dead one has put there.
    #[cold]
    fn unused(self, ring: &Ring<'_>, claims: &[Claim]) -> Result<Option<usize>, Corrupted> {
        let mut is_used = vec![false; self.0.len()];
        for (index, (word, slot)) in ring.words().zip(ring.slots()).enumerate() {
            let may_have_item = !matches!(phase_of(index, word)?, Phase::Free | Phase::Lingering);
            let is_own = || claims.iter().any(|claim| claim.slot == index);
            let host = FromHost::of(slot).host().filter(|_| may_have_item && !is_own());
            if let Some(is_used) = host.and_then(|host| is_used.get_mut(host)) {
                *is_used = true;
            }
        }
        Ok(is_used.iter().position(|is_used| !is_used))
    }
}

type Words = [u64; HOST_NAME_NBYTES / size_of::<u64>()];
const EMPTY: Words = [0; HOST_NAME_NBYTES / size_of::<u64>()];

fn words_of(entry: &HostName) -> Words {
    // Relaxed: its only writer reads it, or one to whom an item was published that says it.
    std::array::from_fn(|word| entry.0[word].load(Ordering::Relaxed))
}

/// A name as the table has it; `None` if it is no name of a host.
fn as_words(name: &str) -> Option<Words> {
    let is_name = (1..=HOST_NAME_NBYTES).contains(&name.len()) && !name.as_bytes().contains(&0);
    let mut bytes = [0; HOST_NAME_NBYTES];
    bytes.get_mut(..name.len()).filter(|_| is_name)?.copy_from_slice(name.as_bytes());
    let (words, _) = bytes.as_chunks();
    Some(std::array::from_fn(|word| u64::from_le_bytes(words[word])))
}

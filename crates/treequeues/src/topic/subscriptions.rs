//! Records of subscriptions, for people: who has one, how far it has come, and what it has missed. Nothing decides by them.
//!
//! A record is a cache line of its subscription's own. The first word says whose it is, and is changed by compare-and-swap; the others are
//! written by the subscription alone. Each place has a few; a subscription that finds none free there has none, and is not listed.

use std::fmt;

use crate::format::topic_words::{OF_A_SUBSCRIPTION, SUBSCRIPTIONS_OF_A_PARTICIPANT};
use crate::format::word::Tenant;
use crate::sync::{AtomicU64, Ordering};

const OWNER: usize = 0;
const CURSOR: usize = 1;
const MISSED: usize = 2;
/// Bits of a place in the owner's word, below its tenancy plus one.
const PLACE_BITS: u32 = 16;

pub(crate) struct Subscriptions<'s> {
    words: &'s [AtomicU64],
}

/// A record that a subscription has.
#[derive(Debug)]
pub(crate) struct Record {
    index: usize,
    owner: u64,
}

/// One subscription, as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The number of its record.
    pub(crate) number: usize,
    pub(crate) place: u32,
    pub(crate) tenancy: u64,
    /// The lowest ticket that it may come to.
    pub(crate) cursor: u64,
    pub(crate) missed: u64,
}

impl Record {
    /// The one of this number, which `begin` gave to this participant.
    pub(crate) fn of(number: u64, tenant: &Tenant) -> Self {
        Self { index: number as usize, owner: owner_of(tenant) }
    }

    pub(crate) fn number(&self) -> u64 {
        self.index as u64
    }
}

impl fmt::Debug for Subscriptions<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.list()).finish()
    }
}

impl<'s> Subscriptions<'s> {
    pub(crate) fn new(words: &'s [AtomicU64]) -> Self {
        debug_assert!(words.len().is_multiple_of(OF_A_SUBSCRIPTION));
        Self { words }
    }

    fn records(&self) -> impl Iterator<Item = &'s [AtomicU64]> {
        self.words.chunks_exact(OF_A_SUBSCRIPTION)
    }

    /// Takes a record, if one is free.
    pub(crate) fn begin(&self, me: &Tenant, cursor: u64) -> Option<Record> {
        let owner = owner_of(me);
        let first = me.place as usize * SUBSCRIPTIONS_OF_A_PARTICIPANT;
        // Relaxed, here and below: for people.
        let index = self.records().skip(first).take(SUBSCRIPTIONS_OF_A_PARTICIPANT).position(|record| {
            record[OWNER].load(Ordering::Relaxed) == 0
                && record[OWNER].compare_exchange(0, owner, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        })?;
        let record = Record { index: first + index, owner };
        self.has_moved(&record, cursor, 0);
        Some(record)
    }

    pub(crate) fn has_moved(&self, Record { index, .. }: &Record, cursor: u64, missed: u64) {
        let words = &self.words[index * OF_A_SUBSCRIPTION..];
        words[CURSOR].store(cursor, Ordering::Relaxed);
        words[MISSED].store(missed, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, Record { index, owner }: Record) {
        let word = &self.words[index * OF_A_SUBSCRIPTION + OWNER];
        // If it fails, a sweep that took this process for dead has ended it.
        let _ = word.compare_exchange(owner, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Ends all subscriptions of a participant that is no more.
    pub(crate) fn end_all_of(&self, dead: &Tenant) {
        let owner = owner_of(dead);
        for record in self.records().filter(|record| record[OWNER].load(Ordering::Relaxed) == owner) {
            let _ = record[OWNER].compare_exchange(owner, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Those that have a record.
    pub(crate) fn list(&self) -> impl Iterator<Item = Listed> {
        self.records().enumerate().filter_map(|(number, record)| {
            Listed::parse(number, [OWNER, CURSOR, MISSED].map(|which| record[which].load(Ordering::Relaxed)))
        })
    }

    /// The same of words that were read.
    pub(crate) fn parse(words: &[u64]) -> impl Iterator<Item = Listed> {
        let records = words.chunks_exact(OF_A_SUBSCRIPTION).enumerate();
        records.filter_map(|(number, record)| {
            Listed::parse(number, [record[OWNER], record[CURSOR], record[MISSED]])
        })
    }
}

impl Listed {
    fn parse(number: usize, [owner, cursor, missed]: [u64; 3]) -> Option<Self> {
        (owner != 0).then(|| Self {
            number,
            place: (owner & ((1 << PLACE_BITS) - 1)) as u32,
            tenancy: (owner >> PLACE_BITS).wrapping_sub(1),
            cursor,
            missed,
        })
    }
}

/// What says that a subscription is this participant's, and not inherited through a fork. Never 0.
pub(crate) fn owner_of(tenant: &Tenant) -> u64 {
    (tenant.tenancy + 1) << PLACE_BITS | u64::from(tenant.place)
}

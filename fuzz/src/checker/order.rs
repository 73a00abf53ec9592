//! Overtakings: takes of an item, or of nothing, at a time when an earlier item was surely there (C4).
//!
//! An item is surely there from when its put returned, or its giving back, until its next take is invoked. From after a death it is not: when a
//! sweep returns it, nobody sees. Of these stays, sorted by when the put returned, a tree of maxima finds those that begin before
//! a put was invoked and end after a take returned; without any, that is one look.

use std::collections::HashMap;

use super::accounts::{After, Item, Items, Take, calls};
use crate::history::{History, Outcome};

/// A time in which an item is surely there to be taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    pub(super) item: usize,
    /// Whether it is the first one: from the put on.
    is_first: bool,
    /// When somebody without a receipt may have begun to hold the item, at the earliest.
    pub(super) since: u64,
    from: u64,
    until: u64,
    /// When its next take returned: whoever was to hold it before was dead by then, or had returned it.
    pub(super) taken_by: u64,
    /// The take that ends it: call and place within it.
    ended_by: Option<(usize, usize)>,
}

/// A take, as what overtakes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overtaker {
    /// Of nothing, if the take came back empty.
    pub(super) item: Option<usize>,
    pub(super) call: usize,
    position: usize,
    put_invoked: u64,
    pub(super) invoked: u64,
    pub(super) responded: u64,
    /// Items that may be there although it came back empty: too few of them.
    pub(super) allowance: usize,
}

/// All stays, and for each overtaker those that it lies within.
#[derive(Debug, Default)]
pub(super) struct Overtakings {
    pub(super) stays: Vec<Stay>,
    pub(super) found: Vec<(Overtaker, Vec<usize>)>,
}

pub(super) fn overtakings(history: &History, items: &Items) -> Overtakings {
    let mut stays: Vec<Stay> =
        items.items.iter().enumerate().flat_map(|(index, item)| stays_of(index, item)).collect();
    let put_returned = |stay: &Stay| items.items[stay.item].responded;
    stays.sort_by_key(put_returned);
    let returned: Vec<u64> = stays.iter().map(put_returned).collect();
    let latest = Maxima::of(stays.iter().map(|stay| stay.until));
    let siblings = Siblings::of(items, &stays);
    let mut found = Vec::new();
    for overtaker in overtakers(history, items) {
        let earlier = returned.partition_point(|at| *at < overtaker.put_invoked);
        let mut overtaken = latest.above(earlier, overtaker.responded);
        overtaken.retain(|stay| stays[*stay].from < overtaker.invoked);
        siblings.add_overtaken(items, &stays, &overtaker, &mut overtaken);
        if overtaken.len() > overtaker.allowance {
            overtaken.sort_unstable();
            overtaken.dedup();
            found.push((overtaker, overtaken));
        }
    }
    Overtakings { stays, found }
}

fn stays_of(index: usize, item: &Item) -> Vec<Stay> {
    let end = |next: Option<&Take>| match next {
        Some(take) => (take.invoked, take.responded, Some((take.call, take.position))),
        None => (item.gone_at.unwrap_or(u64::MAX), u64::MAX, None),
    };
    let mut stays = Vec::new();
    let mut stay = |is_first, since, from, next| {
        let (until, taken_by, ended_by) = end(next);
        stays.push(Stay { item: index, is_first, since, from, until, taken_by, ended_by });
    };
    // One that may never have been there, and did not come, was not there.
    if item.responded < u64::MAX && (item.is_surely_put() || !item.takes.is_empty()) {
        stay(true, item.invoked, item.responded, item.takes.first());
    }
    for (take, next) in item.takes.iter().zip(1..) {
        if let After::Returned { from, by } = take.after {
            stay(false, from, by, item.takes.get(next));
        }
    }
    stays
}

fn overtakers<'h>(history: &'h History, items: &'h Items) -> impl Iterator<Item = Overtaker> + 'h {
    let of_items = items.items.iter().enumerate().flat_map(|(index, item)| {
        // Whenever the call began: it cannot have taken the item before that was put, or while another had it.
        let earliest = item.takes.iter().map(|take| take.after.not_before());
        let earliest = std::iter::once(item.invoked).chain(earliest);
        item.takes.iter().zip(earliest).map(move |(take, earliest)| Overtaker {
            item: Some(index),
            call: take.call,
            position: take.position,
            put_invoked: item.invoked,
            invoked: take.invoked.max(earliest),
            responded: take.responded,
            allowance: 0,
        })
    });
    let of_nothing = calls(history).filter_map(|(call, _, receipt)| {
        let responded =
            receipt.responded.filter(|_| receipt.takes() && receipt.outcome == Outcome::Nothing)?;
        Some(Overtaker {
            item: None,
            call,
            position: 0,
            put_invoked: u64::MAX,
            invoked: receipt.invoked,
            responded,
            allowance: receipt.min - 1,
        })
    });
    of_items.chain(of_nothing)
}

/// Items whose order is not that of their calls, but of their places within one call.
struct Siblings {
    /// The stays of items that were put by one call, where those are several.
    put: HashMap<usize, Vec<usize>>,
    /// The stays that were ended by one call, where those are several.
    taken: HashMap<usize, Vec<usize>>,
}

impl Siblings {
    fn of(items: &Items, stays: &[Stay]) -> Self {
        let mut siblings = Self { put: HashMap::new(), taken: HashMap::new() };
        for (index, stay) in stays.iter().enumerate() {
            siblings.put.entry(items.items[stay.item].put).or_default().push(index);
            if let Some((call, _)) = stay.ended_by {
                siblings.taken.entry(call).or_default().push(index);
            }
        }
        siblings.put.retain(|_, stays| stays.len() > 1);
        siblings.taken.retain(|_, stays| stays.len() > 1);
        siblings
    }

    /// Adds the stays of items that come before the overtaker's by their place: of its own batch, put before it and there after
    /// it was taken; and those that the same call took behind it, although they were put before.
    fn add_overtaken(
        &self,
        items: &Items,
        stays: &[Stay],
        overtaker: &Overtaker,
        overtaken: &mut Vec<usize>,
    ) {
        let Some(own) = overtaker.item.map(|item| &items.items[item]) else { return };
        let is_before = |other: &Item| {
            other.responded < own.invoked || (other.put == own.put && other.position < own.position)
        };
        // A batch commits in order: what is before in it is there once what is behind is.
        let was_there = |stay: &Stay| {
            (stay.is_first && items.items[stay.item].put == own.put) || stay.from < overtaker.invoked
        };
        for index in self.put.get(&own.put).into_iter().flatten() {
            let (stay, other) = (&stays[*index], &items.items[stays[*index].item]);
            if is_before(other) && was_there(stay) && stay.until > overtaker.responded {
                overtaken.push(*index);
            }
        }
        for index in self.taken.get(&overtaker.call).into_iter().flatten() {
            let (stay, other) = (&stays[*index], &items.items[stays[*index].item]);
            let is_behind = stay.ended_by.is_some_and(|(_, position)| position > overtaker.position);
            if is_behind && is_before(other) && was_there(stay) {
                overtaken.push(*index);
            }
        }
    }
}

/// A tree of maxima over a row of numbers.
struct Maxima {
    /// Leaves from `leaves` on; node i is the larger of 2i and 2i + 1.
    nodes: Vec<u64>,
    leaves: usize,
}

impl Maxima {
    fn of(numbers: impl ExactSizeIterator<Item = u64>) -> Self {
        let leaves = numbers.len().next_power_of_two();
        let mut nodes = vec![0; 2 * leaves];
        for (leaf, number) in nodes[leaves..].iter_mut().zip(numbers) {
            *leaf = number;
        }
        for node in (1..leaves).rev() {
            nodes[node] = nodes[2 * node].max(nodes[2 * node + 1]);
        }
        Self { nodes, leaves }
    }

    /// The places of all numbers above `bound` among the first `count`.
    fn above(&self, count: usize, bound: u64) -> Vec<usize> {
        let mut found = Vec::new();
        let mut open = vec![(1, 0, self.leaves)];
        while let Some((node, first, len)) = open.pop() {
            if first >= count || self.nodes[node] <= bound {
                continue;
            }
            if len == 1 {
                found.push(first);
            } else {
                open.push((2 * node, first, len / 2));
                open.push((2 * node + 1, first + len / 2, len / 2));
            }
        }
        found
    }
}

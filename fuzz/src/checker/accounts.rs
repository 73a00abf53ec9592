//! The accounts: for every item its put, its takes one after the other, and whether that may be (C1, C2, C3).

use std::collections::{HashMap, HashSet};

use super::matching::assign;
use super::{Finding, Kind, Verdict, shown};
use crate::history::{Call, End, History, Life, Receipt};

/// Every item of a history.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) items: Vec<Item>,
}

/// One item.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) value: u64,
    /// The call that put it: items of one batch have the same.
    pub(super) put: usize,
    /// Its place within that call.
    pub(super) position: usize,
    pub(super) invoked: u64,
    /// When it was surely in the queue; the end of time for one that may never have been.
    pub(super) responded: u64,
    fate: Put,
    /// In the order in which they can only have happened.
    pub(super) takes: Vec<Take>,
    /// Of an item that is missing, and was had by a killed process: when that process's call began.
    pub(super) gone_at: Option<u64>,
}

/// What is known of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Put {
    Done,
    /// Its process was killed in the call.
    Perhaps,
    Never(&'static str),
}

/// One time that an item was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Take {
    /// The call: items of one batch have the same.
    pub(super) call: usize,
    /// The place within that call.
    pub(super) position: usize,
    pub(super) invoked: u64,
    pub(super) responded: u64,
    delivery: u8,
    pub(super) after: After,
}

/// What became of an item that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It was done with.
    Consumed { since: u64 },
    /// It was given back: held until `from` at least, there again at `by`.
    Returned { from: u64, by: u64 },
    /// Its taker was killed, while it held it or gave it back: it comes again, somewhat after `from`.
    ComesAgain { from: u64 },
    /// Its taker was killed while it released it: it may come again.
    MayComeAgain { from: u64 },
}

impl After {
    /// Nobody else has the item before this.
    pub(super) fn not_before(self) -> u64 {
        match self {
            Self::Consumed { since } => since,
            Self::Returned { from, .. } | Self::ComesAgain { from } | Self::MayComeAgain { from } => from,
        }
    }
}

/// A call that takes, during which its process was killed. It has no receipt for what it held.
#[derive(Debug)]
pub(super) struct Cut<'h> {
    pub(super) receipt: &'h Receipt,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    life: &'h Life,
}

/// Takes that were cut off by a kill.
pub(super) fn cuts(history: &History) -> Vec<Cut<'_>> {
    let of = |life| {
        let (not_before, not_after) = Life::killed(life)?;
        let receipt = life.receipts.last().filter(|last| last.takes() && last.responded.is_none())?;
        Some(Cut { receipt, not_before, not_after, life })
    };
    history.lives.iter().filter_map(of).collect()
}

/// Numbers the calls of a history, puts and takes alike.
pub(super) fn calls(history: &History) -> impl Iterator<Item = (usize, &Life, &Receipt)> {
    let all = history.lives.iter().flat_map(|life| life.receipts.iter().map(move |receipt| (life, receipt)));
    all.enumerate().map(|(call, (life, receipt))| (call, life, receipt))
}

/// Makes the accounts, and finds what is wrong with them.
pub(super) fn settle(history: &History, verdict: &mut Verdict) -> Items {
    let mut items = Items::default();
    let mut by_value = HashMap::new();
    for (call, life, receipt) in calls(history) {
        if receipt.takes() {
            continue;
        }
        let (fate, responded) = fate_of_put(life, receipt);
        verdict.counts.puts += if fate == Put::Done { receipt.values.len() } else { 0 };
        for (position, value) in receipt.values.iter().enumerate() {
            by_value.insert(*value, items.items.len());
            items.items.push(Item {
                value: *value,
                put: call,
                position,
                invoked: receipt.invoked,
                responded,
                fate,
                takes: Vec::new(),
                gone_at: None,
            });
        }
    }
    for (call, life, receipt) in calls(history).filter(|(.., receipt)| receipt.takes() && receipt.is_done()) {
        let after = after_take(life, receipt);
        verdict.counts.takes += receipt.values.len();
        for (position, value) in receipt.values.iter().enumerate() {
            let Some(item) = by_value.get(value) else {
                verdict.found(Kind::Phantom, format!("{} was taken, and nobody put it", shown(*value)));
                continue;
            };
            items.items[*item].takes.push(Take {
                call,
                position,
                invoked: receipt.invoked,
                responded: receipt.responded.expect("it is done"),
                delivery: receipt.deliveries.get(position).copied().unwrap_or(0),
                after,
            });
        }
    }
    for item in &mut items.items {
        // Of two takes of one item the first had ended before the second returned.
        item.takes.sort_unstable_by_key(|take| take.responded);
        item.check(verdict);
    }
    items.find_whole_batches();
    items.look_for_the_missing(history, verdict);
    items
}

impl Items {
    /// A batch whose process was killed in the call comes whole, or not at all: where one of its items came, all were put (C2).
    fn find_whole_batches(&mut self) {
        let came: HashSet<usize> =
            self.items.iter().filter(|item| !item.takes.is_empty()).map(|item| item.put).collect();
        for item in &mut self.items {
            if item.fate == Put::Perhaps && came.contains(&item.put) {
                item.fate = Put::Done;
            }
        }
    }

    /// Finds, for every item that did not come, a killed process that had it (C3).
    fn look_for_the_missing(&mut self, history: &History, verdict: &mut Verdict) {
        let missing: Vec<usize> =
            (0..self.items.len()).filter(|item| self.items[*item].is_missing()).collect();
        if missing.is_empty() {
            return;
        }
        // A borrow that is cut off loses nothing.
        let cuts: Vec<Cut<'_>> =
            cuts(history).into_iter().filter(|cut| cut.receipt.call == Call::Get).collect();
        let can_have = |item: &Item, cut: &Cut<'_>| {
            let rows = &cut.life.out[..cut.receipt.wanted.min(cut.life.out.len())];
            item.was_there_before(cut.not_after) && (!cut.receipt.has_out || rows.contains(&Some(item.value)))
        };
        let options: Vec<Vec<usize>> = missing
            .iter()
            .map(|item| (0..cuts.len()).filter(|cut| can_have(&self.items[*item], &cuts[*cut])).collect())
            .collect();
        let room: Vec<usize> = cuts.iter().map(|cut| cut.receipt.wanted).collect();
        let assigned = assign(&options, &room);
        for ((item, options), cut) in missing.iter().zip(&options).zip(assigned) {
            let item = &mut self.items[*item];
            if cut.is_some() {
                // Whichever of those that can have had it: not before the first of them began.
                item.gone_at = options.iter().map(|cut| cuts[*cut].receipt.invoked).min();
                verdict.counts.with_the_dead += 1;
            } else {
                let text = format!(
                    "{} was put at {}..{} and did not come; it was taken before: {:?}",
                    shown(item.value),
                    item.invoked,
                    item.responded,
                    item.takes
                );
                verdict.found(Kind::Lost, text);
            }
        }
    }
}

impl Item {
    /// C1, and C2 but for what is missing.
    fn check(&mut self, verdict: &mut Verdict) {
        let name = shown(self.value);
        if let (Put::Never(why), Some(take)) = (self.fate, self.takes.first()) {
            verdict.found(Kind::Phantom, format!("{name} was taken at {}, but {why}", take.responded));
        }
        if let Some(take) = self.takes.first().filter(|take| take.responded < self.invoked) {
            verdict
                .found(Kind::Phantom, format!("{name} was taken at {}, before it was put", take.responded));
        }
        // It was in the queue when it was taken, whenever its process was found dead.
        self.responded = self.takes.first().map_or(self.responded, |take| take.responded.min(self.responded));
        for pair in self.takes.windows(2) {
            let [first, second] = pair else { continue };
            verdict.counts.redelivered += 1;
            let held_until = first.after.not_before();
            if let After::Consumed { since } = first.after {
                let text = format!("{name} was done with at {since}, and taken again: {second:?}");
                verdict.found(Kind::Duplicate, text);
            } else if second.responded <= held_until {
                let text = format!("{name} was held until {held_until}, and taken by another: {second:?}");
                verdict.found(Kind::Duplicate, text);
            }
            if second.delivery > 0 && second.delivery <= first.delivery && first.delivery < u8::MAX {
                let text =
                    format!("{name} came again, but its delivery count went from {first:?} to {second:?}");
                verdict.found(Kind::Duplicate, text);
            }
        }
    }

    pub(super) fn is_surely_put(&self) -> bool {
        self.fate == Put::Done
    }

    fn is_missing(&self) -> bool {
        match self.takes.last().map(|take| take.after) {
            None => self.fate == Put::Done,
            Some(After::Consumed { .. } | After::MayComeAgain { .. }) => false,
            Some(After::Returned { .. } | After::ComesAgain { .. }) => true,
        }
    }

    /// Whether it may have been taken, once more, by somebody who was dead then.
    fn was_there_before(&self, death: u64) -> bool {
        self.invoked < death
            && self.takes.last().is_none_or(|take| match take.after {
                After::Returned { from, .. } | After::ComesAgain { from } => from < death,
                _ => false,
            })
    }
}

impl Verdict {
    pub(super) fn found(&mut self, kind: Kind, text: String) {
        self.findings.push(Finding { kind, text });
    }
}

fn fate_of_put(life: &Life, receipt: &Receipt) -> (Put, u64) {
    let never = |why| (Put::Never(why), u64::MAX);
    if receipt.responded.is_some() && !receipt.is_done() {
        return never("its put was refused");
    }
    let done_at = match receipt.call {
        Call::Reserve if receipt.end_invoked.is_none() => {
            return never("its process was killed before it committed");
        }
        Call::Reserve if receipt.end == End::Abort => return never("it was aborted"),
        Call::Reserve => receipt.end_responded,
        _ => receipt.responded,
    };
    match (done_at, life.killed()) {
        (Some(at), _) => (Put::Done, at),
        // A sweep may put the rest of a batch after the death: nobody sees when.
        (None, Some(_)) if receipt.values.len() > 1 => (Put::Perhaps, u64::MAX),
        (None, Some((_, not_after))) => (Put::Perhaps, not_after),
        (None, None) => never("its process left in the middle of it"),
    }
}

fn after_take(life: &Life, receipt: &Receipt) -> After {
    let killed = life.killed().map_or(u64::MAX, |(not_before, _)| not_before);
    match (receipt.call, receipt.end_invoked, receipt.end_responded) {
        (Call::Borrow, None, _) => After::ComesAgain { from: killed },
        (Call::Borrow, Some(from), Some(by)) if receipt.end == End::GiveBack => After::Returned { from, by },
        (Call::Borrow, Some(from), None) if receipt.end == End::GiveBack => After::ComesAgain { from },
        (Call::Borrow, Some(from), None) => After::MayComeAgain { from },
        (Call::Borrow, Some(since), Some(_)) => After::Consumed { since },
        _ => After::Consumed { since: receipt.responded.unwrap_or(receipt.invoked) },
    }
}

//! Which overtakings are explained by somebody who held the item without a receipt, and which are not (C5).

use std::collections::{HashMap, HashSet};

use super::accounts::{Cut, Items, calls, cuts};
use super::matching::assign_by_attempts;
use super::order::{Overtaker, Overtakings, Stay};
use super::{Kind, Verdict, shown};
use crate::history::History;

/// Of one overtaking, the most items that the message names.
const NAMED: usize = 4;

pub(super) fn judge(history: &History, items: &Items, overtakings: &Overtakings, verdict: &mut Verdict) {
    if overtakings.found.is_empty() {
        return;
    }
    let batches = Batches::of(history);
    let held_by_batches: Vec<usize> =
        overtakings.found.iter().map(|(overtaker, _)| batches.held_during(overtaker)).collect();
    let killed = assigned_to_the_killed(history, items, overtakings, &held_by_batches);
    verdict.counts.explained +=
        overtakings.found.iter().flat_map(|(_, overtaken)| overtaken).collect::<HashSet<_>>().len();
    for ((overtaker, overtaken), held) in overtakings.found.iter().zip(held_by_batches) {
        let left: Vec<&Stay> = overtaken
            .iter()
            .filter(|stay| killed.get(stay).is_none_or(|began| *began > overtaker.responded))
            .map(|stay| &overtakings.stays[*stay])
            .collect();
        if left.len() > held + overtaker.allowance {
            let named: Vec<String> =
                left.iter().take(NAMED).map(|stay| shown(items.items[stay.item].value)).collect();
            let named = format!("{} ({} in all)", named.join(", "), left.len());
            let (from, to) = (overtaker.invoked, overtaker.responded);
            let (kind, text) = match overtaker.item {
                Some(item) => {
                    let own = shown(items.items[item].value);
                    (
                        Kind::Order,
                        format!("{own} was taken at {from}..{to}, before {named}, put earlier: {left:?}"),
                    )
                }
                None => (
                    Kind::Empty,
                    format!("a take at {from}..{to} found nothing, but there was {named}: {left:?}"),
                ),
            };
            verdict.found(kind, text);
        }
    }
}

/// A stay that needs somebody who held the item.
struct Claimant {
    stay: usize,
    /// By when the item was held, at the latest, for nobody else to be needed.
    first: u64,
    /// The same where no batch may have held it.
    first_without_batches: Option<u64>,
    /// By when, at least, if batches explain all that was before.
    last: u64,
}

/// The stays that killed processes may have ended unseen, with when they began to: a largest set of stays. First those for
/// which there is no other explanation, and each by somebody who explains as much of it as can be.
fn assigned_to_the_killed(
    history: &History,
    items: &Items,
    overtakings: &Overtakings,
    held_by_batches: &[usize],
) -> HashMap<usize, u64> {
    let mut claimants: HashMap<usize, Claimant> = HashMap::new();
    for ((overtaker, overtaken), held) in overtakings.found.iter().zip(held_by_batches) {
        let others = held + overtaker.allowance;
        if overtaken.len() <= others {
            continue;
        }
        let deadline = overtaker.responded;
        for stay in overtaken {
            let claimant = claimants.entry(*stay).or_insert(Claimant {
                stay: *stay,
                first: deadline,
                first_without_batches: None,
                last: deadline,
            });
            claimant.first = claimant.first.min(deadline);
            claimant.last = claimant.last.max(deadline);
            if others == 0 {
                let before = claimant.first_without_batches.unwrap_or(deadline);
                claimant.first_without_batches = Some(before.min(deadline));
            }
        }
    }
    let mut claimants: Vec<Claimant> = claimants.into_values().collect();
    claimants.sort_unstable_by_key(|it| (it.first_without_batches.is_none(), it.first, it.stay));
    let mut cuts = cuts(history);
    cuts.sort_by_key(|cut| cut.receipt.invoked);
    let can_have_held = |stay: &Stay, deadline: u64, cut: &Cut<'_>| {
        // It began before the item was first overtaken, died when the item could be had, and before the item was next seen.
        cut.receipt.invoked <= deadline
            && stay.since.max(items.items[stay.item].invoked) <= cut.not_after
            && cut.not_before <= stay.taken_by
    };
    let options = |claimant: usize, deadline: u64| -> Vec<usize> {
        let stay = &overtakings.stays[claimants[claimant].stay];
        (0..cuts.len()).filter(|cut| can_have_held(stay, deadline, &cuts[*cut])).collect()
    };
    let needy = claimants.partition_point(|it| it.first_without_batches.is_some());
    let in_need = (0..needy).flat_map(|it| {
        [claimants[it].first, claimants[it].first_without_batches.expect("needy")].map(|by| (it, by))
    });
    let narrowly = (needy..claimants.len()).map(|it| (it, claimants[it].first));
    let widely = (needy..claimants.len()).map(|it| (it, claimants[it].last));
    let attempts = in_need.chain(narrowly).chain(widely).map(|(it, by)| (it, options(it, by)));
    let room: Vec<usize> = cuts.iter().map(|cut| cut.receipt.wanted).collect();
    let assigned = assign_by_attempts(claimants.len(), attempts, &room);
    let began = |cut: usize| cuts[cut].receipt.invoked;
    claimants.iter().zip(assigned).filter_map(|(it, cut)| Some((it.stay, began(cut?)))).collect()
}

/// The calls that may hold items for a moment and return them: when they begin and end, and how many items.
struct Batches {
    /// Sorted by time, with the sum of all up to there.
    begins: Vec<(u64, usize)>,
    ends: Vec<(u64, usize)>,
    by_call: HashMap<usize, usize>,
}

impl Batches {
    fn of(history: &History) -> Self {
        let (mut begins, mut ends, mut by_call) = (Vec::new(), Vec::new(), HashMap::new());
        for (call, life, receipt) in
            calls(history).filter(|(.., receipt)| receipt.takes() && receipt.short > 0)
        {
            let killed = life.killed().map_or(u64::MAX, |(_, not_after)| not_after);
            begins.push((receipt.invoked, receipt.short));
            ends.push((receipt.responded.unwrap_or(killed), receipt.short));
            by_call.insert(call, receipt.short);
        }
        Self { begins: summed(begins), ends: summed(ends), by_call }
    }

    /// How many items all others may hold at some time of a take.
    fn held_during(&self, overtaker: &Overtaker) -> usize {
        let begun = sum_before(&self.begins, overtaker.responded + 1);
        let over = sum_before(&self.ends, overtaker.invoked);
        let own = self.by_call.get(&overtaker.call).copied().unwrap_or(0);
        // Below zero only where the log is nonsense: a take that returned before its item was put.
        begun.saturating_sub(over + own)
    }
}

fn summed(mut times: Vec<(u64, usize)>) -> Vec<(u64, usize)> {
    times.sort_unstable();
    let mut sum = 0;
    for (_, count) in &mut times {
        sum += *count;
        *count = sum;
    }
    times
}

/// The sum of those at times before `time`.
fn sum_before(times: &[(u64, usize)], time: u64) -> usize {
    let count = times.partition_point(|(at, _)| *at < time);
    count.checked_sub(1).map_or(0, |last| times[last].1)
}

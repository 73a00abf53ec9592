//! Whether a history is one that the guarantees of topics allow: in O(n log n).
//!
//! Tickets order everything, so each question is one about a receipt, a ticket and what was known when.
//!
//! D1. An item that is read is whole, and stays so while it is read. Its put was committed, or its publisher was killed while it committed
//!     that; the commit had begun when the read returned. A ticket has one item, and an item one ticket. (Torn, Phantom, Duplicate)
//! D2. Of two puts of which one returned before the other was committed, the first has the lower ticket; nor does a put get a ticket that
//!     somebody has read already. (Order)
//! D3. Tickets are consecutive: each has an item that came, or one of a publisher that was killed while it committed. The newest item that
//!     is found in the end has the highest ticket of all. (Lost)
//! D4. What was known when a call began (commits that had returned, items that had been read, whoever read them) is not later than what
//!     the newest item is then: so no call gets an older one, and none finds nothing where something newer was known than what its
//!     subscription has had. (Stale)
//! D5. A subscription gets tickets that go up. What it says that it missed are exactly those between, and in all. It begins where it was told
//!     to. What one has missed in order is gone for good: nobody whose call begins after that reads it. (Missed)
//! D6. Where there is a slot for each who reads or writes, and one more, no put is refused, and none waits. (HeldUp)

use std::collections::HashMap;

use treequeues::Start;

use super::history::{Call, End, Fate, History, Life, Outcome, Receipt, Role};
pub use crate::findings::{Finding, Kind};

/// A put that waits longer than this was held up: the wait is none, but its process may be stopped, and the machine busy.
const HELD_UP_NS: u64 = 5_000_000_000;

/// What a history comes to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What must not be.
    pub findings: Vec<Finding>,
    /// What there was.
    pub counts: Counts,
}

/// What a history consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items that were published.
    pub puts: usize,
    /// Items that were read, each time.
    pub reads: usize,
    /// Items that subscriptions passed over.
    pub missed: u64,
    /// Kills that cut off a call, or came while something was held.
    pub cut_off: usize,
    /// Items of publishers that were killed before they could say so.
    pub by_the_dead: usize,
    /// Puts that found every slot in use.
    pub refused: usize,
    /// Processes killed that published.
    pub publishers_killed: usize,
    /// Processes killed that only read.
    pub readers_killed: usize,
    /// Processes killed that only looked for the dead.
    pub sweepers_killed: usize,
}

/// One item.
struct Put<'h> {
    receipt: &'h Receipt,
    life: &'h Life,
    /// 0 while it is not known.
    ticket: u64,
}

/// What is known of the newest ticket by when: sorted by time, with the highest ticket so far.
struct Known(Vec<(u64, u64)>);

/// The verdict on a history, whose last receipt is of a look at the newest item when everybody was gone.
pub fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.count(history);
    let mut puts = Puts::of(history);
    puts.check_reads(history, &mut verdict);
    let known = Known::of(history);
    puts.check_order(&known, &mut verdict);
    puts.check_tickets(&known, &mut verdict);
    let mut gone = HashMap::new();
    for life in &history.lives {
        check_life(life, &puts, &known, &mut gone, &mut verdict);
    }
    for (life, read) in reads(history) {
        if let Some(at) = gone.get(&read.ticket).filter(|at| **at < read.invoked) {
            let text = format!(
                "item {} was missed by {at}, and life {} read it at {}, after that",
                read.ticket, life.number, read.invoked
            );
            verdict.found(Kind::Missed, text);
        }
    }
    if history.is_roomy {
        verdict.check_held_up(history);
    }
    verdict
}

/// All calls that read an item.
fn reads(history: &History) -> impl Iterator<Item = (&Life, &Receipt)> {
    let all = history.lives.iter().flat_map(|life| life.receipts.iter().map(move |receipt| (life, receipt)));
    all.filter(|(_, receipt)| receipt.call.reads() && receipt.is_done())
}

/// The puts of a history, by value and by ticket.
struct Puts<'h> {
    all: Vec<Put<'h>>,
    by_value: HashMap<u64, usize>,
    by_ticket: HashMap<u64, usize>,
}

impl<'h> Puts<'h> {
    fn of(history: &'h History) -> Self {
        let mut puts = Self { all: Vec::new(), by_value: HashMap::new(), by_ticket: HashMap::new() };
        for life in &history.lives {
            for receipt in life.receipts.iter().filter(|receipt| receipt.call == Call::Publish) {
                puts.by_value.insert(receipt.value, puts.all.len());
                puts.all.push(Put { receipt, life, ticket: 0 });
            }
        }
        puts
    }

    /// D1.
    fn check_reads(&mut self, history: &History, verdict: &mut Verdict) {
        for index in 0..self.all.len() {
            let ticket = self.all[index].receipt.ticket;
            if self.all[index].is_committed() {
                self.has_ticket(index, ticket, verdict);
            }
        }
        for (life, read) in reads(history) {
            let Receipt { value, ticket, .. } = *read;
            let responded = read.responded.expect("it is done");
            if value == 0 || read.has_changed {
                let text =
                    format!("life {} read item {ticket} at {responded}, and it was not whole", life.number);
                verdict.found(Kind::Torn, text);
                continue;
            }
            let Some(&index) = self.by_value.get(&value) else {
                verdict.found(Kind::Phantom, format!("{} was read, and nobody put it", shown(value)));
                continue;
            };
            let put = &self.all[index];
            if !put.may_be_there() || put.receipt.end_invoked.is_none_or(|began| began > responded) {
                let text = format!("{} was read at {responded}: {:?}", shown(value), put.receipt);
                verdict.found(Kind::Phantom, text);
                continue;
            }
            self.has_ticket(index, ticket, verdict);
        }
    }

    /// Enters a ticket that somebody has said of an item.
    fn has_ticket(&mut self, index: usize, ticket: u64, verdict: &mut Verdict) {
        let put = &mut self.all[index];
        let value = put.receipt.value;
        if put.ticket != 0 && put.ticket != ticket {
            let text = format!("{} has two tickets, {} and {ticket}", shown(value), put.ticket);
            return verdict.found(Kind::Duplicate, text);
        }
        put.ticket = ticket;
        let other = *self.by_ticket.entry(ticket).or_insert(index);
        if other != index {
            let other = shown(self.all[other].receipt.value);
            verdict.found(
                Kind::Duplicate,
                format!("ticket {ticket} has two items, {other} and {}", shown(value)),
            );
        }
    }

    /// D2.
    fn check_order(&self, known: &Known, verdict: &mut Verdict) {
        for put in self.all.iter().filter(|put| put.ticket > 0) {
            let began = put.receipt.end_invoked.expect("it has a ticket");
            let before = known.by(began);
            if before >= put.ticket {
                let text = format!(
                    "{} was committed from {began} on, and got ticket {}; {before} was known before",
                    shown(put.receipt.value),
                    put.ticket
                );
                verdict.found(Kind::Order, text);
            }
        }
    }

    /// D3.
    fn check_tickets(&self, known: &Known, verdict: &mut Verdict) {
        let last = known.by(u64::MAX);
        let unknown = (1..=last).filter(|ticket| !self.by_ticket.contains_key(ticket)).count();
        let perhaps = self.all.iter().filter(|put| put.ticket == 0 && put.may_be_there()).count();
        let by_the_dead = self.all.iter().filter(|put| put.ticket > 0 && !put.is_committed()).count();
        verdict.counts.by_the_dead = unknown + by_the_dead;
        if unknown > perhaps {
            let text = format!(
                "of {last} tickets {unknown} have no item, and {perhaps} publishers were killed in a commit"
            );
            verdict.found(Kind::Lost, text);
        }
    }

    /// Whether the item of this ticket may have been there at that time.
    fn may_be_there_by(&self, ticket: u64, time: u64) -> bool {
        let Some(&index) = self.by_ticket.get(&ticket) else { return true };
        self.all[index].receipt.end_invoked.is_some_and(|began| began <= time)
    }
}

impl Put<'_> {
    fn is_committed(&self) -> bool {
        self.receipt.is_done() && self.receipt.end == End::Commit && self.receipt.end_responded.is_some()
    }

    /// Whether it was published, or its publisher was killed while it did that.
    fn may_be_there(&self) -> bool {
        let was_killed = matches!(self.life.fate, Fate::Killed { .. });
        let has_begun = self.receipt.is_done() && self.receipt.end_invoked.is_some();
        has_begun && self.receipt.end == End::Commit && (was_killed || self.receipt.end_responded.is_some())
    }
}

impl Known {
    fn of(history: &History) -> Self {
        let mut known = Vec::new();
        for receipt in history.lives.iter().flat_map(|life| &life.receipts) {
            let at = match receipt.call {
                Call::Publish if receipt.end == End::Commit => receipt.end_responded,
                Call::Latest | Call::Next | Call::Newest | Call::Version => receipt.responded,
                _ => None,
            };
            known.extend(at.filter(|_| receipt.is_done()).map(|at| (at, receipt.ticket)));
        }
        known.sort_unstable();
        let mut highest = 0;
        for (_, ticket) in &mut known {
            highest = highest.max(*ticket);
            *ticket = highest;
        }
        Self(known)
    }

    /// The highest ticket that was known before this time.
    fn by(&self, time: u64) -> u64 {
        let before = self.0.partition_point(|(at, _)| *at < time);
        before.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// D4 and D5, of one life.
fn check_life(
    life: &Life,
    puts: &Puts<'_>,
    known: &Known,
    gone: &mut HashMap<u64, u64>,
    verdict: &mut Verdict,
) {
    let mut subscription = None;
    for receipt in &life.receipts {
        let Some(responded) = receipt.responded.filter(|_| receipt.outcome != Outcome::BrokenOff) else {
            continue;
        };
        let before = known.by(receipt.invoked);
        match receipt.call {
            Call::Publish | Call::Sweep => {}
            Call::Subscribe(start) => subscription = Some(Subscription::begun(start, before, responded)),
            Call::Latest | Call::Version => verdict.check_newest(life, receipt, 0, before),
            Call::Next | Call::Newest => {
                let subscription =
                    subscription.get_or_insert(Subscription::begun(Start::Oldest, 0, u64::MAX));
                // A subscription that has had nothing yet begins later than what was known then, or finds the newest.
                let had = subscription.cursor.map_or(u64::MAX, |cursor| cursor - 1);
                if receipt.outcome == Outcome::Nothing || receipt.call == Call::Newest {
                    verdict.check_newest(life, receipt, had, before);
                }
                if receipt.is_done() {
                    subscription.goes_on(life, receipt, puts, verdict);
                    if receipt.call == Call::Next {
                        for ticket in receipt.ticket.saturating_sub(receipt.missed)..receipt.ticket {
                            let at = gone.entry(ticket).or_insert(responded);
                            *at = (*at).min(responded);
                        }
                    }
                }
            }
        }
    }
}

/// What is known of a subscription.
struct Subscription {
    start: Start,
    /// The highest ticket that was known when it was begun, and when that returned.
    before: u64,
    responded: u64,
    /// The lowest ticket that it may come to, once it has come to one.
    cursor: Option<u64>,
    missed: u64,
}

impl Subscription {
    fn begun(start: Start, before: u64, responded: u64) -> Self {
        Self { start, before, responded, cursor: None, missed: 0 }
    }

    /// D5.
    fn goes_on(&mut self, life: &Life, receipt: &Receipt, puts: &Puts<'_>, verdict: &mut Verdict) {
        verdict.counts.missed += receipt.missed;
        self.missed += receipt.missed;
        let Some(from) = receipt.ticket.checked_sub(receipt.missed) else {
            return verdict.found(
                Kind::Missed,
                format!("life {} missed more than there was: {receipt:?}", life.number),
            );
        };
        let is_right = match (self.cursor, self.start) {
            (Some(cursor), _) => from == cursor,
            (None, Start::New) => {
                from > self.before && (from == 1 || puts.may_be_there_by(from - 1, self.responded))
            }
            (None, Start::Latest) => {
                from >= self.before.max(1) && (from == 1 || puts.may_be_there_by(from, self.responded))
            }
            (None, Start::Oldest) => from >= 1 && (from == 1 || puts.may_be_there_by(from, self.responded)),
        };
        if !is_right || self.missed != receipt.missed_in_all {
            let text = format!(
                "life {} came to {:?} and had missed {} in all, and then {receipt:?}",
                life.number,
                self.cursor,
                self.missed - receipt.missed
            );
            verdict.found(Kind::Missed, text);
        }
        self.cursor = Some(receipt.ticket + 1);
    }
}

impl Verdict {
    fn count(&mut self, history: &History) {
        for life in &history.lives {
            self.counts.cut_off += usize::from(life.was_cut_off());
            if matches!(life.fate, Fate::Killed { .. }) {
                *match life.role {
                    Role::Publisher | Role::Both => &mut self.counts.publishers_killed,
                    Role::Reader | Role::Follower | Role::Sampler => &mut self.counts.readers_killed,
                    Role::Sweeper => &mut self.counts.sweepers_killed,
                } += 1;
            }
            for receipt in &life.receipts {
                let is_put = receipt.call == Call::Publish;
                let is_refused = receipt.responded.is_some() && receipt.outcome == Outcome::Nothing;
                self.counts.puts += usize::from(is_put && receipt.ticket > 0);
                self.counts.refused += usize::from(is_put && is_refused);
                self.counts.reads += usize::from(receipt.call.reads() && receipt.is_done());
            }
        }
    }

    /// D4: a call that got the newest item, or none later than `had`, when something was known before.
    fn check_newest(&mut self, life: &Life, receipt: &Receipt, had: u64, before: u64) {
        let is_stale = if receipt.is_done() { receipt.ticket < before } else { before > had };
        if is_stale {
            let text = format!("life {} got {receipt:?}, but {before} was known before", life.number);
            self.found(Kind::Stale, text);
        }
    }

    /// D6.
    fn check_held_up(&mut self, history: &History) {
        for life in &history.lives {
            for receipt in life.receipts.iter().filter(|receipt| receipt.call == Call::Publish) {
                let Some(responded) = receipt.responded else { continue };
                if receipt.outcome == Outcome::Nothing || responded - receipt.invoked > HELD_UP_NS {
                    let text = format!("life {} was held up: {receipt:?}", life.number);
                    self.found(Kind::HeldUp, text);
                }
            }
        }
    }

    fn found(&mut self, kind: Kind, text: String) {
        self.findings.push(Finding { kind, text });
    }
}

/// A value as people read it: who put it, and which of its items it is.
fn shown(value: u64) -> String {
    format!("{}.{}", value >> 32, value as u32)
}

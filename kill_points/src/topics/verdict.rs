//! What a survivor must find.

use std::collections::BTreeMap;

use treequeues::{PublishError, Start, SubscribeError, Subscriber, Topic, TopicReadLoan, TopicWriteLoan};

use super::items::{fill, found, put, subscribe, value_of, write};
use crate::ledger::{LATER, Ledger, SLEEPERS, is_victims};

/// Puts of the survivor around a stopped victim, for each slot.
const LAPS: usize = 3;
/// What the survivor puts into slots that it had meanwhile.
const HELD: u64 = 4000;
/// What it puts at last.
const AT_LAST: u64 = 5000;

/// What is known of a scene before the victim begins.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Items that were put; each has its ticket as its value.
    pub items: u64,
    /// Whether there are slots enough for a put never to be refused.
    pub is_roomy: bool,
    /// Slots that have lost their item, by an abort or a death.
    pub freed: usize,
}

/// What the survivor has in hand meanwhile.
pub struct Held<'t> {
    pub reading: Vec<TopicReadLoan<'t>>,
    pub writing: Vec<TopicWriteLoan<'t>>,
    /// A subscription from the beginning on, which has looked at nothing yet.
    pub lagging: Watcher,
    /// One that is up to date.
    pub eager: Watcher,
}

/// What a victim may have done that was killed half-way.
#[derive(Clone, Copy, Debug)]
pub struct May {
    /// Items that it puts at most.
    pub put: u64,
    /// Slots that it leaves without an item at most.
    pub free: usize,
    pub shut_down: bool,
}

/// What the survivor did since the victim began.
#[derive(Debug, Default)]
pub struct Account {
    /// Its items, by ticket.
    pub put: BTreeMap<u64, u64>,
    /// Slots that it has left without an item.
    pub freed: usize,
    /// Items of somebody's who has slept.
    pub of_sleepers: u64,
}

/// A subscription, and what came by it.
pub struct Watcher {
    subscriber: Subscriber,
    /// Where it began.
    from: u64,
    seen: Vec<u64>,
}

impl Watcher {
    pub fn new(topic: &Topic, start: Start, from: u64) -> Self {
        Self { subscriber: subscribe(topic, start), from, seen: Vec::new() }
    }

    /// The next item, its ticket and its value.
    fn next(&mut self) -> Option<(u64, u64)> {
        let loan = found(self.subscriber.try_borrow())?;
        let expected = self.seen.last().map_or(self.from, |last| last + 1) + loan.info().missed;
        assert_eq!(loan.ticket(), expected, "what was missed just before it is counted exactly");
        self.seen.push(loan.ticket());
        Some((loan.ticket(), value_of(&loan)))
    }
}

impl Account {
    /// The least that shows that nobody is in the way.
    pub fn of_a_glance(topic: &Topic, known: Known, may: May) -> Self {
        let mut account = Self::default();
        let version = topic.version().expect("attached");
        match found(topic.try_borrow_latest()) {
            Some(loan) => {
                assert_eq!(loan.ticket(), version, "the newest is had at once");
                account.assert_is(known, loan.ticket(), value_of(&loan));
            }
            None => assert_eq!(version, 0, "the newest is there, and cannot be had"),
        }
        match write(topic, 0) {
            Some(loan) => {
                loan.abort().expect("sound");
                account.freed += 1;
            }
            None => assert!(!known.is_roomy || may.shut_down, "a slot is there, and cannot be had"),
        }
        account
    }

    /// Puts go on around a victim that is stopped, and each item is the newest at once, and comes to who is up to date.
    pub fn of_going_on(topic: &Topic, held: &mut Held<'_>, known: Known, may: May) -> Self {
        let mut account = Self::default();
        // The victim's own may be there.
        while let Some((ticket, value)) = held.eager.next() {
            account.assert_is(known, ticket, value);
        }
        for value in (LATER..).take(LAPS * topic.capacity()) {
            let before = topic.version().expect("attached");
            let Some(ticket) = put(topic, value) else {
                assert!(!known.is_roomy || may.shut_down, "a slot is there, and cannot be had");
                continue;
            };
            account.put.insert(ticket, value);
            assert_eq!(ticket, before + 1, "tickets are consecutive");
            let newest = found(topic.try_borrow_latest()).expect("it was just put");
            assert_eq!((newest.ticket(), value_of(&newest)), (ticket, value), "the newest is stale");
            assert_eq!(held.eager.next(), Some((ticket, value)), "who is up to date misses nothing");
        }
        account
    }

    /// An item's value is what whoever put it has put.
    fn assert_is(&self, known: Known, ticket: u64, value: u64) {
        let is_right = match self.put.get(&ticket) {
            Some(put) => value == *put,
            None if ticket <= known.items => value == ticket,
            None => is_victims(value) || value == SLEEPERS && self.of_sleepers > 0,
        };
        assert!(is_right, "{value} is in item {ticket}: {self:?}");
    }
}

/// Takes stock, and holds that against what was there and what the victim did. The victim has ended.
pub fn assert_nothing_is_lost(
    topic: &Topic,
    held: Held<'_>,
    mut account: Account,
    known: Known,
    may: May,
    ledger: &Ledger,
) {
    let Held { reading, writing, mut lagging, mut eager } = held;
    for loan in reading {
        assert_eq!(value_of(&loan), loan.ticket(), "somebody wrote to an item that is being read");
        loan.release().expect("sound");
    }
    for (value, mut loan) in (HELD..).zip(writing) {
        fill(&mut loan, value);
        account.put.insert(loan.commit().expect("sound"), value);
    }
    topic.sweep().expect("sound");
    let stats = topic.stats().expect("sound");
    assert_eq!(stats.participants.len(), 1, "the dead are gone from the table: {stats:?}");
    assert_eq!(stats.held, [], "nothing is held any more");
    assert_eq!(stats.subscriptions.len(), 2, "the subscriptions of the dead are gone: {stats:?}");

    let version = topic.version().expect("attached");
    let others = known.items + account.put.len() as u64 + account.of_sleepers;
    match ledger.outcome() {
        Some((put, _)) => assert_eq!(version, others + put.len() as u64, "each item has a ticket"),
        None => assert!((others..=others + may.put).contains(&version), "{version} after {others}"),
    }
    match found(topic.try_borrow_latest()) {
        Some(loan) => {
            assert_eq!(loan.ticket(), version, "the newest was lost");
            account.assert_is(known, version, value_of(&loan));
        }
        None => assert_eq!(version, 0, "the newest was lost"),
    }
    if may.shut_down {
        // It may have come to that, and may have told nobody.
        topic.shutdown(false).expect("attached");
    }

    let mut all = Watcher::new(topic, Start::Oldest, 1);
    let first = found(all.subscriber.try_borrow()).map(|loan| (loan.ticket(), value_of(&loan)));
    if let Some((ticket, value)) = first {
        all.from = ticket;
        all.seen.push(ticket);
        account.assert_is(known, ticket, value);
    }
    for watcher in [&mut all, &mut lagging, &mut eager] {
        while let Some((ticket, value)) = watcher.next() {
            account.assert_is(known, ticket, value);
        }
        let Watcher { subscriber, from, seen } = watcher;
        assert_eq!(seen.last().copied().unwrap_or(*from - 1), version.max(*from - 1), "the last one comes");
        assert_eq!(
            seen.len() as u64 + subscriber.missed(),
            (version + 1).saturating_sub(*from),
            "what came and what was missed are all: {seen:?}"
        );
        let is_over = matches!(subscriber.try_borrow(), Err(SubscribeError::ShutDown(_)));
        assert_eq!(is_over, may.shut_down, "a subscription ends with the topic");
    }
    assert!(lagging.seen == all.seen, "{:?} is there, and {:?} came", all.seen, lagging.seen);
    let freed = known.freed + account.freed + may.free;
    assert!(
        all.seen.len() + freed >= topic.capacity().min(version as usize),
        "items are gone for which there was room: {:?} of {version} are left",
        all.seen
    );
    if !may.shut_down {
        assert_capacity_is_whole(topic);
        topic.shutdown(false).expect("attached");
    }
    assert!(matches!(topic.try_reserve(), Err(PublishError::ShutDown(_))), "nothing is put after the end");
    assert!(matches!(eager.subscriber.try_borrow(), Ok(_) | Err(SubscribeError::ShutDown(_))));
    let newest = found(topic.try_borrow_latest()).map_or(0, |loan| loan.ticket());
    assert_eq!(newest, topic.version().expect("attached"), "the newest stays");
}

/// All slots but the newest item's can be had at once, twice, so that each of them was; and as many items as there are slots stay.
fn assert_capacity_is_whole(topic: &Topic) {
    for _ in 0..2 {
        let has_newest = topic.version().expect("attached") > 0;
        let loans: Vec<_> = std::iter::from_fn(|| write(topic, AT_LAST)).collect();
        assert_eq!(loans.len(), topic.capacity() - usize::from(has_newest), "capacity was lost");
        let mut next = topic.version().expect("attached");
        for loan in loans {
            next += 1;
            assert_eq!(loan.commit().expect("sound"), next, "tickets are consecutive");
        }
    }
    let version = topic.version().expect("attached");
    let lap = topic.capacity() as u64;
    for ticket in version + 1..=version + 2 * lap {
        assert_eq!(put(topic, AT_LAST + ticket), Some(ticket), "a put was refused, and nobody reads");
        let newest = found(topic.try_borrow_latest()).expect("it was just put");
        assert_eq!((newest.ticket(), value_of(&newest)), (ticket, AT_LAST + ticket));
    }
    let last = version + 2 * lap;
    let mut all = Watcher::new(topic, Start::Oldest, last + 1 - lap);
    let seen: Vec<_> = std::iter::from_fn(|| all.next()).collect();
    assert!(
        seen.iter().copied().eq((last + 1 - lap..=last).map(|ticket| (ticket, AT_LAST + ticket))),
        "the newest items are there, one in each slot: {seen:?}"
    );
}

//! What the checker of topics says of histories made by hand: one for each thing that can be wrong, beside one in which it may be. Then the
//! fuzz itself, for a few hundred kills, and what the checker says when its logs are falsified.

use std::fs;
use std::process::Command;

use treequeues::Start;
use treequeues_fuzz::topics::checker::{Kind, Verdict, check};
use treequeues_fuzz::topics::epoch::load;
use treequeues_fuzz::topics::history::{Call, End, Fate, History, Life, Outcome, Receipt, Role};
use treequeues_fuzz::topics::plan::Plan;

/// From when to when.
type Span = (u64, u64);

/// A receipt that says no more than when its call began.
fn begun(call: Call, invoked: u64) -> Receipt {
    Receipt {
        call,
        invoked,
        responded: None,
        outcome: Outcome::Done,
        value: 0,
        ticket: 0,
        missed: 0,
        missed_in_all: 0,
        has_changed: false,
        end: End::Release,
        end_invoked: None,
        end_responded: None,
    }
}

/// A put, all within this span.
fn put(value: u64, ticket: u64, (from, to): Span) -> Receipt {
    Receipt {
        value,
        ticket,
        responded: Some(from),
        end: End::Commit,
        end_invoked: Some(from),
        end_responded: Some(to),
        ..begun(Call::Publish, from)
    }
}

/// A read of an item.
fn read(call: Call, value: u64, ticket: u64, (from, to): Span) -> Receipt {
    Receipt {
        value,
        ticket,
        responded: Some(to),
        end_invoked: Some(to),
        end_responded: Some(to),
        ..begun(call, from)
    }
}

fn latest(value: u64, ticket: u64, span: Span) -> Receipt {
    read(Call::Latest, value, ticket, span)
}

/// The next item of a subscription, which missed so many just before and in all.
fn next(ticket: u64, (missed, missed_in_all): (u64, u64), span: Span) -> Receipt {
    Receipt { missed, missed_in_all, ..read(Call::Next, ticket, ticket, span) }
}

fn newest(ticket: u64, (missed, missed_in_all): (u64, u64), span: Span) -> Receipt {
    Receipt { call: Call::Newest, ..next(ticket, (missed, missed_in_all), span) }
}

fn subscribed(start: Start, (from, to): Span) -> Receipt {
    Receipt { responded: Some(to), ..begun(Call::Subscribe(start), from) }
}

/// A call that came to nothing.
fn nothing(call: Call, (from, to): Span) -> Receipt {
    Receipt { outcome: Outcome::Nothing, responded: Some(to), ..begun(call, from) }
}

/// A life that ended by itself.
fn life(receipts: &[Receipt]) -> Life {
    Life { number: 1, role: Role::Both, fate: Fate::Left, receipts: receipts.to_vec() }
}

/// A life of one receipt that was killed at some time of this span.
fn killed(receipt: Receipt, (not_before, not_after): Span) -> Life {
    Life { fate: Fate::Killed { not_before, not_after }, ..life(&[receipt]) }
}

fn verdict(lives: Vec<Life>) -> Verdict {
    check(&History { lives, is_roomy: true })
}

/// What was found, by its kinds.
fn kinds(lives: Vec<Life>) -> Vec<Kind> {
    verdict(lives).findings.iter().map(|finding| finding.kind).collect()
}

/// Items 1 to `count`, the n-th put from 10 n to 10 n + 1.
fn items(count: u64) -> Vec<Life> {
    (1..=count).map(|n| life(&[put(n, n, (10 * n, 10 * n + 1))])).collect()
}

/// What is found of these calls of one process beside such items.
fn beside(count: u64, receipts: &[Receipt]) -> Vec<Kind> {
    kinds([items(count), vec![life(receipts)]].concat())
}

#[test]
fn the_newest_each_in_order_and_each_that_was_missed_are_fine() {
    assert_eq!(beside(3, &[latest(1, 1, (12, 13)), latest(3, 3, (32, 33))]), []);
    let all = [subscribed(Start::Oldest, (0, 1)), next(1, (0, 0), (12, 13)), next(3, (1, 1), (32, 33))];
    assert_eq!(beside(3, &all), []);
}

#[test]
fn an_item_that_is_not_whole_or_changes_is_torn() {
    assert_eq!(beside(1, &[latest(0, 1, (12, 13))]), [Kind::Torn]);
    let changed = Receipt { has_changed: true, ..latest(1, 1, (12, 13)) };
    assert_eq!(beside(1, &[changed]), [Kind::Torn]);
}

#[test]
fn an_item_that_nobody_put_or_that_was_not_yet_put_or_aborted_is_a_phantom() {
    assert!(beside(1, &[latest(7, 1, (12, 13))]).contains(&Kind::Phantom));
    assert!(beside(1, &[latest(1, 1, (5, 6))]).contains(&Kind::Phantom));
    let aborted = Receipt { end: End::Abort, ticket: 0, ..put(1, 0, (0, 1)) };
    assert!(kinds(vec![life(&[aborted]), life(&[latest(1, 1, (2, 3))])]).contains(&Kind::Phantom));
}

#[test]
fn an_item_of_a_publisher_that_was_killed_in_its_commit_may_be_there_or_not() {
    let cut = Receipt { end_responded: None, ticket: 0, ..put(1, 0, (0, 0)) };
    assert_eq!(kinds(vec![killed(cut.clone(), (2, 3))]), []);
    assert_eq!(kinds(vec![killed(cut.clone(), (2, 3)), life(&[latest(1, 1, (4, 5))])]), []);
    // Nobody has read it, but the next one says that it has a ticket.
    let second = life(&[put(2, 2, (4, 5))]);
    let found = verdict(vec![killed(cut.clone(), (2, 3)), second.clone()]);
    assert_eq!((found.findings, found.counts.by_the_dead), (vec![], 1));
    let reserved = Receipt { end_invoked: None, ..cut };
    assert_eq!(kinds(vec![killed(reserved.clone(), (2, 3)), second]), [Kind::Lost]);
    assert!(kinds(vec![killed(reserved, (2, 3)), life(&[latest(1, 1, (4, 5))])]).contains(&Kind::Phantom));
}

#[test]
fn two_items_with_one_ticket_and_two_tickets_of_one_item_are_found() {
    let twice = vec![life(&[put(1, 1, (0, 1))]), life(&[put(2, 1, (0, 1))])];
    assert!(kinds(twice).contains(&Kind::Duplicate));
    assert!(beside(2, &[latest(1, 2, (22, 23))]).contains(&Kind::Duplicate));
}

#[test]
fn a_put_after_another_has_a_higher_ticket() {
    let swapped = |second| vec![life(&[put(1, 2, (0, 1))]), life(&[put(2, 1, second)])];
    assert_eq!(kinds(swapped((2, 3))), [Kind::Order]);
    assert_eq!(kinds(swapped((1, 3))), []);
}

#[test]
fn a_ticket_without_an_item_is_a_lost_one() {
    assert_eq!(kinds(vec![life(&[put(1, 1, (0, 1))]), life(&[put(3, 3, (2, 3))])]), [Kind::Lost]);
}

#[test]
fn an_older_item_than_was_known_is_stale() {
    assert_eq!(beside(2, &[latest(1, 1, (22, 23))]), [Kind::Stale]);
    assert_eq!(beside(2, &[latest(1, 1, (21, 23))]), [], "the second put had not returned");
    // Back to an older one, though the put of the newer one has not returned yet.
    let lives = || vec![life(&[put(1, 1, (0, 1))]), life(&[put(2, 2, (10, 90))])];
    let back = [latest(2, 2, (20, 21)), latest(1, 1, (30, 31))];
    assert_eq!(kinds([lives(), vec![life(&back)]].concat()), [Kind::Stale]);
    let of_two = back.map(|receipt| life(&[receipt])).to_vec();
    assert_eq!(kinds([lives(), of_two].concat()), [Kind::Stale], "also where others have read the newer one");
    let version = Receipt { ticket: 1, responded: Some(24), ..begun(Call::Version, 23) };
    assert_eq!(beside(2, &[version]), [Kind::Stale]);
}

#[test]
fn nothing_where_something_newer_was_known_is_stale() {
    assert_eq!(beside(1, &[nothing(Call::Latest, (12, 13))]), [Kind::Stale]);
    assert_eq!(beside(1, &[nothing(Call::Latest, (5, 13))]), []);
    let then =
        |span| [subscribed(Start::Oldest, (0, 1)), next(1, (0, 0), (12, 13)), nothing(Call::Next, span)];
    assert_eq!(beside(2, &then((22, 23))), [Kind::Stale]);
    assert_eq!(beside(2, &then((14, 15))), []);
}

#[test]
fn a_newest_that_is_lost_with_the_dead_is_stale_in_the_end() {
    assert_eq!(beside(2, &[latest(1, 1, (100, 101))]), [Kind::Stale]);
}

#[test]
fn a_subscription_never_goes_back_and_counts_what_it_misses() {
    let began = subscribed(Start::Oldest, (0, 1));
    let then = |second| [began.clone(), next(1, (0, 0), (12, 13)), second];
    assert_eq!(beside(3, &then(next(3, (1, 1), (32, 33)))), []);
    assert_eq!(beside(3, &then(next(3, (0, 0), (32, 33)))), [Kind::Missed]);
    assert_eq!(beside(3, &then(next(3, (1, 2), (32, 33)))), [Kind::Missed]);
    assert_eq!(beside(3, &then(next(1, (0, 0), (32, 33)))), [Kind::Missed]);
    assert_eq!(beside(3, &then(newest(3, (1, 1), (32, 33)))), []);
    assert_eq!(beside(3, &then(newest(2, (0, 0), (32, 33)))), [Kind::Stale]);
}

#[test]
fn a_subscription_begins_where_it_was_told_to() {
    let first = |start, first: Receipt| beside(3, &[subscribed(start, (22, 23)), first]);
    assert_eq!(first(Start::New, next(3, (0, 0), (32, 33))), []);
    assert_eq!(first(Start::New, next(2, (0, 0), (32, 33))), [Kind::Missed], "that was there before");
    assert_eq!(first(Start::Latest, next(2, (0, 0), (32, 33))), []);
    assert_eq!(first(Start::Latest, next(3, (1, 1), (32, 33))), []);
    assert_eq!(first(Start::Latest, next(3, (0, 0), (32, 33))), [Kind::Missed], "that was not there then");
    assert_eq!(first(Start::Latest, next(1, (0, 0), (32, 33))), [Kind::Missed]);
    assert_eq!(first(Start::Oldest, next(3, (2, 2), (32, 33))), []);
}

#[test]
fn what_was_missed_is_gone_for_good() {
    let missing = [subscribed(Start::Oldest, (0, 1)), next(1, (0, 0), (12, 13)), next(3, (1, 1), (32, 33))];
    let other = |span| {
        let other = [subscribed(Start::Oldest, (22, 23)), next(2, (0, 0), span)];
        kinds([items(3), vec![life(&missing), life(&other)]].concat())
    };
    assert_eq!(other((34, 35)), [Kind::Missed]);
    assert_eq!(other((31, 35)), []);
    // What was skipped on the way to the newest is still there.
    let skipping = [missing[0].clone(), missing[1].clone(), newest(3, (1, 1), (32, 33))];
    let other = [subscribed(Start::Oldest, (22, 23)), next(2, (0, 0), (34, 35))];
    assert_eq!(kinds([items(3), vec![life(&skipping), life(&other)]].concat()), []);
}

#[test]
fn a_put_that_is_refused_or_waits_is_held_up_where_there_are_slots_enough() {
    let second = 1_000_000_000;
    let waited = Receipt { responded: Some(9 * second), ..put(1, 1, (0, 9 * second)) };
    for held_up in [nothing(Call::Publish, (0, 1)), waited] {
        let lives = vec![life(&[held_up])];
        assert_eq!(kinds(lives.clone()), [Kind::HeldUp]);
        assert!(check(&History { lives, is_roomy: false }).findings.is_empty());
    }
}

#[test]
fn kills_lose_nothing_and_falsified_logs_are_found() {
    let folder = tempfile::tempdir().expect("room for logs");
    // Its first epoch has slots enough.
    let seed = (0..).find(|seed| Plan::new(*seed, 0).is_roomy()).expect("one of them");
    let output = Command::new(env!("CARGO_BIN_EXE_kills"))
        .args(["--of", "topics", "--kills", "1", "--epoch", "0", "--seed", &seed.to_string(), "--keep"])
        .arg(folder.path())
        .args(["--record"])
        .arg(folder.path().join("record.json"))
        .output()
        .expect("it was built");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let record = fs::read(folder.path().join("record.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
    assert_eq!((&record["torn"], &record["wrong_missed"]), (&0.into(), &0.into()));

    let history = load(&folder.path().join("epoch"), true).expect("the logs are there");
    let found = check(&history);
    assert_eq!(found.findings, []);
    assert!(
        found.counts.cut_off > 0 && found.counts.reads > 0 && found.counts.missed > 0,
        "{:?}",
        found.counts
    );

    let falsified = |falsify: fn(&mut Receipt)| {
        let mut history = history.clone();
        let all = history.lives.iter_mut().flat_map(|life| &mut life.receipts);
        let mut next: Vec<_> = all
            .filter(|receipt| receipt.call == Call::Next && receipt.missed > 0 && receipt.is_done())
            .collect();
        let middle = next.len() / 2;
        falsify(next[middle]);
        check(&history).findings.iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert!(falsified(|next| next.missed -= 1).contains(&Kind::Missed));
    assert!(falsified(|next| next.missed_in_all += 1).contains(&Kind::Missed));
    assert!(falsified(|next| next.value = 0).contains(&Kind::Torn));
    assert!(falsified(|next| next.ticket -= 1).contains(&Kind::Duplicate));

    let mut forgotten = history;
    let receipts = forgotten.lives.iter_mut().flat_map(|life| &mut life.receipts);
    let newest = receipts.filter(|receipt| receipt.call == Call::Latest && receipt.is_done());
    newest.max_by_key(|latest| latest.invoked).expect("by life 0").ticket -= 1;
    let kinds: Vec<_> = check(&forgotten).findings.iter().map(|finding| finding.kind).collect();
    assert!(kinds.contains(&Kind::Stale), "the newest is not what was known before: {kinds:?}");
}

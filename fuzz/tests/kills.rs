//! The fuzz itself, for a few hundred kills of workers in Rust. Then the logs that it left are falsified, and the checker must see it.

use std::fs;
use std::process::Command;

use treequeues_fuzz::checker::{Kind, check};
use treequeues_fuzz::epoch::load;
use treequeues_fuzz::history::{Call, End, History, Receipt};
use treequeues_fuzz::plan::Plan;

/// Its first epoch has batches on neither side and few deaths while reading, so an order that is wrong stays without explanation.
const SEED: u64 = 1;

/// One run, whose last epoch's logs are looked at by all that follows.
fn history() -> History {
    let folder = tempfile::tempdir().expect("room for logs");
    let output = Command::new(env!("CARGO_BIN_EXE_kills"))
        .args(["--kills", "1", "--epoch", "0", "--seed", &SEED.to_string(), "--keep"])
        .arg(folder.path())
        .output()
        .expect("it was built");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    load(&folder.path().join("epoch"), &Plan::new(SEED, 0, false).items()).expect("the logs are there")
}

fn takes(history: &mut History) -> Vec<&mut Receipt> {
    let all = history.lives.iter_mut().flat_map(|life| &mut life.receipts);
    all.filter(|receipt| receipt.call == Call::Borrow && receipt.is_done() && receipt.end_responded.is_some())
        .collect()
}

fn kinds(history: &History) -> Vec<Kind> {
    check(history).findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn kills_lose_nothing_and_falsified_logs_are_found() {
    let history = history();
    assert_eq!(kinds(&history), []);
    let counts = check(&history).counts;
    assert!(counts.cut_off > 0 && counts.takes > 0, "{counts:?}");

    let mut dropped = history.clone();
    let taken = takes(&mut dropped).into_iter().rev().find(|take| take.end == End::Release);
    taken.expect("some were").values.clear();
    assert!(kinds(&dropped).contains(&Kind::Lost), "an item whose take is not in the log is missed");

    let mut doubled = history.clone();
    let mut life = doubled
        .lives
        .iter()
        .find(|life| life.receipts.iter().any(|receipt| receipt.is_done() && receipt.takes()))
        .expect("some took")
        .clone();
    life.receipts.retain(|receipt| receipt.is_done() && receipt.takes());
    life.receipts.truncate(1);
    doubled.lives.push(life);
    assert!(kinds(&doubled).contains(&Kind::Duplicate), "a take that is in the log twice is seen");

    let mut forgotten = history.clone();
    let put = forgotten
        .lives
        .iter_mut()
        .flat_map(|life| &mut life.receipts)
        .find(|put| !put.takes() && put.end_responded.is_some());
    put.expect("some put").values.clear();
    assert!(kinds(&forgotten).contains(&Kind::Phantom), "an item whose put is not in the log is seen");

    // Two takes far from each other: what lies between them overtakes one of the items, and no single death explains that.
    let mut swapped = history;
    let mut all = takes(&mut swapped);
    all.sort_by_key(|take| take.invoked);
    let (first, last) = (0, all.len() - 1);
    let value = std::mem::take(&mut all[first].values);
    let other = std::mem::replace(&mut all[last].values, value);
    all[first].values = other;
    let found = kinds(&swapped);
    assert!(found.iter().any(|kind| matches!(kind, Kind::Order | Kind::Phantom)), "{found:?}");
}

#[test]
fn a_python_that_is_not_there_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_kills"))
        .args(["--python", "/no/such/python"])
        .output()
        .expect("it was built");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/python"));
}

#[test]
fn a_run_leaves_a_record() {
    let folder = tempfile::tempdir().expect("room for a record");
    let file = folder.path().join("record.json");
    let output = Command::new(env!("CARGO_BIN_EXE_kills"))
        .args(["--kills", "1", "--seed", "1", "--record"])
        .arg(&file)
        .output()
        .expect("it was built");
    assert!(output.status.success());
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).expect("a record")).expect("JSON");
    assert_eq!((&record["seed"], &record["lost"]), (&1.into(), &0.into()));
    assert!(record["kills"].as_u64() >= Some(1));
}

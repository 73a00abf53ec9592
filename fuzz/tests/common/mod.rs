//! Histories made by hand. Each call is a life of its own, so that no two of them need to be in order.
#![allow(dead_code, reason = "no test needs all of them")]

use treequeues_fuzz::checker::{Kind, Verdict, check};
use treequeues_fuzz::history::{Call, End, Fate, History, Life, Outcome, Receipt};

/// From when to when.
pub type Span = (u64, u64);

/// A receipt that says no more than when its call began.
pub fn begun(call: Call, wanted: usize, invoked: u64) -> Receipt {
    Receipt {
        call,
        wanted,
        min: 1,
        short: 0,
        has_out: false,
        invoked,
        responded: None,
        outcome: Outcome::Done,
        values: Vec::new(),
        deliveries: Vec::new(),
        end: End::Release,
        end_invoked: None,
        end_responded: None,
    }
}

/// A put of these values.
pub fn put(values: &[u64], (from, to): Span) -> Receipt {
    Receipt { values: values.to_vec(), responded: Some(to), ..begun(Call::Put, values.len(), from) }
}

/// A get of these values.
pub fn get(values: &[u64], (from, to): Span) -> Receipt {
    let deliveries = vec![0; values.len()];
    Receipt {
        values: values.to_vec(),
        deliveries,
        responded: Some(to),
        ..begun(Call::Get, values.len(), from)
    }
}

/// A get that found nothing.
pub fn empty((from, to): Span) -> Receipt {
    Receipt { outcome: Outcome::Nothing, responded: Some(to), ..begun(Call::Get, 1, from) }
}

/// A borrow of these values, and its end.
pub fn borrow(values: &[u64], span: Span, end: End, (from, to): Span) -> Receipt {
    Receipt { call: Call::Borrow, end, end_invoked: Some(from), end_responded: Some(to), ..get(values, span) }
}

/// A life of one receipt that ended by itself.
pub fn left(receipt: Receipt) -> Life {
    Life { number: 1, fate: Fate::Left, receipts: vec![receipt], out: Vec::new() }
}

/// A life of one receipt that was killed at some time of this span.
pub fn killed(receipt: Receipt, (not_before, not_after): Span) -> Life {
    Life { number: 1, fate: Fate::Killed { not_before, not_after }, receipts: vec![receipt], out: Vec::new() }
}

/// The verdict on these lives.
pub fn verdict(lives: Vec<Life>) -> Verdict {
    check(&History { lives })
}

/// What was found, by its kinds.
pub fn kinds(lives: Vec<Life>) -> Vec<Kind> {
    verdict(lives).findings.iter().map(|finding| finding.kind).collect()
}

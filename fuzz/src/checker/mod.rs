//! Whether a history is one that the queue's guarantees allow: in O(n log n), not by a search for a linearization.
//!
//! For a queue whose values are all distinct, a history is linearizable exactly if none of four bad patterns is in it: an item is taken
//! that nobody put, one is taken twice, two come out in the wrong order, or a take says empty although the queue was not (T. A.
//! Henzinger, A. Sezgin, V. Vafeiadis, "Aspect-oriented linearizability proofs", CONCUR 2013; A. Bouajjani, M. Emmi, C. Enea, J. Hamza,
//! "On reducing linearizability to state reachability", ICALP 2015). Each is a question about intervals, which sorting answers.
//!
//! What this queue promises is more and less. Items come again from the dead and from those who give back; the dead may have taken what
//! they have no receipt for; a batch that falls short has held what nobody sees (`batch` T2). So:
//!
//! C1. A value that is taken is one whose put was invoked, and that put was neither refused nor aborted, nor did its process die before its
//!     second phase began.
//! C2. A put that returned is taken, or found in the queue in the end. It is taken again only after it was given back, or by way of a dead
//!     holder. Two never have it at once. A batch whose process was killed while it put that comes whole, or not at all. (`accounts`)
//! C3. What is missing was had by a process that was killed within a call that gives up the slot before it returns. Where the call fills
//!     memory that outlives it, the item must lie there. (`accounts`)
//! C4. Where put(a) returned before put(b) was invoked, no take of b lies within a time in which a was surely there to be taken. Nor
//!     does a take that says empty. (`order`)
//! C5. C4 does not hold for an a that was held at that time by somebody without a receipt for it: by a process that was killed in a
//!     take which began before b was taken, as many items as that take wanted, for all b together; and while a batch that can
//!     fall short is under way, as many as that can hold, for each b. (`explained`)
//!
//! Complete histories without batches that fall short leave nothing to C5. There, but for empty takes, the verdict is exactly
//! linearizability: `tests/search.rs` holds it against a search. Empty takes are only held against single items that were there all the time.

mod accounts;
mod explained;
mod matching;
mod order;

pub use crate::findings::{Finding, Kind};
use crate::history::History;

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
    /// Items that were put.
    pub puts: usize,
    /// Items that were taken, each time.
    pub takes: usize,
    /// Of these, again.
    pub redelivered: usize,
    /// Kills that cut off a call, or came while something was held.
    pub cut_off: usize,
    /// Items that somebody had who was killed before it could say so.
    pub with_the_dead: usize,
    /// Items that were overtaken while somebody held them without a receipt.
    pub explained: usize,
}

/// The verdict on a history of a queue that was drained in the end.
pub fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.counts.cut_off = history.lives.iter().filter(|life| life.was_cut_off()).count();
    let items = accounts::settle(history, &mut verdict);
    let overtakings = order::overtakings(history, &items);
    explained::judge(history, &items, &overtakings, &mut verdict);
    verdict
}

/// A value as people read it: who put it, and which of its items it is.
fn shown(value: u64) -> String {
    format!("{}.{}", value >> 32, value as u32)
}

//! Hostile segments: whatever is written into a queue's memory, who meets it gets an error that says "corrupted" and where, or
//! goes on. Never a panic, an access out of bounds, or a loop without end.
//!
//! | file | what is hostile | who meets it |
//! |---|---|---|
//! | `preamble` | header, schema and size of a file, also with its checksum and fingerprint mended | who attaches |
//! | `ring` | state words, cursors, trees, tickets | every verb and every look of the ring |
//! | `queues` | any byte of a segment, also while it is in use | every call of whole queues, in a process that may crash |
//!
//! `cargo test` runs some thousand cases. `TREEQUEUES_HOSTILE=100` runs a hundred times as many (`make soak`). A case that failed
//! is kept in `proptest-regressions`, or named by its seed.

mod preamble;
mod queues;

mod ring;

use proptest::prelude::*;

use crate::error::{AttachError, Corrupted, Damage};

/// How many times as many cases as usual.
fn factor() -> u32 {
    std::env::var("TREEQUEUES_HOSTILE").map_or(1, |factor| factor.parse().expect("a number"))
}

pub(super) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases: cases * factor(), max_shrink_iters: 4096, ..ProptestConfig::default() }
}

/// Numbers that arithmetic stumbles over, beside any.
pub(super) fn hostile_u64() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0_u64..9,
        (0_u32..64, -2_i64..3).prop_map(|(bit, by)| (1_u64 << bit).wrapping_add_signed(by)),
        (0_u64..9).prop_map(|below| u64::MAX - below),
    ]
}

/// The error names a place, and its message the very same.
pub(super) fn assert_says_where(error: &Corrupted) {
    let message = error.to_string();
    assert!(message.starts_with("the segment is corrupted: "), "{message}");
    let places: Vec<String> = match error.damage() {
        Damage::Header { field, offset, found, .. } => {
            vec![format!("header's {field}"), format!("byte {offset}"), found.clone()]
        }
        Damage::Schema { offset, end, .. } => vec![format!("bytes {offset} to {end}")],
        Damage::StateWord { slot, word } => vec![format!("slot {slot}"), format!("{word:#018x}")],
        Damage::TakenAway { slot, .. } => vec![format!("slot {slot}")],
        Damage::Cursor { cursor, ticket, slot, .. } => {
            vec![format!("cursor {cursor}"), format!("ticket {ticket}"), format!("slot {slot}")]
        }
        Damage::Cursors { head, tail, .. } => vec![format!("ticket {tail}"), format!("head, at {head}")],
        Damage::Tree { slot, .. } | Damage::NotInTree { slot, .. } => vec![format!("slot {slot}")],
        Damage::Ticket { slot, ticket } => vec![format!("slot {slot}"), format!("ticket {ticket}")],
        Damage::Publishing { participant, found } => {
            vec![format!("participant {participant}"), format!("{found:#x}")]
        }
        Damage::Newest { found } => vec![format!("{found:#018x}")],
        Damage::NotNewest { ticket, slot, word } => {
            vec![format!("ticket {ticket}"), format!("slot {slot}"), format!("{word:#018x}")]
        }
        Damage::SlotTaken { slot, held, found } => {
            vec![format!("slot {slot}"), format!("{held:#018x}"), format!("{found:#018x}")]
        }
        Damage::Pin { slot, participant, found } => {
            vec![format!("slot {slot}"), format!("participant {participant}"), format!("{found:#018x}")]
        }
        Damage::ShutdownFlag { found } => vec![format!("{found:#010x}")],
    };
    for place in places {
        assert!(message.contains(&place), "{message:?} does not say {place:?}");
    }
}

/// The same of an attach; what is no queue, or another version's, is told so.
fn assert_refused_well(error: &AttachError) {
    match error {
        AttachError::Corrupted(error) => assert_says_where(error),
        AttachError::Foreign(_)
        | AttachError::Unusable { .. }
        | AttachError::OtherVersion { .. }
        | AttachError::OtherKind { .. }
        | AttachError::TableFull { .. } => {}
        AttachError::At { error, .. } => assert_refused_well(error),
        other => panic!("refused for another reason: {other}"),
    }
}

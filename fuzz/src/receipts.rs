//! The receipts of calls on a queue: what the words of a log say of them. `worker.py` writes the same.
//!
//! | word of a receipt | what | written |
//! |---|---|---|
//! | 0 | call, wanted << 8, short << 16, whether it has `out` << 24, min << 32 | last of the first half: 0 is no receipt |
//! | 1 | when invoked | before word 0 |
//! | 2 | when it responded | last of the second half: 0 is none |
//! | 3 | outcome, count << 8 | before word 2 |
//! | 4 | when its end was invoked | after word 6 |
//! | 5 | when that responded | |
//! | 6 | end | |
//! | 8, 9 | delivery counts, a byte each | before word 2 |
//! | 16..32 | values | of a put before word 0, of a take before word 2 |

use std::sync::atomic::Ordering;

use crate::history::{Call, End, MAX_BATCH, Outcome, Receipt};
use crate::items::Items;
use crate::log::{END, END_INVOKED, END_RESPONDED, INVOKED, Log, OUTCOME, RESPONDED, Words};
use crate::system::now_ns;

const DELIVERIES: usize = 8;
const VALUES: usize = 16;

impl Log {
    /// Writes the first half of the next receipt.
    pub fn invoke(&mut self, call: Call, sizes: Sizes, values: &[u64]) {
        let Sizes { wanted, min, short } = sizes;
        let head = call_code(call) | (wanted as u64) << 8 | (short as u64) << 16 | (min as u64) << 32;
        let count = (OUTCOME, (values.len() as u64) << 8);
        self.begin(head, (VALUES..).zip(values.iter().copied()).chain([count]));
    }

    /// Writes the second half: nothing came of it.
    pub fn came_to_nothing(&self, outcome: Outcome) {
        self.respond(now_ns(), [(OUTCOME, outcome_code(outcome))]);
        self.count();
    }

    /// Writes the second half: so many slots were reserved.
    pub fn reserved(&self, count: usize) {
        self.respond(now_ns(), [(OUTCOME, outcome_code(Outcome::Done) | (count as u64) << 8)]);
    }

    /// Writes the second half: these values were taken, by a call that returned `at` this time.
    pub fn took(&self, at: u64, taken: &[(u64, u32)]) {
        let mut deliveries = [0_u8; MAX_BATCH];
        for (delivery, (_, count)) in deliveries.iter_mut().zip(taken) {
            *delivery = (*count).min(u32::from(u8::MAX)) as u8;
        }
        let deliveries =
            deliveries.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight")));
        let values = taken.iter().map(|(value, _)| *value);
        let outcome = (OUTCOME, outcome_code(Outcome::Done) | (taken.len() as u64) << 8);
        self.respond(at, (VALUES..).zip(values).chain((DELIVERIES..).zip(deliveries)).chain([outcome]));
    }

    /// Writes the first half of the second phase's end.
    pub fn invoke_end(&self, end: End) {
        self.begin_end(end_code(end));
    }

    /// Writes its second half.
    pub fn ended(&self) {
        self.respond_end([]);
    }

    /// The call that was begun last.
    pub fn last(&self) -> Option<Receipt> {
        self.last_written().and_then(read)
    }

    /// The receipts that are there.
    pub fn receipts(&self) -> Vec<Receipt> {
        self.written().map_while(read).collect()
    }

    /// The values in the memory that the last call was to fill.
    pub fn out(&self, items: &Items) -> Vec<Option<u64>> {
        let words = self.more().iter().map(|word| word.load(Ordering::Acquire));
        items.read_out(&words.flat_map(u64::to_le_bytes).collect::<Vec<_>>())
    }
}

/// How many items a call wants, how few it is content with, and how many it may hold and return.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// At most.
    pub wanted: usize,
    /// At least.
    pub min: usize,
    /// Held for a moment and returned, at most.
    pub short: usize,
}

impl Sizes {
    /// Of a call for one item.
    pub const ONE: Self = Self { wanted: 1, min: 1, short: 0 };
}

fn read(words: Words<'_>) -> Option<Receipt> {
    let (word, time) = (|index| words.word(index), |index| words.time(index));
    let byte = |at: u32| (word(0) >> at & 0xFF) as usize;
    let call = match byte(0) {
        1 => Call::Put,
        2 => Call::Reserve,
        3 => Call::Get,
        4 => Call::Borrow,
        _ => return None,
    };
    let is_put = matches!(call, Call::Put | Call::Reserve);
    let responded = time(RESPONDED);
    // What a take that did not return has written so far says nothing.
    let count = if is_put || responded.is_some() { (word(OUTCOME) >> 8) as usize } else { 0 };
    let deliveries = [DELIVERIES, DELIVERIES + 1].map(word).map(u64::to_le_bytes).concat();
    Some(Receipt {
        call,
        wanted: byte(8),
        short: byte(16),
        has_out: byte(24) == 1,
        min: byte(32),
        invoked: word(INVOKED),
        responded,
        outcome: match word(OUTCOME) & 0xFF {
            1 => Outcome::Done,
            2 => Outcome::Nothing,
            _ => Outcome::BrokenOff,
        },
        values: (0..count.min(MAX_BATCH)).map(|index| word(VALUES + index)).collect(),
        deliveries: deliveries[..count.min(MAX_BATCH)].to_vec(),
        end: match word(END) {
            1 => End::Commit,
            2 => End::Abort,
            3 => End::Release,
            _ => End::GiveBack,
        },
        end_invoked: time(END_INVOKED),
        end_responded: time(END_RESPONDED),
    })
}

fn call_code(call: Call) -> u64 {
    match call {
        Call::Put => 1,
        Call::Reserve => 2,
        Call::Get => 3,
        Call::Borrow => 4,
    }
}

fn outcome_code(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Done => 1,
        Outcome::Nothing => 2,
        Outcome::BrokenOff => 3,
    }
}

fn end_code(end: End) -> u64 {
    match end {
        End::Commit => 1,
        End::Abort => 2,
        End::Release => 3,
        End::GiveBack => 4,
    }
}

//! The log of one life: its receipts, in a file of its own in shared memory, so that they outlive it.
//!
//! | words | what |
//! |---|---|
//! | 0 | calls that have returned: who watches sees that the worker goes on |
//! | 1 | 1 once the worker has ended by itself as it should |
//! | 512.. | receipts, of 32 words each |
//! | after them | where `out=` of a worker in Python lies |
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
//!
//! L1. A killed process has done its stores in the order of its program, up to some point. So whoever reads after its death needs no
//!     more than that the compiler keeps that order, which the Release of each store and the fence make it do.
//! `worker.py` writes the same.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::history::{Call, End, MAX_BATCH, Outcome, Receipt};
use crate::items::Items;
use crate::system::{SharedWords, now_ns};

/// Receipts of a life; then it ends, and another one takes its place.
pub const RECEIPTS: usize = 8192;
const HEADER_WORDS: usize = 512;
const RECEIPT_WORDS: usize = 32;
const OUT_AT: usize = HEADER_WORDS + RECEIPTS * RECEIPT_WORDS;

/// One life's log.
#[derive(Debug)]
pub struct Log {
    shared: SharedWords,
    next: usize,
}

impl Log {
    /// Makes the file.
    pub fn create(path: &Path, items: &Items) -> io::Result<Self> {
        Ok(Self { shared: SharedWords::create(path, OUT_AT + items.out_words())?, next: 0 })
    }

    /// Opens one that is there, to read it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { shared: SharedWords::open(path)?, next: RECEIPTS })
    }

    /// Whether there is no room for another receipt.
    pub fn is_full(&self) -> bool {
        self.next == RECEIPTS
    }

    /// Calls that have returned.
    pub fn calls(&self) -> u64 {
        self.shared.words()[0].load(Ordering::Acquire)
    }

    /// Says that the worker ends by itself.
    pub fn leave(&self) {
        self.shared.words()[1].store(1, Ordering::Release);
    }

    /// Whether the worker has said so.
    pub fn has_left(&self) -> bool {
        self.shared.words()[1].load(Ordering::Acquire) == 1
    }

    /// Writes the first half of the next receipt.
    pub fn invoke(&mut self, call: Call, sizes: Sizes, values: &[u64]) {
        self.next += 1;
        let receipt = self.receipt(self.next - 1);
        for (word, value) in receipt[16..].iter().zip(values) {
            word.store(*value, Ordering::Release);
        }
        receipt[3].store((values.len() as u64) << 8, Ordering::Release);
        receipt[1].store(now_ns(), Ordering::Release);
        let Sizes { wanted, min, short } = sizes;
        let word = call_code(call) | (wanted as u64) << 8 | (short as u64) << 16 | (min as u64) << 32;
        receipt[0].store(word, Ordering::Release);
        // The call's first look is not older than its invocation.
        fence(Ordering::SeqCst);
    }

    /// Writes the second half: nothing came of it.
    pub fn came_to_nothing(&self, outcome: Outcome) {
        let receipt = self.receipt(self.next - 1);
        receipt[3].store(outcome_code(outcome), Ordering::Release);
        receipt[2].store(now_ns(), Ordering::Release);
        self.count();
    }

    /// Writes the second half: so many slots were reserved.
    pub fn reserved(&self, count: usize) {
        let receipt = self.receipt(self.next - 1);
        receipt[3].store(outcome_code(Outcome::Done) | (count as u64) << 8, Ordering::Release);
        receipt[2].store(now_ns(), Ordering::Release);
    }

    /// Writes the second half: these values were taken, by a call that returned `at` this time.
    pub fn took(&self, at: u64, taken: &[(u64, u32)]) {
        let receipt = self.receipt(self.next - 1);
        let mut deliveries = [0_u8; MAX_BATCH];
        for (index, (value, count)) in taken.iter().enumerate() {
            receipt[16 + index].store(*value, Ordering::Release);
            deliveries[index] = (*count).min(u32::from(u8::MAX)) as u8;
        }
        for (word, bytes) in receipt[8..].iter().zip(deliveries.chunks_exact(8)) {
            word.store(u64::from_le_bytes(bytes.try_into().expect("eight")), Ordering::Release);
        }
        receipt[3].store(outcome_code(Outcome::Done) | (taken.len() as u64) << 8, Ordering::Release);
        receipt[2].store(at, Ordering::Release);
    }

    /// Writes the first half of the second phase's end.
    pub fn invoke_end(&self, end: End) {
        let receipt = self.receipt(self.next - 1);
        receipt[6].store(end_code(end), Ordering::Release);
        receipt[4].store(now_ns(), Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Writes its second half.
    pub fn ended(&self) {
        self.receipt(self.next - 1)[5].store(now_ns(), Ordering::Release);
        self.count();
    }

    /// Whether the first call was begun.
    pub fn has_begun(&self) -> bool {
        self.receipt(0)[0].load(Ordering::Acquire) != 0
    }

    /// The call that was begun last.
    pub fn last(&self) -> Option<Receipt> {
        let index =
            (0..RECEIPTS).collect::<Vec<_>>().partition_point(|index| read(self.receipt(*index)).is_some());
        read(self.receipt(index.checked_sub(1)?))
    }

    /// The receipts that are there.
    pub fn receipts(&self) -> Vec<Receipt> {
        (0..RECEIPTS).map_while(|index| read(self.receipt(index))).collect()
    }

    /// The values in the memory that the last call was to fill.
    pub fn out(&self, items: &Items) -> Vec<Option<u64>> {
        let bytes: Vec<u8> = self.shared.words()[OUT_AT..]
            .iter()
            .flat_map(|word| word.load(Ordering::Acquire).to_le_bytes())
            .collect();
        items.read_out(&bytes)
    }

    fn count(&self) {
        let calls = &self.shared.words()[0];
        calls.store(calls.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    fn receipt(&self, index: usize) -> &[AtomicU64] {
        &self.shared.words()[HEADER_WORDS + index * RECEIPT_WORDS..][..RECEIPT_WORDS]
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

fn read(words: &[AtomicU64]) -> Option<Receipt> {
    let word = |index: usize| words[index].load(Ordering::Acquire);
    let time = |index: usize| Some(word(index)).filter(|time| *time > 0);
    let byte = |at: u32| (word(0) >> at & 0xFF) as usize;
    let call = match byte(0) {
        1 => Call::Put,
        2 => Call::Reserve,
        3 => Call::Get,
        4 => Call::Borrow,
        _ => return None,
    };
    let is_put = matches!(call, Call::Put | Call::Reserve);
    let responded = time(2);
    // What a take that did not return has written so far says nothing.
    let count = if is_put || responded.is_some() { (word(3) >> 8) as usize } else { 0 };
    let deliveries = [8, 9].map(word).map(u64::to_le_bytes).concat();
    Some(Receipt {
        call,
        wanted: byte(8),
        short: byte(16),
        has_out: byte(24) == 1,
        min: byte(32),
        invoked: word(1),
        responded,
        outcome: match word(3) & 0xFF {
            1 => Outcome::Done,
            2 => Outcome::Nothing,
            _ => Outcome::BrokenOff,
        },
        values: (0..count.min(MAX_BATCH)).map(|index| word(16 + index)).collect(),
        deliveries: deliveries[..count.min(MAX_BATCH)].to_vec(),
        end: match word(6) {
            1 => End::Commit,
            2 => End::Abort,
            3 => End::Release,
            _ => End::GiveBack,
        },
        end_invoked: time(4),
        end_responded: time(5),
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

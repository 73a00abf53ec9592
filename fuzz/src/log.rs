//! The log of one life: its receipts, in a file of its own in shared memory, so that they outlive it.
//!
//! | words | what |
//! |---|---|
//! | 0 | calls that have returned: who watches sees that the worker goes on |
//! | 1 | 1 once the worker has ended by itself as it should |
//! | 512.. | receipts, of 32 words each |
//! | after them | where more lies: where `out=` of a worker in Python is |
//!
//! Of a receipt's 32 words these are the same for all calls:
//!
//! | word | what | written |
//! |---|---|---|
//! | 0 | what call it is, and what it wants | last of the first half: 0 is no receipt |
//! | 1 | when invoked | before word 0 |
//! | 2 | when it responded | last of the second half: 0 is none |
//! | 3 | its outcome | before word 2 |
//! | 4 | when its end was invoked | after word 6 |
//! | 5 | when that responded | last |
//! | 6 | what end | before word 4 |
//!
//! L1. A killed process has done its stores in the order of its program, up to some point. So whoever reads after its death needs no
//!     more than that the compiler keeps that order, which the Release of each store and the fence make it do.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::system::{SharedWords, now_ns};

/// Receipts of a life; then it ends, and another one takes its place.
pub const RECEIPTS: usize = 8192;
const HEADER_WORDS: usize = 512;
const RECEIPT_WORDS: usize = 32;
const MORE_AT: usize = HEADER_WORDS + RECEIPTS * RECEIPT_WORDS;

const HEAD: usize = 0;
pub(crate) const INVOKED: usize = 1;
pub(crate) const RESPONDED: usize = 2;
pub(crate) const OUTCOME: usize = 3;
pub(crate) const END_INVOKED: usize = 4;
pub(crate) const END_RESPONDED: usize = 5;
pub(crate) const END: usize = 6;

/// One life's log.
#[derive(Debug)]
pub struct Log {
    shared: SharedWords,
    next: usize,
}

impl Log {
    /// Makes the file, with so many words after the receipts.
    pub fn create(path: &Path, more: usize) -> io::Result<Self> {
        Ok(Self { shared: SharedWords::create(path, MORE_AT + more)?, next: 0 })
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

    /// Whether the first call was begun.
    pub fn has_begun(&self) -> bool {
        self.receipt(0)[HEAD].load(Ordering::Acquire) != 0
    }

    /// Writes the first half of the next receipt: these words, then what call it is.
    pub(crate) fn begin(&mut self, head: u64, words: impl IntoIterator<Item = (usize, u64)>) {
        self.next += 1;
        self.write(words);
        self.receipt(self.next - 1)[INVOKED].store(now_ns(), Ordering::Release);
        self.receipt(self.next - 1)[HEAD].store(head, Ordering::Release);
        // The call's first look is not older than its invocation.
        fence(Ordering::SeqCst);
    }

    /// Writes the second half of a call that returned `at` this time.
    pub(crate) fn respond(&self, at: u64, words: impl IntoIterator<Item = (usize, u64)>) {
        self.write(words);
        self.receipt(self.next - 1)[RESPONDED].store(at, Ordering::Release);
    }

    /// Writes the first half of the second phase's end.
    pub(crate) fn begin_end(&self, end: u64) {
        self.write([(END, end)]);
        self.receipt(self.next - 1)[END_INVOKED].store(now_ns(), Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Writes its second half.
    pub(crate) fn respond_end(&self, words: impl IntoIterator<Item = (usize, u64)>) {
        self.write(words);
        self.receipt(self.next - 1)[END_RESPONDED].store(now_ns(), Ordering::Release);
        self.count();
    }

    /// A call has returned, with all that comes of it.
    pub(crate) fn count(&self) {
        let calls = &self.shared.words()[0];
        calls.store(calls.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// The receipts that are there, word by word.
    pub(crate) fn written(&self) -> impl Iterator<Item = Words<'_>> {
        let is_there = |receipt: &&[AtomicU64]| receipt[HEAD].load(Ordering::Acquire) != 0;
        (0..RECEIPTS).map(|index| self.receipt(index)).take_while(is_there).map(Words)
    }

    /// The receipt of the call that was begun last.
    pub(crate) fn last_written(&self) -> Option<Words<'_>> {
        let indices: Vec<_> = (0..RECEIPTS).collect();
        let is_there = |index: &usize| self.receipt(*index)[HEAD].load(Ordering::Acquire) != 0;
        Some(Words(self.receipt(indices.partition_point(is_there).checked_sub(1)?)))
    }

    /// What lies after the receipts.
    pub(crate) fn more(&self) -> &[AtomicU64] {
        &self.shared.words()[MORE_AT..]
    }

    fn write(&self, words: impl IntoIterator<Item = (usize, u64)>) {
        let receipt = self.receipt(self.next - 1);
        for (index, word) in words {
            receipt[index].store(word, Ordering::Release);
        }
    }

    fn receipt(&self, index: usize) -> &[AtomicU64] {
        &self.shared.words()[HEADER_WORDS + index * RECEIPT_WORDS..][..RECEIPT_WORDS]
    }
}

/// A receipt's words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'l>(&'l [AtomicU64]);

impl Words<'_> {
    pub(crate) fn word(self, index: usize) -> u64 {
        self.0[index].load(Ordering::Acquire)
    }

    pub(crate) fn head(self) -> u64 {
        self.word(HEAD)
    }

    /// A time, if it was written.
    pub(crate) fn time(self, index: usize) -> Option<u64> {
        Some(self.word(index)).filter(|time| *time > 0)
    }
}

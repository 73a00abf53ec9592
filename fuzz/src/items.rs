//! What the items look like. Each carries its value in every element of every leaf, so a torn or mixed one is seen by looking at it
//! alone. `worker.py` fills and reads the same.

use treequeues::{Schema, TopicWriteLoan, WriteBatch, WriteLoan};

use crate::history::MAX_BATCH;

/// By which a value is spread over 64 bits before a leaf of fewer takes the upper ones: Knuth's multiplicative hashing.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// A layout of items: how many elements the leaves have.
#[derive(Clone, Copy, Debug)]
pub struct Items {
    words: usize,
    halves: usize,
    bytes: usize,
}

/// From 8 bytes to 66 KB: leaves shorter than a cache line, and such that a kill mostly hits their copies.
pub const LAYOUTS: [Items; 4] = [
    Items { words: 1, halves: 0, bytes: 0 },
    Items { words: 5, halves: 33, bytes: 61 },
    Items { words: 512, halves: 256, bytes: 1000 },
    Items { words: 8192, halves: 64, bytes: 8 },
];

impl Items {
    /// The schema: a dict of up to three arrays.
    pub fn schema(self) -> Schema {
        let mut builder = Schema::builder().array::<u64>("words", [self.words]);
        if self.halves > 0 {
            builder = builder.nested("nested", |nested| {
                nested.array::<u32>("halves", [self.halves]).array::<u8>("bytes", [self.bytes])
            });
        }
        builder.build().expect("small and sound")
    }

    /// Elements of the leaves: for `worker.py`.
    pub fn lengths(self) -> [usize; 3] {
        [self.words, self.halves, self.bytes]
    }

    /// Words of room for `MAX_BATCH` items as leaves of so many rows, each leaf at a whole number of words.
    pub fn out_words(self) -> usize {
        self.leaf_nbytes().iter().map(|nbytes| (nbytes * MAX_BATCH).div_ceil(8)).sum()
    }

    /// The value of each row in such room, where the row is one item, whole.
    pub fn read_out(self, bytes: &[u8]) -> Vec<Option<u64>> {
        let [words, halves, tail] = self.leaf_nbytes();
        let halves_at = words * MAX_BATCH;
        let bytes_at = halves_at + (halves * MAX_BATCH).div_ceil(8) * 8;
        (0..MAX_BATCH)
            .map(|row| {
                value_of(
                    &bytes[row * words..][..words],
                    &bytes[halves_at + row * halves..][..halves],
                    &bytes[bytes_at + row * tail..][..tail],
                )
            })
            .collect()
    }

    fn leaf_nbytes(self) -> [usize; 3] {
        [self.words * 8, self.halves * 4, self.bytes]
    }

    fn has_tail(self) -> bool {
        self.halves > 0
    }

    /// Fills a slot.
    pub fn write(self, slot: &mut impl RowsMut, value: u64) {
        fill(slot.row_mut(0), value);
        if self.has_tail() {
            fill(slot.row_mut(1), half_of(value));
            fill(slot.row_mut(2), byte_of(value));
        }
    }

    /// Fills the slots of a batch with the first values.
    pub fn write_batch(self, batch: &mut WriteBatch<'_>, values: &[u64]) {
        for (item, value) in values.iter().enumerate().take(batch.len()) {
            self.write(&mut ItemMut { batch, item }, *value);
        }
    }

    /// The value of an item whose rows these are; `None` if it is torn or mixed.
    pub fn read<'r>(self, row: impl Fn(usize) -> &'r [u8]) -> Option<u64> {
        if self.has_tail() { value_of(row(0), row(1), row(2)) } else { value_of(row(0), &[], &[]) }
    }
}

/// Rows that are to be filled.
pub trait RowsMut {
    /// The row of a leaf.
    fn row_mut(&mut self, leaf: usize) -> &mut [u8];
}

impl RowsMut for WriteLoan<'_> {
    fn row_mut(&mut self, leaf: usize) -> &mut [u8] {
        self.leaf_bytes_mut(leaf)
    }
}

impl RowsMut for TopicWriteLoan<'_> {
    fn row_mut(&mut self, leaf: usize) -> &mut [u8] {
        self.leaf_bytes_mut(leaf)
    }
}

/// One item of a batch.
struct ItemMut<'b, 'q> {
    batch: &'b mut WriteBatch<'q>,
    item: usize,
}

impl RowsMut for ItemMut<'_, '_> {
    fn row_mut(&mut self, leaf: usize) -> &mut [u8] {
        self.batch.leaf_bytes_mut(self.item, leaf)
    }
}

fn half_of(value: u64) -> u32 {
    (value.wrapping_mul(SPREAD) >> 32) as u32
}

fn byte_of(value: u64) -> u8 {
    (value.wrapping_mul(SPREAD) >> 56) as u8
}

fn fill<T: IntoBytes>(row: &mut [u8], element: T) {
    let bytes = element.bytes();
    row.chunks_exact_mut(size_of::<T>()).for_each(|place| place.copy_from_slice(bytes.as_ref()));
}

fn value_of(words: &[u8], halves: &[u8], bytes: &[u8]) -> Option<u64> {
    let value = u64::from_le_bytes(words[..8].try_into().ok()?);
    let is_whole = words.chunks_exact(8).all(|word| word == value.to_le_bytes())
        && halves.chunks_exact(4).all(|half| half == half_of(value).to_le_bytes())
        && bytes.iter().all(|byte| *byte == byte_of(value));
    (is_whole && value != 0).then_some(value)
}

/// An element as it lies in memory.
trait IntoBytes {
    type Bytes: AsRef<[u8]>;
    fn bytes(self) -> Self::Bytes;
}

impl IntoBytes for u64 {
    type Bytes = [u8; 8];
    fn bytes(self) -> Self::Bytes {
        self.to_le_bytes()
    }
}

impl IntoBytes for u32 {
    type Bytes = [u8; 4];
    fn bytes(self) -> Self::Bytes {
        self.to_le_bytes()
    }
}

impl IntoBytes for u8 {
    type Bytes = [u8; 1];
    fn bytes(self) -> Self::Bytes {
        [self]
    }
}

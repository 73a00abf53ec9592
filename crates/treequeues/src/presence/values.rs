//! What is stored in an entry or a slot, as plain numbers.
//!
//! They come from the mapped memory by atomic loads, or from bytes that were read from the segment's file. The kernel copies
//! aligned words whole, so a number is never half of two.

use std::iter::Sum;
use std::mem::offset_of;

use crate::error::Shutdown;
use crate::format::{
    Blocks, COUNTERS, COUNTERS_OF_THREADS, Control, Entry, SHUTDOWN_NONE, ShutdownLine, ShutdownNotes, Slot,
};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// An entry of the table of participants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryValues {
    pub(crate) state: u64,
    pub(crate) pid: u32,
    pub(crate) attached_at_ns: u64,
    pub(crate) own: [u64; COUNTERS_OF_THREADS],
    pub(crate) counts: [u64; COUNTERS],
    pub(crate) counts_before: [u64; COUNTERS],
    pub(crate) blocks: BlockCounts,
}

/// A slot's state and metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotValues {
    pub(crate) state: u64,
    pub(crate) ticket: u64,
    pub(crate) put_time_ns: u64,
    pub(crate) producer_pid: u32,
    pub(crate) delivery_count: u32,
    pub(crate) held_since_ns: u64,
    pub(crate) give_backs: u32,
}

/// Blocks, of one place or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockCounts {
    pub(crate) came: u64,
    pub(crate) left: u64,
    pub(crate) died: u64,
}

impl BlockCounts {
    pub(crate) fn load(blocks: &Blocks) -> Self {
        // SeqCst, all three: Q3 of `queue::producers`, pairs with the changes of them. Two looks are in one order with all changes.
        Self {
            came: blocks.came.load(Ordering::SeqCst),
            left: blocks.left.load(Ordering::SeqCst),
            died: blocks.died.load(Ordering::SeqCst),
        }
    }

    /// Blocks that are there. What a damaged segment says may be anything.
    pub(crate) fn present(self) -> u64 {
        self.came.wrapping_sub(self.left).wrapping_sub(self.died)
    }
}

impl Sum for BlockCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, counts| Self {
            came: sum.came.wrapping_add(counts.came),
            left: sum.left.wrapping_add(counts.left),
            died: sum.died.wrapping_add(counts.died),
        })
    }
}

impl EntryValues {
    pub(crate) fn load(entry: &Entry) -> Self {
        Self {
            // Acquire: pairs with the claiming of the entry, which is behind what a dead tenant left.
            state: entry.state.load(Ordering::Acquire),
            pid: load_u32(&entry.pid),
            attached_at_ns: load(&entry.attached_at_ns),
            own: entry.own.each_ref().map(load),
            counts: entry.counts.each_ref().map(load),
            counts_before: entry.counts_before.each_ref().map(load),
            blocks: BlockCounts::load(&entry.blocks),
        }
    }

    /// From the bytes of one entry.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let counters = |first: usize| move |index: usize| u64_at(bytes, first + 8 * index);
        Self {
            state: u64_at(bytes, offset_of!(Entry, state)),
            pid: u32_at(bytes, offset_of!(Entry, pid)),
            attached_at_ns: u64_at(bytes, offset_of!(Entry, attached_at_ns)),
            own: std::array::from_fn(counters(offset_of!(Entry, own))),
            counts: std::array::from_fn(counters(offset_of!(Entry, counts))),
            counts_before: std::array::from_fn(counters(offset_of!(Entry, counts_before))),
            blocks: BlockCounts {
                came: u64_at(bytes, offset_of!(Entry, blocks) + offset_of!(Blocks, came)),
                left: u64_at(bytes, offset_of!(Entry, blocks) + offset_of!(Blocks, left)),
                died: u64_at(bytes, offset_of!(Entry, blocks) + offset_of!(Blocks, died)),
            },
        }
    }
}

impl SlotValues {
    pub(crate) fn load(slot: &Slot) -> Self {
        Self {
            // Acquire: pairs with the compare-and-swap that published the rest.
            state: slot.state.load(Ordering::Acquire),
            ticket: load(&slot.ticket),
            put_time_ns: load(&slot.put_time_ns),
            producer_pid: load_u32(&slot.producer_pid),
            delivery_count: load_u32(&slot.delivery_count),
            held_since_ns: load(&slot.held_since_ns),
            give_backs: load_u32(&slot.give_backs),
        }
    }

    /// From the bytes of one slot.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        Self {
            state: u64_at(bytes, offset_of!(Slot, state)),
            ticket: u64_at(bytes, offset_of!(Slot, ticket)),
            put_time_ns: u64_at(bytes, offset_of!(Slot, put_time_ns)),
            producer_pid: u32_at(bytes, offset_of!(Slot, producer_pid)),
            delivery_count: u32_at(bytes, offset_of!(Slot, delivery_count)),
            held_since_ns: u64_at(bytes, offset_of!(Slot, held_since_ns)),
            give_backs: u32_at(bytes, offset_of!(Slot, give_backs)),
        }
    }
}

/// The shutdown flag, and the notes of who set it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShutdownValues {
    pub(crate) flag: u32,
    first: u64,
    immediate: u64,
    producers: u64,
}

impl ShutdownValues {
    pub(crate) fn load(control: &Control) -> Self {
        Self {
            // Acquire: pairs with the setting of the flag, which is behind the notes.
            flag: control.shutdown.flag.load(Ordering::Acquire),
            first: load(&control.shutdown.notes.first),
            immediate: load(&control.shutdown.notes.immediate),
            producers: load(&control.shutdown.producers),
        }
    }

    /// From the bytes of the control part.
    pub(crate) fn parse(control: &[u8]) -> Self {
        let line = offset_of!(Control, shutdown);
        let notes = line + offset_of!(ShutdownLine, notes);
        let note = |which: usize| u64_at(control, notes + which);
        Self {
            flag: u32_at(control, line + offset_of!(ShutdownLine, flag)),
            first: note(offset_of!(ShutdownNotes, first)),
            immediate: note(offset_of!(ShutdownNotes, immediate)),
            producers: u64_at(control, line + offset_of!(ShutdownLine, producers)),
        }
    }

    /// The first shutdown, if there was any.
    pub(crate) fn first(self) -> Option<Shutdown> {
        let Self { flag, first, immediate, producers } = self;
        (flag != SHUTDOWN_NONE).then(|| Shutdown::first(flag, first, immediate, producers))
    }
}

fn load(number: &AtomicU64) -> u64 {
    // Relaxed: one more look among many.
    number.load(Ordering::Relaxed)
}

fn load_u32(number: &AtomicU32) -> u32 {
    // Relaxed: as above.
    number.load(Ordering::Relaxed)
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("8 bytes"))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("4 bytes"))
}

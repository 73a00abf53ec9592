//! Queues of one-byte items, for tests that look at whole queues.

use std::time::Duration;

use crate::{Dtype, LeafKind, LeafSpec, Queue, ReadBatch, Schema, Structure};

/// Far longer than anything takes that waits with it.
pub(super) const WATCHDOG: Duration = Duration::from_secs(20);

pub(super) fn schema() -> Schema {
    let leaf = LeafSpec::new(Dtype::from_name("uint8").expect("known"), vec![1], LeafKind::Array);
    Schema::new(Structure::leaf(), vec![leaf]).expect("one leaf")
}

pub(super) fn local(capacity: u64) -> Queue {
    Queue::create_local(schema(), capacity).expect("small")
}

pub(super) fn put(queue: &Queue, value: u8) {
    let mut loan = queue.try_reserve().expect("a free slot");
    loan.leaf_bytes_mut(0)[0] = value;
    loan.commit().expect("sound");
}

pub(super) fn get(queue: &Queue) -> Option<u8> {
    let loan = queue.try_borrow().ok()?;
    let value = loan.leaf_bytes(0)[0];
    loan.release().expect("sound");
    Some(value)
}

/// All that can be had now.
pub(super) fn drain(queue: &Queue) -> Vec<u8> {
    std::iter::from_fn(|| get(queue)).collect()
}

/// The batch's items.
pub(super) fn values(batch: &ReadBatch<'_>) -> Vec<u8> {
    batch.runs(0).flat_map(|(_, run)| run.iter().copied()).collect()
}

/// The batch's runs: where each begins within the batch, and how long it is.
pub(super) fn runs(batch: &ReadBatch<'_>) -> Vec<(usize, usize)> {
    batch.runs(0).map(|(first, run)| (first, run.len())).collect()
}

//! The blocks of producers that one queue object keeps open.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use treequeues::{Producing, ProducingError, Queue};

/// The open blocks of one queue object, by their number.
#[derive(Default)]
pub struct Blocks(Mutex<Numbered>);

#[derive(Default)]
struct Numbered {
    next: u64,
    open: BTreeMap<u64, Producing>,
}

impl Blocks {
    // Locked by who has the interpreter's lock, for as long as it takes to count: no fork copies it locked.
    fn lock(&self) -> MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    ///
    /// As `Queue::producing`.
    pub fn begin(&self, queue: &Queue) -> Result<u64, ProducingError> {
        let block = queue.producing()?;
        let mut blocks = self.lock();
        let number = blocks.next;
        blocks.next += 1;
        blocks.open.insert(number, block);
        Ok(number)
    }

    /// Nothing happens if it has ended.
    pub fn end(&self, number: u64) {
        let block = self.lock().open.remove(&number);
        drop(block);
    }

    /// Ends all of them.
    pub fn end_all(&self) {
        let open = std::mem::take(&mut self.lock().open);
        drop(open);
    }
}

//! A producer's block, and the end of a stream: what `producers` counts, as the threads of a process use it.

use std::sync::Arc;

use super::here::Attached;
use super::producers::all_have_left;
use crate::error::ProducingError;
use crate::sync::Ordering;

/// A producer's block: see [`Queue::producing`](crate::Queue::producing). It ends when this is dropped.
///
/// It keeps the process attached until then. In a forked child it is no block.
#[derive(Debug)]
#[must_use = "the block ends when this is dropped"]
pub struct Producing {
    attached: Arc<Attached>,
}

impl Producing {
    pub(crate) fn begin(attached: &Arc<Attached>) -> Result<Self, ProducingError> {
        if attached.segment().producers() == 0 {
            return Err(ProducingError::NotCounted);
        }
        // The last one may have died, or died before it looked whether it was the last one.
        attached.sweep_for_failing()?;
        attached.end_if_all_have_left();
        if attached.is_shut_down() {
            return Err(ProducingError::ShutDown(attached.first_shutdown()));
        }
        // SeqCst: `producers` Q3.
        attached.entry().blocks.came.fetch_add(1, Ordering::SeqCst);
        Ok(Self { attached: Arc::clone(attached) })
    }

    /// Ends the block, and the stream if it was the last one.
    pub fn end(self) {}
}

impl Drop for Producing {
    fn drop(&mut self) {
        if self.attached.is_this_process() {
            // SeqCst: `producers` Q3.
            self.attached.entry().blocks.left.fetch_add(1, Ordering::SeqCst);
            self.attached.end_if_all_have_left();
        }
    }
}

impl Attached {
    /// Whether deaths of producers may end the stream that somebody waits for.
    pub(crate) fn awaits_producers(&self) -> bool {
        self.segment().producers() != 0 && !self.is_shut_down()
    }

    /// Shuts the queue down for draining if all producers have come and left. Whether it did.
    pub(crate) fn end_if_all_have_left(&self) -> bool {
        if !self.awaits_producers() {
            return false;
        }
        let ended = all_have_left(self.segment().entries(), self.segment().producers());
        if let Some(all) = ended {
            self.shutdown_by_producers(all.came, all.died);
        }
        ended.is_some()
    }
}

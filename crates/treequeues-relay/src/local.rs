//! The named queue of this host: a relay waits for it, and never makes one.

use std::thread::JoinHandle;
use std::time::Duration;

use treequeues::{AttachError, Queue, SegmentId};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::say;

const PAUSE: Duration = Duration::from_millis(100);

/// Waits for a queue of this name, other than the one that was there last; `None` if the relay is to end before.
pub async fn next_queue(
    name: &str,
    last: Option<SegmentId>,
    ending: &Ending,
) -> Result<Option<Queue>, Failure> {
    let mut has_said = false;
    loop {
        match Queue::attach(name) {
            Ok(queue) if Some(queue.id()) != last => return Ok(Some(queue)),
            Ok(_) | Err(AttachError::NotFound { .. } | AttachError::Stale { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if !has_said {
            say(format_args!("waits for the queue {name:?}"));
            has_said = true;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = ending.over() => return Ok(None),
        }
    }
}

/// What the thread at the queue came to, once it has ended.
pub async fn outcome_of(thread: JoinHandle<Result<(), Failure>>) -> Result<(), Failure> {
    match tokio::task::spawn_blocking(move || thread.join()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) | Err(_) => Err(Failure::refused("the thread at the queue has panicked")),
    }
}

/// This host's name, unless another one was said.
pub fn host_name(said: Option<&str>) -> String {
    said.map_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned(), str::to_owned)
}

//! Looks at many things, whose outcome is kept for a while because they take long.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a look at many slots has found is kept for so many times as long as it took, and for `MIN_KEPT` at least: a quarter of a
/// percent of a processor.
pub(crate) const KEPT_FOR_LOOKS: u32 = 400;
const MIN_KEPT: Duration = Duration::from_millis(100);

/// For how long what a look has found that took so long is kept.
pub(crate) fn kept_for(took: Duration) -> Duration {
    MIN_KEPT.max(KEPT_FOR_LOOKS * took)
}

/// What a longer look of this process came to, and when the next one is due. Never shared with others.
#[derive(Debug)]
pub(crate) struct LongLook<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for LongLook<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> LongLook<T> {
    /// What the last look came to, or what this one does, if it is due.
    pub(crate) fn get<E>(&self, look: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        // Whoever panicked with it has left a whole result, or none.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((due, result)) = &*last
            && now < *due
        {
            return Ok(result.clone());
        }
        let result = look()?;
        let took = now.elapsed();
        *last = Some((now + took + kept_for(took), result.clone()));
        Ok(result)
    }
}

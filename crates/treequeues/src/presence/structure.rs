//! What presence knows of the structure that lies in a segment: how to make it, whom to wake, and what to do about the dead.

use std::fmt;

use crate::error::Corrupted;
use crate::format::word::Tenant;
use crate::format::{Entry, Kind};
use crate::memory::segment::Parts;

/// A structure that lies in a segment, as one process has it: over its mapping, with what the process remembers of it.
///
/// # Safety
/// 1. No reference to a part of the mapping is handed out for longer than the structure itself is borrowed: the mapping ends right after
///    the structure was dropped.
/// 2. Dropping it touches no part of the mapping.
pub(crate) unsafe trait Structure: fmt::Debug + Send + Sync + 'static {
    /// Which one it is.
    fn kind() -> Kind
    where
        Self: Sized;

    /// Over the parts of a mapping.
    fn over(parts: Parts<'static>) -> Self
    where
        Self: Sized;

    /// Returns what `dead` held, whose entry this is, slot by slot. Any number of participants may do this at once, and each may die
    /// half-way. `is_still_theirs` is asked before each change: the entry may have a new tenant. Returns how many slots it moved.
    fn recover(
        &self,
        dead: &Tenant,
        entry: &Entry,
        is_still_theirs: &dyn Fn() -> bool,
    ) -> Result<usize, Corrupted>;

    /// Wakes all who wait for anything.
    fn wake_everyone(&self);

    /// How many slots this participant holds.
    fn count_held(&self, by: &Tenant) -> usize;

    /// How many items would be lost with the segment; also those that are being read, if `and_borrowed`.
    fn count_items(&self, and_borrowed: bool) -> usize;
}

//! What may take long, and must not keep other threads from running Python code: claims of many slots, copies of many bytes, and
//! drops that unmap gigabytes.
//!
//! Python objects die wherever their last reference goes, with the interpreter's lock held. It is given up for such a drop,
//! as a method called `__del__` may do, too.

use std::ops::{Deref, DerefMut};

use pyo3::prelude::*;

/// From this many slots on, they are claimed without the interpreter's lock: some 100 us.
const DETACHED_SLOTS: usize = 2048;
/// From this many bytes on, items are copied without the interpreter's lock. Below, a copy takes less than the other threads
/// need to wake up, and whoever gives the lock up may have to wait for it for 5 ms.
const DETACHED_COPY_NBYTES: usize = 1 << 20;

/// Whether it takes long to claim so many slots, to end claims of them, or to look at them.
#[inline]
pub fn is_long(slots: usize) -> bool {
    slots >= DETACHED_SLOTS
}

/// Claims slots, ends claims of them, or looks at them, detached from the interpreter if that may take long.
#[inline]
pub fn claiming<T: Send>(py: Python<'_>, may_be_long: bool, claim: impl FnOnce() -> T + Send) -> T {
    if may_be_long { py.detach(claim) } else { claim() }
}

/// Copies, detached from the interpreter if that is worth it.
#[inline]
pub fn copying(py: Python<'_>, nbytes: usize, copy: impl FnOnce() + Send) {
    if nbytes >= DETACHED_COPY_NBYTES { py.detach(copy) } else { copy() }
}

/// What may be the last that keeps an attachment.
pub trait Leaves: Send {
    /// Whether its drop leaves the segment.
    fn leaves(&self) -> bool;
}

/// Dropped while other threads may run Python code, if that takes long.
pub struct DropDetached<T: Leaves>(Option<T>);

impl<T: Leaves> DropDetached<T> {
    pub fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Leaves> Deref for DropDetached<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_ref().expect("taken by the drop alone")
    }
}

impl<T: Leaves> DerefMut for DropDetached<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("taken by the drop alone")
    }
}

impl<T: Leaves> Drop for DropDetached<T> {
    fn drop(&mut self) {
        if self.0.as_ref().is_some_and(T::leaves) {
            let value = self.0.take();
            // At the interpreter's end nobody else runs, and it is dropped unseen.
            Python::try_attach(|py| py.detach(|| drop(value)));
        }
    }
}

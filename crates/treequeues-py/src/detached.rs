//! Values whose drop may take long: one that unmaps gigabytes must not keep other threads from running Python code.
//!
//! Python objects die wherever their last reference goes, with the interpreter's lock held. It is given up for such a drop,
//! as a method called `__del__` may do, too.

use std::ops::{Deref, DerefMut};

use pyo3::prelude::*;
use treequeues::{Hold, Queue};

/// What may be the last that keeps an attachment.
pub trait Leaves: Send {
    /// Whether its drop leaves the segment.
    fn leaves(&self) -> bool;
}

impl Leaves for Queue {
    fn leaves(&self) -> bool {
        self.is_last_here()
    }
}

impl Leaves for Hold {
    fn leaves(&self) -> bool {
        self.is_last_here()
    }
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

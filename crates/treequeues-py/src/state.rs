//! What an object that opens something is at: not initialized yet, open, or closed.
//!
//! Every call begins with a look at it, so it is behind no lock but the interpreter's own.
//!
//! S1. The module is declared to need the GIL, and its stable ABI is not that of free-threaded builds: who is attached to the
//!     interpreter is alone.
//! S2. Nothing in here runs Python code, so the cell is touched by one call at a time: what is taken out is dropped by the
//!     caller.

use std::cell::UnsafeCell;

use pyo3::PyClass;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

/// A cell that the GIL guards.
pub struct StateCell<T>(UnsafeCell<State<T>>);

/// What an object is at.
pub enum State<T> {
    /// `__new__` ran, `__init__` did not yet.
    Fresh,
    Open(Py<T>),
    Closed,
}

// SAFETY: S1: every method asks for proof that its caller is attached.
unsafe impl<T> Sync for StateCell<T> {}

impl<T: PyClass> StateCell<T> {
    pub fn fresh() -> Self {
        Self(UnsafeCell::new(State::Fresh))
    }

    /// A reference to the same.
    #[inline]
    pub fn get(&self, py: Python<'_>) -> State<T> {
        // SAFETY: S1 and S2.
        match unsafe { &*self.0.get() } {
            State::Fresh => State::Fresh,
            State::Open(opened) => State::Open(opened.clone_ref(py)),
            State::Closed => State::Closed,
        }
    }

    /// What the cyclic garbage collector asks.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: S1 and S2: a collection runs in a thread that is attached.
        match unsafe { &*self.0.get() } {
            State::Open(opened) => visit.call(opened),
            State::Fresh | State::Closed => Ok(()),
        }
    }

    /// Changes the state, and returns what it was.
    pub fn replace(&self, _: Python<'_>, state: State<T>) -> State<T> {
        // SAFETY: S1 and S2.
        let cell = unsafe { &mut *self.0.get() };
        std::mem::replace(cell, state)
    }
}

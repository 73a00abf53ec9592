//! Why a topic refused what a call of it asked for, as the exceptions that users of `multiprocessing.Queue` expect.

use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use treequeues::{PublishError, SubscribeError, Topic};

use crate::errors;
use crate::outcome;
use crate::shared::{closed, who_and_when};
use crate::waiting::Refusal;

impl Refusal for PublishError {
    #[inline]
    fn may_pass(&self) -> bool {
        matches!(self, PublishError::Full(_))
    }
}

impl Refusal for SubscribeError {
    #[inline]
    fn may_pass(&self) -> bool {
        matches!(self, SubscribeError::Empty)
    }
}

/// Why no slot was reserved; `interruption` is what ended the wait.
pub fn publish_error(
    py: Python<'_>,
    topic: &Topic,
    error: PublishError,
    interruption: Option<PyErr>,
) -> PyErr {
    match error {
        PublishError::Full(_) => errors::full_because(py, error.to_string()),
        PublishError::ShutDown(shutdown) => {
            errors::shut_down(py, format!("{}: nothing more can be put", who_and_when(py, topic, shutdown)))
        }
        PublishError::Kept => PyBufferError::new_err(error.to_string()),
        PublishError::Interrupted => interruption.unwrap_or_else(closed::<Topic>),
        PublishError::Corrupted(corrupted) => outcome::corrupted_error(corrupted),
        PublishError::Attach(error) => outcome::attach_error(error),
    }
}

/// Why no item was read; `interruption` is what ended the wait, and `ended` says what was closed if that did.
pub fn subscribe_error(
    py: Python<'_>,
    topic: &Topic,
    error: SubscribeError,
    interruption: Option<PyErr>,
    ended: impl FnOnce() -> PyErr,
) -> PyErr {
    match error {
        SubscribeError::Empty => errors::empty(py),
        SubscribeError::ShutDown(shutdown) => {
            let what = if shutdown.is_immediate() { "nothing can be read" } else { "no item is left" };
            errors::shut_down(py, format!("{}: {what}", who_and_when(py, topic, shutdown)))
        }
        SubscribeError::Interrupted => interruption.unwrap_or_else(ended),
        SubscribeError::Corrupted(corrupted) => outcome::corrupted_error(corrupted),
        SubscribeError::Attach(error) => outcome::attach_error(error),
    }
}

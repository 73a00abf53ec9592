//! Why something was not done, and the exit codes.

use std::io;

use treequeues::{ArrivalError, AttachError, BorrowError, Corrupted, ReserveError};
use treequeues_wire::Unsendable;

/// It ended as it was asked to, or with its stream.
pub const GOOD: u8 = 0;
/// It was refused, and waiting would not mend that.
pub const NOT_DONE: u8 = 1;
/// The command line was not understood.
pub const USAGE: u8 = 2;

/// Why a relay ends.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What it has to say, with the way out where there is one.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Borrow(#[from] BorrowError),
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    #[error(transparent)]
    Arrival(#[from] ArrivalError),
    #[error(transparent)]
    Corrupted(#[from] Corrupted),
    #[error(transparent)]
    Unsendable(#[from] Unsendable),
    #[error("{0}")]
    System(#[from] io::Error),
    #[error("a note cannot be written: {0}")]
    Note(#[from] serde_json::Error),
}

impl Failure {
    pub fn refused(what: impl Into<String>) -> Self {
        Self::Refused(what.into())
    }
}

//! Why something was not done, and the exit codes.

use std::io::{self, ErrorKind, Write};

use treequeues::{AttachError, BorrowError, CreateError, FolderError, ReserveError};

/// Done.
pub const GOOD: u8 = 0;
/// What was asked for is not there, or could not be done.
pub const NOT_DONE: u8 = 1;
/// The command line was not understood.
pub const USAGE: u8 = 2;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    #[error(transparent)]
    Borrow(#[from] BorrowError),
    /// What a command has to say, with the way out where there is one.
    #[error("{0}")]
    Refused(String),
    /// Standard output does not take what is written; a reader that has gone is no failure at all.
    #[error("could not write: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }

    /// What `action` could not do, as it would read after "could not".
    pub fn could_not(action: &str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Refused(format!("could not {action}: {error}"))
    }

    /// Writes what went wrong to standard error, and returns the exit code.
    pub fn exit_code_of(done: Result<(), Self>) -> u8 {
        match done {
            Ok(()) => GOOD,
            // `treequeues ls | head -1` has what it wanted.
            Err(Self::Output(error)) if error.kind() == ErrorKind::BrokenPipe => GOOD,
            Err(failure) => {
                // Nobody is left to tell where this cannot be written.
                let _ = writeln!(io::stderr(), "treequeues: {failure}");
                NOT_DONE
            }
        }
    }
}

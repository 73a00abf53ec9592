//! A relay's files beside the named queues: the lock that there is one of a kind for a queue, and what its successor must know.
//!
//! Their names have a `~`, so none of them is a queue's. A note is written to another file first, which then takes the name: whoever is
//! killed leaves the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Held while it lives.
#[derive(Debug)]
pub struct Desk {
    _lock: File,
    note: PathBuf,
    next: PathBuf,
}

impl Desk {
    /// `role`: `push` or `pull`.
    pub fn take(folder: &Path, name: &str, role: &str) -> Result<Self, Failure> {
        let path = |suffix: &str| folder.join(format!("{name}~{role}{suffix}"));
        let lock = options().read(true).open(path(""))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _lock: lock, note: path(".json"), next: path(".next") }),
            Err(Errno::WOULDBLOCK) => Err(Failure::refused(format!(
                "another relay on this host does `{role} {name}` already: one at a time"
            ))),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// What the last one left; `None` if there was none.
    pub fn note<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        match fs::read(&self.note) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                let path = self.note.display();
                Failure::refused(format!(
                    "{path}, the note of the relay before, cannot be read ({error}): remove it, and what was under way may come twice"
                ))
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn leave_note(&self, note: &impl Serialize) -> io::Result<()> {
        let mut next = options().truncate(true).open(&self.next)?;
        next.write_all(&serde_json::to_vec(note)?)?;
        fs::rename(&self.next, &self.note)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}

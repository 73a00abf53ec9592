//! Why the folder of named queues cannot be used.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::SystemReason;

/// Names another folder, for a machine where the usual one is too small, or closed.
pub(crate) const FOLDER_VARIABLE: &str = "TREEQUEUES_DIR";

/// The folder of named queues cannot be made, opened, read or trusted.
#[derive(Debug)]
pub struct FolderError {
    path: PathBuf,
    what: &'static str,
    why: Reason,
}

#[derive(Debug)]
enum Reason {
    System(Errno),
    /// What this library has against it.
    Unsafe(&'static str),
}

pub(crate) struct Problem<'e>(&'e FolderError);

impl FolderError {
    /// The system refuses `what`, as it would read after "the folder".
    pub(crate) fn system(path: &Path, what: &'static str, errno: Errno) -> Self {
        Self { path: path.to_owned(), what, why: Reason::System(errno) }
    }

    /// Another user could change what is in it.
    pub(crate) fn not_private(path: &Path, why: &'static str) -> Self {
        Self { path: path.to_owned(), what: "cannot be used", why: Reason::Unsafe(why) }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the system's reason; EACCES where this library refuses the folder itself.
    pub fn raw_os_error(&self) -> i32 {
        self.errno().raw_os_error()
    }

    pub(crate) fn errno(&self) -> Errno {
        match self.why {
            Reason::System(errno) => errno,
            Reason::Unsafe(_) => Errno::ACCESS,
        }
    }

    /// The problem alone, without the folder's path and the mend.
    pub(crate) fn problem(&self) -> Problem<'_> {
        Problem(self)
    }

    /// Whether it is this process that is at its limit, and not a matter of the folder.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        matches!(self.errno(), Errno::MFILE | Errno::NFILE)
    }
}

/// It reads after "the folder".
impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.why {
            Reason::System(errno) => write!(f, "{}: {}", self.0.what, SystemReason(&errno.into())),
            Reason::Unsafe(why) => write!(f, "{}: {why}", self.0.what),
        }
    }
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the folder of names, {}, {}", self.path.display(), self.problem())?;
        if self.is_out_of_descriptors() {
            Ok(())
        } else {
            write!(f, "; set {FOLDER_VARIABLE} to another folder")
        }
    }
}

impl std::error::Error for FolderError {}

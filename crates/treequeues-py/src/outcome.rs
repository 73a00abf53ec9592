//! The core's errors as exceptions: why something was not made, attached to or reached, and damage.

use std::io;

use pyo3::exceptions::{PyConnectionError, PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;
use rustix::io::Errno;
use treequeues::{AttachError, Corrupted, CreateError, OpenError};

use crate::errors;

/// Why a queue was not created.
pub fn create_error(error: CreateError) -> PyErr {
    match error {
        CreateError::Capacity { .. }
        | CreateError::TopicCapacity { .. }
        | CreateError::Participants { .. }
        | CreateError::Name(_)
        | CreateError::SchemaTooLong { .. }
        | CreateError::KeepWithoutName => PyValueError::new_err(error.to_string()),
        CreateError::Space { .. } => numbered(Errno::NOSPC, error.to_string()),
        CreateError::Exists { .. } => numbered(Errno::EXIST, error.to_string()),
        CreateError::Memory { .. } | CreateError::TooLarge { .. } => {
            PyMemoryError::new_err(error.to_string())
        }
        CreateError::System { ref source, .. } => numbered(errno_of(source), error.to_string()),
        CreateError::Folder(error) => attach_error(error.into()),
        CreateError::Attach(error) => attach_error(error),
    }
}

/// Why this process is no participant. All but a bad name are OSErrors, of the subclass that belongs to their number.
pub fn attach_error(error: AttachError) -> PyErr {
    let Some(errno) = errno(&error) else { return PyValueError::new_err(error.to_string()) };
    let is_corrupted = matches!(innermost(&error), AttachError::Corrupted(_));
    // A path that the message would begin with is what `filename` is for.
    let (message, path) = match error {
        AttachError::At { path, error } => (error.to_string(), Some(path)),
        error => {
            let path = match &error {
                AttachError::NotFound { name, folder } => Some(folder.join(name.as_str())),
                AttachError::Folder(error) => Some(error.path().to_owned()),
                AttachError::NotRemoved { path, .. } => Some(path.clone()),
                _ => None,
            };
            (error.to_string(), path)
        }
    };
    match (is_corrupted, path) {
        (true, path) => errors::corrupted_error(errno.raw_os_error(), message, path),
        (false, Some(path)) => PyOSError::new_err((errno.raw_os_error(), message, path.into_os_string())),
        (false, None) => numbered(errno, message),
    }
}

/// What stands in the place of the system's number for an error: the system's where it gave one, else the one whose meaning in
/// `errno` is nearest. `docs/reference/python.md` has the same table. None for what is no matter of the system.
fn errno(error: &AttachError) -> Option<Errno> {
    Some(match innermost(error) {
        AttachError::Name(_) => return None,
        AttachError::At { .. } => unreachable!("it has another one in it"),
        AttachError::NotFound { .. } => Errno::NOENT,
        AttachError::System { source, .. } => errno_of(source),
        AttachError::Folder(error) => Errno::from_raw_os_error(error.raw_os_error()),
        AttachError::Unusable { errno, .. } | AttachError::NotRemoved { errno, .. } => {
            Errno::from_raw_os_error(*errno)
        }
        AttachError::OtherUser { .. } => Errno::ACCESS,
        AttachError::Corrupted(_) => Errno::UCLEAN,
        AttachError::Foreign(_) | AttachError::OtherName { .. } => Errno::INVAL,
        AttachError::OtherVersion { .. } => Errno::PROTONOSUPPORT,
        AttachError::OtherKind { .. } => Errno::PROTOTYPE,
        AttachError::Stale { .. } | AttachError::OtherSegment => Errno::STALE,
        AttachError::ChangingHands { .. } => Errno::BUSY,
        AttachError::TableFull { .. } => Errno::USERS,
        AttachError::DescriptorsClosed => Errno::BADF,
        AttachError::Local => Errno::OPNOTSUPP,
    })
}

/// What is wrong with the file of a name, where it is that.
fn innermost(error: &AttachError) -> &AttachError {
    match error {
        AttachError::At { error, .. } => innermost(error),
        error => error,
    }
}

/// Why a named queue was neither attached to nor created.
pub fn open_error(error: OpenError) -> PyErr {
    match error {
        OpenError::Misfit { .. } => errors::schema_error(error.to_string()),
        OpenError::Attach(error) => attach_error(error),
        OpenError::Create(error) => create_error(error),
    }
}

/// Why a handle from process `pid` leads nowhere; nor does the name, if the queue or topic has one. It is called by `noun`, and attached to by
/// `class`.
pub fn unreachable((noun, class): (&str, &str), error: AttachError, pid: u32, name: Option<&str>) -> PyErr {
    let more = match &error {
        // This process's own trouble, whatever that one is.
        AttachError::System { source, .. } if is_out_of_descriptors(source) => return attach_error(error),
        AttachError::System { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            ". Nobody may look into a process that has changed its user (setuid) since it was started: such a process can \
             hand over one without a name, to a process that it starts, and a named one that it made after the change"
        }
        AttachError::System { .. }
        | AttachError::OtherSegment
        | AttachError::Foreign(_)
        | AttachError::Unusable { .. } => "",
        _ => return attach_error(error),
    };
    let errno = errno(&error).expect("only a bad name has none").raw_os_error();
    let message = match name {
        None => format!(
            "the {noun} that process {pid} pickled cannot be reached: {error}. That process must be alive, have the \
             {noun} open, and be of the same user and pid namespace; across these bounds give the {noun} a name \
             (`name=`){more}"
        ),
        Some(name) => format!(
            "the {noun} {name:?} that process {pid} pickled cannot be reached: {error}, and no {noun} that is found by this \
             name is that one. It is gone once no process has it open: let one keep it open until this one has attached, or \
             make it with keep=True. A {noun} that was made anew under the name is reached by \
             {class}.attach({name:?}){more}"
        ),
    };
    PyConnectionError::new_err((errno, message))
}

/// The segment holds what the protocol cannot have written.
pub fn corrupted_error(corrupted: Corrupted) -> PyErr {
    attach_error(corrupted.into())
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// The system's number for an error of its; where it had none, one that says as much.
fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(match error.kind() {
        io::ErrorKind::PermissionDenied => Errno::ACCESS,
        io::ErrorKind::OutOfMemory => Errno::NOMEM,
        // A file that is shorter than it was a moment ago, above all.
        _ => Errno::IO,
    })
}

/// An OSError of the subclass that has this number.
fn numbered(errno: Errno, message: String) -> PyErr {
    PyOSError::new_err((errno.raw_os_error(), message))
}

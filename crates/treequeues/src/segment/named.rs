//! Files with names, and the folder that they are in.
//!
//! | file system call | why |
//! |---|---|
//! | `O_TMPFILE`, then `linkat` | a file is whole before it can be found, and a crash before leaves nothing |
//! | `O_NOFOLLOW`, `O_NONBLOCK` | what stands there in a queue's place, a link or a pipe, is not followed or waited for |
//! | folder 0700, files 0600, owners checked | other users neither put files there nor open ours |
//!
//! Who may link and unlink, and when, is in `names`.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::available::{available_memory, is_out_of_descriptors};
use super::file::{no_look, reserve_pages};
use crate::error::{AttachError, CreateError};
use crate::fork::{Descriptor, FileIdentity};
use crate::layout::Layout;
use crate::name::QueueName;

/// Where the folders of all users are: the one place that every Linux has for files in memory.
const PARENT: &str = "/dev/shm";
/// Names another folder, for a machine where `PARENT` is too small, or closed.
const VARIABLE: &str = "TREEQUEUES_DIR";
/// Permissions that somebody else has.
const OTHERS: u32 = 0o077;

/// The folder of this user's named queues.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    fd: Descriptor,
}

/// Where a name stands: in the open folder, or at a path.
#[derive(Debug)]
pub(crate) struct Place<'d> {
    folder: BorrowedFd<'d>,
    path: PathBuf,
}

impl Directory {
    /// The folder, made if it is not there.
    pub(crate) fn make() -> io::Result<Self> {
        let path = Self::path_of_this_user();
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Self::open_at(path),
            Err(errno) => Err(refused(&path, "cannot be made", errno.kind(), &errno)),
        }
    }

    /// The folder; `None` if nobody has made it.
    pub(crate) fn open() -> io::Result<Option<Self>> {
        match Self::open_at(Self::path_of_this_user()) {
            Ok(directory) => Ok(Some(directory)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the folder is, or would be.
    pub(crate) fn path_of_this_user() -> PathBuf {
        match std::env::var_os(VARIABLE) {
            Some(path) if !path.is_empty() => path.into(),
            _ => Path::new(PARENT).join(format!("treequeues-{}", rustix::process::geteuid().as_raw())),
        }
    }

    fn open_at(path: PathBuf) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = Descriptor::open(|| Ok(rustix::fs::open(&path, flags, Mode::empty())?))
            .map_err(|error| cannot_be_opened(&path, error))?;
        check_folder(&path, &rustix::fs::fstat(&fd)?)?;
        Ok(Self { path, fd })
    }

    /// Where a name stands in the folder, for who takes it away.
    pub(crate) fn place_of(&self, name: &QueueName) -> Place<'_> {
        Place { folder: self.fd.as_fd(), path: PathBuf::from(name.as_str()) }
    }

    /// The same for who may have no descriptor left to open the folder with; `None` if nobody has made it.
    pub(crate) fn with_place_of<T>(
        name: &QueueName,
        then: impl FnOnce(&Place<'_>) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        match Self::open() {
            Ok(directory) => directory.map(|directory| then(&directory.place_of(name))).transpose(),
            Err(error) if is_out_of_descriptors(&error) => {
                let folder = Self::path_of_this_user();
                let stat = rustix::fs::lstat(&folder)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    return Err(cannot_be_opened(&folder, Errno::NOTDIR.into()));
                }
                check_folder(&folder, &stat)?;
                then(&Place { folder: CWD, path: folder.join(name.as_str()) }).map(Some)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn path_of(&self, name: &QueueName) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// The names that files have here, in order. Other names are none of ours.
    pub(crate) fn names(&self) -> io::Result<Vec<QueueName>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            if let Ok(name) = entry?.file_name().to_string_lossy().parse() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens the file of this name, if it is one that can be a queue: a regular file of this user alone.
    pub(crate) fn file(&self, name: &QueueName) -> Result<Option<Descriptor>, AttachError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        match Descriptor::open(|| Ok(rustix::fs::openat(&self.fd, name.as_str(), flags, Mode::empty())?)) {
            Ok(fd) => {
                check_private(&fd)?;
                Ok(Some(fd))
            }
            Err(source) => match Errno::from_io_error(&source) {
                Some(Errno::NOENT) => Ok(None),
                Some(Errno::LOOP) => Err(AttachError::Foreign("it is a symbolic link")),
                Some(Errno::ISDIR) => Err(AttachError::Foreign("it is a folder")),
                Some(Errno::NXIO) => Err(AttachError::Foreign("it is no regular file")),
                _ => Err(AttachError::System { action: "open the queue's file", source }),
            },
        }
    }

    /// Gives a file without a name this one; false if it is taken.
    pub(crate) fn link(&self, file: impl AsFd, name: &QueueName) -> io::Result<bool> {
        let file = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        match rustix::fs::linkat(CWD, file, &self.fd, name.as_str(), AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A file without a name, with every page reserved.
    pub(super) fn create(&self, layout: &Layout, item_nbytes: usize) -> Result<Descriptor, CreateError> {
        let total = layout.total_nbytes as u64;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let open = || Ok(rustix::fs::openat(&self.fd, ".", flags, Mode::RUSR | Mode::WUSR)?);
        let fd = Descriptor::open(open).map_err(|source| CreateError::System {
            action: "create a file in the folder of named queues",
            source,
        })?;
        let available = || {
            let (memory, limit) = available_memory().map_err(no_look)?;
            let free = rustix::fs::fstatvfs(&fd).map_or(u64::MAX, |fs| fs.f_bavail * fs.f_frsize);
            Ok(if free < memory { (free, "in its file system") } else { (memory, limit) })
        };
        let too_little = |available_bytes, limit| CreateError::Space {
            folder: self.path.clone(),
            needed_bytes: total,
            available_bytes,
            capacity: layout.capacity as u64,
            item_nbytes,
            limit,
        };
        let enough_for = |rest| {
            let (available, limit) = available()?;
            if available < rest { Err(too_little(available, limit)) } else { Ok(()) }
        };
        reserve_pages(&fd, total, enough_for, || match available() {
            Ok((available, _)) => too_little(available, "the system refused to reserve more"),
            Err(error) => error,
        })?;
        Ok(fd)
    }
}

impl Place<'_> {
    /// Which file the name leads to.
    pub(crate) fn identity(&self) -> io::Result<Option<FileIdentity>> {
        match rustix::fs::statat(self.folder, &self.path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileIdentity::from_stat(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes the name from whatever file has it.
    pub(crate) fn unlink(&self) -> io::Result<()> {
        match rustix::fs::unlinkat(self.folder, &self.path, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Refuses a folder that is not this user's alone.
fn check_folder(path: &Path, stat: &Stat) -> io::Result<()> {
    let why = if stat.st_uid != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if stat.st_mode & OTHERS != 0 {
        "its permissions let other users in (it must be 0700)"
    } else {
        return Ok(());
    };
    Err(refused(path, "cannot be used", io::ErrorKind::PermissionDenied, &why))
}

/// Refuses what is no regular file of this user alone.
pub(super) fn check_private(fd: impl AsFd) -> Result<(), AttachError> {
    let stat = rustix::fs::fstat(fd)
        .map_err(|errno| AttachError::System { action: "stat the queue's file", source: errno.into() })?;
    Err(AttachError::Foreign(if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        "it is no regular file"
    } else if stat.st_uid != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if stat.st_mode & OTHERS != 0 {
        "its permissions let other users in"
    } else {
        return Ok(());
    }))
}

/// Whether the file behind a descriptor still has a name.
pub(crate) fn has_name(fd: impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_nlink > 0)
}

fn cannot_be_opened(path: &Path, error: io::Error) -> io::Error {
    // That is no matter of the folder.
    if is_out_of_descriptors(&error) {
        error
    } else {
        refused(path, "cannot be opened", error.kind(), &error)
    }
}

/// An error about the folder itself, with the way out. What the system said keeps its kind.
fn refused(path: &Path, what: &str, kind: io::ErrorKind, why: &dyn fmt::Display) -> io::Error {
    let path = path.display();
    io::Error::new(
        kind,
        format!("the folder of named queues, {path}, {what}: {why}; {VARIABLE} names another one"),
    )
}

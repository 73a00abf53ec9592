//! Files with names, and the folder that they are in.
//!
//! | file system call | why |
//! |---|---|
//! | `O_TMPFILE`, then `linkat` | a file is whole before it can be found, and a crash before leaves nothing |
//! | `O_NOFOLLOW`, `O_NONBLOCK` | what stands there in a queue's place, a link or a pipe, is not followed or waited for |
//! | folder 0700, files 0600, owners checked | other users neither put files there nor open ours |
//!
//! Who may link and unlink, and when, is in `names`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::available::available_memory;
use super::file::{no_look, reserve_pages};
use crate::error::{AttachError, CreateError, FOLDER_VARIABLE, FolderError, SystemReason};
use crate::format::layout::Layout;
use crate::format::name::QueueName;
use crate::memory::fork::{Descriptor, FileIdentity};

/// Where the folders of all users are: the one place that every Linux has for files in memory.
const PARENT: &str = "/dev/shm";
/// Permissions that somebody else has.
const OTHERS: u32 = 0o077;

/// The folder of this user's named queues.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    fd: Descriptor,
}

/// Why a name could not be looked at, or taken away, where it should stand.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("its folder {}", .0.problem())]
    Folder(#[from] FolderError),
    #[error("{}", SystemReason(&io::Error::from(*.0)))]
    File(Errno),
}

impl NoPlace {
    pub(crate) fn errno(&self) -> Errno {
        match self {
            Self::Folder(error) => error.errno(),
            Self::File(errno) => *errno,
        }
    }
}

/// Where a name stands: in the open folder, or at a path.
#[derive(Debug)]
pub(crate) struct Place<'d> {
    folder: BorrowedFd<'d>,
    path: PathBuf,
}

impl Directory {
    /// The folder, made if it is not there.
    pub(crate) fn make() -> Result<Self, FolderError> {
        let path = Self::absolute(Self::path_of_this_user())?;
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) => {
                // Whatever the process's umask takes away from new folders, this one is of no use without.
                rustix::fs::chmod(&path, Mode::RWXU)
                    .map_err(|errno| FolderError::system(&path, "cannot be made", errno))?;
                Self::open_at(path)
            }
            Err(Errno::EXIST) => Self::open_at(path),
            Err(errno) => Err(FolderError::system(&path, "cannot be made", errno)),
        }
    }

    /// The folder; `None` if nobody has made it.
    pub(crate) fn open() -> Result<Option<Self>, FolderError> {
        Self::open_if_there(Self::path_of_this_user())
    }

    /// The same of any folder.
    pub(crate) fn open_if_there(path: PathBuf) -> Result<Option<Self>, FolderError> {
        match Self::open_at(Self::absolute(path)?) {
            Ok(directory) => Ok(Some(directory)),
            Err(error) if error.errno() == Errno::NOENT => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the folder is, or would be.
    pub(crate) fn path_of_this_user() -> PathBuf {
        let path = match std::env::var_os(FOLDER_VARIABLE) {
            Some(path) if !path.is_empty() => PathBuf::from(path),
            _ => Path::new(PARENT).join(format!("treequeues-{}", rustix::process::geteuid().as_raw())),
        };
        std::path::absolute(&path).unwrap_or(path)
    }

    /// A relative path means what it does at this moment; what is made of it here is kept, and named by errors.
    fn absolute(path: PathBuf) -> Result<PathBuf, FolderError> {
        std::path::absolute(&path).map_err(|error| {
            FolderError::system(
                &path,
                "cannot be found from the working directory",
                Errno::from_io_error(&error).unwrap_or(Errno::NOENT),
            )
        })
    }

    fn open_at(path: PathBuf) -> Result<Self, FolderError> {
        Self::open_as(path, rustix::process::geteuid().as_raw())
    }

    /// The folder of `owner`.
    fn open_as(path: PathBuf, owner: u32) -> Result<Self, FolderError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let system = |errno| FolderError::system(&path, "cannot be opened", errno);
        let fd = Descriptor::open(|| Ok(rustix::fs::open(&path, flags, Mode::empty())?))
            .map_err(|error| system(errno_of(&error)))?;
        check_folder(&path, &rustix::fs::fstat(&fd).map_err(system)?, owner)?;
        Ok(Self { path, fd })
    }

    /// Where a name stands in the folder, for who takes it away.
    pub(crate) fn place_of(&self, name: &QueueName) -> Place<'_> {
        Place { folder: self.fd.as_fd(), path: PathBuf::from(name.as_str()) }
    }

    /// The same for who leaves a queue whose file is `owner`'s, wherever its folder is by now, and may have no descriptor left
    /// to open it with.
    pub(crate) fn with_place_in<T>(
        path: PathBuf,
        owner: u32,
        name: &QueueName,
        then: impl FnOnce(&Place<'_>) -> Result<T, Errno>,
    ) -> Result<T, NoPlace> {
        match Self::open_as(path.clone(), owner) {
            Ok(directory) => then(&directory.place_of(name)).map_err(NoPlace::File),
            Err(error) if error.is_out_of_descriptors() => {
                let system = |errno| FolderError::system(&path, "cannot be opened", errno);
                let stat = rustix::fs::lstat(&path).map_err(system)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    return Err(system(Errno::NOTDIR).into());
                }
                check_folder(&path, &stat, owner)?;
                then(&Place { folder: CWD, path: path.join(name.as_str()) }).map_err(NoPlace::File)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path_of(&self, name: &QueueName) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// The names that files have here, in order. Other names are none of ours.
    pub(crate) fn names(&self) -> Result<Vec<QueueName>, FolderError> {
        let system = |errno| FolderError::system(&self.path, "cannot be read", errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(system)? {
            if let Ok(name) = entry.map_err(system)?.file_name().to_string_lossy().parse() {
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
            Err(source) => match errno_of(&source) {
                Errno::NOENT => Ok(None),
                errno @ Errno::LOOP => Err(unusable("it is a symbolic link", errno)),
                errno @ Errno::ISDIR => Err(unusable("it is a folder", errno)),
                errno @ Errno::NXIO => Err(unusable("it is no regular file", errno)),
                _ => Err(AttachError::System { action: "open its file", source }),
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
        let system = |errno| FolderError::system(&self.path, "takes no new file", errno);
        let fd = Descriptor::open(|| Ok(rustix::fs::openat(&self.fd, ".", flags, Mode::RUSR | Mode::WUSR)?))
            .map_err(|error| system(errno_of(&error)))?;
        // Whatever the process's umask takes away from new files: others are to attach.
        rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR).map_err(system)?;
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
    pub(crate) fn identity(&self) -> Result<Option<FileIdentity>, Errno> {
        match rustix::fs::statat(self.folder, &self.path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileIdentity::from_stat(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Takes the name from whatever file has it.
    pub(crate) fn unlink(&self) -> Result<(), Errno> {
        match rustix::fs::unlinkat(self.folder, &self.path, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// Refuses a folder that is not `owner`'s alone.
fn check_folder(path: &Path, stat: &Stat, owner: u32) -> Result<(), FolderError> {
    Err(FolderError::not_private(
        path,
        if stat.st_uid != owner {
            "it belongs to another user"
        } else if stat.st_mode & OTHERS != 0 {
            "its permissions let other users in (it must be 0700)"
        } else {
            return Ok(());
        },
    ))
}

/// Refuses what is no regular file of this user alone.
pub(super) fn check_private(fd: impl AsFd) -> Result<(), AttachError> {
    let stat = rustix::fs::fstat(fd)
        .map_err(|errno| AttachError::System { action: "stat its file", source: errno.into() })?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    Err(if kind != FileType::RegularFile {
        unusable("it is no regular file", Errno::INVAL)
    } else if stat.st_uid != rustix::process::geteuid().as_raw() {
        unusable("it belongs to another user", Errno::ACCESS)
    } else if stat.st_mode & OTHERS != 0 {
        unusable("its permissions let other users in", Errno::ACCESS)
    } else {
        return Ok(());
    })
}

fn unusable(why: &'static str, errno: Errno) -> AttachError {
    AttachError::Unusable { why, errno: errno.raw_os_error() }
}

/// The folder that a file is in, as the system knows it now: right also after the folder was moved, or for a descriptor that
/// came from another process. `None` where the system does not say.
pub(super) fn folder_of(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    let folder = path.parent().filter(|folder| folder.is_absolute())?;
    Some(folder.to_owned())
}

/// Whether the file behind a descriptor still has a name.
pub(crate) fn has_name(fd: impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_nlink > 0)
}

/// The system's number of an error that it gave.
fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

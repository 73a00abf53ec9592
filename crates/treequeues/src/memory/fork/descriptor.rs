//! Descriptors that are told from whatever has their numbers later.
//!
//! A process may close descriptors that it did not open: daemons close all of them, and the next files that they open get
//! the numbers. Nothing says so, so a number is looked at before anything is done with it, and most of all before it is
//! closed.
//!
//! D1. A number is a descriptor's as long as it leads to the same opening of the same file. The file alone says too little:
//!     who attaches again opens the same file, and may get the same number. So every opening has a mark of its own, which is
//!     its position in the file. Nobody else uses that: what is read, is read at an offset.
//! D2. A descriptor that children must not have is in the table until it is closed. The handler closes it in the child,
//!     where it belongs to nobody from then on.
//! D3. A lock lives as long as the opening that it was taken through, and a mapping keeps the opening that it was made
//!     through. So a segment is mapped through the descriptor that has its process's locks: they go when the process
//!     unlocks, ends, or unmaps the segment, and not when somebody closes the descriptor. (Not where a file system maps
//!     another file than was opened, as overlayfs does; there the locks go with the descriptor.)

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::{Key, NoFork, generation, hold_off};
use crate::sync::Ordering;
use crate::sync::local::{AtomicBool, AtomicU64};

/// The first mark: a position that no file has by being read, within the 16 TiB that file systems allow today.
const FIRST_POSITION: u64 = 1 << 43;

static OPENINGS: AtomicU64 = AtomicU64::new(0);

/// Which file a descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub(crate) fn of(fd: impl AsFd) -> Result<Self, Errno> {
        Ok(Self::from_stat(&rustix::fs::fstat(fd)?))
    }

    pub(crate) fn from_stat(stat: &rustix::fs::Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// A number, and what it has to lead to (D1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    number: RawFd,
    file: FileIdentity,
    /// `None` where the system gave none: what cannot be sought in is no segment, and is closed soon.
    position: Option<u64>,
}

impl Mark {
    fn set(fd: &OwnedFd) -> io::Result<Self> {
        let file = FileIdentity::of(fd)?;
        // Relaxed: only the number counts.
        let position = FIRST_POSITION + OPENINGS.fetch_add(1, Ordering::Relaxed);
        let position = rustix::fs::seek(fd, SeekFrom::Start(position)).ok();
        Ok(Self { number: fd.as_raw_fd(), file, position })
    }

    /// The descriptor, if it is still there. Allocation-free, and safe to call between fork and the child's first own step.
    pub(super) fn checked(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the number may have been closed, or be another file's: it is only asked which one it is.
        let fd = unsafe { BorrowedFd::borrow_raw(self.number) };
        let is_there = FileIdentity::of(fd) == Ok(self.file)
            && (self.position.is_none() || rustix::fs::seek(fd, SeekFrom::Current(0)).ok() == self.position);
        is_there.then_some(fd)
    }

    /// Closes the descriptor if it is still there; as safe as `checked`.
    pub(super) fn close_if_there(&self) {
        if self.checked().is_some() {
            // SAFETY: D1: it is the opening that `Descriptor::open` made, and its owner's last deed with it.
            unsafe { libc::close(self.number) };
        }
    }
}

/// One opening of a segment's file. Closed when dropped, if it is still there, and is this process's.
#[derive(Debug)]
pub(crate) struct Descriptor {
    mark: Mark,
    key: Key,
    /// The generation of the process whose it is, while children do not have it; changed while forks are held off, as
    /// `is_inherited` is.
    made_in: AtomicU64,
    /// Whether children have it too.
    is_inherited: AtomicBool,
}

impl Descriptor {
    /// Opens a file so that no child of a fork has it (D2), until `leave_to_children`.
    pub(crate) fn open(open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<Self> {
        let mut no_fork = hold_off();
        let fd = open()?;
        let mark = Mark::set(&fd)?;
        let key = no_fork.0.new_key();
        no_fork.0.descriptors.push((key, mark));
        // From here on it is closed by `drop`.
        let _ = fd.into_raw_fd();
        Ok(Self { mark, key, made_in: AtomicU64::new(generation()), is_inherited: AtomicBool::new(false) })
    }

    /// Its number, whatever that leads to by now.
    pub(crate) fn number(&self) -> RawFd {
        self.mark.number
    }

    /// Which file it leads to.
    pub(crate) fn identity(&self) -> FileIdentity {
        self.mark.file
    }

    /// Whether the number still leads where it should (D1), and is this process's (D2).
    pub(crate) fn is_there(&self) -> bool {
        self.is_this_process() && self.mark.checked().is_some()
    }

    /// From now on children have it, and are to close it.
    pub(crate) fn leave_to_children(&self, no_fork: &mut NoFork) {
        // Relaxed, and below: the table's lock orders it.
        self.is_inherited.store(true, Ordering::Relaxed);
        no_fork.0.descriptors.retain(|(key, _)| *key != self.key);
    }

    /// From now on children do not have it any more.
    pub(crate) fn take_from_children(&self, no_fork: &mut NoFork) {
        if self.is_inherited.swap(false, Ordering::Relaxed) {
            self.made_in.store(generation(), Ordering::Relaxed);
            no_fork.0.descriptors.push((self.key, self.mark));
        }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    fn is_this_process(&self) -> bool {
        self.made_in.load(Ordering::Relaxed) == generation() || self.is_inherited.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn replace_by(&self, file: &std::fs::File) {
        // SAFETY: both descriptors are open; what was behind the number is closed, which is the point of the test.
        let replaced = unsafe { libc::dup2(file.as_raw_fd(), self.mark.number) };
        assert_eq!(replaced, self.mark.number);
    }
}

impl AsFd for Descriptor {
    /// Its number as a descriptor. Who has not opened it just now looks first whether it `is_there`.
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the number is a descriptor of this process until it is dropped, unless somebody closed it; then the system
        // refuses it, or it is a file that is open.
        unsafe { BorrowedFd::borrow_raw(self.mark.number) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if !self.is_this_process() {
            return;
        }
        self.take_from_children(&mut hold_off());
        // Without the lock: the last one that closes a file frees its memory, which takes time (K5). A child that is forked
        // meanwhile closes it too, or finds that it is gone.
        self.mark.close_if_there();
        hold_off().0.descriptors.retain(|(key, _)| *key != self.key);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::fs::File;

    fn opened() -> (tempfile::NamedTempFile, Descriptor) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let descriptor = Descriptor::open(|| Ok(File::open(file.path())?.into())).expect("it can be opened");
        (file, descriptor)
    }

    fn leads_to(number: RawFd) -> Option<std::path::PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{number}")).ok()
    }

    #[test]
    fn descriptor_is_closed_when_it_is_dropped() {
        let (file, descriptor) = opened();
        let number = descriptor.number();
        assert!(descriptor.is_there());
        assert_eq!(leads_to(number).as_deref(), Some(file.path()));
        drop(descriptor);
        assert_ne!(leads_to(number).as_deref(), Some(file.path()));
    }

    #[test]
    fn another_file_at_its_number_is_left_open() {
        let (_file, descriptor) = opened();
        let number = descriptor.number();
        descriptor.replace_by(&File::open("/dev/null").expect("there"));
        assert!(!descriptor.is_there());
        drop(descriptor);
        assert_eq!(leads_to(number).as_deref(), Some("/dev/null".as_ref()));
        // SAFETY: what this test put there.
        unsafe { libc::close(number) };
    }

    #[test]
    fn another_opening_of_the_same_file_at_its_number_is_left_open() {
        let (file, descriptor) = opened();
        let number = descriptor.number();
        descriptor.replace_by(file.as_file());
        assert!(!descriptor.is_there());
        drop(descriptor);
        assert_eq!(leads_to(number).as_deref(), Some(file.path()));
        // SAFETY: what this test put there.
        unsafe { libc::close(number) };
    }
}

//! The mapping of a segment's file: no child of a fork has it as it is.
//!
//! N1. A fresh mapping is left out of forks (`MADV_DONTFORK`), as is one that is about to be unmapped: a child would have it
//!     for ever, since the thread that knows of it is not there. In between it is in the table, and children get a private
//!     one in its place (K2).
//! N2. It is left out of core dumps: a crashed process would take long to die, and hold what it holds as long, to write out
//!     what others have, too. `TREEQUEUES_DUMP=1` keeps it in, for who looks for a fault in a queue itself.

use std::env;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::descriptor::{Descriptor, Mark};
use super::{Key, NoFork, hold_off};

/// Keeps mappings in core dumps (N2).
const DUMP_VARIABLE: &str = "TREEQUEUES_DUMP";
/// Unmapped at a time: while pages are unmapped, no other thread of the process gets or returns memory.
const UNMAPPED_NBYTES: usize = 64 << 20;

/// What this process may do with the bytes of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    /// A write is this process's SIGSEGV, and changes nobody's data.
    ReadOnly,
}

impl Access {
    fn protection(self) -> ProtFlags {
        match self {
            Self::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
            Self::ReadOnly => ProtFlags::READ,
        }
    }
}

/// A shared mapping of a whole file, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    nbytes: usize,
    access: Access,
    is_dumped: bool,
    /// Of its entry in the table, while children get a private mapping in its place.
    key: Option<Key>,
}

// SAFETY: an address and numbers; what they name belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file. Children of a fork do not have the mapping, until `leave_to_children` (N1).
    pub(crate) fn new(file: BorrowedFd<'_>, nbytes: usize, access: Access) -> Result<Self, Errno> {
        let is_dumped = env::var_os(DUMP_VARIABLE).is_some_and(|value| !value.is_empty() && value != "0");
        let no_fork = hold_off();
        let (anywhere, shared) = (std::ptr::null_mut(), MapFlags::SHARED);
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe { rustix::mm::mmap(anywhere, nbytes, access.protection(), shared, file, 0)? };
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        let mapping = Self { base, nbytes, access, is_dumped, key: None };
        mapping.advise(Advice::LinuxDontFork);
        drop(no_fork);
        if !is_dumped {
            mapping.advise(Advice::LinuxDontDump);
        }
        Ok(mapping)
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Makes its page tables, where the kernel can do that (from Linux 5.14 on); else each page is mapped at its first use.
    pub(crate) fn populate(&self) {
        self.advise(match self.access {
            Access::ReadWrite => Advice::LinuxPopulateWrite,
            Access::ReadOnly => Advice::LinuxPopulateRead,
        });
    }

    /// From now on children have a private mapping of `file` in its place, which is the file that is mapped here.
    pub(crate) fn leave_to_children(&mut self, no_fork: &mut NoFork, file: &Descriptor) {
        let key = no_fork.0.new_key();
        let Self { base, nbytes, access, is_dumped, .. } = *self;
        let range = Range { base, nbytes, access, file: file.mark(), is_dumped, is_private: false };
        no_fork.0.ranges.push((key, range));
        self.key = Some(key);
        self.advise(Advice::LinuxDoFork);
    }

    /// From now on children have nothing in its place any more.
    pub(crate) fn take_from_children(&mut self, no_fork: &mut NoFork) {
        if let Some(key) = self.key.take() {
            self.advise(Advice::LinuxDontFork);
            no_fork.0.ranges.retain(|(other, _)| *other != key);
        }
    }

    /// What cannot be had is not missed: a core dump is larger then, a child has a mapping that it does not use.
    fn advise(&self, advice: Advice) {
        // SAFETY: the range is this mapping, and none of the advice given here changes its contents.
        let _ = unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.nbytes, advice) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.key.is_some() {
            self.take_from_children(&mut hold_off());
        }
        // From the end on, so that what is left is one mapping all the time.
        let mut left = self.nbytes;
        while left > 0 {
            let start = (left - 1) / UNMAPPED_NBYTES * UNMAPPED_NBYTES;
            let rest = self.base.as_ptr().wrapping_add(start).cast();
            // SAFETY: the rest of this mapping from `start` on, which nobody uses any more.
            let unmapped = unsafe { rustix::mm::munmap(rest, left - start) };
            debug_assert!(unmapped.is_ok());
            left = start;
        }
    }
}

/// A mapping in the table, as the handler in a child needs to know it.
pub(super) struct Range {
    base: NonNull<u8>,
    nbytes: usize,
    access: Access,
    file: Mark,
    is_dumped: bool,
    /// Set in a child. Private mappings stay so through further forks.
    is_private: bool,
}

// SAFETY: as for `Mapping`.
unsafe impl Send for Range {}

impl Range {
    /// Replaces the shared mapping by a private one, in a forked child: of the same file, or of nothing, if its descriptor
    /// was closed.
    ///
    /// What the child's inherited views read afterwards may be anything; what it writes never reaches the segment.
    /// Allocation-free, and safe to call between fork and the child's first own step.
    pub(super) fn make_private(&mut self) {
        if self.is_private {
            return;
        }
        self.is_private = true;
        let file = self.file.checked();
        if self.map_over(file, self.access.protection()).is_err() {
            // Too many mappings, or more than may be written to. It must go all the same, since it is shared, and keeps the
            // parent's locks (`descriptor` D3): rather a fault at the first write than a write into the parent's slots.
            // SAFETY: the child has one thread, and nothing is mapped in between.
            let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.nbytes) };
            let replaced =
                self.map_over(file, ProtFlags::READ).or_else(|_| self.map_over(None, ProtFlags::READ));
            assert!(replaced.is_ok(), "an inherited segment cannot be replaced by a private mapping");
        }
        if !self.is_dumped {
            // SAFETY: the range is the mapping just made, and its contents stay.
            let _ =
                unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.nbytes, Advice::LinuxDontDump) };
        }
    }

    fn map_over(&self, file: Option<BorrowedFd<'_>>, protection: ProtFlags) -> Result<(), Errno> {
        let base = self.base.as_ptr().cast();
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        match file {
            // SAFETY: the table has the ranges of mappings alone, which leave it before they are unmapped. So what is
            // replaced is ours.
            Some(file) => unsafe { rustix::mm::mmap(base, self.nbytes, protection, flags, file, 0) },
            // SAFETY: as above.
            None => unsafe { rustix::mm::mmap_anonymous(base, self.nbytes, protection, flags) },
        }
        .map(drop)
    }
}

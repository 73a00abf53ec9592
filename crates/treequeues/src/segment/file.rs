//! Segments in files: reserving their pages, reading their headers, mapping them.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::error::{AttachError, CreateError};
use crate::format::Header;

/// Bytes reserved between two looks at what is available. An unlimited memory file meets the kernel's out-of-memory
/// killer before it meets an error, so a reservation that others race against must notice in time.
const CHUNK_NBYTES: u64 = 64 << 20;

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

    pub(super) fn from_stat(stat: &rustix::fs::Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// Gives a new file its size, and every page of it. `enough_for` is asked, before and in between, whether so many more
/// bytes are to be had; `refused` says why not, when the system has the last word.
pub(super) fn reserve_pages(
    fd: impl AsFd,
    total_nbytes: u64,
    enough_for: impl Fn(u64) -> Result<(), CreateError>,
    refused: impl Fn() -> CreateError,
) -> Result<(), CreateError> {
    let system = |action| move |errno: Errno| CreateError::System { action, source: errno.into() };
    enough_for(total_nbytes)?;
    rustix::fs::ftruncate(&fd, total_nbytes).map_err(system("size the segment's file"))?;
    let mut reserved = 0;
    while reserved < total_nbytes {
        let chunk = CHUNK_NBYTES.min(total_nbytes - reserved);
        loop {
            match rustix::fs::fallocate(&fd, FallocateFlags::empty(), reserved, chunk) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::NOSPC | Errno::NOMEM) => return Err(refused()),
                Err(errno) => return Err(system("reserve the pages of the segment's file")(errno)),
            }
        }
        reserved += chunk;
        enough_for(total_nbytes - reserved)?;
    }
    Ok(())
}

/// When nobody can say how much memory there is.
pub(super) fn no_look(source: io::Error) -> CreateError {
    CreateError::System { action: "look at how much memory there is", source }
}

/// Reads the header's bytes (F1 to F3 are still to be checked).
pub(super) fn read_header(fd: &OwnedFd) -> Result<Header, AttachError> {
    let bytes = read_at(fd, 0, size_of::<Header>())?;
    let mut header = MaybeUninit::<Header>::uninit();
    // SAFETY: source and destination are `size_of::<Header>()` bytes each and apart.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), header.as_mut_ptr().cast(), bytes.len()) };
    // SAFETY: all bytes are written, and every bit pattern is a `Header`: it has numbers and byte arrays only.
    Ok(unsafe { header.assume_init() })
}

/// Reads `nbytes` bytes at `offset`, wherever the descriptor's own position is.
pub(crate) fn read_at(fd: &OwnedFd, offset: usize, nbytes: usize) -> Result<Vec<u8>, AttachError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // A size that a segment names may be more than there is.
        bytes.try_reserve_exact(nbytes)?;
        bytes.resize(nbytes, 0);
        File::from(fd.try_clone()?).read_exact_at(&mut bytes, offset as u64)?;
        Ok(bytes)
    };
    read().map_err(|source| AttachError::System { action: "read the segment's file", source })
}

/// Maps the whole file; with `populate`, page tables and all, where the kernel can do that (from Linux 5.14 on).
pub(super) fn map_shared(fd: &OwnedFd, nbytes: usize, populate: bool) -> Result<NonNull<u8>, Errno> {
    // SAFETY: a fresh mapping at an address of the kernel's choice touches no existing memory.
    let base = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            nbytes,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            fd,
            0,
        )?
    };
    if populate {
        // Where it cannot be done, each page is mapped when it is first used.
        // SAFETY: the range is the mapping just made, and populating it changes no contents.
        let _ = unsafe { rustix::mm::madvise(base, nbytes, Advice::LinuxPopulateWrite) };
    }
    NonNull::new(base.cast()).ok_or(Errno::NOMEM)
}

pub(super) fn unmap(base: NonNull<u8>, nbytes: usize) {
    // SAFETY: called once, from the drop of the segment that owns this mapping (S1).
    let unmapped = unsafe { rustix::mm::munmap(base.as_ptr().cast(), nbytes) };
    debug_assert!(unmapped.is_ok());
}

/// Replaces a shared mapping by a private one of the same file, for a forked child.
///
/// What the child's inherited views read afterwards may be anything; what it writes never reaches the segment.
/// Allocation-free, and safe to call between fork and the child's first own step.
///
/// # Safety
/// `base..base + nbytes` is a mapping of `fd` that this process made for a `Segment`.
pub(crate) unsafe fn map_private_over(base: NonNull<u8>, nbytes: usize, fd: BorrowedFd<'_>) {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: by this function's contract the range is a mapping of ours; replacing it unmaps nothing of others.
    let replaced =
        unsafe { rustix::mm::mmap(base.as_ptr().cast(), nbytes, protection, flags, fd.as_fd(), 0) };
    if replaced.is_err() {
        // Out of mappings or memory: rather a fault at the first write than a write into the parent's slots.
        // SAFETY: as above; nothing of the child's own lies in the range.
        let protected =
            unsafe { rustix::mm::mprotect(base.as_ptr().cast(), nbytes, rustix::mm::MprotectFlags::READ) };
        assert!(protected.is_ok(), "neither remapping nor protecting an inherited segment worked");
    }
}

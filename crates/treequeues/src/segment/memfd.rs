//! Anonymous shared memory: a memory file, sealed against resizing, that dies with its last descriptor.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::available::available_memory;
use crate::error::{AttachError, CreateError};
use crate::format::Header;
use crate::layout::Layout;

/// Bytes reserved between two looks at the available memory. An unlimited memory file meets the kernel's out-of-memory
/// killer before it meets an error, so a reservation that others race against must notice in time.
const CHUNK_NBYTES: u64 = 64 << 20;
/// Bytes that are left to the rest of the machine.
const HEADROOM_NBYTES: u64 = 32 << 20;
/// Against shrinking and growing (a truncated mapping is a SIGBUS), and against further seals.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Which file a descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub(crate) fn of(fd: impl AsFd) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(fd)?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino })
    }
}

/// Creates the memory file with every page reserved.
pub(super) fn create(layout: &Layout, item_nbytes: usize) -> Result<OwnedFd, CreateError> {
    let total = layout.total_nbytes as u64;
    let system = |action| move |errno: Errno| CreateError::System { action, source: errno.into() };
    let too_little = |available_bytes, limit| CreateError::Memory {
        needed_bytes: total,
        available_bytes,
        capacity: layout.capacity as u64,
        item_nbytes,
        limit,
    };
    let enough_for = |rest: u64| {
        let (available, limit) = available_memory();
        let usable = available.saturating_sub(HEADROOM_NBYTES);
        if usable < rest { Err(too_little(usable, limit)) } else { Ok(()) }
    };
    enough_for(total)?;
    let fd = rustix::fs::memfd_create("treequeues", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(system("create a memory file"))?;
    rustix::fs::ftruncate(&fd, total).map_err(system("size the memory file"))?;
    let mut reserved = 0;
    while reserved < total {
        let chunk = CHUNK_NBYTES.min(total - reserved);
        loop {
            match rustix::fs::fallocate(&fd, FallocateFlags::empty(), reserved, chunk) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::NOSPC | Errno::NOMEM) => {
                    let (available, _) = available_memory();
                    return Err(too_little(available, "the system refused to reserve more"));
                }
                Err(errno) => return Err(system("reserve the memory file's pages")(errno)),
            }
        }
        reserved += chunk;
        enough_for(total - reserved)?;
    }
    rustix::fs::fcntl_add_seals(&fd, SEALS).map_err(system("seal the memory file"))?;
    Ok(fd)
}

/// The size of a file that can neither shrink nor grow any more.
pub(super) fn sealed_nbytes(fd: &OwnedFd) -> Result<usize, AttachError> {
    let seals = rustix::fs::fcntl_get_seals(fd).map_err(|_| AttachError::Foreign("it is no memory file"))?;
    if !seals.contains(SEALS) {
        return Err(AttachError::Foreign("it is not sealed against resizing"));
    }
    let stat = rustix::fs::fstat(fd)
        .map_err(|errno| AttachError::System { action: "stat the segment", source: errno.into() })?;
    usize::try_from(stat.st_size).map_err(|_| AttachError::Foreign("its size is out of range"))
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
pub(super) fn read_at(fd: &OwnedFd, offset: usize, nbytes: usize) -> Result<Vec<u8>, AttachError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; nbytes];
        File::from(fd.try_clone()?).read_exact_at(&mut bytes, offset as u64)?;
        Ok(bytes)
    };
    read().map_err(|source| AttachError::System { action: "read the segment's header", source })
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

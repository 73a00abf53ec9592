//! Segments in files: reserving their pages, reading their headers, mapping them.

use std::fs::OpenOptions;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::error::{AttachError, CreateError};
use crate::format::Header;
use crate::memory::fork::{Access, Descriptor, Mapping};

/// Bytes reserved between two looks at what is available. An unlimited memory file meets the kernel's out-of-memory
/// killer before it meets an error, so a reservation that others race against must notice in time.
const CHUNK_NBYTES: u64 = 64 << 20;

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
pub(super) fn read_header(fd: impl AsFd) -> Result<Header, AttachError> {
    let bytes = read_at(fd, 0, size_of::<Header>())?;
    let mut header = MaybeUninit::<Header>::uninit();
    // SAFETY: source and destination are `size_of::<Header>()` bytes each and apart.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), header.as_mut_ptr().cast(), bytes.len()) };
    // SAFETY: all bytes are written, and every bit pattern is a `Header`: it has numbers and byte arrays only.
    Ok(unsafe { header.assume_init() })
}

/// Reads `nbytes` bytes at `offset`. The descriptor's own position is its mark, and is left as it is.
pub(crate) fn read_at(fd: impl AsFd, offset: usize, nbytes: usize) -> Result<Vec<u8>, AttachError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // A size that a segment names may be more than there is.
        bytes.try_reserve_exact(nbytes)?;
        bytes.resize(nbytes, 0);
        let mut done = 0;
        while done < nbytes {
            match rustix::io::pread(&fd, &mut bytes[done..], (offset + done) as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(bytes)
    };
    read().map_err(|source| AttachError::System { action: "read the segment's file", source })
}

/// Opens a segment's file once more, for `mapping`s through that opening: what locks the process has are its own
/// (`fork::descriptor` D3).
pub(super) fn open_own(shared: &Descriptor) -> Result<Arc<Descriptor>, AttachError> {
    if !shared.is_there() {
        return Err(AttachError::DescriptorsClosed);
    }
    // Opened anew, not duplicated: duplicates share their locks.
    let own = open_anew(shared.as_fd()).map_err(|source| not_opened(shared, source))?;
    if own.identity() != shared.identity() {
        return Err(AttachError::DescriptorsClosed);
    }
    Ok(Arc::new(own))
}

/// Maps a segment's file.
pub(super) fn mapping(
    own: &Descriptor,
    nbytes: usize,
    access: Access,
    populate: bool,
) -> Result<Mapping, AttachError> {
    let mapping = Mapping::new(own.as_fd(), nbytes, access)
        .map_err(|errno| AttachError::System { action: "map the segment", source: errno.into() })?;
    if populate {
        mapping.populate();
    }
    Ok(mapping)
}

/// Why a segment that this process has open cannot be opened once more.
fn not_opened(shared: &Descriptor, source: io::Error) -> AttachError {
    let here = rustix::process::geteuid().as_raw();
    match owner_of(shared) {
        Ok(owner) if owner != here && source.kind() == io::ErrorKind::PermissionDenied => {
            AttachError::OtherUser { owner, here }
        }
        _ => AttachError::System { action: "open the segment's lock descriptor", source },
    }
}

/// Another opening of the file behind a descriptor.
pub(super) fn open_anew(fd: BorrowedFd<'_>) -> io::Result<Descriptor> {
    // `std` opens with O_CLOEXEC.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Descriptor::open(|| Ok(OpenOptions::new().read(true).write(true).open(path)?.into()))
}

/// The user that a file belongs to.
pub(crate) fn owner_of(fd: impl AsFd) -> io::Result<u32> {
    Ok(rustix::fs::fstat(fd)?.st_uid)
}

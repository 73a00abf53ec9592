//! Anonymous shared memory: a memory file, sealed against resizing, that dies with its last descriptor.

use std::os::fd::AsFd;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use super::available::available_memory;
use super::file::{no_look, reserve_pages};
use crate::error::{AttachError, CreateError};
use crate::format::layout::Layout;
use crate::memory::fork::Descriptor;

/// Against shrinking and growing (a truncated mapping is a SIGBUS), and against further seals.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Creates the memory file with every page reserved.
pub(super) fn create(layout: &Layout, item_nbytes: usize) -> Result<Descriptor, CreateError> {
    let total = layout.total_nbytes as u64;
    let system = |action| move |errno: Errno| CreateError::System { action, source: errno.into() };
    let too_little = |available_bytes, limit| CreateError::Memory {
        needed_bytes: total,
        available_bytes,
        capacity: layout.capacity as u64,
        item_nbytes,
        limit,
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = Descriptor::open(|| Ok(rustix::fs::memfd_create("treequeues", flags)?))
        .map_err(|source| CreateError::System { action: "create a memory file", source })?;
    let enough_for = |rest| {
        let (available, limit) = available_memory().map_err(no_look)?;
        if available < rest { Err(too_little(available, limit)) } else { Ok(()) }
    };
    reserve_pages(&fd, total, enough_for, || match available_memory() {
        Ok((available, _)) => too_little(available, "the system refused to reserve more"),
        Err(error) => no_look(error),
    })?;
    rustix::fs::fcntl_add_seals(&fd, SEALS).map_err(system("seal the memory file"))?;
    Ok(fd)
}

/// Refuses what can still shrink or grow.
pub(super) fn check_sealed(fd: impl AsFd) -> Result<(), AttachError> {
    let seals = rustix::fs::fcntl_get_seals(fd).map_err(|_| AttachError::Foreign("it is no memory file"))?;
    if seals.contains(SEALS) {
        Ok(())
    } else {
        Err(AttachError::Foreign("it is not sealed against resizing"))
    }
}

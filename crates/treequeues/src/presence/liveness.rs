//! Liveness: what says who is alive, a lock and an entry a participant.
//!
//! A participant holds the lock of its byte in the segment's file, through a descriptor of its own. The kernel drops it
//! when the process dies, for whatever reason and in whichever namespace; nothing else says who is alive. No heartbeats,
//! no timeouts that declare somebody dead; pids are for people. What follows from it is `participant` P1 to P3.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use crate::error::AttachError;
use crate::format::Entry;
use crate::memory::fork::Descriptor;
use crate::memory::segment::{Heap, Segment};
use crate::sync::Ordering;

/// All bytes of a file, in the system's words.
const ALL_BYTES: libc::off_t = 0;
/// A byte that no participant has.
const NAME_BYTE: libc::off_t = 1 << 40;

/// Where the locks are: bytes of the segment's file, or flags of a heap segment.
#[derive(Debug)]
pub(crate) enum Locks {
    File(Arc<Descriptor>),
    Heap(Arc<Heap>),
}

/// An entry's state, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryState {
    pub(crate) used: bool,
    /// Tenancies that have ended, in the low `TENANCIES_BITS` bits, and above them those of these that ended by a death. One
    /// number, so that the compare-and-swap that frees an entry also counts the death, whoever is killed when.
    pub(crate) generation: u64,
}

/// A place that changes its tenant every 10 us is through with so many after four months.
const TENANCIES_BITS: u32 = 40;
const TENANCIES: u64 = (1 << TENANCIES_BITS) - 1;

impl EntryState {
    pub(crate) fn load(entry: &Entry) -> Self {
        // Acquire: pairs with the claiming and freeing of the entry.
        Self::unpack(entry.state.load(Ordering::Acquire))
    }

    pub(crate) fn unpack(state: u64) -> Self {
        Self { used: state & 1 == 1, generation: state >> 1 }
    }

    /// Moves the entry from this state to `to`, unless it has moved.
    pub(crate) fn swap(self, entry: &Entry, to: Self) -> bool {
        // AcqRel: pairs with `load` in sweepers and newcomers.
        entry.state.compare_exchange(self.packed(), to.packed(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn packed(self) -> u64 {
        self.generation << 1 | u64::from(self.used)
    }

    /// Free for the next tenant, left by the last one.
    pub(crate) fn left(self) -> Self {
        let tenancies = self.generation.wrapping_add(1) & TENANCIES;
        Self { used: false, generation: self.generation & !TENANCIES | tenancies }
    }

    /// Free for the next tenant, after the death of the last one.
    pub(crate) fn died(self) -> Self {
        let left = self.left();
        // What the state word has no room for begins anew.
        Self { generation: left.generation.wrapping_add(1 << TENANCIES_BITS) & (u64::MAX >> 1), ..left }
    }

    /// How many tenants the place has had before: those of the last four months of very many, if there were more.
    pub(crate) fn tenancy(self) -> u64 {
        self.generation & TENANCIES
    }

    /// How many tenants have died.
    pub(crate) fn deaths(self) -> u64 {
        self.generation >> TENANCIES_BITS
    }
}

impl Locks {
    pub(crate) fn of(segment: &Segment) -> Self {
        if let Some(heap) = segment.heap_locks() {
            return Self::Heap(heap);
        }
        Self::File(Arc::clone(segment.own().expect("a segment is on the heap or has descriptors")))
    }

    /// The descriptor that has the locks; none on the heap.
    pub(crate) fn file(&self) -> Option<&Descriptor> {
        match self {
            Self::File(own) => Some(own),
            Self::Heap(_) => None,
        }
    }

    /// Fails if the descriptor was closed behind our back: then nothing can be asked through it, about anybody. What it has
    /// locked stays so while the segment is mapped (`fork::descriptor` D3).
    pub(crate) fn are_of(&self, segment: &Segment) -> Result<(), AttachError> {
        let Self::File(own) = self else { return Ok(()) };
        if own.is_there() && segment.identity() == Some(own.identity()) {
            Ok(())
        } else {
            Err(AttachError::DescriptorsClosed)
        }
    }

    pub(crate) fn try_lock(&self, id: u32) -> io::Result<bool> {
        match self {
            Self::File(fd) => try_lock(fd.as_fd(), id.into(), 1),
            Self::Heap(heap) => Ok(heap.try_lock(id)),
        }
    }

    pub(crate) fn unlock(&self, id: u32) -> io::Result<()> {
        match self {
            Self::File(fd) => ofd_lock(fd.as_fd(), libc::F_OFD_SETLK, libc::F_UNLCK, id.into(), 1).map(drop),
            Self::Heap(heap) => {
                heap.unlock(id);
                Ok(())
            }
        }
    }

    /// Whether another participant holds the lock of byte `id`.
    pub(crate) fn is_locked(&self, id: u32) -> io::Result<bool> {
        match self {
            Self::File(fd) => is_alive(fd.as_fd(), id),
            Self::Heap(heap) => Ok(heap.is_locked(id)),
        }
    }

    /// The lock over all bytes, unless somebody else has one on any of them. The own byte's lock becomes part of it.
    pub(crate) fn try_lock_all(&self) -> io::Result<bool> {
        match self {
            Self::File(fd) => try_lock_all(fd.as_fd()),
            Self::Heap(_) => Ok(false),
        }
    }

    /// Gives up what `try_lock_all` took, but for the own byte.
    pub(crate) fn unlock_all_but(&self, id: u32) -> io::Result<()> {
        let Self::File(fd) = self else { return Ok(()) };
        let own = libc::off_t::from(id);
        ofd_lock(fd.as_fd(), libc::F_OFD_SETLK, libc::F_UNLCK, own + 1, ALL_BYTES)?;
        if own > 0 {
            ofd_lock(fd.as_fd(), libc::F_OFD_SETLK, libc::F_UNLCK, 0, own)?;
        }
        Ok(())
    }

    /// The lock that one participant at a time has while it takes the name from its queue. False if another has it.
    pub(crate) fn try_lock_name(&self) -> io::Result<bool> {
        match self {
            Self::File(fd) => try_lock(fd.as_fd(), NAME_BYTE, 1),
            Self::Heap(_) => Ok(false),
        }
    }

    pub(crate) fn unlock_name(&self) -> io::Result<()> {
        match self {
            Self::File(fd) => ofd_lock(fd.as_fd(), libc::F_OFD_SETLK, libc::F_UNLCK, NAME_BYTE, 1).map(drop),
            Self::Heap(_) => Ok(()),
        }
    }

    /// Gives up all that this participant has locked: the segment may stay mapped, and keep it.
    pub(crate) fn unlock_all(&self) -> io::Result<()> {
        match self {
            Self::File(fd) => unlock_all(fd.as_fd()),
            Self::Heap(_) => Ok(()),
        }
    }

    #[cfg(test)]
    pub(crate) fn replace_by(&self, file: &std::fs::File) {
        let Self::File(own) = self else { panic!("a heap has no file") };
        own.replace_by(file);
    }
}

/// Who has locks on a segment's file, other than through the descriptor that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holders {
    /// Nobody: no participant lives.
    Nobody,
    /// Participants.
    Participants,
    /// Somebody who has all bytes, to take the file's name from it (`names`).
    Remover,
}

/// Who lives at a segment's file.
pub(crate) fn holders(fd: BorrowedFd<'_>) -> io::Result<Holders> {
    let found = ofd_lock(fd, libc::F_OFD_GETLK, libc::F_WRLCK, 0, ALL_BYTES)?;
    Ok(if found.l_type == libc::F_UNLCK as libc::c_short {
        Holders::Nobody
    } else if found.l_len == ALL_BYTES {
        Holders::Remover
    } else {
        Holders::Participants
    })
}

/// Whether a participant other than through this descriptor lives: a look without a lock, for observers.
pub(crate) fn is_alive(fd: BorrowedFd<'_>, id: u32) -> io::Result<bool> {
    let found = ofd_lock(fd, libc::F_OFD_GETLK, libc::F_WRLCK, libc::off_t::from(id), 1)?;
    Ok(found.l_type != libc::F_UNLCK as libc::c_short)
}

/// The lock over all bytes of a segment's file, unless somebody else has one on any of them.
pub(crate) fn try_lock_all(fd: BorrowedFd<'_>) -> io::Result<bool> {
    try_lock(fd, 0, ALL_BYTES)
}

/// Gives up what `try_lock_all` took.
pub(crate) fn unlock_all(fd: BorrowedFd<'_>) -> io::Result<()> {
    ofd_lock(fd, libc::F_OFD_SETLK, libc::F_UNLCK, 0, ALL_BYTES).map(drop)
}

fn try_lock(fd: BorrowedFd<'_>, byte: libc::off_t, count: libc::off_t) -> io::Result<bool> {
    match ofd_lock(fd, libc::F_OFD_SETLK, libc::F_WRLCK, byte, count) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// One open-file-description lock command on `count` bytes; returns what the kernel wrote back.
fn ofd_lock(
    fd: BorrowedFd<'_>,
    command: libc::c_int,
    kind: libc::c_int,
    byte: libc::off_t,
    count: libc::off_t,
) -> io::Result<libc::flock> {
    let mut lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: count,
        // Required to be 0 for open-file-description locks.
        l_pid: 0,
    };
    // SAFETY: `lock` is a valid flock that lives through the call, which is what these commands take.
    let done = unsafe { libc::fcntl(fd.as_raw_fd(), command, &raw mut lock) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(lock) }
}

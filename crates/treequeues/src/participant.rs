//! Participants: who this process is in a segment, and who else is alive.
//!
//! A participant holds the lock of its byte in the segment's file, through a descriptor of its own. The kernel drops it
//! when the process dies, for whatever reason and in whichever namespace; nothing else says who is alive. No heartbeats,
//! no timeouts that declare somebody dead; pids are for people.
//!
//! P1. The lock of byte p is taken before entry p is claimed, and dropped after it is freed. So an entry in use whose
//!     byte is unlocked belongs to a dead participant.
//! P2. An entry is freed, with the next generation, only after every slot of its holder was returned. A word names its
//!     holder by id and the low bits of the generation; whoever returns a slot makes sure, just before, that the entry
//!     still has the whole generation that was found dead.
//! P3. A process is one participant of a segment, whatever its threads, and never asks about its own byte.

use std::fs::OpenOptions;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::error::{AttachError, Corrupted};
use crate::fork::{self, Key, NoFork};
use crate::format::Entry;
use crate::segment::{FileIdentity, Heap, Segment};
use crate::sweep;
use crate::sync::Ordering;
use crate::word::Owner;

/// Rounds through the table before a newcomer gives up: each finds an entry, or loses one to another newcomer.
const MAX_ROUNDS: usize = 8;

/// This process's place in one segment. Held by `Attached`, which also deregisters it.
#[derive(Debug)]
pub(crate) struct Participant {
    id: u32,
    generation: u64,
    owner: Owner,
    pid: u32,
    locks: Locks,
    fork_generation: u64,
    key: Option<Key>,
}

/// Where the locks are: bytes of the segment's file, or flags of a heap segment.
#[derive(Debug)]
pub(crate) enum Locks {
    /// Not closed by its own drop: after a fork the number may be another file's.
    File(ManuallyDrop<OwnedFd>),
    Heap(Arc<Heap>),
}

/// An entry's state, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryState {
    pub(crate) used: bool,
    pub(crate) generation: u64,
}

impl EntryState {
    pub(crate) fn load(entry: &Entry) -> Self {
        // Acquire: pairs with the claiming and freeing of the entry.
        let state = entry.state.load(Ordering::Acquire);
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
}

impl Participant {
    /// Registers this process, after returning what dead participants held.
    pub(crate) fn register(segment: &Segment, no_fork: &mut NoFork) -> Result<Self, AttachError> {
        let locks = Locks::open(segment)?;
        match Self::claim(segment, &locks) {
            Ok((id, generation)) => Ok(Self {
                id,
                generation,
                owner: Owner::new(id, generation, segment.layout().id_bits()),
                pid: std::process::id(),
                key: locks.file().and_then(|fd| no_fork.insert(segment, fd)),
                locks,
                fork_generation: fork::generation(),
            }),
            Err(error) => {
                locks.close();
                Err(error)
            }
        }
    }

    /// Takes the lock and the entry of a free place; returns its id and generation.
    fn claim(segment: &Segment, locks: &Locks) -> Result<(u32, u64), AttachError> {
        for _ in 0..MAX_ROUNDS {
            sweep::sweep(segment, locks, None)?;
            let mut lost_one = false;
            for (id, entry) in (0..).zip(segment.entries()) {
                let free = EntryState::load(entry);
                if free.used {
                    continue;
                }
                if !locks.try_lock(id).map_err(lock_error)? {
                    // Another newcomer's, or of somebody who is just leaving.
                    lost_one = true;
                    continue;
                }
                if free.swap(entry, EntryState { used: true, ..free }) {
                    // Relaxed: for people.
                    entry.pid.store(std::process::id(), Ordering::Relaxed);
                    return Ok((id, free.generation));
                }
                // Somebody was here between the look and the lock: the entry may be a dead one's now (P1).
                locks.unlock(id).map_err(lock_error)?;
                lost_one = true;
            }
            if !lost_one {
                break;
            }
            std::thread::yield_now();
        }
        Err(AttachError::TableFull { limit: segment.layout().participants })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn locks(&self) -> &Locks {
        &self.locks
    }

    /// Whether this process is still the one that registered, not a forked child of it.
    #[inline]
    pub(crate) fn is_this_process(&self) -> bool {
        self.fork_generation == fork::generation()
    }

    /// Drops the lock and nothing else, as the kernel does.
    #[cfg(test)]
    pub(crate) fn die(&self) {
        match &self.locks {
            Locks::Heap(heap) => heap.unlock(self.id),
            Locks::File(_) => self.locks.close(),
        }
    }

    /// Returns everything that was still held, frees the entry, and drops the lock (P1, P2).
    ///
    /// In a forked child it only forgets: lock and slots are the parent's, and the descriptor is closed already.
    pub(crate) fn deregister(&mut self, segment: &Segment, no_fork: &mut NoFork) -> Result<(), Corrupted> {
        if let Some(key) = self.key.take() {
            no_fork.remove(&key);
        }
        if !self.is_this_process() {
            return Ok(());
        }
        // Nobody else is this participant while it lives.
        let recovered = segment.ring().recover(self.owner, || true);
        if recovered.is_ok() {
            let used = EntryState { used: true, generation: self.generation };
            used.swap(&segment.entries()[self.id as usize], used.freed());
        }
        if let Locks::Heap(heap) = &self.locks {
            heap.unlock(self.id);
        }
        if self.locks.are_of(segment).is_ok() {
            self.locks.close();
        }
        recovered.map(drop)
    }
}

impl EntryState {
    /// Free for the next tenant.
    pub(crate) fn freed(self) -> Self {
        Self { used: false, generation: self.generation.wrapping_add(1) & (u64::MAX >> 1) }
    }
}

impl Locks {
    fn open(segment: &Segment) -> Result<Self, AttachError> {
        if let Some(heap) = segment.heap_locks() {
            return Ok(Self::Heap(heap));
        }
        let fd = segment.fd().expect("a segment is on the heap or has a descriptor").as_raw_fd();
        // Opened anew, not duplicated: duplicates share their locks. `std` opens with O_CLOEXEC.
        let own =
            OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{fd}")).map_err(
                |source| AttachError::System { action: "open the segment's lock descriptor", source },
            )?;
        let locks = Self::File(ManuallyDrop::new(own.into()));
        if let Err(error) = locks.are_of(segment) {
            locks.close();
            return Err(error);
        }
        Ok(locks)
    }

    fn file(&self) -> Option<&OwnedFd> {
        match self {
            Self::File(fd) => Some(fd),
            Self::Heap(_) => None,
        }
    }

    /// Fails if the descriptor is no longer one of the segment: then its locks say nothing, about anybody.
    pub(crate) fn are_of(&self, segment: &Segment) -> Result<(), AttachError> {
        let Self::File(fd) = self else { return Ok(()) };
        // SAFETY: the number may have been closed behind our back; it is only asked which file it is.
        let fd = unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) };
        if FileIdentity::of(fd).ok() == segment.identity() {
            Ok(())
        } else {
            Err(AttachError::DescriptorsClosed)
        }
    }

    fn try_lock(&self, id: u32) -> io::Result<bool> {
        match self {
            Self::File(fd) => match ofd_lock(fd.as_raw_fd(), libc::F_OFD_SETLK, libc::F_WRLCK, id) {
                Ok(_) => Ok(true),
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
                Err(error) => Err(error),
            },
            Self::Heap(heap) => Ok(heap.try_lock(id)),
        }
    }

    fn unlock(&self, id: u32) -> io::Result<()> {
        match self {
            Self::File(fd) => ofd_lock(fd.as_raw_fd(), libc::F_OFD_SETLK, libc::F_UNLCK, id).map(drop),
            Self::Heap(heap) => {
                heap.unlock(id);
                Ok(())
            }
        }
    }

    /// Whether another participant holds the lock of byte `id`.
    pub(crate) fn is_locked(&self, id: u32) -> io::Result<bool> {
        match self {
            Self::File(fd) => Ok(ofd_lock(fd.as_raw_fd(), libc::F_OFD_GETLK, libc::F_WRLCK, id)?
                != libc::F_UNLCK as libc::c_short),
            Self::Heap(heap) => Ok(heap.is_locked(id)),
        }
    }

    #[cfg(test)]
    pub(crate) fn replace_by(&self, file: &std::fs::File) {
        let own = self.file().expect("a file").as_raw_fd();
        // SAFETY: both descriptors are open; what was behind `own` is closed, which is the point of the test.
        let replaced = unsafe { libc::dup2(file.as_raw_fd(), own) };
        assert_eq!(replaced, own);
    }

    /// Closes the descriptor, and with it drops its locks. In this process only: see `Participant::deregister`.
    fn close(&self) {
        if let Self::File(fd) = self {
            // SAFETY: closed once: by `open` or `register` when they fail, else by `deregister`, which is called once.
            unsafe { libc::close(fd.as_raw_fd()) };
        }
    }
}

/// One open-file-description lock command on one byte; returns the lock type that the kernel wrote back.
fn ofd_lock(fd: RawFd, command: libc::c_int, kind: libc::c_int, byte: u32) -> io::Result<libc::c_short> {
    let mut lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: libc::off_t::from(byte),
        l_len: 1,
        // Required to be 0 for open-file-description locks.
        l_pid: 0,
    };
    // SAFETY: `lock` is a valid flock that lives through the call, which is what these commands take.
    let done = unsafe { libc::fcntl(fd, command, &raw mut lock) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(lock.l_type) }
}

fn lock_error(source: io::Error) -> AttachError {
    AttachError::System { action: "lock a participant's byte", source }
}

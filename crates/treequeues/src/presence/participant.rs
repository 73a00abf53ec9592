//! Participants: who this process is in a segment, from its registration to its leaving.
//!
//! P1. The lock of byte p is taken before entry p is claimed, and dropped after it is freed. So an entry in use whose
//!     byte is unlocked belongs to a dead participant.
//! P2. An entry is freed, with the next generation, only after every slot of its holder was returned. A word names its
//!     holder by id and the low bits of the generation; whoever returns a slot makes sure, just before, that the entry
//!     still has the whole generation that was found dead.
//! P3. A process is one participant of a segment, whatever its threads, and never asks about its own byte.

use std::io;

use crate::clock::realtime_ns;
use crate::error::{AttachError, Corrupted};
use crate::format::word::{Owner, Tenant};
use crate::memory::fork;
use crate::memory::segment::Segment;
use crate::presence::liveness::{EntryState, Locks};
use crate::presence::names;
use crate::presence::structure::Structure;
use crate::presence::sweep;
use crate::sync::Ordering;

/// Rounds through the table before a newcomer gives up for now: each finds an entry, or loses one to another newcomer.
const MAX_ROUNDS: usize = 8;

/// Why a process is no participant.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Somebody is in the way who is about to go on, unless stopped: the caller may try again, and says this if it lasts.
    Passing(AttachError),
    Final(AttachError),
}

impl From<AttachError> for Refusal {
    fn from(error: AttachError) -> Self {
        Self::Final(error)
    }
}

impl From<Corrupted> for Refusal {
    fn from(error: Corrupted) -> Self {
        Self::Final(error.into())
    }
}

impl From<Refusal> for AttachError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Passing(error) | Refusal::Final(error) => error,
        }
    }
}

/// This process's place in one segment. Held by `Attached`, which also deregisters it.
#[derive(Debug)]
pub(crate) struct Participant {
    tenant: Tenant,
    /// Of its entry.
    generation: u64,
    pid: u32,
    locks: Locks,
    fork_generation: u64,
}

impl Participant {
    /// Registers this process, after returning what dead participants held.
    pub(crate) fn register(segment: &Segment, structure: &dyn Structure) -> Result<Self, Refusal> {
        let locks = Locks::of(segment);
        match Self::claim(segment, structure, &locks) {
            Ok((id, state)) => Ok(Self {
                tenant: Tenant::new(id, state.tenancy(), segment.layout().id_bits()),
                generation: state.generation,
                pid: std::process::id(),
                locks,
                fork_generation: fork::generation(),
            }),
            Err(error) => {
                // A leaver may have met a lock that was only tried for here (`names` M4).
                if locks.are_of(segment).is_ok() {
                    leave(segment, structure, &locks);
                }
                Err(error)
            }
        }
    }

    /// Takes the lock and the entry of a free place; returns its id, and what the entry was.
    fn claim(
        segment: &Segment,
        structure: &dyn Structure,
        locks: &Locks,
    ) -> Result<(u32, EntryState), Refusal> {
        let all_taken = AttachError::TableFull { limit: segment.layout().participants };
        for _ in 0..MAX_ROUNDS {
            sweep::sweep(segment, structure, locks, None)?;
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
                    // Relaxed, and below: for people.
                    entry.pid.store(std::process::id(), Ordering::Relaxed);
                    entry.attached_at_ns.store(realtime_ns(), Ordering::Relaxed);
                    // Relaxed: before any claim (`ring::publish` U4), whose compare-and-swap it stays before.
                    entry.publishing.store(0, Ordering::Relaxed);
                    entry.begin_counting();
                    return Ok((id, free));
                }
                // Somebody was here between the look and the lock: the entry may be a dead one's now (P1).
                locks.unlock(id).map_err(lock_error)?;
                lost_one = true;
            }
            if !lost_one {
                return Err(Refusal::Final(all_taken));
            }
            std::thread::yield_now();
        }
        // Places are free, and somebody has their locks: all at once, or one each on the way in or out.
        Err(Refusal::Passing(match segment.name() {
            Some(name) if locks.file().is_some_and(names::is_being_removed) => {
                AttachError::ChangingHands { name: name.clone() }
            }
            _ => all_taken,
        }))
    }

    pub(crate) fn id(&self) -> u32 {
        self.tenant.place
    }

    pub(crate) fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Of its place: 0 for the first tenant.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn owner(&self) -> Owner {
        self.tenant.owner
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
            Locks::Heap(heap) => heap.unlock(self.id()),
            Locks::File(_) => self.locks.unlock_all().expect("unlocked"),
        }
    }

    /// Whether what this participant locked cannot be unlocked any more, but by unmapping the segment.
    pub(crate) fn has_lost_its_locks(&self, segment: &Segment) -> bool {
        self.is_this_process() && self.locks.are_of(segment).is_err()
    }

    /// Returns everything that was still held, frees the entry, and drops the lock (P1, P2): now, or when the segment is
    /// unmapped, if somebody closed the descriptor.
    ///
    /// In a forked child it only forgets: lock and slots are the parent's, and the descriptor is closed already.
    pub(crate) fn deregister(
        &mut self,
        segment: &Segment,
        structure: &dyn Structure,
    ) -> Result<(), Corrupted> {
        if !self.is_this_process() {
            return Ok(());
        }
        let entry = &segment.entries()[self.id() as usize];
        let used = EntryState { used: true, generation: self.generation };
        // Nobody else is this participant while it lives, and has its locks.
        let recovered = structure.recover(&self.tenant, entry, &|| EntryState::load(entry) == used);
        if recovered.is_ok() {
            used.swap(entry, used.left());
        }
        if self.locks.are_of(segment).is_ok() {
            // What fails here is done by the unmapping.
            let _ = self.locks.unlock(self.id());
            leave(segment, structure, &self.locks);
        }
        recovered.map(drop)
    }
}

/// The end of a participant, or of what was to become one, whose byte is unlocked.
fn leave(segment: &Segment, structure: &dyn Structure, locks: &Locks) {
    names::remove_if_last(segment, structure, locks);
    // What that locked; and the mapping would keep it.
    let _ = locks.unlock_all();
}

fn lock_error(source: io::Error) -> AttachError {
    AttachError::System { action: "lock a participant's byte", source }
}

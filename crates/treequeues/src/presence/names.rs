//! Names: the life and death of a named segment's file.
//!
//! A named queue is a file in this user's folder, under the queue's name. What says that a participant lives, a lock on a
//! byte of the file, also says whether the queue does; nothing else is needed, so nothing else can go stale.
//!
//! | a file that | is | attach | create | open | clean |
//! |---|---|---|---|---|---|
//! | somebody has a lock on | live | attaches | exists | attaches | leaves it |
//! | nobody has a lock on | stale | refuses | replaces | replaces | removes it |
//! | nobody has a lock on, and is to be kept | idle | attaches | exists | attaches | leaves it |
//! | is no queue, or unsafe, or was made under another name | foreign | refuses | refuses | refuses | leaves it |
//! | is a damaged queue, or of another version, and nobody has a lock on | broken | refuses | replaces | replaces | removes it |
//!
//! M1. A file gets its name when it is whole and its creator is registered. It never gets another one.
//! M2. A name is taken from its file by who has the lock over all bytes of it, so that nobody lives there and nobody can
//!     register meanwhile; or by a living participant that has the lock of the name. Either has seen, under that lock,
//!     that the name still leads to this file. So only one of them does it, and nobody takes a name from its next file.
//! M3. Who came by a name looks, once registered, whether the file still has one. If so it stays until that participant
//!     leaves or takes the name itself (M2); if not, it came too late and looks the name up again.
//! M4. Who leaves unlocks its own byte first, and then tries for all: the last of those who leave succeeds. A lock that is
//!     tried for and not had is somebody else's who does the same.
//!     A process that ends in the middle of calls cannot leave: it keeps its byte, and succeeds if it is alone.
//! M5. The lock over all bytes is held for a few system calls. Who finds it waits that out, but not for ever: its holder
//!     may be stopped.
//! M6. A participant that leaves frees its entry before it unlocks its byte (`participant` P1). So where nobody has a lock, an
//!     entry that is in use both before and after that was seen belongs to a dead one, and the queue is stale. If no entry is,
//!     all have left, and the last of them is about to take the name: nobody died, and nothing is to be found there.

mod leaving;

use std::cell::Cell;
use std::io;
use std::mem::offset_of;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::error::{AttachError, CreateError, FolderError};
use crate::format::layout::Layout;
use crate::format::name::QueueName;
use crate::format::{Entry, FLAG_KEEP};
use crate::memory::fork::{Descriptor, FileIdentity};
use crate::memory::segment::{Directory, Place, Preamble, Segment, has_name, read_at};
use crate::presence::liveness::{EntryState, Holders, holders, try_lock_all, unlock_all};

pub(crate) use leaving::{Farewell, remove_if_alone, remove_if_last, unlink};
pub use leaving::{LeftBehind, take_left_behind};

/// How long somebody is waited for who has all bytes (M5).
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_micros(200);
/// Rounds that are made however long they take: more than any call needs that nobody is in the way of.
const FEW: u32 = 16;

/// What a name leads to.
#[derive(Debug)]
pub enum NameState {
    /// Participants are attached.
    Live,
    /// Nobody is attached, and it was asked to be kept.
    Idle,
    /// Nobody is attached: what is left of a queue whose participants have all died.
    Stale,
    /// A queue that this library cannot use: damaged, or of another version of the format. Nobody is attached.
    Broken(AttachError),
    /// It is no queue, or another user could change it, or it is a live queue of another version.
    Foreign(AttachError),
}

/// Looks at what somebody else is doing, again and again, until they end or patience does: after a time, but not before a few
/// looks. Who was paused for that time in between, by a debugger or a busy machine, has waited for nobody yet.
pub(crate) struct Rounds {
    began: Instant,
    few_left: Cell<u32>,
}

impl Rounds {
    pub(crate) fn begin() -> Self {
        Self::since(Instant::now())
    }

    fn since(began: Instant) -> Self {
        Self { began, few_left: Cell::new(FEW) }
    }

    /// Waits for the next round; fails if this has gone on for too long.
    pub(crate) fn next(&self, name: &QueueName) -> Result<(), AttachError> {
        if self.go_on() { Ok(()) } else { Err(AttachError::ChangingHands { name: name.clone() }) }
    }

    /// Waits for the next round; false, without a wait, if this has gone on for too long.
    pub(crate) fn go_on(&self) -> bool {
        let few_left = self.few_left.get();
        if few_left == 0 && self.began.elapsed() > PATIENCE {
            return false;
        }
        self.few_left.set(few_left.saturating_sub(1));
        thread::sleep(PAUSE);
        true
    }
}

/// The folder of this user's named queues, whether it is there or not.
pub fn names_folder() -> PathBuf {
    Directory::path_of_this_user()
}

/// The names in this user's folder, in order.
///
/// # Errors
/// If the folder cannot be read, or another user could change it.
pub fn names() -> Result<Vec<QueueName>, FolderError> {
    Directory::open()?.map_or_else(|| Ok(Vec::new()), |directory| directory.names())
}

/// What a name leads to; `None` if nothing has it.
///
/// # Errors
/// If the folder cannot be read, or another user could change it.
pub fn name_state(name: &QueueName) -> Result<Option<NameState>, AttachError> {
    let Some(directory) = Directory::open()? else { return Ok(None) };
    Ok(match directory.file(name) {
        Ok(Some(file)) => Some(state_of(&file, name)?),
        Ok(None) => None,
        Err(error) => Some(NameState::Foreign(error)),
    })
}

/// Removes a name that leads to a stale or broken queue, and with `idle` also one that nobody is attached to. Returns
/// whether it did.
///
/// # Errors
/// If the folder cannot be read, or somebody who removes the same name does not come to an end.
pub fn remove_name(name: &QueueName, idle: bool) -> Result<bool, AttachError> {
    let Some(directory) = Directory::open()? else { return Ok(false) };
    let rounds = Rounds::begin();
    loop {
        let Some(file) = directory.file(name)? else { return Ok(false) };
        let is_removable = match state_of(&file, name)? {
            NameState::Stale | NameState::Broken(_) => true,
            NameState::Idle => idle,
            NameState::Live | NameState::Foreign(_) => false,
        };
        if !is_removable {
            return Ok(false);
        }
        if remove_unless_used(&directory, name, &file).map_err(remove_error)? {
            return Ok(true);
        }
        rounds.next(name)?;
    }
}

/// The file of a name that a process may attach to: a live queue's, or an idle one's. It is looked for in `folder`, or in this
/// user's.
pub(crate) fn find(name: &QueueName, folder: Option<&Path>) -> Result<Descriptor, AttachError> {
    let directory = match folder {
        Some(folder) => {
            Directory::open_if_there(folder.to_owned())?.ok_or_else(|| not_found(name, folder))?
        }
        None => Directory::open()?.ok_or_else(|| not_found(name, &Directory::path_of_this_user()))?,
    };
    let at = |error| AttachError::At { path: directory.path_of(name), error: Box::new(error) };
    let rounds = Rounds::begin();
    let mut looks_at_a_deserted_one = 0;
    loop {
        let file = directory.file(name).map_err(at)?.ok_or_else(|| not_found(name, directory.path()))?;
        match state_of(&file, name).map_err(at)? {
            NameState::Live | NameState::Idle => return Ok(file),
            NameState::Broken(error) | NameState::Foreign(error) => return Err(at(error)),
            NameState::Stale => match has_dead(&file).map_err(at)? {
                Some(true) if has_name(&file) => return Err(AttachError::Stale { name: name.clone() }),
                // All have left, and the last of them has yet to take the name away (M4). Should it have died or stopped there, it
                // is done for it (M2).
                Some(false) if looks_at_a_deserted_one >= FEW => {
                    remove_unless_used(&directory, name, &file).map_err(remove_error)?;
                }
                Some(false) => looks_at_a_deserted_one += 1,
                Some(true) | None => {}
            },
        }
        rounds.next(name)?;
    }
}

/// Whether a participant died at a file where nobody lives, so that it is a stale queue's and not one that all have left (M6).
/// `None` if somebody came or went meanwhile.
fn has_dead(file: &Descriptor) -> Result<Option<bool>, AttachError> {
    let layout = Preamble::read(file)?.layout;
    let before = entry_states(file, &layout)?;
    if find_holders(file)? != Holders::Nobody {
        return Ok(None);
    }
    let after = entry_states(file, &layout)?;
    Ok(if before.iter().zip(&after).any(|(before, after)| before.used && before == after) {
        Some(true)
    } else if before == after {
        Some(false)
    } else {
        None
    })
}

/// The participants' entries, as they are in the file.
fn entry_states(file: &Descriptor, layout: &Layout) -> Result<Vec<EntryState>, AttachError> {
    let bytes =
        read_at(file, layout.front.entries_offset, size_of::<Entry>() * layout.participants as usize)?;
    let states = bytes.chunks_exact(size_of::<Entry>()).map(|entry| {
        let state = entry[offset_of!(Entry, state)..][..size_of::<u64>()].try_into().expect("8 bytes");
        EntryState::unpack(u64::from_le_bytes(state))
    });
    Ok(states.collect())
}

/// The file of a name, for a look: live, idle or stale.
pub(crate) fn look_at(name: &QueueName) -> Result<(Descriptor, Preamble), AttachError> {
    let directory = Directory::open()?.ok_or_else(|| not_found(name, &Directory::path_of_this_user()))?;
    let at = |error| AttachError::At { path: directory.path_of(name), error: Box::new(error) };
    let file = directory.file(name).map_err(at)?.ok_or_else(|| not_found(name, directory.path()))?;
    let preamble = Preamble::read(&file).map_err(at)?;
    check_name(&preamble, name).map_err(at)?;
    Ok((file, preamble))
}

/// Whether a name that could not be attached to for this reason may be had by a new queue. `make_room` has the last word.
pub(crate) fn is_replaceable(error: &AttachError) -> bool {
    match error {
        AttachError::NotFound { .. } | AttachError::Stale { .. } => true,
        AttachError::At { error, .. } => is_of_a_queue(error),
        _ => false,
    }
}

/// Makes room for a new queue of this name: removes what is stale or broken, refuses what is not.
pub(crate) fn make_room(directory: &Directory, name: &QueueName) -> Result<(), CreateError> {
    let at = |error| AttachError::At { path: directory.path_of(name), error: Box::new(error) };
    let rounds = Rounds::begin();
    loop {
        let Some(file) = directory.file(name).map_err(at)? else { return Ok(()) };
        match state_of(&file, name).map_err(at)? {
            NameState::Live | NameState::Idle => {
                return Err(CreateError::Exists { name: name.clone(), held_here: None });
            }
            NameState::Foreign(error) => return Err(at(error).into()),
            NameState::Stale | NameState::Broken(_) => {}
        }
        if remove_unless_used(directory, name, &file).map_err(remove_error)? {
            return Ok(());
        }
        rounds.next(name)?;
    }
}

/// Gives a whole segment, in which this process is registered, its name (M1).
pub(crate) fn publish(directory: &Directory, segment: &Segment, name: &QueueName) -> Result<(), CreateError> {
    let file = segment.fd().expect("a named segment is a file");
    let rounds = Rounds::begin();
    loop {
        let linked = directory
            .link(file, name)
            .map_err(|source| CreateError::System { action: "give the file its name", source })?;
        if linked {
            return Ok(());
        }
        make_room(directory, name)?;
        rounds.next(name)?;
    }
}

/// Whether a segment that was found by its name still has it (M3).
pub(crate) fn is_still_named(segment: &Segment) -> bool {
    segment.fd().is_some_and(has_name)
}

/// Takes the name from a file that nobody lives at (M2). False if somebody does, or the name leads elsewhere by now.
fn remove_unless_used(directory: &Directory, name: &QueueName, file: &Descriptor) -> io::Result<bool> {
    if !try_lock_all(file.as_fd())? {
        return Ok(false);
    }
    let removed = remove_if_still(&directory.place_of(name), FileIdentity::of(file).ok());
    let unlocked = unlock_all(file.as_fd());
    let removed = removed?;
    unlocked?;
    Ok(removed)
}

/// Takes the name away if it still leads to this file. The caller has one of the locks of M2.
fn remove_if_still(place: &Place<'_>, file: Option<FileIdentity>) -> Result<bool, Errno> {
    if file.is_none() || place.identity()? != file {
        return Ok(false);
    }
    place.unlink()?;
    Ok(true)
}

/// What a file is that was found under this name, once nobody has all its bytes (M5).
pub(crate) fn state_of(file: &Descriptor, name: &QueueName) -> Result<NameState, AttachError> {
    let rounds = Rounds::begin();
    let is_live = loop {
        match find_holders(file)? {
            Holders::Nobody => break false,
            Holders::Participants => break true,
            // Its name is gone by now, or will be: whoever asks looks again.
            Holders::Remover if rounds.go_on() => {}
            Holders::Remover => break true,
        }
    };
    let preamble = Preamble::read(file).and_then(|found| check_name(&found, name).map(|()| found));
    Ok(match (preamble, is_live) {
        (Ok(_), true) => NameState::Live,
        (Ok(found), false) if found.header.flags & FLAG_KEEP != 0 => NameState::Idle,
        (Ok(_), false) => NameState::Stale,
        (Err(error), false) if is_of_a_queue(&error) => NameState::Broken(error),
        (Err(error), _) => NameState::Foreign(error),
    })
}

/// Whether somebody has all bytes of a file at this moment, to remove its name (M5).
pub(crate) fn is_being_removed(file: &Descriptor) -> bool {
    holders(file.as_fd()).is_ok_and(|found| matches!(found, Holders::Remover))
}

fn find_holders(file: &Descriptor) -> Result<Holders, AttachError> {
    holders(file.as_fd())
        .map_err(|source| AttachError::System { action: "look at the locks of its file", source })
}

/// Whether an error says that a file is a queue, if not one that can be used.
fn is_of_a_queue(error: &AttachError) -> bool {
    matches!(error, AttachError::Corrupted(_) | AttachError::OtherVersion { .. })
}

/// Refuses a file that was made under another name (M1): who attaches to it would not know the queue's own from its copy, and
/// the last to leave would look for the wrong name.
fn check_name(found: &Preamble, name: &QueueName) -> Result<(), AttachError> {
    match &found.name {
        Some(other) if other != name => Err(AttachError::OtherName { found: other.clone() }),
        _ => Ok(()),
    }
}

fn not_found(name: &QueueName, folder: &Path) -> AttachError {
    AttachError::NotFound { name: name.clone(), folder: folder.to_owned() }
}

fn remove_error(source: io::Error) -> AttachError {
    AttachError::System { action: "remove its name", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_paused_for_longer_than_patience_lasts_still_looks_a_few_times() {
        let before_the_pause = Instant::now().checked_sub(2 * PATIENCE).expect("a machine that is up");
        let rounds = Rounds::since(before_the_pause);
        assert_eq!((0..=FEW).take_while(|_| rounds.go_on()).count() as u32, FEW);
    }
}

//! The end of a name: who takes it away when it leaves, and what is kept to be told where something stays behind.
//!
//! A queue that is dropped has nobody to return an error to. What it could not do, and what is lost with it, is remembered here
//! until somebody asks: the Python package does, and warns.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{Rounds, remove_error, remove_if_still, remove_unless_used};
use crate::error::AttachError;
use crate::format::SHUTDOWN_IMMEDIATE;
use crate::format::name::QueueName;
use crate::memory::fork::{self, Descriptor, FileIdentity, NoFork};
use crate::memory::segment::{Directory, NoPlace, Segment, has_name, owner_of};
use crate::presence::liveness::Locks;
use crate::presence::structure::Structure;
use crate::sync::Ordering;
use crate::sync::local::AtomicBool;

/// What is remembered at most, if nobody asks: the latest.
const MAX_LEFT_BEHIND: usize = 64;

/// So that nobody who asks often, as Python does, takes a lock each time.
static IS_ANYTHING_LEFT: AtomicBool = AtomicBool::new(false);
static LEFT_BEHIND: Mutex<Vec<(u64, LeftBehind)>> = Mutex::new(Vec::new());

/// What this process left behind when it left a queue that has a name.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeftBehind {
    /// Items that are lost: this process was the last participant, and the queue is not to be kept.
    Items {
        /// The queue's name.
        queue: QueueName,
        /// How many.
        count: usize,
    },
    /// The queue's file, which this process should have removed and could not.
    File {
        /// The queue's name.
        queue: QueueName,
        /// Where it is, and why.
        error: AttachError,
    },
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Items { queue, count } => write!(
                f,
                "{count} {} of the queue {queue:?} {} lost: this process was the last one attached to it; take what is left \
                 before it ends, or make the queue with keep=True, so that it waits for whoever attaches next",
                if *count == 1 { "item" } else { "items" },
                if *count == 1 { "is" } else { "are" },
            ),
            Self::File { queue, error } => write!(
                f,
                "the queue {queue:?} is left, but its file is not: {error}; a new queue of that name replaces it, and \
                 `treequeues clean` removes it"
            ),
        }
    }
}

/// What this process has left behind since it was last asked, in order.
pub fn take_left_behind() -> Vec<LeftBehind> {
    // Relaxed: a hint, which the lock below has the last word on.
    if !IS_ANYTHING_LEFT.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let no_fork = fork::hold_off();
    let here = fork::generation();
    let mut list = left_behind(&no_fork);
    IS_ANYTHING_LEFT.store(false, Ordering::Relaxed);
    // A forked child inherits what its parent has not told yet.
    list.drain(..).filter(|(generation, _)| *generation == here).map(|(_, left)| left).collect()
}

/// Takes the name from the segment's file, by a living participant (M2). Whether it still had it.
pub(crate) fn unlink(segment: &Segment, locks: &Locks) -> Result<bool, AttachError> {
    let (Some(name), Some(file)) = (segment.name(), locks.file()) else { return Ok(false) };
    locks.are_of(segment)?;
    let rounds = Rounds::begin();
    while !locks.try_lock_name().map_err(remove_error)? {
        rounds.next(name)?;
        locks.are_of(segment)?;
    }
    let removed = remove(segment, name, file);
    let unlocked = locks.unlock_name();
    let removed = removed?;
    unlocked.map_err(remove_error)?;
    Ok(removed)
}

/// The last step of a participant that leaves, or that could not come in: its byte is unlocked already (M4). The lock that
/// it may have afterwards ends with its descriptor.
pub(crate) fn remove_if_last(segment: &Segment, structure: &dyn Structure, locks: &Locks) {
    let (Some(name), Some(file)) = (mortal_name(segment), locks.file()) else { return };
    match locks.try_lock_all() {
        // Whoever else lives there, or does the same.
        Ok(false) => {}
        Ok(true) => remove_and_tell(segment, name, file, || structure.count_items(true)),
        Err(error) => tell(name, remove_error(error)),
    }
}

/// The same for a participant that cannot leave, because its process is about to end while threads of it still wait: takes
/// the name if nobody else lives there. Of two that do this at once none may; that leaves a stale file.
pub(crate) fn remove_if_alone(segment: &Segment, structure: &dyn Structure, locks: &Locks, own: u32) {
    let (Some(name), Some(file)) = (mortal_name(segment), locks.file()) else { return };
    if locks.are_of(segment).is_err() {
        // The mapping keeps its locks, and nobody can tell any more whether it is alone.
        return tell(name, AttachError::DescriptorsClosed);
    }
    match locks.try_lock_all() {
        Ok(false) => {}
        Ok(true) => {
            // What it still holds itself is in its own hands.
            remove_and_tell(segment, name, file, || structure.count_items(false));
            if let Err(error) = locks.unlock_all_but(own) {
                tell(name, remove_error(error));
            }
        }
        Err(error) => tell(name, remove_error(error)),
    }
}

/// What is needed to take the name away once a segment is unmapped. A participant whose descriptor somebody closed cannot
/// unlock before (`fork::descriptor` D3), and has nothing left afterwards to find the file by.
pub(crate) struct Farewell {
    name: QueueName,
    file: FileIdentity,
    folders: Vec<PathBuf>,
    items: usize,
}

impl Farewell {
    /// `None` where nothing is to be removed.
    pub(crate) fn of(segment: &Segment, structure: &dyn Structure) -> Option<Self> {
        let (name, file) = (mortal_name(segment)?.clone(), segment.identity()?);
        Some(Self {
            name,
            file,
            folders: segment.folders(),
            items: lost_items(segment, || structure.count_items(true)),
        })
    }

    /// The same as `remove_if_last`, by another opening of the file.
    pub(crate) fn remove_name(self) {
        let Self { name, file, folders, items } = self;
        let mut refused = None;
        for folder in folders {
            let removed = Directory::open_if_there(folder).map_err(AttachError::from).and_then(|directory| {
                let Some(directory) = directory else { return Ok(None) };
                let found = directory.file(&name)?.filter(|found| found.identity() == file);
                let remove = |found| remove_unless_used(&directory, &name, &found).map_err(remove_error);
                found.map(remove).transpose()
            });
            match removed {
                Ok(None) => {}
                Ok(Some(false)) => return,
                Ok(Some(true)) => return tell_of_items(&name, items),
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        if let Some(error) = refused {
            tell(&name, error);
        }
    }
}

/// The name of a segment that ends with its last participant.
fn mortal_name(segment: &Segment) -> Option<&QueueName> {
    segment.name().filter(|_| !segment.is_kept())
}

fn remove_and_tell(
    segment: &Segment,
    name: &QueueName,
    file: &Descriptor,
    count_items: impl FnOnce() -> usize,
) {
    match remove(segment, name, file) {
        Ok(true) => tell_of_items(name, lost_items(segment, count_items)),
        // Somebody took the name away before: that the items go with the last participant was asked for.
        Ok(false) => {}
        Err(error) => tell(name, error),
    }
}

/// Takes the name away wherever it is by now. The caller has one of the locks of M2. False if the file has none any more.
fn remove(segment: &Segment, name: &QueueName, file: &Descriptor) -> Result<bool, AttachError> {
    let owner = owner_of(file).map_err(remove_error)?;
    let mut refused = None;
    for folder in segment.folders() {
        if !has_name(file) {
            return Ok(false);
        }
        let path = folder.join(name.as_str());
        let removed =
            Directory::with_place_in(folder, owner, name, |place| remove_if_still(place, segment.identity()));
        match removed {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => {
                refused.get_or_insert((path, error));
            }
        }
    }
    if !has_name(file) {
        return Ok(false);
    }
    Err(not_removed(segment, name, owner, refused))
}

fn not_removed(
    segment: &Segment,
    name: &QueueName,
    owner: u32,
    refused: Option<(PathBuf, NoPlace)>,
) -> AttachError {
    let here = rustix::process::geteuid().as_raw();
    let (path, why, errno) = match refused {
        Some((path, error)) => (path, error.to_string(), error.errno()),
        None => (
            segment.folder().map_or_else(Directory::path_of_this_user, Into::into).join(name.as_str()),
            "the name leads elsewhere, since the file or its folder was moved, or hidden by a mount"
                .to_owned(),
            Errno::NOENT,
        ),
    };
    let why = if owner == here {
        why
    } else {
        format!(
            "{why}; it belongs to user {owner}, and this process runs as user {here}: remove it as that user"
        )
    };
    AttachError::NotRemoved { path, why, errno: errno.raw_os_error() }
}

/// The items that go with a name, but for those of a queue that was shut down at once: nobody was to have them.
fn lost_items(segment: &Segment, count: impl FnOnce() -> usize) -> usize {
    // Relaxed: nobody else is there.
    let was_shut_down_at_once = segment.control().shutdown.flag.load(Ordering::Relaxed) == SHUTDOWN_IMMEDIATE;
    if was_shut_down_at_once { 0 } else { count() }
}

fn tell_of_items(queue: &QueueName, count: usize) {
    if count > 0 {
        remember(LeftBehind::Items { queue: queue.clone(), count });
    }
}

fn tell(queue: &QueueName, error: AttachError) {
    remember(LeftBehind::File { queue: queue.clone(), error });
}

fn remember(left: LeftBehind) {
    let no_fork = fork::hold_off();
    let mut list = left_behind(&no_fork);
    if list.len() == MAX_LEFT_BEHIND {
        list.remove(0);
    }
    list.push((fork::generation(), left));
    IS_ANYTHING_LEFT.store(true, Ordering::Relaxed);
}

/// Locked only while forks are held off, so a child never inherits it locked.
fn left_behind(_: &NoFork) -> MutexGuard<'static, Vec<(u64, LeftBehind)>> {
    LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner)
}

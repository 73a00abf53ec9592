//! Who shut a queue or a topic down, and when.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::format::{NOBODY, SHUTDOWN_IMMEDIATE, ShutdownNote};

/// Who shut a queue or a topic down, and when.
///
/// ```
/// use treequeues::{Dtype, LeafKind, LeafSpec, Queue, ReserveError, Schema, Structure};
///
/// let leaf = LeafSpec::new(Dtype::from_name("float32")?, vec![3], LeafKind::Array);
/// let queue = Queue::create(Schema::new(Structure::leaf(), vec![leaf])?, 8)?;
/// queue.shutdown(false)?;
///
/// let Err(ReserveError::ShutDown(shutdown)) = queue.reserve() else { unreachable!() };
/// assert_eq!(shutdown.pid(), Some(std::process::id()));
/// assert!(!shutdown.is_immediate());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    note: ShutdownNote,
    is_immediate: bool,
    ended: Option<EndedStream>,
}

/// What the end of a stream says of its producers: see [`CreateOptions::producers`](crate::CreateOptions::producers).
///
/// It is shown as `all 3 producers have left; 1 of them died`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedStream {
    /// How many came.
    pub came: u32,
    /// How many of these died, instead of leaving.
    pub died: u32,
}

impl Shutdown {
    /// The first one, from the flag of a queue that is shut down, and its notes.
    pub(crate) fn first(flag: u32, first: u64, immediate: u64, producers: u64) -> Self {
        let note = ShutdownNote(first);
        let is_end = note.pid() == NOBODY && note.at_ms() != 0 && producers != 0;
        let ended = is_end.then_some(EndedStream { came: producers as u32, died: (producers >> 32) as u32 });
        Self { note, is_immediate: flag == SHUTDOWN_IMMEDIATE && first == immediate, ended }
    }

    /// The immediate one.
    pub(crate) fn immediate(note: u64) -> Self {
        Self { note: ShutdownNote(note), is_immediate: true, ended: None }
    }

    /// The process that did it, as that one sees its own number; `None` if the segment does not say, or if the stream ended by itself. Of
    /// several that did it at once, one.
    pub fn pid(&self) -> Option<u32> {
        (self.note.pid() != 0).then(|| self.note.pid())
    }

    /// When that was, to the millisecond, by the clock of that process; `None` if the segment does not say.
    pub fn at(&self) -> Option<SystemTime> {
        (self.note.at_ms() != 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(self.note.at_ms()))
    }

    /// If it is the end of a stream, by the leaving of all producers: what it says of them.
    pub fn ended(&self) -> Option<EndedStream> {
        self.ended
    }

    /// Whether it was the kind that leaves nothing to get.
    pub fn is_immediate(&self) -> bool {
        self.is_immediate
    }
}

/// `shut down by process 4711 (another one), 3.2 s ago`.
impl fmt::Display for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shut down")?;
        if self.is_immediate {
            f.write_str(" immediately")?;
        }
        if let Some(pid) = self.pid() {
            let whose = if pid == std::process::id() { "this one" } else { "another one" };
            write!(f, " by process {pid} ({whose})")?;
        }
        if let Some(at) = self.at() {
            // The clock may have been set back.
            let ago = SystemTime::now().duration_since(at).unwrap_or(Duration::ZERO);
            write!(f, ", {:.1} s ago", ago.as_secs_f64())?;
        }
        self.ended.map_or(Ok(()), |ended| write!(f, ": {ended}"))
    }
}

impl fmt::Display for EndedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { came: 1, died: 0 } => f.write_str("the one producer has left"),
            Self { came: 1, .. } => f.write_str("the one producer has died"),
            Self { came, died: 0 } => write!(f, "all {came} producers have left"),
            Self { came, died } => write!(f, "all {came} producers have left; {died} of them died"),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::format::SHUTDOWN_DRAIN;

    #[test]
    fn a_note_keeps_the_process_and_the_millisecond() {
        for (pid, at_ns) in [(1, 1_000_000), (4_194_303, 4_000_000_000_123_999_999)] {
            let shutdown = Shutdown::immediate(ShutdownNote::new(pid, at_ns).0);
            assert_eq!(shutdown.pid(), Some(pid));
            let at = shutdown.at().expect("a time").duration_since(SystemTime::UNIX_EPOCH).expect("after it");
            assert_eq!(at.as_millis(), u128::from(at_ns / 1_000_000));
        }
    }

    #[test]
    fn any_note_can_be_shown() {
        let shown = |first, immediate| Shutdown::first(SHUTDOWN_IMMEDIATE, first, immediate, 0).to_string();
        assert_eq!(shown(0, 1), "shut down");
        assert_eq!(
            shown(u64::MAX, u64::MAX),
            "shut down immediately by process 4194303 (another one), 0.0 s ago"
        );
        assert!(shown(1 << 22, 0).ends_with(" s ago"));
    }

    #[test]
    fn the_end_of_a_stream_says_who_left_and_who_died() {
        let shown = |came: u64, died: u64| {
            let note = ShutdownNote::new(NOBODY, 1_000_000).0;
            let ended = Shutdown::first(SHUTDOWN_DRAIN, note, 0, died << 32 | came);
            assert_eq!(ended.pid(), None);
            let text = ended.to_string();
            text.split_once(" s ago: ").expect("when, and why").1.to_owned()
        };
        assert_eq!(shown(1, 0), "the one producer has left");
        assert_eq!(shown(1, 1), "the one producer has died");
        assert_eq!(shown(3, 0), "all 3 producers have left");
        assert_eq!(shown(3, 1), "all 3 producers have left; 1 of them died");
        let by_somebody = Shutdown::first(SHUTDOWN_DRAIN, ShutdownNote::new(7, 1_000_000).0, 0, 3);
        assert_eq!((by_somebody.pid(), by_somebody.ended()), (Some(7), None));
    }
}

//! Queues and topics that nobody else uses: a call that waits there would wait for ever, and says so.
//!
//! A wait looks who else uses the queue, twice within the time after which it warns. It warns if it was alone both times: what
//! one look sees may be about to change, as when the last producer has just ended and its parent is about to say so.

use std::env;
use std::ffi::OsStr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use treequeues::Peers;

use crate::errors;
use crate::waiting::Awaited;

/// After how many seconds a wait warns: another number, or 0 for never.
const WARN_AFTER: &str = "TREEQUEUES_WARN_AFTER";
const DEFAULT_WARN_AFTER: Duration = Duration::from_secs(10);
/// So many times as long a wait goes without a warning after the queue was handed over, until another process attaches: one
/// that is spawned may import for long before it does.
const PATIENCE: u32 = 6;

/// What messages call it, and the class that others attach by.
#[derive(Clone, Copy)]
pub struct What {
    pub noun: &'static str,
    pub class: &'static str,
}

/// What one queue's or topic's object knows about being alone.
#[derive(Clone)]
pub struct Unshared {
    what: What,
    /// `None` for never.
    warn_after: Option<Duration>,
    /// Whether it was made while `multiprocessing` imported the program into a process that it started.
    is_made_anew: bool,
    /// Set once the queue was pickled here.
    handed_over: Arc<OnceLock<()>>,
    warned: Arc<OnceLock<()>>,
}

/// One call's wait, and what it has seen. It begins with the end of the first sleep: a wait that is shorter asks no clock.
#[derive(Default)]
pub struct Watch {
    began: Option<Instant>,
    next_look: Option<Instant>,
    was_alone: bool,
}

impl Unshared {
    /// As the environment says now: what it says later does not count.
    ///
    /// # Errors
    /// The warning about a value that is no number of seconds, if warnings are errors.
    pub fn new(py: Python<'_>, what: What) -> PyResult<Self> {
        Ok(Self {
            what,
            warn_after: warn_after(py)?,
            is_made_anew: false,
            handed_over: Arc::default(),
            warned: Arc::default(),
        })
    }

    /// Asks whether the queue, which was just made, was made anew.
    pub fn ask_how_it_was_made(&mut self, py: Python<'_>) -> PyResult<()> {
        let sharing = py.import(intern!(py, "treequeues._sharing"))?;
        self.is_made_anew = sharing.call_method0(intern!(py, "is_importing_anew"))?.extract()?;
        Ok(())
    }

    pub fn is_made_anew(&self) -> bool {
        self.is_made_anew
    }

    /// Another process may be on its way.
    pub fn is_handed_over(&self) {
        let _ = self.handed_over.set(());
    }

    /// Whether to warn of a wait, because nobody else uses the queue: what is known of others then, by `peers`. It needs no
    /// interpreter.
    pub fn found_alone(&self, watch: &mut Watch, peers: impl FnOnce() -> Option<Peers>) -> Option<Peers> {
        let after = self.warn_after?;
        let now = Instant::now();
        let began = *watch.began.get_or_insert_with(|| {
            watch.next_look = now.checked_add(after / 2);
            now
        });
        if now < watch.next_look? || self.warned.get().is_some() {
            return None;
        }
        watch.next_look = now.checked_add(after / 2);
        // If the system does not tell, nothing is known.
        let peers = peers()?;
        let is_alone = match peers {
            Peers::Thread => false,
            Peers::Process => self.is_made_anew,
            Peers::Gone { .. } | Peers::Never => true,
        };
        let was_alone = std::mem::replace(&mut watch.was_alone, is_alone);
        let longest = if self.is_somebody_awaited(peers) { after.saturating_mul(PATIENCE) } else { after };
        (is_alone && was_alone && now - began >= longest).then_some(peers)
    }

    /// Warns of a call that waits for nobody: once.
    ///
    /// # Errors
    /// The warning, if warnings are errors.
    pub fn warn_of_wait(
        &self,
        py: Python<'_>,
        name: Option<&str>,
        what: Awaited,
        peers: Peers,
    ) -> PyResult<()> {
        let said = warn(py, self.message(name, what, peers));
        // One that is an error is raised each time.
        if said.is_ok() {
            let _ = self.warned.set(());
        }
        said
    }

    /// Whether the queue was handed to a process that has not come to it yet.
    fn is_somebody_awaited(&self, peers: Peers) -> bool {
        peers == Peers::Never && self.handed_over.get().is_some() && !self.is_made_anew
    }

    fn message(&self, name: Option<&str>, what: Awaited, peers: Peers) -> String {
        let What { noun, class } = self.what;
        let after = self.warn_after.unwrap_or_default();
        let (awaited, does) = match what {
            Awaited::Slot => ("a free slot", "take"),
            Awaited::Items(1) => ("an item", "put"),
            Awaited::Items(_) => ("items", "put"),
        };
        let is_awaited = self.is_somebody_awaited(peers);
        let after = if is_awaited { after.saturating_mul(PATIENCE) } else { after };
        let waits = format!("a call has waited for {awaited} for {} s", after.as_secs_f64());
        let known = match peers {
            _ if self.is_made_anew => format!(
                "{waits}, in a {noun} that was made anew when multiprocessing imported the program into this process: it is not \
                 the {noun} of the process that started this one. Pass that {noun} as an argument, and make it under `if \
                 __name__ == \"__main__\":`"
            ),
            Peers::Gone { last_pid } => {
                let last = last_pid
                    .map_or_else(String::new, |pid| format!(" (the last one to attach was process {pid})"));
                format!(
                    "{waits}, and no other process is attached to the {noun} any more: all that were have ended or left \
                     it{last}, and no other thread of this process has used it. If they were to {does} more, look how they \
                     ended; if they were done, let the process that joins them call shutdown(), which ends this wait"
                )
            }
            _ => {
                let mend = match name {
                    _ if is_awaited => format!(
                        "It was pickled here for another process: look whether that one has come to an end before it could \
                         {does}"
                    ),
                    Some(name) => {
                        format!("Let the process that is to {does} attach to it: {class}.attach(\"{name}\")")
                    }
                    None => format!(
                        "Pass the {noun} as an argument to the process that is to {does}, and make it under `if __name__ == \
                         \"__main__\":`; as a global of a module, each process that is spawned, or comes from a fork \
                         server, makes another one for itself"
                    ),
                };
                format!(
                    "{waits}, and nobody else has ever used the {noun}: no other process was attached to it (a forked child is \
                     from its first call on), and no other thread of this process has put or taken anything. {mend}"
                )
            }
        };
        format!("{known}. {WARN_AFTER}=0 turns this warning off")
    }
}

/// What the environment says.
fn warn_after(py: Python<'_>) -> PyResult<Option<Duration>> {
    static TOLD: OnceLock<()> = OnceLock::new();
    let Some(said) = env::var_os(WARN_AFTER).filter(|said| !said.is_empty()) else {
        return Ok(Some(DEFAULT_WARN_AFTER));
    };
    if let Some(seconds) = seconds_of(&said) {
        // What a Duration cannot hold is longer than anybody waits.
        return Ok(Duration::try_from_secs_f64(seconds).ok().filter(|after| !after.is_zero()));
    }
    if TOLD.get().is_none() {
        let default = DEFAULT_WARN_AFTER.as_secs();
        let message = format!(
            "{WARN_AFTER} must be a number of seconds, or 0 for never, got {said:?}: {default} s are used"
        );
        errors::warn(py, &py.get_type::<PyRuntimeWarning>(), &message)?;
        let _ = TOLD.set(());
    }
    Ok(Some(DEFAULT_WARN_AFTER))
}

fn seconds_of(said: &OsStr) -> Option<f64> {
    let seconds: f64 = said.to_str()?.trim().parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}

fn warn(py: Python<'_>, message: String) -> PyResult<()> {
    static CATEGORY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let category = CATEGORY.import(py, "treequeues._sharing", "UnsharedQueueWarning")?;
    errors::warn(py, category, &message)
}

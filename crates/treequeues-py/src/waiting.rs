//! How a call claims what may not be there yet: it tries, and then it waits.
//!
//! A try costs less than to give the interpreter's lock up, so it is mostly done with it. A wait is done without. At the end of each
//! sleep it looks whether it is to end: a handler of a signal raised (Ctrl-C), a warning is an error, or the object was closed under
//! it.
//!
//! A1. A `Py` reference is only dropped, and Python only called, while attached to the interpreter.
//! A2. A thread that waits when the interpreter is finalized, a daemon, never comes back from the wait: what it would
//!     come back to is freed. A wait holds nothing that others could miss, and the process is about to end. The main thread,
//!     which finalizes, may wait too, in a `__del__`: it looks at no signals then, and comes back.

use std::sync::OnceLock;
use std::thread;

use pyo3::intern;
use pyo3::prelude::*;
use treequeues::Wait;

use crate::arguments::Timeout;
use crate::detached::claiming;

/// What a call waits for.
#[derive(Clone, Copy)]
pub enum Awaited {
    Slot,
    /// So many.
    Items(usize),
}

/// Why nothing was claimed.
pub trait Refusal: Send {
    /// Whether there is nothing to claim yet, so that a call which waits goes on.
    fn may_pass(&self) -> bool;
}

/// What a wait has an eye on, to warn of it.
pub trait Lookout: Send {
    /// Looks without the interpreter, at the end of each sleep: whether there is something to say.
    fn has_seen(&mut self) -> bool;

    /// Looks attached to the interpreter, and says what was seen.
    ///
    /// # Errors
    ///
    /// A warning, if warnings are errors: it ends the wait.
    fn say(&mut self, py: Python<'_>) -> PyResult<()>;
}

/// Whether an object was closed, for the calls that wait in it.
#[derive(Default)]
pub struct Closed(OnceLock<()>);

impl Closed {
    pub fn set(&self) {
        // Closing twice is closing once.
        let _ = self.0.set(());
    }

    pub fn is_set(&self) -> bool {
        self.0.get().is_some()
    }
}

/// Claims something: `at_once`, or else, if that may pass and the call waits, in `waiting`, with the lookout that `look_out` makes: until
/// the timeout, or until the object is closed.
///
/// A try that may be long is detached from the interpreter; it asks now and then whether it is to end.
///
/// # Errors
///
/// What `refused` makes of the reason that nothing was claimed, and of what ended the call, if Python did: what a signal handler or a
/// warning raised.
#[inline(always)] // Whatever is made early, or moved twice, costs each call that finds what it wants.
pub fn claim<T: Send, E: Refusal, L: Lookout>(
    py: Python<'_>,
    (timeout, closed): (Timeout, &Closed),
    may_be_long: bool,
    look_out: impl FnOnce() -> L + Send,
    at_once: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, E> + Send,
    waiting: impl FnOnce(Wait<'_>) -> Result<T, E> + Send,
    refused: impl FnOnce(E, Option<PyErr>) -> PyErr,
) -> PyResult<T> {
    let mut waiter = Waiter { closed, handles_signals: None, interruption: None };
    let outcome = match claiming(py, may_be_long, || at_once(&mut || waiter.is_to_end())) {
        Err(refusal) if refusal.may_pass() && timeout.waits() => py.detach(|| {
            let mut lookout = look_out();
            let mut interrupted = || waiter.is_to_end_looking(&mut lookout);
            waiting(timeout.wait().after_a_try().or_until(&mut interrupted))
        }),
        outcome => outcome,
    };
    outcome.map_err(|refusal| refused(refusal, waiter.interruption))
}

/// A call that waits, and the thread that it waits in.
struct Waiter<'c> {
    closed: &'c Closed,
    /// Whether Python runs the handlers of signals in this thread; `None` before its first sleep has ended. All other threads
    /// need not ask for signals, which spares the interpreter's lock at the end of each sleep: hundreds of them may wait
    /// beside one that works.
    handles_signals: Option<bool>,
    /// What Python raised meanwhile.
    interruption: Option<PyErr>,
}

impl Waiter<'_> {
    /// Whether a claim of very many slots should end.
    fn is_to_end(&mut self) -> bool {
        if self.handles_signals.unwrap_or(true) {
            self.run_handlers(|_| Ok(()));
        }
        self.has_ended()
    }

    /// Whether a wait should end. Threads that handle no signals are attached once, after their first sleep, and then only for what
    /// was seen: what is looked at while attached is locked, and a fork must not copy it so.
    fn is_to_end_looking(&mut self, lookout: &mut impl Lookout) -> bool {
        let has_seen = lookout.has_seen();
        if self.handles_signals.unwrap_or(true) || has_seen {
            self.run_handlers(|py| lookout.say(py));
        }
        self.has_ended()
    }

    fn has_ended(&self) -> bool {
        self.interruption.is_some() || self.closed.is_set()
    }

    /// Runs the handlers of signals, and then what else a wait does with the interpreter.
    fn run_handlers(&mut self, and_then: impl FnOnce(Python<'_>) -> PyResult<()>) {
        let raised = Python::try_attach(|py| {
            self.learn_about_thread(py)?;
            py.check_signals()?;
            and_then(py)
        });
        self.interruption = raised.unwrap_or_else(end_with_the_interpreter).err();
    }

    fn learn_about_thread(&mut self, py: Python<'_>) -> PyResult<()> {
        if self.handles_signals.is_none() {
            let threading = py.import(intern!(py, "threading"))?;
            let here = threading.call_method0(intern!(py, "get_ident"))?;
            let main = threading.call_method0(intern!(py, "main_thread"))?.getattr(intern!(py, "ident"))?;
            self.handles_signals = Some(here.eq(main)?);
        }
        Ok(())
    }
}

/// For a thread that the interpreter, which is being finalized, lets in no more (A2).
fn end_with_the_interpreter() -> PyResult<()> {
    if is_main_thread() {
        return Ok(());
    }
    loop {
        thread::park();
    }
}

/// Whether this is the thread that the process began with, or was forked in.
fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

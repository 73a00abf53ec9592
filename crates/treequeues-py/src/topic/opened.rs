//! An open topic and its subscriptions: what they consist of, and what is claimed of them.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use treequeues::{
    PublishError, Start, Subscriber, Topic, TopicElsewhere, TopicReadLoan, TopicWriteLoan, Wait,
};

use super::refused;
use crate::arguments::Timeout;
use crate::open::Open;
use crate::outcome;
use crate::shared::closed;
use crate::waiting::{Awaited, Closed};

/// A topic, and its schema bound to this process's Python classes. An object of Python's, so that to refer to it costs little.
#[pyclass(frozen, module = "treequeues._core", name = "_OpenTopic")]
pub struct Opened {
    /// Subscriptions that began with this object, and are closed with it.
    subscriptions: Mutex<Vec<Weak<Following>>>,
    /// Last, as it says.
    open: Open<Topic>,
}

/// A subscription as its calls use it: several threads may, and any of them, or the topic's object, may close it meanwhile.
pub struct Following {
    at: Mutex<At>,
    /// Calls that wait end when this is set.
    closed: Closed,
}

/// What a subscription is at.
enum At {
    /// The subscription first, as what is dropped first: the other one leaves the topic, detached.
    Open(Arc<Subscriber>, Py<Opened>),
    /// By itself, or with the topic's object.
    Closed(Standing, Closing),
}

/// How far a subscription has come.
#[derive(Clone, Copy)]
pub struct Standing {
    pub missed: u64,
    pub next_ticket: u64,
}

#[derive(Clone, Copy)]
enum Closing {
    Alone,
    WithTopic,
}

impl Standing {
    fn of(subscriber: &Subscriber) -> Self {
        Self { missed: subscriber.missed(), next_ticket: subscriber.next_ticket() }
    }
}

/// Which item a call is after.
#[derive(Clone, Copy)]
pub enum Wanted<'s> {
    /// The newest one.
    Latest,
    /// The next one of a subscription.
    Next(&'s Following, &'s Subscriber),
    /// The newest one that a subscription has not had.
    Newest(&'s Following, &'s Subscriber),
}

impl Deref for Opened {
    type Target = Open<Topic>;

    #[inline]
    fn deref(&self) -> &Open<Topic> {
        &self.open
    }
}

impl Opened {
    pub fn new(open: Open<Topic>) -> Self {
        Self { subscriptions: Mutex::default(), open }
    }

    /// Ends calls that wait, and subscriptions, and keeps no idle memory from now on: loans, and views of their arrays, may keep the rest.
    pub fn close(&self) {
        self.open.close();
        let subscriptions = std::mem::take(&mut *lock(&self.subscriptions));
        subscriptions
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|following| following.end(Closing::WithTopic));
    }

    /// A subscription.
    ///
    /// # Errors
    ///
    /// `OSError` if the segment is damaged.
    pub fn subscribe(py: Python<'_>, opened: Py<Opened>, start: Start) -> PyResult<Arc<Following>> {
        let subscriber = opened.get().shared.subscribe(start).map_err(outcome::attach_error)?;
        Self::follow(py, opened, subscriber)
    }

    /// A subscription that begins where another one has left off.
    ///
    /// # Errors
    ///
    /// As `subscribe`.
    pub fn subscribe_from(py: Python<'_>, opened: Py<Opened>, ticket: u64) -> PyResult<Arc<Following>> {
        let subscriber = opened.get().shared.subscribe_from(ticket).map_err(outcome::attach_error)?;
        Self::follow(py, opened, subscriber)
    }

    /// # Errors
    ///
    /// `ValueError` if the topic's object was closed meanwhile.
    fn follow(py: Python<'_>, opened: Py<Opened>, subscriber: Subscriber) -> PyResult<Arc<Following>> {
        let at = Mutex::new(At::Open(Arc::new(subscriber), opened.clone_ref(py)));
        let following = Arc::new(Following { at, closed: Closed::default() });
        let mut subscriptions = lock(&opened.get().subscriptions);
        if opened.get().is_closed() {
            drop(subscriptions);
            return Err(closed::<Topic>());
        }
        subscriptions.retain(|following| following.strong_count() > 0);
        subscriptions.push(Arc::downgrade(&following));
        drop(subscriptions);
        Ok(following)
    }

    /// For a call that uses the topic: a forked child attaches at its first one.
    ///
    /// # Errors
    ///
    /// If the child cannot attach.
    #[inline]
    pub fn here(opened: Py<Opened>, py: Python<'_>) -> PyResult<Py<Opened>> {
        if !opened.get().shared.is_attached_here() {
            opened.get().attach_after_fork(py)?;
        }
        Ok(opened)
    }

    pub fn reserve(&self, py: Python<'_>, timeout: Timeout) -> PyResult<TopicWriteLoan<'_>> {
        let topic = &self.shared;
        self.reserve_by(py, timeout, || topic.try_reserve(), |wait| topic.reserve_with(wait))
    }

    /// A slot for an item whose own one views keep; `None` if there is no other that surely becomes free.
    pub fn reserve_elsewhere(
        &self,
        py: Python<'_>,
        item: TopicElsewhere,
        timeout: Timeout,
    ) -> PyResult<Option<TopicWriteLoan<'_>>> {
        let topic = &self.shared;
        self.reserve_by(
            py,
            timeout,
            || topic.try_reserve().map(Some),
            |wait| match topic.reserve_elsewhere_with(item, wait) {
                Err(PublishError::Kept) => Ok(None),
                outcome => outcome.map(Some),
            },
        )
    }

    fn reserve_by<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Timeout,
        at_once: impl FnOnce() -> Result<T, PublishError> + Send,
        waiting: impl FnOnce(Wait<'_>) -> Result<T, PublishError> + Send,
    ) -> PyResult<T> {
        let refused = |error, interruption| refused::publish_error(py, &self.shared, error, interruption);
        self.open.claim(py, timeout, (Awaited::Slot, false), |_| at_once(), waiting, refused)
    }

    #[inline]
    pub fn borrow<'o>(
        &'o self,
        py: Python<'_>,
        wanted: Wanted<'o>,
        timeout: Timeout,
    ) -> PyResult<TopicReadLoan<'o>> {
        let topic: &Topic = &self.shared;
        let at_once = |_: &mut dyn FnMut() -> bool| match wanted {
            Wanted::Latest => topic.try_borrow_latest(),
            Wanted::Next(_, subscriber) => subscriber.try_borrow(),
            Wanted::Newest(_, subscriber) => subscriber.try_borrow_latest(),
        };
        let waiting = |wait: Wait<'_>| match wanted {
            Wanted::Latest => topic.borrow_latest_with(wait),
            Wanted::Next(_, subscriber) => subscriber.borrow_with(wait),
            Wanted::Newest(_, subscriber) => subscriber.borrow_latest_with(wait),
        };
        let refused = |error, interruption| {
            let ended = || closed_by(self.is_closed());
            refused::subscribe_error(py, topic, error, interruption, ended)
        };
        let is_closed = match wanted {
            Wanted::Latest => &self.closed,
            Wanted::Next(following, _) | Wanted::Newest(following, _) => &following.closed,
        };
        let awaited = (Awaited::Items(1), false);
        self.open.claim_until(py, (timeout, is_closed), awaited, at_once, waiting, refused)
    }

    /// Whether memory for what is read is needed in advance. Only a call that is about to find nothing and will not wait for it
    /// does not allocate it.
    pub fn is_likely_to_read(&self, wanted: Wanted<'_>, timeout: Timeout) -> bool {
        let first = match wanted {
            Wanted::Latest => 1,
            Wanted::Next(_, subscriber) | Wanted::Newest(_, subscriber) => subscriber.next_ticket(),
        };
        timeout.waits() || self.shared.version().is_ok_and(|version| version >= first)
    }
}

impl Following {
    /// The topic and the subscription beneath.
    ///
    /// # Errors
    ///
    /// `ValueError` if it is closed, or its topic.
    pub fn open(&self, py: Python<'_>) -> PyResult<(Py<Opened>, Arc<Subscriber>)> {
        let (opened, subscriber) = match &*lock(&self.at) {
            At::Open(subscriber, opened) => (opened.clone_ref(py), Arc::clone(subscriber)),
            At::Closed(_, closing) => return Err(closed_by(matches!(closing, Closing::WithTopic))),
        };
        Ok((Opened::here(opened, py)?, subscriber))
    }

    /// How far it has come, or had when it was closed; and whether it is open.
    pub fn standing(&self) -> (Standing, bool) {
        match &*lock(&self.at) {
            At::Open(subscriber, _) => (Standing::of(subscriber), true),
            At::Closed(standing, _) => (*standing, false),
        }
    }

    /// Ends it. Calls of other threads that are under way end then.
    pub fn close(&self) {
        self.end(Closing::Alone);
    }

    fn end(&self, closing: Closing) {
        self.closed.set();
        let mut now = lock(&self.at);
        let At::Open(subscriber, _) = &*now else { return };
        let at = At::Closed(Standing::of(subscriber), closing);
        let before = std::mem::replace(&mut *now, at);
        drop(now);
        if let At::Open(_, opened) = &before {
            opened.get().shared.wake_all();
        }
    }

    /// For the collector of cycles, from the one object that has it.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Locked by nobody for longer than a few instructions, in which no collection begins.
        match self.at.try_lock().as_deref() {
            Ok(At::Open(_, opened)) => visit.call(opened),
            _ => Ok(()),
        }
    }
}

/// Locked by who has the interpreter's lock, and for a few instructions: no fork copies it locked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a call says that comes after the closing, or whose wait that has ended: of the topic, or of the subscription alone.
fn closed_by(topic: bool) -> PyErr {
    if topic { closed::<Topic>() } else { PyValueError::new_err("the subscription is closed") }
}

#[pymethods]
impl Opened {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.open.traverse(&visit)
    }
}

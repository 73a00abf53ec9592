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
    Open(Py<Opened>, Arc<Subscriber>),
    Closed,
    /// The topic's object was.
    ClosedWithTopic,
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
            .for_each(|following| following.end(At::ClosedWithTopic));
    }

    /// A subscription.
    ///
    /// # Errors
    ///
    /// `OSError` if the segment is damaged.
    pub fn subscribe(opened: Py<Opened>, start: Start) -> PyResult<Arc<Following>> {
        let subscriber = opened.get().shared.subscribe(start).map_err(outcome::attach_error)?;
        Ok(Self::follow(opened, subscriber))
    }

    /// A subscription that begins where another one has left off.
    ///
    /// # Errors
    ///
    /// As `subscribe`.
    pub fn subscribe_from(opened: Py<Opened>, ticket: u64) -> PyResult<Arc<Following>> {
        let subscriber = opened.get().shared.subscribe_from(ticket).map_err(outcome::attach_error)?;
        Ok(Self::follow(opened, subscriber))
    }

    fn follow(opened: Py<Opened>, subscriber: Subscriber) -> Arc<Following> {
        let mut subscriptions = lock(&opened.get().subscriptions);
        let at = At::Open(Python::attach(|py| opened.clone_ref(py)), Arc::new(subscriber));
        let following = Arc::new(Following { at: Mutex::new(at), closed: Closed::default() });
        subscriptions.retain(|following| following.strong_count() > 0);
        subscriptions.push(Arc::downgrade(&following));
        drop(subscriptions);
        following
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
            At::Open(opened, subscriber) => (opened.clone_ref(py), Arc::clone(subscriber)),
            At::Closed => return Err(closed_by(false)),
            At::ClosedWithTopic => return Err(closed_by(true)),
        };
        Ok((Opened::here(opened, py)?, subscriber))
    }

    /// Ends it. Calls of other threads that are under way end then.
    pub fn close(&self) {
        self.end(At::Closed);
    }

    fn end(&self, at: At) {
        self.closed.set();
        let mut now = lock(&self.at);
        let before = if matches!(*now, At::Open(..)) { std::mem::replace(&mut *now, at) } else { return };
        drop(now);
        if let At::Open(opened, _) = &before {
            opened.get().shared.wake_all();
        }
    }

    /// For the collector of cycles, from the one object that has it.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Locked by nobody for longer than a few instructions, in which no collection begins.
        match self.at.try_lock().as_deref() {
            Ok(At::Open(opened, _)) => visit.call(opened),
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

//! When a relay is to end, and why: a signal, or what waiting would not mend.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::failure::Failure;

/// Shared by all that a relay does; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ending(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    is_over: AtomicBool,
    /// The same for those who wait.
    told: watch::Sender<bool>,
    why: Mutex<Option<Failure>>,
}

impl Ending {
    pub fn new() -> Self {
        let told = watch::Sender::new(false);
        Self(Arc::new(Shared { is_over: AtomicBool::new(false), told, why: Mutex::default() }))
    }

    /// One that comes with SIGTERM, SIGINT or SIGHUP.
    pub fn by_signals() -> io::Result<Self> {
        let ending = Self::new();
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
            let mut signals = signal(kind)?;
            let ending = ending.clone();
            tokio::spawn(async move {
                signals.recv().await;
                ending.end();
            });
        }
        Ok(ending)
    }

    pub fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        self.0.told.send_replace(true);
    }

    /// The first reason counts.
    pub fn fail(&self, why: Failure) {
        self.0.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.end();
    }

    pub fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    /// Whether it is to end for a reason that is none of a person's.
    pub fn has_failed(&self) -> bool {
        self.0.why.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits for it.
    pub async fn over(&self) {
        let mut told = self.0.told.subscribe();
        // The sender lives as long as `self`.
        let _ = told.wait_for(|is_over| *is_over).await;
    }

    /// Once it is over.
    pub fn outcome(&self) -> Result<(), Failure> {
        self.0.why.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

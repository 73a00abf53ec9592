//! The signals that end a command: it finishes what it is at, cleans up and goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure::Failure;

/// Between two looks at the flag while a command has nothing else to do: what Ctrl-C takes at most.
const NAP: Duration = Duration::from_millis(50);

/// Whether this process was asked to end.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens to Ctrl-C, `kill`, and the terminal's end.
    pub fn listen() -> Result<Self, Failure> {
        Self::listen_to(&[SIGINT, SIGTERM, SIGHUP])
    }

    /// Listens to Ctrl-C and `kill`. When the terminal ends, the process ends: there is nothing to be given back.
    pub fn listen_on_a_terminal() -> Result<Self, Failure> {
        Self::listen_to(&[SIGINT, SIGTERM])
    }

    fn listen_to(signals: &[i32]) -> Result<Self, Failure> {
        let stop = Self::default();
        for signal in signals {
            // A second one ends the process, whatever it is at.
            signal_hook::flag::register_conditional_default(*signal, Arc::clone(&stop.0))
                .and_then(|_| signal_hook::flag::register(*signal, Arc::clone(&stop.0)))
                .map_err(Failure::could_not("listen to signals"))?;
        }
        Ok(stop)
    }

    pub fn is_set(&self) -> bool {
        // Relaxed: nothing is published by it.
        self.0.load(Ordering::Relaxed)
    }

    pub fn set(&self) {
        // Relaxed: as above.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Sleeps until then, or until asked to end.
    pub fn sleep_until(&self, then: Instant) {
        while !self.is_set() {
            let left = then.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(NAP));
        }
    }
}

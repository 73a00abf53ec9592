//! What was counted, and where it went wrong if it did.

use std::cell::RefCell;
use std::time::Duration;

use crate::tracer::Reached;

/// What becomes of the victim at its stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Killed,
    StoppedThenKilled,
    StoppedThenGoesOn,
}

/// The counts of one case, or of several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Of the longest way.
    pub instructions: usize,
    pub killed: usize,
    pub stopped_then_killed: usize,
    pub stopped_then_went_on: usize,
    /// Stops that the victim never came to, because it took another way than the recorded one.
    pub missed: usize,
    /// From a death until a sleeper had what it slept for.
    pub longest_wait: Duration,
}

impl Tally {
    pub fn count(&mut self, fate: Fate, reached: Reached) {
        *match fate {
            Fate::Killed => &mut self.killed,
            Fate::StoppedThenKilled => &mut self.stopped_then_killed,
            Fate::StoppedThenGoesOn => &mut self.stopped_then_went_on,
        } += 1;
        self.missed += usize::from(reached == Reached::End);
    }

    pub fn add(&mut self, other: Self) {
        self.instructions = self.instructions.max(other.instructions);
        self.killed += other.killed;
        self.stopped_then_killed += other.stopped_then_killed;
        self.stopped_then_went_on += other.stopped_then_went_on;
        self.missed += other.missed;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
    }

    /// One line, for the process that started this one.
    pub fn to_line(self) -> String {
        let Self { instructions, killed, stopped_then_killed, stopped_then_went_on, missed, longest_wait } =
            self;
        let waited_us = longest_wait.as_micros();
        format!("{instructions} {killed} {stopped_then_killed} {stopped_then_went_on} {missed} {waited_us}")
    }

    pub fn from_line(line: &str) -> Option<Self> {
        let numbers: Vec<usize> = line.split_whitespace().map_while(|number| number.parse().ok()).collect();
        let [instructions, killed, stopped_then_killed, stopped_then_went_on, missed, waited_us] =
            numbers[..]
        else {
            return None;
        };
        let longest_wait = Duration::from_micros(waited_us as u64);
        Some(Self { instructions, killed, stopped_then_killed, stopped_then_went_on, missed, longest_wait })
    }
}

thread_local! {
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Says where this is, for a panic's message.
pub fn at(place: String) -> impl Drop {
    struct Left;
    impl Drop for Left {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                PLACE.take();
            }
        }
    }
    PLACE.set(place);
    Left
}

/// Where this is.
pub fn place() -> String {
    PLACE.with_borrow(Clone::clone)
}

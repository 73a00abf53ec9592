//! This command started again, as another process: the producers and consumers of `demo` and `bench`.
//!
//! H1. A helper's standard input is a pipe that its starter holds and never writes to. It ends when the starter does,
//!     however that ends, so no helper outlives it.
//! H2. A helper that does not go within `PATIENCE` is killed.

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::arguments::Role;
use crate::failure::Failure;
use crate::stop::Stop;

/// How long a helper may take to end (H2): one that starts by way of Python may not have begun yet.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// A helper, ended when this is dropped.
pub struct Helper {
    child: Child,
}

impl Helper {
    /// Starts this command again in this role.
    pub fn start(restart: &[OsString], role: &Role) -> Result<Self, Failure> {
        let (program, first) = restart
            .split_first()
            .ok_or_else(|| Failure::refused("it is not known how to start this command again"))?;
        let child = Command::new(program)
            .args(first)
            .arg("helper")
            .args(role.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(Failure::could_not("start this command again"))?;
        Ok(Self { child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // The end of its input (H1).
        drop(self.child.stdin.take());
        let began = Instant::now();
        while self.ended().is_none() {
            if began.elapsed() > PATIENCE {
                // It may have ended by itself in between.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Role {
    /// The command line of this role, as `arguments` reads it. A queue may be named like an option.
    fn arguments(&self) -> Vec<String> {
        let words: &[&dyn ToString] = match self {
            Self::DemoProducer { queue, per_second, burst } => {
                &[&"demo-producer", &"--", queue, per_second, burst]
            }
            Self::DemoConsumer { frames, results } => &[&"demo-consumer", &"--", frames, results],
            Self::BenchEcho { there, back } => &[&"bench-echo", &"--", there, back],
            Self::BenchSink { queue } => &[&"bench-sink", &"--", queue],
        };
        words.iter().map(|word| word.to_string()).collect()
    }
}

/// What a helper does first: from here on it is stopped when its starter is gone (H1).
pub fn begin() -> Result<Stop, Failure> {
    let stop = Stop::listen()?;
    let ended = stop.clone();
    thread::spawn(move || {
        // Anything but waiting means that the starter is gone.
        let _ = io::stdin().read(&mut [0]);
        ended.set();
    });
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{self, Arguments};
    use clap::Parser;

    #[test]
    fn a_helper_understands_the_command_line_that_it_is_started_with() {
        let roles = [
            Role::DemoProducer { queue: "demo-frames".into(), per_second: 2.5, burst: 40 },
            Role::DemoConsumer { frames: "a".into(), results: "b".into() },
            Role::BenchEcho { there: "1:2:ff".into(), back: "1:3:fe".into() },
            Role::BenchSink { queue: "1:2:ff".into() },
        ];
        for role in roles {
            let line = ["treequeues".to_owned(), "helper".to_owned()].into_iter().chain(role.arguments());
            let read = Arguments::try_parse_from(line).expect("understood");
            assert!(matches!(read.command, arguments::Command::Helper(found) if found == role), "{role:?}");
        }
    }
}

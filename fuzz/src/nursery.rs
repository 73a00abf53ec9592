//! Starting workers. Those in Rust are forked from this process, those in Python from one that is warm: `worker.py`.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use serde_json::{Value, json};

use crate::plan::Role;
use crate::system::{Process, fork, stand_back};

/// How long the warm process may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Workers stand back behind the killer by so much: a killer that waits for its turn kills seldom.
const NICE: i32 = 5;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/worker.py");

/// The warm process.
#[derive(Debug)]
pub struct Python {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What a worker was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Forked from this process.
    Rust,
    /// Forked from the warm process.
    Python,
}

impl Python {
    /// Starts this Python, which has treequeues installed.
    pub fn start(python: &Path) -> io::Result<Self> {
        let mut child = Command::new(python)
            .args(["-W", "ignore", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", python.display())))?;
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let mut python = Self { child, input, output: BufReader::new(output) };
        python.ask("hello", &Value::Null)?;
        Ok(python)
    }

    /// Tells it about an epoch.
    pub fn begin(&mut self, epoch: &Value) -> io::Result<()> {
        self.ask("epoch", epoch).map(drop)
    }

    /// Lets it forget the epoch.
    pub fn end(&mut self) -> io::Result<()> {
        self.ask("end", &Value::Null).map(drop)
    }

    /// Forks a worker.
    pub fn fork(&mut self, number: u32, role: Role, log: &Path) -> io::Result<Process> {
        let life = json!({ "number": number, "role": role, "log": log, "nice": NICE });
        let pid = self.ask("fork", &life)?;
        Process::of(pid.as_u64().ok_or(io::ErrorKind::InvalidData)? as u32)
    }

    /// How a worker ended, which it has.
    pub fn reap(&mut self, process: &Process) -> io::Result<String> {
        let status = self.ask("reap", &json!(process.pid))?.as_i64().ok_or(io::ErrorKind::InvalidData)?;
        Ok(if status < 0 { format!("signal {}", -status) } else { format!("exit {status}") })
    }

    fn ask(&mut self, what: &str, value: &Value) -> io::Result<Value> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{}", json!([what, value]))?;
        let patience = PATIENCE.try_into().expect("of this world");
        let waiting_for = || format!("the Python that forks workers did not answer to {what:?}");
        let mut polled = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
        if retry_on_intr(|| poll(&mut polled, Some(&patience)))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, waiting_for()));
        }
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, waiting_for()));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The end of its input would be its end, but workers in Rust that still live have that pipe, too.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Forks a worker in Rust.
pub fn fork_rust(life: impl FnOnce()) -> io::Result<Process> {
    fork(|| {
        stand_back(NICE);
        life();
        0
    })
}

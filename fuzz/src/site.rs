//! Where and when a run was: what every record begins with.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// The day, what was built, and the machine.
#[derive(Clone, Debug, Serialize)]
pub struct Site {
    /// The day.
    pub date: String,
    /// The library's.
    pub version: &'static str,
    /// What was built, as git names it.
    pub commit: String,
    /// The machine's processor, and how many of it.
    pub machine: String,
    /// The kernel.
    pub kernel: String,
}

impl Site {
    /// This one: to be asked when a run begins, since what was built was built before.
    pub fn here() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            date: jiff::Zoned::now().strftime("%Y-%m-%d").to_string(),
            version: env!("CARGO_PKG_VERSION"),
            commit: commit(),
            machine: format!("{cpus} x {}", processor()),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }
}

fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let name = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    name.map_or_else(|| "unknown".into(), |name| String::from_utf8_lossy(&name).trim().to_owned())
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown".into(), |(_, name)| name.trim().to_owned())
}

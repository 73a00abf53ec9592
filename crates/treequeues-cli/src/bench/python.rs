//! Rates measured by a Python: `multiprocessing.Queue`, and treequeues where that Python has it.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{ITEMS, MAXSIZE, ROUND, ROUNDS, Rate};

const SCRIPT: &str = include_str!("contenders.py");
/// How long all of it may take: some ten times what it does.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Runs the script with this Python, or with `python3`. An error says why there are no figures.
pub(super) fn rates(python: Option<&OsString>) -> Result<Vec<Rate>, String> {
    let default = OsString::from("python3");
    let python = python.unwrap_or(&default);
    let name = python.to_string_lossy();
    let sizes = ITEMS.map(|bytes| bytes.to_string());
    let mut child = Command::new(python)
        .args(["-c", SCRIPT, &MAXSIZE.to_string(), &ROUNDS.to_string(), &ROUND.as_secs_f64().to_string()])
        .args(sizes)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!("multiprocessing.Queue is not among them: {name} did not start ({error})")
        })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // On threads of their own, so that a full pipe holds nothing up.
    let [lines, complaints] = [thread::spawn(move || read(stdout)), thread::spawn(move || read(stderr))];
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < PATIENCE => thread::sleep(PAUSE),
            _ => {
                // It may have ended by itself in between.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "multiprocessing.Queue is not among them: {name} took more than {PATIENCE:?}"
                ));
            }
        }
    };
    let (lines, complaints) = (lines.join().unwrap_or_default(), complaints.join().unwrap_or_default());
    if !status.success() {
        let last = complaints.lines().last().unwrap_or("it said nothing");
        return Err(format!("multiprocessing.Queue is not among them: {name} ended with {status} ({last})"));
    }
    parse(&lines).map_err(|error| format!("{name} answered what is no figure: {error}"))
}

fn parse(lines: &str) -> serde_json::Result<Vec<Rate>> {
    lines.lines().map(serde_json::from_str).collect()
}

fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is what there is.
    let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_figures_or_an_error() {
        let line = r#"{"queue": "multiprocessing.Queue", "item_bytes": 64, "items_per_second": 20000.5}"#;
        let rate = Rate { queue: "multiprocessing.Queue".into(), item_bytes: 64, items_per_second: 20000.5 };
        assert_eq!(parse(line).expect("a figure"), [rate]);
        assert!(parse("Traceback").is_err());
    }

    #[test]
    fn a_python_that_is_not_there_is_told() {
        let error = rates(Some(&"/no/such/python".into())).expect_err("not there");
        assert!(error.contains("/no/such/python did not start"), "{error}");
    }
}

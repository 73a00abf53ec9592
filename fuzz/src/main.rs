//! The command `kills`: epochs of killing until there were enough, or something must not be.
#![deny(unsafe_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use treequeues_fuzz::findings::Finding;
use treequeues_fuzz::nursery::Python;
use treequeues_fuzz::report::{self, Counted, Record};
use treequeues_fuzz::site::Site;
use treequeues_fuzz::{epoch, plan, topics};

/// Findings that are printed; the logs have all.
const PRINTED: usize = 20;

/// Kill processes that work on queues or topics, at random moments, and check that nothing hangs and nothing is lost.
#[derive(Debug, Parser)]
struct Arguments {
    /// What they work on.
    #[arg(long, value_enum, default_value_t = Structure::Queues)]
    of: Structure,
    /// Go on until so many processes were killed.
    #[arg(long)]
    kills: Option<usize>,
    /// Go on for so many seconds.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Draw all epochs from this number, instead of from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Play this epoch of the seed alone, again and again, and not all from the first on.
    #[arg(long)]
    epoch: Option<u64>,
    /// Let workers of this Python take part, on queues; it has treequeues installed.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Write a record of the run, as JSON.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Where each epoch's logs are: kept there when something is found, and after the last epoch.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// What the workers work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Structure {
    Queues,
    Topics,
}

fn main() -> ExitCode {
    match begin(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kills: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing was found.
fn begin(arguments: &Arguments) -> io::Result<bool> {
    match arguments.of {
        Structure::Queues => {
            let mut python = arguments.python.as_deref().map(Python::start).transpose()?;
            run::<report::Totals>(arguments, |seed, number, folder| {
                let plan = plan::Plan::new(seed, number, python.is_some());
                let shown = format!("{plan:?}");
                Ok((shown, epoch::run(plan, folder, python.as_mut())?))
            })
        }
        Structure::Topics => run::<topics::report::Totals>(arguments, |seed, number, folder| {
            let plan = topics::plan::Plan::new(seed, number);
            let shown = format!("{plan:?}");
            Ok((shown, topics::epoch::run(plan, folder)?))
        }),
    }
}

/// `epoch` runs one of a seed, with its logs in a folder, and says what it was like and what came of it.
fn run<T: Counted>(
    arguments: &Arguments,
    mut epoch: impl FnMut(u64, u64, &Path) -> io::Result<(String, T::Outcome)>,
) -> io::Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let kills = arguments.kills.unwrap_or(if arguments.seconds.is_some() { usize::MAX } else { 1000 });
    let time = arguments.seconds.map_or(Duration::MAX, Duration::from_secs);
    let is_interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&is_interrupted))?;
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&is_interrupted))?;
    let temporary = tempfile::Builder::new().prefix("treequeues-fuzz-").tempdir_in("/dev/shm")?;
    let folder = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let site = Site::here();
    let (mut totals, began) = (T::default(), Instant::now());
    println!("seed {seed}");
    for number in arguments.epoch.map_or(0, |epoch| epoch).. {
        let number = arguments.epoch.unwrap_or(number);
        let epoch_folder = folder.join("epoch");
        remove(&epoch_folder)?;
        let (plan, outcome) = epoch(seed, number, &epoch_folder)?;
        totals.add(&outcome);
        println!("{}", totals.line(began));
        let findings = T::findings(&outcome);
        if !findings.is_empty() {
            let kept = arguments.keep.as_ref().map_or_else(|| temporary.keep(), Clone::clone);
            let with = match (&arguments.python, arguments.of) {
                (_, Structure::Topics) => " --of topics".to_owned(),
                (Some(python), _) => format!(" --python {}", python.display()),
                (None, _) => String::new(),
            };
            println!("FOUND in epoch {number} of seed {seed}: again by --seed {seed} --epoch {number}{with}");
            println!("logs in {}, plan {plan}", kept.display());
            findings.iter().take(PRINTED).for_each(|finding: &Finding| println!("{finding}"));
            return Ok(false);
        }
        let is_enough = totals.kills() >= kills || began.elapsed() >= time;
        if is_enough || is_interrupted.load(Ordering::Relaxed) {
            break;
        }
    }
    if let Some(path) = &arguments.record {
        let python = arguments.python.as_deref().filter(|_| arguments.of == Structure::Queues);
        let version = python.map(version_of).transpose()?;
        Record::new(&totals, site, seed, began.elapsed(), version).write(path)?;
    }
    Ok(true)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn version_of(python: &Path) -> io::Result<String> {
    let output =
        Command::new(python).args(["-c", "import platform; print(platform.python_version())"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

//! Cases, each in a process of its own, and the table of what they counted.

use std::collections::BTreeMap;
use std::env;
use std::fmt::{self, Display, Formatter, Write};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use tempfile::TempDir;
use treequeues_fuzz::site::Site;

use crate::tally::{Tally, place};

/// One operation under one circumstance.
pub struct Case {
    pub group: &'static str,
    /// A line of the table.
    pub operation: String,
    pub circumstance: String,
    pub run: Box<dyn Fn(&Settings) -> Tally>,
}

/// How thorough to be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Each how many-th instruction is a kill point.
    pub stride: usize,
    /// The same for the stops that are slower, or that differ less.
    pub coarse_stride: usize,
}

/// Cases at a time. Stops are switches between processes, and more of them at once disturb each other: on two processors eight took
/// 163 s for what four did in 95.
const JOBS: usize = 4;
/// No case is over this on a loaded machine.
const WATCHDOG: Duration = Duration::from_secs(900);
const PAUSE: Duration = Duration::from_millis(5);
/// Nobody is left without a word for longer.
const SILENCE: Duration = Duration::from_secs(8);

/// Kill a process before each instruction of each operation, or stop it there, and see what the others find.
#[derive(Debug, Parser)]
#[command(name = "kill_points")]
struct Arguments {
    /// Kill before each N-th instruction only.
    #[arg(long, value_name = "N", default_value_t = 1)]
    stride: usize,
    /// Before each N-th only, where a stop costs more or tells less; else as `--stride`.
    #[arg(long, value_name = "N")]
    coarse_stride: Option<usize>,
    /// Only the cases with this in their names, which are "operation: circumstance".
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Write what was counted, as CSV.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Run this case alone, in this process.
    #[arg(long, hide = true)]
    case: Option<usize>,
}

pub fn main(cases: &[Case]) -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments { stride, coarse_stride, .. } = arguments;
    let settings = Settings { stride, coarse_stride: coarse_stride.unwrap_or(stride) };
    if let Some(index) = arguments.case {
        return run_case(&cases[index], &settings);
    }
    let wanted =
        |case: &&Case| format!("{}: {}", case.operation, case.circumstance).contains(&arguments.only);
    let chosen: Vec<_> = (0..).zip(cases).filter(|(_, case)| wanted(case)).collect();
    let (site, started) = (Site::here(), Instant::now());
    let tallies = run_all(&chosen);
    let failures = tallies.values().filter(|tally| tally.is_none()).count();
    let sums = Sums::of(&chosen, &tallies);
    println!("{}", sums.total);
    let took = started.elapsed();
    if let Some(path) = &arguments.record {
        fs::write(path, head(&site, settings, took) + &sums.to_csv()).expect("a folder that is there");
    }
    println!(
        "{} cases passed, {failures} failed, in {:.0} s; {} stops were missed",
        tallies.len() - failures,
        took.as_secs_f64(),
        sums.total.tally.missed
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The comment lines that a record begins with: where and when this ran, and how thoroughly.
fn head(site: &Site, Settings { stride, coarse_stride }: Settings, took: Duration) -> String {
    let Site { date, version, commit, machine, kernel } = site;
    format!(
        "# date: {date}\n# version: {version}\n# commit: {commit}\n# machine: {machine}\n# kernel: {kernel}\n\
         # stride: {stride}\n# coarse stride: {coarse_stride}\n# seconds: {:.0}\n",
        took.as_secs_f64(),
    )
}

fn run_case(case: &Case, settings: &Settings) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| eprintln!("{}: {panic}", place())));
    println!("{}", (case.run)(settings).to_line());
    ExitCode::SUCCESS
}

struct Running<'c> {
    case: &'c Case,
    index: usize,
    child: Child,
    started: Instant,
    /// Of named queues: no other case's, and nothing is left of it.
    _folder: TempDir,
}

/// What each case counted, by its number; `None` if it failed.
type Tallies = BTreeMap<usize, Option<Tally>>;

fn run_all(cases: &[(usize, &Case)]) -> Tallies {
    let mut waiting = cases.iter();
    let mut running: Vec<Running<'_>> = Vec::new();
    let mut tallies = BTreeMap::new();
    let mut report = Report::begin(cases);
    loop {
        while running.len() < JOBS
            && let Some(&(index, case)) = waiting.next()
        {
            let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
            let child = start(index, folder.path());
            running.push(Running { case, index, child, started: Instant::now(), _folder: folder });
        }
        if running.is_empty() {
            return tallies;
        }
        thread::sleep(PAUSE);
        running.retain_mut(|one| {
            if one.started.elapsed() > WATCHDOG {
                eprintln!("{}: {}: it hangs", one.case.operation, one.case.circumstance);
                one.child.kill().expect("there");
            }
            let Some(status) = one.child.try_wait().expect("a child") else { return true };
            let lines = BufReader::new(one.child.stdout.take().expect("a pipe")).lines();
            let tally = lines.map_while(Result::ok).last().and_then(|line| Tally::from_line(&line));
            let tally = tally.filter(|_| status.success());
            if tally.is_none() {
                eprintln!("{}: {}: failed, {status}", one.case.operation, one.case.circumstance);
            }
            tallies.insert(one.index, tally);
            false
        });
        report.go_on(&tallies);
    }
}

fn start(index: usize, folder: &Path) -> Child {
    Command::new(env::current_exe().expect("this program"))
        .args(env::args().skip(1))
        .args(["--case", &index.to_string()])
        .env("TREEQUEUES_DIR", folder.join("queues"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program")
}

/// What is printed while the cases run: a line for each operation when all its cases are over, in their order.
struct Report<'c> {
    /// Those of operations without a line yet.
    cases: &'c [(usize, &'c Case)],
    number: usize,
    last_word: Instant,
}

impl<'c> Report<'c> {
    fn begin(cases: &'c [(usize, &'c Case)]) -> Self {
        println!(
            "{:<43} {:>5} {:>6} {:>7} {:>7} {:>7}",
            "operation", "cases", "killed", "stopped", "resumed", "wait ms"
        );
        Self { cases, number: cases.len(), last_word: Instant::now() }
    }

    fn go_on(&mut self, tallies: &Tallies) {
        while let Some((_, first)) = self.cases.first() {
            let same = |(_, case): &&(usize, &Case)| case.operation == first.operation;
            let (cases, others) = self.cases.split_at(self.cases.iter().take_while(same).count());
            if !cases.iter().all(|(index, _)| tallies.contains_key(index)) {
                break;
            }
            for line in Sums::of(cases, tallies).lines {
                println!("{line}");
                self.last_word = Instant::now();
            }
            self.cases = others;
        }
        if self.last_word.elapsed() > SILENCE {
            println!("... {} of {} cases", tallies.len(), self.number);
            self.last_word = Instant::now();
        }
    }
}

/// The tallies of the cases of each operation, in their order, and of all.
struct Sums<'c> {
    lines: Vec<Sum<'c>>,
    total: Sum<'c>,
}

#[derive(Default)]
struct Sum<'c> {
    group: &'c str,
    operation: &'c str,
    cases: usize,
    tally: Tally,
}

impl<'c> Sums<'c> {
    fn of(cases: &[(usize, &'c Case)], tallies: &Tallies) -> Self {
        let mut lines: Vec<Sum<'c>> = Vec::new();
        let mut total = Sum { operation: "all", ..Sum::default() };
        for &(index, case) in cases {
            let Some(Some(tally)) = tallies.get(&index) else { continue };
            // Nothing to do on that ring.
            if tally.instructions == 0 {
                continue;
            }
            if lines.last().is_none_or(|line| line.operation != case.operation) {
                lines.push(Sum { group: case.group, operation: &case.operation, ..Sum::default() });
            }
            for sum in [lines.last_mut().expect("pushed"), &mut total] {
                sum.cases += 1;
                sum.tally.add(*tally);
            }
        }
        Self { lines, total }
    }

    fn to_csv(&self) -> String {
        let mut text =
            "group,operation,cases,instructions,killed,stopped,resumed,missed,longest_wait_ms\n".to_owned();
        for Sum { group, operation, cases, tally } in &self.lines {
            let waited_ms = tally.longest_wait.as_secs_f64() * 1e3;
            let Tally { instructions, killed, stopped_then_killed, stopped_then_went_on, missed, .. } = tally;
            writeln!(
                text,
                "{group},\"{operation}\",{cases},{instructions},{killed},{stopped_then_killed},{stopped_then_went_on},{missed},\
                 {waited_ms:.1}"
            )
            .expect("a string takes all");
        }
        text
    }
}

/// A line of the table, in 80 columns: the record has more.
impl Display for Sum<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { operation, cases, tally, .. } = self;
        let waited_ms = tally.longest_wait.as_secs_f64() * 1e3;
        let Tally { killed, stopped_then_killed, stopped_then_went_on, .. } = tally;
        write!(
            f,
            "{operation:<43} {cases:>5} {killed:>6} {stopped_then_killed:>7} {stopped_then_went_on:>7} {waited_ms:>7.1}"
        )
    }
}

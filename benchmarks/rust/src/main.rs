//! One way from process to process: half the round trip of 64 bytes between two processes that both spin.
//!
//! Parent and child (this program again, started with the name of a contender) each have a line to the other. The parent
//! sends, the child sends back what it got. Nothing is copied: the message is written in place by one side and read in
//! place by the other.
//!
//! O1. Rounds are interleaved: each contender once in each, so that a slow moment of the machine meets all of them.
//! O2. Every message carries its number, which is checked on the way back, in the same way for all.
//! O3. A child that loses its parent ends: it looks whether it is an orphan between messages that do not come.
//!
//! One line of JSON for each figure: `{"name": ..., "round": ..., "count": ..., "ns": ...}`.

mod crossbeam;
mod iceoryx;
mod ours;

use std::error::Error;
use std::os::unix::process::parent_id;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Round trips before the clock starts, and while it runs: some tens of milliseconds.
const WARM_UP_TRIPS: u64 = 20_000;
const TRIPS: u64 = 200_000;
const DEFAULT_ROUNDS: u32 = 5;
/// The size of a message, which begins with its number. A cache line.
const MESSAGE_NBYTES: usize = 64;
/// Messages that a line has room for.
const CAPACITY: usize = 10;
/// Looks at an empty line between two looks at the parent, which cost a system call.
const LOOKS_BETWEEN_CHECKS: u32 = 1 << 20;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One side's ends of the two lines.
trait Lines {
    /// A place for the next message.
    type Loan<'l>
    where
        Self: 'l;
    /// Takes a place for a message. Both sides do this while the other one is at work, as iceoryx2's benchmark does.
    fn loan(&self) -> Outcome<Self::Loan<'_>>;
    /// Writes a message with this number in place, and sends it.
    fn send<'l>(&'l self, loan: Self::Loan<'l>, number: u64) -> Outcome<()>;
    /// Takes a message if one is there, and reads its number in place.
    fn try_receive(&self) -> Outcome<Option<u64>>;
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => measure(DEFAULT_ROUNDS),
        [rounds] => measure(rounds.parse()?),
        ["send-back", ours::NAME, ref lines @ ..] => send_back(&ours::attach(lines)?),
        ["send-back", iceoryx::NAME, ref lines @ ..] => send_back(&iceoryx::attach(lines)?),
        _ => Err("usage: one-way [ROUNDS]".into()),
    }
}

fn measure(rounds: u32) -> Outcome<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        return Err("two processes that spin need two processors".into());
    }
    for round in 1..=rounds {
        report("treequeues", round, ours::one_way_ns()?);
        report("iceoryx2 publish-subscribe", round, iceoryx::one_way_ns()?);
        report("crossbeam ArrayQueue, two threads of one process", round, crossbeam::one_way_ns()?);
    }
    Ok(())
}

fn report(name: &str, round: u32, ns: f64) {
    println!(r#"{{"name": "{name}", "round": {round}, "count": {TRIPS}, "ns": {ns:.2}}}"#);
}

/// The nanoseconds of one way, on the side that sends first.
fn time_trips(lines: &impl Lines) -> Outcome<f64> {
    make_trips(lines, 0..WARM_UP_TRIPS)?;
    let started = Instant::now();
    make_trips(lines, WARM_UP_TRIPS..WARM_UP_TRIPS + TRIPS)?;
    Ok(started.elapsed().as_nanos() as f64 / (2 * TRIPS) as f64)
}

fn make_trips(lines: &impl Lines, numbers: std::ops::Range<u64>) -> Outcome<()> {
    let mut loan = lines.loan()?;
    for number in numbers {
        lines.send(loan, number)?;
        loan = lines.loan()?;
        let came_back = receive(lines, || Ok(()))?;
        if came_back != number {
            return Err(format!("message {number} came back as {came_back}").into());
        }
    }
    Ok(())
}

/// The other side: sends back whatever comes, until all has come.
fn send_back(lines: &impl Lines) -> Outcome<()> {
    let parent = parent_id();
    let check_parent = || if parent_id() == parent { Ok(()) } else { Err("the parent is gone".into()) };
    let mut loan = lines.loan()?;
    for _ in 0..WARM_UP_TRIPS + TRIPS {
        let number = receive(lines, check_parent)?;
        lines.send(loan, number)?;
        loan = lines.loan()?;
    }
    Ok(())
}

/// Spins until a message is there.
fn receive(lines: &impl Lines, check: impl Fn() -> Outcome<()>) -> Outcome<u64> {
    let mut looks = 0_u32;
    loop {
        if let Some(number) = lines.try_receive()? {
            return Ok(number);
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS_BETWEEN_CHECKS) {
            check()?;
        }
    }
}

/// Starts the other side of two lines that `arguments` name.
fn start_child(name: &str, arguments: &[String]) -> Outcome<Child> {
    let program = std::env::current_exe()?;
    Ok(Command::new(program).arg("send-back").arg(name).args(arguments).stdin(Stdio::null()).spawn()?)
}

/// Times the trips to a child and back, and waits for its end, or ends it.
fn time_with_child(lines: &impl Lines, mut child: Child) -> Outcome<f64> {
    let ns = time_trips(lines).inspect_err(|_| drop(child.kill()));
    let status = child.wait()?;
    let ns = ns?;
    if status.success() { Ok(ns) } else { Err(format!("the other process: {status}").into()) }
}

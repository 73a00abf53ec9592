//! `treequeues demo`: queues to look at.
//!
//! ```text
//! steady   -+
//! slow     -+-> demo-frames -> consumer -> demo-results -> this process: a line a second
//! bursty   -+
//! ```

use std::ffi::OsString;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use treequeues::schema::{Key, Node};
use treequeues::{
    BorrowError, CreateError, CreateOptions, Dtype, LeafKind, LeafSpec, Queue, ReserveError, Schema,
    SchemaError, Structure, Wait,
};

use crate::arguments::{Demo, Role};
use crate::failure::Failure;
use crate::helper::Helper;
use crate::stop::Stop;
use crate::units;

/// Slots of frames: less than a burst and what is there already, so that the bursty producer meets a full queue.
const FRAMES: u64 = 64;
const RESULTS: u64 = 256;
/// Frames a second and a burst, of each producer: the consumer is a little faster than all of them together.
const PRODUCERS: [(f64, u32); 3] = [(120.0, 1), (2.0, 1), (60.0, 90)];
/// What the consumer takes over a frame.
const WORK: Duration = Duration::from_millis(4);
/// The longest wait before a look at whether to end.
const PATIENCE: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(1);
const FRAME: [usize; 2] = [84, 84];

pub fn run(asked: &Demo, restart: &[OsString], out: &mut dyn Write) -> Result<(), Failure> {
    let stop = Stop::listen()?;
    let end = asked.seconds.and_then(|seconds| Instant::now().checked_add(seconds));
    let [frames_name, results_name] = ["frames", "results"].map(|what| format!("{}-{what}", asked.name));
    let frames = create(&frames_name, frames_schema(), FRAMES)?;
    let results = create(&results_name, results_schema(), RESULTS)?;
    writeln!(out, "Watch it from another terminal: treequeues top")?;
    out.flush()?;
    let mut helpers = Vec::new();
    for (per_second, burst) in PRODUCERS {
        let role = Role::DemoProducer { queue: frames_name.clone(), per_second, burst };
        helpers.push(Helper::start(restart, &role)?);
    }
    helpers.push(Helper::start(
        restart,
        &Role::DemoConsumer { frames: frames_name.clone(), results: results_name.clone() },
    )?);
    let done = report(&frames, &results, &mut helpers, end, &stop, out);
    drop(helpers);
    // Also where a helper had to be killed: what has no name leaves nothing.
    frames.unlink()?;
    results.unlink()?;
    done?;
    if stop.is_set() {
        writeln!(out)?;
    }
    writeln!(out, "Ended: its processes and its queues are gone.")?;
    Ok(())
}

/// Takes results, and writes a line a second.
fn report(
    frames: &Queue,
    results: &Queue,
    helpers: &mut [Helper],
    end: Option<Instant>,
    stop: &Stop,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut next_line = began + LINE;
    let (mut taken, mut sum) = (0_u64, 0.0);
    while !stop.is_set() && end.is_none_or(|end| Instant::now() < end) {
        match results.borrow_with(Wait::at_most(PATIENCE)) {
            Ok(item) => {
                sum += f64::from_le_bytes(item.leaf_bytes(1).try_into().expect("a float64"));
                taken += 1;
                item.release().map_err(BorrowError::from)?;
            }
            Err(BorrowError::Empty) => {}
            Err(error) => return Err(error.into()),
        }
        for helper in helpers.iter_mut() {
            // On Ctrl-C the terminal tells helpers too, and one may be faster than this process.
            if let Some(status) = helper.ended().filter(|_| !stop.is_set()) {
                return Err(Failure::refused(format!(
                    "process {} of the demo ended: {status}",
                    helper.pid()
                )));
            }
        }
        if Instant::now() >= next_line {
            next_line += LINE;
            let waiting = frames.snapshot()?.ready;
            let mean = if taken == 0 { 0.0 } else { sum / taken as f64 };
            writeln!(
                out,
                "{:>5}  {taken:>4} frames a second, brightness {mean:>5.1}, {waiting:>2} of {FRAMES} waiting",
                units::age(began.elapsed().as_secs_f64())
            )?;
            out.flush()?;
            (taken, sum) = (0, 0.0);
        }
    }
    Ok(())
}

/// A producer's life: bursts of frames, and pauses between them.
pub fn produce(queue: &str, per_second: f64, burst: u32, stop: &Stop) -> Result<(), Failure> {
    let queue = Queue::attach(queue)?;
    let period = Duration::from_secs_f64(f64::from(burst) / per_second);
    let mut next = Instant::now() + period;
    let mut number = 0_i64;
    while !stop.is_set() {
        for _ in 0..burst {
            let waited = queue.reserve_with(Wait::forever().or_until(&mut || stop.is_set()));
            let mut loan = match waited {
                Ok(loan) => loan,
                Err(ReserveError::Interrupted | ReserveError::ShutDown(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            loan.leaf_bytes_mut(0).fill((number % 256) as u8);
            loan.leaf_bytes_mut(1).copy_from_slice(&(number % 18).to_le_bytes());
            loan.leaf_bytes_mut(2).copy_from_slice(&(number as f64 / 10.0).sin().to_le_bytes());
            loan.leaf_bytes_mut(3).fill(u8::from(number % 500 == 0));
            loan.commit().map_err(ReserveError::from)?;
            number += 1;
        }
        stop.sleep_until(next);
        // A producer that was held up does not catch up.
        next = (next + period).max(Instant::now());
    }
    Ok(())
}

/// The consumer's life: a frame, some work, a result.
pub fn consume(frames: &str, results: &str, stop: &Stop) -> Result<(), Failure> {
    let (frames, results) = (Queue::attach(frames)?, Queue::attach(results)?);
    while !stop.is_set() {
        let item = match frames.borrow_with(Wait::forever().or_until(&mut || stop.is_set())) {
            Ok(item) => item,
            Err(BorrowError::Interrupted | BorrowError::ShutDown(_)) => break,
            Err(error) => return Err(error.into()),
        };
        let pixels = item.leaf_bytes(0);
        let mean = pixels.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / pixels.len() as f64;
        thread::sleep(WORK);
        match results.reserve_with(Wait::forever().or_until(&mut || stop.is_set())) {
            Ok(mut loan) => {
                loan.leaf_bytes_mut(0).copy_from_slice(&item.ticket().to_le_bytes());
                loan.leaf_bytes_mut(1).copy_from_slice(&mean.to_le_bytes());
                loan.commit().map_err(ReserveError::from)?;
            }
            Err(ReserveError::Interrupted | ReserveError::ShutDown(_)) => break,
            Err(error) => return Err(error.into()),
        }
        item.release().map_err(BorrowError::from)?;
    }
    Ok(())
}

fn create(name: &str, schema: Result<Schema, SchemaError>, capacity: u64) -> Result<Queue, Failure> {
    let schema = schema.expect("a sound schema");
    Queue::create_named(name, schema, capacity, CreateOptions::default()).map_err(|error| match error {
        CreateError::Exists { .. } => Failure::refused(format!(
            "{name:?} exists, perhaps of another demo; `--name` gives this one another name"
        )),
        error => error.into(),
    })
}

/// What an Atari actor sends.
fn frames_schema() -> Result<Schema, SchemaError> {
    dict(&[
        ("obs", "uint8", &FRAME, LeafKind::Array),
        ("action", "int64", &[], LeafKind::Int),
        ("reward", "float64", &[], LeafKind::Float),
        ("done", "bool", &[], LeafKind::Bool),
    ])
}

fn results_schema() -> Result<Schema, SchemaError> {
    dict(&[("ticket", "uint64", &[], LeafKind::NumpyScalar), ("brightness", "float64", &[], LeafKind::Float)])
}

fn dict(leaves: &[(&str, &str, &[usize], LeafKind)]) -> Result<Schema, SchemaError> {
    let keys = leaves.iter().map(|(key, ..)| Key::Str((*key).to_owned())).collect();
    let mut nodes = vec![Node::Dict(keys)];
    nodes.resize(1 + leaves.len(), Node::Leaf);
    let leaf = |&(_, dtype, shape, kind): &(&str, &str, &[usize], LeafKind)| {
        Ok(LeafSpec::new(Dtype::from_name(dtype)?, shape.to_vec(), kind))
    };
    Schema::new(Structure::new(nodes)?, leaves.iter().map(leaf).collect::<Result<_, SchemaError>>()?)
}

//! Copies, latency and rates of this process and a second one.
//!
//! The second process is this command started again. Its queues have no names: it attaches by handle, so nothing of a
//! measurement shows among the queues of this user.

use std::ffi::OsString;
use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

use treequeues::{
    AttachError, BorrowError, Dtype, Handle, LeafKind, LeafSpec, Queue, ReserveError, Schema, SegmentId,
    Structure, Wait,
};

use super::{Copy, Latency, MAXSIZE, ROUND, ROUNDS, Rate, median};
use crate::arguments::Role;
use crate::failure::Failure;
use crate::helper::Helper;
use crate::stop::Stop;

/// Copies of one size whose median is told.
const COPY_ROUNDS: usize = 41;
/// Round trips before those that count.
const WARM_UP: usize = 2_000;
const ROUND_TRIPS: usize = 20_000;
/// Round trips end here, on a machine where each takes a turn of the scheduler.
const MAX_LATENCY: Duration = Duration::from_secs(1);
/// How long the second process may take to answer: it starts, perhaps by way of Python, and attaches.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest wait of a sink before it looks whether to end.
const NAP: Duration = Duration::from_millis(100);
/// Spins between two looks at the clock.
const SPINS: u32 = 10_000;

/// Copies so many bytes from one warm buffer to another.
pub(super) fn copy(bytes: usize) -> Copy {
    let (source, mut destination) = (vec![1_u8; bytes], vec![0_u8; bytes]);
    let mut rounds = Vec::with_capacity(COPY_ROUNDS);
    for _ in 0..COPY_ROUNDS {
        let began = Instant::now();
        destination.copy_from_slice(black_box(&source));
        black_box(&mut destination);
        rounds.push(bytes as f64 / began.elapsed().as_secs_f64());
    }
    Copy { bytes, bytes_per_second: median(rounds) }
}

/// Sends an item there and waits, spinning, for one that comes back.
pub(super) fn latency(restart: &[OsString]) -> Result<Latency, Failure> {
    let (there, back) = (Queue::create(bytes_schema(8), MAXSIZE)?, Queue::create(bytes_schema(8), MAXSIZE)?);
    let role = Role::BenchEcho { there: handle_of(&there)?, back: handle_of(&back)? };
    let _echo = Helper::start(restart, &role)?;
    let round_trip = || -> Result<Duration, Failure> {
        let began = Instant::now();
        put(&there, &[1; 8])?;
        if !spin_until(|| back.may_borrow(), || false, PATIENCE) {
            return Err(Failure::refused("the second process of the benchmark does not answer"));
        }
        back.borrow_with(Wait::at_most(PATIENCE))?.release().map_err(BorrowError::from)?;
        Ok(began.elapsed())
    };
    // The first one has the second process's start in it.
    round_trip()?;
    let many = |trips: usize| -> Result<Vec<Duration>, Failure> {
        let end = Instant::now() + MAX_LATENCY;
        (0..trips).take_while(|&trip| trip == 0 || Instant::now() < end).map(|_| round_trip()).collect()
    };
    many(WARM_UP)?;
    let mut halves: Vec<f64> = many(ROUND_TRIPS)?.iter().map(|trip| trip.as_secs_f64() / 2.0).collect();
    halves.sort_by(f64::total_cmp);
    let quantile = |share: f64| halves[((halves.len() - 1) as f64 * share) as usize];
    Ok(Latency { p50_seconds: quantile(0.5), p99_seconds: quantile(0.99), round_trips: halves.len() })
}

/// Puts items as fast as a second process gets them.
pub(super) fn rate(restart: &[OsString], item_bytes: usize) -> Result<Rate, Failure> {
    let queue = Queue::create(bytes_schema(item_bytes), MAXSIZE)?;
    let _sink = Helper::start(restart, &Role::BenchSink { queue: handle_of(&queue)? })?;
    let source = vec![1_u8; item_bytes];
    // The first items have the second process's start in them.
    for _ in 0..2 * MAXSIZE {
        put(&queue, &source)?;
    }
    wait_until_drained(&queue)?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (began, mut count) = (Instant::now(), 0_u64);
        while began.elapsed() < ROUND {
            put(&queue, &source)?;
            count += 1;
        }
        wait_until_drained(&queue)?;
        rounds.push(count as f64 / began.elapsed().as_secs_f64());
    }
    Ok(Rate { queue: "treequeues, Rust".into(), item_bytes, items_per_second: median(rounds) })
}

/// The second process of `latency`.
pub fn echo(there: &str, back: &str, stop: &Stop) -> Result<(), Failure> {
    let (there, back) = (attach(there)?, attach(back)?);
    while spin_until(|| there.may_borrow(), || stop.is_set(), Duration::MAX) {
        match there.try_borrow() {
            Ok(item) => item.release().map_err(BorrowError::from)?,
            // The look was wrong.
            Err(BorrowError::Empty) => continue,
            Err(error) => return Err(error.into()),
        }
        put(&back, &[2; 8])?;
    }
    Ok(())
}

/// The second process of `rate`.
pub fn sink(queue: &str, stop: &Stop) -> Result<(), Failure> {
    let queue = attach(queue)?;
    let mut destination = vec![0_u8; queue.schema().item_nbytes()];
    while !stop.is_set() {
        match queue.borrow_with(Wait::at_most(NAP)) {
            Ok(item) => {
                destination.copy_from_slice(item.leaf_bytes(0));
                black_box(&mut destination);
                item.release().map_err(BorrowError::from)?;
            }
            Err(BorrowError::Empty) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn put(queue: &Queue, bytes: &[u8]) -> Result<(), Failure> {
    let mut loan = queue.reserve_with(Wait::at_most(PATIENCE)).map_err(|error| match error {
        ReserveError::Full => Failure::refused("the second process of the benchmark takes nothing"),
        error => error.into(),
    })?;
    loan.leaf_bytes_mut(0).copy_from_slice(bytes);
    Ok(loan.commit().map_err(ReserveError::from)?)
}

fn wait_until_drained(queue: &Queue) -> Result<(), Failure> {
    let began = Instant::now();
    while queue.snapshot()?.free < queue.capacity() {
        if began.elapsed() > PATIENCE {
            return Err(Failure::refused("the second process of the benchmark takes nothing"));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Spins until it is so; false if it was given up, or has taken too long.
fn spin_until(is_so: impl Fn() -> bool, is_given_up: impl Fn() -> bool, patience: Duration) -> bool {
    let began = Instant::now();
    loop {
        for _ in 0..SPINS {
            if is_so() {
                return true;
            }
            spin_loop();
        }
        if is_given_up() || began.elapsed() > patience {
            return false;
        }
    }
}

fn bytes_schema(bytes: usize) -> Schema {
    let dtype = Dtype::from_name("uint8").expect("NumPy's name");
    let leaf = LeafSpec::new(dtype, vec![bytes], LeafKind::Array);
    Schema::new(Structure::leaf(), vec![leaf]).expect("one leaf")
}

/// A handle on a command line: process, descriptor, and the id in hexadecimal.
fn handle_of(queue: &Queue) -> Result<String, Failure> {
    let Handle { pid, fd, id } = queue.handle()?;
    Ok(format!("{pid}:{fd}:{:032x}", u128::from_be_bytes(id)))
}

fn attach(handle: &str) -> Result<Queue, Failure> {
    let parsed = || {
        let (pid, rest) = handle.split_once(':')?;
        let (fd, id) = rest.split_once(':')?;
        let id: SegmentId = u128::from_str_radix(id, 16).ok()?.to_be_bytes();
        Some(Handle { pid: pid.parse().ok()?, fd: fd.parse().ok()?, id })
    };
    let handle = parsed().ok_or_else(|| Failure::refused(format!("{handle:?} is no handle of a queue")))?;
    Queue::attach_handle(handle).map_err(|error: AttachError| error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_survives_the_command_line() {
        let queue = Queue::create(bytes_schema(8), MAXSIZE).expect("a few pages");
        let handle = handle_of(&queue).expect("of a segment");
        assert_eq!(attach(&handle).expect("this process's own").id(), queue.id());
        for bad in ["", "1:2", "1:2:xyz", "a:2:00"] {
            assert!(attach(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_spin_ends_when_it_is_given_up() {
        assert!(spin_until(|| true, || false, PATIENCE));
        assert!(!spin_until(|| false, || true, PATIENCE));
        assert!(!spin_until(|| false, || false, Duration::ZERO));
    }
}

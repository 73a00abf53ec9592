//! What users give as arguments, and its refusal by the argument's name: how long a call may wait, counts, flags, names.

use std::num::NonZeroU32;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};
use treequeues::{MAX_CAPACITY, MAX_PARTICIPANTS, MAX_TOPIC_CAPACITY, Wait};

use crate::nouns::describe_type;

/// What a `maxsize` of 0 means to `multiprocessing.Queue`, and cannot mean here.
const NOTHING_IS_UNBOUNDED: &str = ": memory is reserved at creation, so nothing is unbounded";

/// What a put does that finds the queue full: it waits, or drops the oldest item.
pub const BLOCK: &str = "block";
pub const DROP_OLDEST: &str = "drop_oldest";

/// How long a call may wait.
#[derive(Clone, Copy)]
pub enum Timeout {
    None,
    AtMost(Duration),
    Forever,
}

/// Whether a call waits: any object, by its truth, as `queue.Queue` takes it. None is false.
#[derive(Clone, Copy)]
pub struct Block(bool);

impl Block {
    /// What a call does that is not told.
    pub const YES: Block = Block(true);
}

impl FromPyObject<'_, '_> for Block {
    type Error = PyErr;

    fn extract(block: Borrowed<'_, '_, PyAny>) -> PyResult<Block> {
        block.is_truthy().map(Block)
    }
}

/// Whether something is done: a bool and nothing else, for nobody means another object here. What was given instead is refused
/// by the argument's name.
pub enum Flag {
    Given(bool),
    /// What it is.
    Other(String),
}

impl Flag {
    pub const NO: Flag = Flag::Given(false);

    /// What was given under this name.
    pub fn named(self, name: &str) -> PyResult<bool> {
        match self {
            Flag::Given(flag) => Ok(flag),
            Flag::Other(got) => Err(PyTypeError::new_err(format!("{name} must be a bool, got {got}"))),
        }
    }
}

impl FromPyObject<'_, '_> for Flag {
    type Error = PyErr;

    fn extract(flag: Borrowed<'_, '_, PyAny>) -> PyResult<Flag> {
        Ok(flag.extract::<bool>().map_or_else(|_| Flag::Other(describe_type(&flag)), Flag::Given))
    }
}

/// An argument that was given, and is not None.
pub fn given<'a, 'py>(argument: Option<&'a Bound<'py, PyAny>>) -> Option<&'a Bound<'py, PyAny>> {
    argument.filter(|argument| !argument.is_none())
}

/// A name.
pub fn text(argument: &str, expected: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    if !value.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!(
            "{argument} must be {expected}, got {}",
            describe_type(value)
        )));
    }
    value.extract()
}

impl Timeout {
    /// As `multiprocessing.Queue` reads them: a timeout only counts if the call blocks, and below zero it is zero.
    pub fn from_arguments(block: Block, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        if !block.0 {
            return Ok(Self::None);
        }
        let Some(timeout) = given(timeout) else { return Ok(Self::Forever) };
        let seconds: f64 = timeout.extract().map_err(|error: PyErr| {
            if !error.is_instance_of::<PyTypeError>(timeout.py()) {
                return error;
            }
            let got = describe_type(timeout);
            PyTypeError::new_err(format!("timeout must be a number of seconds or None, got {got}"))
        })?;
        if seconds.is_nan() {
            return Err(PyValueError::new_err("timeout must be a number of seconds, got nan"));
        }
        // What a Duration cannot hold is longer than anybody waits.
        Ok(Duration::try_from_secs_f64(seconds.max(0.0)).map_or(Self::Forever, Self::AtMost))
    }

    pub fn waits(self) -> bool {
        !matches!(self, Self::None)
    }

    pub fn wait(self) -> Wait<'static> {
        match self {
            Self::None => Wait::at_most(Duration::ZERO),
            Self::AtMost(timeout) => Wait::at_most(timeout),
            Self::Forever => Wait::forever(),
        }
    }
}

/// A count of at least 1; what is larger than all numbers here is the largest. `why` says what 0 would mean.
pub fn count(name: &str, value: &Bound<'_, PyAny>, why: &str) -> PyResult<u64> {
    Ok(index(name, value, 1, why)?.extract().unwrap_or(u64::MAX))
}

/// A count of at least 1 and at most `max`; `why` says what 0 would mean, and `why_not_more` why there is an end.
fn count_to(name: &str, value: &Bound<'_, PyAny>, max: u64, why: &str, why_not_more: &str) -> PyResult<u64> {
    let index = index(name, value, 1, why)?;
    index.extract().ok().filter(|count| *count <= max).ok_or_else(|| {
        PyValueError::new_err(format!("{name} must be between 1 and {max}, got {index}{why_not_more}"))
    })
}

/// An int of at least `least`; `why` says what a smaller one would mean.
fn index<'py>(name: &str, value: &Bound<'py, PyAny>, least: u32, why: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let wrong_type = || PyTypeError::new_err(format!("{name} must be an int, got {}", describe_type(value)));
    // A bool is an int to Python, but nobody means one here.
    if value.is_instance_of::<PyBool>() {
        return Err(wrong_type());
    }
    let index = py.import(intern!(py, "operator"))?.call_method1(intern!(py, "index"), (value,));
    let index =
        index.map_err(|error| if error.is_instance_of::<PyTypeError>(py) { wrong_type() } else { error })?;
    if index.lt(least)? {
        return Err(PyValueError::new_err(format!("{name} must be at least {least}, got {index}{why}")));
    }
    Ok(index)
}

/// Slots of a queue that is to be made.
pub fn capacity(maxsize: &Bound<'_, PyAny>) -> PyResult<u64> {
    let why_not_more = ": the memory of all slots is reserved at creation";
    count_to("maxsize", maxsize, MAX_CAPACITY, NOTHING_IS_UNBOUNDED, why_not_more)
}

/// A number that may be left out: at least one.
pub fn at_least_one(name: &str, number: Option<&Bound<'_, PyAny>>) -> PyResult<Option<NonZeroU32>> {
    let Some(number) = given(number) else { return Ok(None) };
    let counted = u32::try_from(count(name, number, "")?)
        .map_err(|_| PyValueError::new_err(format!("{name} must be at most {}, got {number}", u32::MAX)))?;
    Ok(NonZeroU32::new(counted))
}

/// What a put does that finds the queue full: whether it drops the oldest item.
pub fn drops_oldest(name: &str, overflow: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let Some(overflow) = overflow else { return Ok(false) };
    match text(name, "a str", overflow)?.as_str() {
        BLOCK => Ok(false),
        DROP_OLDEST => Ok(true),
        _ => Err(PyValueError::new_err(format!(
            "{name} must be {BLOCK:?} or {DROP_OLDEST:?}, got {}",
            overflow.repr()?
        ))),
    }
}

/// Slots of a topic that is to be made.
pub fn topic_capacity(maxsize: &Bound<'_, PyAny>) -> PyResult<u64> {
    let why_two = ": the newest item keeps its slot while the next one is written";
    let index = index("maxsize", maxsize, 2, why_two)?;
    index.extract().ok().filter(|count| *count <= MAX_TOPIC_CAPACITY).ok_or_else(|| {
        PyValueError::new_err(format!("maxsize of a topic must be at most {MAX_TOPIC_CAPACITY}, got {index}"))
    })
}

/// How many processes can be attached at a time; so many if that is not said.
pub fn places(participants: Option<&Bound<'_, PyAny>>, default: u64) -> PyResult<u64> {
    participants.map_or(Ok(default), |participants| {
        count_to("participants", participants, MAX_PARTICIPANTS.into(), "", "")
    })
}

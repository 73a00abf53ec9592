//! How an object comes to its queue: it makes one, finds one by its name, or was handed one by another process.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use treequeues::{CreateOptions, Handle, Queue, SegmentId};

use super::opened::Opened;
use crate::arguments::{Flag, at_least_one, capacity, drops_oldest, given, places, text};
use crate::attach::attach_passed;
use crate::outcome;
use crate::tree::Tree;

/// A process, its descriptor, a segment, and a name and its folder.
pub type PickledHandle<'py> = (u32, RawFd, Bound<'py, PyBytes>, Option<String>, Option<OsString>);

/// What the user says of a queue that is to be made, but for its name.
pub struct Wanted<'a, 'py> {
    pub nested_array: &'a Bound<'py, PyAny>,
    pub maxsize: &'a Bound<'py, PyAny>,
    pub keep: Flag,
    pub participants: Option<&'a Bound<'py, PyAny>>,
    pub populate: Flag,
    pub max_deliveries: Option<&'a Bound<'py, PyAny>>,
    pub overflow: Option<&'a Bound<'py, PyAny>>,
    pub producers: Option<&'a Bound<'py, PyAny>>,
}

impl Wanted<'_, '_> {
    fn read(self) -> PyResult<(u64, CreateOptions)> {
        let (keep, populate) = (self.keep.named("keep")?, self.populate.named("populate")?);
        let capacity = capacity(self.maxsize)?;
        let max_deliveries = at_least_one("max_deliveries", self.max_deliveries)?;
        let participants = places(self.participants)?;
        let drop_oldest = drops_oldest("overflow", self.overflow)?;
        let producers = at_least_one("producers", self.producers)?;
        Ok((capacity, CreateOptions { participants, populate, keep, max_deliveries, drop_oldest, producers }))
    }
}

/// A new queue, which may be going to have a hook.
pub fn create<'py>(
    py: Python<'py>,
    name: Option<&Bound<'py, PyAny>>,
    wanted: Wanted<'_, 'py>,
    has_hook: bool,
) -> PyResult<Opened> {
    let name = given(name).map(|name| text("name", "a str or None", name)).transpose()?;
    let example = wanted.nested_array;
    let (capacity, options) = wanted.read()?;
    if options.max_deliveries.is_none() && has_hook {
        return Err(PyValueError::new_err("on_drop is never called without max_deliveries"));
    }
    let tree = Tree::from_example(py, example)?;
    let schema = tree.schema().clone();
    let queue = py.detach(|| match &name {
        None => Queue::create_with(schema, capacity, options),
        Some(name) => Queue::create_named(name, schema, capacity, options),
    });
    let mut opened = Opened::new(py, queue.map_err(outcome::create_error)?, tree)?;
    if name.is_none() {
        opened.unshared.ask_how_it_was_made(py)?;
    }
    Ok(opened)
}

/// The queue of this name; a new one, if there is none.
pub fn open<'py>(py: Python<'py>, name: &Bound<'py, PyAny>, wanted: Wanted<'_, 'py>) -> PyResult<Opened> {
    let name = text("name", "a str", name)?;
    let example = wanted.nested_array;
    let (capacity, options) = wanted.read()?;
    let tree = Tree::from_example(py, example)?;
    let schema = tree.schema().clone();
    let queue = py.detach(|| Queue::open(&name, schema, capacity, options)).map_err(outcome::open_error)?;
    Opened::new(py, queue, tree)
}

/// The queue of this name.
pub fn attach<'py>(py: Python<'py>, name: &Bound<'py, PyAny>) -> PyResult<Opened> {
    let name = text("name", "a str", name)?;
    let queue = py.detach(|| Queue::attach(&name)).map_err(outcome::attach_error)?;
    of_its_schema(py, queue)
}

/// The queue behind a handle. `passed` is the number under which this process may have been started with a descriptor of the
/// segment.
pub fn attach_by_handle(
    py: Python<'_>,
    (pid, fd, segment): (u32, RawFd, &[u8]),
    name: Option<&str>,
    folder: Option<PathBuf>,
    passed: Option<RawFd>,
) -> PyResult<Opened> {
    let id: SegmentId =
        segment.try_into().map_err(|_| PyValueError::new_err("a segment is named by 16 bytes"))?;
    let by_passed = |fd| attach_passed(py, fd, |descriptor| Queue::attach_fd(descriptor, Some(id)).ok());
    let queue = match passed.and_then(by_passed) {
        Some(queue) => queue,
        None => py
            .detach(|| {
                Queue::attach_handle(Handle { pid, fd, id })
                    .or_else(|error| by_name(name, folder.as_deref(), id).ok_or(error))
            })
            .map_err(|error| outcome::unreachable(error, pid, name))?,
    };
    of_its_schema(py, queue)
}

/// What another process can attach by. That one may be on its way from now on.
pub fn handle<'py>(py: Python<'py>, opened: &Opened) -> PyResult<PickledHandle<'py>> {
    let queue = &opened.queue;
    let handle = queue.handle().map_err(outcome::attach_error)?;
    opened.unshared.is_handed_over();
    let folder = queue.folder().map(|folder| folder.as_os_str().to_owned());
    let name = queue.name().map(ToString::to_string);
    Ok((handle.pid, handle.fd, PyBytes::new(py, &handle.id), name, folder))
}

/// A queue that another process made: what its items look like stands in it.
fn of_its_schema(py: Python<'_>, queue: Queue) -> PyResult<Opened> {
    let tree = Tree::from_schema(py, queue.schema().as_ref().clone())?;
    Opened::new(py, queue, tree)
}

/// The very queue of a handle, by its name, where the process that made the handle cannot be reached: in the folder that the
/// name was in there, or in the one that is called differently here.
fn by_name(name: Option<&str>, folder: Option<&Path>, id: SegmentId) -> Option<Queue> {
    let there = folder.and_then(|folder| Queue::attach_in(folder, name?).ok());
    let is_the_one = |queue: &Queue| queue.id() == id;
    there.filter(is_the_one).or_else(|| Queue::attach(name?).ok().filter(is_the_one))
}

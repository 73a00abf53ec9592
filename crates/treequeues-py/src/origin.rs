//! How an object comes to its queue or topic: it makes one, finds one by its name, or was handed one by another process.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use treequeues::{Handle, SegmentId};

use crate::arguments::{given, text};
use crate::attach::attach_passed;
use crate::open::Open;
use crate::outcome;
use crate::shared::Shared;
use crate::tree::Tree;

/// A process, its descriptor, a segment, and a name and its folder.
pub type PickledHandle<'py> = (u32, RawFd, Bound<'py, PyBytes>, Option<String>, Option<OsString>);

/// A new one, with a name or without.
pub fn create<S: Shared>(
    py: Python<'_>,
    name: Option<&Bound<'_, PyAny>>,
    example: &Bound<'_, PyAny>,
    (capacity, options): (u64, S::Options),
) -> PyResult<Open<S>> {
    let name = name_given(name)?;
    let tree = Tree::from_example(py, example)?;
    let schema = tree.schema().clone();
    let shared = py.detach(|| match &name {
        None => S::create_with(schema, capacity, options),
        Some(name) => S::create_named(name, schema, capacity, options),
    });
    let mut open = Open::new(py, shared.map_err(outcome::create_error)?, tree)?;
    if name.is_none() {
        open.unshared.ask_how_it_was_made(py)?;
    }
    Ok(open)
}

/// A name that may be left out.
fn name_given(name: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    given(name).map(|name| text("name", "a str or None", name)).transpose()
}

/// That of this name; a new one, if there is none.
pub fn open<S: Shared>(
    py: Python<'_>,
    name: &Bound<'_, PyAny>,
    example: &Bound<'_, PyAny>,
    (capacity, options): (u64, S::Options),
) -> PyResult<Open<S>> {
    let name = text("name", "a str", name)?;
    let tree = Tree::from_example(py, example)?;
    let schema = tree.schema().clone();
    let shared = py.detach(|| S::open(&name, schema, capacity, options)).map_err(outcome::open_error)?;
    Open::new(py, shared, tree)
}

/// That of this name.
pub fn attach<S: Shared>(py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Open<S>> {
    let name = text("name", "a str", name)?;
    let shared = py.detach(|| S::attach(&name)).map_err(outcome::attach_error)?;
    of_its_schema(py, shared)
}

/// That behind a handle. `passed` is the number under which this process may have been started with a descriptor of the segment.
pub fn attach_by_handle<S: Shared>(
    py: Python<'_>,
    (pid, fd, segment): (u32, RawFd, &[u8]),
    name: Option<&str>,
    folder: Option<PathBuf>,
    passed: Option<RawFd>,
) -> PyResult<Open<S>> {
    let id: SegmentId =
        segment.try_into().map_err(|_| PyValueError::new_err("a segment is named by 16 bytes"))?;
    let by_passed = |fd| attach_passed(py, fd, |descriptor| S::attach_fd(descriptor, Some(id)).ok());
    let shared = match passed.and_then(by_passed) {
        Some(shared) => shared,
        None => py
            .detach(|| {
                S::attach_handle(Handle { pid, fd, id })
                    .or_else(|error| by_name(name, folder.as_deref(), id).ok_or(error))
            })
            .map_err(|error| outcome::unreachable((S::NOUN, S::CLASS), error, pid, name))?,
    };
    of_its_schema(py, shared)
}

/// What another process can attach by. That one may be on its way from now on.
pub fn handle<'py, S: Shared>(py: Python<'py>, open: &Open<S>) -> PyResult<PickledHandle<'py>> {
    let shared = &open.shared;
    let handle = shared.handle().map_err(outcome::attach_error)?;
    open.unshared.is_handed_over();
    let folder = shared.folder().map(|folder| folder.as_os_str().to_owned());
    let name = shared.name().map(ToString::to_string);
    Ok((handle.pid, handle.fd, PyBytes::new(py, &handle.id), name, folder))
}

/// One that another process made: what its items look like stands in it.
fn of_its_schema<S: Shared>(py: Python<'_>, shared: S) -> PyResult<Open<S>> {
    let tree = Tree::from_schema(py, shared.schema().clone())?;
    Open::new(py, shared, tree)
}

/// The very one of a handle, by its name, where the process that made the handle cannot be reached: in the folder that the
/// name was in there, or in the one that is called differently here.
fn by_name<S: Shared>(name: Option<&str>, folder: Option<&Path>, id: SegmentId) -> Option<S> {
    let there = folder.and_then(|folder| S::attach_in(folder, name?).ok());
    let is_the_one = |shared: &S| shared.id() == id;
    there.filter(is_the_one).or_else(|| S::attach(name?).ok().filter(is_the_one))
}

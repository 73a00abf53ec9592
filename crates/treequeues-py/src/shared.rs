//! What queues and topics have in common: names, handles, forks, ends.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process;
use std::time::{Duration, SystemTime};

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use treequeues::schema::Schema;
use treequeues::{
    AttachError, CreateError, CreateOptions, Handle, OpenError, Peers, Queue, QueueName, SegmentId, Shutdown,
    Topic, TopicOptions,
};

use crate::detached::Leaves;

/// A structure that processes share, as the core has it.
pub trait Shared: Sized + Clone + Send + Sync + Leaves {
    /// What messages call it.
    const NOUN: &'static str;
    /// The class that users attach by.
    const CLASS: &'static str;
    /// Whether a slot becomes free by others that take its item.
    const IS_TAKEN_FROM: bool;

    type Options: Copy + Send + Sync;

    fn create_with(schema: Schema, capacity: u64, options: Self::Options) -> Result<Self, CreateError>;
    fn create_named(
        name: &str,
        schema: Schema,
        capacity: u64,
        options: Self::Options,
    ) -> Result<Self, CreateError>;
    fn open(name: &str, schema: Schema, capacity: u64, options: Self::Options) -> Result<Self, OpenError>;
    fn attach(name: &str) -> Result<Self, AttachError>;
    fn attach_in(folder: &Path, name: &str) -> Result<Self, AttachError>;
    fn attach_fd(fd: OwnedFd, id: Option<SegmentId>) -> Result<Self, AttachError>;
    fn attach_handle(handle: Handle) -> Result<Self, AttachError>;
    fn handle(&self) -> Result<Handle, AttachError>;
    fn unlink(&self) -> Result<bool, AttachError>;
    fn name(&self) -> Option<&QueueName>;
    fn folder(&self) -> Option<&Path>;
    fn id(&self) -> SegmentId;
    fn schema(&self) -> &Schema;
    fn capacity(&self) -> usize;
    fn is_attached_here(&self) -> bool;
    fn attach_after_fork(&self) -> Result<(), AttachError>;
    fn peers(&self) -> Result<Peers, AttachError>;
    fn wake_all(&self);
    fn len(&self) -> Result<usize, AttachError>;
}

macro_rules! shared {
    ($core:ident, $options:ty, $noun:literal, $class:literal, $is_taken_from:literal, $len:expr) => {
        impl Leaves for $core {
            fn leaves(&self) -> bool {
                self.is_last_here()
            }
        }

        impl Shared for $core {
            const NOUN: &'static str = $noun;
            const CLASS: &'static str = $class;
            const IS_TAKEN_FROM: bool = $is_taken_from;

            type Options = $options;

            fn create_with(schema: Schema, capacity: u64, options: $options) -> Result<Self, CreateError> {
                $core::create_with(schema, capacity, options)
            }

            fn create_named(
                name: &str,
                schema: Schema,
                capacity: u64,
                options: $options,
            ) -> Result<Self, CreateError> {
                $core::create_named(name, schema, capacity, options)
            }

            fn open(name: &str, schema: Schema, capacity: u64, options: $options) -> Result<Self, OpenError> {
                $core::open(name, schema, capacity, options)
            }

            fn attach(name: &str) -> Result<Self, AttachError> {
                $core::attach(name)
            }

            fn attach_in(folder: &Path, name: &str) -> Result<Self, AttachError> {
                $core::attach_in(folder, name)
            }

            fn attach_fd(fd: OwnedFd, id: Option<SegmentId>) -> Result<Self, AttachError> {
                $core::attach_fd(fd, id)
            }

            fn attach_handle(handle: Handle) -> Result<Self, AttachError> {
                $core::attach_handle(handle)
            }

            fn handle(&self) -> Result<Handle, AttachError> {
                $core::handle(self)
            }

            fn unlink(&self) -> Result<bool, AttachError> {
                $core::unlink(self)
            }

            fn name(&self) -> Option<&QueueName> {
                $core::name(self)
            }

            fn folder(&self) -> Option<&Path> {
                $core::folder(self)
            }

            fn id(&self) -> SegmentId {
                $core::id(self)
            }

            fn schema(&self) -> &Schema {
                $core::schema(self)
            }

            fn capacity(&self) -> usize {
                $core::capacity(self)
            }

            #[inline]
            fn is_attached_here(&self) -> bool {
                $core::is_attached_here(self)
            }

            fn attach_after_fork(&self) -> Result<(), AttachError> {
                $core::attach_after_fork(self)
            }

            fn peers(&self) -> Result<Peers, AttachError> {
                $core::peers(self)
            }

            fn wake_all(&self) {
                $core::wake_all(self);
            }

            fn len(&self) -> Result<usize, AttachError> {
                $len(self)
            }
        }
    };
}

shared!(Queue, CreateOptions, "queue", "TreeQueue", true, Queue::len);
shared!(Topic, TopicOptions, "topic", "TreeTopic", false, |topic: &Topic| Ok(topic.stats()?.items));

/// This process closed the object.
pub fn closed<S: Shared>() -> PyErr {
    PyValueError::new_err(format!("the {} is closed", S::NOUN))
}

/// For the end of a stream: `the queue "actors" was shut down at 2026-11-27 12:01:02, 3.2 s ago: all 3 producers have left`. Else `the queue
/// "actors" was shut down by process 4711 (another process) at 2026-11-27 12:01:02, 3.2 s ago`.
pub fn who_and_when<S: Shared>(py: Python<'_>, shared: &S, shutdown: Shutdown) -> String {
    let name = shared.name().map_or_else(String::new, |name| format!(" {:?}", name.as_str()));
    let kind = if shutdown.is_immediate() { " with immediate=True" } else { "" };
    let who = shutdown.pid().map_or_else(String::new, |pid| {
        let whose = if pid == process::id() { "this process" } else { "another process" };
        format!(" by process {pid} ({whose})")
    });
    let when = shutdown.at().map_or_else(String::new, |at| {
        // The clock may have been set back.
        let ago = SystemTime::now().duration_since(at).unwrap_or(Duration::ZERO);
        // A time that the C library cannot show is left out.
        let at = local_time(py, at).map_or_else(|_| String::new(), |at| format!(" at {at}"));
        format!("{at}, {} ago", span(ago))
    });
    let ended = shutdown.ended().map_or_else(String::new, |ended| format!(": {ended}"));
    format!("the {}{name} was shut down{kind}{who}{when}{ended}", S::NOUN)
}

/// `2026-11-27 12:01:02`, as the clock on the wall shows it.
fn local_time(py: Python<'_>, at: SystemTime) -> PyResult<String> {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = py.import(intern!(py, "time"))?;
    let parts = time.call_method1(intern!(py, "localtime"), (seconds,))?;
    time.call_method1(intern!(py, "strftime"), ("%Y-%m-%d %H:%M:%S", parts))?.extract()
}

/// `3.2 s`, `5 min` or `7 h`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else if seconds < 7200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.0} h", seconds / 3600.0)
    }
}

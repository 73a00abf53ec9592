//! The exceptions that Python users meet, beside the built-in ones and those of the module `queue`.
//!
//! A tree that does not fit raises `SchemaError`, a `ValueError`. Where it is a matter of type (a list instead of a
//! dict, a string instead of an array) the exception is also a `TypeError`: that takes a second class, which is shown
//! and pickled as `SchemaError` because to users there is only one.

use std::ffi::CString;
use std::path::PathBuf;

use pyo3::PyErrArguments;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

create_exception!(
    treequeues,
    SchemaError,
    PyValueError,
    "A tree does not fit the schema of the queue.\n\nThe message names the path of the misfit, what was expected \
     there, what came, and what to pass instead, where there is something. Where a container or a leaf has the wrong \
     type, the exception is also a TypeError."
);

create_exception!(
    treequeues,
    CorruptedError,
    PyOSError,
    "The shared memory of the queue is damaged: something that does not run the queue's protocol wrote into it.\n\nThe \
     message says what is damaged, where, and what is there: a field of the header and its byte, the schema's bytes, a slot \
     and its state word, a cursor, or the shutdown flag."
);

static SCHEMA_TYPE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static SHUT_DOWN: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static FULL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static EMPTY: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Adds the exception classes to the extension module.
pub fn add_to_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    // Now, for calls that are made while the interpreter is being finalized: nothing can be imported then.
    FULL.import(py, "queue", "Full")?;
    EMPTY.import(py, "queue", "Empty")?;
    module.add("SchemaError", py.get_type::<SchemaError>())?;
    module.add("CorruptedError", py.get_type::<CorruptedError>())?;
    module.add("ShutDown", shut_down_type(py)?)?;
    module.add("_SchemaTypeError", schema_type_error_type(py)?)?;
    module.add_function(wrap_pyfunction!(_unpickle_schema_type_error, module)?)?;
    // The class is shown under a name where pickle would find another class, so pickle is told what to do instead.
    let copyreg = py.import("copyreg")?;
    let reduce = wrap_pyfunction!(_pickle_schema_type_error, module)?;
    copyreg.call_method1("pickle", (schema_type_error_type(py)?, reduce))?;
    Ok(())
}

/// A tree does not fit: its shape, dtype, keys, length or value.
pub fn schema_error(message: impl Into<String>) -> PyErr {
    SchemaError::new_err(message.into())
}

/// A tree does not fit: the type of a container or of a leaf.
pub fn schema_type_error(py: Python<'_>, message: impl Into<String>) -> PyErr {
    match schema_type_error_type(py) {
        Ok(class) => PyErr::from_type(class, (message.into(),)),
        Err(error) => error,
    }
}

/// The shared memory is damaged: that of the file at `path`, if it was found by its name.
pub fn corrupted_error(errno: i32, message: String, path: Option<PathBuf>) -> PyErr {
    match path {
        Some(path) => CorruptedError::new_err((errno, message, path.into_os_string())),
        None => CorruptedError::new_err((errno, message)),
    }
}

/// `queue.Full`.
pub fn full(py: Python<'_>) -> PyErr {
    from_queue_module(py, &FULL, "Full", ())
}

/// `queue.Full`, with what is in the way.
pub fn full_because(py: Python<'_>, message: String) -> PyErr {
    from_queue_module(py, &FULL, "Full", (message,))
}

/// `queue.Empty`.
pub fn empty(py: Python<'_>) -> PyErr {
    from_queue_module(py, &EMPTY, "Empty", ())
}

/// `treequeues.ShutDown`.
pub fn shut_down(py: Python<'_>, message: String) -> PyErr {
    match shut_down_type(py) {
        Ok(class) => PyErr::from_type(class, (message,)),
        Err(error) => error,
    }
}

/// Whether an exception says that the queue is shut down.
pub fn is_shut_down(py: Python<'_>, error: &PyErr) -> bool {
    shut_down_type(py).is_ok_and(|class| error.is_instance(py, &class))
}

fn from_queue_module(
    py: Python<'_>,
    class: &PyOnceLock<Py<PyType>>,
    name: &str,
    args: impl PyErrArguments + 'static,
) -> PyErr {
    match class.import(py, "queue", name) {
        Ok(class) => PyErr::from_type(class.clone(), args),
        Err(error) => error,
    }
}

/// The standard library's `queue.ShutDown` where it has one (from Python 3.13 on), and a class of our own before.
fn shut_down_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let class = SHUT_DOWN.get_or_try_init(py, || -> PyResult<_> {
        if let Some(class) = py.import("queue")?.getattr_opt("ShutDown")? {
            return Ok(class.cast_into::<PyType>()?.unbind());
        }
        let doc = c"The queue was shut down: nothing can be put, and nothing is left to get.";
        PyErr::new_type(py, c"treequeues.ShutDown", Some(doc), Some(&py.get_type::<PyException>()), None)
    })?;
    Ok(class.bind(py).clone())
}

fn schema_type_error_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let class = SCHEMA_TYPE_ERROR.get_or_try_init(py, || -> PyResult<_> {
        let bases = (py.get_type::<SchemaError>(), py.get_type::<PyTypeError>());
        let names = PyDict::new(py);
        names.set_item("__module__", "treequeues")?;
        names.set_item("__doc__", py.get_type::<SchemaError>().getattr("__doc__")?)?;
        let class = py.get_type::<PyType>().call1(("SchemaError", bases, names))?;
        Ok(class.cast_into::<PyType>()?.unbind())
    })?;
    Ok(class.bind(py).clone())
}

/// What pickle stores of a `SchemaError` that is also a `TypeError`.
#[pyfunction]
fn _pickle_schema_type_error<'py>(
    error: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = error.py();
    let core = py.import("treequeues._core")?;
    Ok((core.getattr("_unpickle_schema_type_error")?, error.getattr("args")?))
}

/// Makes again what `_pickle_schema_type_error` took apart.
#[pyfunction]
#[pyo3(signature = (*args))]
fn _unpickle_schema_type_error<'py>(args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    schema_type_error_type(args.py())?.call1(args.clone())
}

/// Warns at the line of Python that is running.
///
/// # Errors
///
/// The warning, if warnings are errors.
pub fn warn(py: Python<'_>, category: &Bound<'_, PyAny>, message: &str) -> PyResult<()> {
    // A path with a NUL in it is shown without.
    let message = CString::new(message.replace('\0', "")).expect("no NUL is left");
    PyErr::warn(py, category, &message, 1)
}

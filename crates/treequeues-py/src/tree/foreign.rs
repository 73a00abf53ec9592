//! Arrays of other libraries, and buffers, as NumPy's.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PyType};

/// Whether an object says that it can be read as an array.
pub(super) fn is_array_like(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    if object.is_instance_of::<PyType>() {
        return Ok(false);
    }
    let names = [intern!(py, "__array__"), intern!(py, "__array_interface__"), intern!(py, "__dlpack__")];
    for name in names {
        if object.hasattr(name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The array that an array of another library is, without a copy where that library allows it.
pub(super) fn as_array<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    let by_numpy =
        object.hasattr(intern!(py, "__array__"))? || object.hasattr(intern!(py, "__array_interface__"))?;
    let function = if by_numpy { intern!(py, "asarray") } else { intern!(py, "from_dlpack") };
    numpy.call_method1(function, (object,))
}

/// The array over a buffer: `bytes`, a `bytearray`, a `memoryview`, an `array.array`, an `mmap`. It cannot be resized while the
/// array lives. `None` for what has no buffer, or one of no dtype.
pub(super) fn as_buffer<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let Ok(buffer) = PyMemoryView::from(object) else { return Ok(None) };
    let array = py.import(intern!(py, "numpy"))?.call_method1(intern!(py, "asarray"), (buffer,));
    match array {
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(None),
        array => array.map(Some),
    }
}

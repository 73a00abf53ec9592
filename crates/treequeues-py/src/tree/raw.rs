//! The calls of CPython's that `pyo3` has no safe form of, or only a slower one.
//!
//! C1. A `Bound`, and a `Py` beside one, are live, and the GIL is held.
//! C2. CPython checks the position in a dict at each call, so even a dict that was changed since the last one is read
//!     inside its bounds; what it returns is borrowed from the dict, and lives until Python code runs.

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// The next value of a dict if it stands under this very key object; moves `position` in any case.
#[inline]
pub(super) fn next_if_key<'py>(
    dict: &Bound<'py, PyDict>,
    position: &mut ffi::Py_ssize_t,
    key: &Py<PyAny>,
) -> Option<Bound<'py, PyAny>> {
    let (mut found, mut value) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: C1 and C2.
    let is_some = unsafe { ffi::PyDict_Next(dict.as_ptr(), position, &mut found, &mut value) } != 0;
    if !is_some || found != key.as_ptr() {
        return None;
    }
    // SAFETY: C2, and no Python code ran since.
    Some(unsafe { Bound::from_borrowed_ptr(dict.py(), value) })
}

/// Sets a field as `object.__setattr__` does, so that a frozen class does not mind.
pub(super) fn set_plainly(
    object: &Bound<'_, PyAny>,
    field: &Py<PyString>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: C1.
    let status = unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), field.as_ptr(), value.as_ptr()) };
    if status == 0 { Ok(()) } else { Err(PyErr::fetch(object.py())) }
}

/// How many references there are to an object. One means that nobody but the caller has it, and that nobody can come to
/// have it before Python code runs.
#[inline]
pub fn reference_count(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: C1.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

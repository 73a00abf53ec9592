//! Keys of dicts, and aux data of custom nodes, between Python and the schema.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyNone, PyString, PyTuple};
use treequeues::schema::{Key, MAX_KEY_DEPTH};

use crate::nouns;

/// What a key may be, for messages.
pub(super) const POSSIBLE_KEYS: &str = "str, int, float, bool, None, bytes, or a tuple of these";

/// The key of the schema that a Python object is; `None` where it is of another type, or nested too deeply.
///
/// Only exact types count: what an enum member or a `numpy.int64` adds would be lost on the way.
pub(super) fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Option<Key>> {
    from_python_at(object, 0)
}

fn from_python_at(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Option<Key>> {
    if object.is_exact_instance_of::<PyString>() {
        // A string with lone surrogates has no UTF-8.
        return Ok(object.extract().ok().map(Key::Str));
    }
    if object.is_exact_instance_of::<PyBool>() {
        return Ok(Some(Key::Bool(object.extract()?)));
    }
    if object.is_exact_instance_of::<PyInt>() {
        return Ok(object.extract().ok().map(Key::Int));
    }
    if object.is_exact_instance_of::<PyFloat>() {
        return Ok(Some(Key::from_f64(object.extract()?)));
    }
    if object.is_exact_instance_of::<PyBytes>() {
        return Ok(Some(Key::Bytes(object.extract()?)));
    }
    if object.is_none() {
        return Ok(Some(Key::None));
    }
    if !object.is_exact_instance_of::<PyTuple>() || depth == MAX_KEY_DEPTH {
        return Ok(None);
    }
    let mut keys = Vec::new();
    for item in object.cast::<PyTuple>()?.iter() {
        match from_python_at(&item, depth + 1)? {
            Some(key) => keys.push(key),
            None => return Ok(None),
        }
    }
    Ok(Some(Key::Tuple(keys)))
}

/// Why an object is no key, as a noun: `a key of type Color`, `a key that is not valid Unicode: '\ud800'`.
pub(super) fn why_not(object: &Bound<'_, PyAny>, noun: &str) -> String {
    let with_article = nouns::with_article(noun);
    if object.is_exact_instance_of::<PyString>() {
        let shown = object.call_method1("encode", ("ascii", "backslashreplace"));
        let shown = shown.and_then(|bytes| Ok(String::from_utf8_lossy(bytes.extract()?).into_owned()));
        return format!("{with_article} that is not valid Unicode: '{}'", shown.unwrap_or_default());
    }
    if object.is_exact_instance_of::<PyInt>() {
        let bits = object.call_method0("bit_length").map_or_else(|_| String::new(), |bits| bits.to_string());
        return format!("{with_article} of {bits} bits; an int may have 127");
    }
    let Ok(tuple) = object.cast_exact::<PyTuple>() else {
        return format!("{with_article} of type {}; it may be {POSSIBLE_KEYS}", nouns::type_name(object));
    };
    match tuple.iter().find(|item| matches!(from_python(item), Ok(None))) {
        Some(item) if !item.is_exact_instance_of::<PyTuple>() => {
            format!("{with_article} of type tuple with {}", why_not(&item, "item"))
        }
        _ => format!(
            "{with_article} of type tuple: one nested more than {MAX_KEY_DEPTH} deep, or with items of other types"
        ),
    }
}

/// The Python object that a key of the schema is. Strings are interned, so that equal keys are mostly the same object.
pub(super) fn to_python<'py>(py: Python<'py>, key: &Key) -> PyResult<Bound<'py, PyAny>> {
    Ok(match key {
        Key::None => PyNone::get(py).to_owned().into_any(),
        Key::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Key::Int(value) => value.into_pyobject(py)?.into_any(),
        Key::Float(bits) => PyFloat::new(py, f64::from_bits(*bits)).into_any(),
        Key::Str(text) => PyString::intern(py, text).into_any(),
        Key::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Key::Tuple(keys) => {
            let items: Vec<_> = keys.iter().map(|key| to_python(py, key)).collect::<PyResult<_>>()?;
            PyTuple::new(py, items)?.into_any()
        }
    })
}

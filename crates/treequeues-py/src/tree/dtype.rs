//! Dtypes between NumPy and the schema.
//!
//! Both ways go through the one spelling of `treequeues::dtype`: what NumPy reads back from a leaf's dtype is equal to
//! the dtype that the example had, or the example is refused.

use pyo3::exceptions::{PyAttributeError, PyException, PyImportError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use treequeues::dtype::{Dtype, Field, Structured};

/// The dtype of the schema that a NumPy dtype is, or why no leaf can have it.
pub(super) fn from_numpy(dtype: &Bound<'_, PyAny>) -> PyResult<Result<Dtype, String>> {
    let py = dtype.py();
    let found = match convert(dtype)? {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason)),
    };
    // Titles that are no strings, and whatever NumPy will invent, do not survive the way to another process.
    if to_numpy(py, &found)?.eq(dtype)? {
        Ok(Ok(found))
    } else {
        Ok(Err(format!("dtype {} has no spelling that NumPy reads back the same", dtype.str()?)))
    }
}

/// The NumPy dtype that a dtype of the schema is.
pub(super) fn to_numpy<'py>(py: Python<'py>, dtype: &Dtype) -> PyResult<Bound<'py, PyAny>> {
    let make = py.import(intern!(py, "numpy"))?.getattr(intern!(py, "dtype"))?;
    match dtype {
        Dtype::Structured(structured) => make.call1((structured_spec(py, structured)?,)),
        Dtype::Number(number, _) if number.is_extension() => make.call1((extension_type(py, dtype)?,)),
        plain => make.call1((plain.to_string(),)),
    }
}

/// NumPy's base dtype and shape of a dtype that is a subarray, such as `np.dtype((np.float32, (3,)))`.
pub(super) fn split_subarray<'py>(dtype: Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Vec<usize>)> {
    match dtype.getattr(intern!(dtype.py(), "subdtype"))?.extract()? {
        Some((base, shape)) => Ok((base, shape)),
        None => Ok((dtype, Vec::new())),
    }
}

fn convert(dtype: &Bound<'_, PyAny>) -> PyResult<Result<Dtype, String>> {
    let py = dtype.py();
    let kind: String = dtype.getattr(intern!(py, "kind"))?.extract()?;
    if kind == "T" {
        let reason = "strings of variable length cannot be shared; use a fixed size such as dtype U20";
        return Ok(Err(reason.to_owned()));
    }
    if dtype.getattr(intern!(py, "hasobject"))?.is_truthy()? {
        return Ok(Err("dtype object: Python objects cannot be shared between processes; convert it to a dtype of fixed \
                       size, or leave it out"
            .to_owned()));
    }
    if !dtype.getattr(intern!(py, "names"))?.is_none() {
        return structured_from_numpy(dtype);
    }
    let name = name_of(dtype, &kind)?;
    Ok(Dtype::from_name(&name).map_err(|error| error.to_string()))
}

/// The schema's spelling of a dtype without fields.
fn name_of(dtype: &Bound<'_, PyAny>, kind: &str) -> PyResult<String> {
    let py = dtype.py();
    let get = |name: &Bound<'_, PyString>| dtype.getattr(name)?.extract::<String>();
    // Built-in is 1 for NumPy's own dtypes, 2 for those that packages such as ml_dtypes register.
    if dtype.getattr(intern!(py, "isbuiltin"))?.extract::<i32>()? == 2 {
        return get(intern!(py, "name"));
    }
    let code = get(intern!(py, "str"))?;
    let is_big = code.starts_with('>');
    let code = code.trim_start_matches(['<', '>', '|', '=']);
    Ok(match kind {
        _ if is_big => format!(">{code}"),
        "M" => code.replacen("M8", "datetime64", 1),
        "m" => code.replacen("m8", "timedelta64", 1),
        "S" | "U" | "V" => code.to_owned(),
        _ => get(intern!(py, "name"))?,
    })
}

fn structured_from_numpy(dtype: &Bound<'_, PyAny>) -> PyResult<Result<Dtype, String>> {
    let py = dtype.py();
    let by_name = dtype.getattr(intern!(py, "fields"))?;
    let mut fields = Vec::new();
    for name in dtype.getattr(intern!(py, "names"))?.try_iter()? {
        let name = name?;
        let entry = by_name.get_item(&name)?.cast_into::<PyTuple>()?;
        let (base, shape) = split_subarray(entry.get_item(0)?)?;
        let title = entry.get_item(2).ok().and_then(|title| title.extract().ok());
        let name: String = name.extract()?;
        match convert(&base)? {
            Ok(dtype) => {
                fields.push(Field { name, title, dtype, shape, offset: entry.get_item(1)?.extract()? })
            }
            Err(reason) => return Ok(Err(format!("field {name:?}: {reason}"))),
        }
    }
    let itemsize = dtype.getattr(intern!(py, "itemsize"))?.extract()?;
    let aligned = dtype.getattr(intern!(py, "isalignedstruct"))?.extract()?;
    let structured = Structured::new(fields, itemsize, aligned);
    Ok(structured.map(Dtype::Structured).map_err(|error| error.to_string()))
}

/// NumPy's description of a structured dtype by names, formats and offsets.
fn structured_spec<'py>(py: Python<'py>, structured: &Structured) -> PyResult<Bound<'py, PyDict>> {
    let [names, formats, offsets, titles] = std::array::from_fn(|_| PyList::empty(py));
    for field in structured.fields() {
        names.append(&field.name)?;
        offsets.append(field.offset)?;
        titles.append(&field.title)?;
        let base = to_numpy(py, &field.dtype)?;
        match field.shape.as_slice() {
            [] => formats.append(base)?,
            shape => formats.append((base, PyTuple::new(py, shape)?))?,
        }
    }
    let spec = PyDict::new(py);
    spec.set_item("names", names)?;
    spec.set_item("formats", formats)?;
    spec.set_item("offsets", offsets)?;
    if structured.fields().iter().any(|field| field.title.is_some()) {
        spec.set_item("titles", titles)?;
    }
    spec.set_item("itemsize", structured.itemsize())?;
    spec.set_item("aligned", structured.aligned())?;
    Ok(spec)
}

fn extension_type<'py>(py: Python<'py>, dtype: &Dtype) -> PyResult<Bound<'py, PyAny>> {
    let name = dtype.to_string();
    let found = py.import(intern!(py, "ml_dtypes")).and_then(|package| package.getattr(name.as_str()));
    found.map_err(|cause| {
        if !cause.is_instance_of::<PyException>(py) {
            return cause;
        }
        let mend =
            if cause.is_instance_of::<PyAttributeError>(py) { "a newer ml_dtypes" } else { "ml_dtypes" };
        let error = PyImportError::new_err(format!("dtype {name} needs the Python package {mend}"));
        error.set_cause(py, Some(cause));
        error
    })
}

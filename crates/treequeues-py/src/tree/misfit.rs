//! The messages about trees that do not fit: the path, what was expected there, and what came.
//!
//! Nothing here runs unless a call fails, so it may be slow.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyInt, PyString};
use treequeues::dtype::{DisplayShape, Dtype};

use super::bound::Tree;
use super::numpy_types::numpy_types;
use super::{dtype, keys, mend, ndarray};
use crate::errors::{schema_error, schema_type_error};
use crate::nouns::{MAX_NAMES, describe_type, listed, type_name, with_article};

/// How much a message says of what another library says.
const MAX_REASON_CHARS: usize = 200;

impl Tree {
    /// The value at this node has the wrong dtype, shape, length or range.
    #[cold]
    pub(super) fn misfit(&self, node: usize, expected: &str, got: &str) -> PyErr {
        schema_error(self.misfit_message(node, expected, got))
    }

    /// The value at this node has the wrong type.
    #[cold]
    pub(super) fn type_misfit(&self, py: Python<'_>, node: usize, expected: &str, got: &str) -> PyErr {
        schema_type_error(py, self.misfit_message(node, expected, got))
    }

    /// A dict has other keys than expected.
    #[cold]
    pub(super) fn key_misfit(&self, node: usize, expected: &[Py<PyAny>], dict: &Bound<'_, PyDict>) -> PyErr {
        self.key_misfit_message(node, expected, dict).map_or_else(|error| error, schema_error)
    }

    fn misfit_message(&self, node: usize, expected: &str, got: &str) -> String {
        let reads_the_same = got.split(';').next() == Some(expected);
        let layout =
            if reads_the_same { " of another layout: offsets, padding, alignment or titles" } else { "" };
        format!("{}: expected {expected}, got {got}{layout}", self.schema.structure().path_of(node))
    }

    fn key_misfit_message(
        &self,
        node: usize,
        expected: &[Py<PyAny>],
        dict: &Bound<'_, PyDict>,
    ) -> PyResult<String> {
        let py = dict.py();
        let mut missing = Vec::new();
        let mut known = Vec::new();
        for key in expected {
            let key = key.bind(py);
            if dict.contains(key)? { known.push(key) } else { missing.push(key.clone()) }
        }
        let expected = PyDict::new(py);
        known.into_iter().try_for_each(|key| expected.set_item(key, true))?;
        let mut unexpected = Vec::new();
        for key in dict.keys() {
            if !expected.contains(&key)? {
                unexpected.push(key);
            }
        }
        let parts = [list("missing", &missing)?, list("unexpected", &unexpected)?];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let path = self.schema.structure().path_of(node);
        Ok(format!("{path}: {}{}", parts.join("; "), mend::OF_KEYS))
    }
}

fn list(what: &str, names: &[Bound<'_, PyAny>]) -> PyResult<Option<String>> {
    let shown: Vec<String> = names.iter().take(MAX_NAMES).map(show_key).collect::<PyResult<_>>()?;
    let plural = if names.len() == 1 { "" } else { "s" };
    Ok((!names.is_empty()).then(|| format!("{what} key{plural} {}", listed(&shown, names.len()))))
}

fn show_key(key: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(match keys::from_python(key)? {
        Some(key) => key.to_string(),
        None => format!("of type {}", type_name(key)),
    })
}

/// What an object is, as the second half of a message says it: `float32 (84, 84, 3)`, `the int 300`, `a list`.
pub(super) fn describe(object: &Bound<'_, PyAny>) -> String {
    describe_closely(object).unwrap_or_else(|_| describe_type(object))
}

/// Why an array of a subclass cannot be a leaf: what the subclass adds would be lost. `None` for the subclasses that
/// add nothing but methods, which are NumPy's own ones apart from masked arrays.
pub(super) fn lost_by_subclass(array: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let name = type_name(array);
    if array.is_instance(numpy_types(array.py())?.masked_array.bind(array.py()))? {
        return Ok(Some(format!(
            "a {name}, which would lose its mask; use array.filled(), or array.data and array.mask as two leaves"
        )));
    }
    let module = array.get_type().module()?;
    let is_numpys = module.to_string_lossy().split('.').next() == Some("numpy");
    Ok((!is_numpys).then(|| {
        format!(
            "{}, which would come back as a plain array; use np.asarray(array), or make it a node with \
             treequeues.register_node({name}, flatten, unflatten)",
            with_article(&name)
        )
    }))
}

/// What a value is that would fit if it were another: `the float64 0.1`, `a str of 3 characters`.
pub(super) fn describe_value(object: &Bound<'_, PyAny>) -> String {
    describe_its_value(object).ok().flatten().unwrap_or_else(|| describe(object))
}

/// An object that says it is an array, and gives none: the reason is the other library's.
pub(super) fn gives_no_array(object: &Bound<'_, PyAny>, cause: &PyErr) -> String {
    let reason = cause.value(object.py()).str().map_or_else(|_| String::new(), |reason| reason.to_string());
    let reason = reason.lines().next().unwrap_or_default().trim_end_matches('.').to_owned();
    let (shown, is_cut) = match reason.char_indices().nth(MAX_REASON_CHARS) {
        Some((end, _)) => (&reason[..end], "..."),
        None => (&reason[..], ""),
    };
    let colon = if shown.is_empty() { "" } else { ": " };
    format!("{} that gives no array{colon}{shown}{is_cut}{}", describe_type(object), mend::of_tensor(object))
}

fn describe_its_value(object: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = object.py();
    if object.is_instance_of::<PyString>() || object.is_instance_of::<PyBytes>() {
        let (noun, unit) =
            if object.is_instance_of::<PyString>() { ("str", "character") } else { ("bytes", "byte") };
        let len = object.len()?;
        let plural = if len == 1 { "" } else { "s" };
        return Ok(Some(format!("a {noun} of {len} {unit}{plural}")));
    }
    let is_array = object.is_instance(numpy_types(py)?.array.bind(py))?;
    if !is_array && !ndarray::is_numpy_scalar(object) {
        return Ok(None);
    }
    let numpy_dtype = object.getattr(intern!(py, "dtype"))?;
    Ok(dtype::from_numpy(&numpy_dtype)?
        .ok()
        .zip(Some(object.str()?))
        .map(|(dtype, value)| format!("the {dtype} {value}")))
}

fn describe_closely(object: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = object.py();
    let types = numpy_types(py)?;
    let is_array = object.is_instance(types.array.bind(py))?;
    if is_array || ndarray::is_numpy_scalar(object) {
        let numpy_dtype = object.getattr(intern!(py, "dtype"))?;
        let found = dtype::from_numpy(&numpy_dtype)?;
        let is_short = matches!(found, Ok(Dtype::Number(..) | Dtype::Datetime(..) | Dtype::Timedelta(..)));
        let dtype = match found {
            Ok(dtype) => dtype.to_string(),
            Err(_) => numpy_dtype.str()?.to_string(),
        };
        if !is_array && is_short {
            return Ok(format!("the {dtype} {}", object.str()?));
        }
        if !is_array {
            return Ok(format!("{} scalar", with_article(&dtype)));
        }
        let shape: Vec<usize> = object.getattr(intern!(py, "shape"))?.extract()?;
        return Ok(format!("{dtype} {}", DisplayShape(&shape)));
    }
    if object.is_instance_of::<PyInt>() && object.extract::<i128>().is_err() {
        let bits: u64 = object.call_method0("bit_length")?.extract()?;
        return Ok(format!("an int of {bits} bits"));
    }
    let is_number = object.is_exact_instance_of::<PyBool>()
        || object.is_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyComplex>();
    if is_number {
        return Ok(format!("the {} {}", type_name(object), object.str()?));
    }
    Ok(describe_type(object))
}

//! Mends: what to pass instead of a value that does not fit, as the end of a message.
//!
//! In a mend, `x` is the value. Nothing here runs unless a call fails, so it may be slow; and nothing here fails, so that the
//! misfit itself is what is raised.
//!
//! | file | what it mends |
//! |---|---|
//! | `shape` | shapes of arrays |
//! | `scalar` | single numbers, times and strings |

mod scalar;
mod shape;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyMapping, PyRange, PyString, PyTuple};
use treequeues::dtype::{DisplayShape, Dtype};
use treequeues::schema::{LeafSpec, Scalar};

use super::numpy_types::numpy_types;
use super::{dtype, foreign, ndarray};
use crate::nouns;

use scalar::{Rank, call_of, constructed, evaluated, name_of, rank, rank_of, scalar_mend};
use shape::{mend_of_lengths, step_to_shape};

/// How long a sequence may be for an array to be made of it, to see whether that fits.
const MAX_TRIED_LEN: usize = 1 << 16;

/// The mend of a leaf, behind a semicolon; nothing if there is none.
pub(super) fn of_leaf(leaf: &LeafSpec, value: &Bound<'_, PyAny>) -> String {
    written(leaf_mend(leaf, value).ok().flatten())
}

/// The same for the array that an array of another library gave.
pub(super) fn of_array(leaf: &LeafSpec, given: &Bound<'_, PyAny>, array: &Bound<'_, PyAny>) -> String {
    let is_numpys = given.is(array) || given.hasattr(intern!(given.py(), "astype")).unwrap_or(false);
    let x = if is_numpys { "x" } else { "np.asarray(x)" };
    written(array_mend(leaf, array, x).ok().flatten())
}

/// The mend of a tensor that gives no array: what makes it one.
pub(super) fn of_tensor(tensor: &Bound<'_, PyAny>) -> String {
    let steps = tensor_steps(tensor).unwrap_or_default();
    written((!steps.is_empty()).then(|| format!("pass x{steps}")))
}

/// The mend of a container that should be of this kind: `list(x)`.
pub(super) fn of_container(expected: &str, value: &Bound<'_, PyAny>) -> String {
    let is_sequence = value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>();
    written(match expected {
        "a list" | "a tuple" if is_sequence => Some(format!("pass {}(x)", &expected[2..])),
        "a dict" if value.cast::<PyMapping>().is_ok() => Some("pass dict(x)".to_owned()),
        "None" => Some("an example with a leaf there carries one".to_owned()),
        _ => None,
    })
}

/// The mend of an object that should be of this class, from a container of its fields.
pub(super) fn of_object(class: &str, is_named_tuple: bool, value: &Bound<'_, PyAny>) -> String {
    let is_sequence = value.is_exact_instance_of::<PyList>() || value.is_exact_instance_of::<PyTuple>();
    written(if is_named_tuple && is_sequence {
        Some(format!("pass {class}(*x)"))
    } else if value.cast::<PyMapping>().is_ok() {
        Some(format!("pass {class}(**x)"))
    } else {
        None
    })
}

/// The mend of a list or a tuple of another length.
pub(super) const OF_LENGTH: &str =
    "; all items have the length of the example: pad it, and carry the length as a leaf";

/// The mend of a dict with other keys.
pub(super) const OF_KEYS: &str = "; every item has the keys of the example, and no others";

/// The mend of what cannot be filled. A tensor on the CPU gives an array over its own memory.
pub(super) fn of_out(value: &Bound<'_, PyAny>, dtype: &Dtype, shape: &[usize]) -> String {
    let is_tensor = value.hasattr(intern!(value.py(), "numpy")).unwrap_or(false);
    if is_tensor {
        return "; use x.numpy()".to_owned();
    }
    format!("; use np.empty({}, {})", DisplayShape(shape), name_of(dtype))
}

/// Of an object that is no leaf of an example, behind what it is: what to use instead, or that nothing carries it. `None` if it
/// may be a container.
pub(super) fn of_example(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = value.py();
    let types = py.import(intern!(py, "types"))?;
    let is_one_of = |names: &[&str]| {
        names
            .iter()
            .try_fold(false, |is, name| Ok::<_, PyErr>(is || value.is_instance(&types.getattr(*name)?)?))
    };
    let code = ["FunctionType", "BuiltinFunctionType", "MethodType", "ModuleType", "CoroutineType"];
    if is_one_of(&code)? || value.hasattr(intern!(py, "__next__"))? {
        let reason = "cannot be carried: items are arrays and numbers, and containers of them";
        return Ok(Some(reason.to_owned()));
    }
    if value.is_instance_of::<PyRange>() {
        let range = value.repr()?.to_string();
        return Ok(Some(format!("is no array; use np.a{range}, or list({range})")));
    }
    if value.get_type().module()?.to_string_lossy() == "datetime" {
        return Ok(match &*nouns::type_name(value) {
            "datetime" | "date" => Some("is no leaf; use np.datetime64(value)".to_owned()),
            "timedelta" => Some("is no leaf; use np.timedelta64(value)".to_owned()),
            _ => None,
        });
    }
    if let Some(array) = foreign::as_buffer(value)?
        && let Ok(dtype) = dtype::from_numpy(&array.getattr(intern!(py, "dtype"))?)?
    {
        let shape: Vec<usize> = array.getattr(intern!(py, "shape"))?.extract()?;
        let shape = match shape[..] {
            [len] => len.to_string(),
            _ => DisplayShape(&shape).to_string(),
        };
        let zeros = format!("np.zeros({shape}, {})", name_of(&dtype));
        return Ok(Some(format!("has no fixed size; use {zeros}, which takes one of that size")));
    }
    let is_number = value.hasattr(intern!(py, "__float__"))? && value.hasattr(intern!(py, "__add__"))?;
    Ok(is_number.then(|| "would come back as a plain number; use float(value)".to_owned()))
}

fn written(mend: Option<String>) -> String {
    mend.map_or_else(String::new, |mend| format!("; {mend}"))
}

fn leaf_mend(leaf: &LeafSpec, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = value.py();
    if value.is_instance(numpy_types(py)?.array.bind(py))? {
        return array_mend(leaf, value, "x");
    }
    if let Some(mend) = text_mend(leaf, value)? {
        return Ok(Some(mend));
    }
    if rank_of(value)?.is_some() || ndarray::is_numpy_scalar(value) || value.is_instance_of::<PyString>() {
        return scalar_mend(leaf, value);
    }
    let is_time = matches!(leaf.dtype, Dtype::Datetime(..) | Dtype::Timedelta(..)) && leaf.shape.is_empty();
    if is_time && value.get_type().module()?.to_string_lossy() == "datetime" {
        return Ok(Some(format!("pass {}", call_of(leaf, "x"))));
    }
    if value.is_none() {
        return Ok(Some(mend_of_none(leaf)));
    }
    if value.cast::<PyMapping>().is_ok() {
        return Ok(Some(carried_by_an_example(value)));
    }
    if !leaf.shape.is_empty()
        && let Some(array) = foreign::as_buffer(value)?
    {
        return buffer_mend(leaf, &array);
    }
    // A sequence of numbers is an array in the making.
    let is_sequence = value.hasattr(intern!(py, "__getitem__"))? && value.hasattr(intern!(py, "__len__"))?;
    if is_sequence && !value.is_instance_of::<PyBytes>() {
        return sequence_mend(leaf, value);
    }
    // A Decimal, a Fraction.
    let is_number = leaf.shape.is_empty() && rank(&leaf.dtype).is_some();
    Ok(if is_number { constructed(leaf, "x", value) } else { None })
}

/// Nothing, where every item has something.
fn mend_of_none(leaf: &LeafSpec) -> String {
    let nothing = match &leaf.dtype {
        _ if !leaf.shape.is_empty() => None,
        Dtype::Datetime(..) | Dtype::Timedelta(..) => Some("NaT"),
        dtype => rank(dtype).filter(|rank| *rank >= Rank::Float).map(|_| "np.nan"),
    };
    match nothing {
        Some(nothing) => format!("every item has a value there, and {nothing} can stand for none"),
        None => "every item has a value there; carry a flag that says whether it counts".to_owned(),
    }
}

/// A container where the example has a leaf.
fn carried_by_an_example(container: &Bound<'_, PyAny>) -> String {
    format!("an example with {} there carries one", nouns::describe_type(container))
}

/// The array of a buffer, whose elements are not the leaf's.
fn buffer_mend(leaf: &LeafSpec, array: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = array.py();
    let nbytes: usize = array.getattr(intern!(py, "nbytes"))?.extract()?;
    let is_of_bytes = leaf.dtype == u8::leaf_dtype() && leaf.shape[..] == [nbytes];
    let is_contiguous =
        array.getattr(intern!(py, "flags"))?.getattr(intern!(py, "c_contiguous"))?.is_truthy()?;
    if is_of_bytes && is_contiguous {
        return Ok(Some("pass memoryview(x).cast('B')".to_owned()));
    }
    array_mend(leaf, array, "np.asarray(x)")
}

fn sequence_mend(leaf: &LeafSpec, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let len = value.len()?;
    if leaf.shape.is_empty() {
        return Ok(match len {
            1 => Some("pass x[0]".to_owned()),
            _ if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() => {
                Some(carried_by_an_example(value))
            }
            _ => None,
        });
    }
    let call = format!("np.asarray(x, {})", name_of(&leaf.dtype));
    if len > MAX_TRIED_LEN {
        return Ok((leaf.shape[0] == len).then(|| format!("pass {call}")));
    }
    // Not every sequence is one of numbers.
    let Ok(array) = evaluated(&call, value) else { return Ok(None) };
    let shape: Vec<usize> = array.getattr(intern!(value.py(), "shape"))?.extract()?;
    if shape == leaf.shape { Ok(Some(format!("pass {call}"))) } else { array_mend(leaf, &array, &call) }
}

/// An array `x` of another dtype or shape.
fn array_mend(leaf: &LeafSpec, array: &Bound<'_, PyAny>, x: &str) -> PyResult<Option<String>> {
    let py = array.py();
    let shape: Vec<usize> = array.getattr(intern!(py, "shape"))?.extract()?;
    let mut steps = x.to_owned();
    if shape.is_empty() && leaf.shape.iter().product::<usize>() != 1 {
        return scalar_mend(leaf, array);
    }
    if shape != leaf.shape {
        match step_to_shape(&shape, &leaf.shape) {
            Some(_) if leaf.shape.is_empty() && shape.len() > 1 => steps.push_str(".item()"),
            Some(step) => steps.push_str(&step),
            None => return Ok(mend_of_lengths(&shape, &leaf.shape)),
        }
    }
    let found = dtype::from_numpy(&array.getattr(intern!(py, "dtype"))?)?;
    if found.as_ref() == Ok(&leaf.dtype) {
        return Ok(Some(format!("pass {steps}")));
    }
    if leaf.shape.is_empty() {
        // Without dimensions it counts by its value.
        let fits =
            found.is_ok_and(|found| rank(&found).is_some_and(|rank| Some(rank) <= self::rank(&leaf.dtype)));
        if fits && shape != leaf.shape {
            return Ok(Some(format!("pass {steps}")));
        }
        return if shape.is_empty() {
            scalar_mend(leaf, array)
        } else {
            Ok(constructed(leaf, &steps, array))
        };
    }
    Ok(match (&leaf.dtype, found) {
        (Dtype::Text(room, _), Ok(Dtype::Text(chars, _))) if chars > *room => {
            Some(has_room(&format!("U{chars}")))
        }
        (Dtype::Bytes(room), Ok(Dtype::Bytes(nbytes))) if nbytes > *room => {
            Some(has_room(&format!("S{nbytes}")))
        }
        (Dtype::Structured(_) | Dtype::Void(_), _) => None,
        _ => Some(format!("pass {steps}.astype({})", name_of(&leaf.dtype))),
    })
}

/// Strings and bytes, for which there may be room elsewhere.
fn text_mend(leaf: &LeafSpec, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let is_text = value.is_instance_of::<PyString>();
    let is_bytes = value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyByteArray>();
    if !is_text && !is_bytes {
        return Ok(None);
    }
    let len = value.len()?;
    Ok(match &leaf.dtype {
        Dtype::Text(room, _) if is_text && len > *room => Some(has_room(&format!("U{len}"))),
        Dtype::Bytes(room) if is_bytes && len > *room => Some(has_room(&format!("S{len}"))),
        Dtype::Text(..) if is_text => Some("pass x.rstrip('\\0')".to_owned()),
        Dtype::Bytes(_) if value.is_instance_of::<PyBytes>() => {
            Some(format!("an example of np.zeros({len}, np.uint8) carries every byte"))
        }
        Dtype::Bytes(_) if is_bytes => Some("pass bytes(x)".to_owned()),
        Dtype::Bytes(_) => Some("pass x.encode()".to_owned()),
        Dtype::Text(..) if is_bytes => Some("pass x.decode()".to_owned()),
        Dtype::Number(..) if is_bytes && !leaf.shape.is_empty() => {
            let frombuffer = format!("np.frombuffer(x, {})", name_of(&leaf.dtype));
            if leaf.nbytes() != len {
                return Ok(mend_of_lengths(&[len], &[leaf.nbytes()]).filter(|_| leaf.shape.len() == 1));
            }
            let step = if leaf.shape.len() == 1 {
                None
            } else {
                step_to_shape(&[leaf.shape.iter().product()], &leaf.shape)
            };
            Some(format!("pass {frombuffer}{}", step.unwrap_or_default()))
        }
        Dtype::Number(..) if is_text && leaf.dtype == u8::leaf_dtype() && leaf.shape[..] == [len] => {
            Some("pass x.encode()".to_owned())
        }
        _ => None,
    })
}

fn has_room(dtype: &str) -> String {
    format!("an example of dtype {dtype} has room")
}

/// The methods of a tensor of torch's that lead to one which gives an array.
fn tensor_steps(tensor: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = tensor.py();
    let text = |name| {
        tensor.getattr_opt(name).map(|found| found.map_or_else(String::new, |found| found.to_string()))
    };
    let is_true = |name| {
        Ok::<_, PyErr>(tensor.getattr_opt(name)?.is_some_and(|found| found.is_truthy().unwrap_or(false)))
    };
    let device = text(intern!(py, "device"))?;
    let mut steps = String::new();
    if device.starts_with("meta") {
        // It has no elements.
        return Ok(steps);
    }
    if is_true(intern!(py, "requires_grad"))? {
        steps.push_str(".detach()");
    }
    if !device.is_empty() && !device.starts_with("cpu") {
        steps.push_str(".cpu()");
    }
    if is_true(intern!(py, "is_sparse"))? {
        steps.push_str(".to_dense()");
    }
    if text(intern!(py, "dtype"))? == "torch.bfloat16" {
        steps.push_str(".float()");
    }
    if tensor
        .getattr_opt(intern!(py, "is_conj"))?
        .is_some_and(|is_conj| is_conj.call0().and_then(|is_conj| is_conj.is_truthy()).unwrap_or(false))
    {
        steps.push_str(".resolve_conj()");
    }
    Ok(steps)
}

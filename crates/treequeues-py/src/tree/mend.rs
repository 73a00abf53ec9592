//! Mends: what to pass instead of a value that does not fit, as the end of a message.
//!
//! In a mend, `x` is the value. Nothing here runs unless a call fails, so it may be slow; and nothing here fails, so that the
//! misfit itself is what is raised.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple,
};
use treequeues::dtype::{DisplayShape, Dtype};
use treequeues::schema::{LeafKind, LeafSpec, Scalar};

use super::scalar::Encoding;
use super::{dtype, ndarray, numpy_types};

/// Dimensions whose permutations are tried.
const MAX_TRANSPOSED_NDIM: usize = 4;
/// Integers that an example may have instead, narrow ones first.
const INTEGERS: [&str; 5] = ["int8", "int16", "int32", "int64", "uint64"];

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
        return Ok(Some(constructed(leaf, "x")));
    }
    // A sequence of numbers is an array in the making.
    let is_sequence = value.hasattr(intern!(py, "__getitem__"))? && value.hasattr(intern!(py, "__len__"))?;
    if !is_sequence || value.cast::<PyMapping>().is_ok() || value.is_instance_of::<PyBytes>() {
        return Ok(None);
    }
    Ok(match &leaf.shape[..] {
        [] if value.len()? == 1 => Some("pass x[0]".to_owned()),
        [] => None,
        _ => Some(format!("pass np.asarray(x, {})", name_of(&leaf.dtype))),
    })
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
        let is_reshaped = shape != leaf.shape;
        return Ok(Some(if fits && is_reshaped {
            format!("pass {steps}")
        } else {
            constructed(leaf, &steps)
        }));
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

/// What makes an array of one shape one of another, of as many elements, without putting them in another order unasked.
fn step_to_shape(from: &[usize], to: &[usize]) -> Option<String> {
    let without_ones =
        |shape: &[usize]| shape.iter().copied().filter(|&length| length != 1).collect::<Vec<_>>();
    let (long_from, long_to) = (without_ones(from), without_ones(to));
    let numbers = |numbers: &[usize]| {
        let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
        if numbers.is_empty() { "()".to_owned() } else { numbers.join(", ") }
    };
    if from.split_first() == Some((&1, to)) {
        return Some("[0]".to_owned());
    }
    if long_from == long_to {
        return Some(format!(".reshape({})", numbers(to)));
    }
    if let Some(order) = transposition(from, to) {
        return Some(format!(".transpose({})", numbers(&order)));
    }
    let is_flat = from.len() == 1 || to.len() == 1;
    let (count_from, count_to) = (from.iter().product::<usize>(), to.iter().product::<usize>());
    (is_flat && count_from == count_to).then(|| format!(".reshape({})", numbers(to)))
}

/// The order of the dimensions that makes one shape of the other.
fn transposition(from: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    if from.len() != to.len() || from.len() > MAX_TRANSPOSED_NDIM {
        return None;
    }
    let mut order = Vec::new();
    for length in to {
        let next = (0..from.len()).find(|dim| from[*dim] == *length && !order.contains(dim))?;
        order.push(next);
    }
    Some(order)
}

/// Lengths that no step makes fit.
fn mend_of_lengths(from: &[usize], to: &[usize]) -> Option<String> {
    if from.get(1..) == Some(to) {
        return Some(format!("put_batch puts {} such trees at once", from[0]));
    }
    if from.len() != to.len() {
        return None;
    }
    let largest: Vec<usize> = from.iter().zip(to).map(|(from, to)| *from.max(to)).collect();
    let shape = DisplayShape(&largest);
    Some(if largest == to {
        format!("pad it to {shape} and carry the length")
    } else {
        format!("an example of {shape} has room: pad the others and carry the length")
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

/// A single number, or a string, where another number belongs, or an array.
fn scalar_mend(leaf: &LeafSpec, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let is_text = value.is_instance_of::<PyString>();
    if !leaf.shape.is_empty() {
        let fill = format!("pass np.full({}, x, {})", DisplayShape(&leaf.shape), name_of(&leaf.dtype));
        return Ok((!is_text && rank(&leaf.dtype).is_some()).then_some(fill));
    }
    let Some(expected) = rank(&leaf.dtype) else {
        let is_time = matches!(leaf.dtype, Dtype::Datetime(..) | Dtype::Timedelta(..));
        return Ok(is_time.then(|| constructed(leaf, "x")));
    };
    match rank_of(value)? {
        // A time is no number without its unit, and only its user knows that.
        None if !is_text => return Ok(None),
        Some(Rank::Int) if expected == Rank::Int => {
            return Ok(wider_integer(value)?.map(|name| format!("an example of np.{name}(0) has room")));
        }
        Some(Rank::Complex) if expected < Rank::Complex => return Ok(Some("pass x.real".to_owned())),
        Some(Rank::Int | Rank::Float) if expected >= Rank::Float => match value.extract::<f64>() {
            Ok(float) if float.is_finite() && float.abs() > greatest_of(&leaf.dtype) => {
                return Ok(Some("an example of np.float64(0) has room".to_owned()));
            }
            Ok(_) => {}
            // It is longer than any float.
            Err(_) => return Ok(None),
        },
        _ => {}
    }
    Ok(Some(constructed(leaf, "x")))
}

/// The call that makes an element of `x`.
fn constructed(leaf: &LeafSpec, x: &str) -> String {
    match leaf.kind {
        LeafKind::Bool => format!("pass bool({x})"),
        LeafKind::Int => format!("pass int({x})"),
        LeafKind::Float => format!("pass float({x})"),
        LeafKind::Complex => format!("pass complex({x})"),
        _ if rank(&leaf.dtype).is_some() && !leaf.dtype.to_string().starts_with('>') => {
            format!("pass {}({x})", name_of(&leaf.dtype))
        }
        _ => format!("pass np.array({x}, {})", name_of(&leaf.dtype)),
    }
}

/// The greatest number of the floats that are narrower than Python's, where it is known here.
fn greatest_of(dtype: &Dtype) -> f64 {
    match dtype.to_string().as_str() {
        "float16" | ">f2" => 65504.0,
        "float32" | ">f4" | "complex64" | ">c8" => f64::from(f32::MAX),
        _ => f64::MAX,
    }
}

/// Families of numbers, the narrow ones first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Bool,
    Int,
    Float,
    Complex,
}

fn rank(dtype: &Dtype) -> Option<Rank> {
    Some(match Encoding::of(dtype) {
        Encoding::Bool => Rank::Bool,
        Encoding::Int(..) | Encoding::IntByNumpy(..) => Rank::Int,
        Encoding::Float32 | Encoding::Float64 | Encoding::FloatByNumpy => Rank::Float,
        Encoding::Complex64 | Encoding::Complex128 | Encoding::ComplexByNumpy => Rank::Complex,
        Encoding::Text(_) | Encoding::ByteString(_) | Encoding::NoNumber => return None,
    })
}

/// What a dtype is called in Python: `np.float32`, `ml_dtypes.bfloat16`, `'datetime64[s]'`.
fn name_of(dtype: &Dtype) -> String {
    match dtype {
        Dtype::Number(number, _) if number.is_extension() => format!("ml_dtypes.{dtype}"),
        dtype if dtype.is_bool() => "bool".to_owned(),
        Dtype::Number(..) if !dtype.to_string().starts_with('>') => format!("np.{dtype}"),
        Dtype::Structured(_) => "the example's dtype".to_owned(),
        dtype => format!("'{dtype}'"),
    }
}

fn has_room(dtype: &str) -> String {
    format!("an example of dtype {dtype} has room")
}

/// The narrowest integer that has this one.
fn wider_integer(value: &Bound<'_, PyAny>) -> PyResult<Option<&'static str>> {
    let numpy = value.py().import(intern!(value.py(), "numpy"))?;
    let int = value.call_method0(intern!(value.py(), "__int__"))?;
    for name in INTEGERS {
        let info = numpy.call_method1(intern!(value.py(), "iinfo"), (name,))?;
        if int.ge(info.getattr(intern!(value.py(), "min"))?)?
            && int.le(info.getattr(intern!(value.py(), "max"))?)?
        {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The family of a number, Python's or NumPy's; `None` of what is none.
fn rank_of(value: &Bound<'_, PyAny>) -> PyResult<Option<Rank>> {
    if ndarray::is_numpy_scalar(value) {
        let found = dtype::from_numpy(&value.getattr(intern!(value.py(), "dtype"))?)?;
        return Ok(found.ok().and_then(|found| rank(&found)));
    }
    Ok(if value.is_instance_of::<PyBool>() {
        Some(Rank::Bool)
    } else if value.is_instance_of::<PyInt>() {
        Some(Rank::Int)
    } else if value.is_instance_of::<PyFloat>() {
        Some(Rank::Float)
    } else if value.is_instance_of::<PyComplex>() {
        Some(Rank::Complex)
    } else {
        None
    })
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

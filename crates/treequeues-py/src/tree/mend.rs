//! Mends: what to pass instead of a value that does not fit, as the end of a message.
//!
//! In a mend, `x` is the value. Nothing here runs unless a call fails, so it may be slow; and nothing here fails, so that the
//! misfit itself is what is raised.

use std::ffi::CString;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyInt, PyList, PyMapping, PyRange, PyString,
    PyTuple,
};
use treequeues::dtype::{DisplayShape, Dtype};
use treequeues::schema::{LeafKind, LeafSpec, Scalar};

use super::encoding::Encoding;
use super::numpy_types::numpy_types;
use super::{dtype, foreign, ndarray};
use crate::nouns;

/// Dimensions whose permutations are tried.
const MAX_TRANSPOSED_NDIM: usize = 4;
/// Integers that an example may have instead, narrow ones first, with the least and the greatest.
const INTEGERS: [(&str, i128, i128); 5] = [
    ("int8", i8::MIN as i128, i8::MAX as i128),
    ("int16", i16::MIN as i128, i16::MAX as i128),
    ("int32", i32::MIN as i128, i32::MAX as i128),
    ("int64", i64::MIN as i128, i64::MAX as i128),
    ("uint64", 0, u64::MAX as i128),
];
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
        return Ok(if is_time { time_mend(leaf, value) } else { None });
    };
    let found = rank_of(value)?;
    match found {
        // A time is no number without its unit, and only its user knows that.
        None if !is_text => return Ok(None),
        Some(Rank::Int) if expected == Rank::Int => return integer_mend(leaf, value),
        Some(Rank::Complex) if leaf.kind == LeafKind::Float => return Ok(Some("pass x.real".to_owned())),
        Some(Rank::Complex) if expected == Rank::Complex => {
            let has_room = "an example of np.complex128(0) has room".to_owned();
            return Ok(constructed(leaf, "x", value).or(Some(has_room)));
        }
        Some(Rank::Complex) if expected == Rank::Int || expected == Rank::Float => {
            return Ok(constructed(leaf, "x.real", value));
        }
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
    // NaN, the infinities, and what is larger than all ints are floats alone.
    let of_floats = (found == Some(Rank::Float)).then(|| "an example of 0.0 carries it".to_owned());
    Ok(constructed(leaf, "x", value).or(of_floats))
}

/// A time of another unit, or none.
fn time_mend(leaf: &LeafSpec, value: &Bound<'_, PyAny>) -> Option<String> {
    let name = name_of(&leaf.dtype);
    if ndarray::is_numpy_scalar(value) {
        if !name.contains('[') {
            // A count without a unit can be given one, but no unit can be taken away.
            let dtype = evaluated("x.dtype.name", value).and_then(|name| name.extract::<String>()).ok()?;
            return Some(format!("an example of np.zeros((), '{dtype}') carries it"));
        }
        // NumPy does not notice that a finer unit has no room.
        let keeps =
            format!("not np.can_cast(x.dtype, {name}) or bool(x.astype({name}).astype(x.dtype) == x)");
        let is_kept = evaluated(&keeps, value).and_then(|keeps| keeps.is_truthy());
        is_kept.ok().filter(|is_kept| *is_kept)?;
    }
    constructed(leaf, "x", value)
}

/// An int that is out of the leaf's range.
fn integer_mend(leaf: &LeafSpec, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let (Encoding::Int(least, greatest) | Encoding::IntByNumpy(least, greatest)) = Encoding::of(&leaf.dtype)
    else {
        return Ok(None);
    };
    let py = value.py();
    let int = value.call_method0(intern!(py, "__int__"))?;
    let narrowest = |low: i128, high: i128| INTEGERS.iter().find(|(_, min, max)| *min <= low && high <= *max);
    if let Ok(number) = int.extract::<i128>() {
        // The leaf's own numbers must still fit.
        if let Some((name, ..)) = narrowest(least.min(number), greatest.max(number)) {
            return Ok(Some(format!("an example of np.{name}(0) has room")));
        }
        // No integer has both.
        let widest = ["int64", "uint64"];
        let of_the_widest = |(name, min, max): &&(&str, i128, i128)| {
            widest.contains(name) && *min <= number && number <= *max
        };
        if let Some((name, min, max)) = INTEGERS.iter().find(of_the_widest) {
            let range =
                if *min == 0 { "for none below 0".to_owned() } else { format!("for none above {max}") };
            return Ok(Some(format!("an example of np.{name}(0) has room, but {range}")));
        }
    }
    // It is wider than all integers, and may have more digits than floats.
    Ok(match int.call_method0(intern!(py, "__float__")) {
        Ok(float) if float.eq(&int)? => Some("an example of 0.0 has room".to_owned()),
        Ok(_) => Some("an example of 0.0 has room for float(x), which is rounded".to_owned()),
        Err(_) => None,
    })
}

/// The call that makes an element of `x`, if it makes one: not every float is an int, nor every string a number.
fn constructed(leaf: &LeafSpec, x: &str, value: &Bound<'_, PyAny>) -> Option<String> {
    let call = call_of(leaf, x);
    let is_made = match Encoding::of(&leaf.dtype) {
        Encoding::Int(least, greatest) | Encoding::IntByNumpy(least, greatest) => {
            let int = evaluated(&format!("int({x})"), value).and_then(|int| int.extract::<i128>());
            int.is_ok_and(|int| least <= int && int <= greatest)
        }
        Encoding::NoNumber | Encoding::Bool => evaluated(&call, value).is_ok(),
        // What is out of the range would be an infinity.
        _ => {
            let keeps = format!("bool(np.isfinite({call}) or not np.isfinite({x}))");
            evaluated(&keeps, value).and_then(|keeps| keeps.is_truthy()).unwrap_or(false)
        }
    };
    is_made.then(|| format!("pass {call}"))
}

fn call_of(leaf: &LeafSpec, x: &str) -> String {
    match leaf.kind {
        LeafKind::Bool => format!("bool({x})"),
        LeafKind::Int => format!("int({x})"),
        LeafKind::Float => format!("float({x})"),
        LeafKind::Complex => format!("complex({x})"),
        _ if rank(&leaf.dtype).is_some() && !leaf.dtype.to_string().starts_with('>') => {
            format!("{}({x})", name_of(&leaf.dtype))
        }
        _ => format!("np.array({x}, {})", name_of(&leaf.dtype)),
    }
}

/// What a mend makes of `x`.
fn evaluated<'py>(mend: &str, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let names = PyDict::new(py);
    names.set_item("x", x)?;
    names.set_item("np", py.import(intern!(py, "numpy"))?)?;
    if mend.contains("ml_dtypes") {
        names.set_item("ml_dtypes", py.import("ml_dtypes")?)?;
    }
    // What overflows is found by looking at it.
    let quiet = PyDict::new(py);
    quiet.set_item("all", "ignore")?;
    let errstate = py.import(intern!(py, "numpy"))?.call_method("errstate", (), Some(&quiet))?;
    errstate.call_method0(intern!(py, "__enter__"))?;
    let made = py.eval(&CString::new(mend)?, Some(&names), None);
    errstate.call_method1(intern!(py, "__exit__"), (py.None(), py.None(), py.None()))?;
    made
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

/// The family of a number, Python's or NumPy's; `None` of what is none.
fn rank_of(value: &Bound<'_, PyAny>) -> PyResult<Option<Rank>> {
    let py = value.py();
    if ndarray::is_numpy_scalar(value) || value.is_instance(numpy_types(py)?.array.bind(py))? {
        let found = dtype::from_numpy(&value.getattr(intern!(py, "dtype"))?)?;
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

//! Mends of single numbers, times and strings: what makes another one of them that fits, or what example carries them.

use std::ffi::CString;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyComplex, PyDict, PyFloat, PyInt, PyString};
use treequeues::dtype::{ByteOrder, DisplayShape, Dtype};
use treequeues::schema::{LeafKind, LeafSpec};

use crate::tree::converted::quietly;
use crate::tree::encoding::Encoding;
use crate::tree::numpy_types::numpy_types;
use crate::tree::{dtype, ndarray};

/// Integers that an example may have instead, narrow ones first, with the least and the greatest.
const INTEGERS: [(&str, i128, i128); 5] = [
    ("int8", i8::MIN as i128, i8::MAX as i128),
    ("int16", i16::MIN as i128, i16::MAX as i128),
    ("int32", i32::MIN as i128, i32::MAX as i128),
    ("int64", i64::MIN as i128, i64::MAX as i128),
    ("uint64", 0, u64::MAX as i128),
];

/// A single number, or a string, where another number belongs, or an array.
pub(super) fn scalar_mend(leaf: &LeafSpec, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
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
pub(super) fn constructed(leaf: &LeafSpec, x: &str, value: &Bound<'_, PyAny>) -> Option<String> {
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

pub(super) fn call_of(leaf: &LeafSpec, x: &str) -> String {
    match leaf.kind {
        LeafKind::Bool => format!("bool({x})"),
        LeafKind::Int => format!("int({x})"),
        LeafKind::Float => format!("float({x})"),
        LeafKind::Complex => format!("complex({x})"),
        _ if rank(&leaf.dtype).is_some() && leaf.dtype.byte_order() == Some(ByteOrder::Little) => {
            format!("{}({x})", name_of(&leaf.dtype))
        }
        _ => format!("np.array({x}, {})", name_of(&leaf.dtype)),
    }
}

/// What a mend makes of `x`.
pub(super) fn evaluated<'py>(mend: &str, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let names = PyDict::new(py);
    names.set_item("x", x)?;
    names.set_item("np", py.import(intern!(py, "numpy"))?)?;
    if mend.contains("ml_dtypes") {
        names.set_item("ml_dtypes", py.import("ml_dtypes")?)?;
    }
    let mend = CString::new(mend)?;
    quietly(py, || py.eval(&mend, Some(&names), None))?
}

/// The greatest number of the floats that are narrower than Python's, where it is known here.
fn greatest_of(dtype: &Dtype) -> f64 {
    let Dtype::Number(number, _) = dtype else { return f64::MAX };
    match number.name() {
        "float16" => 65504.0,
        "float32" | "complex64" => f64::from(f32::MAX),
        _ => f64::MAX,
    }
}

/// Families of numbers, the narrow ones first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Bool,
    Int,
    Float,
    Complex,
}

pub(super) fn rank(dtype: &Dtype) -> Option<Rank> {
    Some(match Encoding::of(dtype) {
        Encoding::Bool => Rank::Bool,
        Encoding::Int(..) | Encoding::IntByNumpy(..) => Rank::Int,
        Encoding::Float32 | Encoding::Float64 | Encoding::FloatByNumpy => Rank::Float,
        Encoding::Complex64 | Encoding::Complex128 | Encoding::ComplexByNumpy => Rank::Complex,
        Encoding::Text(_) | Encoding::ByteString(_) | Encoding::NoNumber => return None,
    })
}

/// The family of a number, Python's or NumPy's; `None` of what is none.
pub(super) fn rank_of(value: &Bound<'_, PyAny>) -> PyResult<Option<Rank>> {
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

/// What a dtype is called in Python: `np.float32`, `ml_dtypes.bfloat16`, `'datetime64[s]'`.
pub(super) fn name_of(dtype: &Dtype) -> String {
    match dtype {
        Dtype::Number(number, _) if number.is_extension() => format!("ml_dtypes.{dtype}"),
        dtype if dtype.is_bool() => "bool".to_owned(),
        Dtype::Number(number, ByteOrder::Little) => format!("np.{}", number.name()),
        Dtype::Structured(_) => "the example's dtype".to_owned(),
        dtype => format!("'{dtype}'"),
    }
}

//! Scalars as NumPy converts them, for the dtypes that are not packed by hand: what came out is looked at.

use pyo3::exceptions::{PyException, PyOverflowError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyComplex, PyComplexMethods, PyDict};

use super::encoding::Encoding;
use super::leaf::Leaf;
use super::ndarray;
use super::number::{Digits, Scalar, Unfit, inexact, overflow};
use super::numpy_types::NumpyTypes;

/// What NumPy converts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Float,
    Complex,
}

/// Lets NumPy convert to a float or a complex number, and looks at what came out.
#[cold]
pub(super) fn pack_by_numpy<'py>(
    types: &NumpyTypes,
    leaf: &Leaf,
    family: Family,
    scalar: Scalar<'_, '_>,
    value: &Bound<'py, PyAny>,
    digits: Digits,
) -> Result<Bound<'py, PyAny>, Unfit> {
    let py = value.py();
    if matches!((family, scalar), (Family::Float, Scalar::Complex(..))) {
        return Err(Unfit::Type);
    }
    let array = store_by_numpy(types, leaf, value)?;
    if matches!(scalar, Scalar::Bool(_) | Scalar::Int(_) | Scalar::NumpyInt(_)) {
        let is_kept = back_as_int(leaf, &array, family)?.is_some_and(|back| back.eq(value).unwrap_or(false));
        return if is_kept { Ok(array) } else { Err(inexact(leaf)) };
    }
    let back = match family {
        Family::Float => array.call_method0(intern!(py, "__float__"))?,
        Family::Complex => array.call_method0(intern!(py, "__complex__"))?,
    };
    let given = parts_of(value)?;
    let is_same = |(given, back): (f64, f64)| given == back || given.is_nan() && back.is_nan();
    let has_range =
        |(given, back): (f64, f64)| given.is_finite() && back.is_finite() || is_same((given, back));
    let mut pairs = given.into_iter().zip(parts_of(&back)?);
    match digits {
        Digits::Kept if pairs.all(is_same) => Ok(array),
        Digits::Kept => Err(inexact(leaf)),
        Digits::Rounded if pairs.all(has_range) => Ok(array),
        Digits::Rounded => Err(overflow(leaf)),
    }
}

/// What was stored of an int, as a number of Python's; `None` where it is none, such as an infinity.
fn back_as_int<'py>(
    leaf: &Leaf,
    array: &Bound<'py, PyAny>,
    family: Family,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = array.py();
    let back = match family {
        // Long doubles have more digits than Python's floats.
        Family::Float if leaf.itemsize > 8 => array.call_method0(intern!(py, "__int__")),
        Family::Complex if leaf.itemsize > 16 => {
            array.getattr(intern!(py, "real"))?.call_method0(intern!(py, "__int__"))
        }
        Family::Float => array.call_method0(intern!(py, "__float__")),
        Family::Complex => array.call_method0(intern!(py, "__complex__")),
    };
    match back {
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => Ok(None),
        back => back.map(Some),
    }
}

/// A new array without dimensions that holds the number, as NumPy converts it.
pub(super) fn store_by_numpy<'py>(
    types: &NumpyTypes,
    leaf: &Leaf,
    value: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyAny>, Unfit> {
    let py = value.py();
    let array = ndarray::new_array(py, &types.array, &leaf.dtype, &[])?;
    match quietly(py, || array.set_item((), value))? {
        Ok(()) => Ok(array),
        Err(error) if error.is_instance_of::<PyException>(py) => Err(overflow(leaf)),
        Err(error) => Err(error.into()),
    }
}

/// Lets NumPy compute without warnings: what overflows is found by looking at what came out.
///
/// # Errors
///
/// What NumPy says when it is asked not to warn; within it, what `compute` raises.
pub(super) fn quietly<T>(py: Python<'_>, compute: impl FnOnce() -> PyResult<T>) -> PyResult<PyResult<T>> {
    let quiet = PyDict::new(py);
    quiet.set_item("all", "ignore")?;
    let errstate =
        py.import(intern!(py, "numpy"))?.getattr(intern!(py, "errstate"))?.call((), Some(&quiet))?;
    errstate.call_method0(intern!(py, "__enter__"))?;
    let computed = compute();
    errstate.call_method1(intern!(py, "__exit__"), (py.None(), py.None(), py.None()))?;
    Ok(computed)
}

/// The real and the imaginary part of a float or a complex.
fn parts_of(value: &Bound<'_, PyAny>) -> PyResult<[f64; 2]> {
    match value.cast::<PyComplex>() {
        Ok(complex) => Ok([complex.real(), complex.imag()]),
        Err(_) => Ok([value.extract()?, 0.0]),
    }
}

/// Lets NumPy convert there and back, and looks whether anything was lost.
pub(super) fn pack_there_and_back<'py>(
    types: &NumpyTypes,
    leaf: &Leaf,
    value: &Bound<'py, PyAny>,
    numpy_dtype: &Bound<'py, PyAny>,
    source: Encoding,
) -> Result<Bound<'py, PyAny>, Unfit> {
    let py = value.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    let casts = numpy.call_method1(intern!(py, "can_cast"), (numpy_dtype, &leaf.dtype, "same_kind"))?;
    // Bytes and structures that are not of the very dtype: NumPy would go by the order of fields, and fill up what is short.
    let kind: char = numpy_dtype.getattr(intern!(py, "kind"))?.extract()?;
    if kind == 'V' {
        return Err(Unfit::Type);
    }
    // A time that is none needs no unit.
    let is_nothing = value.ne(value)?;
    let is_time = matches!(leaf.encoding, Encoding::NoNumber);
    if is_time != (source == Encoding::NoNumber)
        || !casts.is_truthy()?
        || has_unit(numpy_dtype)? != has_unit(leaf.dtype.bind(py))? && !is_nothing
    {
        return Err(Unfit::Type);
    }
    let stored = store_by_numpy(types, leaf, value)?;
    let whole = [None];
    let both = [Some(intern!(py, "real")), Some(intern!(py, "imag"))];
    let parts = match (source, leaf.encoding) {
        (Encoding::ComplexByNumpy, _) => &both[..],
        (_, Encoding::Complex64 | Encoding::Complex128 | Encoding::ComplexByNumpy) => &both[..1],
        _ => &whole,
    };
    for &part in parts {
        let of =
            |number: &Bound<'py, PyAny>| part.map_or_else(|| Ok(number.clone()), |part| number.getattr(part));
        let (given, there) = (of(value)?, of(&stored)?);
        let back = there.call_method1(intern!(py, "astype"), (given.getattr(intern!(py, "dtype"))?,))?;
        if !(back.eq(&given)? || back.ne(&back)? && given.ne(&given)?) {
            return Err(inexact(leaf));
        }
    }
    Ok(stored)
}

/// Whether a dtype is one of times that have a unit: a count without one means nothing in another dtype.
fn has_unit(numpy_dtype: &Bound<'_, PyAny>) -> PyResult<bool> {
    let name: String = numpy_dtype.getattr(intern!(numpy_dtype.py(), "name"))?.extract()?;
    Ok(name.ends_with(']'))
}

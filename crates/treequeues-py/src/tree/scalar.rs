//! Scalars as the elements of leaves without dimensions: Python's and NumPy's, arrays without dimensions too, where the value
//! fits. A value goes into its own family or a wider one, and never loses anything there but the digits of a Python float.
//!
//! | given | bool | integers | floats | complex |
//! |---|---|---|---|---|
//! | bool, `np.bool_` | yes | 0 or 1 | 0 or 1 | 0 or 1 |
//! | int, `np.int32` ... | 0 or 1 | in range | if exact | if exact |
//! | `np.float32` ... | no | no | if exact | if exact |
//! | float | no | no | rounded, unless it overflows | rounded, unless it overflows |
//! | `np.complex64` ... | no | no | no | if exact |
//! | complex | no | no | no | rounded, unless it overflows |
//!
//! A Python float has no width of its own, so it takes that of the leaf, as it does in NumPy's arithmetic; what has a width
//! is not narrowed. NaN and the infinities stay what they are. Times fit where their unit holds them exactly, and `str` and `bytes`
//! where there is room; NULs at their end are refused, because NumPy drops them.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyComplex, PyComplexMethods, PyFloat, PyInt, PyString};

use super::converted::{Family, pack_by_numpy, pack_there_and_back, store_by_numpy};
use super::encoding::{Bytes, Encoding};
use super::leaf::Leaf;
use super::number::{Digits, Packed, Scalar, Unfit, integer, pack_natively};
use super::numpy_types::NumpyTypes;
use super::{dtype, ndarray};

/// The same as `pack` for what nearly all scalars are: one of Python's, of the leaf's own family, that fits.
#[inline]
pub(super) fn pack_at_once(leaf: &Leaf, value: &Bound<'_, PyAny>) -> Option<Bytes> {
    let mut bytes = [0; 16];
    match leaf.encoding {
        Encoding::Float64 => {
            bytes[..8].copy_from_slice(&value.cast_exact::<PyFloat>().ok()?.value().to_le_bytes());
        }
        Encoding::Int(least, greatest) => {
            let int: i128 = value.cast_exact::<PyInt>().ok()?.extract::<i64>().ok()?.into();
            bytes = (least..=greatest).contains(&int).then_some(int)?.to_le_bytes();
        }
        Encoding::Bool => bytes[0] = value.cast_exact::<PyBool>().ok()?.is_true().into(),
        _ => return None,
    }
    Some(bytes)
}

/// The bytes that `value`, a Python scalar, has as an element of `leaf`.
#[inline]
pub(super) fn pack<'py>(
    types: &NumpyTypes,
    leaf: &Leaf,
    value: &Bound<'py, PyAny>,
) -> Result<Packed<'py>, Unfit> {
    match read(value)? {
        Some(scalar) => pack_number(types, leaf, scalar, value, Digits::Rounded),
        None => pack_text(types, leaf, value),
    }
}

/// The same of a NumPy scalar, if it is one of NumPy's usual numbers, and the leaf's are packed by hand.
#[inline]
pub(super) fn pack_usual<'py>(
    types: &NumpyTypes,
    leaf: &Leaf,
    value: &Bound<'py, PyAny>,
) -> Option<Result<Packed<'py>, Unfit>> {
    let is_native = matches!(
        leaf.encoding,
        Encoding::Bool
            | Encoding::Int(..)
            | Encoding::Float32
            | Encoding::Float64
            | Encoding::Complex64
            | Encoding::Complex128
    );
    let class = value.get_type_ptr();
    let found = types.numbers.iter().find(|(number, _)| number.as_ptr() == class.cast());
    let (number, encoding) = found.filter(|_| is_native)?;
    let bytes = ndarray::number_bytes(value, number)?;
    let scalar = usual_of(*encoding, &bytes)?;
    Some(pack_natively(leaf.encoding, leaf, scalar, Digits::Kept).map(Packed::Bytes))
}

/// The number that these bytes are.
fn usual_of<'a, 'py>(encoding: Encoding, bytes: &Bytes) -> Option<Scalar<'a, 'py>> {
    let [low, high] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i])));
    let single = |bits: u64| f64::from(f32::from_bits(bits as u32));
    Some(match encoding {
        Encoding::Bool => Scalar::Bool(low & 1 != 0),
        // The bytes behind a narrow one are zeros.
        Encoding::Int(0, _) => Scalar::NumpyInt(low.into()),
        Encoding::Int(least, _) => {
            let unused_bits = least.trailing_zeros().abs_diff(63);
            Scalar::NumpyInt(((low as i64) << unused_bits >> unused_bits).into())
        }
        Encoding::Float32 => Scalar::Float(single(low)),
        Encoding::Float64 => Scalar::Float(f64::from_bits(low)),
        Encoding::Complex64 => Scalar::Complex(single(low), single(low >> 32)),
        Encoding::Complex128 => Scalar::Complex(f64::from_bits(low), f64::from_bits(high)),
        _ => return None,
    })
}

/// The same of a NumPy scalar, or of an array without dimensions, whose dtype is not the leaf's.
#[cold]
pub(super) fn pack_numpys<'py>(
    types: &NumpyTypes,
    leaf: &Leaf,
    value: &Bound<'py, PyAny>,
) -> Result<Packed<'py>, Unfit> {
    let py = value.py();
    let numpy_dtype = value.getattr(intern!(py, "dtype"))?;
    let source = match dtype::from_numpy(&numpy_dtype)? {
        Ok(source) => Encoding::of(&source),
        Err(_) => return Err(Unfit::Type),
    };
    let itemsize = numpy_dtype.getattr(intern!(py, "itemsize"))?.extract::<usize>()?;
    let by_python = |name| value.call_method0(name);
    match source {
        Encoding::Bool => {
            let truth = value.is_truthy()?;
            let number = PyBool::new(py, truth).to_owned().into_any();
            pack_number(types, leaf, Scalar::Bool(truth), &number, Digits::Kept)
        }
        Encoding::Int(..) | Encoding::IntByNumpy(..) => {
            let number = by_python(intern!(py, "__int__"))?;
            pack_number(types, leaf, Scalar::Int(&number), &number, Digits::Kept)
        }
        Encoding::Float32 | Encoding::Float64 | Encoding::FloatByNumpy if itemsize <= 8 => {
            let number = by_python(intern!(py, "__float__"))?;
            pack_number(types, leaf, Scalar::Float(number.extract()?), &number, Digits::Kept)
        }
        Encoding::Complex64 | Encoding::Complex128 | Encoding::ComplexByNumpy if itemsize <= 16 => {
            let number = by_python(intern!(py, "__complex__"))?;
            let complex = number.cast::<PyComplex>().map_err(PyErr::from)?;
            let scalar = Scalar::Complex(complex.real(), complex.imag());
            pack_number(types, leaf, scalar, &number, Digits::Kept)
        }
        Encoding::Text(_) | Encoding::ByteString(_) => {
            pack_text(types, leaf, &by_python(intern!(py, "item"))?)
        }
        // Times, and what has more digits than Python's numbers.
        _ => pack_there_and_back(types, leaf, value, &numpy_dtype, source).map(Packed::Array),
    }
}

#[inline]
fn pack_number<'py>(
    types: &NumpyTypes,
    leaf: &Leaf,
    scalar: Scalar<'_, '_>,
    value: &Bound<'py, PyAny>,
    digits: Digits,
) -> Result<Packed<'py>, Unfit> {
    match leaf.encoding {
        Encoding::IntByNumpy(least, greatest) => {
            let Ok(int) = integer(leaf, scalar, least, greatest)?.into_pyobject(value.py());
            store_by_numpy(types, leaf, &int).map(Packed::Array)
        }
        Encoding::FloatByNumpy => {
            pack_by_numpy(types, leaf, Family::Float, scalar, value, digits).map(Packed::Array)
        }
        Encoding::ComplexByNumpy => {
            pack_by_numpy(types, leaf, Family::Complex, scalar, value, digits).map(Packed::Array)
        }
        encoding => pack_natively(encoding, leaf, scalar, digits).map(Packed::Bytes),
    }
}

/// A `str` or a `bytes` as the string of fixed size that it fits into.
#[cold]
fn pack_text<'py>(types: &NumpyTypes, leaf: &Leaf, value: &Bound<'py, PyAny>) -> Result<Packed<'py>, Unfit> {
    let (room, unit, noun, ends_in_nul) = match leaf.encoding {
        Encoding::Text(room) if value.is_instance_of::<PyString>() => {
            let nul = value.call_method1(intern!(value.py(), "endswith"), ("\0",))?.is_truthy()?;
            (room, "character", "str", nul)
        }
        Encoding::ByteString(room) => match value.cast::<PyBytes>() {
            Ok(bytes) => (room, "byte", "bytes", bytes.as_bytes().ends_with(b"\0")),
            Err(_) => return Err(Unfit::Type),
        },
        _ => return Err(Unfit::Type),
    };
    if value.len()? > room {
        let plural = if room == 1 { "" } else { "s" };
        return Err(Unfit::Value(format!("a {noun} of at most {room} {unit}{plural} ({})", leaf.dtype_name)));
    }
    if ends_in_nul {
        return Err(Unfit::Value(format!("a {noun} that does not end in a NUL, which NumPy would drop")));
    }
    let array = ndarray::new_array(value.py(), &types.array, &leaf.dtype, &[])?;
    array.set_item((), value)?;
    Ok(Packed::Array(array))
}

/// The Python object that these bytes are, of a leaf that is a Python scalar.
pub(super) fn unpack<'py>(py: Python<'py>, encoding: Encoding, bytes: &Bytes) -> PyResult<Bound<'py, PyAny>> {
    let [low, high] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i])));
    Ok(match encoding {
        // Arrays of bools may hold any byte, and count it as true.
        Encoding::Bool => PyBool::new(py, bytes[0] != 0).to_owned().into_any(),
        Encoding::Float64 => PyFloat::new(py, f64::from_bits(low)).into_any(),
        Encoding::Complex128 => {
            PyComplex::from_doubles(py, f64::from_bits(low), f64::from_bits(high)).into_any()
        }
        _ => (low as i64).into_pyobject(py)?.into_any(),
    })
}

#[inline]
fn read<'a, 'py>(value: &'a Bound<'py, PyAny>) -> PyResult<Option<Scalar<'a, 'py>>> {
    // Subclasses count (an IntEnum is an int), but for bool, which has none.
    Ok(Some(if let Ok(float) = value.cast::<PyFloat>() {
        Scalar::Float(float.value())
    } else if let Ok(bool) = value.cast::<PyBool>() {
        Scalar::Bool(bool.is_true())
    } else if value.is_instance_of::<PyInt>() {
        Scalar::Int(value)
    } else if let Ok(complex) = value.cast::<PyComplex>() {
        Scalar::Complex(complex.real(), complex.imag())
    } else {
        return Ok(None);
    }))
}

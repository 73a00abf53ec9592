//! Python scalars as the elements of leaves: a bool, an int, a float or a complex, where the value fits.
//!
//! | given | bool | integers | floats | complex |
//! |---|---|---|---|---|
//! | bool | yes | 0 or 1 | 0 or 1 | 0 or 1 |
//! | int | no | in range | if exact | if exact |
//! | float | no | no | rounded, unless it overflows | rounded, unless it overflows |
//! | complex | no | no | no | rounded, unless it overflows |

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyComplex, PyComplexMethods, PyDict, PyFloat, PyInt};
use treequeues::dtype::Dtype;

use super::ndarray;
use super::{Leaf, NumpyTypes};

/// The bytes of an element, as far as its dtype goes.
pub(super) type Bytes = [u8; 16];

/// How the Python scalars of a leaf become its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Bool,
    /// An integer, from the least to the greatest.
    Int(i128, i128),
    /// The same, in an encoding that NumPy knows: big-endian ones, and int4.
    IntByNumpy(i128, i128),
    Float32,
    Float64,
    Complex64,
    Complex128,
    /// Other floats, which NumPy converts: float16, bfloat16, big-endian ones.
    FloatByNumpy,
    /// Other complex numbers, which NumPy converts.
    ComplexByNumpy,
    /// No number: a time, a string, a record.
    NoNumber,
}

/// What NumPy converts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Float,
    Complex,
}

impl Encoding {
    /// How Python scalars become elements of this dtype.
    pub fn of(dtype: &Dtype) -> Encoding {
        if !matches!(dtype, Dtype::Number(..)) {
            return Encoding::NoNumber;
        }
        let name = dtype.to_string();
        match name.as_str() {
            "bool" => Encoding::Bool,
            "int8" => Encoding::Int(i8::MIN.into(), i8::MAX.into()),
            "int16" => Encoding::Int(i16::MIN.into(), i16::MAX.into()),
            "int32" => Encoding::Int(i32::MIN.into(), i32::MAX.into()),
            "int64" => Encoding::Int(i64::MIN.into(), i64::MAX.into()),
            "uint8" => Encoding::Int(0, u8::MAX.into()),
            "uint16" => Encoding::Int(0, u16::MAX.into()),
            "uint32" => Encoding::Int(0, u32::MAX.into()),
            "uint64" => Encoding::Int(0, u64::MAX.into()),
            "float32" => Encoding::Float32,
            "float64" => Encoding::Float64,
            "complex64" => Encoding::Complex64,
            "complex128" => Encoding::Complex128,
            name => Encoding::of_other_number(name),
        }
    }

    /// By the spelling: `>i4`, `int4`, `>c8`, `complex256`, `bfloat16`.
    fn of_other_number(name: &str) -> Encoding {
        let code = name.trim_start_matches('>');
        let digits = code.trim_start_matches(|char: char| char.is_ascii_alphabetic());
        let bits = digits.parse::<u32>().unwrap_or(0) * if code == name { 1 } else { 8 };
        match code.as_bytes()[0] {
            b'i' => Encoding::IntByNumpy(-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            b'u' => Encoding::IntByNumpy(0, (1 << bits) - 1),
            b'c' => Encoding::ComplexByNumpy,
            _ => Encoding::FloatByNumpy,
        }
    }
}

/// A Python scalar that fits.
pub(super) enum Packed<'py> {
    /// Its bytes.
    Bytes(Bytes),
    /// An array without dimensions that holds it.
    Array(Bound<'py, PyAny>),
}

/// Why a Python object cannot be the scalar of a leaf.
pub(super) enum Unfit {
    /// It is no Python scalar at all, or none of the leaf's family.
    Type,
    /// Its value does not fit; this is what would.
    Value(String),
    /// Something else went wrong.
    Other(PyErr),
}

impl From<PyErr> for Unfit {
    fn from(error: PyErr) -> Unfit {
        Unfit::Other(error)
    }
}

#[derive(Clone, Copy)]
enum Scalar<'a, 'py> {
    Bool(bool),
    Int(&'a Bound<'py, PyAny>),
    Float(f64),
    Complex(f64, f64),
}

/// The bytes that `value` has as an element of `leaf`.
#[inline]
pub(super) fn pack<'py>(
    types: &NumpyTypes,
    leaf: &Leaf,
    value: &Bound<'py, PyAny>,
) -> Result<Packed<'py>, Unfit> {
    let Some(scalar) = read(value)? else { return Err(Unfit::Type) };
    match leaf.encoding {
        Encoding::IntByNumpy(least, greatest) => {
            let Ok(int) = integer(leaf, scalar, least, greatest)?.into_pyobject(value.py());
            store_by_numpy(types, leaf, &int).map(Packed::Array)
        }
        Encoding::FloatByNumpy => pack_by_numpy(types, leaf, Family::Float, scalar, value).map(Packed::Array),
        Encoding::ComplexByNumpy => {
            pack_by_numpy(types, leaf, Family::Complex, scalar, value).map(Packed::Array)
        }
        encoding => pack_natively(encoding, leaf, scalar).map(Packed::Bytes),
    }
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

fn pack_natively(encoding: Encoding, leaf: &Leaf, scalar: Scalar<'_, '_>) -> Result<Bytes, Unfit> {
    let mut bytes = [0; 16];
    match encoding {
        Encoding::Bool => match scalar {
            Scalar::Bool(value) => bytes[0] = value.into(),
            _ => return Err(Unfit::Type),
        },
        Encoding::Int(least, greatest) => bytes = integer(leaf, scalar, least, greatest)?.to_le_bytes(),
        Encoding::Float32 => bytes[..4].copy_from_slice(&float32(leaf, real(leaf, scalar, 24)?)?),
        Encoding::Float64 => bytes[..8].copy_from_slice(&real(leaf, scalar, 53)?.to_le_bytes()),
        Encoding::Complex64 => {
            let (re, im) = complex(leaf, scalar, 24)?;
            bytes[..4].copy_from_slice(&float32(leaf, re)?);
            bytes[4..8].copy_from_slice(&float32(leaf, im)?);
        }
        Encoding::Complex128 => {
            let (re, im) = complex(leaf, scalar, 53)?;
            bytes[..8].copy_from_slice(&re.to_le_bytes());
            bytes[8..].copy_from_slice(&im.to_le_bytes());
        }
        _ => return Err(Unfit::Type),
    }
    Ok(bytes)
}

/// The scalar as an int in this range.
#[inline]
fn integer(leaf: &Leaf, scalar: Scalar<'_, '_>, least: i128, greatest: i128) -> Result<i128, Unfit> {
    let value = match scalar {
        Scalar::Bool(value) => value.into(),
        Scalar::Int(value) => int128(value).unwrap_or(i128::MAX),
        _ => return Err(Unfit::Type),
    };
    if least <= value && value <= greatest {
        return Ok(value);
    }
    Err(Unfit::Value(format!("an int from {least} to {greatest} ({})", leaf.dtype_name)))
}

fn complex(leaf: &Leaf, scalar: Scalar<'_, '_>, precision_bits: u32) -> Result<(f64, f64), Unfit> {
    match scalar {
        Scalar::Complex(re, im) => Ok((re, im)),
        scalar => Ok((real(leaf, scalar, precision_bits)?, 0.0)),
    }
}

/// The scalar as a float, if it is real, and exact if it is an int.
fn real(leaf: &Leaf, scalar: Scalar<'_, '_>, precision_bits: u32) -> Result<f64, Unfit> {
    match scalar {
        Scalar::Bool(value) => Ok(f64::from(u8::from(value))),
        Scalar::Float(value) => Ok(value),
        Scalar::Complex(..) => Err(Unfit::Type),
        Scalar::Int(value) => {
            let exact = int128(value).filter(|value| significant_bits(*value) <= precision_bits);
            exact.map(|value| value as f64).ok_or_else(|| inexact(leaf))
        }
    }
}

/// The value of an int, if it has at most 128 bits; almost all have 64, which is quicker.
fn int128(value: &Bound<'_, PyAny>) -> Option<i128> {
    value.extract::<i64>().map(i128::from).or_else(|_| value.extract()).ok()
}

fn significant_bits(value: i128) -> u32 {
    let magnitude = value.unsigned_abs();
    if magnitude == 0 { 0 } else { 128 - magnitude.leading_zeros() - magnitude.trailing_zeros() }
}

fn float32(leaf: &Leaf, value: f64) -> Result<[u8; 4], Unfit> {
    let rounded = value as f32;
    if rounded.is_infinite() && value.is_finite() { Err(overflow(leaf)) } else { Ok(rounded.to_le_bytes()) }
}

#[cold]
fn inexact(leaf: &Leaf) -> Unfit {
    Unfit::Value(format!("a number that {} represents exactly", leaf.dtype_name))
}

#[cold]
fn overflow(leaf: &Leaf) -> Unfit {
    Unfit::Value(format!("a number within the range of {}", leaf.dtype_name))
}

/// Lets NumPy convert to a float or a complex number, and looks at what came out.
#[cold]
fn pack_by_numpy<'py>(
    types: &NumpyTypes,
    leaf: &Leaf,
    family: Family,
    scalar: Scalar<'_, '_>,
    value: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyAny>, Unfit> {
    let py = value.py();
    let name = match (family, scalar) {
        (Family::Float, Scalar::Complex(..)) => return Err(Unfit::Type),
        (Family::Float, _) => intern!(py, "__float__"),
        (Family::Complex, _) => intern!(py, "__complex__"),
    };
    let array = store_by_numpy(types, leaf, value)?;
    let back = array.call_method0(name)?;
    match scalar {
        Scalar::Bool(_) | Scalar::Int(_) if back.eq(value)? => Ok(array),
        Scalar::Bool(_) | Scalar::Int(_) => Err(inexact(leaf)),
        Scalar::Float(_) | Scalar::Complex(..) if is_finite(value)? == is_finite(&back)? => {
            // An infinity or NaN must stay what it is; only NaN differs from itself.
            let is_kept = is_finite(value)? || back.eq(value)? || back.ne(&back)? && value.ne(value)?;
            if is_kept { Ok(array) } else { Err(overflow(leaf)) }
        }
        Scalar::Float(_) | Scalar::Complex(..) => Err(overflow(leaf)),
    }
}

/// A new array without dimensions that holds the number, as NumPy converts it.
fn store_by_numpy<'py>(
    types: &NumpyTypes,
    leaf: &Leaf,
    value: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyAny>, Unfit> {
    let py = value.py();
    let array = ndarray::new_array(py, &types.array, &leaf.dtype, &[])?;
    // Overflows are found by looking at what was stored, so NumPy need not warn of them.
    let quiet = PyDict::new(py);
    quiet.set_item("all", "ignore")?;
    let errstate =
        py.import(intern!(py, "numpy"))?.getattr(intern!(py, "errstate"))?.call((), Some(&quiet))?;
    errstate.call_method0(intern!(py, "__enter__"))?;
    let stored = array.set_item((), value);
    errstate.call_method1(intern!(py, "__exit__"), (py.None(), py.None(), py.None()))?;
    match stored {
        Ok(()) => Ok(array),
        Err(error) if error.is_instance_of::<PyException>(py) => Err(overflow(leaf)),
        Err(error) => Err(error.into()),
    }
}

fn is_finite(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(complex) = value.cast::<PyComplex>() {
        return Ok(complex.real().is_finite() && complex.imag().is_finite());
    }
    Ok(value.extract::<f64>()?.is_finite())
}

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

use pyo3::exceptions::PyOverflowError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyComplex, PyComplexMethods, PyFloat, PyInt, PyString};
use treequeues::dtype::Dtype;

use super::converted::{pack_by_numpy, pack_there_and_back, store_by_numpy};
use super::{Leaf, NumpyTypes, dtype, ndarray};

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
    /// `U`: so many characters.
    Text(usize),
    /// `S`: so many bytes.
    ByteString(usize),
    /// No number: a time, a record.
    NoNumber,
}

/// What NumPy converts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Float,
    Complex,
}

impl Encoding {
    /// How Python scalars become elements of this dtype.
    pub fn of(dtype: &Dtype) -> Encoding {
        match dtype {
            Dtype::Number(..) => {}
            Dtype::Text(chars, _) => return Encoding::Text(*chars),
            Dtype::Bytes(nbytes) => return Encoding::ByteString(*nbytes),
            _ => return Encoding::NoNumber,
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

    /// By the spelling: `>i4`, `int4`, `>c8`, `complex256`, `bcomplex32`, `bfloat16`.
    fn of_other_number(name: &str) -> Encoding {
        if name.contains("complex") {
            return Encoding::ComplexByNumpy;
        }
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
pub(super) enum Scalar<'a, 'py> {
    Bool(bool),
    Int(&'a Bound<'py, PyAny>),
    /// Of NumPy's.
    NumpyInt(i128),
    Float(f64),
    Complex(f64, f64),
}

/// Whether a float may lose digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Digits {
    Rounded,
    Kept,
}

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

fn pack_natively(
    encoding: Encoding,
    leaf: &Leaf,
    scalar: Scalar<'_, '_>,
    digits: Digits,
) -> Result<Bytes, Unfit> {
    let mut bytes = [0; 16];
    match encoding {
        Encoding::Bool => match scalar {
            Scalar::Bool(value) => bytes[0] = value.into(),
            Scalar::Int(value) => bytes[0] = zero_or_one(int128(value))?,
            Scalar::NumpyInt(value) => bytes[0] = zero_or_one(Some(value))?,
            Scalar::Float(_) | Scalar::Complex(..) => return Err(Unfit::Type),
        },
        Encoding::Int(least, greatest) => bytes = integer(leaf, scalar, least, greatest)?.to_le_bytes(),
        Encoding::Float32 => bytes[..4].copy_from_slice(&float32(leaf, real(leaf, scalar, 24)?, digits)?),
        Encoding::Float64 => bytes[..8].copy_from_slice(&real(leaf, scalar, 53)?.to_le_bytes()),
        Encoding::Complex64 => {
            let (re, im) = complex(leaf, scalar, 24)?;
            bytes[..4].copy_from_slice(&float32(leaf, re, digits)?);
            bytes[4..8].copy_from_slice(&float32(leaf, im, digits)?);
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
        Scalar::NumpyInt(value) => value,
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
        Scalar::NumpyInt(value) if significant_bits(value) <= precision_bits => Ok(value as f64),
        Scalar::NumpyInt(_) => Err(inexact(leaf)),
        Scalar::Int(value) => {
            let exact = int128(value).filter(|value| significant_bits(*value) <= precision_bits);
            match exact {
                Some(value) => Ok(value as f64),
                None => real_of_long(leaf, value, precision_bits),
            }
        }
    }
}

/// The float that an int of many bits is, if it has few that count.
#[cold]
fn real_of_long(leaf: &Leaf, value: &Bound<'_, PyAny>, precision_bits: u32) -> Result<f64, Unfit> {
    let float = match value.call_method0(intern!(value.py(), "__float__")) {
        Ok(float) => float,
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => return Err(inexact(leaf)),
        Err(error) => return Err(error.into()),
    };
    let exact: f64 = float.extract()?;
    let fits = float.eq(value)? && (precision_bits > 24 || f64::from(exact as f32) == exact);
    if fits { Ok(exact) } else { Err(inexact(leaf)) }
}

/// A bool from an int.
fn zero_or_one(value: Option<i128>) -> Result<u8, Unfit> {
    match value {
        Some(bit @ 0..=1) => Ok(bit as u8),
        _ => Err(Unfit::Value("a bool (or 0 or 1)".to_owned())),
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

fn float32(leaf: &Leaf, value: f64, digits: Digits) -> Result<[u8; 4], Unfit> {
    let rounded = value as f32;
    if digits == Digits::Kept && f64::from(rounded) != value && !value.is_nan() {
        return Err(inexact(leaf));
    }
    if rounded.is_infinite() && value.is_finite() { Err(overflow(leaf)) } else { Ok(rounded.to_le_bytes()) }
}

#[cold]
pub(super) fn inexact(leaf: &Leaf) -> Unfit {
    let noun = if leaf.encoding == Encoding::NoNumber { "time" } else { "number" };
    Unfit::Value(format!("a {noun} that {} represents exactly", leaf.dtype_name))
}

#[cold]
pub(super) fn overflow(leaf: &Leaf) -> Unfit {
    Unfit::Value(format!("a number within the range of {}", leaf.dtype_name))
}

//! Numbers as the bytes of elements, where a width and an order of bytes is all that there is to their encoding: what fits, and
//! why something does not. The table is in `scalar`.

use pyo3::exceptions::PyOverflowError;
use pyo3::intern;
use pyo3::prelude::*;

use super::encoding::{Bytes, Encoding};
use super::leaf::Leaf;

/// A scalar that fits.
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

/// A number, as it was given.
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

/// The bytes of a number in an encoding that is packed by hand.
pub(super) fn pack_natively(
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
pub(super) fn integer(
    leaf: &Leaf,
    scalar: Scalar<'_, '_>,
    least: i128,
    greatest: i128,
) -> Result<i128, Unfit> {
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

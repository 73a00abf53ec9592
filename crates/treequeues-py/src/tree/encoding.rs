//! How scalars become the bytes of an element, by its dtype.

use treequeues::dtype::{ByteOrder, Dtype, Number, NumberKind};

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

impl Encoding {
    /// How Python scalars become elements of this dtype.
    pub fn of(dtype: &Dtype) -> Encoding {
        match dtype {
            Dtype::Number(number, order) => Encoding::of_number(number, *order),
            Dtype::Text(chars, _) => Encoding::Text(*chars),
            Dtype::Bytes(nbytes) => Encoding::ByteString(*nbytes),
            _ => Encoding::NoNumber,
        }
    }

    fn of_number(number: &Number, order: ByteOrder) -> Encoding {
        let is_native = order == ByteOrder::Little && !number.is_extension();
        let bits = number.bits();
        match number.kind() {
            NumberKind::Bool => Encoding::Bool,
            NumberKind::Int if is_native => Encoding::Int(-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            NumberKind::Int => Encoding::IntByNumpy(-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            NumberKind::UInt if is_native => Encoding::Int(0, (1 << bits) - 1),
            NumberKind::UInt => Encoding::IntByNumpy(0, (1 << bits) - 1),
            NumberKind::Float if is_native && bits == 32 => Encoding::Float32,
            NumberKind::Float if is_native && bits == 64 => Encoding::Float64,
            NumberKind::Complex if is_native && bits == 64 => Encoding::Complex64,
            NumberKind::Complex if is_native && bits == 128 => Encoding::Complex128,
            NumberKind::Complex => Encoding::ComplexByNumpy,
            _ => Encoding::FloatByNumpy,
        }
    }
}

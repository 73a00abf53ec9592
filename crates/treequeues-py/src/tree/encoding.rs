//! How scalars become the bytes of an element, by its dtype.

use treequeues::dtype::Dtype;

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

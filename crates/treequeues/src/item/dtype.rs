//! Dtypes: what the elements of a leaf are, by NumPy name.
//!
//! Every dtype here has a fixed size, known from its name or its fields alone: objects and strings of variable
//! length do not exist in a segment. A dtype is spelled in one way only, so that equal dtypes have equal schemas:
//!
//! | spelled | means |
//! |---|---|
//! | `bool` `int8` .. `uint64` `float16` .. `float128` `complex64` .. `complex256` | NumPy's numbers, little-endian |
//! | `bfloat16` `float8_e5m2` `int4` ... | the numbers of the Python package `ml_dtypes` |
//! | `datetime64[ns]` `timedelta64[25us]` `datetime64` | points and spans of time: a count and a unit, or no unit |
//! | `S10` `U5` `V7` | 10 bytes; 5 characters of 4 bytes each; 7 bytes without a meaning |
//! | `>f4` `>i8` `>M8[ns]` `>U5` | the same in big-endian order, in NumPy's short spelling |
//! | fields | a structured dtype: named fields at offsets, each of any dtype and subarray shape |
//!
//! D1. `itemsize` is at most [`MAX_ITEMSIZE`], and at least 1 except for a structured dtype.
//! D2. `alignment` is a power of two, at most 16.
//! D3. Every field of a structured dtype lies inside its `itemsize`.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

/// The most bytes that one element may have: NumPy's own limit, an `int`.
pub const MAX_ITEMSIZE: usize = i32::MAX as usize;

/// How deep structured dtypes may be nested: deeper than any record that people write, and far from the recursion
/// limit of the JSON parser (128, of which a level takes three).
pub const MAX_DTYPE_DEPTH: usize = 16;

/// How many dimensions a leaf or a field's subarray may have: NumPy's own limit.
pub const MAX_NDIM: usize = 64;

/// Why something is not a dtype of a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DtypeError {
    /// No dtype has this name.
    #[error("unknown dtype {0:?}")]
    UnknownName(String),
    /// The element would have no bytes, or more than NumPy allows.
    #[error("dtype with elements of {0} bytes: at least 1 and at most {MAX_ITEMSIZE} are possible")]
    BadItemsize(u128),
    /// A field lies outside of its structured dtype.
    #[error("field {0:?} lies outside of its structured dtype")]
    FieldOutside(String),
    /// Two fields share one name.
    #[error("two fields are named {0:?}")]
    DuplicateField(String),
    /// A field's subarray has too many dimensions.
    #[error("field {0:?} has more than {MAX_NDIM} dimensions")]
    TooManyDimensions(String),
    /// Structured dtypes are nested too deeply.
    #[error("structured dtypes are nested more than {MAX_DTYPE_DEPTH} deep")]
    TooDeep,
}

/// The order of the bytes of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Least significant byte first: native on every platform that is supported.
    Little,
    /// Most significant byte first.
    Big,
}

/// What family of numbers a number belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NumberKind {
    /// `bool`.
    Bool,
    /// Integers with a sign.
    Int,
    /// Integers without one.
    UInt,
    /// Real numbers.
    Float,
    /// Pairs of real numbers.
    Complex,
}

/// A number: its NumPy name and kind, and its size and alignment in bytes.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Number {
    name: &'static str,
    kind: NumberKind,
    /// NumPy's short spelling (`f4`), for the numbers that exist in big-endian order.
    code: Option<&'static str>,
    /// Bits that say which number it is: 4 of an `int4`, which takes a byte.
    bits: u32,
    itemsize: usize,
    alignment: usize,
    is_extension: bool,
}

impl Number {
    const fn numpy(name: &'static str, code: &'static str, itemsize: usize, alignment: usize) -> Number {
        let kind = match code.as_bytes()[0] {
            b'b' => NumberKind::Bool,
            b'i' => NumberKind::Int,
            b'u' => NumberKind::UInt,
            b'f' => NumberKind::Float,
            _ => NumberKind::Complex,
        };
        let code = if itemsize == 1 { None } else { Some(code) };
        Number { name, kind, code, bits: itemsize as u32 * 8, itemsize, alignment, is_extension: false }
    }

    const fn extension(name: &'static str, kind: NumberKind, bits: u32, alignment: usize) -> Number {
        let itemsize = bits.div_ceil(8) as usize;
        Number { name, kind, code: None, bits, itemsize, alignment, is_extension: true }
    }

    /// Its name, whatever the order of its bytes: `float32`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What family of numbers it belongs to.
    #[must_use]
    pub fn kind(&self) -> NumberKind {
        self.kind
    }

    /// How many bits tell one number from another: 4 of an `int4`, although an element of it takes a byte.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Whether it comes from the Python package `ml_dtypes` and not from NumPy.
    #[must_use]
    pub fn is_extension(&self) -> bool {
        self.is_extension
    }
}

/// All numbers. A name that `ml_dtypes` adds is a line to add here.
static NUMBERS: [Number; 36] = [
    Number::numpy("bool", "b1", 1, 1),
    Number::numpy("int8", "i1", 1, 1),
    Number::numpy("uint8", "u1", 1, 1),
    Number::numpy("int16", "i2", 2, 2),
    Number::numpy("uint16", "u2", 2, 2),
    Number::numpy("int32", "i4", 4, 4),
    Number::numpy("uint32", "u4", 4, 4),
    Number::numpy("int64", "i8", 8, 8),
    Number::numpy("uint64", "u8", 8, 8),
    Number::numpy("float16", "f2", 2, 2),
    Number::numpy("float32", "f4", 4, 4),
    Number::numpy("float64", "f8", 8, 8),
    Number::numpy("float128", "f16", 16, 16),
    Number::numpy("complex64", "c8", 8, 4),
    Number::numpy("complex128", "c16", 16, 8),
    Number::numpy("complex256", "c32", 32, 16),
    Number::extension("bfloat16", NumberKind::Float, 16, 2),
    Number::extension("float8_e3m4", NumberKind::Float, 8, 1),
    Number::extension("float8_e4m3", NumberKind::Float, 8, 1),
    Number::extension("float8_e4m3b11fnuz", NumberKind::Float, 8, 1),
    Number::extension("float8_e4m3fn", NumberKind::Float, 8, 1),
    Number::extension("float8_e4m3fnuz", NumberKind::Float, 8, 1),
    Number::extension("float8_e5m2", NumberKind::Float, 8, 1),
    Number::extension("float8_e5m2fnuz", NumberKind::Float, 8, 1),
    Number::extension("float8_e8m0fnu", NumberKind::Float, 8, 1),
    Number::extension("float6_e2m3fn", NumberKind::Float, 6, 1),
    Number::extension("float6_e3m2fn", NumberKind::Float, 6, 1),
    Number::extension("float4_e2m1fn", NumberKind::Float, 4, 1),
    Number::extension("int1", NumberKind::Int, 1, 1),
    Number::extension("uint1", NumberKind::UInt, 1, 1),
    Number::extension("int2", NumberKind::Int, 2, 1),
    Number::extension("uint2", NumberKind::UInt, 2, 1),
    Number::extension("int4", NumberKind::Int, 4, 1),
    Number::extension("uint4", NumberKind::UInt, 4, 1),
    Number::extension("complex32", NumberKind::Complex, 32, 2),
    Number::extension("bcomplex32", NumberKind::Complex, 32, 2),
];

/// The units of NumPy's `datetime64` and `timedelta64`.
static TIME_UNITS: [&str; 13] = ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"];

/// The step of a `datetime64` or a `timedelta64`: `25us` is a count of 25 and the unit `us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeStep {
    count: u32,
    unit: &'static str,
}

impl TimeStep {
    /// How many units one step is: 25 in `25us`.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// The unit, as NumPy spells it: `us`.
    #[must_use]
    pub fn unit(self) -> &'static str {
        self.unit
    }
}

/// What the elements of a leaf are.
///
/// ```
/// use treequeues::dtype::Dtype;
///
/// let frame = Dtype::from_name("uint8").unwrap();
/// let stamp = Dtype::from_name("datetime64[ns]").unwrap();
/// assert_eq!((frame.itemsize(), stamp.itemsize()), (1, 8));
/// assert_eq!(stamp.to_string(), "datetime64[ns]");
/// assert!(Dtype::from_name("object").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "DtypeJson", try_from = "DtypeJson")]
pub enum Dtype {
    /// A number of NumPy's or of `ml_dtypes`.
    Number(&'static Number, ByteOrder),
    /// `datetime64`, with its step, or without one where all values are "not a time".
    Datetime(Option<TimeStep>, ByteOrder),
    /// `timedelta64`, with its step, or without one.
    Timedelta(Option<TimeStep>, ByteOrder),
    /// `S`: this many bytes, padded with zeros.
    Bytes(usize),
    /// `U`: this many characters of four bytes each, padded with zeros.
    Text(usize, ByteOrder),
    /// `V`: this many bytes without a meaning.
    Void(usize),
    /// Named fields at offsets.
    Structured(Structured),
}

impl Dtype {
    /// The dtype that is spelled so; see the table at the head of this module.
    ///
    /// # Errors
    ///
    /// [`DtypeError::UnknownName`] or [`DtypeError::BadItemsize`].
    pub fn from_name(name: &str) -> Result<Dtype, DtypeError> {
        match name.strip_prefix('>') {
            Some(code) => Dtype::from_big_endian_code(code),
            None => Dtype::from_plain_name(name),
        }
        .unwrap_or_else(|| Err(DtypeError::UnknownName(name.to_owned())))
    }

    /// Bytes of one element.
    #[must_use]
    pub fn itemsize(&self) -> usize {
        match self {
            Dtype::Number(number, _) => number.itemsize,
            Dtype::Datetime(..) | Dtype::Timedelta(..) => 8,
            Dtype::Bytes(nbytes) | Dtype::Void(nbytes) => *nbytes,
            Dtype::Text(chars, _) => chars * 4,
            Dtype::Structured(structured) => structured.itemsize,
        }
    }

    /// Preferred alignment of an element, in bytes.
    #[must_use]
    pub fn alignment(&self) -> usize {
        match self {
            Dtype::Number(number, _) => number.alignment,
            Dtype::Datetime(..) | Dtype::Timedelta(..) => 8,
            Dtype::Bytes(_) | Dtype::Void(_) => 1,
            Dtype::Text(..) => 4,
            Dtype::Structured(structured) => structured.alignment(),
        }
    }

    /// The order of an element's bytes; `None` where elements are bytes or have fields.
    #[must_use]
    pub fn byte_order(&self) -> Option<ByteOrder> {
        match self {
            Dtype::Number(_, order)
            | Dtype::Datetime(_, order)
            | Dtype::Timedelta(_, order)
            | Dtype::Text(_, order) => Some(*order),
            Dtype::Bytes(_) | Dtype::Void(_) | Dtype::Structured(_) => None,
        }
    }

    /// The step of a point or a span of time, if this is one and has one.
    #[must_use]
    pub fn time_step(&self) -> Option<TimeStep> {
        match self {
            Dtype::Datetime(step, _) | Dtype::Timedelta(step, _) => *step,
            _ => None,
        }
    }

    /// The fields, if this is a structured dtype.
    #[must_use]
    pub fn structured(&self) -> Option<&Structured> {
        match self {
            Dtype::Structured(structured) => Some(structured),
            _ => None,
        }
    }

    /// Whether the elements are bools: a byte each, 0 or 1.
    #[must_use]
    pub fn is_bool(&self) -> bool {
        matches!(self, Dtype::Number(number, ByteOrder::Little) if number.name == "bool")
    }

    fn from_plain_name(name: &str) -> Option<Result<Dtype, DtypeError>> {
        if let Some(number) = NUMBERS.iter().find(|number| number.name == name) {
            return Some(Ok(Dtype::Number(number, ByteOrder::Little)));
        }
        if let Some(rest) = name.strip_prefix("datetime64") {
            return Some(Ok(Dtype::Datetime(parse_time_step(rest)?, ByteOrder::Little)));
        }
        if let Some(rest) = name.strip_prefix("timedelta64") {
            return Some(Ok(Dtype::Timedelta(parse_time_step(rest)?, ByteOrder::Little)));
        }
        if let Some(rest) = name.strip_prefix('S') {
            return Some(checked_itemsize(parse_count(rest)?, 1).map(Dtype::Bytes));
        }
        if let Some(rest) = name.strip_prefix('V') {
            return Some(checked_itemsize(parse_count(rest)?, 1).map(Dtype::Void));
        }
        if let Some(rest) = name.strip_prefix('U') {
            let chars = checked_itemsize(parse_count(rest)?, 4);
            return Some(chars.map(|chars| Dtype::Text(chars, ByteOrder::Little)));
        }
        None
    }

    fn from_big_endian_code(code: &str) -> Option<Result<Dtype, DtypeError>> {
        if let Some(number) = NUMBERS.iter().find(|number| number.code == Some(code)) {
            return Some(Ok(Dtype::Number(number, ByteOrder::Big)));
        }
        if let Some(rest) = code.strip_prefix("M8") {
            return Some(Ok(Dtype::Datetime(parse_time_step(rest)?, ByteOrder::Big)));
        }
        if let Some(rest) = code.strip_prefix("m8") {
            return Some(Ok(Dtype::Timedelta(parse_time_step(rest)?, ByteOrder::Big)));
        }
        let chars = checked_itemsize(parse_count(code.strip_prefix('U')?)?, 4);
        Some(chars.map(|chars| Dtype::Text(chars, ByteOrder::Big)))
    }

    fn depth(&self) -> usize {
        let fields = self.structured().map_or(&[][..], |structured| &structured.fields);
        fields.iter().map(|field| field.dtype.depth() + 1).max().unwrap_or(0)
    }
}

/// Writes the one spelling that [`Dtype::from_name`] reads; a structured dtype as `{x: float32, y: int16 (3,)}`.
impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dtype::Number(number, ByteOrder::Little) => f.write_str(number.name),
            Dtype::Number(number, ByteOrder::Big) => write!(f, ">{}", number.code.unwrap_or(number.name)),
            Dtype::Datetime(step, ByteOrder::Little) => write_time(f, "datetime64", *step),
            Dtype::Datetime(step, ByteOrder::Big) => write_time(f, ">M8", *step),
            Dtype::Timedelta(step, ByteOrder::Little) => write_time(f, "timedelta64", *step),
            Dtype::Timedelta(step, ByteOrder::Big) => write_time(f, ">m8", *step),
            Dtype::Bytes(nbytes) => write!(f, "S{nbytes}"),
            Dtype::Text(chars, ByteOrder::Little) => write!(f, "U{chars}"),
            Dtype::Text(chars, ByteOrder::Big) => write!(f, ">U{chars}"),
            Dtype::Void(nbytes) => write!(f, "V{nbytes}"),
            Dtype::Structured(structured) => structured.fmt(f),
        }
    }
}

/// A structured dtype: named fields at offsets, which may leave gaps and may overlap.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Structured {
    fields: Vec<Field>,
    itemsize: usize,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    aligned: bool,
}

/// A field of a structured dtype.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name, unlike that of every other field beside it.
    pub name: String,
    /// NumPy's second, free-form name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What its elements are.
    pub dtype: Dtype,
    /// The shape of its subarray; empty for a single element.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shape: Vec<usize>,
    /// Bytes from the start of the structured element.
    pub offset: usize,
}

impl Structured {
    /// A structured dtype of `fields` in an element of `itemsize` bytes; `aligned` is NumPy's `align=True`.
    ///
    /// # Errors
    ///
    /// [`DtypeError`], where a field lies outside, two share a name, or the nesting is too deep.
    pub fn new(fields: Vec<Field>, itemsize: usize, aligned: bool) -> Result<Structured, DtypeError> {
        let structured = Structured { fields, itemsize, aligned };
        structured.check()?;
        Ok(structured)
    }

    /// The fields, in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Bytes of one element.
    #[must_use]
    pub fn itemsize(&self) -> usize {
        self.itemsize
    }

    /// Whether NumPy treats it as aligned like a C struct.
    #[must_use]
    pub fn aligned(&self) -> bool {
        self.aligned
    }

    fn alignment(&self) -> usize {
        if !self.aligned {
            return 1;
        }
        self.fields.iter().map(|field| field.dtype.alignment()).max().unwrap_or(1)
    }

    fn check(&self) -> Result<(), DtypeError> {
        if self.itemsize > MAX_ITEMSIZE {
            return Err(DtypeError::BadItemsize(self.itemsize as u128));
        }
        let mut names = std::collections::HashSet::new();
        for field in &self.fields {
            if !names.insert(&field.name) {
                return Err(DtypeError::DuplicateField(field.name.clone()));
            }
            if field.shape.len() > MAX_NDIM {
                return Err(DtypeError::TooManyDimensions(field.name.clone()));
            }
            if field.dtype.depth() >= MAX_DTYPE_DEPTH {
                return Err(DtypeError::TooDeep);
            }
            let end =
                nbytes_of(&field.shape, field.dtype.itemsize()).and_then(|n| n.checked_add(field.offset));
            if end.is_none_or(|end| end > self.itemsize) {
                return Err(DtypeError::FieldOutside(field.name.clone()));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Structured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, field) in self.fields.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            f.write_str(comma)?;
            // What would move a terminal's cursor is shown as an escape.
            field.name.chars().try_for_each(|char| match char.is_control() {
                true => write!(f, "{}", char.escape_default()),
                false => f.write_char(char),
            })?;
            write!(f, ": {}", field.dtype)?;
            if !field.shape.is_empty() {
                write!(f, " {}", DisplayShape(&field.shape))?;
            }
        }
        f.write_str("}")
    }
}

/// Writes a shape as Python does: `()`, `(3,)`, `(84, 84)`.
#[derive(Debug, Clone, Copy)]
pub struct DisplayShape<'a>(pub &'a [usize]);

impl fmt::Display for DisplayShape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, length) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{length}")?;
        }
        f.write_str(if self.0.len() == 1 { ",)" } else { ")" })
    }
}

/// A Rust type that is laid out exactly as the elements of some dtypes are.
///
/// Every bit pattern is a value of such a type, so rows that another process wrote can be read as a slice of it.
/// That is why `bool` is none of them: `u8` stands for the dtype `bool`.
pub trait Element: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The name of the dtype that a leaf of this type has.
    const NAME: &'static str;

    /// Whether elements of `dtype` may be read and written as this type.
    #[must_use]
    fn stands_for(dtype: &Dtype) -> bool {
        match dtype {
            Dtype::Number(number, ByteOrder::Little) => {
                number.name == Self::NAME || (Self::NAME == "uint8" && number.name == "bool")
            }
            _ => false,
        }
    }

    /// The dtype that a leaf of this type has.
    #[must_use]
    fn dtype() -> Dtype {
        let number = NUMBERS.iter().find(|number| number.name == Self::NAME);
        Dtype::Number(number.expect("the name of every element is in the table"), ByteOrder::Little)
    }
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! impl_element {
    ($($element:ty => $name:literal),* $(,)?) => {
        $(
            impl sealed::Sealed for $element {}
            impl Element for $element {
                const NAME: &'static str = $name;
            }
        )*
    };
}

impl_element! {
    u8 => "uint8", u16 => "uint16", u32 => "uint32", u64 => "uint64",
    i8 => "int8", i16 => "int16", i32 => "int32", i64 => "int64",
    f32 => "float32", f64 => "float64",
}

/// Bytes of an array of `shape`; `None` where they, or the strides of an array without elements, overflow `isize`.
pub(crate) fn nbytes_of(shape: &[usize], itemsize: usize) -> Option<usize> {
    let mut nbytes = itemsize;
    for &length in shape.iter().filter(|&&length| length != 0) {
        nbytes = nbytes.checked_mul(length)?;
    }
    if shape.iter().any(|&length| isize::try_from(length).is_err()) || isize::try_from(nbytes).is_err() {
        return None;
    }
    Some(if shape.contains(&0) { 0 } else { nbytes })
}

/// How a dtype is written in the schema's JSON: its name, or its fields.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum DtypeJson {
    Name(String),
    Structured(Structured),
}

impl From<Dtype> for DtypeJson {
    fn from(dtype: Dtype) -> DtypeJson {
        match dtype {
            Dtype::Structured(structured) => DtypeJson::Structured(structured),
            plain => DtypeJson::Name(plain.to_string()),
        }
    }
}

impl TryFrom<DtypeJson> for Dtype {
    type Error = DtypeError;

    fn try_from(json: DtypeJson) -> Result<Dtype, DtypeError> {
        match json {
            DtypeJson::Name(name) => Dtype::from_name(&name),
            DtypeJson::Structured(structured) => {
                structured.check()?;
                Ok(Dtype::Structured(structured))
            }
        }
    }
}

/// A count as NumPy writes it: decimal digits without a leading zero.
fn parse_count(digits: &str) -> Option<u128> {
    let plain = !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || digits.starts_with('0') && digits.len() > 1 {
        return None;
    }
    digits.parse().ok()
}

/// The count, if that many units of `unit_nbytes` each are a possible element (D1).
fn checked_itemsize(count: u128, unit_nbytes: usize) -> Result<usize, DtypeError> {
    let nbytes = count * unit_nbytes as u128;
    if nbytes == 0 || nbytes > MAX_ITEMSIZE as u128 {
        return Err(DtypeError::BadItemsize(nbytes));
    }
    Ok(count as usize)
}

/// Reads `[25us]`, or nothing at all, which is a dtype without a step.
fn parse_time_step(text: &str) -> Option<Option<TimeStep>> {
    if text.is_empty() {
        return Some(None);
    }
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = inside.split_at(digits);
    let count = match count {
        "" => 1,
        // A count of 1 is never written, so that each step has one spelling.
        digits => {
            u32::try_from(parse_count(digits)?).ok().filter(|&count| 1 < count && count <= i32::MAX as u32)?
        }
    };
    let unit = TIME_UNITS.iter().find(|known| **known == unit)?;
    Some(Some(TimeStep { count, unit }))
}

fn write_time(f: &mut fmt::Formatter<'_>, prefix: &str, step: Option<TimeStep>) -> fmt::Result {
    match step {
        None => f.write_str(prefix),
        Some(TimeStep { count: 1, unit }) => write!(f, "{prefix}[{unit}]"),
        Some(TimeStep { count, unit }) => write!(f, "{prefix}[{count}{unit}]"),
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

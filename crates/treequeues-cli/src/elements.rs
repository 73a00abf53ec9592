//! Smallest, largest and mean of a leaf, from the bytes of its row.
//!
//! | dtype | compared | mean |
//! |---|---|---|
//! | `bool`, integers | exactly | as a float |
//! | `float16` to `float64`, `bfloat16` | NaN left out | NaN left out |
//! | `complex64`, `complex128` | by magnitude | of the magnitudes |
//! | `datetime64`, `timedelta64` | NaT left out | none |
//! | `S`, `U` | not; the first value is shown | none |
//! | all others | not; the first bytes are shown | none |

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Number, Value, json};
use treequeues::Dtype;
use treequeues::dtype::ByteOrder;

/// Characters of a first value that are shown.
const MAX_SHOWN_CHARS: usize = 40;
/// Bytes of a first value without a meaning that are shown.
const MAX_SHOWN_BYTES: usize = 16;
/// What NumPy stores for "not a time".
const NAT: i64 = i64::MIN;

/// What is known about the elements of a row. What a dtype does not have is `null` in the JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub minimum: Option<Value>,
    pub maximum: Option<Value>,
    pub mean: Option<f64>,
    /// Of what is not compared.
    pub first: Option<String>,
    /// Elements that are NaN or NaT, and so in none of these.
    pub left_out: usize,
}

/// How the elements of a dtype are read.
enum Reader {
    Bool,
    Integer(fn(Element) -> i128),
    Float(fn(Element) -> f64),
    Time,
}

/// One element, least significant byte first; a complex one has two parts.
#[derive(Clone, Copy)]
struct Element([u8; 16]);

/// Summarizes the elements of a row.
pub fn summarize(dtype: &Dtype, row: &[u8]) -> Summary {
    let itemsize = dtype.itemsize();
    let Some((reader, part, order)) = reader_of(dtype) else {
        let first = row.get(..itemsize).filter(|element| !element.is_empty());
        return Summary { first: first.map(|element| show(dtype, element)), ..Summary::default() };
    };
    let elements = row.chunks_exact(itemsize).map(|bytes| Element::new(bytes, part, order));
    match reader {
        Reader::Bool => {
            of_integers(elements.map(|element| i128::from(element.0[0] != 0)), |value| json!(value != 0))
        }
        Reader::Integer(read) => of_integers(elements.map(read), |value| {
            Number::from_i128(value).map_or(Value::Null, Value::Number)
        }),
        Reader::Float(read) => of_floats(elements.map(read)),
        Reader::Time => {
            let times = elements.map(Element::i64).filter(|&time| time != NAT).map(i128::from);
            let all = row.len() / itemsize;
            let summary = of_integers(times.clone(), |time| json!(show_time(dtype, time as i64)));
            Summary { mean: None, left_out: all - times.count(), ..summary }
        }
    }
}

/// How to read elements of this dtype, the bytes of one part of an element, and their order.
fn reader_of(dtype: &Dtype) -> Option<(Reader, usize, ByteOrder)> {
    let (number, order) = match dtype {
        Dtype::Number(number, order) => (number, *order),
        Dtype::Datetime(_, order) | Dtype::Timedelta(_, order) => return Some((Reader::Time, 8, *order)),
        _ => return None,
    };
    let (reader, part) = match number.name() {
        "bool" => (Reader::Bool, 1),
        "int8" => (Reader::Integer(|element| i128::from(element.0[0] as i8)), 1),
        "int16" => (Reader::Integer(|element| i128::from(i16::from_le_bytes(element.part(0)))), 2),
        "int32" => (Reader::Integer(|element| i128::from(i32::from_le_bytes(element.part(0)))), 4),
        "int64" => (Reader::Integer(|element| i128::from(element.i64())), 8),
        "uint8" => (Reader::Integer(|element| i128::from(element.0[0])), 1),
        "uint16" => (Reader::Integer(|element| i128::from(u16::from_le_bytes(element.part(0)))), 2),
        "uint32" => (Reader::Integer(|element| i128::from(u32::from_le_bytes(element.part(0)))), 4),
        "uint64" => (Reader::Integer(|element| i128::from(u64::from_le_bytes(element.part(0)))), 8),
        "float16" => (Reader::Float(|element| half(u16::from_le_bytes(element.part(0)))), 2),
        // The upper half of a float32.
        "bfloat16" => (
            Reader::Float(|element| {
                f64::from(f32::from_bits(u32::from(u16::from_le_bytes(element.part(0))) << 16))
            }),
            2,
        ),
        "float32" => (Reader::Float(|element| element.f32(0)), 4),
        "float64" => (Reader::Float(|element| element.f64(0)), 8),
        "complex64" => (Reader::Float(|element| element.f32(0).hypot(element.f32(4))), 4),
        "complex128" => (Reader::Float(|element| element.f64(0).hypot(element.f64(8))), 8),
        _ => return None,
    };
    Some((reader, part, order))
}

impl Element {
    fn new(bytes: &[u8], part: usize, order: ByteOrder) -> Self {
        let mut element = [0; 16];
        element[..bytes.len()].copy_from_slice(bytes);
        if order == ByteOrder::Big {
            element[..bytes.len()].chunks_exact_mut(part).for_each(<[u8]>::reverse);
        }
        Self(element)
    }

    fn part<const N: usize>(self, offset: usize) -> [u8; N] {
        self.0[offset..offset + N].try_into().expect("as long as asked for")
    }

    fn i64(self) -> i64 {
        i64::from_le_bytes(self.part(0))
    }

    fn f32(self, offset: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.part(offset)))
    }

    fn f64(self, offset: usize) -> f64 {
        f64::from_le_bytes(self.part(offset))
    }
}

/// IEEE 754's binary16: 1 bit of sign, 5 of exponent, 10 of fraction.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    }
}

fn of_integers(values: impl Iterator<Item = i128> + Clone, show: impl Fn(i128) -> Value) -> Summary {
    let count = values.clone().count();
    let mean = if count == 0 { None } else { Some(values.clone().sum::<i128>() as f64 / count as f64) };
    Summary {
        minimum: values.clone().min().map(&show),
        maximum: values.max().map(&show),
        mean,
        ..Summary::default()
    }
}

fn of_floats(values: impl Iterator<Item = f64>) -> Summary {
    let (mut left_out, mut count, mut sum) = (0, 0_usize, 0.0);
    let (mut minimum, mut maximum) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        if value.is_nan() {
            left_out += 1;
        } else {
            count += 1;
            sum += value;
            minimum = minimum.min(value);
            maximum = maximum.max(value);
        }
    }
    if count == 0 {
        return Summary { left_out, ..Summary::default() };
    }
    // JSON has no infinity, so that one is a word.
    let show = |value: f64| if value.is_finite() { json!(value) } else { json!(value.to_string()) };
    let mean = Some(sum / count as f64);
    Summary { minimum: Some(show(minimum)), maximum: Some(show(maximum)), mean, first: None, left_out }
}

/// A date, or a count and its unit where the calendar does not reach, or the unit is none of a fixed length.
fn show_time(dtype: &Dtype, time: i64) -> String {
    let Some(step) = dtype.time_step() else { return time.to_string() };
    let (count, unit) = (step.count(), step.unit());
    let plain = || format!("{} {unit}", i128::from(time) * i128::from(count));
    if !matches!(dtype, Dtype::Datetime(..)) {
        return plain();
    }
    let unit_ns: i128 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "D" => 86_400_000_000_000,
        "W" => 7 * 86_400_000_000_000,
        _ => return plain(),
    };
    let ns = i128::from(time) * i128::from(count) * unit_ns;
    let span = i64::try_from(ns.div_euclid(1_000_000_000))
        .map(|seconds| SignedDuration::new(seconds, ns.rem_euclid(1_000_000_000) as i32));
    span.ok()
        .and_then(|span| Timestamp::from_duration(span).ok())
        .map_or_else(plain, |moment| moment.to_string())
}

/// An element that is not compared.
fn show(dtype: &Dtype, element: &[u8]) -> String {
    match dtype {
        Dtype::Bytes(_) => {
            let end = element.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            format!("b'{}'", shortened(&element[..end].escape_ascii().to_string()))
        }
        Dtype::Text(_, order) => {
            let chars = element.chunks_exact(4).map(|bytes| {
                let bytes = bytes.try_into().expect("4 bytes");
                let code = if *order == ByteOrder::Big {
                    u32::from_be_bytes(bytes)
                } else {
                    u32::from_le_bytes(bytes)
                };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            });
            let text: String = chars.collect();
            format!("'{}'", shortened(&text.trim_end_matches('\0').escape_debug().to_string()))
        }
        _ => {
            let hex: String =
                element.iter().take(MAX_SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
            format!("0x{hex}{}", if element.len() > MAX_SHOWN_BYTES { "..." } else { "" })
        }
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN_CHARS {
        return text.to_owned();
    }
    text.chars().take(MAX_SHOWN_CHARS - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dtype: &str, row: &[u8]) -> Summary {
        summarize(&Dtype::from_name(dtype).expect("a dtype"), row)
    }

    fn bytes<const N: usize>(values: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
        values.into_iter().flatten().collect()
    }

    #[test]
    fn integers_are_exact() {
        let row = bytes([u64::MAX, 0, 1].map(u64::to_le_bytes));
        let summary = of("uint64", &row);
        assert_eq!((summary.minimum, summary.maximum), (Some(json!(0)), Some(json!(u64::MAX))));
        let summary = of(">i2", &bytes([-300_i16, 100].map(i16::to_be_bytes)));
        assert_eq!(
            (summary.minimum, summary.maximum, summary.mean),
            (Some(json!(-300)), Some(json!(100)), Some(-100.0))
        );
        let summary = of("int8", &[0xff, 3]);
        assert_eq!((summary.minimum, summary.mean), (Some(json!(-1)), Some(1.0)));
    }

    #[test]
    fn bools_are_words_and_their_mean_a_share() {
        let summary = of("bool", &[1, 0, 1, 1]);
        assert_eq!(
            (summary.minimum, summary.maximum, summary.mean),
            (Some(json!(false)), Some(json!(true)), Some(0.75))
        );
    }

    #[test]
    fn floats_leave_nan_out_and_say_so() {
        let summary = of("float32", &bytes([1.5_f32, f32::NAN, -0.5].map(f32::to_le_bytes)));
        assert_eq!((summary.minimum, summary.maximum), (Some(json!(-0.5)), Some(json!(1.5))));
        assert_eq!((summary.mean, summary.left_out), (Some(0.5), 1));
        let summary = of("float64", &f64::NAN.to_le_bytes());
        assert_eq!((summary.minimum, summary.mean, summary.left_out), (None, None, 1));
        let summary = of("float64", &f64::INFINITY.to_le_bytes());
        assert_eq!(summary.maximum, Some(json!("inf")));
    }

    #[test]
    fn short_floats_are_what_their_standards_say() {
        // NumPy: np.float16(x).view(np.uint16).
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_477_539_063e-8)]
        {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7e00).is_nan() && half(0xfc00) == f64::NEG_INFINITY);
        let summary = of("bfloat16", &bytes([0x3f80_u16, 0xc040].map(u16::to_le_bytes)));
        assert_eq!((summary.minimum, summary.maximum), (Some(json!(-3.0)), Some(json!(1.0))));
    }

    #[test]
    fn complex_numbers_go_by_magnitude() {
        let row = bytes([3.0_f64, 4.0, 0.0, -1.0].map(f64::to_le_bytes));
        let summary = of("complex128", &row);
        assert_eq!(
            (summary.minimum, summary.maximum, summary.mean),
            (Some(json!(1.0)), Some(json!(5.0)), Some(3.0))
        );
        let big = bytes([3.0_f32, 4.0].map(f32::to_be_bytes));
        assert_eq!(of(">c8", &big).mean, Some(5.0));
    }

    #[test]
    fn times_are_dates_where_the_calendar_has_them() {
        let summary = of("datetime64[ms]", &bytes([0_i64, NAT, 1_500].map(i64::to_le_bytes)));
        assert_eq!(summary.minimum, Some(json!("1970-01-01T00:00:00Z")));
        assert_eq!(summary.maximum, Some(json!("1970-01-01T00:00:01.5Z")));
        assert_eq!((summary.mean, summary.left_out), (None, 1));
        assert_eq!(
            of("datetime64[W]", &i64::MAX.to_le_bytes()).minimum,
            Some(json!(format!("{} W", i64::MAX)))
        );
        assert_eq!(of("timedelta64[25us]", &(-2_i64).to_le_bytes()).minimum, Some(json!("-50 us")));
        assert_eq!(of("datetime64", &NAT.to_le_bytes()).left_out, 1);
    }

    #[test]
    fn text_and_bytes_show_their_first_value() {
        assert_eq!(of("S6", b"ab\0c\0\0zz").first.as_deref(), Some("b'ab\\x00c'"));
        let text = bytes(['ä', 'b', '\0'].map(|c| u32::from(c).to_be_bytes()));
        assert_eq!(of(">U3", &text).first.as_deref(), Some("'äb'"));
        assert_eq!(of("V2", &[1, 255]).first.as_deref(), Some("0x01ff"));
        assert_eq!(of("float128", &[0; 16]).first.as_deref(), Some("0x00000000000000000000000000000000"));
        assert_eq!(of("S50", &[b'x'; 50]).first.expect("one").chars().count(), MAX_SHOWN_CHARS + 3);
    }

    #[test]
    fn a_row_without_elements_has_no_values() {
        for dtype in ["float32", "int64", "S3", "datetime64[s]", "bool"] {
            assert_eq!(of(dtype, &[]), Summary::default());
        }
    }
}

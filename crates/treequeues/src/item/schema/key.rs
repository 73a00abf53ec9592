//! Keys of dicts, and paths of classes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How deep keys that are tuples may be nested: deeper than anybody writes, and far from the recursion limit of the
/// JSON parser (128, of which a level takes two).
pub const MAX_KEY_DEPTH: usize = 16;

/// How many characters of a key appear in a path.
pub(super) const MAX_SHOWN_CHARS: usize = 80;

/// A key of a dict, or the aux data of a custom node: a Python value that compares and prints the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "KeyJson", try_from = "KeyJson")]
pub enum Key {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int`.
    Int(i128),
    /// A `float`, by its bits, so that NaN, the infinities and -0.0 survive.
    Float(u64),
    /// A `str`.
    Str(String),
    /// A `bytes`.
    Bytes(Vec<u8>),
    /// A `tuple` of these.
    Tuple(Vec<Key>),
}

impl Key {
    /// A key that is a `float`.
    #[must_use]
    pub fn from_f64(value: f64) -> Key {
        Key::Float(value.to_bits())
    }

    /// How many tuples stand around the innermost value.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Key::Tuple(keys) => keys.iter().map(Key::depth).max().unwrap_or(0) + 1,
            _ => 0,
        }
    }

    /// The key if it is a `str` that can stand behind a dot.
    pub(super) fn as_identifier(&self) -> Option<&str> {
        match self {
            Key::Str(text) if is_identifier(text) && text.chars().count() <= MAX_SHOWN_CHARS => Some(text),
            _ => None,
        }
    }

    fn write_repr(&self, out: &mut String) {
        match self {
            Key::None => out.push_str("None"),
            Key::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
            Key::Int(value) => out.push_str(&value.to_string()),
            Key::Float(bits) => write_float(f64::from_bits(*bits), out),
            Key::Str(text) => write_quoted(text.chars(), out),
            Key::Bytes(bytes) => {
                out.push('b');
                write_quoted_bytes(bytes, out);
            }
            Key::Tuple(keys) => {
                out.push('(');
                for (i, key) in keys.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    key.write_repr(out);
                }
                out.push_str(if keys.len() == 1 { ",)" } else { ")" });
            }
        }
    }
}

/// Writes the key as Python's `repr` does, shortened to what people can read.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_repr(&mut text);
        f.write_str(&elide_middle(&text, MAX_SHOWN_CHARS))
    }
}

/// Where a Python class is: `module:qualname`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassPath(String);

impl ClassPath {
    /// The path of the class `qualname` in `module`.
    #[must_use]
    pub fn new(module: &str, qualname: &str) -> ClassPath {
        ClassPath(format!("{module}:{qualname}"))
    }

    /// The module to import.
    #[must_use]
    pub fn module(&self) -> &str {
        self.0.split_once(':').map_or("", |(module, _)| module)
    }

    /// The class in the module, with dots for classes in classes.
    #[must_use]
    pub fn qualname(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(_, qualname)| qualname)
    }
}

impl fmt::Display for ClassPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&elide_middle(&self.0, 2 * MAX_SHOWN_CHARS))
    }
}

/// How a key is written in the schema's JSON. A `str` is a string, everything else an object that names its type.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum KeyJson {
    Str(String),
    Tagged(TaggedKeyJson),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TaggedKeyJson {
    None(),
    Bool(bool),
    /// Decimal digits, because JSON numbers lose the low bits of large ones in many readers.
    Int(String),
    /// Sixteen hexadecimal digits: the bits.
    Float(String),
    /// Two hexadecimal digits a byte.
    Bytes(String),
    Tuple(Vec<Key>),
}

impl From<Key> for KeyJson {
    fn from(key: Key) -> KeyJson {
        KeyJson::Tagged(match key {
            Key::Str(text) => return KeyJson::Str(text),
            Key::None => TaggedKeyJson::None(),
            Key::Bool(value) => TaggedKeyJson::Bool(value),
            Key::Int(value) => TaggedKeyJson::Int(value.to_string()),
            Key::Float(bits) => TaggedKeyJson::Float(format!("{bits:016x}")),
            Key::Bytes(bytes) => {
                TaggedKeyJson::Bytes(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            Key::Tuple(keys) => TaggedKeyJson::Tuple(keys),
        })
    }
}

impl TryFrom<KeyJson> for Key {
    type Error = String;

    fn try_from(json: KeyJson) -> Result<Key, String> {
        let tagged = match json {
            KeyJson::Str(text) => return Ok(Key::Str(text)),
            KeyJson::Tagged(tagged) => tagged,
        };
        Ok(match tagged {
            TaggedKeyJson::None() => Key::None,
            TaggedKeyJson::Bool(value) => Key::Bool(value),
            TaggedKeyJson::Int(digits) => Key::Int(digits.parse().map_err(|_| "not an int key".to_owned())?),
            TaggedKeyJson::Float(digits) => {
                let bytes = parse_hex(&digits).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
                Key::Float(u64::from_be_bytes(bytes.ok_or("not a float key")?))
            }
            TaggedKeyJson::Bytes(digits) => Key::Bytes(parse_hex(&digits).ok_or("not a bytes key")?),
            TaggedKeyJson::Tuple(keys) => Key::Tuple(keys),
        })
    }
}

fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    rest.is_empty().then_some(())?;
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

fn is_identifier(text: &str) -> bool {
    let starts_well = text.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
    starts_well && text.chars().all(|char| char.is_alphanumeric() || char == '_')
}

fn write_float(value: f64, out: &mut String) {
    out.push_str(&match value {
        value if value.is_nan() => "nan".to_owned(),
        value if value.is_infinite() => if value > 0.0 { "inf" } else { "-inf" }.to_owned(),
        value => format!("{value:?}"),
    });
}

fn write_quoted(chars: impl Iterator<Item = char>, out: &mut String) {
    out.push('\'');
    for char in chars {
        match char {
            '\'' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('\'');
}

fn write_quoted_bytes(bytes: &[u8], out: &mut String) {
    out.push('\'');
    for byte in bytes {
        match byte {
            b'\'' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            byte => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('\'');
}

/// The text, or its two ends around three dots where it has more than `max_chars` characters.
pub(super) fn elide_middle(text: &str, max_chars: usize) -> std::borrow::Cow<'_, str> {
    // Bytes bound characters from above, so that ordinary texts are not counted.
    if text.len() <= max_chars {
        return text.into();
    }
    let count = text.chars().count();
    if count <= max_chars {
        return text.into();
    }
    let head = (max_chars - 3) / 2;
    let tail = max_chars - 3 - head;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}...{end}").into()
}

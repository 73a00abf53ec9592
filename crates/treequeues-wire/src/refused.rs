//! Why bytes are no message: a reason for each thing that can be wrong with them.

use safetensors::tensor::SafeTensorError;
use treequeues::{Schema, SchemaDifference};

use crate::{VERSION, Wire};

/// Why bytes are no message of such items.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// They are no safetensors file, or not a whole one.
    #[error("not a whole safetensors file: {0}")]
    Format(String),
    /// They are a file of somebody else's.
    #[error("not a message of treequeues: its metadata has no {key:?}")]
    Missing {
        /// The key that is not there.
        key: &'static str,
    },
    /// They were written by another version of the format.
    #[error("it is of version {found:?} of the format, and this one reads version {VERSION:?}")]
    Version {
        /// The version.
        found: String,
    },
    /// They are items of another schema.
    #[error("its items are others:\n{0}")]
    OtherItems(Box<SchemaDifference>),
    /// They are said to be of another schema, which cannot be read.
    #[error("its items are others, and their schema cannot be read: {0}")]
    OtherStructure(String),
    /// An entry of the metadata says nothing that it could.
    #[error("its metadata has {found:?} as {key:?}")]
    Note {
        /// The key.
        key: &'static str,
        /// Its value, shortened.
        found: String,
    },
    /// Lists of the metadata are of different numbers of items.
    #[error("its metadata has {found} numbers as {key:?}, for {items} items")]
    Count {
        /// The key.
        key: &'static str,
        /// How many numbers it has.
        found: usize,
        /// How many items there are.
        items: usize,
    },
    /// It has other tensors than the schema has leaves.
    #[error("it has no tensor named {name:?}, or others than the schema's {leaves} leaves")]
    Tensors {
        /// The name that is not there, or is there for nothing.
        name: String,
        /// How many leaves there are.
        leaves: usize,
    },
    /// A tensor has another dtype or shape.
    #[error("{name:?}: expected {expected}, got {got}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        got: String,
    },
}

impl Refused {
    pub(crate) fn format(error: &SafeTensorError) -> Self {
        Refused::Format(quoted(&error.to_string()))
    }

    pub(crate) fn of_other_items(wire: &Wire, structure: &str) -> Self {
        match Schema::from_json(structure) {
            Ok(other) => match wire.schema.difference(&other) {
                Some(difference) => Refused::OtherItems(Box::new(difference)),
                None => Refused::OtherStructure("it is not written as this version writes it".to_owned()),
            },
            Err(error) => Refused::OtherStructure(quoted(&error.to_string())),
        }
    }
}

/// As much of a foreign text as belongs into a message, without what a terminal would obey.
fn quoted(text: &str) -> String {
    shortened(&text.escape_debug().to_string())
}

/// As much of a foreign text as belongs into a message.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

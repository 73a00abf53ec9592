//! Why a leaf of a loan is not to be had as it was asked for.

use std::fmt;

use crate::item::schema::Schema;

/// How many leaves a message names: enough to see a slip of the pen, few enough to be read.
const MAX_NAMED_LEAVES: usize = 10;

/// Why a leaf of a loan is not to be had as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// The schema has no leaf of this path or number.
    #[error("there is no leaf {asked}: {there}")]
    Missing {
        /// The path or the number, as it was asked for.
        asked: String,
        /// The leaves that there are, or the first of them.
        there: String,
    },
    /// Several leaves have this path, because it was so long that its middle was left out.
    #[error("several leaves have the path {path:?}: name the leaf by its number")]
    Ambiguous {
        /// The path.
        path: String,
    },
    /// The leaf's elements are of another type.
    #[error("{path}: asked for {asked}, but its elements are {there}")]
    Dtype {
        /// Where the leaf is.
        path: String,
        /// The dtype of the type that was asked for.
        asked: &'static str,
        /// The leaf's dtype.
        there: String,
    },
    /// A byte of a leaf of bools is neither 0 nor 1.
    #[error("{path}: element {element} is the byte {byte}, which is no bool")]
    NotBool {
        /// Where the leaf is.
        path: String,
        /// The number of the first such element.
        element: usize,
        /// What it is.
        byte: u8,
    },
    /// What a leaf holds is no value of a type that says so itself.
    #[error("{path}: {reason}")]
    Value {
        /// Where the leaf is.
        path: String,
        /// What is wrong, in the type's words.
        reason: String,
    },
    /// The leaf has another number of elements than were given.
    #[error("{path}: it has {there} elements, got {got}")]
    Length {
        /// Where the leaf is.
        path: String,
        /// Elements of the leaf in one item.
        there: usize,
        /// Elements given.
        got: usize,
    },
    /// The batch is not one piece of memory.
    #[error(
        "the batch goes past the ring's end, or lacks a slot in between, so its rows are several pieces: take them run \
         by run, or ask for `BatchSize::side_by_side`"
    )]
    Scattered,
    /// The lengths of an array without elements are beyond what `ndarray` can count.
    #[error("the array's lengths exceed the address space")]
    TooLarge,
}

impl LeafError {
    pub(super) fn missing(asked: impl fmt::Display, schema: &Schema) -> Self {
        let leaves = schema.leaves();
        let mut named: Vec<&str> = leaves.iter().take(MAX_NAMED_LEAVES).map(|leaf| &*leaf.path).collect();
        let more = leaves.len() - named.len();
        let more_text = format!("{more} more");
        if more > 0 {
            named.push(&more_text);
        }
        let there = match leaves.len() {
            0 => "the items have no leaves".to_owned(),
            1 => format!("the only leaf is {}", named[0]),
            _ => format!("the leaves are {}", named.join(", ")),
        };
        Self::Missing { asked: asked.to_string(), there }
    }

    pub(crate) fn not_bool(schema: &Schema, leaf: usize, element: usize, byte: u8) -> Self {
        Self::NotBool { path: schema.leaves()[leaf].path.clone(), element, byte }
    }
}

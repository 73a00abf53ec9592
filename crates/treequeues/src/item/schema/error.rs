//! Why something is not a schema.

use super::{MAX_DEPTH, MAX_KEY_DEPTH, MAX_LEAVES, MAX_NODES};
use crate::item::dtype::{DtypeError, MAX_NDIM};

/// Why something is not a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The text is not the JSON of a schema.
    #[error("not the JSON of a schema: {0}")]
    Json(String),
    /// The JSON was written by a version of the format that is not known here.
    #[error("the schema has version {0}, and this library reads version 1")]
    Version(u64),
    /// The nodes are not one tree in preorder.
    #[error("the nodes of the structure are not one tree")]
    NotOneTree,
    /// The tree is too deep, perhaps because it contains itself.
    #[error("the tree is more than {MAX_DEPTH} levels deep (or it contains itself)")]
    TooDeep,
    /// The tree has too many leaves.
    #[error("the tree has more than {MAX_LEAVES} leaves")]
    TooManyLeaves,
    /// The tree has too many nodes.
    #[error("the tree has more than {MAX_NODES} nodes, leaves and containers together")]
    TooManyNodes,
    /// A dict, or a class, names one child twice.
    #[error("{path}: it names {name} twice")]
    DuplicateName {
        /// Where the container is.
        path: String,
        /// The key or the field.
        name: String,
    },
    /// A key is a tuple of tuples that is nested too deeply.
    #[error("{path}: a key or an aux of tuples nested more than {MAX_KEY_DEPTH} deep")]
    KeyTooDeep {
        /// Where the container is.
        path: String,
    },
    /// The structure has another number of leaves than there are specs.
    #[error("the structure has {structure} leaves, and there are {leaves} leaf specs")]
    LeafCount {
        /// Leaves of the structure.
        structure: usize,
        /// Leaf specs given.
        leaves: usize,
    },
    /// A leaf has too many dimensions.
    #[error("{path}: it has more than {MAX_NDIM} dimensions")]
    TooManyDimensions {
        /// Where the leaf is.
        path: String,
    },
    /// A leaf spec contradicts itself.
    #[error("{path}: {reason}")]
    BadLeaf {
        /// Where the leaf is.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// All leaves together do not fit in memory.
    #[error("the leaves of one item together do not fit in memory")]
    TooLarge,
    /// A dtype that no leaf can have.
    #[error(transparent)]
    Dtype(#[from] DtypeError),
}

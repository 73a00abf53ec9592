//! Schemas: what the items of a queue look like.
//!
//! A schema is the ordered specs of the leaves, and the structure: the tree without its leaves. Participants agree on
//! it by reading it from the segment, where it stands as JSON (see the module `json`), so what is read may come from
//! another version, or be damaged, and is checked like any input.
//!
//! S1. There are as many leaf specs as leaves in the structure, at most [`MAX_LEAVES`].
//! S2. The structure is one tree, at most [`MAX_DEPTH`] levels deep and of at most [`MAX_NODES`] nodes.
//! S3. The bytes of each leaf, and of all leaves together, fit in an `isize`.
//! S4. A leaf that is a scalar has no dimensions; one that is a Python scalar has the dtype of its kind.
//! S5. The JSON of equal schemas is equal, and so is their fingerprint, in every process and version.

mod builder;
mod diff;
mod error;
mod json;
mod key;
mod routes;
mod structure;

pub use builder::{Scalar, SchemaBuilder, Subtree};
pub use diff::{DifferenceRow, DifferenceTable, MAX_CELL_CHARS, MAX_SHOWN_ROWS, SchemaDifference};
pub use error::SchemaError;
pub use key::{ClassPath, Key, MAX_KEY_DEPTH};
pub(crate) use routes::Routes;
pub use structure::{MAX_DEPTH, MAX_LEAVES, MAX_NODES, MAX_PATH_CHARS, Node, Step, Structure, render_path};

use serde::{Deserialize, Serialize};

use crate::item::dtype::{self, DisplayShape, Dtype, MAX_NDIM};

/// What a leaf is given back as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeafKind {
    /// A NumPy array, of any shape.
    #[default]
    Array,
    /// A NumPy scalar, such as `np.float32(0.5)`.
    NumpyScalar,
    /// A Python `bool`.
    Bool,
    /// A Python `int` that fits in an `int64`.
    Int,
    /// A Python `float`.
    Float,
    /// A Python `complex`.
    Complex,
}

impl LeafKind {
    /// The dtype that every leaf of this kind has, for the kinds of Python scalars.
    #[must_use]
    pub fn scalar_dtype(self) -> Option<&'static str> {
        match self {
            LeafKind::Array | LeafKind::NumpyScalar => None,
            LeafKind::Bool => Some("bool"),
            LeafKind::Int => Some("int64"),
            LeafKind::Float => Some("float64"),
            LeafKind::Complex => Some("complex128"),
        }
    }

    fn is_array(&self) -> bool {
        *self == LeafKind::Array
    }
}

/// One leaf of every item: where it is in the tree, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafSpec {
    /// Where the leaf is, for people: `obs.left`, `[3]`, `obs['a b']`. [`Schema::new`] derives it from the structure.
    pub path: String,
    /// What its elements are.
    pub dtype: Dtype,
    /// Its lengths in elements, one a dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// What it is given back as.
    pub kind: LeafKind,
}

impl LeafSpec {
    /// A spec without a path as yet.
    #[must_use]
    pub fn new(dtype: Dtype, shape: Vec<usize>, kind: LeafKind) -> LeafSpec {
        LeafSpec { path: String::new(), dtype, shape, kind }
    }

    /// Bytes of the leaf in one item.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        // Only a spec that is not part of a schema can overflow here (S3).
        dtype::nbytes_of(&self.shape, self.dtype.itemsize()).unwrap_or(usize::MAX)
    }

    /// The address of the leaf is best a multiple of so many bytes.
    #[must_use]
    pub fn alignment(&self) -> usize {
        self.dtype.alignment()
    }

    fn check(&self) -> Result<(), SchemaError> {
        let bad = |reason| Err(SchemaError::BadLeaf { path: self.path.clone(), reason });
        if self.shape.len() > MAX_NDIM {
            return Err(SchemaError::TooManyDimensions { path: self.path.clone() });
        }
        if dtype::nbytes_of(&self.shape, self.dtype.itemsize()).is_none() {
            return bad("its bytes do not fit in memory");
        }
        if !self.kind.is_array() && !self.shape.is_empty() {
            return bad("a scalar has no dimensions");
        }
        match self.kind.scalar_dtype() {
            Some(name) if Dtype::from_name(name).as_ref() != Ok(&self.dtype) => {
                bad("not the dtype of its kind")
            }
            _ => Ok(()),
        }
    }
}

/// Writes what belongs at this leaf, as messages about misfits say it: `uint8 (84, 84)`.
impl std::fmt::Display for LeafSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            LeafKind::Array => write!(f, "{} {}", self.dtype, DisplayShape(&self.shape)),
            LeafKind::NumpyScalar => {
                let dtype = self.dtype.to_string();
                let article = if dtype.starts_with(['i', 'S']) { "an" } else { "a" };
                write!(f, "{article} {dtype} scalar")
            }
            LeafKind::Bool => f.write_str("a bool"),
            LeafKind::Int => f.write_str("an int"),
            LeafKind::Float => f.write_str("a float"),
            LeafKind::Complex => f.write_str("a complex"),
        }
    }
}

/// What every item of a queue looks like: the ordered leaf specs and the tree's structure.
///
/// ```
/// use treequeues::dtype::Dtype;
/// use treequeues::schema::{Key, LeafKind, LeafSpec, Node, Schema, Structure};
///
/// let frame = LeafSpec::new(Dtype::from_name("uint8")?, vec![84, 84], LeafKind::Array);
/// let reward = LeafSpec::new(Dtype::from_name("float64")?, vec![], LeafKind::Float);
/// let keys = vec![Key::Str("frame".into()), Key::Str("reward".into())];
/// let structure = Structure::new(vec![Node::Dict(keys), Node::Leaf, Node::Leaf])?;
///
/// let schema = Schema::new(structure, vec![frame, reward])?;
/// assert_eq!(schema.leaves()[1].path, "reward");
/// assert_eq!(schema.item_nbytes(), 84 * 84 + 8);
/// assert_eq!(Schema::from_json(&schema.to_json())?, schema);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    structure: Structure,
    leaves: Vec<LeafSpec>,
    item_nbytes: usize,
}

impl Schema {
    /// A schema of `leaves` in the order in which the structure names them; their paths are derived from it.
    ///
    /// # Errors
    ///
    /// [`SchemaError`], where the counts differ, a leaf is impossible, or the sizes overflow.
    pub fn new(structure: Structure, mut leaves: Vec<LeafSpec>) -> Result<Schema, SchemaError> {
        if structure.leaf_count() != leaves.len() {
            return Err(SchemaError::LeafCount { structure: structure.leaf_count(), leaves: leaves.len() });
        }
        for (leaf, path) in leaves.iter_mut().zip(structure.leaf_paths()) {
            leaf.path = path;
            leaf.check()?;
        }
        let item_nbytes = leaves.iter().try_fold(0_usize, |sum, leaf| sum.checked_add(leaf.nbytes()));
        let item_nbytes =
            item_nbytes.filter(|&sum| isize::try_from(sum).is_ok()).ok_or(SchemaError::TooLarge)?;
        Ok(Schema { structure, leaves, item_nbytes })
    }

    /// The leaf specs, in order.
    #[must_use]
    pub fn leaves(&self) -> &[LeafSpec] {
        &self.leaves
    }

    /// The tree without its leaves.
    #[must_use]
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// Bytes of all leaves of one item together.
    #[must_use]
    pub fn item_nbytes(&self) -> usize {
        self.item_nbytes
    }

    /// The schema as versioned JSON, one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::write(self)
    }

    /// Reads what [`Schema::to_json`] wrote, also in another process or version.
    ///
    /// # Errors
    ///
    /// [`SchemaError`]: whatever the text is, it never panics, and its memory is bounded by the text's length.
    pub fn from_json(json: &str) -> Result<Schema, SchemaError> {
        json::read(json)
    }

    /// A number that differs between schemas, save by rare chance: 64-bit FNV-1a of the bytes of [`Schema::to_json`].
    ///
    /// It tells schemas apart quickly and in messages; where they must be the same, compare the schemas.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        // The constants are those of <https://datatracker.ietf.org/doc/html/rfc9923>.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        self.to_json().bytes().fold(0xcbf2_9ce4_8422_2325, fold)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

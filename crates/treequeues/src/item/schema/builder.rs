//! Building schemas in Rust: dicts of named leaves, and of such dicts.
//!
//! B1. A subtree is one leaf, or a dict whose keys are `str` and lead to subtrees.

use super::{Key, LeafKind, LeafSpec, Node, Schema, SchemaError, Structure};
use crate::item::dtype::{Dtype, Element};

/// A Rust type that a leaf can consist of: an [`Element`], or `bool`.
///
/// Numbers and `bool` are leaves by themselves too, and Python gets them back as what it has for them: `f64` as a
/// `float`, `i64` as an `int`, `bool` as a `bool`, and any other as a NumPy scalar.
pub trait Scalar: sealed::Sealed + Copy + Send + Sync + 'static {
    /// What a leaf that is a single one of these is given back as.
    const KIND: LeafKind;

    /// The dtype of a leaf of these.
    #[must_use]
    fn leaf_dtype() -> Dtype;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! impl_scalar {
    ($($scalar:ty => $kind:ident),* $(,)?) => {
        $(
            impl sealed::Sealed for $scalar {}
            impl Scalar for $scalar {
                const KIND: LeafKind = LeafKind::$kind;

                fn leaf_dtype() -> Dtype {
                    <$scalar as Element>::dtype()
                }
            }
        )*
    };
}

impl_scalar! {
    u8 => NumpyScalar, u16 => NumpyScalar, u32 => NumpyScalar, u64 => NumpyScalar,
    i8 => NumpyScalar, i16 => NumpyScalar, i32 => NumpyScalar, i64 => Int,
    f32 => NumpyScalar, f64 => Float,
}

impl sealed::Sealed for bool {}
impl Scalar for bool {
    const KIND: LeafKind = LeafKind::Bool;

    fn leaf_dtype() -> Dtype {
        Dtype::from_name("bool").expect("a dtype of NumPy's")
    }
}

impl LeafSpec {
    /// The spec of an array of `T`.
    #[must_use]
    pub fn array_of<T: Scalar>(shape: impl AsRef<[usize]>) -> LeafSpec {
        LeafSpec::new(T::leaf_dtype(), shape.as_ref().to_vec(), LeafKind::Array)
    }

    /// The spec of a single `T`.
    #[must_use]
    pub fn scalar_of<T: Scalar>() -> LeafSpec {
        LeafSpec::new(T::leaf_dtype(), Vec::new(), T::KIND)
    }
}

/// Builds a schema whose tree is a dict, leaf by leaf: see [`Schema::builder`].
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct SchemaBuilder {
    keys: Vec<Key>,
    /// What the keys lead to, in preorder.
    nodes: Vec<Node>,
    leaves: Vec<LeafSpec>,
}

impl Schema {
    /// Begins a schema whose tree is a dict.
    ///
    /// ```
    /// use treequeues::{Dtype, LeafKind, LeafSpec, Schema};
    ///
    /// let schema = Schema::builder()
    ///     .array::<u8>("obs", [84, 84])
    ///     .nested("state", |state| state.array::<f64>("position", [3]).scalar::<f64>("mass"))
    ///     .scalar::<f64>("reward")
    ///     .scalar::<bool>("done")
    ///     .leaf("time", LeafSpec::new(Dtype::from_name("datetime64[ns]")?, vec![], LeafKind::NumpyScalar))
    ///     .build()?;
    ///
    /// let leaves: Vec<String> = schema.leaves().iter().map(|leaf| format!("{}: {leaf}", leaf.path)).collect();
    /// assert_eq!(
    ///     leaves,
    ///     [
    ///         "obs: uint8 (84, 84)",
    ///         "state.position: float64 (3,)",
    ///         "state.mass: a float",
    ///         "reward: a float",
    ///         "done: a bool",
    ///         "time: a datetime64[ns] scalar",
    ///     ]
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> SchemaBuilder {
        SchemaBuilder::default()
    }

    /// The schema of items that are one array, without a tree around it: what Python's `ArrayQueue` has.
    ///
    /// ```
    /// let schema = treequeues::Schema::array::<f32>([3])?;
    /// assert_eq!(schema.leaves()[0].to_string(), "float32 (3,)");
    /// # Ok::<(), treequeues::SchemaError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SchemaError`], where the array has too many dimensions or bytes.
    pub fn array<T: Scalar>(shape: impl AsRef<[usize]>) -> Result<Schema, SchemaError> {
        Subtree::leaf(LeafSpec::array_of::<T>(shape)).build()
    }
}

impl SchemaBuilder {
    /// Adds an array of `T` under a key. A shape without lengths is an array without dimensions.
    pub fn array<T: Scalar>(self, name: impl Into<String>, shape: impl AsRef<[usize]>) -> SchemaBuilder {
        self.leaf(name, LeafSpec::array_of::<T>(shape))
    }

    /// Adds a number or a `bool` under a key. [`Scalar`] says what Python gets.
    pub fn scalar<T: Scalar>(self, name: impl Into<String>) -> SchemaBuilder {
        self.leaf(name, LeafSpec::scalar_of::<T>())
    }

    /// Adds any leaf under a key: for dtypes that no Rust type stands for.
    pub fn leaf(self, name: impl Into<String>, leaf: LeafSpec) -> SchemaBuilder {
        self.subtree(name, Subtree::leaf(leaf))
    }

    /// Adds a dict under a key; `fill` adds what is in it.
    pub fn nested(
        self,
        name: impl Into<String>,
        fill: impl FnOnce(SchemaBuilder) -> SchemaBuilder,
    ) -> SchemaBuilder {
        self.subtree(name, fill(SchemaBuilder::default()).into_subtree())
    }

    /// Adds what was built elsewhere under a key.
    pub fn subtree(mut self, name: impl Into<String>, subtree: Subtree) -> SchemaBuilder {
        self.keys.push(Key::Str(name.into()));
        self.nodes.extend(subtree.nodes);
        self.leaves.extend(subtree.leaves);
        self
    }

    /// What was built so far, to be a part of something larger.
    pub fn into_subtree(self) -> Subtree {
        let nodes = std::iter::once(Node::Dict(self.keys)).chain(self.nodes).collect();
        Subtree { nodes, leaves: self.leaves }
    }

    /// The schema.
    ///
    /// # Errors
    ///
    /// [`SchemaError`]: a key that was added twice to one dict, an impossible leaf, or a tree beyond the limits.
    pub fn build(self) -> Result<Schema, SchemaError> {
        self.into_subtree().build()
    }
}

/// A schema in the making, or a part of one: a leaf, or a dict of subtrees.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a subtree does nothing until it is built, or added to something"]
pub struct Subtree {
    nodes: Vec<Node>,
    leaves: Vec<LeafSpec>,
}

impl Subtree {
    /// A tree that is a leaf.
    pub fn leaf(leaf: LeafSpec) -> Subtree {
        Subtree { nodes: vec![Node::Leaf], leaves: vec![leaf] }
    }

    /// The schema of this tree alone.
    ///
    /// # Errors
    ///
    /// As [`SchemaBuilder::build`].
    pub fn build(self) -> Result<Schema, SchemaError> {
        Schema::new(Structure::new(self.nodes)?, self.leaves)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::item::schema::MAX_DEPTH;

    #[test]
    fn a_built_schema_equals_the_one_of_its_nodes() {
        let built = Schema::builder()
            .nested("a", |a| a.nested("empty", |empty| empty).array::<bool>("x", [2]))
            .scalar::<i64>("b")
            .array::<i16>("c", [])
            .build();
        let key = |name: &str| Key::Str(name.to_owned());
        let nodes = vec![
            Node::Dict(vec![key("a"), key("b"), key("c")]),
            Node::Dict(vec![key("empty"), key("x")]),
            Node::Dict(vec![]),
            Node::Leaf,
            Node::Leaf,
            Node::Leaf,
        ];
        let dtype = |name| Dtype::from_name(name).unwrap();
        let leaves = vec![
            LeafSpec::new(dtype("bool"), vec![2], LeafKind::Array),
            LeafSpec::new(dtype("int64"), vec![], LeafKind::Int),
            LeafSpec::new(dtype("int16"), vec![], LeafKind::Array),
        ];
        assert_eq!(built, Schema::new(Structure::new(nodes).unwrap(), leaves));
    }

    #[test]
    fn scalars_are_what_python_has_for_them() {
        let schema = Schema::builder()
            .scalar::<f64>("f64")
            .scalar::<i64>("i64")
            .scalar::<bool>("bool")
            .scalar::<u64>("u64")
            .scalar::<i8>("i8")
            .scalar::<f32>("f32")
            .build()
            .unwrap();
        let texts: Vec<String> = schema.leaves().iter().map(LeafSpec::to_string).collect();
        let expected =
            ["a float", "an int", "a bool", "a uint64 scalar", "an int8 scalar", "a float32 scalar"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_key_that_comes_twice_is_refused_where_it_does() {
        let twice = Schema::builder().nested("state", |state| state.scalar::<u8>("x").scalar::<u8>("x"));
        assert_eq!(twice.build().unwrap_err().to_string(), "state: it names 'x' twice");
        let apart = Schema::builder().scalar::<u8>("x").nested("state", |state| state.scalar::<u8>("x"));
        assert!(apart.build().is_ok());
    }

    #[test]
    fn what_no_schema_can_be_is_refused() {
        let huge = Schema::builder().array::<u8>("x", [usize::MAX, 2]).build();
        assert!(matches!(huge, Err(SchemaError::BadLeaf { path, .. }) if path == "x"));
        fn nest(builder: SchemaBuilder, depth: usize) -> SchemaBuilder {
            if depth == 0 {
                builder.scalar::<u8>("x")
            } else {
                builder.nested("d", |inner| nest(inner, depth - 1))
            }
        }
        assert!(nest(Schema::builder(), MAX_DEPTH - 1).build().is_ok());
        assert_eq!(nest(Schema::builder(), MAX_DEPTH).build(), Err(SchemaError::TooDeep));
        assert_eq!(Schema::builder().build().unwrap().leaves(), []);
    }
}

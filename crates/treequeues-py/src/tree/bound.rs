//! A schema, bound to the Python of this process.

use std::ops::Deref;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use treequeues::schema::{LeafKind, Schema};

use super::classes::{self, Class};
use super::leaf::Leaf;
use super::ndarray;
use super::nodes::{self, Node};
use super::numpy_types::{NumpyTypes, numpy_types};
use super::recycle::{RECYCLED_FROM_NBYTES, Recycler};

/// A schema, bound to the Python classes, keys and dtypes of this process.
pub struct Tree {
    pub(super) schema: Schema,
    pub(super) nodes: Vec<Node>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) types: NumpyTypes,
    /// The first leaf that has as many dimensions as NumPy's arrays can have, so that it cannot be stacked.
    pub(super) unstackable: Option<usize>,
    /// For items with large arrays.
    pub(super) recycler: Option<Recycler>,
}

/// A tree that several objects refer to.
///
/// It is an object of Python's, because its classes and functions may lead back to a queue: the collector of cycles counts each of
/// these references at the one object that owns it.
pub struct SharedTree(Py<TreeObject>);

#[pyclass(frozen, module = "treequeues._core", name = "_Tree")]
struct TreeObject(Tree);

impl Tree {
    /// The tree of a schema that another process made. Classes are imported; what cannot be imported is a dict (for a
    /// dataclass or an attrs class) or a tuple (for a named tuple or a custom node).
    ///
    /// # Errors
    ///
    /// `ImportError` where a dtype needs a package that is missing.
    pub fn from_schema(py: Python<'_>, schema: Schema) -> PyResult<SharedTree> {
        let classes = schema.structure().nodes().iter().map(|node| classes::find(py, node));
        let classes = classes.collect::<PyResult<_>>()?;
        Tree::bind(py, schema, classes)
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Gives the idle memory of arrays that died back to the system, and keeps none from now on.
    pub fn retire(&self) {
        if let Some(recycler) = &self.recycler {
            recycler.retire();
        }
    }

    /// Whether the whole tree is one leaf.
    pub(super) fn is_one_leaf(&self) -> bool {
        matches!(self.nodes[..], [Node::Leaf])
    }

    /// Binds a schema to the class of each node that has one.
    pub(super) fn bind(py: Python<'_>, schema: Schema, classes: Vec<Option<Class>>) -> PyResult<SharedTree> {
        let nodes = nodes::bind(py, &schema, classes)?;
        let leaves: Vec<Leaf> =
            schema.leaves().iter().map(|spec| Leaf::of(py, spec)).collect::<PyResult<_>>()?;
        let is_large = |leaf: &Leaf| leaf.kind == LeafKind::Array && leaf.nbytes >= RECYCLED_FROM_NBYTES;
        let recycler =
            leaves.iter().any(is_large).then(|| Recycler::new(py, schema.item_nbytes())).transpose()?;
        let types = numpy_types(py)?.clone_ref(py);
        let max_ndim = ndarray::max_ndim(py)?;
        let unstackable = leaves.iter().position(|leaf| leaf.lengths.len() >= max_ndim);
        SharedTree::new(py, Tree { schema, nodes, leaves, types, unstackable, recycler })
    }
}

impl SharedTree {
    fn new(py: Python<'_>, tree: Tree) -> PyResult<SharedTree> {
        Ok(SharedTree(Py::new(py, TreeObject(tree))?))
    }

    /// Another reference to the same tree.
    pub fn clone_ref(&self, py: Python<'_>) -> SharedTree {
        SharedTree(self.0.clone_ref(py))
    }

    /// For the collector of cycles, from the object that has this reference.
    ///
    /// # Errors
    ///
    /// What the collector says.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Deref for SharedTree {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.0.get().0
    }
}

#[pymethods]
impl TreeObject {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.nodes.iter().try_for_each(|node| node.traverse(&visit))
    }
}

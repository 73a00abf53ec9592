//! Trees of Python objects: what an example says about them, and the way of their leaves into a slot and back.
//!
//! | file | what it does | unsafe |
//! |---|---|---|
//! | `build` | example -> schema, with the classes that were met | |
//! | `classes` | classes by module and name; registered nodes | |
//! | `nodes` | schema -> nodes bound to classes and key objects | |
//! | `objects` | what an object has beside its fields, which would be lost | |
//! | `foreign` | arrays of other libraries, and buffers, as NumPy's | |
//! | `flatten` | the walk over a tree that must fit | |
//! | `sources` | `put`: a tree's leaves, checked and held | |
//! | `destinations`, `rebuild` | `get`: arrays to fill, then the tree | |
//! | `stack` | both for stacked trees, an item a row | |
//! | `apart` | whether arrays that are to be filled share memory | |
//! | `rows` | what is copied to | |
//! | `views` | loans: arrays over the slots themselves | yes |
//! | `recycle` | the memory of arrays that died, for the next ones | yes |
//! | `encoding`, `number`, `converted`, `scalar`, `keys`, `dtype` | scalars, keys and dtypes between Python and the schema | |
//! | `misfit`, `mend` | messages: what does not fit, and what to pass instead | |
//! | `memory`, `strided` | copies between rows and arrays, contiguous or not | yes |
//! | `ndarray`, `raw` | what only the C interfaces of NumPy and of CPython give | yes |
//!
//! A copy has three parts, so that the middle one needs no GIL, and nothing has happened where the first one fails:
//! check and hold (`sources`, `allocate`, `destinations`), copy, and make or drop Python objects.

mod apart;
mod build;
mod classes;
mod converted;
mod destinations;
mod dtype;
mod encoding;
mod flatten;
mod foreign;
mod keys;
#[allow(unsafe_code)]
mod memory;
mod mend;
mod misfit;
#[allow(unsafe_code)]
mod ndarray;
mod nodes;
mod number;
mod objects;
#[allow(unsafe_code)]
mod raw;
mod rebuild;
#[allow(unsafe_code)]
mod recycle;
mod rows;
mod scalar;
mod sources;
mod stack;
#[allow(unsafe_code)]
mod strided;
#[allow(unsafe_code)]
mod views;

use std::ops::Deref;
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};
use treequeues::dtype::Dtype;
use treequeues::schema::{LeafKind, LeafSpec, Schema};

use classes::Class;
use encoding::Encoding;
use nodes::Node;
pub use raw::reference_count;
use recycle::{RECYCLED_FROM_NBYTES, Recycler};
pub use rows::{RowsMut, SlotOf};
pub use sources::Sources;
pub use stack::Stack;

/// A schema, bound to the Python classes, keys and dtypes of this process.
pub struct Tree {
    schema: Schema,
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
    types: NumpyTypes,
    /// The first leaf that has as many dimensions as NumPy's arrays can have, so that it cannot be stacked.
    unstackable: Option<usize>,
    /// For items with large arrays.
    recycler: Option<Recycler>,
}

/// A tree that several objects refer to.
///
/// It is an object of Python's, because its classes and functions may lead back to a queue: the collector of cycles counts each of
/// these references at the one object that owns it.
pub struct SharedTree(Py<TreeObject>);

#[pyclass(frozen, module = "treequeues._core", name = "_Tree")]
struct TreeObject(Tree);

/// A leaf as the walk wants it.
struct Leaf {
    kind: LeafKind,
    /// The dtype object of NumPy.
    dtype: Py<PyAny>,
    /// The lengths of its dimensions, in NumPy's type.
    lengths: Vec<isize>,
    nbytes: usize,
    itemsize: usize,
    encoding: Encoding,
    /// The class of the scalars of this dtype, for NumPy's own numbers of at most 16 bytes.
    number_type: Option<Py<PyType>>,
    /// For messages.
    dtype_name: String,
}

/// Classes and functions that the walks compare with and call.
struct NumpyTypes {
    array: Py<PyType>,
    masked_array: Py<PyAny>,
    ordered_dict: Py<PyType>,
    default_dict: Py<PyType>,
    tuple_new: Py<PyAny>,
    /// The classes of NumPy's usual numbers.
    numbers: Arc<[(Py<PyType>, Encoding)]>,
}

impl Tree {
    /// The tree that `example` shows: arrays, scalars, or anything with a shape and a dtype, in containers.
    ///
    /// # Errors
    ///
    /// `TypeError` where a leaf, a key or a container is not supported, with its path; `SchemaError` where the tree is
    /// too deep or too large.
    pub fn from_example(py: Python<'_>, example: &Bound<'_, PyAny>) -> PyResult<SharedTree> {
        let (schema, classes) = build::schema_of(example)?;
        SharedTree::new(py, Tree::bind(py, schema, classes)?)
    }

    /// The tree of a schema that another process made. Classes are imported; what cannot be imported is a dict (for a
    /// dataclass or an attrs class) or a tuple (for a named tuple or a custom node).
    ///
    /// # Errors
    ///
    /// `ImportError` where a dtype needs a package that is missing.
    pub fn from_schema(py: Python<'_>, schema: Schema) -> PyResult<SharedTree> {
        let classes = schema.structure().nodes().iter().map(|node| classes::find(py, node));
        let classes = classes.collect::<PyResult<_>>()?;
        SharedTree::new(py, Tree::bind(py, schema, classes)?)
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
    fn is_one_leaf(&self) -> bool {
        matches!(self.nodes[..], [Node::Leaf])
    }

    fn bind(py: Python<'_>, schema: Schema, classes: Vec<Option<Class>>) -> PyResult<Tree> {
        let nodes = nodes::bind(py, &schema, classes)?;
        let leaves: Vec<Leaf> =
            schema.leaves().iter().map(|spec| Leaf::of(py, spec)).collect::<PyResult<_>>()?;
        let is_large = |leaf: &Leaf| leaf.kind == LeafKind::Array && leaf.nbytes >= RECYCLED_FROM_NBYTES;
        let recycler =
            leaves.iter().any(is_large).then(|| Recycler::new(py, schema.item_nbytes())).transpose()?;
        let types = numpy_types(py)?.clone_ref(py);
        let max_ndim = ndarray::max_ndim(py)?;
        let unstackable = leaves.iter().position(|leaf| leaf.lengths.len() >= max_ndim);
        Ok(Tree { schema, nodes, leaves, types, unstackable, recycler })
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

impl Leaf {
    fn of(py: Python<'_>, spec: &LeafSpec) -> PyResult<Leaf> {
        let numpy_dtype = dtype::to_numpy(py, &spec.dtype)?;
        let itemsize = spec.dtype.itemsize();
        if numpy_dtype.getattr(intern!(py, "itemsize"))?.extract::<usize>()? != itemsize {
            let message =
                format!("{}: this NumPy has elements of another size for {}", spec.path, spec.dtype);
            return Err(PyRuntimeError::new_err(message));
        }
        let encoding = Encoding::of(&spec.dtype);
        let is_native = numpy_dtype.getattr(intern!(py, "isnative"))?.extract()?;
        let scalar_type = numpy_dtype.getattr(intern!(py, "type"))?.cast_into::<PyType>()?.unbind();
        // Of the scalars of other packages NumPy gives an address instead of the bytes.
        let is_numpys = matches!(&spec.dtype, Dtype::Number(number, _) if !number.is_extension());
        let has_bytes = is_numpys && is_native && itemsize <= 16;
        Ok(Leaf {
            kind: spec.kind,
            dtype: numpy_dtype.unbind(),
            lengths: spec.shape.iter().map(|&length| length as isize).collect(),
            nbytes: spec.nbytes(),
            itemsize,
            encoding,
            number_type: has_bytes.then_some(scalar_type),
            dtype_name: spec.dtype.to_string(),
        })
    }
}

impl NumpyTypes {
    fn import(py: Python<'_>) -> PyResult<NumpyTypes> {
        let collections = py.import("collections")?;
        Ok(NumpyTypes {
            array: ndarray::array_type(py),
            masked_array: py.import("numpy.ma")?.getattr("MaskedArray")?.unbind(),
            ordered_dict: collections.getattr("OrderedDict")?.extract()?,
            default_dict: collections.getattr("defaultdict")?.extract()?,
            tuple_new: py.get_type::<PyTuple>().getattr("__new__")?.unbind(),
            numbers: usual_numbers(py)?.into(),
        })
    }

    fn clone_ref(&self, py: Python<'_>) -> NumpyTypes {
        NumpyTypes {
            array: self.array.clone_ref(py),
            masked_array: self.masked_array.clone_ref(py),
            ordered_dict: self.ordered_dict.clone_ref(py),
            default_dict: self.default_dict.clone_ref(py),
            tuple_new: self.tuple_new.clone_ref(py),
            numbers: Arc::clone(&self.numbers),
        }
    }
}

/// The numbers that environments and models hand out, the likeliest ones first.
fn usual_numbers(py: Python<'_>) -> PyResult<Vec<(Py<PyType>, Encoding)>> {
    let names = [
        "float32",
        "float64",
        "int64",
        "int32",
        "bool",
        "uint8",
        "int8",
        "int16",
        "uint16",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
    ];
    let number = |name: &&str| {
        let spec = Dtype::from_name(name).expect("a dtype of NumPy's");
        let class = dtype::to_numpy(py, &spec)?.getattr(intern!(py, "type"))?.cast_into::<PyType>()?;
        Ok((class.unbind(), Encoding::of(&spec)))
    };
    names.iter().map(number).collect()
}

/// The classes, imported once.
fn numpy_types(py: Python<'_>) -> PyResult<&NumpyTypes> {
    static TYPES: PyOnceLock<NumpyTypes> = PyOnceLock::new();
    TYPES.get_or_try_init(py, || NumpyTypes::import(py))
}

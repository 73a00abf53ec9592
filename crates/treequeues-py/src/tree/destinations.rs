//! Destinations: where the leaves of an item go, and the tree that is made of them.

use pyo3::prelude::*;
use pyo3::types::PyString;
use treequeues::ReadLoan;
use treequeues::schema::{self, LeafKind};

use super::apart::Bounds;
use super::at::At;
use super::bound::Tree;
use super::flatten::{self, Place, Visit};
use super::leaf::Leaf;
use super::memory::{Memory, WritableMemory};
use super::ndarray::{self, View};
use super::nodes::Node;
use super::rebuild::rebuild;
use super::scalar;
use super::{apart, mend, misfit, sources};
use crate::errors::{schema_error, schema_type_error};
use crate::nouns;

/// The places for the leaves of one item: checked and allocated, not written yet.
pub struct Destinations {
    places: Vec<Destination>,
    out: Option<Out>,
    nbytes: usize,
}

enum Destination {
    Array(WritableMemory),
    /// The bytes of a scalar of at most 16 bytes.
    Scalar {
        bytes: [u8; 16],
        nbytes: usize,
    },
    /// The bytes of a longer scalar.
    LongScalar(Box<[u8]>),
}

/// The tree that the user gave to be filled.
struct Out {
    tree: Py<PyAny>,
    /// Leaves of it that are no arrays: they are replaced at the end.
    replaced: Vec<(usize, OutPlace)>,
}

/// A place in a container of the user's, held.
enum OutPlace {
    Key(Py<PyAny>, Py<PyAny>),
    Item(Py<PyAny>, usize),
    Field(Py<PyAny>, Py<PyString>),
}

impl Destinations {
    /// Bytes of all leaves together.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// Copies every leaf out of the slot. It needs no GIL.
    pub fn copy_from(&mut self, loan: &ReadLoan) {
        self.copy_from_rows(|leaf| loan.leaf_bytes(leaf));
    }

    /// Copies every leaf out of the row that `row` gives for it.
    #[inline]
    pub fn copy_from_rows<'r>(&mut self, row: impl Fn(usize) -> &'r [u8]) {
        for (leaf, place) in self.places.iter_mut().enumerate() {
            let row = row(leaf);
            match place {
                Destination::Array(memory) => memory.copy_from(row),
                Destination::Scalar { bytes, nbytes } => bytes[..*nbytes].copy_from_slice(row),
                Destination::LongScalar(bytes) => bytes.copy_from_slice(row),
            }
        }
    }

    /// The tree of the leaves: `out` if it was given, and new containers of the example's classes else.
    ///
    /// # Errors
    ///
    /// What a user's unflatten function raises, and `MemoryError`.
    #[inline]
    pub fn into_tree<'py>(mut self, tree: &Tree, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if tree.is_one_leaf() && self.out.is_none() {
            let place = self.places.pop().expect("one place a leaf");
            return place.into_object(&tree.leaves[0], py);
        }
        self.into_nodes(tree, py)
    }

    fn into_nodes<'py>(self, tree: &Tree, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(out) = self.out else {
            let leaves = self.places.into_iter().enumerate();
            return rebuild(tree, py, leaves.map(|(leaf, place)| place.into_object(&tree.leaves[leaf], py)));
        };
        let mut places: Vec<Option<Destination>> = self.places.into_iter().map(Some).collect();
        for (leaf, place) in out.replaced {
            if let Some(destination) = places[leaf].take() {
                place.set(&destination.into_object(&tree.leaves[leaf], py)?)?;
            }
        }
        Ok(out.tree.into_bound(py))
    }
}

impl Destination {
    fn scalar(leaf: &Leaf) -> Destination {
        match leaf.nbytes {
            nbytes @ 0..=16 => Destination::Scalar { bytes: [0; 16], nbytes },
            nbytes => Destination::LongScalar(vec![0; nbytes].into()),
        }
    }

    #[inline]
    fn into_object<'py>(self, leaf: &Leaf, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Destination::Array(memory) => Ok(memory.into_array().into_bound(py)),
            Destination::Scalar { bytes, nbytes } if leaf.kind == LeafKind::NumpyScalar => {
                ndarray::new_scalar(py, &leaf.dtype, &bytes[..nbytes])
            }
            Destination::Scalar { bytes, .. } => scalar::unpack(py, leaf.encoding, &bytes),
            Destination::LongScalar(bytes) => ndarray::new_scalar(py, &leaf.dtype, &bytes),
        }
    }
}

impl OutPlace {
    fn set(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        match self {
            OutPlace::Key(dict, key) => dict.bind(py).set_item(key, value),
            OutPlace::Item(list, index) => list.bind(py).set_item(*index, value),
            OutPlace::Field(object, name) => object.bind(py).setattr(name, value),
        }
    }
}

impl Tree {
    /// New arrays for the leaves of an item, owned and writable.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    #[inline]
    pub fn allocate(&self, py: Python<'_>) -> PyResult<Destinations> {
        let allocate_all = || {
            let mut places = Vec::with_capacity(self.leaves.len());
            self.leaves.iter().try_for_each(|leaf| self.allocate_leaf(py, leaf, &mut places))?;
            Ok(places)
        };
        let places = match &self.recycler {
            Some(recycler) => recycler.allocating(py, allocate_all)?,
            None => allocate_all()?,
        };
        Ok(Destinations { places, out: None, nbytes: self.schema.item_nbytes() })
    }

    #[inline]
    fn allocate_leaf(&self, py: Python<'_>, leaf: &Leaf, places: &mut Vec<Destination>) -> PyResult<()> {
        if leaf.kind != LeafKind::Array {
            places.push(Destination::scalar(leaf));
            return Ok(());
        }
        let array = ndarray::new_array(py, &self.types.array, &leaf.dtype, &leaf.lengths)?;
        let view = View::of_exact(&array, &self.types.array);
        let memory = view.and_then(|view| WritableMemory::of(&array, view, leaf));
        let memory = memory.expect("a new array has the dtype and shape that it was made with");
        places.push(Destination::Array(memory));
        Ok(())
    }

    /// The leaves of a tree of the user's, to be written in place: `get(out=tree)` gives back `tree` itself.
    ///
    /// Its arrays must have the exact dtype and shape, and be writable; they may be non-contiguous. A leaf that is a
    /// Python or NumPy scalar cannot be written in place: in a dict, in a list or in a field that may be set it is
    /// replaced there; in a tuple, in a frozen class or in a custom node, and as the whole tree, the user has to give
    /// an array without dimensions, of its dtype, which is written.
    ///
    /// # Errors
    ///
    /// `SchemaError` with the path of the misfit, before anything was written.
    pub fn destinations(&self, py: Python<'_>, out: &Bound<'_, PyAny>) -> PyResult<Destinations> {
        let places = Vec::with_capacity(self.leaves.len());
        let mut collector =
            Collector { places, replaced: Vec::new(), entered: Vec::new(), changed: Vec::new() };
        flatten::walk(self, out, &mut collector)?;
        collector.check_no_container_comes_twice(self)?;
        self.check_apart(py, &collector.places)?;
        let out = Out { tree: out.clone().unbind(), replaced: collector.replaced };
        Ok(Destinations { places: collector.places, out: Some(out), nbytes: self.schema.item_nbytes() })
    }
}

impl Tree {
    /// Checks that no leaf's array overwrites another's.
    fn check_apart(&self, py: Python<'_>, places: &[Destination]) -> PyResult<()> {
        let array_of = |leaf: usize| match &places[leaf] {
            Destination::Array(memory) => Some(memory),
            Destination::Scalar { .. } | Destination::LongScalar(_) => None,
        };
        let mut bounds = Vec::with_capacity(places.len());
        for leaf in 0..places.len() {
            let Some(memory) = array_of(leaf) else { continue };
            if !memory.is_contiguous() {
                apart::check_itself(self, &memory.span(py, leaf))?;
            }
            let (start, end) = memory.bounds();
            bounds.push(Bounds { leaf, start, end });
        }
        apart::check(self, py, bounds, |leaf| array_of(leaf).expect("it has bounds").span(py, leaf))
    }
}

struct Collector {
    places: Vec<Destination>,
    replaced: Vec<(usize, OutPlace)>,
    /// The containers on the way: the address of each, and its node.
    entered: Vec<(usize, usize)>,
    /// Those of them whose children are replaced, and which are held therefore.
    changed: Vec<(usize, usize)>,
}

impl Collector {
    /// One of the containers that were entered has a child that is replaced.
    fn changes(&mut self, container: &Bound<'_, PyAny>) {
        let address = container.as_ptr().addr();
        // Mostly the last one.
        let entered = self.entered.iter().rev().find(|entered| entered.0 == address).copied();
        if let Some(entered) = entered.filter(|entered| self.changed.last() != Some(entered)) {
            self.changed.push(entered);
        }
    }

    /// A container that stands in two places of `out` would have the scalars of only one.
    fn check_no_container_comes_twice(&mut self, tree: &Tree) -> PyResult<()> {
        self.changed.sort_unstable();
        self.changed.dedup();
        let twice = self.changed.windows(2).find(|pair| pair[0].0 == pair[1].0);
        let Some(&[(_, first), (_, second)]) = twice else { return Ok(()) };
        let structure = tree.schema.structure();
        Err(schema_error(format!(
            "{}: expected a container of its own, got the one that {} is, so that one would overwrite the other",
            structure.path_of(second),
            structure.path_of(first)
        )))
    }
}

impl<'py> Visit<'py> for Collector {
    fn container(&mut self, node: usize, value: &Bound<'py, PyAny>) {
        self.entered.push((value.as_ptr().addr(), node));
    }

    fn leaf(&mut self, at: At<'_>, value: &Bound<'py, PyAny>, place: Place<'_, 'py>) -> PyResult<()> {
        let leaf = &at.tree.leaves[at.leaf];
        if let Some(view) = View::of(value) {
            self.places.push(array_destination(at, leaf, view, value)?);
            return Ok(());
        }
        if leaf.kind == LeafKind::Array {
            let spec = at.spec();
            let mend = mend::of_out(value, &spec.dtype, &spec.shape);
            let got = format!("{}, and only a NumPy array can be filled{mend}", misfit::describe(value));
            return Err(at.type_misfit_saying(value.py(), &got));
        }
        // What stands there must fit too, so that a wrong tree is found out before it is written.
        sources::check(at, leaf, value)?;
        let place = match place {
            Place::Key(dict, key) => {
                self.changes(dict);
                OutPlace::Key(dict.clone().into_any().unbind(), key.clone_ref(value.py()))
            }
            Place::Item(list, index) => {
                self.changes(list);
                OutPlace::Item(list.clone().into_any().unbind(), index)
            }
            Place::Field(object, name) => {
                self.changes(object);
                OutPlace::Field(object.clone().unbind(), name.clone_ref(value.py()))
            }
            Place::Fixed => return Err(cannot_replace(at, leaf, value)),
        };
        self.places.push(Destination::scalar(leaf));
        self.replaced.push((at.leaf, place));
        Ok(())
    }
}

fn array_destination(
    at: At<'_>,
    leaf: &Leaf,
    view: View<'_>,
    value: &Bound<'_, PyAny>,
) -> PyResult<Destination> {
    if let Some(reason) = misfit::lost_by_subclass(value)? {
        return Err(at.type_misfit_saying(value.py(), &reason));
    }
    if view.is_writable() {
        return WritableMemory::of(value, view, leaf)
            .map(Destination::Array)
            .ok_or_else(|| at.out_misfit(value));
    }
    // Whether it fits counts first.
    Err(match Memory::of(value, view, leaf) {
        Some(_) => at.tree.misfit(at.node, "a writable array", "a read-only one"),
        None => at.out_misfit(value),
    })
}

impl At<'_> {
    /// An array that cannot be filled: a converted one would be another array than the user has.
    #[cold]
    fn out_misfit(&self, value: &Bound<'_, PyAny>) -> PyErr {
        let leaf = self.spec();
        let got = misfit::describe(value) + &mend::of_out(value, &leaf.dtype, &leaf.shape);
        self.tree.misfit(self.node, &self.expected(), &got)
    }
}

#[cold]
fn cannot_replace(at: At<'_>, leaf: &Leaf, value: &Bound<'_, PyAny>) -> PyErr {
    let (path, name) = (at.path(), nouns::describe_type(value));
    let mend = format!("use np.zeros((), {:?}) there, which can be filled", leaf.dtype_name);
    let message = format!("{path}: {name} cannot be replaced where it is, {}; {mend}", place_of(at));
    schema_type_error(value.py(), message)
}

/// Where a leaf is that cannot be replaced.
fn place_of(at: At<'_>) -> String {
    let parent = parent_of(at.tree.schema.structure().nodes(), at.node);
    match parent.map(|parent| &at.tree.nodes[parent]) {
        Some(Node::NamedTuple(named)) => format!("in {}, which is a tuple", nouns::class_noun(&named.class)),
        Some(Node::Object(object)) => {
            format!("in {}, whose fields cannot be set", nouns::class_noun(&object.class))
        }
        Some(Node::Custom(custom)) => {
            format!("in {}, which an unflatten function makes", nouns::class_noun(&custom.class))
        }
        Some(_) => "in a tuple".to_owned(),
        None => "as the whole of out".to_owned(),
    }
}

/// The container of a node, both by their index in preorder.
fn parent_of(nodes: &[schema::Node], node: usize) -> Option<usize> {
    // The containers around the next node, and how many children of each are still to come.
    let mut open: Vec<(usize, usize)> = Vec::new();
    for (index, next) in nodes.iter().enumerate().take(node) {
        if let Some((_, to_come)) = open.last_mut() {
            *to_come -= 1;
        }
        open.push((index, next.child_count()));
        while open.last().is_some_and(|(_, to_come)| *to_come == 0) {
            open.pop();
        }
    }
    open.last().map(|(parent, _)| *parent)
}

//! From leaves to a tree: new containers of the example's kinds, classes and order.
//!
//! Objects of dataclasses and of attrs are made as copying and pickling make them: `cls.__new__`, then each field is
//! set. `__init__` and `__post_init__` do not run, because what they did to the values is done already, and doing it
//! twice (scaling, say) would change them; frozen classes, slots and fields with `init=False` need nothing special.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::bound::Tree;
use super::nodes::{CustomNode, DictKind, DictNode, Node, ObjectNode};
use super::{objects, raw};

/// The tree of these leaves, which come in order.
pub(super) fn rebuild<'py, L>(tree: &Tree, py: Python<'py>, leaves: L) -> PyResult<Bound<'py, PyAny>>
where
    L: Iterator<Item = PyResult<Bound<'py, PyAny>>>,
{
    Rebuild { tree, py, node: 0, leaves }.next()
}

struct Rebuild<'t, 'py, L> {
    tree: &'t Tree,
    py: Python<'py>,
    /// The node that comes next.
    node: usize,
    leaves: L,
}

impl<'py, L> Rebuild<'_, 'py, L>
where
    L: Iterator<Item = PyResult<Bound<'py, PyAny>>>,
{
    #[inline]
    fn next(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let tree = self.tree;
        let node = &tree.nodes[self.node];
        self.node += 1;
        match node {
            Node::Leaf => self.leaves.next().expect("as many leaves as the structure has"),
            node => self.container(node),
        }
    }

    /// The recursion ends, because the structure is at most `MAX_DEPTH` levels deep.
    #[inline(never)]
    fn container(&mut self, node: &Node) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        match node {
            Node::Dict(dict) => self.dict(dict),
            Node::List(count) => {
                let items = self.children(*count)?;
                Ok(PyList::new(py, items)?.into_any())
            }
            Node::Tuple(count) => Ok(self.tuple(*count)?.into_any()),
            Node::NamedTuple(node) => {
                let tuple = self.tuple(node.count)?;
                self.tree.types.tuple_new.bind(py).call1((&node.class, tuple))
            }
            Node::Object(object) => self.object(object),
            Node::Custom(custom) => self.custom(custom),
            Node::None | Node::Leaf => Ok(py.None().into_bound(py)),
        }
    }

    fn children(&mut self, count: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        (0..count).map(|_| self.next()).collect()
    }

    fn tuple(&mut self, count: usize) -> PyResult<Bound<'py, PyTuple>> {
        let items = self.children(count)?;
        PyTuple::new(self.py, items)
    }

    fn dict(&mut self, node: &DictNode) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let types = &self.tree.types;
        let dict = match &node.kind {
            DictKind::Dict => {
                let dict = PyDict::new(py);
                for key in &node.keys {
                    dict.set_item(key, self.next()?)?;
                }
                return Ok(dict.into_any());
            }
            DictKind::OrderedDict => types.ordered_dict.bind(py).call0()?,
            DictKind::DefaultDict(factory) => types.default_dict.bind(py).call1((factory,))?,
        };
        // By the method of the class: an OrderedDict keeps an order of its own.
        for key in &node.keys {
            dict.set_item(key, self.next()?)?;
        }
        Ok(dict)
    }

    fn object(&mut self, node: &ObjectNode) -> PyResult<Bound<'py, PyAny>> {
        let object = objects::new_of(node.class.bind(self.py))?;
        for field in &node.fields {
            let value = self.next()?;
            raw::set_plainly(&object, field, &value)?;
        }
        Ok(object)
    }

    fn custom(&mut self, node: &CustomNode) -> PyResult<Bound<'py, PyAny>> {
        let children = self.tuple(node.count)?;
        node.unflatten.bind(self.py).call1((&node.aux, children))
    }
}

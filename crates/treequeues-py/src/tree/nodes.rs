//! A schema's nodes, bound to the classes and keys of this process.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};
use treequeues::schema::{ClassPath, Key, Node as SchemaNode, Schema};

use super::classes::{self, Class, Custom};
use super::{keys, objects};
use crate::errors::schema_error;

/// A node of a tree, in preorder as in the schema.
pub(super) enum Node {
    Leaf,
    None,
    Dict(DictNode),
    List(usize),
    Tuple(usize),
    NamedTuple(NamedTupleNode),
    Object(ObjectNode),
    Custom(CustomNode),
}

/// A dict of any kind.
pub(super) struct DictNode {
    pub kind: DictKind,
    pub keys: Vec<Py<PyAny>>,
}

/// Which dict is given back; any kind is taken.
pub(super) enum DictKind {
    Dict,
    OrderedDict,
    /// With what makes the defaults, or None.
    DefaultDict(Py<PyAny>),
}

/// A named tuple.
pub(super) struct NamedTupleNode {
    pub class: Py<PyType>,
    pub count: usize,
    /// Whether its objects may have attributes beside their items.
    pub has_dict: bool,
}

/// A dataclass or a class made by attrs.
pub(super) struct ObjectNode {
    pub class: Py<PyType>,
    /// The names of its fields.
    pub fields: Vec<Py<PyString>>,
    /// Whether its fields may be set: it is not frozen, nor looks at what is set.
    pub is_settable: bool,
    /// Whether its objects may have attributes beside their fields, in their `__dict__`.
    pub has_dict: bool,
    /// Whether they may have such in slots.
    pub has_other_slots: bool,
}

impl Node {
    /// For the collector of cycles: the classes and functions, which may lead anywhere. Keys lead nowhere.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Node::Dict(DictNode { kind: DictKind::DefaultDict(factory), .. }) => visit.call(factory),
            Node::NamedTuple(tuple) => visit.call(&tuple.class),
            Node::Object(object) => visit.call(&object.class),
            Node::Custom(custom) => {
                visit.call(&custom.class)?;
                visit.call(&custom.flatten)?;
                visit.call(&custom.unflatten)
            }
            Node::Leaf | Node::None | Node::Dict(_) | Node::List(_) | Node::Tuple(_) => Ok(()),
        }
    }
}

impl ObjectNode {
    /// Whether this class, another one, has the same fields.
    pub fn has_fields_of(&self, class: &Bound<'_, PyType>) -> PyResult<bool> {
        let Some((_, fields)) = classes::fields_of(class)? else { return Ok(false) };
        Ok(fields.len() == self.fields.len() && objects::other_container(class)?.is_none())
    }
}

/// An object of a registered class.
pub(super) struct CustomNode {
    pub class: Py<PyType>,
    pub flatten: Py<PyAny>,
    pub unflatten: Py<PyAny>,
    pub aux: Py<PyAny>,
    pub count: usize,
}

/// Binds the nodes of a schema to classes, one entry a node. Where a class is missing, the node is the dict or the
/// tuple of its children.
pub(super) fn bind(py: Python<'_>, schema: &Schema, classes: Vec<Option<Class>>) -> PyResult<Vec<Node>> {
    let nodes = schema.structure().nodes().iter().zip(classes);
    nodes.map(|(node, class)| bind_node(py, node, class)).collect()
}

fn bind_node(py: Python<'_>, node: &SchemaNode, class: Option<Class>) -> PyResult<Node> {
    Ok(match (node, class) {
        (SchemaNode::Leaf, _) => Node::Leaf,
        (SchemaNode::None, _) => Node::None,
        (SchemaNode::Dict(keys), _) => dict_node(py, DictKind::Dict, keys)?,
        (SchemaNode::OrderedDict(keys), _) => dict_node(py, DictKind::OrderedDict, keys)?,
        (SchemaNode::DefaultDict { factory, keys }, _) => {
            dict_node(py, DictKind::DefaultDict(find_factory(py, factory.as_ref())?), keys)?
        }
        (SchemaNode::List(count), _) => Node::List(*count),
        (SchemaNode::Tuple(count), _) => Node::Tuple(*count),
        (SchemaNode::NamedTuple { fields, .. }, Some(Class { class, .. })) => {
            let has_dict = objects::has_dict(class.bind(py))?;
            Node::NamedTuple(NamedTupleNode { class, count: fields.len(), has_dict })
        }
        (SchemaNode::NamedTuple { fields, .. }, None) => Node::Tuple(fields.len()),
        (SchemaNode::Dataclass { fields, .. } | SchemaNode::Attrs { fields, .. }, class) => {
            let names = fields.iter().map(|name| PyString::intern(py, name).unbind());
            match class {
                Some(Class { class, .. }) => {
                    let is_settable = has_plain_setattr(class.bind(py))?;
                    let has_dict = objects::has_dict(class.bind(py))?;
                    let has_other_slots = objects::has_slots_beside(class.bind(py), fields)?;
                    let fields = names.collect();
                    Node::Object(ObjectNode { class, fields, is_settable, has_dict, has_other_slots })
                }
                None => {
                    Node::Dict(DictNode { kind: DictKind::Dict, keys: names.map(Py::into_any).collect() })
                }
            }
        }
        (SchemaNode::Custom { aux, children, .. }, Some(Class { class, custom: Some(custom) })) => {
            let Custom { flatten, unflatten } = custom;
            let aux = keys::to_python(py, aux)?.unbind();
            Node::Custom(CustomNode { class, flatten, unflatten, aux, count: *children })
        }
        (SchemaNode::Custom { children, .. }, _) => Node::Tuple(*children),
    })
}

fn dict_node(py: Python<'_>, kind: DictKind, keys: &[Key]) -> PyResult<Node> {
    let keys = keys.iter().map(|key| Ok(keys::to_python(py, key)?.unbind())).collect::<PyResult<Vec<_>>>()?;
    // The schema tells 1 from True, a dict does not; only a damaged schema has both.
    let distinct = PyDict::new(py);
    keys.iter().try_for_each(|key| distinct.set_item(key, key))?;
    if distinct.len() != keys.len() {
        return Err(schema_error("a dict of the schema has keys that are equal in Python"));
    }
    Ok(Node::Dict(DictNode { kind, keys }))
}

fn find_factory(py: Python<'_>, path: Option<&ClassPath>) -> PyResult<Py<PyAny>> {
    let found = path.map(|path| classes::import(py, path)).transpose()?.flatten();
    Ok(found.map_or_else(|| py.None(), |class| class.into_any().unbind()))
}

/// Whether setting a field does nothing but set it: frozen classes, and those that validate, have a method for it.
fn has_plain_setattr(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let name = intern!(class.py(), "__setattr__");
    let plain = class.py().get_type::<PyAny>().getattr(name)?;
    Ok(class.getattr(name)?.is(&plain))
}

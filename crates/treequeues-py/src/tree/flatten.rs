//! The walk over a Python tree that must look like the schema: it visits each leaf in order, and raises at the first
//! misfit with its path.
//!
//! The walk costs every `put`, so it does nothing for the sake of messages before a misfit is found. Objects on the
//! way are held by references of their own, because a user's flatten function may change the containers meanwhile.

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};

use super::at::At;
use super::bound::Tree;
use super::nodes::{CustomNode, Node, ObjectNode};
use super::{keys, mend, misfit, objects, raw};
use crate::nouns;

/// Where in its parent a value stands, for who wants to replace it.
#[derive(Clone, Copy)]
pub(super) enum Place<'a, 'py> {
    /// It is the root, or its parent cannot be changed.
    Fixed,
    /// In a dict, under this key.
    Key(&'a Bound<'py, PyDict>, &'a Py<PyAny>),
    /// In a list, at this index.
    Item(&'a Bound<'py, PyList>, usize),
    /// In an object, as this field.
    Field(&'a Bound<'py, PyAny>, &'a Py<PyString>),
}

/// What is done at each leaf.
pub(super) trait Visit<'py> {
    /// The leaf with this index, of the node with that index, has this value.
    fn leaf(&mut self, at: At<'_>, value: &Bound<'py, PyAny>, place: Place<'_, 'py>) -> PyResult<()>;

    /// The children that come next are in this container, of the node with that index, where they can be replaced.
    #[inline]
    fn container(&mut self, _node: usize, _value: &Bound<'py, PyAny>) {}
}

/// Walks over `root` and visits its leaves.
pub(super) fn walk<'py, V: Visit<'py>>(
    tree: &Tree,
    root: &Bound<'py, PyAny>,
    visitor: &mut V,
) -> PyResult<()> {
    Walk { tree, node: 0, leaf: 0 }.visit(root, Place::Fixed, visitor)
}

struct Walk<'t> {
    tree: &'t Tree,
    /// The node that comes next, and the leaf that comes next.
    node: usize,
    leaf: usize,
}

impl<'t> Walk<'t> {
    #[inline]
    fn visit<'py, V: Visit<'py>>(
        &mut self,
        value: &Bound<'py, PyAny>,
        place: Place<'_, 'py>,
        visitor: &mut V,
    ) -> PyResult<()> {
        let node = self.node;
        self.node += 1;
        match &self.tree.nodes[node] {
            Node::Leaf => {
                let leaf = self.leaf;
                self.leaf += 1;
                visitor.leaf(At { tree: self.tree, leaf, node }, value, place)
            }
            _ => self.visit_container(node, value, visitor),
        }
    }

    /// The recursion ends, because the structure is at most `MAX_DEPTH` levels deep, whatever the value is.
    #[inline(never)]
    fn visit_container<'py, V: Visit<'py>>(
        &mut self,
        node: usize,
        value: &Bound<'py, PyAny>,
        visitor: &mut V,
    ) -> PyResult<()> {
        match &self.tree.nodes[node] {
            Node::Dict(dict) => self.visit_dict(node, &dict.keys, value, visitor),
            Node::List(count) => self.visit_list(node, *count, value, visitor),
            Node::Tuple(count) => match value.cast_exact::<PyTuple>() {
                Ok(tuple) => self.visit_tuple(node, *count, tuple, visitor),
                Err(_) => Err(self.type_misfit(node, "a tuple", value)),
            },
            Node::NamedTuple(named) => match value.cast::<PyTuple>() {
                Ok(tuple) if value.get_type().is(&named.class) => {
                    if named.has_dict && objects::attribute_count(value)? > 0 {
                        self.check_nothing_is_lost(node, &named.class, &[], value)?;
                    }
                    self.visit_tuple(node, named.count, tuple, visitor)
                }
                _ => Err(self.class_misfit(node, &named.class, value)),
            },
            Node::Object(object) => self.visit_object(node, object, value, visitor),
            Node::Custom(custom) => self.visit_custom(node, custom, value, visitor),
            Node::None if value.is_none() => Ok(()),
            Node::None | Node::Leaf => Err(self.type_misfit(node, "None", value)),
        }
    }

    fn visit_dict<'py, V: Visit<'py>>(
        &mut self,
        node: usize,
        keys: &[Py<PyAny>],
        value: &Bound<'py, PyAny>,
        visitor: &mut V,
    ) -> PyResult<()> {
        let Ok(dict) = value.cast::<PyDict>() else { return Err(self.type_misfit(node, "a dict", value)) };
        if dict.len() != keys.len() {
            return Err(self.tree.key_misfit(node, keys, dict));
        }
        visitor.container(node, value);
        let mut position = 0;
        for key in keys {
            // Most dicts have the example's order and its very key objects; else the key is looked up.
            let child = match raw::next_if_key(dict, &mut position, key) {
                Some(child) => child,
                None => match dict.get_item(key)? {
                    Some(child) => child,
                    None => find_nan(dict, key)?.ok_or_else(|| self.tree.key_misfit(node, keys, dict))?,
                },
            };
            self.visit(&child, Place::Key(dict, key), visitor)?;
        }
        Ok(())
    }

    fn visit_list<'py, V: Visit<'py>>(
        &mut self,
        node: usize,
        count: usize,
        value: &Bound<'py, PyAny>,
        visitor: &mut V,
    ) -> PyResult<()> {
        let Ok(list) = value.cast_exact::<PyList>() else {
            return Err(self.type_misfit(node, "a list", value));
        };
        if list.len() != count {
            return Err(self.length_misfit(node, "list", count, list.len()));
        }
        visitor.container(node, value);
        (0..count).try_for_each(|i| self.visit(&list.get_item(i)?, Place::Item(list, i), visitor))
    }

    fn visit_tuple<'py, V: Visit<'py>>(
        &mut self,
        node: usize,
        count: usize,
        tuple: &Bound<'py, PyTuple>,
        visitor: &mut V,
    ) -> PyResult<()> {
        if tuple.len() != count {
            return Err(self.length_misfit(node, "tuple", count, tuple.len()));
        }
        (0..count).try_for_each(|i| self.visit(&tuple.get_item(i)?, Place::Fixed, visitor))
    }

    fn visit_object<'py, V: Visit<'py>>(
        &mut self,
        node: usize,
        object: &ObjectNode,
        value: &Bound<'py, PyAny>,
        visitor: &mut V,
    ) -> PyResult<()> {
        let class = object.class.bind(value.py());
        // An object of a subclass with more fields would lose them.
        let fits = value.get_type().is(class)
            || value.is_instance(class)? && object.has_fields_of(&value.get_type())?;
        if !fits {
            return Err(self.class_misfit(node, &object.class, value));
        }
        // A subclass may have a `__dict__` or slots that the class has not.
        let may_have_more = object.has_other_slots || !value.get_type().is(class);
        if may_have_more || object.has_dict && objects::attribute_count(value)? > object.fields.len() {
            self.check_nothing_is_lost(node, &object.class, &object.fields, value)?;
        }
        visitor.container(node, value);
        for field in &object.fields {
            let child = value.getattr(field).map_err(|error| self.field_misfit(node, field, value, error))?;
            let place = if object.is_settable { Place::Field(value, field) } else { Place::Fixed };
            self.visit(&child, place, visitor)?;
        }
        Ok(())
    }

    fn visit_custom<'py, V: Visit<'py>>(
        &mut self,
        node: usize,
        custom: &CustomNode,
        value: &Bound<'py, PyAny>,
        visitor: &mut V,
    ) -> PyResult<()> {
        let py = value.py();
        if !value.get_type().is(&custom.class) {
            return Err(self.class_misfit(node, &custom.class, value));
        }
        let (children, aux) = call_flatten(custom.flatten.bind(py), value)?;
        // By value first; the second look is for NaN, which equals nothing.
        if !aux.eq(&custom.aux)? && keys::from_python(&aux)? != keys::from_python(custom.aux.bind(py))? {
            let expected = format!("the aux data {}", custom.aux.bind(py).repr()?);
            return Err(self.tree.misfit(node, &expected, &aux.repr()?.to_string_lossy()));
        }
        let class = custom.class.bind(py).name()?;
        if children.len() != custom.count {
            return Err(self.length_misfit(node, &class.to_string_lossy(), custom.count, children.len()));
        }
        children.iter().try_for_each(|child| self.visit(&child, Place::Fixed, visitor))
    }

    /// Refuses an object that has more attributes than would come back.
    #[cold]
    fn check_nothing_is_lost(
        &self,
        node: usize,
        class: &Py<PyType>,
        fields: &[Py<PyString>],
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let class = class.bind(value.py());
        let Some(lost) = objects::lost(class, fields, value)? else { return Ok(()) };
        let expected = nouns::with_article(&class.qualname()?.to_string_lossy());
        let is_plain = value.get_type().is(class);
        let got = if is_plain { "one".to_owned() } else { nouns::describe_type(value) };
        let kept = "; a class that has more is carried whole if treequeues.register_node made it a node";
        Err(self.tree.misfit(node, &expected, &format!("{got} that {lost}{kept}")))
    }

    #[cold]
    fn type_misfit(&self, node: usize, expected: &str, value: &Bound<'_, PyAny>) -> PyErr {
        let got = misfit::describe(value) + &mend::of_container(expected, value);
        self.tree.type_misfit(value.py(), node, expected, &got)
    }

    #[cold]
    fn class_misfit(&self, node: usize, class: &Py<PyType>, value: &Bound<'_, PyAny>) -> PyErr {
        let name = |class: &Bound<'_, PyType>, full: bool| {
            let name = if full { class.fully_qualified_name() } else { class.qualname() };
            name.map_or_else(|_| "object".to_owned(), |name| name.to_string())
        };
        let (expected, got) = (class.bind(value.py()), value.get_type());
        // Two classes of one name, such as before and after a reload, are told apart by their modules.
        let full = name(expected, false) == name(&got, false);
        let expected = nouns::with_article(&name(expected, full));
        let got = if full { nouns::with_article(&name(&got, true)) } else { misfit::describe(value) };
        let is_named_tuple = matches!(self.tree.nodes[node], Node::NamedTuple(..));
        let mend = mend::of_object(&name(class.bind(value.py()), false), is_named_tuple, value);
        self.tree.type_misfit(value.py(), node, &expected, &(got + &mend))
    }

    #[cold]
    fn length_misfit(&self, node: usize, what: &str, expected: usize, got: usize) -> PyErr {
        self.tree.misfit(
            node,
            &format!("a {what} of length {expected}"),
            &format!("one of length {got}{}", mend::OF_LENGTH),
        )
    }

    /// A field that was never set is a misfit; what a user's property raises is not ours to mask.
    #[cold]
    fn field_misfit(
        &self,
        node: usize,
        field: &Py<PyString>,
        value: &Bound<'_, PyAny>,
        error: PyErr,
    ) -> PyErr {
        let py = value.py();
        if !error.is_instance_of::<PyAttributeError>(py) {
            return error;
        }
        let got = format!("{} that has none; set it before the item is put", nouns::describe_type(value));
        let misfit = self.tree.misfit(node, &format!("a field {field}"), &got);
        misfit.set_cause(py, Some(error));
        misfit
    }
}

/// The value under a key that is NaN, or contains it: Python finds these by identity alone.
#[cold]
fn find_nan<'py>(dict: &Bound<'py, PyDict>, key: &Py<PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let key = keys::from_python(key.bind(dict.py()))?;
    for (other, value) in dict.copy()?.iter() {
        if keys::from_python(&other)? == key {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Calls a flatten function, whose errors are the user's.
pub(super) fn call_flatten<'py>(
    flatten: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyAny>)> {
    let py = value.py();
    let parts = flatten.call1((value,))?;
    let Ok((children, aux)) = parts.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>() else {
        return Err(wrong_parts(value));
    };
    let children = py.get_type::<PyTuple>().call1((children,))?.cast_into::<PyTuple>()?;
    Ok((children, aux))
}

#[cold]
fn wrong_parts(value: &Bound<'_, PyAny>) -> PyErr {
    let name = nouns::type_name(value);
    PyTypeError::new_err(format!("the flatten function of {name} must return a tuple (children, aux)"))
}

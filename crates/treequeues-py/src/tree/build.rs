//! From an example to a schema, with the classes that were met.

use pyo3::exceptions::{PyAttributeError, PyException, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};
use treequeues::dtype::Dtype;
use treequeues::schema::{
    ClassPath, Key, LeafKind, LeafSpec, MAX_DEPTH, MAX_LEAVES, MAX_NODES, Node, Schema, SchemaError, Step,
    Structure, render_path,
};

use super::bound::{SharedTree, Tree};
use super::classes::{self, Class, Custom, Kind};
use super::numpy_types::numpy_types;
use super::{dtype, flatten, foreign, keys, mend, misfit, ndarray, objects};
use crate::errors::schema_error;
use crate::nouns;

impl Tree {
    /// The tree that `example` shows: arrays, scalars, or anything with a shape and a dtype, in containers.
    ///
    /// # Errors
    ///
    /// `TypeError` where a leaf, a key or a container is not supported, with its path; `SchemaError` where the tree is
    /// too deep or too large.
    pub fn from_example(py: Python<'_>, example: &Bound<'_, PyAny>) -> PyResult<SharedTree> {
        let (schema, classes) = schema_of(example)?;
        Tree::bind(py, schema, classes)
    }
}

/// The schema of the trees that look like `example`, and the class of each node that has one.
fn schema_of(example: &Bound<'_, PyAny>) -> PyResult<(Schema, Vec<Option<Class>>)> {
    let mut builder = Builder::default();
    builder.add(example)?;
    let schema = Structure::new(builder.nodes).and_then(|structure| Schema::new(structure, builder.leaves));
    let schema = schema.map_err(|error| schema_error(error.to_string()))?;
    Ok((schema, builder.classes))
}

/// What has been seen of the example.
#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    /// One entry a node.
    classes: Vec<Option<Class>>,
    leaves: Vec<LeafSpec>,
    /// The way from the root to where the walk is.
    steps: Vec<OwnedStep>,
}

enum OwnedStep {
    Key(Key),
    Field(String),
    Index(usize),
}

impl Builder {
    fn add(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        // Checked on the way down: a list that contains itself has no bottom.
        if self.steps.len() > MAX_DEPTH {
            return Err(schema_error(SchemaError::TooDeep.to_string()));
        }
        if self.nodes.len() >= MAX_NODES {
            return Err(schema_error(SchemaError::TooManyNodes.to_string()));
        }
        if value.is_none() {
            self.push(Node::None, None);
            return Ok(());
        }
        if self.add_plain_leaf(value)? || self.add_builtin_container(value)? {
            return Ok(());
        }
        let class = value.get_type();
        if let Some(custom) = classes::custom_of(&class)? {
            return self.add_custom(value, custom);
        }
        if self.add_array_subclass(value)? || self.add_spec(value)? {
            return Ok(());
        }
        match classes::fields_of(&class)? {
            Some((kind, fields)) => self.add_fields(value, kind, fields),
            None => self.add_array_like(value),
        }
    }

    fn push(&mut self, node: Node, class: Option<Class>) {
        self.nodes.push(node);
        self.classes.push(class);
    }

    fn add_child(&mut self, step: OwnedStep, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.steps.push(step);
        self.add(value)?;
        self.steps.pop();
        Ok(())
    }

    /// Arrays, NumPy scalars and Python scalars.
    fn add_plain_leaf(&mut self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        let types = numpy_types(py)?;
        if value.get_type().is(&types.array) {
            self.add_array(value, LeafKind::Array)?;
        } else if ndarray::is_numpy_scalar(value) {
            self.add_array(value, LeafKind::NumpyScalar)?;
        } else if value.is_exact_instance_of::<PyBool>() {
            self.add_scalar(LeafKind::Bool)?;
        } else if value.is_exact_instance_of::<PyInt>() {
            if value.extract::<i64>().is_err() {
                return Err(schema_error(format!(
                    "{}: the int {value} does not fit in an int64; use np.uint64(...), a float, or an array of np.uint64",
                    self.path()
                )));
            }
            self.add_scalar(LeafKind::Int)?;
        } else if value.is_exact_instance_of::<PyFloat>() {
            self.add_scalar(LeafKind::Float)?;
        } else if value.is_exact_instance_of::<PyComplex>() {
            self.add_scalar(LeafKind::Complex)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn add_scalar(&mut self, kind: LeafKind) -> PyResult<()> {
        let name = kind.scalar_dtype().unwrap_or_default();
        let dtype = Dtype::from_name(name).map_err(|error| self.refuse(error))?;
        self.add_leaf(dtype, Vec::new(), kind)
    }

    fn add_leaf(&mut self, dtype: Dtype, shape: Vec<usize>, kind: LeafKind) -> PyResult<()> {
        if self.leaves.len() == MAX_LEAVES {
            return Err(schema_error(SchemaError::TooManyLeaves.to_string()));
        }
        self.leaves.push(LeafSpec::new(dtype, shape, kind));
        self.push(Node::Leaf, None);
        Ok(())
    }

    /// An object that has NumPy's `dtype` and `shape`.
    fn add_array(&mut self, value: &Bound<'_, PyAny>, kind: LeafKind) -> PyResult<()> {
        let py = value.py();
        let (dtype, subshape) = dtype::split_subarray(value.getattr(intern!(py, "dtype"))?)?;
        let mut shape: Vec<usize> = value.getattr(intern!(py, "shape"))?.extract()?;
        shape.extend(subshape);
        let dtype = dtype::from_numpy(&dtype)?.map_err(|reason| self.refuse(reason))?;
        self.add_leaf(dtype, shape, kind)
    }

    fn add_builtin_container(&mut self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        let types = numpy_types(py)?;
        let class = value.get_type();
        if value.is_exact_instance_of::<PyDict>() {
            self.add_dict(value, Node::Dict)?;
        } else if class.is(&types.ordered_dict) {
            self.add_dict(value, Node::OrderedDict)?;
        } else if class.is(&types.default_dict) {
            let factory = self.factory_of(value)?;
            self.add_dict(value, |keys| Node::DefaultDict { factory, keys })?;
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.push(Node::List(list.len()), None);
            self.add_items(list.iter())?;
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            self.push(Node::Tuple(tuple.len()), None);
            self.add_items(tuple.iter())?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// What makes the defaults of a defaultdict: a class, which every process can find.
    fn factory_of(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<ClassPath>> {
        let factory = value.getattr(intern!(value.py(), "default_factory"))?;
        if factory.is_none() {
            return Ok(None);
        }
        if let Ok(class) = factory.cast::<PyType>() {
            let path = classes::path_of(class)?;
            if classes::import(value.py(), &path)?.is_some_and(|found| found.is(class)) {
                return Ok(Some(path));
            }
        }
        Err(self.refuse(format!(
            "the default_factory of a defaultdict, {}, would be lost: it is no class that other processes can import. Use such a \
             class, or a plain dict",
            factory.repr()?.to_string_lossy()
        )))
    }

    fn add_items<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<()> {
        items.enumerate().try_for_each(|(i, item)| self.add_child(OwnedStep::Index(i), &item))
    }

    fn add_dict(&mut self, value: &Bound<'_, PyAny>, node: impl FnOnce(Vec<Key>) -> Node) -> PyResult<()> {
        // The method of the class: an OrderedDict has an order of its own.
        let items = value.call_method0(intern!(value.py(), "items"))?;
        let items: Vec<_> = items.try_iter()?.collect::<PyResult<_>>()?;
        let mut found = Vec::with_capacity(items.len());
        let mut values = Vec::with_capacity(items.len());
        for item in &items {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
            found.push(keys::from_python(&key)?.ok_or_else(|| self.refuse_key(&key))?);
            values.push(value);
        }
        self.push(node(found.clone()), None);
        for (key, value) in found.into_iter().zip(&values) {
            self.add_child(OwnedStep::Key(key), value)?;
        }
        Ok(())
    }

    fn add_custom(&mut self, value: &Bound<'_, PyAny>, custom: Custom) -> PyResult<()> {
        let class = value.get_type();
        let (children, aux) = flatten::call_flatten(custom.flatten.bind(value.py()), value)?;
        let path = classes::path_of(&class)?;
        let Some(aux) = keys::from_python(&aux)? else {
            let reason = format!(
                "the aux data of {path} is {}; every process must be able to make it again",
                keys::why_not(&aux, "value")
            );
            return Err(self.refuse(reason));
        };
        let class = Class { class: class.unbind(), custom: Some(custom) };
        self.push(Node::Custom { class: path, aux, children: children.len() }, Some(class));
        self.add_items(children.iter())
    }

    /// Arrays of NumPy's own subclasses, which are given back as plain arrays; those of other packages carry something
    /// that would be lost, such as a unit.
    fn add_array_subclass(&mut self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        let types = numpy_types(py)?;
        if !value.is_instance(types.array.bind(py))? {
            return Ok(false);
        }
        if let Some(reason) = misfit::lost_by_subclass(value)? {
            return Err(self.refuse(reason));
        }
        self.add_array(value, LeafKind::Array)?;
        Ok(true)
    }

    /// Anything with a shape and a dtype that NumPy knows: a `jax.ShapeDtypeStruct`, a space of gymnasium.
    fn add_spec(&mut self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        let Some(dtype) = value.getattr_opt(intern!(py, "dtype"))? else { return Ok(false) };
        let Some(shape) = value.getattr_opt(intern!(py, "shape"))? else { return Ok(false) };
        // `np.dtype(None)` would be float64.
        if dtype.is_none() || value.is_instance_of::<PyType>() {
            return Ok(false);
        }
        let Ok(mut shape) = shape.extract::<Vec<usize>>() else { return Ok(false) };
        let dtype = match py.import("numpy")?.call_method1("dtype", (&dtype,)) {
            Ok(dtype) => dtype,
            Err(error) if error.is_instance_of::<PyException>(py) => return Ok(false),
            Err(error) => return Err(error),
        };
        let (dtype, subshape) = dtype::split_subarray(dtype)?;
        shape.extend(subshape);
        let dtype = dtype::from_numpy(&dtype)?.map_err(|reason| self.refuse(reason))?;
        self.add_leaf(dtype, shape, LeafKind::Array)?;
        Ok(true)
    }

    fn add_fields(&mut self, value: &Bound<'_, PyAny>, kind: Kind, fields: Vec<String>) -> PyResult<()> {
        let class = value.get_type();
        let path = classes::path_of(&class)?;
        let children = self.children_of(value, kind, &fields)?;
        if let Some(lost) = objects::lost_by_example(value, kind, &fields)? {
            let name = nouns::type_name(value);
            return Err(self.refuse(format!(
                "{} that {lost}; make it a node with treequeues.register_node({name}, flatten, unflatten)",
                nouns::with_article(&name)
            )));
        }
        let node = match kind {
            Kind::NamedTuple => Node::NamedTuple { class: path, fields: fields.clone() },
            Kind::Dataclass => Node::Dataclass { class: path, fields: fields.clone() },
            Kind::Attrs => Node::Attrs { class: path, fields: fields.clone() },
        };
        self.push(node, Some(Class { class: class.unbind(), custom: None }));
        for (field, child) in fields.into_iter().zip(&children) {
            self.add_child(OwnedStep::Field(field), child)?;
        }
        Ok(())
    }

    /// What the fields of an example hold.
    fn children_of<'py>(
        &self,
        value: &Bound<'py, PyAny>,
        kind: Kind,
        fields: &[String],
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = value.py();
        let name = || nouns::with_article(&nouns::type_name(value));
        if let (Kind::NamedTuple, Ok(tuple)) = (kind, value.cast::<PyTuple>()) {
            if tuple.len() != fields.len() {
                let (items, named) = (tuple.len(), fields.len());
                return Err(self.refuse(format!("{} of length {items}, whose _fields name {named}", name())));
            }
            return Ok(tuple.iter().collect());
        }
        let child = |field: &String| match value.getattr(field.as_str()) {
            Err(cause) if cause.is_instance_of::<PyAttributeError>(py) => {
                let error = self.refuse(format!("{} whose field {field} was never set", name()));
                error.set_cause(py, Some(cause));
                Err(error)
            }
            child => child,
        };
        fields.iter().map(child).collect()
    }

    /// Arrays of other libraries, such as a tensor of torch in CPU memory.
    fn add_array_like(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if !foreign::is_array_like(value)? {
            return Err(self.refuse_leaf(value)?);
        }
        let py = value.py();
        match foreign::as_array(value) {
            Ok(array) => self.add_array(&array, LeafKind::Array),
            Err(cause) if cause.is_instance_of::<PyException>(py) => {
                let error = self.refuse(misfit::gives_no_array(value, &cause));
                error.set_cause(py, Some(cause));
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn path(&self) -> String {
        render_path(self.steps.iter().map(|step| match step {
            OwnedStep::Key(key) => Step::Key(key),
            OwnedStep::Field(name) => Step::Field(name),
            OwnedStep::Index(index) => Step::Index(*index),
        }))
    }

    fn refuse(&self, reason: impl std::fmt::Display) -> PyErr {
        PyTypeError::new_err(format!("{}: {reason}", self.path()))
    }

    fn refuse_key(&self, key: &Bound<'_, PyAny>) -> PyErr {
        self.refuse(format!(
            "{}. A container with other keys can be made a node with treequeues.register_node",
            keys::why_not(key, "key")
        ))
    }

    fn refuse_leaf(&self, value: &Bound<'_, PyAny>) -> PyResult<PyErr> {
        let name = nouns::type_name(value);
        let noun = nouns::with_article(&name);
        if let Ok(class) = value.cast::<PyType>() {
            let class = class.qualname()?;
            return Ok(self.refuse(format!("it is the class {class}; the example needs an object of it")));
        }
        if value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>() {
            let code = if value.is_instance_of::<PyString>() { "U20" } else { "S20" };
            return Ok(self.refuse(format!(
                "{noun} has no fixed size; use np.array(value, dtype={code:?}), or leave it out of the tree"
            )));
        }
        if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>() {
            return Ok(
                self.refuse(format!("{noun} would come back as a plain number; use int(...) or float(...)"))
            );
        }
        if let Some(reason) = mend::of_example(value)? {
            return Ok(self.refuse(format!("{noun} {reason}")));
        }
        Ok(self.refuse(format!(
            "{noun} is neither an array nor a container that is known; make it a node with \
             treequeues.register_node({name}, flatten, unflatten)"
        )))
    }
}

//! Python classes that are nodes of trees: what they are, their fields, and where to find them again.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};
use treequeues::schema::{ClassPath, Node as SchemaNode};

/// A class that a tree is bound to, as it was found in this process.
pub(super) struct Class {
    pub class: Py<PyType>,
    /// How to take its objects apart and make them, if it is a custom node.
    pub custom: Option<Custom>,
}

/// The two functions of a registered class.
pub(super) struct Custom {
    pub flatten: Py<PyAny>,
    pub unflatten: Py<PyAny>,
}

/// Which kind of container a class with named fields is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    NamedTuple,
    Dataclass,
    Attrs,
}

/// The kind and the fields of a class, if its objects are containers by their class.
pub(super) fn fields_of(class: &Bound<'_, PyType>) -> PyResult<Option<(Kind, Vec<String>)>> {
    let py = class.py();
    if class.is_subclass_of::<PyTuple>()? {
        let fields = class.getattr_opt(intern!(py, "_fields"))?;
        // A tuple of strings by this name is all that makes a class a named tuple.
        let fields = fields.and_then(|fields| fields.extract().ok());
        return Ok(fields.map(|fields| (Kind::NamedTuple, fields)));
    }
    if class.hasattr(intern!(py, "__dataclass_fields__"))? {
        let fields = py.import(intern!(py, "dataclasses"))?.call_method1(intern!(py, "fields"), (class,))?;
        return Ok(Some((Kind::Dataclass, names_of(&fields)?)));
    }
    match class.getattr_opt(intern!(py, "__attrs_attrs__"))? {
        Some(attributes) => Ok(Some((Kind::Attrs, names_of(&attributes)?))),
        None => Ok(None),
    }
}

/// How to take the objects of a class apart, if it is registered.
pub(super) fn custom_of(class: &Bound<'_, PyType>) -> PyResult<Option<Custom>> {
    static FIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let found = FIND.import(class.py(), "treequeues._registry", "find")?.call1((class,))?;
    let functions: Option<(Py<PyAny>, Py<PyAny>)> = found.extract()?;
    Ok(functions.map(|(flatten, unflatten)| Custom { flatten, unflatten }))
}

/// Where a class is found again, in this process and in others.
pub(super) fn path_of(class: &Bound<'_, PyType>) -> PyResult<ClassPath> {
    let module = class.module()?;
    // In a process that multiprocessing spawned, the main module is first run under this second name.
    let module = if module == "__mp_main__" { "__main__".into() } else { module.to_string_lossy() };
    Ok(ClassPath::new(&module, &class.qualname()?.to_string_lossy()))
}

/// The class of a node, if it can be imported here and still is what it was when the schema was made.
pub(super) fn find(py: Python<'_>, node: &SchemaNode) -> PyResult<Option<Class>> {
    let (path, fields) = match node {
        SchemaNode::NamedTuple { class, fields } => (class, Some((Kind::NamedTuple, fields))),
        SchemaNode::Dataclass { class, fields } => (class, Some((Kind::Dataclass, fields))),
        SchemaNode::Attrs { class, fields } => (class, Some((Kind::Attrs, fields))),
        SchemaNode::Custom { class, .. } => (class, None),
        _ => return Ok(None),
    };
    let Some(class) = import(py, path)? else { return Ok(None) };
    let custom = match fields {
        None => match custom_of(&class)? {
            Some(custom) => Some(custom),
            None => return Ok(None),
        },
        Some((kind, fields)) => match fields_of(&class)? {
            Some((found_kind, found)) if found_kind == kind && found == *fields => None,
            _ => return Ok(None),
        },
    };
    Ok(Some(Class { class: class.unbind(), custom }))
}

/// The class at this path; `None` where anything goes wrong on the way, but for an interruption.
pub(super) fn import<'py>(py: Python<'py>, path: &ClassPath) -> PyResult<Option<Bound<'py, PyType>>> {
    let found = py.import(path.module()).and_then(|module| {
        path.qualname().split('.').try_fold(module.into_any(), |object, name| object.getattr(name))
    });
    match found {
        Ok(found) => Ok(found.cast_into::<PyType>().ok()),
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

fn names_of(fields: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let name = intern!(fields.py(), "name");
    fields.try_iter()?.map(|field| field?.getattr(name)?.extract()).collect()
}

//! Objects of classes with fields: what they have beside their fields, which would be lost on the way.
//!
//! A queue carries fields. So an object is taken apart and made again as copying does it, `cls.__new__` and then each field, and
//! what it is after that is compared with what it was. Only objects with more attributes than fields need the comparison.
//!
//! What is not lost, though it is not carried: what a class makes anew when it is asked (`functools.cached_property`), what it has for
//! all of its objects, and names with two underscores at both ends, which are Python's and the libraries' own
//! (`__orig_class__`).

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
    PyType,
};

use super::classes::Kind;
use super::raw;
use crate::nouns;

/// A new object of a class with fields, none of which is set.
pub(super) fn new_of<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    class.call_method1(intern!(class.py(), "__new__"), (class,))
}

/// Whether objects of this class have a `__dict__`.
pub(super) fn has_dict(class: &Bound<'_, PyType>) -> PyResult<bool> {
    Ok(class.getattr(intern!(class.py(), "__dictoffset__"))?.extract::<isize>()? != 0)
}

/// Whether objects of this class have slots that are none of its fields.
pub(super) fn has_slots_beside(class: &Bound<'_, PyType>, fields: &[String]) -> PyResult<bool> {
    let py = class.py();
    for base in class.mro().iter() {
        for item in base.getattr(intern!(py, "__dict__"))?.call_method0(intern!(py, "items"))?.try_iter()? {
            let (name, found): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
            let is_slot = found.get_type().name()?.to_string_lossy() == "member_descriptor";
            if is_slot && !fields.iter().any(|field| name.eq(field).unwrap_or(false)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// How many attributes an object has in its `__dict__`.
#[inline]
pub(super) fn attribute_count(object: &Bound<'_, PyAny>) -> PyResult<usize> {
    object.getattr(intern!(object.py(), "__dict__"))?.len()
}

/// Why an example cannot be carried whole: it "is a dict too, ...". `None` if it can.
pub(super) fn lost_by_example(
    value: &Bound<'_, PyAny>,
    kind: Kind,
    fields: &[String],
) -> PyResult<Option<String>> {
    let (py, class) = (value.py(), value.get_type());
    let names = fields.iter().map(|name| PyString::intern(py, name).unbind());
    if kind == Kind::NamedTuple {
        return lost(&class, &[], value);
    }
    if let Some(container) = other_container(&class)? {
        let noun = nouns::with_article(&container);
        return Ok(Some(format!("is {noun} too, whose contents would be lost")));
    }
    lost(&class, &names.collect::<Vec<_>>(), value)
}

/// The built-in class with contents of its own that a class with fields inherits from.
pub(super) fn other_container(class: &Bound<'_, PyType>) -> PyResult<Option<String>> {
    let py = class.py();
    let containers = [
        py.get_type::<PyDict>(),
        py.get_type::<PyList>(),
        py.get_type::<PyTuple>(),
        py.get_type::<PySet>(),
        py.get_type::<PyFrozenSet>(),
        py.get_type::<PyString>(),
        py.get_type::<PyBytes>(),
        py.get_type::<PyByteArray>(),
        py.get_type::<PyInt>(),
        py.get_type::<PyFloat>(),
        py.get_type::<PyComplex>(),
        py.get_type::<PyException>(),
        py.import(intern!(py, "collections"))?.getattr(intern!(py, "deque"))?.cast_into()?,
    ];
    for container in containers {
        if class.is_subclass(&container)? {
            return Ok(Some(container.name()?.to_string()));
        }
    }
    Ok(None)
}

/// What would be lost of an object of this class, as the end of a sentence; `None` if nothing.
///
/// A named tuple is made of its items, so it has no `fields` here.
pub(super) fn lost(
    class: &Bound<'_, PyType>,
    fields: &[Py<PyString>],
    value: &Bound<'_, PyAny>,
) -> PyResult<Option<String>> {
    let py = class.py();
    let again = match made_again(class, fields, value) {
        Ok(again) => again,
        Err(error) if error.is_instance_of::<PyException>(py) => {
            let reason = error.value(py).str()?;
            return Ok(Some(format!("cannot be made again without its arguments ({reason})")));
        }
        Err(error) => return Err(error),
    };
    if again.is(value) || !again.get_type().is(class) {
        return Ok(Some("is not made anew by its __new__".to_owned()));
    }
    let (before, after) = (attributes(value)?, attributes(&again)?);
    let mut names = Vec::new();
    for (name, attribute) in before {
        let is_field = fields.iter().any(|field| name.eq(field).unwrap_or(false));
        if !is_field && !is_made_anew(class, &name)? && !is_there(class, &after, &name, &attribute)? {
            names.push(name.str()?.to_string());
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    names.sort();
    let shown = nouns::listed(&names, names.len());
    let fields = if class.is_subclass_of::<PyTuple>()? { "items" } else { "fields" };
    Ok(Some(format!("has {shown} beside its {fields}, which would be lost")))
}

/// An object with the same fields, made as a queue makes those that come out.
fn made_again<'py>(
    class: &Bound<'py, PyType>,
    fields: &[Py<PyString>],
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(tuple) = value.cast::<PyTuple>() {
        let items = tuple.as_sequence().to_tuple()?;
        return class.py().get_type::<PyTuple>().call_method1(intern!(class.py(), "__new__"), (class, items));
    }
    let again = new_of(class)?;
    if again.is(value) || !again.get_type().is(class) {
        return Ok(again);
    }
    for field in fields {
        raw::set_plainly(&again, field, &value.getattr(field)?)?;
    }
    Ok(again)
}

/// The attributes of an object's own, in its `__dict__` and in slots, whatever its class says to pickle.
fn attributes<'py>(object: &Bound<'py, PyAny>) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    let py = object.py();
    let state = py.get_type::<PyAny>().call_method1(intern!(py, "__getstate__"), (object,))?;
    // A dict, or None, or a pair of such and of a dict of the slots that are set.
    let parts = match state.cast_exact::<PyTuple>() {
        Ok(parts) => parts.iter().collect(),
        Err(_) => vec![state],
    };
    let dicts = parts.iter().filter_map(|part| part.cast::<PyDict>().ok());
    Ok(dicts.flat_map(|dict| dict.iter().collect::<Vec<_>>()).collect())
}

/// Whether the class makes an attribute of this name when it is asked for it, or Python and its libraries do.
fn is_made_anew(class: &Bound<'_, PyType>, name: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = class.py();
    let text = name.str()?;
    let text = text.to_string_lossy();
    if text.starts_with("__") && text.ends_with("__") {
        return Ok(true);
    }
    let Some(found) = of_class(class, name)? else { return Ok(false) };
    let kind = found.get_type();
    if kind.name()?.to_string_lossy() == "member_descriptor" {
        // A slot of a class that attrs made: its `__getattr__` computes what its cached properties are.
        return class.hasattr(intern!(py, "__getattr__"));
    }
    // A method that an attribute hides is no descriptor that keeps there what it computed.
    Ok(kind.hasattr(intern!(py, "__get__"))? && !found.is_callable())
}

/// Whether an attribute is the same in the object that was made again, or in the class.
fn is_there<'py>(
    class: &Bound<'py, PyType>,
    after: &[(Bound<'py, PyAny>, Bound<'py, PyAny>)],
    name: &Bound<'py, PyAny>,
    attribute: &Bound<'py, PyAny>,
) -> PyResult<bool> {
    let own = after.iter().find(|(other, _)| other.eq(name).unwrap_or(false)).map(|(_, found)| found.clone());
    let found = match own {
        Some(found) => Some(found),
        None => of_class(class, name)?,
    };
    // What cannot be compared is not known to be the same.
    Ok(found.is_some_and(|found| found.is(attribute) || found.eq(attribute).unwrap_or(false)))
}

/// What stands under this name in the class or in one that it inherits from, as it stands there.
fn of_class<'py>(
    class: &Bound<'py, PyType>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    for base in class.mro().iter() {
        let names = base.getattr(intern!(class.py(), "__dict__"))?;
        if names.contains(name)? {
            return names.get_item(name).map(Some);
        }
    }
    Ok(None)
}

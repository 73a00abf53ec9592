//! Objects and classes as messages name them.

use pyo3::prelude::*;
use pyo3::types::PyType;

/// How many names a message lists.
pub const MAX_NAMES: usize = 5;

/// `obs.left, reward and 3 more`: the first ones of so many names.
pub fn listed(names: &[String], count: usize) -> String {
    let shown = names.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", ");
    match count.saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The type of an object with its article: `a list`, `an OrderedDict`.
pub fn describe_type(object: &Bound<'_, PyAny>) -> String {
    if object.is_none() {
        return "None".to_owned();
    }
    with_article(&type_name(object))
}

/// The name of an object's class.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().qualname().map_or_else(|_| "object".to_owned(), |name| name.to_string())
}

/// A class with its article, as what its objects are.
pub fn class_noun(class: &Py<PyType>) -> String {
    Python::attach(|py| {
        let name = class.bind(py).qualname();
        with_article(&name.map_or_else(|_| "object".to_owned(), |name| name.to_string()))
    })
}

/// A noun with its article.
pub fn with_article(noun: &str) -> String {
    let starts_with_vowel = noun.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) || noun == "ndarray";
    if starts_with_vowel { format!("an {noun}") } else { format!("a {noun}") }
}

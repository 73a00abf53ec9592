//! A leaf on the way of a walk, and what is said where its value does not fit.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use treequeues::schema::LeafSpec;

use super::bound::Tree;
use super::{foreign, mend, misfit};

/// A leaf, for the visitor.
#[derive(Clone, Copy)]
pub(super) struct At<'t> {
    pub tree: &'t Tree,
    /// Which leaf it is.
    pub leaf: usize,
    /// Which node it is, in preorder.
    pub node: usize,
}

impl At<'_> {
    /// The value has another dtype or shape.
    #[cold]
    pub(super) fn misfit(&self, value: &Bound<'_, PyAny>) -> PyErr {
        let got = misfit::describe(value) + &self.mend(value);
        self.tree.misfit(self.node, &self.expected(), &got)
    }

    /// The value is out of range.
    #[cold]
    pub(super) fn value_misfit(&self, expected: &str, value: &Bound<'_, PyAny>) -> PyErr {
        let got = misfit::describe_value(value) + &self.mend(value);
        self.tree.misfit(self.node, expected, &got)
    }

    /// The value has the wrong type.
    #[cold]
    pub(super) fn type_misfit(&self, value: &Bound<'_, PyAny>) -> PyErr {
        self.type_misfit_saying(value.py(), &(misfit::describe(value) + &self.mend(value)))
    }

    /// The same in words of the caller's.
    #[cold]
    pub(super) fn type_misfit_saying(&self, py: Python<'_>, got: &str) -> PyErr {
        self.tree.type_misfit(py, self.node, &self.expected(), got)
    }

    /// What to pass instead, behind a semicolon; nothing where there is nothing.
    fn mend(&self, value: &Bound<'_, PyAny>) -> String {
        mend::of_leaf(self.spec(), value)
    }

    /// Where it is.
    pub(super) fn path(&self) -> String {
        self.tree.schema.structure().path_of(self.node)
    }

    /// What belongs here.
    pub(super) fn expected(&self) -> String {
        self.spec().to_string()
    }

    /// The same, to look at.
    pub(super) fn spec(&self) -> &LeafSpec {
        &self.tree.schema.leaves()[self.leaf]
    }

    /// The array that an array of another library is.
    pub(super) fn as_array<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        foreign::as_array(value).map_err(|cause| {
            if !cause.is_instance_of::<PyException>(py) {
                return cause;
            }
            let error = self.type_misfit_saying(py, &misfit::gives_no_array(value, &cause));
            error.set_cause(py, Some(cause));
            error
        })
    }
}

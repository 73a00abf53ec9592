//! Sources: where the leaves of a tree that was put are, checked and held, ready to be copied.

use pyo3::intern;
use pyo3::prelude::*;

use super::at::At;
use super::bound::Tree;
use super::encoding::Encoding;
use super::flatten::{self, Place, Visit};
use super::leaf::Leaf;
use super::memory::Memory;
use super::ndarray::{self, View};
use super::number::{Packed, Unfit};
use super::rows::RowsMut;
use super::scalar;
use super::{foreign, mend, misfit};

/// The leaves of one tree, as they are when they are copied: nothing was copied yet.
pub struct Sources {
    sources: Vec<Source>,
    nbytes: usize,
}

enum Source {
    Array(Memory),
    /// A Python scalar, or a NumPy scalar that is a number.
    Scalar([u8; 16]),
    /// What is in the slot already.
    InPlace,
}

impl Sources {
    /// Bytes of all leaves together.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// Copies every leaf into the slot. It needs no GIL.
    pub fn copy_to(&self, rows: &mut impl RowsMut) {
        for (leaf, source) in self.sources.iter().enumerate() {
            let row = rows.row_mut(leaf);
            match source {
                Source::Array(memory) => memory.copy_to(row),
                Source::Scalar(bytes) => row.copy_from_slice(&bytes[..row.len()]),
                Source::InPlace => {}
            }
        }
    }

    /// Copies the arrays that begin in memory that `is_held` knows: they cannot be copied onto themselves.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn leave(
        &mut self,
        py: Python<'_>,
        tree: &Tree,
        mut is_held: impl FnMut(*const u8) -> bool,
    ) -> PyResult<()> {
        for (source, leaf) in self.sources.iter_mut().zip(&tree.leaves) {
            if let Source::Array(memory) = source
                && is_held(memory.data())
            {
                *source = Source::Array(memory.copied(py, leaf)?);
            }
        }
        Ok(())
    }

    /// Whether nothing is to be copied.
    pub fn are_in_place(&self) -> bool {
        self.sources.iter().all(|source| matches!(source, Source::InPlace))
    }
}

impl Tree {
    /// Checks that a tree fits the schema, and finds its leaves. Nothing is copied yet.
    ///
    /// # Errors
    ///
    /// `SchemaError` with the path of the misfit, or what the user's flatten function raised.
    #[inline]
    pub fn sources(&self, _: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Sources> {
        let mut collector = Collector(Vec::with_capacity(self.leaves.len()));
        flatten::walk(self, value, &mut collector)?;
        Ok(Sources { sources: collector.0, nbytes: self.schema.item_nbytes() })
    }
}

impl Tree {
    /// The leaves of a loan's tree: those that are not `arrays`, the loan's own, were put in their place by the user.
    ///
    /// # Errors
    ///
    /// As `sources`.
    pub fn sources_but(&self, value: &Bound<'_, PyAny>, arrays: &[Py<PyAny>]) -> PyResult<Sources> {
        let mut collector = ReplacedCollector(Collector(Vec::with_capacity(self.leaves.len())), arrays);
        flatten::walk(self, value, &mut collector)?;
        Ok(Sources { sources: collector.0.0, nbytes: self.schema.item_nbytes() })
    }
}

struct Collector(Vec<Source>);

struct ReplacedCollector<'a>(Collector, &'a [Py<PyAny>]);

impl<'py> Visit<'py> for ReplacedCollector<'_> {
    fn leaf(&mut self, at: At<'_>, value: &Bound<'py, PyAny>, place: Place<'_, 'py>) -> PyResult<()> {
        if value.is(&self.1[at.leaf]) {
            self.0.0.push(Source::InPlace);
            return Ok(());
        }
        self.0.leaf(at, value, place)
    }
}

impl<'py> Visit<'py> for Collector {
    #[inline]
    fn leaf(&mut self, at: At<'_>, value: &Bound<'py, PyAny>, _: Place<'_, 'py>) -> PyResult<()> {
        let leaf = &at.tree.leaves[at.leaf];
        if let Some(view) = View::of_exact(value, &at.tree.types.array) {
            match Memory::of(value, view, leaf) {
                Some(memory) => self.0.push(Source::Array(memory)),
                None => self.0.push(unlike_source(at, leaf, view, value)?),
            }
        } else {
            self.0.push(other_source(at, leaf, value)?);
        }
        Ok(())
    }
}

/// An array whose dtype or shape is not the leaf's: without dimensions it counts as a scalar, by its value.
#[cold]
fn unlike_source(at: At<'_>, leaf: &Leaf, view: View<'_>, value: &Bound<'_, PyAny>) -> PyResult<Source> {
    if leaf.lengths.is_empty() && view.lengths.is_empty() {
        return packed_source(at, leaf, value, scalar::pack_numpys(&at.tree.types, leaf, value));
    }
    Err(at.misfit(value))
}

fn packed_source(
    at: At<'_>,
    leaf: &Leaf,
    value: &Bound<'_, PyAny>,
    packed: Result<Packed<'_>, Unfit>,
) -> PyResult<Source> {
    match packed {
        Ok(Packed::Bytes(bytes)) => Ok(Source::Scalar(bytes)),
        Ok(Packed::Array(array)) => {
            let memory = View::of(&array).and_then(|view| Memory::of(&array, view, leaf));
            memory.map(Source::Array).ok_or_else(|| at.misfit(value))
        }
        Err(Unfit::Value(expected)) => Err(at.value_misfit(&expected, value)),
        Err(Unfit::Type) => Err(at.type_misfit(value)),
        Err(Unfit::Other(error)) => Err(error),
    }
}

/// Checks that a value fits a leaf.
pub(super) fn check(at: At<'_>, leaf: &Leaf, value: &Bound<'_, PyAny>) -> PyResult<()> {
    other_source(at, leaf, value).map(drop)
}

/// Everything that is not exactly an `ndarray`.
fn other_source(at: At<'_>, leaf: &Leaf, value: &Bound<'_, PyAny>) -> PyResult<Source> {
    let types = &at.tree.types;
    if leaf.lengths.is_empty()
        && let Some(bytes) = scalar::pack_at_once(leaf, value)
    {
        return Ok(Source::Scalar(bytes));
    }
    if ndarray::is_numpy_scalar(value) {
        return numpy_scalar_source(at, leaf, value);
    }
    if leaf.lengths.is_empty() {
        match scalar::pack(types, leaf, value) {
            Err(Unfit::Type) => {}
            packed => return packed_source(at, leaf, value, packed),
        }
    }
    if View::of(value).is_some() {
        return match misfit::lost_by_subclass(value)? {
            Some(reason) => Err(at.type_misfit_saying(value.py(), &reason)),
            None => read_source(at, leaf, value, value),
        };
    }
    if foreign::is_array_like(value)? {
        return read_source(at, leaf, &at.as_array(value)?, value);
    }
    if !leaf.lengths.is_empty()
        && let Some(array) = foreign::as_buffer(value)?
    {
        let memory = View::of(&array).and_then(|view| Memory::of(&array, view, leaf));
        return memory.map(Source::Array).ok_or_else(|| at.value_misfit(&at.expected(), value));
    }
    Err(at.type_misfit(value))
}

fn numpy_scalar_source(at: At<'_>, leaf: &Leaf, value: &Bound<'_, PyAny>) -> PyResult<Source> {
    if !leaf.lengths.is_empty() {
        return Err(at.misfit(value));
    }
    if let Some(bytes) = leaf.number_type.as_ref().and_then(|class| ndarray::number_bytes(value, class)) {
        return Ok(Source::Scalar(bytes));
    }
    if let Some(packed) = scalar::pack_usual(&at.tree.types, leaf, value) {
        return packed_source(at, leaf, value, packed);
    }
    let py = value.py();
    if matches!(leaf.encoding, Encoding::Text(_) | Encoding::ByteString(_)) {
        // NumPy's strings are Python's too, and may be longer than their dtype says.
        return packed_source(at, leaf, value, scalar::pack(&at.tree.types, leaf, value));
    }
    if value.getattr(intern!(py, "dtype"))?.eq(&leaf.dtype)? {
        return read_source(at, leaf, &foreign::as_array(value)?, value);
    }
    packed_source(at, leaf, value, scalar::pack_numpys(&at.tree.types, leaf, value))
}

/// An array of NumPy's that came out of what was given, or whose class adds nothing.
fn read_source(
    at: At<'_>,
    leaf: &Leaf,
    array: &Bound<'_, PyAny>,
    given: &Bound<'_, PyAny>,
) -> PyResult<Source> {
    let Some(view) = View::of(array) else { return Err(at.misfit(array)) };
    match Memory::of(array, view, leaf) {
        Some(memory) => Ok(Source::Array(memory)),
        None if leaf.lengths.is_empty() => unlike_source(at, leaf, view, array),
        None => {
            let got = misfit::describe(array) + &mend::of_array(at.spec(), given, array);
            Err(at.tree.misfit(at.node, &at.expected(), &got))
        }
    }
}

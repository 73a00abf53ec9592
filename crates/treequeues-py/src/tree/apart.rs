//! Arrays that are to be filled must lie apart: where two leaves share memory, one overwrites the other.
//!
//! Most are contiguous, and one look at their ends in order tells. What interleaves (the columns of a table, the fields of a
//! record) is told by where in a common stride it stands, and the rest by NumPy.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::bound::Tree;
use super::memory::Span;
use crate::errors::schema_error;

/// How long NumPy may look for an element that two arrays share: enough for all but arrays that were made to be hard.
const MAX_WORK: usize = 100_000;

/// The bounds of an array, as the memory of a leaf.
pub(super) struct Bounds {
    pub leaf: usize,
    /// The lowest address, and the one behind the highest.
    pub start: usize,
    pub end: usize,
}

/// Checks that arrays with these bounds share no memory, and that the elements of those for which `span_of` gives more than one run
/// do not. It is asked for the arrays whose bounds say too little, and may be asked for any.
pub(super) fn check(
    tree: &Tree,
    py: Python<'_>,
    mut bounds: Vec<Bounds>,
    span_of: impl Fn(usize) -> Span,
) -> PyResult<()> {
    bounds.retain(|bounds| bounds.start < bounds.end);
    let is_in_order = |pair: &[Bounds]| pair[0].end <= pair[1].start;
    if bounds.windows(2).all(is_in_order) {
        return Ok(());
    }
    bounds.sort_unstable_by_key(|bounds| bounds.start);
    if bounds.windows(2).all(is_in_order) {
        return Ok(());
    }
    let spans: Vec<Span> = bounds.iter().map(|bounds| span_of(bounds.leaf)).collect();
    let mut rest = &spans[..];
    while !rest.is_empty() {
        let (together, after) = rest.split_at(count_together(rest));
        if together.len() > 1 && !interleave(together) {
            check_pairs(tree, py, together)?;
        }
        rest = after;
    }
    Ok(())
}

/// Checks that the elements of an array share no memory with each other.
pub(super) fn check_itself(tree: &Tree, span: &Span) -> PyResult<()> {
    if span.is_apart_in_itself() {
        return Ok(());
    }
    let path = &tree.schema.leaves()[span.leaf].path;
    Err(schema_error(format!(
        "{path}: expected an array whose elements lie apart, got one whose strides put several in one place; use np.empty there"
    )))
}

/// How many of the first ones lie in each other's bounds.
fn count_together(spans: &[Span]) -> usize {
    let mut end = 0;
    spans
        .iter()
        .position(|span| {
            let is_after = span.start >= end && end > 0;
            end = end.max(span.end);
            is_after
        })
        .unwrap_or(spans.len())
}

/// Whether each has its own place in a stride that all have in common.
fn interleave(spans: &[Span]) -> bool {
    let strides = spans.iter().flat_map(|span| span.strides());
    let stride = strides.fold(0, greatest_common_divisor);
    if stride == 0 {
        return false;
    }
    let mut places: Vec<(usize, usize)> =
        spans.iter().map(|span| (span.start % stride, span.run_nbytes)).collect();
    places.sort_unstable();
    let first = places[0].0 + stride;
    let starts = places.iter().skip(1).map(|place| place.0).chain([first]);
    places.iter().zip(starts).all(|((start, nbytes), next)| start + nbytes <= next)
}

fn check_pairs(tree: &Tree, py: Python<'_>, spans: &[Span]) -> PyResult<()> {
    for (i, span) in spans.iter().enumerate() {
        for other in spans[i + 1..].iter().take_while(|other| other.start < span.end) {
            let is_certain = span.is_contiguous() && other.is_contiguous();
            if is_certain || shares_memory(py, span, other)? {
                let leaves = tree.schema.leaves();
                let (first, second) = (span.leaf.min(other.leaf), span.leaf.max(other.leaf));
                return Err(schema_error(format!(
                    "{}: expected an array of its own, got one that shares memory with {}, so that one would overwrite the \
                     other",
                    leaves[second].path, leaves[first].path
                )));
            }
        }
    }
    Ok(())
}

/// What NumPy says; what is too hard for it counts as shared.
fn shares_memory(py: Python<'_>, one: &Span, other: &Span) -> PyResult<bool> {
    let options = PyDict::new(py);
    options.set_item("max_work", MAX_WORK)?;
    let numpy = py.import(intern!(py, "numpy"))?;
    match numpy.call_method(intern!(py, "shares_memory"), (&one.array, &other.array), Some(&options)) {
        Ok(shares) => shares.is_truthy(),
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(true),
        Err(error) => Err(error),
    }
}

fn greatest_common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

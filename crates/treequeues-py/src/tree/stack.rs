//! Stacked trees: a tree like the example whose leaves are arrays with one more dimension in front, one row an item.
//!
//! Slots that lie side by side hold a leaf's rows without a gap, so a run of them is copied at once.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PySlice;
use treequeues::schema::{LeafKind, LeafSpec};
use treequeues::{ReadBatch, WriteBatch};

use super::apart::Bounds;
use super::at::At;
use super::bound::Tree;
use super::flatten::{self, Place, Visit};
use super::leaf::Leaf;
use super::memory::StackedMemory;
use super::ndarray::{self, View};
use super::rebuild::rebuild;
use super::{apart, foreign, mend, misfit};

/// The leaves of a stacked tree, checked and held: nothing was copied yet.
pub struct Stack {
    /// `None` where the rows are in the slots already.
    leaves: Vec<Option<StackedMemory>>,
    len: usize,
    /// The tree that the user gave to be filled.
    out: Option<Py<PyAny>>,
}

impl Stack {
    /// Items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies all items into slots. It needs no GIL.
    pub fn copy_to(&self, batch: &mut WriteBatch) {
        self.copy_to_runs(|leaf, copy| batch.for_each_run(leaf, copy));
    }

    /// Copies all items into the runs of slots that `for_each_run` knows, leaf by leaf.
    pub fn copy_to_runs(&self, mut for_each_run: impl FnMut(usize, &mut dyn FnMut(usize, &mut [u8]))) {
        for (leaf, memory) in self.leaves.iter().enumerate() {
            let Some(memory) = memory else { continue };
            for_each_run(leaf, &mut |first, run| memory.copy_to(first, run));
        }
    }

    /// Copies items out of their slots, to the first rows. It needs no GIL.
    pub fn copy_from(&mut self, batch: &ReadBatch) {
        for (leaf, memory) in self.leaves.iter_mut().enumerate() {
            let Some(memory) = memory else { continue };
            for (first, run) in batch.runs(leaf) {
                memory.copy_from(first, run);
            }
        }
    }

    /// The tree of the first `len` rows: `out` if it was given and they are all, and new containers else.
    ///
    /// # Errors
    ///
    /// What a user's unflatten function raises, and `MemoryError`.
    pub fn into_tree<'py>(self, tree: &Tree, py: Python<'py>, len: usize) -> PyResult<Bound<'py, PyAny>> {
        if let Some(out) = self.out.filter(|_| len == self.len) {
            return Ok(out.into_bound(py));
        }
        let arrays = self.leaves.into_iter().flatten().map(|memory| memory.into_array().into_bound(py));
        if len == self.len {
            return rebuild(tree, py, arrays.map(Ok));
        }
        let rows = PySlice::new(py, 0, len as isize, 1);
        rebuild(tree, py, arrays.map(|array| array.get_item(&rows)))
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
        for (memory, leaf) in self.leaves.iter_mut().zip(&tree.leaves) {
            if let Some(own) = memory
                && is_held(own.data())
            {
                *memory = Some(own.copied(py, leaf)?);
            }
        }
        Ok(())
    }

    /// Whether nothing is to be copied.
    pub fn is_in_place(&self) -> bool {
        self.leaves.iter().all(Option::is_none)
    }
}

impl Tree {
    /// Checks that the leaves can have one more dimension.
    ///
    /// # Errors
    ///
    /// `ValueError` with the path of one that has as many as NumPy's arrays can have.
    #[inline]
    pub fn check_stackable(&self) -> PyResult<()> {
        self.unstackable.map_or(Ok(()), |leaf| Err(self.unstackable_leaf(leaf)))
    }

    #[cold]
    fn unstackable_leaf(&self, leaf: usize) -> PyErr {
        let leaf = &self.schema.leaves()[leaf];
        PyValueError::new_err(format!(
            "{}: it has {ndim} dimensions, as many as NumPy's arrays can have, so that it cannot be stacked; use single \
             items, or get_many and put_many",
            leaf.path,
            ndim = leaf.shape.len()
        ))
    }

    /// New arrays for `len` items, owned and writable.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn allocate_stack(&self, py: Python<'_>, len: usize) -> PyResult<Stack> {
        let mut lengths = Vec::new();
        let mut allocate_all = || {
            let allocate = |leaf: &Leaf| {
                lengths.clear();
                lengths.push(len as isize);
                lengths.extend_from_slice(&leaf.lengths);
                let array = ndarray::new_array(py, &self.types.array, &leaf.dtype, &lengths)?;
                let view = View::of_exact(&array, &self.types.array);
                let memory = view.and_then(|view| StackedMemory::of(&array, view, leaf, len));
                Ok(Some(memory.expect("a new array has the dtype and shape that it was made with")))
            };
            self.leaves.iter().map(allocate).collect::<PyResult<_>>()
        };
        let leaves = match self.recycler.as_ref() {
            Some(recycler) => recycler.allocating(py, allocate_all)?,
            None => allocate_all()?,
        };
        Ok(Stack { leaves, len, out: None })
    }

    /// The leaves of a stacked tree to be put. All have as many rows as the first one.
    ///
    /// # Errors
    ///
    /// `SchemaError` with the path of the misfit; `ValueError` if the tree has no leaf that could say how many items
    /// it holds.
    pub fn stacked_sources(&self, value: &Bound<'_, PyAny>) -> PyResult<Stack> {
        let (leaves, len) = self.stacked_leaves(value, None, false, &[])?;
        let Some(len) = len else { return Err(without_leaves()) };
        Ok(Stack { leaves, len, out: None })
    }

    /// The leaves of a loan's stacked tree of `len` rows: those that are not `arrays`, the loan's own, were put in their place by
    /// the user.
    ///
    /// # Errors
    ///
    /// As `stacked_sources`.
    pub fn stacked_sources_but(
        &self,
        value: &Bound<'_, PyAny>,
        len: usize,
        arrays: &[Py<PyAny>],
    ) -> PyResult<Stack> {
        let (leaves, _) = self.stacked_leaves(value, Some(len), false, arrays)?;
        Ok(Stack { leaves, len, out: None })
    }

    /// The leaves of a stacked tree of `len` rows that is to be written in place.
    ///
    /// # Errors
    ///
    /// `SchemaError` with the path of the misfit, before anything was written.
    pub fn stacked_destinations(&self, out: &Bound<'_, PyAny>, len: usize) -> PyResult<Stack> {
        let (leaves, _) = self.stacked_leaves(out, Some(len), true, &[])?;
        let span_of = |leaf: usize| leaves[leaf].as_ref().map(|memory| memory.span(out.py(), leaf));
        let mut bounds = Vec::with_capacity(leaves.len());
        for span in (0..leaves.len()).filter_map(span_of) {
            apart::check_itself(self, &span)?;
            bounds.push(Bounds { leaf: span.leaf, start: span.start, end: span.end });
        }
        apart::check(self, out.py(), bounds, |leaf| span_of(leaf).expect("it has bounds"))?;
        Ok(Stack { leaves, len, out: Some(out.clone().unbind()) })
    }

    fn stacked_leaves(
        &self,
        value: &Bound<'_, PyAny>,
        len: Option<usize>,
        must_be_writable: bool,
        in_place: &[Py<PyAny>],
    ) -> PyResult<(Vec<Option<StackedMemory>>, Option<usize>)> {
        let leaves = Vec::with_capacity(self.leaves.len());
        let mut collector = Collector { leaves, len, must_be_writable, in_place };
        flatten::walk(self, value, &mut collector)?;
        Ok((collector.leaves, collector.len))
    }
}

struct Collector<'a> {
    leaves: Vec<Option<StackedMemory>>,
    /// Known from the first leaf on.
    len: Option<usize>,
    must_be_writable: bool,
    /// Arrays that need no look, by leaf; or none.
    in_place: &'a [Py<PyAny>],
}

impl<'py> Visit<'py> for Collector<'_> {
    fn leaf(&mut self, at: At<'_>, value: &Bound<'py, PyAny>, _: Place<'_, 'py>) -> PyResult<()> {
        if self.in_place.get(at.leaf).is_some_and(|own| value.is(own)) {
            self.leaves.push(None);
            return Ok(());
        }
        let leaf = &at.tree.leaves[at.leaf];
        let converted;
        let array = match View::of(value) {
            Some(_) => value,
            None if self.must_be_writable => return Err(self.type_misfit(at, value)),
            None => {
                let is_array_like = foreign::is_array_like(value)?;
                let array =
                    if is_array_like { Some(at.as_array(value)?) } else { foreign::as_buffer(value)? };
                let Some(array) = array else { return Err(self.type_misfit(at, value)) };
                converted = array;
                &converted
            }
        };
        if let Some(reason) = misfit::lost_by_subclass(array)? {
            return Err(at.tree.type_misfit(value.py(), at.node, &self.expected(at), &reason));
        }
        let Some(view) = View::of(array) else { return Err(self.type_misfit(at, value)) };
        let len = match (self.len, view.lengths.first()) {
            (Some(len), _) => len,
            (None, Some(&len)) => len as usize,
            (None, None) => return Err(self.misfit(at, array, value)),
        };
        let Some(memory) = StackedMemory::of(array, view, leaf, len) else {
            return Err(self.misfit(at, array, value));
        };
        if self.must_be_writable && !memory.is_writable() {
            return Err(at.tree.misfit(at.node, "a writable array", "a read-only one"));
        }
        self.len = Some(len);
        self.leaves.push(Some(memory));
        Ok(())
    }
}

impl Collector<'_> {
    #[cold]
    fn misfit(&self, at: At<'_>, array: &Bound<'_, PyAny>, given: &Bound<'_, PyAny>) -> PyErr {
        let stacked = self.stacked(at, array);
        let mend = match self.must_be_writable {
            true => mend::of_out(given, &stacked.dtype, &stacked.shape),
            false => mend::of_array(&stacked, given, array),
        };
        at.tree.misfit(at.node, &self.expected(at), &(misfit::describe(array) + &mend))
    }

    #[cold]
    fn type_misfit(&self, at: At<'_>, value: &Bound<'_, PyAny>) -> PyErr {
        let stacked = self.stacked(at, value);
        let mend = match self.must_be_writable {
            true => mend::of_out(value, &stacked.dtype, &stacked.shape),
            false => mend::of_leaf(&stacked, value),
        };
        let got = misfit::describe(value) + &mend;
        at.tree.type_misfit(value.py(), at.node, &self.expected(at), &got)
    }

    /// The leaf with the items' dimension in front.
    fn stacked(&self, at: At<'_>, value: &Bound<'_, PyAny>) -> LeafSpec {
        let mut stacked = at.spec().clone();
        // A leaf that is not stacked is one of a single item.
        let is_stacked = View::of(value).is_none_or(|view| view.lengths.len() > stacked.shape.len());
        let len = self.len.or_else(|| value.len().ok().filter(|_| is_stacked)).unwrap_or(1);
        stacked.shape.insert(0, len);
        stacked.kind = LeafKind::Array;
        stacked
    }

    /// What belongs here: `uint8 (32, 84, 84)`, or `uint8 (n, 84, 84)` at the first leaf.
    fn expected(&self, at: At<'_>) -> String {
        let leaf = &at.tree.leaves[at.leaf];
        let len = self.len.map_or_else(|| "n".to_owned(), |len| len.to_string());
        let lengths: Vec<String> = leaf.lengths.iter().map(isize::to_string).collect();
        match lengths.is_empty() {
            true => format!("{} ({len},)", leaf.dtype_name),
            false => format!("{} ({len}, {})", leaf.dtype_name, lengths.join(", ")),
        }
    }
}

fn without_leaves() -> PyErr {
    PyValueError::new_err("a stacked tree without leaves does not say how many items it holds; use put")
}

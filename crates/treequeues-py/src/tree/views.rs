//! Views: the arrays of a loan, which lie over its slots.
//!
//! V1. Every array has one base, the object that keeps the slots, so whatever is made of an array without a copy keeps them
//!     too, and only what holds an array, or was made of one, can reach the slots.
//! V2. While the slots are held, nobody else writes to them, nor reads them while they are held for writing.

use std::ptr::NonNull;

use pyo3::prelude::*;

use super::bound::Tree;
use super::ndarray;
use super::rebuild::rebuild;

impl Tree {
    /// An array for each leaf, over the row that `first_row` gives for it; for `Some(stacked)` slots that lie side by side,
    /// with one more dimension in front.
    ///
    /// # Safety
    ///
    /// At each row are as many bytes as the leaf has, in all slots together, and V2 holds while `base` lives.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub unsafe fn arrays_over<'py>(
        &self,
        base: &Bound<'py, PyAny>,
        first_row: impl Fn(usize) -> NonNull<u8>,
        stacked: Option<usize>,
        is_writable: bool,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let array_type = &self.types.array;
        let mut lengths = Vec::new();
        let array_over = |leaf: usize| {
            let spec = &self.leaves[leaf];
            lengths.clear();
            lengths.extend(stacked.map(|len| len as isize));
            lengths.extend_from_slice(&spec.lengths);
            let data = first_row(leaf).as_ptr();
            // SAFETY: V1, and the caller answers for the rest.
            unsafe { ndarray::array_over(base, array_type, &spec.dtype, &lengths, data, is_writable) }
        };
        (0..self.leaves.len()).map(array_over).collect()
    }

    /// A tree like the example, of one array a leaf.
    ///
    /// # Errors
    ///
    /// What a user's unflatten function raises, and `MemoryError`.
    pub fn tree_of<'py>(&self, py: Python<'py>, arrays: &[Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyAny>> {
        rebuild(self, py, arrays.iter().map(|array| Ok(array.clone())))
    }
}

//! The memory of arrays, held: it can be copied to rows and from rows without the GIL.
//!
//! R1. The address belongs to the array beside it, which is held until the memory is dropped.
//! R2. It has exactly the bytes of its leaf: dtype and shape were compared with the leaf's when it was made.
//! R3. A row belongs to a slot that this process holds, so nobody else writes it, and it overlaps no array that may be
//!     written.

use pyo3::prelude::*;

use super::Leaf;
use super::ndarray::{self, View};
use super::strided::Strided;

/// The memory of one array that fits a leaf.
pub(super) struct Memory {
    layout: Layout,
    array: Py<PyAny>,
    is_writable: bool,
}

enum Layout {
    /// Bytes side by side, as most arrays have them.
    Contiguous { data: *mut u8, nbytes: usize },
    /// Elements apart from each other.
    Strided(Box<Strided>),
}

// SAFETY: the address is that of memory which the array keeps (R1), whichever thread copies; the array is a `Py`, which
// may be dropped anywhere.
unsafe impl Send for Memory {}
// SAFETY: through a shared reference the memory is only read, and nothing in `Memory` changes.
unsafe impl Sync for Memory {}

impl Memory {
    /// The memory of `array`, of which `view` was taken just now; `None` where its dtype or shape is not the leaf's.
    #[inline]
    pub fn of(array: &Bound<'_, PyAny>, view: View<'_>, leaf: &Leaf) -> Option<Memory> {
        let dtype = leaf.dtype.as_ptr();
        // Most dtypes are one object, so that comparing their addresses is enough.
        let fits = (view.dtype == dtype || ndarray::dtypes_are_equal(array.py(), view.dtype, dtype))
            && *view.lengths == *leaf.lengths;
        if !fits {
            return None;
        }
        let layout = if view.is_contiguous() {
            Layout::Contiguous { data: view.data, nbytes: leaf.nbytes }
        } else {
            Layout::Strided(Box::new(Strided::new(view.data, view.lengths, view.strides, leaf.itemsize)))
        };
        Some(Memory { layout, array: array.clone().unbind(), is_writable: view.is_writable() })
    }

    /// Whether the array may be written.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// The array.
    pub fn into_array(self) -> Py<PyAny> {
        self.array
    }

    /// Copies the array to a row.
    ///
    /// Other threads may write to the array meanwhile, where the GIL is not held: which of both values an element has
    /// then is not determined, as with NumPy's own copies.
    #[inline]
    pub fn copy_to(&self, row: &mut [u8]) {
        match &self.layout {
            Layout::Contiguous { data, nbytes } => {
                assert_eq!(row.len(), *nbytes, "a row of another schema");
                // SAFETY: R1, R2 and R3.
                unsafe { std::ptr::copy_nonoverlapping(data.cast_const(), row.as_mut_ptr(), *nbytes) };
            }
            // SAFETY: T1 is R1, T2 is R2 and R3.
            Layout::Strided(strided) => unsafe { strided.copy_to(row) },
        }
    }

    /// Copies a row to the array.
    #[inline]
    pub fn copy_from(&mut self, row: &[u8]) {
        assert!(self.is_writable, "a read-only array");
        match &self.layout {
            Layout::Contiguous { data, nbytes } => {
                assert_eq!(row.len(), *nbytes, "a row of another schema");
                // SAFETY: R1, R2 and R3; it may be written.
                unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), *data, *nbytes) };
            }
            // SAFETY: T1 is R1, T2 is R2 and R3; it may be written.
            Layout::Strided(strided) => unsafe { strided.copy_from(row) },
        }
    }
}

//! The memory of arrays, held: it can be copied to rows and from rows without the GIL.
//!
//! `Memory` is that of one item's leaf, `StackedMemory` that of the leaf of several items, one row an item.
//!
//! R1. The address belongs to the array beside it, which is held until the memory is dropped.
//! R2. It has exactly the bytes of its leaf, or of so many: dtype and shape were compared with the leaf's when it was made.
//! R3. A row belongs to a slot that this process holds, so nobody else writes it, and it overlaps no array that may be
//!     written.

use pyo3::intern;
use pyo3::prelude::*;

use super::leaf::Leaf;
use super::ndarray::{self, View};
use super::strided::Strided;

/// The memory of one array that fits a leaf.
pub(super) struct Memory {
    layout: Layout,
    array: Py<PyAny>,
}

/// The memory of one array that fits a leaf and may be written.
pub(super) struct WritableMemory(Memory);

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
    #[inline(always)] // What it returns is made where it stays.
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
        Some(Memory { layout, array: array.clone().unbind() })
    }

    /// The same elements in an array of their own.
    pub fn copied(&self, py: Python<'_>, leaf: &Leaf) -> PyResult<Memory> {
        let array = copy_of(py, &self.array)?;
        let memory = View::of(&array).and_then(|view| Memory::of(&array, view, leaf));
        Ok(memory.expect("a copy has the dtype and shape of its original"))
    }

    /// The address of the first element.
    pub fn data(&self) -> *const u8 {
        match &self.layout {
            Layout::Contiguous { data, .. } => data.cast_const(),
            Layout::Strided(strided) => strided.data(),
        }
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
}

impl WritableMemory {
    /// As `Memory::of`, of an array that may be written.
    #[inline(always)]
    pub fn of(array: &Bound<'_, PyAny>, view: View<'_>, leaf: &Leaf) -> Option<WritableMemory> {
        assert!(view.is_writable(), "a read-only array");
        Memory::of(array, view, leaf).map(WritableMemory)
    }

    /// The array.
    pub fn into_array(self) -> Py<PyAny> {
        self.0.array
    }

    /// The lowest address, and the one behind the highest.
    pub fn bounds(&self) -> (usize, usize) {
        match &self.0.layout {
            Layout::Contiguous { data, nbytes } => (data.addr(), data.addr() + nbytes),
            Layout::Strided(strided) => strided.bounds(),
        }
    }

    /// Whether the elements stand side by side.
    pub fn is_contiguous(&self) -> bool {
        matches!(self.0.layout, Layout::Contiguous { .. })
    }

    /// Where it is, as the memory of a leaf.
    pub fn span(&self, py: Python<'_>, leaf: usize) -> Span {
        let Memory { layout, array } = &self.0;
        match layout {
            Layout::Contiguous { data, nbytes } => {
                Span::of(leaf, &Strided::new(*data, &[], &[], *nbytes), array, py)
            }
            Layout::Strided(strided) => Span::of(leaf, strided, array, py),
        }
    }

    /// Copies a row to the array.
    #[inline]
    pub fn copy_from(&mut self, row: &[u8]) {
        match &self.0.layout {
            Layout::Contiguous { data, nbytes } => {
                assert_eq!(row.len(), *nbytes, "a row of another schema");
                // SAFETY: R1, R2 and R3; it may be written, as `of` made sure.
                unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), *data, *nbytes) };
            }
            // SAFETY: T1 is R1, T2 is R2 and R3; it may be written, as `of` made sure.
            Layout::Strided(strided) => unsafe { strided.copy_from(row) },
        }
    }
}

/// Where the bytes of an array are, to be compared with others.
pub(super) struct Span {
    pub leaf: usize,
    /// The lowest address, and the one behind the highest.
    pub start: usize,
    pub end: usize,
    /// Bytes that stand side by side.
    pub run_nbytes: usize,
    /// Lengths and distances of the dimensions of runs, in any order.
    dims: Vec<(usize, usize)>,
    pub array: Py<PyAny>,
}

impl Span {
    fn of(leaf: usize, strided: &Strided, array: &Py<PyAny>, py: Python<'_>) -> Span {
        let (start, end) = strided.bounds();
        let dims = strided.dims().iter().map(|&(length, stride)| (length, stride.unsigned_abs())).collect();
        Span { leaf, start, end, run_nbytes: strided.run_nbytes(), dims, array: array.clone_ref(py) }
    }

    /// Whether all bytes from the start to the end are the array's.
    pub fn is_contiguous(&self) -> bool {
        self.dims.is_empty()
    }

    /// The distances of its runs, dimension by dimension.
    pub fn strides(&self) -> impl Iterator<Item = usize> {
        self.dims.iter().map(|&(_, stride)| stride)
    }

    /// Whether each dimension's steps are over all that the narrower ones reach, as they are in every array that NumPy slices,
    /// transposes or reshapes out of one that owns its memory.
    pub fn is_apart_in_itself(&self) -> bool {
        let mut dims = self.dims.clone();
        dims.sort_unstable_by_key(|&(_, stride)| stride);
        let mut reach = self.run_nbytes;
        dims.iter().all(|&(length, stride)| {
            let is_over = stride >= reach;
            reach += (length - 1) * stride;
            is_over
        })
    }
}

/// The memory of one array that has a row for each of several items.
pub(super) struct StackedMemory {
    data: *mut u8,
    len: usize,
    row_nbytes: usize,
    /// Where the elements are, unless side by side.
    apart: Option<Box<Apart>>,
    array: Py<PyAny>,
    is_writable: bool,
}

/// Lengths and strides of an array whose elements are apart from each other, the items' dimension first.
struct Apart {
    lengths: Vec<isize>,
    strides: Vec<isize>,
    itemsize: usize,
}

// SAFETY: as for `Memory`.
unsafe impl Send for StackedMemory {}
// SAFETY: as for `Memory`.
unsafe impl Sync for StackedMemory {}

impl StackedMemory {
    /// The memory of `array`, of which `view` was taken just now; `None` where its dtype or shape is not that of `len` rows
    /// of the leaf.
    pub fn of(array: &Bound<'_, PyAny>, view: View<'_>, leaf: &Leaf, len: usize) -> Option<StackedMemory> {
        let fits = ndarray::dtypes_are_equal(array.py(), view.dtype, leaf.dtype.as_ptr())
            && view.lengths.split_first() == Some((&(len as isize), &leaf.lengths[..]));
        if !fits {
            return None;
        }
        let apart = || {
            let (lengths, strides) = (view.lengths.to_vec(), view.strides.to_vec());
            Box::new(Apart { lengths, strides, itemsize: leaf.itemsize })
        };
        Some(StackedMemory {
            data: view.data,
            len,
            row_nbytes: leaf.nbytes,
            apart: (!view.is_contiguous()).then(apart),
            array: array.clone().unbind(),
            is_writable: view.is_writable(),
        })
    }

    /// Whether the array may be written.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Where it is, as the memory of a leaf.
    pub fn span(&self, py: Python<'_>, leaf: usize) -> Span {
        let strided = match &self.apart {
            Some(apart) => apart.rows(self.data, 0, self.len),
            None => Strided::new(self.data, &[], &[], self.len * self.row_nbytes),
        };
        Span::of(leaf, &strided, &self.array, py)
    }

    /// The same elements in an array of their own.
    pub fn copied(&self, py: Python<'_>, leaf: &Leaf) -> PyResult<StackedMemory> {
        let array = copy_of(py, &self.array)?;
        let memory = View::of(&array).and_then(|view| StackedMemory::of(&array, view, leaf, self.len));
        Ok(memory.expect("a copy has the dtype and shape of its original"))
    }

    /// The address of the first element.
    pub fn data(&self) -> *const u8 {
        self.data
    }

    /// The array.
    pub fn into_array(self) -> Py<PyAny> {
        self.array
    }

    /// Copies the rows from `first` on to the rows of slots, as many as these are.
    pub fn copy_to(&self, first: usize, run: &mut [u8]) {
        let count = self.rows_of(first, run.len());
        match &self.apart {
            // SAFETY: R1 and R3, and R2, because `rows_of` looked at the rows.
            None => unsafe {
                let from = self.data.wrapping_add(first * self.row_nbytes);
                std::ptr::copy_nonoverlapping(from.cast_const(), run.as_mut_ptr(), run.len());
            },
            // SAFETY: T1 is R1, T2 is R2 and R3.
            Some(apart) => unsafe { apart.rows(self.data, first, count).copy_to(run) },
        }
    }

    /// Copies the rows of slots to the rows from `first` on.
    pub fn copy_from(&mut self, first: usize, run: &[u8]) {
        assert!(self.is_writable, "a read-only array");
        let count = self.rows_of(first, run.len());
        match &self.apart {
            // SAFETY: R1 and R3, and R2, because `rows_of` looked at the rows; it may be written.
            None => unsafe {
                let to = self.data.wrapping_add(first * self.row_nbytes);
                std::ptr::copy_nonoverlapping(run.as_ptr(), to, run.len());
            },
            // SAFETY: T1 is R1, T2 is R2 and R3; it may be written.
            Some(apart) => unsafe { apart.rows(self.data, first, count).copy_from(run) },
        }
    }

    /// How many rows from `first` on these bytes are, all of which the array has.
    fn rows_of(&self, first: usize, nbytes: usize) -> usize {
        // Rows without bytes are all one.
        let count = nbytes.checked_div(self.row_nbytes).unwrap_or(0);
        assert_eq!(nbytes, count * self.row_nbytes, "rows of another schema");
        assert!(first + count <= self.len, "more rows than the array has");
        count
    }
}

/// NumPy's own copy of an array.
fn copy_of<'py>(py: Python<'py>, array: &Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "numpy"))?.call_method1(intern!(py, "array"), (array,))
}

impl Apart {
    /// `count` rows from `first` on of the array at `data`.
    fn rows(&self, data: *mut u8, first: usize, count: usize) -> Strided {
        let mut lengths = self.lengths.clone();
        lengths[0] = count as isize;
        let data = data.wrapping_offset(self.strides[0] * first as isize);
        Strided::new(data, &lengths, &self.strides, self.itemsize)
    }
}

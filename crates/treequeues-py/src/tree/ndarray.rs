//! NumPy arrays by their C fields: the one place that reads and makes them through NumPy's C interface.
//!
//! N1. A `Bound` object whose type is `numpy.ndarray` or a subclass points to a `PyArrayObject`.
//! N2. While the GIL is held and no Python code runs, an array's fields do not change.
//! N3. The address and the lengths that a `View` gives are valid as long as the array lives, and nobody resizes it in
//!     place with `resize(refcheck=False)`, which NumPy leaves to the user as well.
//! N4. A `Bound`, a `Py` beside a `Python`, and a dtype that an array or a `Py` keeps are live, and the GIL is held.
//! N5. NumPy's table of types holds live classes, which live as long as the interpreter.
//! N6. A function of NumPy that makes an object returns a new reference, or null with an exception set.

use std::ffi::c_int;
use std::ptr;

use numpy::npyffi::{
    self, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_CARRAY, NPY_ARRAY_CARRAY_RO, NPY_ARRAY_UPDATE_ALL,
    NPY_ARRAY_WRITEABLE, NpyTypes, PY_ARRAY_API, PyArray_Descr, PyArrayObject,
};
use pyo3::ffi::{self, PyTypeObject};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;
use treequeues::dtype::MAX_NDIM;

/// What the fields of an array say at this moment.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// The address of the first element.
    pub data: *mut u8,
    /// The address of its dtype object, to compare.
    pub dtype: *mut ffi::PyObject,
    /// Its lengths, one a dimension.
    pub lengths: &'a [isize],
    /// Bytes between neighbours, one a dimension.
    pub strides: &'a [isize],
    flags: c_int,
}

impl<'a> View<'a> {
    /// The fields of `object`; `None` if it is no array, nor of a subclass.
    pub fn of(object: &'a Bound<'_, PyAny>) -> Option<View<'a>> {
        is_array(object).then(|| View::of_array(object))
    }

    /// The fields of `object`; `None` unless its type is exactly `array_type`, which is `numpy.ndarray`.
    #[inline]
    pub fn of_exact(object: &'a Bound<'_, PyAny>, array_type: &Py<PyType>) -> Option<View<'a>> {
        (object.get_type_ptr().cast() == array_type.as_ptr()).then(|| View::of_array(object))
    }

    #[inline]
    fn of_array(object: &'a Bound<'_, PyAny>) -> View<'a> {
        // SAFETY: N1, because both callers looked at the type, and N2.
        let fields = unsafe { &(*object.as_ptr().cast::<PyArrayObject>()).fields };
        let ndim = fields.nd as usize;
        let slice = |start: *mut isize| match ndim {
            // NumPy may leave the pointers of an array without dimensions null.
            0 => &[][..],
            // SAFETY: N1 and N2: NumPy keeps `nd` lengths and `nd` strides at these addresses.
            ndim => unsafe { std::slice::from_raw_parts(start, ndim) },
        };
        View {
            data: fields.data.cast(),
            dtype: fields.descr.cast(),
            lengths: slice(fields.dimensions),
            strides: slice(fields.strides),
            flags: fields.flags,
        }
    }

    /// Whether the elements stand side by side in C order.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.flags & NPY_ARRAY_C_CONTIGUOUS != 0
    }

    /// Whether the elements may be written.
    pub fn is_writable(&self) -> bool {
        self.flags & NPY_ARRAY_WRITEABLE != 0
    }
}

/// Whether `object` is an array, or of a subclass.
fn is_array(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: N4.
    unsafe { npyffi::PyArray_Check(object.py(), object.as_ptr()) != 0 }
}

/// Whether `object` is a NumPy scalar, such as `np.float32(0.5)`.
pub(super) fn is_numpy_scalar(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: N5.
    let class = unsafe { npyffi::get_type_object(object.py(), NpyTypes::PyGenericArrType_Type) };
    // SAFETY: N4 and N5.
    unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), class) != 0 }
}

/// Whether two dtypes mean the same: equal to Python, and so of one size and layout.
pub(super) fn dtypes_are_equal(py: Python<'_>, a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> bool {
    // SAFETY: N4.
    a == b || unsafe { PY_ARRAY_API.PyArray_EquivTypes(py, a.cast(), b.cast()) != 0 }
}

/// A new array that owns its memory, not yet written.
#[inline]
pub(super) fn new_array<'py>(
    py: Python<'py>,
    array_type: &Py<PyType>,
    dtype: &Py<PyAny>,
    lengths: &[isize],
) -> PyResult<Bound<'py, PyAny>> {
    let array_type = array_type.as_ptr().cast::<PyTypeObject>();
    let dtype = dtype.clone_ref(py).into_ptr().cast::<PyArray_Descr>();
    let (ndim, lengths) = (lengths.len() as c_int, lengths.as_ptr().cast_mut());
    // SAFETY: N4, and `array_type` is `numpy.ndarray`. NumPy takes over the new reference to the dtype, reads `ndim` lengths
    // without writing them, and allocates the data itself because it is given none.
    let array = unsafe {
        PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            array_type,
            dtype,
            ndim,
            lengths,
            ptr::null_mut(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
        )
    };
    // SAFETY: N6.
    unsafe { Bound::from_owned_ptr_or_err(py, array) }
}

/// An array over memory that `base` keeps, in C order.
///
/// # Safety
///
/// At `data` lie as many bytes as the array has. They stay mapped while `base` lives, and nobody who does not go through
/// an array with this base writes to them meanwhile, nor, where the array is writable, reads them.
pub(super) unsafe fn array_over<'py>(
    base: &Bound<'py, PyAny>,
    array_type: &Py<PyType>,
    dtype: &Py<PyAny>,
    lengths: &[isize],
    data: *mut u8,
    is_writable: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = base.py();
    let array_type = array_type.as_ptr().cast::<PyTypeObject>();
    let dtype = dtype.clone_ref(py).into_ptr().cast::<PyArray_Descr>();
    let (ndim, lengths) = (lengths.len() as c_int, lengths.as_ptr().cast_mut());
    let flags = if is_writable { NPY_ARRAY_CARRAY } else { NPY_ARRAY_CARRAY_RO };
    let (strides, object) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: N4, and `array_type` is `numpy.ndarray`. NumPy takes over the new reference to the dtype, reads `ndim` lengths
    // without writing them, and leaves the data alone.
    let array = unsafe {
        let data = data.cast();
        PY_ARRAY_API.PyArray_NewFromDescr(py, array_type, dtype, ndim, lengths, strides, data, flags, object)
    };
    // SAFETY: N6.
    let array = unsafe { Bound::from_owned_ptr_or_err(py, array) }?;
    let base = base.clone().into_ptr();
    // SAFETY: N1, and the array has no base yet. NumPy takes over the new reference to the base, also when it fails.
    let status = unsafe { PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), base) };
    if status != 0 {
        return Err(PyErr::fetch(py));
    }
    // An array may be contiguous in both orders, and a dtype may ask for more alignment than a packed row gives.
    // SAFETY: N1.
    unsafe { PY_ARRAY_API.PyArray_UpdateFlags(py, array.as_ptr().cast(), NPY_ARRAY_UPDATE_ALL) };
    Ok(array)
}

/// A NumPy scalar of these bytes.
pub(super) fn new_scalar<'py>(
    py: Python<'py>,
    dtype: &Py<PyAny>,
    bytes: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: N4.
    let itemsize = unsafe { npyffi::PyDataType_ELSIZE(py, dtype.as_ptr().cast()) };
    assert_eq!(itemsize as usize, bytes.len(), "the bytes of another dtype");
    let data = bytes.as_ptr().cast_mut().cast();
    // SAFETY: N4, and NumPy copies one element from `data`, which has as many bytes.
    let scalar = unsafe { PY_ARRAY_API.PyArray_Scalar(py, data, dtype.as_ptr().cast(), ptr::null_mut()) };
    // SAFETY: N6.
    unsafe { Bound::from_owned_ptr_or_err(py, scalar) }
}

/// The bytes of a NumPy scalar, if its type is exactly `scalar_type`, which is that of a number of NumPy's own
/// of at most 16 bytes.
pub(super) fn number_bytes(scalar: &Bound<'_, PyAny>, scalar_type: &Py<PyType>) -> Option<[u8; 16]> {
    if scalar.get_type_ptr().cast() != scalar_type.as_ptr() {
        return None;
    }
    let mut bytes = [0; 16];
    // SAFETY: N4. `scalar_type` is that of a number of NumPy's own of at most 16 bytes, and of such a scalar NumPy writes
    // exactly the bytes of its element.
    unsafe {
        PY_ARRAY_API.PyArray_ScalarAsCtype(scalar.py(), scalar.as_ptr(), bytes.as_mut_ptr().cast());
    }
    Some(bytes)
}

/// How many dimensions an array may have: 32 before NumPy 2, and 64 since.
pub(super) fn max_ndim(py: Python<'_>) -> PyResult<usize> {
    let version: String = py.import(intern!(py, "numpy"))?.getattr(intern!(py, "__version__"))?.extract()?;
    Ok(if version.starts_with("1.") { 32 } else { MAX_NDIM })
}

/// The class `numpy.ndarray`.
pub(super) fn array_type(py: Python<'_>) -> Py<PyType> {
    // SAFETY: N5.
    let class = unsafe { npyffi::get_type_object(py, NpyTypes::PyArray_Type) };
    // SAFETY: N5.
    unsafe { PyType::from_borrowed_type_ptr(py, class) }.unbind()
}

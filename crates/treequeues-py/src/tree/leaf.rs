//! A leaf as the walks and copies want it.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;
use treequeues::dtype::Dtype;
use treequeues::schema::{LeafKind, LeafSpec};

use super::dtype;
use super::encoding::Encoding;

/// A leaf as the walk wants it.
pub(super) struct Leaf {
    pub kind: LeafKind,
    /// The dtype object of NumPy.
    pub dtype: Py<PyAny>,
    /// The lengths of its dimensions, in NumPy's type.
    pub lengths: Vec<isize>,
    pub nbytes: usize,
    pub itemsize: usize,
    pub encoding: Encoding,
    /// The class of the scalars of this dtype, for NumPy's own numbers of at most 16 bytes.
    pub number_type: Option<Py<PyType>>,
    /// For messages.
    pub dtype_name: String,
}

impl Leaf {
    pub fn of(py: Python<'_>, spec: &LeafSpec) -> PyResult<Leaf> {
        let numpy_dtype = dtype::to_numpy(py, &spec.dtype)?;
        let itemsize = spec.dtype.itemsize();
        if numpy_dtype.getattr(intern!(py, "itemsize"))?.extract::<usize>()? != itemsize {
            let message =
                format!("{}: this NumPy has elements of another size for {}", spec.path, spec.dtype);
            return Err(PyRuntimeError::new_err(message));
        }
        let encoding = Encoding::of(&spec.dtype);
        let is_native = numpy_dtype.getattr(intern!(py, "isnative"))?.extract()?;
        let scalar_type = numpy_dtype.getattr(intern!(py, "type"))?.cast_into::<PyType>()?.unbind();
        // Of the scalars of other packages NumPy gives an address instead of the bytes.
        let is_numpys = matches!(&spec.dtype, Dtype::Number(number, _) if !number.is_extension());
        let has_bytes = is_numpys && is_native && itemsize <= 16;
        Ok(Leaf {
            kind: spec.kind,
            dtype: numpy_dtype.unbind(),
            lengths: spec.shape.iter().map(|&length| length as isize).collect(),
            nbytes: spec.nbytes(),
            itemsize,
            encoding,
            number_type: has_bytes.then_some(scalar_type),
            dtype_name: spec.dtype.to_string(),
        })
    }
}

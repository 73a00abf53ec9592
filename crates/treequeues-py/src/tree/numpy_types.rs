//! Classes of NumPy's and of the standard library's, imported once.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};
use treequeues::dtype::Dtype;

use super::encoding::Encoding;
use super::{dtype, ndarray};

/// Classes and functions that the walks compare with and call.
pub(super) struct NumpyTypes {
    pub array: Py<PyType>,
    pub masked_array: Py<PyAny>,
    pub ordered_dict: Py<PyType>,
    pub default_dict: Py<PyType>,
    pub tuple_new: Py<PyAny>,
    /// The classes of NumPy's usual numbers.
    pub numbers: Arc<[(Py<PyType>, Encoding)]>,
}

impl NumpyTypes {
    fn import(py: Python<'_>) -> PyResult<NumpyTypes> {
        let collections = py.import("collections")?;
        Ok(NumpyTypes {
            array: ndarray::array_type(py),
            masked_array: py.import("numpy.ma")?.getattr("MaskedArray")?.unbind(),
            ordered_dict: collections.getattr("OrderedDict")?.extract()?,
            default_dict: collections.getattr("defaultdict")?.extract()?,
            tuple_new: py.get_type::<PyTuple>().getattr("__new__")?.unbind(),
            numbers: usual_numbers(py)?.into(),
        })
    }

    pub fn clone_ref(&self, py: Python<'_>) -> NumpyTypes {
        NumpyTypes {
            array: self.array.clone_ref(py),
            masked_array: self.masked_array.clone_ref(py),
            ordered_dict: self.ordered_dict.clone_ref(py),
            default_dict: self.default_dict.clone_ref(py),
            tuple_new: self.tuple_new.clone_ref(py),
            numbers: Arc::clone(&self.numbers),
        }
    }
}

/// The classes, imported once.
pub(super) fn numpy_types(py: Python<'_>) -> PyResult<&NumpyTypes> {
    static TYPES: PyOnceLock<NumpyTypes> = PyOnceLock::new();
    TYPES.get_or_try_init(py, || NumpyTypes::import(py))
}

/// The numbers that environments and models hand out, the likeliest ones first.
fn usual_numbers(py: Python<'_>) -> PyResult<Vec<(Py<PyType>, Encoding)>> {
    let names = [
        "float32",
        "float64",
        "int64",
        "int32",
        "bool",
        "uint8",
        "int8",
        "int16",
        "uint16",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
    ];
    let number = |name: &&str| {
        let spec = Dtype::from_name(name).expect("a dtype of NumPy's");
        let class = dtype::to_numpy(py, &spec)?.getattr(intern!(py, "type"))?.cast_into::<PyType>()?;
        Ok((class.unbind(), Encoding::of(&spec)))
    };
    names.iter().map(number).collect()
}

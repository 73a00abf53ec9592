//! `ReadLoan`: what is borrowed, until it is released or given back.

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::base::{AnyLender, End, Loan, warn_of_death};
use crate::detached::{claiming, is_long};
use crate::hold::AnyHold;
use crate::info::{self, Info};
use crate::outcome;

/// A borrowed item, or several side by side, until release or give_back.
///
/// As a context manager it releases at the clean end of the block, and gives back at an exception. An item of a topic, which others may
/// read at the same time, is released in any case.
#[pyclass(frozen, generic, weakref, module = "treequeues", name = "ReadLoan")]
pub struct ReadLoan {
    loan: Loan,
    infos: Infos,
    /// Whether what is not released comes again.
    comes_again: bool,
}

/// What is known about each item.
pub enum Infos {
    One([Info; 1]),
    Many(Vec<Info>),
}

impl Infos {
    fn as_slice(&self) -> &[Info] {
        match self {
            Self::One(info) => info,
            Self::Many(infos) => infos,
        }
    }
}

impl<I: Into<Info>> FromIterator<I> for Infos {
    fn from_iter<T: IntoIterator<Item = I>>(infos: T) -> Self {
        let mut infos = infos.into_iter().map(Into::into);
        let first = infos.next().expect("no loan is empty");
        match infos.next() {
            None => Self::One([first]),
            Some(second) => Self::Many([first, second].into_iter().chain(infos).collect()),
        }
    }
}

impl ReadLoan {
    pub fn new(
        py: Python<'_>,
        lender: AnyLender,
        hold: AnyHold,
        infos: Infos,
        is_stack: bool,
    ) -> PyResult<Self> {
        let comes_again = hold.comes_again();
        Ok(Self { loan: Loan::new(py, lender, hold, is_stack, false)?, infos, comes_again })
    }

    /// Puts the items back, where they come again.
    fn end_as_if_unread(&self, py: Python<'_>) -> PyResult<()> {
        if self.comes_again { self.give_back(py) } else { self.release(py) }
    }
}

#[pymethods]
impl ReadLoan {
    /// The item as a tree like the example, whose leaves are read-only arrays.
    ///
    /// Raises ValueError when the loan has ended.
    #[getter]
    fn tree<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.loan.tree(py)
    }

    /// The ItemInfo of the first item.
    #[getter]
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        info::to_python(py, self.infos.as_slice()[0].clone())
    }

    /// One ItemInfo for each item.
    #[getter]
    fn infos<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let infos: Vec<_> = self
            .infos
            .as_slice()
            .iter()
            .cloned()
            .map(|info| info::to_python(py, info))
            .collect::<PyResult<_>>()?;
        PyList::new(py, infos)
    }

    /// End the read: the slot is free again. ValueError when the loan has ended.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.loan.end_by(py, End::Release, AnyHold::release)
    }

    /// Put the item back: it comes first again, once no view of it lives.
    ///
    /// Raises ValueError when the loan has ended, and for an item of a topic, which comes to each reader once.
    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        if !self.comes_again {
            return Err(PyValueError::new_err(
                "an item of a topic cannot be given back, since it does not come again: release() it",
            ));
        }
        let ended = self.loan.end(py, End::GiveBack)?;
        if ended.has_views {
            // The hold does it when it dies.
            ended.keep_for_views(self.loan.len);
            return Ok(());
        }
        let hold = ended.hold.get();
        claiming(py, is_long(self.loan.len), || hold.lock().give_back()).map_err(outcome::corrupted_error)
    }

    fn __len__(&self) -> usize {
        self.loan.len
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().loan.held(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.loan.leave_block(py, exception, || self.release(py), || self.end_as_if_unread(py))
    }

    fn __repr__(&self) -> String {
        self.loan.repr("ReadLoan", "item")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.loan.traverse(&visit)
    }

    fn __clear__(&self) {
        self.loan.clear();
    }
}

impl Drop for ReadLoan {
    fn drop(&mut self) {
        self.loan.end_unended(|py| {
            let _ = self.end_as_if_unread(py);
            let message = if self.comes_again {
                c"a ReadLoan died without release() or give_back(): what it borrowed goes back to the queue, and comes again; use \
                  `with`, or call one of them"
            } else {
                c"a ReadLoan died without release(): it kept a slot of the topic until now; use `with`, or call release()"
            };
            warn_of_death(py, message);
        });
    }
}

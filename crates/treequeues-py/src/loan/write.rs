//! `WriteLoan`: what is reserved, until it is committed or aborted.

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::base::{AnyLender, End, Ended, Loan, ended, ended_already, warn_of_death};
use crate::arguments::Timeout;
use crate::detached::copying;
use crate::errors;
use crate::hold::{AnyHold, HoldObject};
use crate::kept;
use crate::outcome;
use crate::tree::{Sources, Stack};

/// A reserved slot, or several side by side, until commit or abort.
///
/// As a context manager it commits at the clean end of the block, and aborts at an exception. One that dies without either
/// aborts, with a ResourceWarning.
#[pyclass(frozen, generic, weakref, module = "treequeues", name = "WriteLoan")]
pub struct WriteLoan {
    loan: Loan,
    /// How long a commit may wait for the slot that it copies into, if it has to.
    timeout: Timeout,
}

impl WriteLoan {
    pub fn new(
        py: Python<'_>,
        lender: AnyLender,
        hold: AnyHold,
        is_stack: bool,
        timeout: Timeout,
    ) -> PyResult<Self> {
        Ok(Self { loan: Loan::new(py, lender, hold, is_stack, true)?, timeout })
    }

    fn fill_with(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let lender = self.loan.lender(py)?;
        let tree = lender.tree();
        let hold = self.loan.held(py)?;
        if self.loan.is_stack {
            let stack = tree.stacked_sources(value)?;
            if stack.len() != self.loan.len {
                return Err(other_length(self.loan.len, stack.len()));
            }
            self.fill_stack(py, &hold, stack)?;
        } else {
            self.fill(py, &hold, tree.sources(py, value)?)?;
        }
        // What was replaced in the tree so far is overwritten with the rest.
        let (tree, arrays) = {
            let mut state = self.loan.state();
            if state.hold.is_none() {
                // It ended under the copy, by another thread or by a flatten function.
                return Err(ended());
            }
            (state.tree.take(), std::mem::take(&mut state.arrays))
        };
        drop((tree, arrays));
        Ok(())
    }

    /// Copies into the slots what the user put in the place of their arrays: `loan.tree["reward"] = 5.0`.
    fn write_replaced(&self, py: Python<'_>) -> PyResult<()> {
        let (hold, root, arrays) = {
            let state = self.loan.state();
            let hold = state.hold.as_ref().ok_or_else(ended)?;
            let Some(root) = &state.tree else { return Ok(()) };
            // New references: the walk may run the user's code, which may end the loan.
            let arrays: Vec<_> = state.arrays.iter().map(|array| array.clone_ref(py)).collect();
            (hold.bind(py).clone(), root.bind(py).clone(), arrays)
        };
        let lender = self.loan.lender(py)?;
        let tree = lender.tree();
        if self.loan.is_stack {
            let stack = tree.stacked_sources_but(&root, self.loan.len, &arrays)?;
            if !stack.is_in_place() {
                self.fill_stack(py, &hold, stack)?;
            }
        } else {
            let sources = tree.sources_but(&root, &arrays)?;
            if !sources.are_in_place() {
                self.fill(py, &hold, sources)?;
            }
        }
        Ok(())
    }

    /// Copies a tree into the one slot of a hold.
    fn fill(&self, py: Python<'_>, hold: &Bound<'_, HoldObject>, mut sources: Sources) -> PyResult<()> {
        sources.leave(py, self.loan.lender(py)?.tree(), |data| hold.get().lock().is_in_segment(data))?;
        let mut slots = hold.get().slots();
        copying(py, sources.nbytes(), || sources.copy_to(&mut slots));
        Ok(())
    }

    /// Copies a stacked tree into the slots of a hold.
    fn fill_stack(&self, py: Python<'_>, hold: &Bound<'_, HoldObject>, mut stack: Stack) -> PyResult<()> {
        let lender = self.loan.lender(py)?;
        stack.leave(py, lender.tree(), |data| hold.get().lock().is_in_segment(data))?;
        let mut slots = hold.get().slots();
        let nbytes = lender.tree().schema().item_nbytes().saturating_mul(self.loan.len);
        copying(py, nbytes, || slots.write_stack(&stack));
        Ok(())
    }

    fn publish(&self, py: Python<'_>) -> PyResult<()> {
        let end = self.loan.state().end;
        if end.is_some() {
            return Err(ended_already(end));
        }
        if let Err(error) = self.write_replaced(py) {
            // What does not fit is not put, and no slot is kept for it.
            if !self.loan.has_ended() {
                let _ = self.loan.end_by(py, End::FailedCommit, AnyHold::abort);
            }
            return Err(error);
        }
        // Until it is done.
        let ended = self.loan.end(py, End::FailedCommit)?;
        self.commit_ended(py, &ended)?;
        self.loan.state().end = Some(End::Commit);
        Ok(())
    }

    fn commit_ended(&self, py: Python<'_>, ended: &Ended<'_>) -> PyResult<()> {
        if !ended.hold.get().lock().is_this_process() {
            return Err(PyValueError::new_err(
                "the loan belongs to the process that this one was forked from, and only that one can commit it",
            ));
        }
        if !ended.has_views {
            return ended.lender.commit(py, ended.hold.get(), self.loan.len);
        }
        // Both first, so that a wait for the other slot holds none, and says whose views it may be waiting for.
        ended.keep_for_views(self.loan.len);
        ended.hold.get().lock().linger().map_err(outcome::corrupted_error)?;
        self.commit_copy(py, ended)
    }

    /// Publishes the item from another slot, because somebody could write to this one while others read.
    fn commit_copy(&self, py: Python<'_>, ended: &Ended<'_>) -> PyResult<()> {
        let lender = &ended.lender;
        let kept = || {
            PyBufferError::new_err(format!(
                "the item cannot be put: a view of {} is still alive at the end of its reserve, and the {} has no other \
                 slot to copy the item into (maxsize={}), nor will one surely become free; drop the view (del) before the \
                 block ends",
                kept::named(&ended.outlived_by),
                lender.noun(),
                lender.capacity()
            ))
        };
        if !lender.has_room_elsewhere(self.loan.len) {
            return Err(kept());
        }
        lender.kept().warn_of_copy(py, &ended.outlived_by)?;
        let is_put = lender.commit_elsewhere(py, ended.hold.get(), self.loan.len, self.timeout)?;
        if is_put { Ok(()) } else { Err(kept()) }
    }
}

#[pymethods]
impl WriteLoan {
    /// The slot as a tree like the example, whose leaves are writable arrays. They begin with what an older item left there.
    ///
    /// Raises ValueError when the loan has ended.
    #[getter]
    fn tree<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.loan.tree(py)
    }

    /// Copy a tree into the slot, as put would.
    ///
    /// Raises SchemaError if it does not fit, and ValueError when the loan has ended.
    fn write(&self, py: Python<'_>, tree: &Bound<'_, PyAny>) -> PyResult<()> {
        self.fill_with(py, tree)
    }

    /// Publish: readers see the item when this returns.
    ///
    /// Raises SchemaError if a leaf was replaced by what does not fit, and BufferError, queue.Full or ShutDown if a view is
    /// still alive and the item cannot be copied into another slot: then it is not put. ValueError when the loan has ended.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        self.publish(py)
    }

    /// Give the slot back unwritten. ValueError when the loan has ended.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.loan.end_by(py, End::Abort, AnyHold::abort)
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
        self.loan.leave_block(py, exception, || self.publish(py), || self.abort(py))
    }

    fn __repr__(&self) -> String {
        self.loan.repr("WriteLoan", "slot")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.loan.traverse(&visit)
    }

    fn __clear__(&self) {
        self.loan.clear();
    }
}

impl Drop for WriteLoan {
    fn drop(&mut self) {
        self.loan.end_unended(|py| {
            let _ = self.abort(py);
            // A program that ends with a reserve open has not lost sight of it.
            if !is_finalizing(py) {
                let message = c"a WriteLoan died without commit() or abort(): what was written to it is not put, and its slots \
                                are free again; use `with`, which commits, or call one of them";
                warn_of_death(py, message);
            }
        });
    }
}

/// A stacked tree of another length than the loan that it is for.
fn other_length(expected: usize, got: usize) -> PyErr {
    errors::schema_error(format!("the loan has {expected} slots, but the stacked tree {got} rows"))
}

/// Whether the interpreter is about to end, and drops what is left.
fn is_finalizing(py: Python<'_>) -> bool {
    let asked = py.import(intern!(py, "sys")).and_then(|sys| sys.call_method0(intern!(py, "is_finalizing")));
    // Where modules can no longer be asked, it is.
    asked.and_then(|is_finalizing| is_finalizing.extract()).unwrap_or(true)
}

//! Loans: zero-copy access to the rows of a slot, until it ends once.
//!
//! A loan is proof that this process has claimed its slot, to write or to read. What it can be ended by is the affair of the structure that
//! the slot belongs to; what is written here is what all loans have in common.
//!
//! | file | what it is |
//! |---|---|
//! | `mod` | a claim that ends once: `Guard` |
//! | `access` | what each loan lets its user do with the rows |
//! | `rows` | the rows of a claimed slot: `WriteRows`, `ReadRows` |
//! | `typed` | these as slices of Rust types |
//! | `arrays` | these as views of `ndarray`, with the feature of that name |
//!
//! N1. Across all processes, nobody else has the rows while they are written, and nobody writes to them while they are read: a queue's
//!     slot has one loan at most, by R1 and R3 of its ring.
//! N2. A loan ends once: by one of its verbs, by its drop, or by a sweep after its owner's death.
//! N3. A loan borrows its queue, so the segment stays mapped and the participant registered while it lives.
//! N4. In a forked child an inherited loan is the parent's: ending it does nothing there.

mod access;
#[cfg(feature = "ndarray")]
pub(crate) mod arrays;
mod rows;
pub(crate) mod typed;

use std::fmt;
use std::sync::Arc;

pub(crate) use access::{read_access, write_access};
pub(crate) use rows::{ReadRows, WriteRows};

use crate::error::Corrupted;
use crate::presence::attached::Attached;
use crate::presence::structure::Structure;

/// How a loan ends that nobody ends.
pub(crate) trait End {
    type Structure: Structure;
    type Claim: fmt::Debug;

    /// What its drop does.
    fn dropped(attached: &Attached<Self::Structure>, claim: Self::Claim) -> Result<(), Corrupted>;
}

/// A claim, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Guard<'q, E: End> {
    attached: &'q Arc<Attached<E::Structure>>,
    claim: Option<E::Claim>,
}

impl<'q, E: End> Guard<'q, E> {
    #[inline]
    pub(crate) fn new(attached: &'q Arc<Attached<E::Structure>>, claim: E::Claim) -> Self {
        Self { attached, claim: Some(claim) }
    }

    #[inline]
    pub(crate) fn attached(&self) -> &'q Arc<Attached<E::Structure>> {
        self.attached
    }

    #[inline]
    pub(crate) fn claim(&self) -> &E::Claim {
        self.claim.as_ref().expect("N2: only what consumes the guard takes its claim")
    }

    /// The claim, whose end is now the caller's affair.
    pub(crate) fn into_claim(mut self) -> E::Claim {
        self.claim.take().expect("N2: only what consumes the guard takes its claim")
    }

    /// Ends it, once (N2), and in its own process alone (N4).
    #[inline]
    pub(crate) fn end(
        mut self,
        how: impl FnOnce(&Attached<E::Structure>, E::Claim) -> Result<(), Corrupted>,
    ) -> Result<(), Corrupted> {
        end(self.attached, self.claim.take(), how)
    }
}

impl<E: End> Drop for Guard<'_, E> {
    fn drop(&mut self) {
        // A damaged word is reported by the next call that meets it.
        let _ = end(self.attached, self.claim.take(), E::dropped);
    }
}

#[inline]
fn end<S: Structure, C>(
    attached: &Attached<S>,
    claim: Option<C>,
    how: impl FnOnce(&Attached<S>, C) -> Result<(), Corrupted>,
) -> Result<(), Corrupted> {
    match claim {
        Some(claim) if attached.is_this_process() => how(attached, claim),
        _ => Ok(()),
    }
}

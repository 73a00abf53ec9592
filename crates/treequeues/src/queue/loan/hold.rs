//! Holds: what a loan is proof of, without its lifetime.
//!
//! A language whose views of memory live as long as somebody refers to them cannot promise that they end with the loan.
//! Its bindings keep the slots by a `Hold` for as long as any view lives, and say when the loan ends:
//!
//! | state | phase of the slots | dropped |
//! |---|---|---|
//! | writing | WRITING or LATE | aborts |
//! | reading | READING | gives back |
//! | lingering: the loan has ended, views live | LINGERING | lets go |
//! | ended | others' | |
//!
//! H1. A hold has its own share of the attachment, so the segment stays mapped and the participant registered while it
//!     lives, whatever else is closed.
//! H2. In a forked child an inherited hold is the parent's: the child's mapping is private, and ending it does nothing.

use std::ptr::NonNull;
use std::sync::Arc;

use super::batch::{commit, end};
use super::{Attached, Claim, ItemInfo};
use crate::error::Corrupted;
use crate::item::schema::Schema;
use crate::queue::batch::Elsewhere;

/// One or several slots, held until they are given up by one of the verbs, or dropped.
///
/// A borrow of a queue that is shut down waits until what others hold is done, other threads of this process included, but
/// not for what its own thread has reserved or borrowed. A hold stays its first thread's, wherever it goes.
#[derive(Debug)]
pub struct Hold {
    attached: Arc<Attached>,
    claims: Vec<Claim>,
    state: State,
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Writing,
    Reading,
    Lingering,
    Ended,
}

impl Hold {
    pub(super) fn writing(attached: &Arc<Attached>, claims: impl IntoIterator<Item = Claim>) -> Self {
        Self::new(attached, claims, State::Writing)
    }

    pub(super) fn reading(attached: &Arc<Attached>, claims: impl IntoIterator<Item = Claim>) -> Self {
        Self::new(attached, claims, State::Reading)
    }

    fn new(attached: &Arc<Attached>, claims: impl IntoIterator<Item = Claim>, state: State) -> Self {
        let claims: Vec<_> = claims.into_iter().collect();
        let len = claims.len();
        Self { attached: Arc::clone(attached), claims, state, len }
    }

    /// The queue's schema.
    pub fn schema(&self) -> &Schema {
        self.attached.schema()
    }

    /// Slots, at least one.
    #[expect(clippy::len_without_is_empty, reason = "no hold is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the hold is this process's, and not inherited through a fork.
    pub fn is_this_process(&self) -> bool {
        self.attached.is_this_process()
    }

    /// Whether nothing else of this process uses the queue's memory: its drop then leaves the queue, and unmaps it, which
    /// takes time.
    pub fn is_last_here(&self) -> bool {
        Arc::strong_count(&self.attached) == 1
    }

    /// The address of one leaf's row in the first slot. It stays mapped while the hold lives (H1). What may be done there is
    /// what the state allows: write while writing, read while reading, and neither lets others see anything afterwards.
    ///
    /// # Panics
    /// If the schema has no such leaf, or the hold has ended.
    pub fn first_row(&self, leaf: usize) -> NonNull<u8> {
        self.attached.segment().row(leaf, self.claims[0].slot).0
    }

    /// Whether an address lies in the queue's memory, as this process has it.
    pub fn is_in_segment(&self, address: *const u8) -> bool {
        self.attached.segment().is_inside(address)
    }

    /// Whether the slots lie side by side, so that each leaf's rows follow `first_row` without a gap.
    pub fn is_side_by_side(&self) -> bool {
        self.claims.windows(2).all(|pair| pair[0].slot + 1 == pair[1].slot)
    }

    /// Ticket, put time, producer and delivery count of each item, while reading.
    pub fn infos(&self) -> impl Iterator<Item = ItemInfo> {
        self.claims.iter().map(|claim| ItemInfo::of(&self.attached, claim))
    }

    /// Publishes what was written, in order. If this process is killed meanwhile, all items come, or none.
    ///
    /// # Errors
    /// If a slot's state word was damaged.
    ///
    /// # Panics
    /// Unless the hold is writing.
    pub fn commit(&mut self) -> Result<(), Corrupted> {
        assert_eq!(self.state, State::Writing, "a loan ends once");
        self.state = State::Ended;
        commit(&self.attached, &mut self.claims)
    }

    /// Gives the slots back unwritten.
    ///
    /// # Errors
    /// If a slot's state word was damaged.
    ///
    /// # Panics
    /// Unless the hold is writing.
    pub fn abort(&mut self) -> Result<(), Corrupted> {
        self.end(State::Writing, Attached::abort)
    }

    /// Ends the read.
    ///
    /// # Errors
    /// If a slot's state word was damaged.
    ///
    /// # Panics
    /// Unless the hold is reading.
    pub fn release(&mut self) -> Result<(), Corrupted> {
        self.end(State::Reading, Attached::release)
    }

    /// Puts the items back.
    ///
    /// # Errors
    /// If a slot's state word was damaged.
    ///
    /// # Panics
    /// Unless the hold is reading.
    pub fn give_back(&mut self) -> Result<(), Corrupted> {
        self.end(State::Reading, Attached::give_back)
    }

    /// Ends the loan, but keeps the slots for the views that still live: no item comes of them any more, also if this
    /// process dies. They are free when the hold is dropped.
    ///
    /// # Errors
    /// If a slot's state word was damaged.
    ///
    /// # Panics
    /// Unless the hold is writing or reading.
    pub fn linger(&mut self) -> Result<(), Corrupted> {
        assert!(matches!(self.state, State::Writing | State::Reading), "a loan ends once");
        let was_read = self.state == State::Reading;
        self.state = State::Lingering;
        if !self.is_this_process() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for claim in std::mem::take(&mut self.claims) {
            match self.attached.linger(claim, was_read) {
                Ok(claim) => self.claims.push(claim),
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// What is needed to put what was written although views keep these slots: other slots, to copy it into
    /// ([`Queue::reserve_elsewhere_with`](crate::Queue::reserve_elsewhere_with)). The rows stay as they are until the hold is
    /// dropped.
    ///
    /// # Panics
    /// Unless the hold lingers.
    pub fn elsewhere(&self) -> Elsewhere {
        assert_eq!(self.state, State::Lingering, "what can be committed is not copied");
        let ticket = self.claims.iter().map(|claim| claim.ticket).max();
        Elsewhere { len: self.len, ticket: ticket.unwrap_or(u64::MAX) }
    }

    fn end(
        &mut self,
        from: State,
        how: impl Fn(&Attached, Claim) -> Result<(), Corrupted>,
    ) -> Result<(), Corrupted> {
        assert_eq!(self.state, from, "a loan ends once");
        self.state = State::Ended;
        end(&self.attached, &mut self.claims, how)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let how = match self.state {
            State::Writing => Attached::abort,
            State::Reading => Attached::give_back,
            State::Lingering => Attached::let_go,
            State::Ended => return,
        };
        // A damaged word is reported by the next call that meets it.
        let _ = end(&self.attached, &mut self.claims, how);
    }
}

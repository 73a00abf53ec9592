//! Holds: what a loan of a topic is proof of, without its lifetime.
//!
//! What they are for, and H1 and H2, is in `queue::loan::hold`.
//!
//! | state | the slot | dropped |
//! |---|---|---|
//! | writing | WRITING | aborts |
//! | reading | pinned | releases |
//! | lingering: the loan has ended, views live | pinned | lets go |
//! | ended | others' | |

use std::ptr::NonNull;
use std::sync::Arc;

use super::{Attached, Claim, Pinned};
use crate::error::Corrupted;
use crate::item::schema::Schema;
use crate::presence::counters::Counter;

/// One slot of a topic, held until it is given up by one of the verbs, or dropped.
#[derive(Debug)]
pub struct TopicHold {
    attached: Arc<Attached>,
    state: State,
    slot: usize,
}

#[derive(Debug)]
enum State {
    Writing(Claim),
    Reading(Pinned),
    Lingering { kept: Pinned, was_writing: bool },
    Ended,
}

/// That an item lingers which is to be copied into another slot: [`TopicHold::elsewhere`].
#[derive(Clone, Copy, Debug)]
pub struct TopicElsewhere(());

impl TopicHold {
    pub(super) fn writing(attached: &Arc<Attached>, claim: Claim) -> Self {
        Self { attached: Arc::clone(attached), slot: claim.slot, state: State::Writing(claim) }
    }

    pub(super) fn reading(attached: &Arc<Attached>, pinned: Pinned) -> Self {
        Self { attached: Arc::clone(attached), slot: pinned.slot, state: State::Reading(pinned) }
    }

    /// The slot's number: several readers have one.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// The topic's schema.
    pub fn schema(&self) -> &Schema {
        self.attached.schema()
    }

    /// Whether the hold is this process's, and not inherited through a fork.
    pub fn is_this_process(&self) -> bool {
        self.attached.is_this_process()
    }

    /// Whether nothing else of this process uses the topic's memory: its drop then leaves the topic, and unmaps it, which
    /// takes time.
    pub fn is_last_here(&self) -> bool {
        Arc::strong_count(&self.attached) == 1
    }

    /// The address of one leaf's row. It stays mapped while the hold lives (H1). What may be done there is what the state allows: write while
    /// writing, read while reading, and neither lets others see anything afterwards. That of a read lies in a mapping of its own: whoever
    /// writes there gets a SIGSEGV.
    ///
    /// # Panics
    /// If the schema has no such leaf, or the hold has ended.
    pub fn first_row(&self, leaf: usize) -> NonNull<u8> {
        let segment = self.attached.segment();
        match self.state {
            // Nobody else gets a slot that lingers after a write, so that whoever still writes to it does so for nobody.
            State::Writing(_) | State::Lingering { was_writing: true, .. } => segment.row(leaf, self.slot).0,
            State::Reading(_) | State::Lingering { .. } => segment.row_to_read(leaf, self.slot).0,
            State::Ended => panic!("a hold that has ended has no rows"),
        }
    }

    /// Whether an address lies in the topic's memory, as this process has it.
    pub fn is_in_segment(&self, address: *const u8) -> bool {
        self.attached.segment().is_inside(address)
    }

    /// What is needed to put what was written although views keep this slot: another slot, to copy it into
    /// ([`Topic::reserve_elsewhere_with`](crate::Topic::reserve_elsewhere_with)). The rows stay as they are until the hold is dropped.
    ///
    /// # Panics
    /// Unless the hold lingers.
    pub fn elsewhere(&self) -> TopicElsewhere {
        assert!(matches!(self.state, State::Lingering { .. }), "what can be committed is not copied");
        TopicElsewhere(())
    }

    /// Publishes what was written, and returns the item's ticket.
    ///
    /// # Errors
    /// If a state word was damaged.
    ///
    /// # Panics
    /// Unless the hold is writing.
    pub fn commit(&mut self) -> Result<u64, Corrupted> {
        let State::Writing(claim) = self.take_state() else { panic!("a loan ends once") };
        if self.is_this_process() { self.attached.commit(claim) } else { Ok(0) }
    }

    /// Gives the slot back unwritten.
    ///
    /// # Errors
    /// If a state word was damaged.
    ///
    /// # Panics
    /// Unless the hold is writing.
    pub fn abort(&mut self) -> Result<(), Corrupted> {
        let State::Writing(claim) = self.take_state() else { panic!("a loan ends once") };
        if self.is_this_process() { self.attached.abort(claim) } else { Ok(()) }
    }

    /// Ends the read.
    ///
    /// # Errors
    /// If the pin was damaged.
    ///
    /// # Panics
    /// Unless the hold is reading.
    pub fn release(&mut self) -> Result<(), Corrupted> {
        let State::Reading(pinned) = self.take_state() else { panic!("a loan ends once") };
        if self.is_this_process() { self.attached.release(pinned) } else { Ok(()) }
    }

    /// Ends the loan, but keeps the slot for the views that still live: nothing comes of it. It is free when the hold is dropped, or this
    /// process dies.
    ///
    /// # Errors
    /// If a state word or a pin was damaged.
    ///
    /// # Panics
    /// Unless the hold is writing or reading.
    pub fn linger(&mut self) -> Result<(), Corrupted> {
        let state = self.take_state();
        let was_writing = matches!(state, State::Writing(_));
        let kept = match state {
            State::Lingering { .. } | State::Ended => panic!("a loan ends once"),
            // H2: of a hold that was inherited nothing is kept, but its rows.
            _ if !self.is_this_process() => Pinned { slot: self.slot, ticket: 0 },
            State::Writing(claim) => self.attached.linger(claim)?,
            State::Reading(pinned) => {
                self.attached.count_one(Counter::Gets);
                pinned
            }
        };
        self.state = State::Lingering { kept, was_writing };
        Ok(())
    }

    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Ended)
    }
}

impl Drop for TopicHold {
    fn drop(&mut self) {
        // A damaged word is reported by the next call that meets it.
        let _ = match self.take_state() {
            _ if !self.is_this_process() => return,
            State::Writing(claim) => self.attached.abort(claim),
            State::Reading(pinned) => self.attached.release(pinned),
            State::Lingering { kept, .. } => self.attached.let_go(kept),
            State::Ended => return,
        };
    }
}

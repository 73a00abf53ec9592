//! Attaching by a name, and what becomes of the name.

use std::sync::{Arc, PoisonError};

use super::Attached;
use crate::error::{AttachError, CreateError, OpenError};
use crate::fork;
use crate::name::QueueName;
use crate::names::{self, Rounds};
use crate::schema::Schema;
use crate::segment::{CreateOptions, Directory, Preamble, Segment, has_name};

impl Attached {
    /// Makes the segment of a named queue, registers this process in it, and gives it its name.
    pub(crate) fn create_named(
        name: QueueName,
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Arc<Self>, CreateError> {
        let directory = Directory::make()
            .map_err(|source| CreateError::System { action: "make the folder of named queues", source })?;
        // First, because a queue that is left over may have the memory that this one needs.
        names::make_room(&directory, &name)?;
        let attached =
            Self::create(|| Segment::create_named(&directory, name.clone(), schema, capacity, options))?;
        names::publish(&directory, &attached.segment, &name)?;
        Ok(attached)
    }

    /// Attaches to the queue of this name, by this process's own attachment if it has one.
    pub(crate) fn attach_named(name: &QueueName) -> Result<Arc<Self>, AttachError> {
        let rounds = Rounds::begin();
        let mut was_being_removed = false;
        loop {
            let file = Arc::new(names::find(name)?);
            let outcome = Preamble::read(&*file).and_then(|found| {
                Self::find(found.header.id, || Segment::attach(Arc::clone(&file)).map(Some))
            });
            match outcome {
                // Else it came too late (`names` M3).
                Ok(attached) => {
                    let attached = attached.expect("there is a segment to attach to");
                    if attached.segment.identity() != Some(file.identity()) {
                        return Err(AttachError::Foreign(
                            "it is a copy of a queue's file that this process has open",
                        ));
                    }
                    if names::is_still_named(&attached.segment) {
                        return Ok(attached);
                    }
                }
                // All places were taken at once, by somebody who removed the name (`names` M2).
                Err(AttachError::TableFull { .. }) if !has_name(&*file) => {}
                // Or by somebody who is about to; `find` has waited for that, if this is not the first time (`names` M5).
                Err(AttachError::TableFull { .. }) if names::is_being_removed(&file) => {
                    if was_being_removed {
                        return Err(AttachError::ChangingHands { name: name.clone() });
                    }
                    was_being_removed = true;
                }
                Err(error) => return Err(error),
            }
            rounds.next(name)?;
        }
    }

    /// Attaches to the queue of this name, or creates it. What is there may be another queue than the one asked for.
    pub(crate) fn open_named(
        name: &QueueName,
        schema: &Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Arc<Self>, OpenError> {
        let rounds = Rounds::begin();
        loop {
            match Self::attach_named(name) {
                Err(error) if names::is_replaceable(&error) => {}
                attached => return Ok(attached?),
            }
            match Self::create_named(name.clone(), schema.clone(), capacity, options) {
                // Somebody else was faster.
                Err(CreateError::Exists { .. }) => {}
                created => return Ok(created?),
            }
            rounds.next(name)?;
        }
    }

    /// Takes the queue's name away: nobody finds it any more, and those who are attached go on.
    pub(crate) fn unlink(&self) -> Result<bool, AttachError> {
        let locks = self.participant.locks();
        locks.are_of(&self.segment)?;
        let _turn = self.name_turn.lock().unwrap_or_else(PoisonError::into_inner);
        names::unlink(&self.segment, locks)
    }

    /// Takes the names of the queues that only this process is attached to, and still is.
    pub(crate) fn leave_names() {
        let here = fork::generation();
        let no_fork = fork::hold_off();
        let still_attached: Vec<Arc<Self>> = super::list(&no_fork)
            .attached
            .iter()
            .filter(|listed| listed.fork_generation == here)
            .filter_map(|listed| listed.attached.upgrade())
            .collect();
        drop(no_fork);
        for attached in &still_attached {
            let _turn = attached.name_turn.lock().unwrap_or_else(PoisonError::into_inner);
            let participant = attached.participant();
            names::remove_if_alone(&attached.segment, participant.locks(), participant.id());
        }
    }
}

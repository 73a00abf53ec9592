//! Attaching by a name, and what becomes of the name.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::Attached;
use super::list::{AnyAttached, held_here};
use crate::error::{AttachError, CreateError, OpenError};
use crate::format::name::QueueName;
use crate::item::schema::{Schema, SchemaDifference};
use crate::memory::segment::{CreateOptions, Directory, Preamble, Segment, has_name};
use crate::presence::names::{self, Rounds};
use crate::presence::participant::Refusal;
use crate::presence::structure::Structure;

impl<S: Structure> Attached<S> {
    /// Makes the segment of a named queue, registers this process in it, and gives it its name.
    pub(crate) fn create_named(
        name: QueueName,
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Arc<Self>, CreateError> {
        let directory = Directory::make()?;
        // First, because a queue that is left over may have the memory that this one needs.
        names::make_room(&directory, &name).map_err(|error| Self::say_if_here(error, &directory))?;
        let attached = Self::create(|| {
            Segment::create_named(&directory, name.clone(), S::kind(), schema, capacity, options)
        })?;
        names::publish(&directory, &attached.segment, &name)
            .map_err(|error| Self::say_if_here(error, &directory))?;
        Ok(attached)
    }

    /// Of a name that exists, whether it is this very process that has the queue open.
    fn say_if_here(error: CreateError, directory: &Directory) -> CreateError {
        let CreateError::Exists { name, .. } = error else { return error };
        let holder = directory.place_of(&name).identity().ok().flatten();
        let held_here = holder.and_then(held_here);
        CreateError::Exists { name, held_here }
    }

    /// Attaches to the queue of this name, by this process's own attachment if it has one. It is looked for in `folder`, or in
    /// this user's.
    pub(crate) fn attach_named(name: &QueueName, folder: Option<&Path>) -> Result<Arc<Self>, AttachError> {
        let rounds = Rounds::begin();
        let mut was_changing_hands = false;
        loop {
            let file = Arc::new(names::find(name, folder)?);
            let outcome = Preamble::read(&*file).map_err(Refusal::from).and_then(|found| {
                Self::find_now(found.header.id, || Segment::attach(Arc::clone(&file)).map(Some))
            });
            match outcome {
                // Else it came too late (`names` M3).
                Ok(attached) => {
                    let attached = attached.expect("there is a segment to attach to");
                    if attached.segment.identity() != Some(file.identity()) {
                        return Err(AttachError::Foreign(
                            "it is a copy of a file that this process has open",
                        ));
                    }
                    if names::is_still_named(&attached.segment) {
                        return Ok(attached);
                    }
                }
                // Somebody has all its bytes and has removed the name, or is about to (`names` M2). `find` has waited for that,
                // if this is not the first time (`names` M5).
                Err(Refusal::Passing(_)) if !has_name(&*file) => {}
                Err(Refusal::Passing(error @ AttachError::ChangingHands { .. })) => {
                    if was_changing_hands {
                        return Err(error);
                    }
                    was_changing_hands = true;
                }
                Err(Refusal::Passing(error)) => {
                    if rounds.go_on() {
                        continue;
                    }
                    return Err(error);
                }
                Err(Refusal::Final(error)) => return Err(error),
            }
            rounds.next(name)?;
        }
    }

    /// Attaches to the queue of this name, or creates it. What is there may be another queue than the one asked for.
    fn open_named(
        name: &QueueName,
        schema: &Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Arc<Self>, OpenError> {
        let rounds = Rounds::begin();
        loop {
            match Self::attach_named(name, None) {
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

    /// The same, if what is there is what was asked for: the capacity, and the items too if these have to be the `same_items`.
    pub(crate) fn open_fitting(
        name: &str,
        schema: &Schema,
        capacity: u64,
        options: CreateOptions,
        same_items: bool,
    ) -> Result<Arc<Self>, OpenError> {
        let name: QueueName = name.parse().map_err(AttachError::Name)?;
        let attached = Self::open_named(&name, schema, capacity, options)?;
        let there = attached.segment.layout().capacity;
        let mut difference = SchemaDifference::between(schema, attached.schema());
        difference.compare_capacities(capacity, there);
        let is_fit = if same_items { difference.is_empty() } else { capacity == there as u64 };
        if is_fit { Ok(attached) } else { Err(OpenError::Misfit { name, difference: Box::new(difference) }) }
    }

    /// Takes the queue's name away: nobody finds it any more, and those who are attached go on.
    pub(crate) fn unlink(&self) -> Result<bool, AttachError> {
        let locks = self.participant.locks();
        locks.are_of(&self.segment)?;
        let _turn = self.name_turn.lock().unwrap_or_else(PoisonError::into_inner);
        names::unlink(&self.segment, locks)
    }
}

impl<S: Structure> AnyAttached for Attached<S> {
    fn count_held(&self) -> usize {
        self.structure.count_held(self.participant.tenant())
    }

    fn leave_name(&self) {
        let _turn = self.name_turn.lock().unwrap_or_else(PoisonError::into_inner);
        names::remove_if_alone(
            &self.segment,
            self.structure(),
            self.participant.locks(),
            self.participant.id(),
        );
    }
}

//! Stand-ins for other processes, in tests without any.

use std::sync::Arc;

use super::Queue;
use crate::error::{AttachError, CreateError};
use crate::format::Kind;
use crate::item::schema::Schema;
use crate::memory::segment::{CreateOptions, Segment};
use crate::queue::here::Attached;

impl Queue {
    /// A queue on the heap with room for several participants.
    pub(crate) fn create_crowded(schema: Schema, capacity: u64, participants: u64) -> Self {
        let options = CreateOptions { participants, ..CreateOptions::default() };
        Self::create_crowded_with(schema, capacity, options)
    }

    /// The same with options.
    pub(crate) fn create_crowded_with(schema: Schema, capacity: u64, options: CreateOptions) -> Self {
        let attached = Attached::create(|| Segment::create_on_heap(Kind::Queue, schema, capacity, options));
        attached.map(Self::new).map_err(|error: CreateError| error).expect("small")
    }

    /// Another participant of the same segment.
    pub(crate) fn join(&self) -> Result<Self, AttachError> {
        Self::on(self.door.segment().map_again()?)
    }

    /// A participant of a segment that was mapped.
    pub(crate) fn on(segment: Segment) -> Result<Self, AttachError> {
        Ok(Self::new(Attached::register(segment)?))
    }

    /// What a daemonizing library does that closes all descriptors and opens others.
    pub(crate) fn put_another_file_in_the_place_of_its_locks(&self) {
        self.attachment().participant().locks().replace_by(&std::fs::File::open("/dev/null").expect("there"));
    }

    /// The attachment, for calls that are to be killed half-way.
    pub(crate) fn attachment(&self) -> &Arc<Attached> {
        self.attached().expect("of this process")
    }

    /// What a SIGKILL of this participant leaves.
    pub(crate) fn die(self) {
        Arc::clone(self.attachment()).die();
    }
}

//! Stand-ins for other processes, in tests without any.

use std::sync::Arc;

use super::Topic;
use crate::error::{AttachError, CreateError};
use crate::format::Kind;
use crate::item::schema::Schema;
use crate::memory::segment::{CreateOptions, Segment};
use crate::topic::here::Attached;

impl Topic {
    /// A topic on the heap with room for several participants.
    pub(crate) fn create_crowded(schema: Schema, capacity: u64, participants: u64) -> Self {
        let options = CreateOptions { participants, ..CreateOptions::default() };
        let attached = Attached::create(|| Segment::create_on_heap(Kind::Topic, schema, capacity, options));
        attached.map(Self::new).map_err(|error: CreateError| error).expect("small")
    }

    /// Another participant of the same segment.
    pub(crate) fn join(&self) -> Result<Self, AttachError> {
        Ok(Self::new(Attached::register(self.door.segment().map_again()?)?))
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

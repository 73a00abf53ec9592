//! The file of a name, opened to be looked at, and what never changes in it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::AttachError;
use crate::format::layout::{Front, Layout};
use crate::format::name::QueueName;
use crate::format::{Control, Entry, FLAG_KEEP, Kind, Slot};
use crate::item::schema::Schema;
use crate::memory::fork::{self, Descriptor};
use crate::memory::segment::{Preamble, SegmentId, has_name, read_at};
use crate::presence::liveness::is_alive;
use crate::presence::names::{self, NameState};
use crate::presence::values::{EntryValues, SlotValues};

/// A named queue or topic that is looked at from outside: what never changes in it, and whether anybody is there.
#[derive(Debug)]
pub struct Observed {
    name: QueueName,
    file: Descriptor,
    preamble: Preamble,
    schema: Arc<Schema>,
}

impl Observed {
    /// Opens what has this name.
    pub(super) fn open(name: &QueueName) -> Result<Self, AttachError> {
        let (file, preamble) = names::look_at(name)?;
        file.leave_to_children(&mut fork::hold_off());
        let schema = Arc::new(preamble.schema.clone());
        Ok(Self { name: name.clone(), file, preamble, schema })
    }

    pub(super) fn kind(&self) -> Kind {
        self.preamble.kind
    }

    /// Its name.
    pub fn name(&self) -> &QueueName {
        &self.name
    }

    /// Its schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How many slots there are.
    pub fn capacity(&self) -> usize {
        self.preamble.layout.capacity
    }

    /// Bytes of the whole segment.
    pub fn nbytes(&self) -> usize {
        self.preamble.layout.total_nbytes
    }

    /// How many processes can be attached at a time.
    pub fn max_participants(&self) -> u32 {
        self.preamble.layout.participants
    }

    /// The random name of the segment.
    pub fn id(&self) -> SegmentId {
        self.preamble.header.id
    }

    /// When it was created.
    pub fn created_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.preamble.header.created_at_ns)
    }

    /// The process that created it, as that one sees its own number.
    pub fn creator_pid(&self) -> u32 {
        self.preamble.header.creator_pid
    }

    /// Whether it was made to outlive its participants.
    pub fn is_kept(&self) -> bool {
        self.preamble.header.flags & FLAG_KEEP != 0
    }

    /// Whether the file still has its name: if not, it was removed, and another one may have the name.
    pub fn has_name(&self) -> bool {
        has_name(&self.file)
    }

    /// Whether somebody is attached.
    ///
    /// # Errors
    /// If the system refuses to tell.
    pub fn state(&self) -> Result<NameState, AttachError> {
        names::state_of(&self.file, &self.name)
    }

    pub(super) fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.preamble.layout
    }

    pub(super) fn is_alive(&self, id: u32) -> std::io::Result<bool> {
        is_alive(self.file.as_fd(), id)
    }

    pub(super) fn entries(&self) -> Result<Vec<EntryValues>, AttachError> {
        let Layout { front: Front { entries_offset, .. }, participants, .. } = *self.layout();
        let entries = self.read(entries_offset, participants as usize * size_of::<Entry>())?;
        Ok(entries.chunks_exact(size_of::<Entry>()).map(EntryValues::parse).collect())
    }

    pub(super) fn control(&self) -> Result<Vec<u8>, AttachError> {
        self.read(self.layout().front.control_offset, size_of::<Control>())
    }

    /// Some slots from `first` on.
    pub(super) fn slots(&self, first: usize, count: usize) -> Result<Vec<SlotValues>, AttachError> {
        let offset = self.layout().front.slots_offset + first * size_of::<Slot>();
        let slots = self.read(offset, count * size_of::<Slot>())?;
        Ok(slots.chunks_exact(size_of::<Slot>()).map(SlotValues::parse).collect())
    }

    /// The rows of one slot.
    pub(super) fn rows(&self, slot: usize) -> Result<Vec<Vec<u8>>, AttachError> {
        let places = self.layout().leaves.iter();
        places.map(|place| self.read(place.offset + slot * place.stride, place.nbytes)).collect()
    }

    pub(super) fn read(&self, offset: usize, nbytes: usize) -> Result<Vec<u8>, AttachError> {
        read_at(&self.file, offset, nbytes)
    }
}

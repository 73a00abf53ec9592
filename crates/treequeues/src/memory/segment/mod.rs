//! The segment: the one shared region of a queue or a topic, mapped into this process.
//!
//! Two backings stand behind the same type: an anonymous memory file (`memfd`), and plain heap memory for the threads of
//! one process, which needs no operating system: tests use it.
//!
//! S1. `base` points to `layout.total_nbytes` bytes that stay readable and writable until the segment is dropped.
//!     (In a forked child the segment is its parent's: private memory, and perhaps not writable; see `fork`.)
//! S2. Header and schema were checked against the layout (F1 to F4 of `format`) before a `Segment` exists, and nobody
//!     writes to them afterwards.
//! S3. Control, entries, slots and the structure's words are only ever accessed as the atomics that they are.
//! S4. A row is read or written only by a claim's holder (`ring` R1, R3; `topic::board` B1), through `row`.
//! S5. Of a topic, whose items have any number of readers, rows are read through a second mapping that cannot be written to: a write
//!     through an array that somebody made of it is the end of the process that writes, and changes nobody's data.

mod available;
mod file;
mod heap;
mod memfd;
mod named;
mod preamble;

use std::fs::OpenOptions;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::clock::realtime_ns;
use crate::error::{AttachError, CreateError};
use crate::format::layout::{DEFAULT_PARTICIPANTS, Layout, LayoutError};
use crate::format::name::QueueName;
use crate::format::{
    Control, Entry, FLAG_DROP_OLDEST, FLAG_KEEP, FLAG_NAMED, FLAG_POPULATE, Header, HostName, Kind, MAGIC,
    NAME_NBYTES, Slot, VERSION,
};
use crate::item::schema::Schema;
use crate::memory::fork::{Access, Descriptor, FileIdentity, Mapping, NoFork};
use crate::sync::AtomicU64;

pub(crate) use file::{owner_of, read_at};
pub(crate) use heap::Heap;
pub(crate) use named::{Directory, NoPlace, Place, has_name};
pub(crate) use preamble::Preamble;
#[cfg(test)]
pub(crate) use preamble::checksum_of;

/// 128 random bits that name a segment.
pub type SegmentId = [u8; 16];

/// One mapped segment.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Only handed out for as long as the segment is borrowed, or by a promise.
    parts: Parts<'static>,
    base: NonNull<u8>,
    reading_base: NonNull<u8>,
    facts: Facts,
    backing: Backing,
}

/// The parts of a mapping that a structure consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'m> {
    pub(crate) control: &'m Control,
    pub(crate) slots: &'m [Slot],
    /// Of the structure, beside the slots: see `format`.
    pub(crate) words: &'m [AtomicU64],
    /// Of the hosts that items came from.
    pub(crate) hosts: &'m [HostName],
    /// How many there may be.
    pub(crate) participants: u32,
}

/// What is the same in every mapping of a segment that this process makes.
#[derive(Clone, Debug)]
struct Facts {
    kind: Kind,
    layout: Layout,
    schema: Arc<Schema>,
    id: SegmentId,
    /// `FLAG_*`.
    flags: u32,
    /// 0 for no limit.
    max_deliveries: u32,
    /// 0 if that was not said.
    producers: u32,
    name: Option<QueueName>,
    /// The folder of a named one, as it was when this process came to it.
    folder: Option<PathBuf>,
}

/// What a queue may be asked for beside its schema and capacity.
#[derive(Clone, Copy, Debug)]
pub struct CreateOptions {
    /// How many processes can be attached at a time.
    pub participants: u64,
    /// Whether every process makes its page tables for the whole queue when it attaches, so that its first pass over the
    /// slots meets no page faults. It takes time then, and nothing later.
    pub populate: bool,
    /// Whether a named queue outlives all its participants, until its name is unlinked. An anonymous one cannot.
    pub keep: bool,
    /// Drops an item that has killed so many takers, instead of delivering it once more: its next taker, whoever that is, drops
    /// it and goes on to the next item. `None` for no limit. What counts are takers that died, or ended, with the item in
    /// hand; giving it back does not. An item of a batch counts the death of the batch's taker as each of the others does.
    ///
    /// The limit holds for all participants. [`Queue::on_drop`](crate::Queue::on_drop) hands the items over.
    pub max_deliveries: Option<NonZeroU32>,
    /// Whether a put that finds the queue full drops the oldest item and takes a slot, instead of waiting for one. It never drops an
    /// item that is being read; where there is no other, it waits. What is dropped so is counted ([`Counters::overwritten`]), and not
    /// handed to [`Queue::on_drop`](crate::Queue::on_drop).
    ///
    /// It holds for all participants.
    ///
    /// [`Counters::overwritten`]: crate::Counters::overwritten
    pub drop_oldest: bool,
    /// How many producers there will be: each works inside a block that [`Queue::producing`](crate::Queue::producing) begins. When so
    /// many blocks have begun, or
    /// more, and none is left, by their ends or by the deaths of their processes, the queue is shut down for draining. `None` if nobody
    /// counts them.
    pub producers: Option<NonZeroU32>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            participants: u64::from(DEFAULT_PARTICIPANTS),
            populate: false,
            keep: false,
            max_deliveries: None,
            drop_oldest: false,
            producers: None,
        }
    }
}

#[derive(Debug)]
enum Backing {
    File(File),
    Heap(Arc<Heap>),
}

/// A segment's file, opened twice.
#[derive(Debug)]
struct File {
    mapping: Mapping,
    /// The same once more, for those who read what others read, too (S5).
    reading: Option<Mapping>,
    /// Has this participant's locks, and is what the file is mapped through (`fork::descriptor` D3).
    own: Arc<Descriptor>,
    /// What others come by: forked children inherit it, spawned ones are started with it, handles name it.
    shared: Arc<Descriptor>,
}

impl Backing {
    fn base(&self) -> NonNull<u8> {
        match self {
            Self::File(file) => file.mapping.base(),
            Self::Heap(heap) => heap.base(),
        }
    }

    /// Where rows are read.
    fn reading_base(&self) -> NonNull<u8> {
        match self {
            Self::File(File { reading: Some(reading), .. }) => reading.base(),
            _ => self.base(),
        }
    }
}

// SAFETY: by S2 to S4 everything reached through `base` is immutable, atomic, or guarded by the ring protocol.
unsafe impl Send for Segment {}
// SAFETY: as for Send.
unsafe impl Sync for Segment {}

impl Segment {
    /// Creates an anonymous segment, all its memory reserved, and maps it.
    pub(crate) fn create(
        kind: Kind,
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Self, CreateError> {
        Self::create_in(kind, schema, capacity, options, None, |layout, item_nbytes| {
            Ok(map(Arc::new(memfd::create(layout, item_nbytes)?), kind, layout, options.populate)?)
        })
    }

    /// Creates the segment of a named queue, all its memory reserved, and maps it. Nobody finds it before it is linked.
    pub(crate) fn create_named(
        directory: &Directory,
        name: QueueName,
        kind: Kind,
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Self, CreateError> {
        Self::create_in(kind, schema, capacity, options, Some(name), |layout, item_nbytes| {
            Ok(map(Arc::new(directory.create(layout, item_nbytes)?), kind, layout, options.populate)?)
        })
    }

    /// Creates a segment in heap memory: for threads and simulated participants of this process alone.
    pub(crate) fn create_on_heap(
        kind: Kind,
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Self, CreateError> {
        Self::create_in(kind, schema, capacity, options, None, |layout, item_nbytes| {
            let heap = Heap::new(layout).ok_or(CreateError::Memory {
                needed_bytes: layout.total_nbytes as u64,
                available_bytes: 0,
                capacity,
                item_nbytes,
                limit: "from this process's allocator",
            })?;
            Ok(Backing::Heap(Arc::new(heap)))
        })
    }

    /// Maps the segment behind a descriptor, after checking F1 to F4.
    pub(crate) fn attach(shared: Arc<Descriptor>) -> Result<Self, AttachError> {
        let Preamble { header, kind, schema, layout, name } = Preamble::read(&*shared)?;
        let folder = name.as_ref().and_then(|_| named::folder_of(shared.as_fd()));
        let Header { id, flags, max_deliveries, producers, .. } = header;
        let backing = map(shared, kind, &layout, flags & FLAG_POPULATE != 0)?;
        let facts = Facts {
            kind,
            layout,
            schema: Arc::new(schema),
            id,
            flags,
            max_deliveries,
            producers,
            name,
            folder,
        };
        Ok(Self::new(backing, facts))
    }

    /// Maps the same segment once more: for a forked child, whose inherited mapping became private.
    pub(crate) fn map_again(&self) -> Result<Self, AttachError> {
        match &self.backing {
            Backing::File(file) => self.map_again_by(Arc::clone(&file.shared)),
            Backing::Heap(heap) => Ok(Self::new(Backing::Heap(Arc::clone(heap)), self.facts.clone())),
        }
    }

    /// The same for a child that has closed the descriptor that it inherited: by the segment's name, or through the
    /// descriptor of the process that it was inherited from.
    pub(crate) fn find_again(&self, parent: u32) -> Result<Self, AttachError> {
        let Backing::File(file) = &self.backing else { return self.map_again() };
        if file.shared.is_there() {
            return self.map_again();
        }
        let is_it = |found: &Descriptor| found.identity() == file.shared.identity();
        let in_folder = |folder| {
            Directory::open_if_there(folder).ok()??.file(self.facts.name.as_ref()?).ok()?.filter(is_it)
        };
        let by_name = || self.folders().into_iter().find_map(in_folder);
        let through_parent = || open_through(parent, file.shared.number()).ok().filter(is_it);
        let shared = by_name().or_else(through_parent).ok_or(AttachError::DescriptorsClosed)?;
        self.map_again_by(Arc::new(shared))
    }

    fn map_again_by(&self, shared: Arc<Descriptor>) -> Result<Self, AttachError> {
        let backing = map(shared, self.kind(), self.layout(), self.facts.flags & FLAG_POPULATE != 0)?;
        Ok(Self::new(backing, self.facts.clone()))
    }

    /// From a mapping that is S1 and S2.
    fn new(backing: Backing, facts: Facts) -> Self {
        let base = backing.base();
        let layout = &facts.layout;
        let at = |offset| place_in(base, layout, offset);
        // SAFETY: S1 and L1 put the offset in bounds, L2 aligns it, S3 makes shared references sound. The segment hands
        // them out for no longer than it lives itself.
        let control: &'static Control = unsafe { at(layout.front.control_offset).cast().as_ref() };
        let first = at(layout.front.slots_offset).cast::<Slot>();
        // SAFETY: as above, for `capacity` consecutive slots.
        let slots: &'static [Slot] = unsafe { std::slice::from_raw_parts(first.as_ptr(), layout.capacity) };
        let first = at(layout.front.words_offset).cast::<AtomicU64>();
        // SAFETY: as above, for as many consecutive words as the layout has placed.
        let words: &'static [AtomicU64] =
            unsafe { std::slice::from_raw_parts(first.as_ptr(), layout.front.words) };
        let first = at(layout.front.hosts_offset).cast::<HostName>();
        // SAFETY: as above, for as many names.
        let hosts: &'static [HostName] =
            unsafe { std::slice::from_raw_parts(first.as_ptr(), layout.front.hosts) };
        let reading_base = backing.reading_base();
        let parts = Parts { control, slots, words, hosts, participants: layout.participants };
        Self { parts, base, reading_base, facts, backing }
    }

    /// From now on a forked child has what it needs to attach as itself, and a private mapping in place of this one.
    pub(crate) fn leave_to_children(&mut self, no_fork: &mut NoFork) {
        if let Backing::File(file) = &mut self.backing {
            file.shared.leave_to_children(no_fork);
            for mapping in [&mut file.mapping].into_iter().chain(&mut file.reading) {
                mapping.leave_to_children(no_fork, &file.shared);
            }
        }
    }

    /// From now on a forked child has nothing of it any more: it is about to be dropped.
    pub(crate) fn take_from_children(&mut self, no_fork: &mut NoFork) {
        if let Backing::File(file) = &mut self.backing {
            // An inherited attachment may have it, too.
            if Arc::strong_count(&file.shared) == 1 {
                file.shared.take_from_children(no_fork);
            }
            for mapping in [&mut file.mapping].into_iter().chain(&mut file.reading) {
                mapping.take_from_children(no_fork);
            }
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.facts.kind
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.facts.schema
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.facts.layout
    }

    pub(crate) fn id(&self) -> SegmentId {
        self.facts.id
    }

    /// The name that the segment was created with; none of an anonymous one.
    pub(crate) fn name(&self) -> Option<&QueueName> {
        self.facts.name.as_ref()
    }

    /// The folder of a named segment, as it was when this process came to it.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.facts.folder.as_deref()
    }

    /// Where the segment's name may stand by now, the likeliest first: the process may have changed its directory, its root or
    /// its environment, and somebody may have moved the folder.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let now = self.fd().and_then(named::folder_of);
        let mut folders = Vec::new();
        for folder in
            [now, self.facts.folder.clone(), Some(Directory::path_of_this_user())].into_iter().flatten()
        {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        folders
    }

    /// Whether the name outlives the participants.
    pub(crate) fn is_kept(&self) -> bool {
        self.facts.flags & FLAG_KEEP != 0
    }

    /// How many takers an item may kill before it is dropped; 0 for no limit.
    #[inline]
    pub(crate) fn max_deliveries(&self) -> u32 {
        self.facts.max_deliveries
    }

    /// How many producers there will be; 0 if that was not said.
    #[inline]
    pub(crate) fn producers(&self) -> u32 {
        self.facts.producers
    }

    /// Whether a put into the full queue drops the oldest item.
    #[inline]
    pub(crate) fn drops_oldest(&self) -> bool {
        self.facts.flags & FLAG_DROP_OLDEST != 0
    }

    /// The descriptor that others come by; none on the heap. It may have been closed: see `has_descriptors`.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.backing {
            Backing::File(file) => Some(file.shared.as_fd()),
            Backing::Heap(_) => None,
        }
    }

    /// The number of that descriptor, if it still is one.
    pub(crate) fn shared_number(&self) -> Result<RawFd, AttachError> {
        match &self.backing {
            Backing::File(file) if file.shared.is_there() => Ok(file.shared.number()),
            Backing::File(_) => Err(AttachError::DescriptorsClosed),
            Backing::Heap(_) => Err(AttachError::Local),
        }
    }

    /// The descriptor that has this participant's locks; none on the heap.
    pub(crate) fn own(&self) -> Option<&Arc<Descriptor>> {
        match &self.backing {
            Backing::File(file) => Some(&file.own),
            Backing::Heap(_) => None,
        }
    }

    /// Whether nobody has closed the segment's descriptors behind its back.
    pub(crate) fn has_descriptors(&self) -> bool {
        match &self.backing {
            Backing::File(file) => file.shared.is_there() && file.own.is_there(),
            Backing::Heap(_) => true,
        }
    }

    /// Which file the segment is.
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        match &self.backing {
            Backing::File(file) => Some(file.shared.identity()),
            Backing::Heap(_) => None,
        }
    }

    /// The stand-in for file locks on the heap.
    pub(crate) fn heap_locks(&self) -> Option<Arc<Heap>> {
        match &self.backing {
            Backing::Heap(heap) => Some(Arc::clone(heap)),
            Backing::File(..) => None,
        }
    }

    /// Whether an address lies in the segment, as this process has mapped it: once, or once more to be read.
    pub(crate) fn is_inside(&self, address: *const u8) -> bool {
        [self.base, self.reading_base].iter().any(|base| {
            (address as usize).wrapping_sub(base.as_ptr() as usize) < self.facts.layout.total_nbytes
        })
    }

    /// What a structure consists of.
    ///
    /// # Safety
    /// Nothing that comes of it is used after the segment was dropped.
    pub(crate) unsafe fn parts_while_mapped(&self) -> Parts<'static> {
        self.parts
    }

    #[inline]
    pub(crate) fn control(&self) -> &Control {
        self.parts.control
    }

    #[inline]
    pub(crate) fn slots(&self) -> &[Slot] {
        self.parts.slots
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        let first = self.at(self.facts.layout.front.entries_offset).cast::<Entry>();
        // SAFETY: as in `new`, for `participants` consecutive entries.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), self.facts.layout.participants as usize) }
    }

    /// The row of one leaf in one slot: its address and bytes. What may be done with it is S4.
    pub(crate) fn row(&self, leaf: usize, slot: usize) -> (NonNull<u8>, usize) {
        let place = self.facts.layout.leaves[leaf];
        assert!(slot < self.facts.layout.capacity);
        (self.at(place.offset + slot * place.stride), place.nbytes)
    }

    /// The same of a row that is only read (S5).
    pub(crate) fn row_to_read(&self, leaf: usize, slot: usize) -> (NonNull<u8>, usize) {
        let place = self.facts.layout.leaves[leaf];
        assert!(slot < self.facts.layout.capacity);
        let offset = place.offset + slot * place.stride;
        (place_in(self.reading_base, &self.facts.layout, offset), place.nbytes)
    }

    /// Asks for the cache lines that the next borrow begins with: the state of `slot`, to be written, and the first row. They
    /// come from the producer's processor while this one is busy with the item before.
    #[inline]
    pub(crate) fn prefetch(&self, slot: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};
            let state = std::ptr::from_ref(&self.slots()[slot]);
            // SAFETY: a prefetch has no effect that a program can see, wherever it points.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(state.cast()) };
            if let Some(place) = self.facts.layout.leaves.first() {
                let row = self.at(place.offset + slot * place.stride).as_ptr();
                // SAFETY: as above.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(row.cast_const().cast()) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = slot;
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        place_in(self.base, &self.facts.layout, offset)
    }

    fn create_in(
        kind: Kind,
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
        name: Option<QueueName>,
        reserve: impl FnOnce(&Layout, usize) -> Result<Backing, CreateError>,
    ) -> Result<Self, CreateError> {
        let CreateOptions { participants, populate, keep, max_deliveries, drop_oldest, producers } = options;
        let producers = producers.map_or(0, NonZeroU32::get);
        let max_deliveries = max_deliveries.map_or(0, NonZeroU32::get);
        let json = schema.to_json();
        let item_nbytes = schema.item_nbytes();
        let layout =
            Layout::new(kind, &schema, json.len(), capacity, participants).map_err(|error| match error {
                LayoutError::Capacity => match kind {
                    Kind::Queue => CreateError::Capacity { got: capacity },
                    Kind::Topic => CreateError::TopicCapacity { got: capacity },
                },
                LayoutError::Participants => CreateError::Participants { got: participants },
                LayoutError::SchemaTooLong => CreateError::SchemaTooLong { nbytes: json.len() },
                LayoutError::TooLarge => CreateError::TooLarge { capacity, item_nbytes },
            })?;
        let id = random_id()?;
        let backing = reserve(&layout, item_nbytes)?;
        let base = backing.base();
        let flags = [
            (populate, FLAG_POPULATE),
            (name.is_some(), FLAG_NAMED),
            (keep, FLAG_KEEP),
            (drop_oldest, FLAG_DROP_OLDEST),
        ]
        .iter()
        .fold(0, |flags, (is_set, flag)| if *is_set { flags | flag } else { flags });
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            header_nbytes: size_of::<Header>() as u32,
            id,
            total_nbytes: layout.total_nbytes as u64,
            capacity,
            schema_nbytes: json.len() as u64,
            fingerprint: schema.fingerprint(),
            created_at_ns: realtime_ns(),
            creator_pid: std::process::id(),
            participants: layout.participants,
            flags,
            max_deliveries,
            name: name.as_ref().map_or([0; NAME_NBYTES], QueueName::padded),
            kind: kind as u32,
            producers,
            reserved: [0; 48],
            checksum: 0,
        }
        .with_checksum();
        // SAFETY: S1; nobody else sees the fresh region yet, and L1 and L2 leave the header's place to it alone.
        unsafe { base.cast().write(header) };
        let schema_place = base.as_ptr().wrapping_add(layout.front.schema_offset);
        // SAFETY: S1, L1 and L2: `schema_nbytes` bytes of the fresh region; the JSON lies elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(json.as_ptr(), schema_place, json.len()) };
        let folder = match &backing {
            Backing::File(file) if name.is_some() => named::folder_of(file.shared.as_fd()),
            Backing::File(_) | Backing::Heap(_) => None,
        };
        let facts = Facts {
            kind,
            layout,
            schema: Arc::new(schema),
            id,
            flags,
            max_deliveries,
            producers,
            name,
            folder,
        };
        Ok(Self::new(backing, facts))
    }
}

/// An offset of a mapping that is S1, as an address.
fn place_in(base: NonNull<u8>, layout: &Layout, offset: usize) -> NonNull<u8> {
    debug_assert!(offset <= layout.total_nbytes);
    // SAFETY: S1 and L1: the offset is within the one mapped region.
    unsafe { base.add(offset) }
}

/// Maps a segment's file.
fn map(shared: Arc<Descriptor>, kind: Kind, layout: &Layout, populate: bool) -> Result<Backing, AttachError> {
    let own = file::open_own(&shared)?;
    let mapping = |access| file::mapping(&own, layout.total_nbytes, access, populate);
    let reading = match kind {
        Kind::Queue => None,
        Kind::Topic => Some(mapping(Access::ReadOnly)?),
    };
    Ok(Backing::File(File { mapping: mapping(Access::ReadWrite)?, reading, own, shared }))
}

/// Another opening of a segment's file, behind a descriptor that others may have, too.
pub(crate) fn open_anew(fd: &OwnedFd) -> Result<Descriptor, AttachError> {
    // First, because it may be a pipe, which would be waited for.
    Preamble::read(fd)?;
    file::open_anew(fd.as_fd())
        .map_err(|source| AttachError::System { action: "open the segment's file", source })
}

/// Opens what a process has under this number.
pub(crate) fn open_through(pid: u32, fd: RawFd) -> Result<Descriptor, AttachError> {
    // A number that outlived its queue may lead to a terminal or a pipe by now.
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    let path = format!("/proc/{pid}/fd/{fd}");
    let open = || Ok(OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?.into());
    Descriptor::open(open).map_err(|source| AttachError::System {
        action: "open the descriptor of the handle's process",
        source,
    })
}

fn random_id() -> Result<SegmentId, CreateError> {
    let mut id = [0; 16];
    let filled = rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
        .map_err(|source| CreateError::System { action: "draw a random id", source: source.into() })?;
    debug_assert_eq!(filled, id.len(), "up to 256 bytes come whole");
    Ok(id)
}

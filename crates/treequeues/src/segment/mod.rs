//! The segment: the one shared region of a queue, mapped into this process.
//!
//! Two backings stand behind the same type: an anonymous memory file (`memfd`), and plain heap memory for the threads of
//! one process, which needs no operating system: tests use it.
//!
//! S1. `base` points to `layout.total_nbytes` bytes that stay readable and writable until the segment is dropped.
//! S2. Header and schema were checked against the layout (F1 to F4 of `format`) before a `Segment` exists, and nobody
//!     writes to them afterwards.
//! S3. Control, entries and slots are only ever accessed as the atomics that they are.
//! S4. A row is read or written only by a claim's holder (`ring` R1, R3), through `row`.

mod available;
mod file;
mod heap;
mod memfd;
mod named;
mod preamble;

use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::io::Errno;

use crate::clock::realtime_ns;
use crate::error::{AttachError, CreateError};
use crate::format::{
    Control, Entry, FLAG_KEEP, FLAG_NAMED, FLAG_POPULATE, Header, MAGIC, NAME_NBYTES, Slot, VERSION,
};
use crate::layout::{DEFAULT_PARTICIPANTS, Layout, LayoutError};
use crate::name::QueueName;
use crate::ring::Ring;
use crate::schema::Schema;

pub(crate) use file::{FileIdentity, map_private_over, read_at};
pub(crate) use heap::Heap;
pub(crate) use named::{Directory, Place, has_name};
pub(crate) use preamble::Preamble;

/// 128 random bits that name a segment.
pub type SegmentId = [u8; 16];

/// One mapped segment.
#[derive(Debug)]
pub(crate) struct Segment {
    base: NonNull<u8>,
    layout: Layout,
    schema: Arc<Schema>,
    id: SegmentId,
    /// `FLAG_*`.
    flags: u32,
    /// 0 for no limit.
    max_deliveries: u32,
    name: Option<QueueName>,
    backing: Backing,
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
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            participants: u64::from(DEFAULT_PARTICIPANTS),
            populate: false,
            keep: false,
            max_deliveries: None,
        }
    }
}

#[derive(Debug)]
enum Backing {
    File(Arc<OwnedFd>, FileIdentity),
    Heap(Arc<Heap>),
}

// SAFETY: by S2 to S4 everything reached through `base` is immutable, atomic, or guarded by the ring protocol.
unsafe impl Send for Segment {}
// SAFETY: as for Send.
unsafe impl Sync for Segment {}

impl Segment {
    /// Creates an anonymous segment, all its memory reserved, and maps it.
    pub(crate) fn create(schema: Schema, capacity: u64, options: CreateOptions) -> Result<Self, CreateError> {
        Self::create_in(schema, capacity, options, None, |layout, item_nbytes| {
            map_new(memfd::create(layout, item_nbytes)?, layout, options)
        })
    }

    /// Creates the segment of a named queue, all its memory reserved, and maps it. Nobody finds it before it is linked.
    pub(crate) fn create_named(
        directory: &Directory,
        name: QueueName,
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Self, CreateError> {
        Self::create_in(schema, capacity, options, Some(name), |layout, item_nbytes| {
            map_new(directory.create(layout, item_nbytes)?, layout, options)
        })
    }

    /// Creates a segment in heap memory: for threads and simulated participants of this process alone.
    pub(crate) fn create_on_heap(
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
    ) -> Result<Self, CreateError> {
        Self::create_in(schema, capacity, options, None, |layout, item_nbytes| {
            let heap = Heap::new(layout).ok_or(CreateError::Memory {
                needed_bytes: layout.total_nbytes as u64,
                available_bytes: 0,
                capacity,
                item_nbytes,
                limit: "from this process's allocator",
            })?;
            let heap = Arc::new(heap);
            Ok((heap.base(), Backing::Heap(heap)))
        })
    }

    /// Maps the segment behind a descriptor, after checking F1 to F4.
    pub(crate) fn attach(fd: Arc<OwnedFd>) -> Result<Self, AttachError> {
        let Preamble { header, schema, layout, name } = Preamble::read(&fd)?;
        let system = |action| move |errno: Errno| AttachError::System { action, source: errno.into() };
        let identity = FileIdentity::of(&fd).map_err(system("stat the segment"))?;
        let base = file::map_shared(&fd, layout.total_nbytes, header.flags & FLAG_POPULATE != 0)
            .map_err(system("map the segment"))?;
        let (schema, backing) = (Arc::new(schema), Backing::File(fd, identity));
        let Header { id, flags, max_deliveries, .. } = header;
        Ok(Self { base, layout, schema, id, flags, max_deliveries, name, backing })
    }

    /// Maps the same segment once more: for a forked child, whose inherited mapping became private.
    pub(crate) fn map_again(&self) -> Result<Self, AttachError> {
        let (base, backing) = match &self.backing {
            Backing::File(fd, identity) => {
                if FileIdentity::of(fd).ok() != Some(*identity) {
                    return Err(AttachError::DescriptorsClosed);
                }
                let populate = self.flags & FLAG_POPULATE != 0;
                let base = file::map_shared(fd, self.layout.total_nbytes, populate).map_err(|source| {
                    AttachError::System { action: "map the segment again", source: source.into() }
                })?;
                (base, Backing::File(Arc::clone(fd), *identity))
            }
            Backing::Heap(heap) => (heap.base(), Backing::Heap(Arc::clone(heap))),
        };
        let (layout, schema, name) = (self.layout.clone(), Arc::clone(&self.schema), self.name.clone());
        let Self { id, flags, max_deliveries, .. } = *self;
        Ok(Self { base, layout, schema, id, flags, max_deliveries, name, backing })
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn id(&self) -> SegmentId {
        self.id
    }

    /// The name that the segment was created with; none of an anonymous one.
    pub(crate) fn name(&self) -> Option<&QueueName> {
        self.name.as_ref()
    }

    /// Whether the name outlives the participants.
    pub(crate) fn is_kept(&self) -> bool {
        self.flags & FLAG_KEEP != 0
    }

    /// How many takers an item may kill before it is dropped; 0 for no limit.
    #[inline]
    pub(crate) fn max_deliveries(&self) -> u32 {
        self.max_deliveries
    }

    /// The segment's descriptor; none on the heap.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.backing {
            Backing::File(fd, _) => Some(fd.as_fd()),
            Backing::Heap(_) => None,
        }
    }

    /// Which file the segment is, so that a descriptor can be told from another's with the same number.
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        match self.backing {
            Backing::File(_, identity) => Some(identity),
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

    /// Where the mapping lies, for the fork handlers.
    pub(crate) fn range(&self) -> (NonNull<u8>, usize) {
        (self.base, self.layout.total_nbytes)
    }

    pub(crate) fn control(&self) -> &Control {
        let control = self.at(self.layout.control_offset).cast();
        // SAFETY: S1 and L1 put the offset in bounds, L2 aligns it, S3 makes shared references sound.
        unsafe { control.as_ref() }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        let first = self.at(self.layout.entries_offset).cast::<Entry>();
        // SAFETY: as in `control`, for `participants` consecutive entries.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), self.layout.participants as usize) }
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        let first = self.at(self.layout.slots_offset).cast::<Slot>();
        // SAFETY: as in `control`, for `capacity` consecutive slots.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), self.layout.capacity) }
    }

    pub(crate) fn ring(&self) -> Ring<'_> {
        Ring::new(self.control(), self.slots())
    }

    /// The row of one leaf in one slot: its address and bytes. What may be done with it is S4.
    pub(crate) fn row(&self, leaf: usize, slot: usize) -> (NonNull<u8>, usize) {
        let place = self.layout.leaves[leaf];
        assert!(slot < self.layout.capacity);
        (self.at(place.offset + slot * place.nbytes), place.nbytes)
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
            if let Some(place) = self.layout.leaves.first() {
                let row = self.at(place.offset + slot * place.nbytes).as_ptr();
                // SAFETY: as above.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(row.cast_const().cast()) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = slot;
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset <= self.layout.total_nbytes);
        // SAFETY: S1 and L1: the offset is within the one mapped region.
        unsafe { self.base.add(offset) }
    }

    fn create_in(
        schema: Schema,
        capacity: u64,
        options: CreateOptions,
        name: Option<QueueName>,
        reserve: impl FnOnce(&Layout, usize) -> Result<(NonNull<u8>, Backing), CreateError>,
    ) -> Result<Self, CreateError> {
        let CreateOptions { participants, populate, keep, max_deliveries } = options;
        let max_deliveries = max_deliveries.map_or(0, NonZeroU32::get);
        let json = schema.to_json();
        let item_nbytes = schema.item_nbytes();
        let layout =
            Layout::new(&schema, json.len(), capacity, participants).map_err(|error| match error {
                LayoutError::Capacity => CreateError::Capacity { got: capacity },
                LayoutError::Participants => CreateError::Participants { got: participants },
                LayoutError::SchemaTooLong => CreateError::SchemaTooLong { nbytes: json.len() },
                LayoutError::TooLarge => CreateError::TooLarge { capacity, item_nbytes },
            })?;
        let id = random_id()?;
        let (base, backing) = reserve(&layout, item_nbytes)?;
        let flags = [(populate, FLAG_POPULATE), (name.is_some(), FLAG_NAMED), (keep, FLAG_KEEP)]
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
            reserved: [0; 56],
            checksum: 0,
        }
        .with_checksum();
        // SAFETY: S1; nobody else sees the fresh region yet, and L1 and L2 leave the header's place to it alone.
        unsafe { base.cast().write(header) };
        let schema_place = base.as_ptr().wrapping_add(layout.schema_offset);
        // SAFETY: S1, L1 and L2: `schema_nbytes` bytes of the fresh region; the JSON lies elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(json.as_ptr(), schema_place, json.len()) };
        Ok(Self { base, layout, schema: Arc::new(schema), id, flags, max_deliveries, name, backing })
    }
}

/// Maps a file whose pages were just reserved.
fn map_new(
    fd: OwnedFd,
    layout: &Layout,
    options: CreateOptions,
) -> Result<(NonNull<u8>, Backing), CreateError> {
    let system = |action| move |errno: Errno| CreateError::System { action, source: errno.into() };
    let fd = Arc::new(fd);
    let base =
        file::map_shared(&fd, layout.total_nbytes, options.populate).map_err(system("map the segment"))?;
    let identity = FileIdentity::of(&fd).map_err(system("stat the segment"))?;
    Ok((base, Backing::File(fd, identity)))
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Backing::File(..) = self.backing {
            file::unmap(self.base, self.layout.total_nbytes);
        }
    }
}

impl Header {
    fn with_checksum(mut self) -> Self {
        self.checksum = self.expected_checksum();
        self
    }

    /// FNV-1a over the fields before the checksum (F2).
    fn expected_checksum(&self) -> u64 {
        let numbers = [
            u64::from_le_bytes(self.magic),
            u64::from(self.header_nbytes) << 32 | u64::from(self.version),
            u64::from_le_bytes(self.id[..8].try_into().expect("8 of 16 bytes")),
            u64::from_le_bytes(self.id[8..].try_into().expect("8 of 16 bytes")),
            self.total_nbytes,
            self.capacity,
            self.schema_nbytes,
            self.fingerprint,
            self.created_at_ns,
            u64::from(self.participants) << 32 | u64::from(self.creator_pid),
        ];
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .chain(self.flags.to_le_bytes())
            .chain(self.max_deliveries.to_le_bytes())
            .chain(self.name)
            .chain(self.reserved)
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
    }
}

/// What the checksum of a file's header should be: for tests of what is behind it.
#[cfg(test)]
pub(crate) fn checksum_of(fd: &OwnedFd) -> Result<u64, AttachError> {
    Ok(file::read_header(fd)?.expected_checksum())
}

fn random_id() -> Result<SegmentId, CreateError> {
    let mut id = [0; 16];
    let filled = rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
        .map_err(|source| CreateError::System { action: "draw a random id", source: source.into() })?;
    debug_assert_eq!(filled, id.len(), "up to 256 bytes come whole");
    Ok(id)
}

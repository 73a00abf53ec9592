//! Recycling: memory of large arrays that a queue gave out and that have died, kept for the next ones.
//!
//! Fresh memory costs a page fault for every page that is written first, three times what the copy into it costs. So
//! large arrays come from an allocator of the queue's own, which NumPy calls for each of them (its "data memory
//! handler"): the arrays own their memory like any others, and when one dies its memory comes back here.
//!
//! Memory that no array has is idle. For each queue object at most 64 MiB of it are kept, or the bytes of four items
//! where that is more (`KEPT_NBYTES`, `KEPT_ITEMS`): what dies when there is no room goes back at once, and so does every
//! array of less than 1 KiB (`RECYCLED_FROM_NBYTES`). These are the bytes that arrays asked for; a header and the rounding
//! to pages come on top. An array that was resized to a size that no leaf has takes its part of the room too. All of it
//! goes back when the object is closed or dies, and nothing is kept from then on.
//!
//! Y1. A block is `capacity` bytes after a header of `HEADER_NBYTES` that says so, so whatever size NumPy states when it
//!     frees, the block is known.
//! Y2. The handler lives in a capsule that every array made through it holds, so it outlives the last of them.
//! Y3. Every callback is called by a thread that is attached to the interpreter; the lock is for NumPy's word on that.
//! Y4. `Idle::nbytes` is the sum of what `Idle::blocks` holds, and no size in there has an empty list.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCapsule;
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// Arrays of this size and more are recycled; NumPy keeps the memory of smaller ones itself. The system's allocator keeps that of
/// larger ones only as long as it does not lie at the end of the heap: then each item that dies is given back to the system, and
/// the next one meets page faults again.
pub(super) const RECYCLED_FROM_NBYTES: usize = 1024;
/// Idle memory that a queue may keep, if that is more than `KEPT_ITEMS` items: what a learner drops that collects a
/// batch of frames before it stacks them.
const KEPT_NBYTES: usize = 64 << 20;
const KEPT_ITEMS: usize = 4;

/// Blocks of this size and more are mappings of their own, which go back to the system at once wherever they lie.
const MAPPED_FROM_NBYTES: usize = 128 * 1024;
/// From this size on huge pages are asked for, as NumPy does: fewer faults when the memory is new.
const HUGE_FROM_NBYTES: usize = 4 << 20;

/// Before each block; also the blocks' alignment, so that arrays begin on a cache line.
const HEADER_NBYTES: usize = 64;
/// The name that NumPy demands of the capsule.
const CAPSULE_NAME: &std::ffi::CStr = c"mem_handler";
/// Where NumPy's table of functions has `PyDataMem_SetHandler` (since 1.22).
const SET_HANDLER_SLOT: usize = 304;

/// The allocator of one queue's large arrays.
pub(super) struct Recycler {
    capsule: Py<PyAny>,
    pool: NonNull<Pool>,
}

// SAFETY: the pool is behind a lock, and the capsule is a `Py`.
unsafe impl Send for Recycler {}
// SAFETY: as for Send.
unsafe impl Sync for Recycler {}

/// NumPy's `PyDataMem_Handler`, version 1, and behind it what its callbacks work on.
#[repr(C)]
struct Handler {
    name: [c_char; 127],
    version: u8,
    pool: *mut c_void,
    malloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
}

struct Pool {
    idle: Mutex<Idle>,
    /// The most bytes that may be idle.
    max_nbytes: usize,
}

/// From this many bytes on, memory is given back to the system without the interpreter's lock.
const FREED_DETACHED_NBYTES: usize = 4 << 20;

/// Blocks that no array has.
#[derive(Default)]
struct Idle {
    /// By size, the youngest last.
    blocks: HashMap<usize, Vec<Block>>,
    nbytes: usize,
    is_retired: bool,
}

/// One piece of memory (Y1), by the address behind its header.
#[derive(Clone, Copy)]
struct Block(NonNull<u8>);

// SAFETY: a block is owned by whoever holds it.
unsafe impl Send for Block {}

type SetHandler = unsafe extern "C" fn(*mut ffi::PyObject) -> *mut ffi::PyObject;

impl Recycler {
    /// An allocator for items of `item_nbytes` bytes.
    pub fn new(py: Python<'_>, item_nbytes: usize) -> PyResult<Recycler> {
        let pool = Box::new(Pool {
            idle: Mutex::default(),
            max_nbytes: KEPT_NBYTES.max(item_nbytes.saturating_mul(KEPT_ITEMS)),
        });
        let pool = NonNull::from(Box::leak(pool));
        let handler = Box::new(Handler {
            name: name(),
            version: 1,
            pool: pool.as_ptr().cast(),
            malloc: take,
            calloc: take_zeroed,
            realloc: resize,
            free: give_back,
        });
        let handler = Box::into_raw(handler);
        // SAFETY: the handler lives until the capsule's destructor (Y2).
        let capsule = unsafe { ffi::PyCapsule_New(handler.cast(), CAPSULE_NAME.as_ptr(), Some(destroy)) };
        // SAFETY: it is a new reference, or null with an exception set.
        let capsule = unsafe { Bound::from_owned_ptr_or_err(py, capsule) }?;
        Ok(Recycler { capsule: capsule.unbind(), pool })
    }

    /// Makes `arrays` with memory of this allocator's.
    pub fn allocating<T>(&self, py: Python<'_>, arrays: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
        let set_handler = set_handler(py)?;
        // SAFETY: the capsule holds a handler as NumPy defines it; the call returns a new reference to the one before.
        let before = unsafe { set_handler(self.capsule.as_ptr()) };
        // SAFETY: it is a new reference, or null with an exception set.
        let before = unsafe { Bound::from_owned_ptr_or_err(py, before) }?;
        let made = arrays();
        // SAFETY: as above, with the handler that was there before.
        let ours = unsafe { set_handler(before.as_ptr()) };
        // SAFETY: as above.
        unsafe { Bound::from_owned_ptr_or_err(py, ours) }?;
        made
    }
}

impl Recycler {
    /// Keeps nothing from now on.
    pub fn retire(&self) {
        // SAFETY: Y2: the capsule is still held.
        unsafe { self.pool.as_ref() }.retire();
    }
}

impl Drop for Recycler {
    fn drop(&mut self) {
        self.retire();
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The youngest idle block of exactly this size, which is the likeliest to be in a cache, or a new one.
    fn take(&self, nbytes: usize) -> Option<Block> {
        if nbytes >= RECYCLED_FROM_NBYTES
            && let Some(block) = self.idle().take(nbytes)
        {
            return Some(block);
        }
        Block::new(nbytes)
    }

    fn give_back(&self, block: Block) {
        let nbytes = block.capacity();
        if nbytes < RECYCLED_FROM_NBYTES || !self.idle().keep(block, nbytes, self.max_nbytes) {
            block.free();
        }
    }

    /// Keeps nothing from now on. To unmap gigabytes takes time, in which other threads go on.
    fn retire(&self) {
        let (blocks, nbytes) = {
            let mut idle = self.idle();
            idle.is_retired = true;
            (std::mem::take(&mut idle.blocks), std::mem::take(&mut idle.nbytes))
        };
        let free = || blocks.into_values().flatten().for_each(Block::free);
        if nbytes < FREED_DETACHED_NBYTES {
            return free();
        }
        let mut free = Some(free);
        Python::try_attach(|py| {
            let free = free.take().expect("not freed yet");
            py.detach(free);
        });
        // At the interpreter's end nobody waits for its lock.
        if let Some(free) = free {
            free();
        }
    }
}

impl Idle {
    fn take(&mut self, nbytes: usize) -> Option<Block> {
        let Entry::Occupied(mut blocks) = self.blocks.entry(nbytes) else { return None };
        let block = blocks.get_mut().pop()?;
        if blocks.get().is_empty() {
            // Y4. An array may be resized to any number of sizes.
            blocks.remove();
        }
        self.nbytes -= nbytes;
        Some(block)
    }

    /// Keeps the block of this size if there is room for it.
    fn keep(&mut self, block: Block, nbytes: usize, max_nbytes: usize) -> bool {
        let has_room = !self.is_retired && self.nbytes.saturating_add(nbytes) <= max_nbytes;
        if has_room {
            self.nbytes += nbytes;
            self.blocks.entry(nbytes).or_default().push(block);
        }
        has_room
    }
}

impl Block {
    fn new(nbytes: usize) -> Option<Block> {
        let whole = nbytes.checked_add(HEADER_NBYTES)?;
        let start = if whole >= MAPPED_FROM_NBYTES { map(whole)? } else { allocate(whole)? };
        // SAFETY: the header is the block's first part, and aligned for a number.
        unsafe { start.cast::<usize>().write(nbytes) };
        // SAFETY: the header is within the allocation.
        Some(Block(unsafe { start.add(HEADER_NBYTES) }))
    }

    fn start(self) -> NonNull<u8> {
        // SAFETY: Y1: a block's address is that of the byte behind its header.
        unsafe { self.0.sub(HEADER_NBYTES) }
    }

    fn capacity(self) -> usize {
        // SAFETY: Y1: written by `new`.
        unsafe { self.start().cast::<usize>().read() }
    }

    fn free(self) {
        let (start, whole) = (self.start().as_ptr(), self.capacity() + HEADER_NBYTES);
        if whole >= MAPPED_FROM_NBYTES {
            // SAFETY: Y1: mapped by `new` with this very size, and given up by its owner.
            let unmapped = unsafe { rustix::mm::munmap(start.cast(), whole) };
            debug_assert!(unmapped.is_ok());
        } else {
            let layout = layout(whole).expect("it was allocated with this layout");
            // SAFETY: Y1: allocated by `new` with this very layout, and given up by its owner.
            unsafe { dealloc(start, layout) };
        }
    }
}

fn map(nbytes: usize) -> Option<NonNull<u8>> {
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: a fresh mapping at an address of the kernel's choice touches no existing memory.
    let start = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), nbytes, protection, flags) }.ok()?;
    if nbytes >= HUGE_FROM_NBYTES {
        // SAFETY: the range was mapped just now. Where the system has no huge pages, small ones do.
        let _ = unsafe { rustix::mm::madvise(start, nbytes, Advice::LinuxHugepage) };
    }
    NonNull::new(start.cast())
}

fn allocate(nbytes: usize) -> Option<NonNull<u8>> {
    let layout = layout(nbytes)?;
    // SAFETY: the size is not zero: there is at least a header.
    NonNull::new(unsafe { alloc(layout) })
}

fn layout(nbytes: usize) -> Option<Layout> {
    Layout::from_size_align(nbytes, HEADER_NBYTES).ok()
}

/// The pool behind a callback's context.
///
/// # Safety
/// `context` is the `pool` of a handler that lives (Y2).
unsafe fn pool<'a>(context: *mut c_void) -> &'a Pool {
    // SAFETY: by this function's contract.
    unsafe { &*context.cast::<Pool>() }
}

fn address(block: Option<Block>) -> *mut c_void {
    block.map_or(ptr::null_mut(), |block| block.0.as_ptr().cast())
}

unsafe extern "C" fn take(context: *mut c_void, nbytes: usize) -> *mut c_void {
    // SAFETY: NumPy passes the context of the handler that it calls.
    address(unsafe { pool(context) }.take(nbytes))
}

unsafe extern "C" fn take_zeroed(context: *mut c_void, count: usize, nbytes: usize) -> *mut c_void {
    let Some(nbytes) = count.checked_mul(nbytes) else { return ptr::null_mut() };
    // SAFETY: NumPy passes the context of the handler that it calls.
    let block = unsafe { pool(context) }.take(nbytes);
    if let Some(block) = block {
        // SAFETY: Y1: the block has this many bytes, and is nobody else's.
        unsafe { block.0.write_bytes(0, nbytes) };
    }
    address(block)
}

unsafe extern "C" fn resize(context: *mut c_void, data: *mut c_void, nbytes: usize) -> *mut c_void {
    // SAFETY: NumPy passes the context of the handler that it calls.
    let pool = unsafe { pool(context) };
    let Some(old) = NonNull::new(data.cast()).map(Block) else { return address(pool.take(nbytes)) };
    let Some(new) = pool.take(nbytes) else { return ptr::null_mut() };
    // SAFETY: Y1: both blocks have at least this many bytes, and are apart.
    unsafe { old.0.copy_to_nonoverlapping(new.0, old.capacity().min(nbytes)) };
    pool.give_back(old);
    address(Some(new))
}

unsafe extern "C" fn give_back(context: *mut c_void, data: *mut c_void, _nbytes: usize) {
    if let Some(data) = NonNull::new(data.cast()) {
        // SAFETY: NumPy passes the context of the handler that it calls.
        unsafe { pool(context) }.give_back(Block(data));
    }
}

/// The capsule's destructor: the queue and all of its arrays are gone.
unsafe extern "C" fn destroy(capsule: *mut ffi::PyObject) {
    // SAFETY: the capsule is being destroyed, and holds what `new` put in.
    let handler = unsafe { ffi::PyCapsule_GetPointer(capsule, CAPSULE_NAME.as_ptr()) };
    // SAFETY: `new` made it by `Box::into_raw`, and nobody uses it any more (Y2).
    let handler = unsafe { Box::from_raw(handler.cast::<Handler>()) };
    // SAFETY: `new` leaked it, and only the handler and the recycler, both gone, referred to it.
    let pool = unsafe { Box::from_raw(handler.pool.cast::<Pool>()) };
    pool.retire();
}

fn name() -> [c_char; 127] {
    let mut name = [0; 127];
    for (to, from) in name.iter_mut().zip(b"treequeues") {
        *to = *from as c_char;
    }
    name
}

/// NumPy's `PyDataMem_SetHandler`.
fn set_handler(py: Python<'_>) -> PyResult<SetHandler> {
    static FUNCTION: PyOnceLock<SetHandler> = PyOnceLock::new();
    FUNCTION
        .get_or_try_init(py, || {
            // NumPy 2 moved the module, and 1 does not have the new name.
            let module =
                py.import("numpy._core.multiarray").or_else(|_| py.import("numpy.core.multiarray"))?;
            let capsule = module.getattr("_ARRAY_API")?.cast_into::<PyCapsule>()?;
            let table = capsule.pointer_checked(None)?.cast::<*const c_void>();
            // SAFETY: NumPy's table of functions is longer than that since 1.22.
            let slot = unsafe { table.add(SET_HANDLER_SLOT) };
            // SAFETY: as above; nobody writes to the table after NumPy's import.
            let function = unsafe { slot.read() };
            // SAFETY: its type in NumPy's headers is this one.
            Ok(unsafe { std::mem::transmute::<*const c_void, SetHandler>(function) })
        })
        .copied()
}

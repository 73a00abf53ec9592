//! Tests that need private access: the real ring code, without an operating system.
//!
//! | file | evidence |
//! |---|---|
//! | `steps` | each operation is abandoned before each of its shared accesses, in many states of the ring, then swept |
//! | `oracle` | random operations of several participants against a `VecDeque` and a set of holds |
//! | `batch_oracle` | random batches and holds of a queue against the same |
//! | `batches` | batches of whole queues: what they take, in which order, and what they leave |
//! | `crowds` | batches in threads: they wait without burning a processor, and hinder nobody |
//! | `publishing` | batches whose producers die, or their sweepers, before each shared access: whole or not at all |
//! | `returns` | a borrow beside thousands of returns |
//! | `laps` | tickets that run away or stay behind: what they cost in accesses, and no honest state is damage |
//! | `flat` | what a call costs in a large ring, in accesses: as much as in a small one |
//! | `narrow` | what an item costs where many meet: locked instructions, written cache lines, system calls; who spins, and who sleeps |
//! | `holds` | loans without a lifetime: states, drops, drains that wait for them |
//! | `damage` | words and cursors that contradict each other are errors |
//! | `dropping` | items that kill their takers: counted, handed over, dropped; and deaths between any two accesses of that |
//! | `overflow` | puts that drop the oldest items: which, how many, when not; and deaths between any two accesses of that |
//! | `producers` | the end of a stream: producers that come, leave and die, also between any two accesses |
//! | `shutdowns` | who shut a queue down, and who else uses one |
//! | `hostile` | any bytes in any part of a segment are an error that says where, or work |
//! | `death` | whole queues: participants that die, and what the others find |
//! | `boards` | the same kinds of evidence for topics: deaths, an oracle, interleavings |
//! | `topics` | whole topics: who gets what, waits, ends, and participants that die |
//! | `interleave` | all interleavings of two and three threads, under `loom`, abandoned claims included |
//! | `interleave_batches` | the same of batches, of what is given back, and of shutdowns |
//!
//! Those with threads also run under ThreadSanitizer (`make tsan`). `bytes` is what the whole queues among them have in common.

#[cfg(not(loom))]
mod arrivals;
#[cfg(not(loom))]
mod batch_oracle;
#[cfg(not(loom))]
mod batches;
mod boards;
#[cfg(not(loom))]
mod bytes;
#[cfg(not(loom))]
mod crowds;
#[cfg(not(loom))]
mod damage;
#[cfg(not(loom))]
mod death;
#[cfg(not(loom))]
mod dropping;
#[cfg(not(loom))]
mod flat;
#[cfg(not(loom))]
mod holds;
#[cfg(not(loom))]
mod hostile;
#[cfg(loom)]
mod interleave;
#[cfg(loom)]
mod interleave_batches;
#[cfg(not(loom))]
mod laps;
#[cfg(not(loom))]
mod narrow;
#[cfg(not(loom))]
mod oracle;
#[cfg(not(loom))]
mod overflow;
#[cfg(not(loom))]
mod producers;
#[cfg(not(loom))]
mod publishing;
#[cfg(not(loom))]
mod returns;
#[cfg(not(loom))]
mod shutdowns;
#[cfg(not(loom))]
mod steps;
#[cfg(not(loom))]
mod topics;

use std::sync::Arc;

use crate::format::word::Owner;
use crate::format::{Control, Slot, words_below_root};
use crate::queue::ring::{Claim, Comes, Kept, KnownFree, Publisher, Ring};
use crate::sync::AtomicU64;

/// Bits of an id in these tests.
const ID_BITS: u32 = 3;

/// A ring in plain memory.
struct Rig {
    control: Control,
    slots: Vec<Slot>,
    tree: Vec<AtomicU64>,
    known_free: Arc<KnownFree>,
    /// What the participant of the test publishes that publishes batches.
    publishing: AtomicU64,
    /// How far behind a ticket that is being written must be to be passed; none ever, unless a test says so.
    far_behind: u64,
}

impl Rig {
    fn new(capacity: usize) -> Self {
        Self::passing(capacity, u64::MAX)
    }

    /// One that passes what is so many tickets behind.
    fn passing(capacity: usize, far_behind: u64) -> Self {
        let slots = (0..capacity).map(|_| Slot::fresh()).collect();
        let tree = (0..words_below_root(capacity)).map(|_| AtomicU64::new(0)).collect();
        let publishing = AtomicU64::new(0);
        Self { control: Control::fresh(), slots, tree, known_free: Arc::default(), publishing, far_behind }
    }

    fn ring(&self) -> Ring<'_> {
        Ring::new(&self.control, &self.slots, &self.tree, Arc::clone(&self.known_free))
            .passing(self.far_behind)
    }

    /// Puts one item and returns its ticket; `None` when full.
    fn put(&self, me: Owner) -> Option<u64> {
        let claim = self.ring().reserve(me, |_| true).expect("sound")?;
        let ticket = claim.ticket;
        self.ring().commit(claim).expect("sound");
        Some(ticket)
    }

    /// Puts items that were claimed as one batch, and returns their tickets.
    fn publish(&self, comes: Comes, claims: Vec<Claim>) -> Vec<u64> {
        let tickets = claims.iter().map(|claim| claim.ticket).collect();
        let batch = self.ring().mark_batch(&claims, comes, |_| ());
        let publisher = Publisher { participant: 0, word: &self.publishing };
        self.ring().publish(publisher, batch, claims, || ()).expect("sound");
        tickets
    }

    /// Takes one item and returns its ticket; `None` when empty.
    fn take(&self, me: Owner) -> Option<u64> {
        let claim = self.ring().borrow(me, &Kept::default(), |_| true).expect("sound")?;
        let ticket = claim.ticket;
        self.ring().release(claim).expect("sound");
        Some(ticket)
    }

    fn drain(&self, me: Owner) -> Vec<u64> {
        std::iter::from_fn(|| self.take(me)).collect()
    }

    /// All capacity is there, and a full lap of it goes in and comes out in order.
    fn assert_whole(&self, me: Owner) {
        let put: Vec<u64> = std::iter::from_fn(|| self.put(me)).collect();
        assert_eq!(put.len(), self.slots.len(), "capacity was lost");
        assert!(put.is_sorted(), "tickets grow");
        assert_eq!(self.drain(me), put);
    }
}

fn owner(id: u32) -> Owner {
    Owner::new(id, 0, ID_BITS)
}

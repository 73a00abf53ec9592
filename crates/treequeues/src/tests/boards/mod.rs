//! Boards of topics without an operating system: the real code over plain memory.
//!
//! | file | evidence |
//! |---|---|
//! | `mod` | the rig: words, pins, and rows that say which item they are |
//! | `steps` | each operation is abandoned before each of its shared accesses, in many states, then swept |
//! | `oracle` | random operations of several participants against a map of items |
//! | `hostile` | any words anywhere: each call comes back, and what it says is damaged is so |
//! | `interleave` | all interleavings of two and three threads, under `loom` |

#[cfg(not(loom))]
mod hostile;
#[cfg(loom)]
mod interleave;
#[cfg(not(loom))]
mod oracle;
#[cfg(not(loom))]
mod steps;

use crate::format::word::Tenant;
use crate::format::{Control, Slot};
use crate::sync::{AtomicU64, Ordering};
use crate::topic::board::{Board, Claim, Pinned};

/// Bits of an id in these tests.
const ID_BITS: u32 = 3;
/// Places for participants.
const PLACES: usize = 4;

/// A board in plain memory, with rows of two words: an item writes its number into both.
struct Rig {
    control: Control,
    slots: Vec<Slot>,
    pins: Vec<AtomicU64>,
    rows: Vec<[AtomicU64; 2]>,
}

/// A participant of the first tenancy.
fn tenant(place: u32) -> Tenant {
    Tenant::new(place, 0, ID_BITS)
}

impl Rig {
    fn new(capacity: usize) -> Self {
        Self {
            control: Control::fresh(),
            slots: (0..capacity).map(|_| Slot::fresh()).collect(),
            pins: (0..capacity * PLACES).map(|_| AtomicU64::new(0)).collect(),
            rows: (0..capacity).map(|_| [(); 2].map(|()| AtomicU64::new(0))).collect(),
        }
    }

    fn board(&self) -> Board<'_> {
        Board::new(&self.control, &self.slots, &self.pins)
    }

    fn claim(&self, me: &Tenant) -> Option<Claim> {
        self.board().claim(me.owner, || ()).expect("sound")
    }

    /// Relaxed, as rows are: what orders them is the board's affair.
    fn write(&self, claim: &Claim, number: u64) {
        for word in &self.rows[claim.slot] {
            word.store(number, Ordering::Relaxed);
        }
    }

    /// The number of the item that is pinned, which must be whole.
    fn read(&self, pinned: &Pinned) -> u64 {
        let [first, second] = self.rows[pinned.slot].each_ref().map(|word| word.load(Ordering::Relaxed));
        assert_eq!(first, second, "torn");
        first
    }

    /// Puts an item of this number and returns its ticket; `None` when full.
    fn put(&self, me: &Tenant, number: u64) -> Option<u64> {
        let claim = self.claim(me)?;
        self.write(&claim, number);
        Some(self.board().commit(claim).expect("sound"))
    }

    /// The newest item: its ticket and its number.
    fn latest(&self, me: &Tenant) -> Option<(u64, u64)> {
        let pinned = self.board().latest(me, || ()).expect("sound")?;
        Some(self.read_and_release(pinned, me))
    }

    /// The item that a subscription comes to next.
    fn next(&self, cursor: u64, me: &Tenant) -> Option<(u64, u64)> {
        let pinned = self.board().next(cursor, me, || ()).expect("sound")?;
        Some(self.read_and_release(pinned, me))
    }

    fn read_and_release(&self, pinned: Pinned, me: &Tenant) -> (u64, u64) {
        let found = (pinned.ticket, self.read(&pinned));
        self.board().release(pinned, me).expect("sound");
        found
    }

    fn recover(&self, dead: &Tenant) -> usize {
        self.board().recover(dead, || true).expect("sound")
    }

    /// With nobody about: nothing is pinned or written, all slots can be put into again and again, and the newest item is the last one.
    fn assert_whole(&self, me: &Tenant) {
        assert!(self.pins.iter().all(|pin| pin.load(Ordering::Relaxed) == 0), "a pin was left");
        assert!(!self.board().is_any_written(|_| false), "a slot was left");
        let version = self.board().version();
        for number in 1..=2 * self.slots.len() as u64 {
            assert_eq!(self.put(me, 1000 + number), Some(version + number), "tickets are consecutive");
            assert_eq!(self.latest(me), Some((version + number, 1000 + number)));
        }
        // The newest ones, as many as there are slots, are all there.
        let last = self.board().version();
        let mut cursor = 1;
        for ticket in last + 1 - self.slots.len() as u64..=last {
            let found = self.next(cursor, me).map(|(ticket, _)| ticket);
            assert_eq!(found, Some(ticket), "an item was lost");
            cursor = ticket + 1;
        }
        assert_eq!(self.next(cursor, me), None);
    }
}

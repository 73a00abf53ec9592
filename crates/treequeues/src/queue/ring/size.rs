//! How many items there are, without a look at every slot.

use super::returned::Kept;
use super::{Position, Ring, phase_of};
use crate::error::Corrupted;
use crate::format::word::Phase;
use crate::long_look::LongLook;
use crate::sync::Ordering;

/// So many slots, and so many tickets between tail and gap, are looked at each time: some ten microseconds.
const MAX_LOOK: u64 = 1024;
/// Tickets between tail and gap that are no items in order, as a long look has counted them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holes {
    first: u64,
    /// Tickets that are counted together.
    width: u64,
    counts: [u32; BUCKETS],
}

/// A look counts so many parts of what it looks at apart: the tail goes on, and what it has passed counts no more.
const BUCKETS: usize = 64;

impl Holes {
    fn new(first: u64, tickets: u64) -> Self {
        Self { first, width: tickets.div_ceil(BUCKETS as u64).max(1), counts: [0; BUCKETS] }
    }

    fn add(&mut self, ticket: u64) {
        self.counts[(ticket.wrapping_sub(self.first) / self.width) as usize] += 1;
    }

    /// How many lie from this ticket on.
    fn from(&self, ticket: u64) -> u64 {
        let passed = (ticket.wrapping_sub(self.first) as i64).max(0) as u64;
        let (bucket, in_bucket) = ((passed / self.width).min(BUCKETS as u64) as usize, passed % self.width);
        let counts = self.counts[bucket..].iter().map(|&count| u64::from(count));
        let partly_passed =
            self.counts.get(bucket).map_or(0, |&count| u64::from(count) * in_bucket / self.width);
        counts.sum::<u64>() - partly_passed
    }
}

impl Ring<'_> {
    /// How many items there are. In a ring of up to `MAX_LOOK` slots, each is looked at. In a larger one items in order are counted by the
    /// cursors (R7): exact where no slot is held; else each of those that are held beyond the tail may count as an item. Where the gap lies far
    /// behind the tail, what lies between was counted some looks ago.
    pub(crate) fn size(&self, kept: &Kept, holes: &LongLook<Holes>) -> Result<usize, Corrupted> {
        if self.slots.len() as u64 <= MAX_LOOK {
            return self.count_words(|phase| matches!(phase, Phase::Ready | Phase::Returned));
        }
        let head = match self.first_not_used_up()? {
            Some(at) => at,
            None => self.head(),
        };
        let tail = self.first_item_or_writer(head)?;
        let gap = self.control.gap.ticket.load(Ordering::Acquire);
        // Signed distances, as in `end_of_free`.
        let in_order =
            (head.ticket.wrapping_sub(tail.ticket) as i64).clamp(0, self.slots.len() as i64) as u64;
        let looked_at = (gap.wrapping_sub(tail.ticket) as i64).clamp(0, in_order as i64) as u64;
        let count_holes = || {
            let mut holes = Holes::new(tail.ticket, looked_at);
            for at in self.lap_from(tail).take(looked_at as usize) {
                let word = self.word(at.slot);
                if phase_of(at.slot, word)? != Phase::Ready || word.laps_ahead_of(at.lap) != 0 {
                    holes.add(at.ticket);
                }
            }
            Ok::<_, Corrupted>(holes)
        };
        let holes = if looked_at <= MAX_LOOK { count_holes()? } else { holes.get(count_holes)? };
        let not_items = holes.from(tail.ticket) as usize;
        let returned = self.count_returned(kept, MAX_LOOK as usize)?;
        Ok((in_order as usize).saturating_sub(not_items) + returned)
    }

    /// No fewer than the items that there are, told by the cursors and what is RETURNED; `None` if something moved meanwhile, or the head is far
    /// behind.
    pub(crate) fn items_at_most(&self, kept: &Kept) -> Result<Option<usize>, Corrupted> {
        let root = self.root();
        let returned = self.census(root, kept)?.len();
        // The tail first: what is put and taken between the two looks makes the bound larger, not smaller. Beyond the head only the
        // slots' words count, which a sleeper's last look may rest on (O2).
        let tail = self.tail();
        let Some(end) = self.first_not_used_up()? else { return Ok(None) };
        let in_order = end.ticket.wrapping_sub(tail.ticket).min(self.slots.len() as u64) as usize;
        let is_right = self.root().version() == root.version();
        Ok(is_right.then_some(in_order + returned))
    }

    /// No fewer than the FREE slots that there are (R7).
    pub(crate) fn free_at_most(&self) -> usize {
        let frees = self.frees();
        let head = self.head();
        self.end_of_free(head, frees).ticket.wrapping_sub(head.ticket) as usize
    }

    /// Whether a count of the items may have to look at more than so many slots.
    pub(crate) fn size_may_be_long(&self, long: usize, kept: &Kept) -> bool {
        let root = self.root();
        (root.has_any() && !kept.is_of(root)) || self.is_far_behind_the_gap(self.tail(), long)
    }

    /// The head, past what is used up: whoever uses up a ticket moves it afterwards, and may have died before. `None` if that is far.
    fn first_not_used_up(&self) -> Result<Option<Position>, Corrupted> {
        for at in self.lap_from(self.head()).take(MAX_LOOK as usize) {
            if self.laps_used_up(at)?.is_none() {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// The tail, past what was used up and is no item in order: whoever takes one moves it afterwards.
    fn first_item_or_writer(&self, head: Position) -> Result<Position, Corrupted> {
        let lap_before_head = head.ticket.saturating_sub(self.slots.len() as u64);
        let tail = self.position(self.tail().ticket.max(lap_before_head));
        for at in self.lap_from(tail).take(MAX_LOOK as usize) {
            let word = self.word(at.slot);
            let is_passed = at.ticket != head.ticket
                && !matches!(
                    (phase_of(at.slot, word)?, word.laps_ahead_of(at.lap)),
                    (Phase::Ready | Phase::Writing, 0)
                );
            if !is_passed {
                return Ok(at);
            }
        }
        Ok(tail)
    }

    fn count_words(&self, like: impl Fn(Phase) -> bool) -> Result<usize, Corrupted> {
        let mut count = 0;
        for (slot, word) in self.words().enumerate() {
            count += usize::from(like(phase_of(slot, word)?));
        }
        Ok(count)
    }
}

//! Put, latest, next: claim and pin, wait, and end what was begun.

use std::ops::ControlFlow;

use std::time::{Duration, Instant};

use super::board::{Claim, Found, Pinned};
use super::here::{Attached, Here};
use super::word::State;
use crate::clock::realtime_ns;
use crate::error::{Corrupted, PublishError, SubscribeError, Used};
use crate::format::{SHUTDOWN_NONE, Slot};
use crate::presence::attached::{How, Waiter, shut_down_how, wait_counted};
use crate::presence::counters::Counter;
use crate::sync::Ordering;
use crate::sync::local::AtomicU64;
use crate::wait::{Attempt, Event, MAX_LATE_LOOKS, Patience, Seen, Wait};

impl Attached {
    /// Claims a slot if there is one now.
    fn try_claim(&self) -> Result<Option<Claim>, PublishError> {
        self.refuse_puts_after_the_end()?;
        let me = self.participant().owner();
        let Some(claim) = self.board().claim(me, || self.notify_everybody())? else { return Ok(None) };
        self.hold_begins(self.slot(claim.slot));
        if let Err(error) = self.refuse_puts_after_the_end() {
            // A subscription that has looked at this slot before must not miss an item in it.
            self.abort(claim)?;
            return Err(error);
        }
        Ok(Some(claim))
    }

    fn refuse_puts_after_the_end(&self) -> Result<(), PublishError> {
        let flag = self.shutdown_flag();
        if flag == SHUTDOWN_NONE {
            return Ok(());
        }
        shut_down_how(flag)?;
        Err(PublishError::ShutDown(self.first_shutdown()))
    }

    /// Publishes a written slot, and returns the item's ticket.
    pub(crate) fn commit(&self, claim: Claim) -> Result<u64, Corrupted> {
        let slot = self.slot(claim.slot);
        self.hold_ends(slot);
        // Relaxed: published by the commit.
        slot.put_time_ns.store(realtime_ns(), Ordering::Relaxed);
        slot.producer_pid.store(self.participant().pid(), Ordering::Relaxed);
        let ticket = self.board().commit(claim)?;
        self.count_one(Counter::Puts);
        self.notify_everybody();
        Ok(ticket)
    }

    pub(crate) fn abort(&self, claim: Claim) -> Result<(), Corrupted> {
        self.hold_ends(self.slot(claim.slot));
        self.board().abort(claim)?;
        self.notify_everybody();
        Ok(())
    }

    pub(crate) fn release(&self, pinned: Pinned) -> Result<(), Corrupted> {
        self.board().release(pinned, self.participant().tenant())?;
        self.count_one(Counter::Gets);
        self.free_slots().notify();
        Ok(())
    }

    /// Waits for a slot as long as `wait` says.
    pub(crate) fn claim(&self, wait: Wait<'_>) -> Result<Claim, PublishError> {
        match if wait.has_tried() { None } else { self.try_claim()? } {
            Some(claim) => Ok(claim),
            None => wait_counted(Putting(self), Putting(self), wait),
        }
    }

    /// Claims a slot if there is one now.
    pub(crate) fn claim_now(&self) -> Result<Claim, PublishError> {
        if let Some(claim) = self.try_claim()? {
            return Ok(claim);
        }
        self.count(Counter::Full, 1);
        self.sweep_for_failing()?;
        // One look proves nothing (`board` B2).
        for _ in 0..MAX_LATE_LOOKS {
            let seen = self.free_slots().set_waiters();
            if let Some(claim) = self.try_claim()? {
                return Ok(claim);
            }
            if !self.free_slots().has_moved(seen) {
                break;
            }
        }
        Err(Putting(self).in_vain())
    }

    /// Waits for the item that `wanted` says as long as `wait` does.
    pub(crate) fn pin(&self, wanted: Wanted<'_>, wait: Wait<'_>) -> Result<Taken, SubscribeError> {
        let mut getting = Getting { attached: self, wanted };
        match if wait.has_tried() { None } else { getting.try_pin()? } {
            Some(taken) => Ok(taken),
            None => wait_counted(getting, getting, wait),
        }
    }

    /// Pins the item that `wanted` says if it is there now.
    pub(crate) fn pin_now(&self, wanted: Wanted<'_>) -> Result<Taken, SubscribeError> {
        let mut getting = Getting { attached: self, wanted };
        if let Some(taken) = getting.try_pin()? {
            return Ok(taken);
        }
        self.count(Counter::Empty, 1);
        // A publisher that died may be in the way of the end.
        let taken = if self.sweep_for_failing()? { getting.try_pin()? } else { None };
        taken.ok_or(SubscribeError::Empty)
    }

    /// Whether an item that `wanted` says is likely to be there.
    pub(crate) fn may_pin(&self, wanted: Wanted<'_>) -> bool {
        self.board().version() >= wanted.first()
    }

    /// Ends a reserve or a borrow whose views still live: the slot stays as it is for them.
    pub(crate) fn linger(&self, claim: Claim) -> Result<Pinned, Corrupted> {
        self.hold_ends(self.slot(claim.slot));
        let kept = self.board().linger(claim, self.participant().tenant())?;
        self.notify_everybody();
        Ok(kept)
    }

    /// The last view of a slot has died whose loan had ended before.
    pub(crate) fn let_go(&self, kept: Pinned) -> Result<(), Corrupted> {
        self.board().release(kept, self.participant().tenant())?;
        self.free_slots().notify();
        Ok(())
    }

    /// Waits for a slot for an item whose own one views keep, as long as `wait` says and one may become free.
    pub(crate) fn claim_elsewhere(&self, wait: Wait<'_>) -> Result<Claim, PublishError> {
        match if wait.has_tried() { None } else { self.try_claim()? } {
            Some(claim) => Ok(claim),
            None => wait_counted(
                Putting(self),
                Elsewhere { putting: Putting(self), without_hope_since: None },
                wait,
            ),
        }
    }

    /// Whether any slot may become free without this process doing anything: it is none of the newest item, none that this process
    /// reads, and none that views keep.
    fn may_any_become_free(&self) -> bool {
        let (board, me) = (self.board(), self.participant().tenant().place);
        let newest = board.version();
        (0..board.capacity()).any(|slot| match board.state(slot) {
            Ok(State::Ready(ticket)) => ticket != newest && board.pin_of(slot, me).is_none(),
            Ok(State::Free(_)) => !board.is_pinned(slot),
            Ok(State::Writing(..)) => true,
            Err(_) => false,
        })
    }
}

/// For how long no slot may become free before a call gives up that keeps one itself: enough for another one to give up, or to end.
const GRACE: Duration = Duration::from_secs(1);

/// Which item a call is after.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'c> {
    /// The newest one, whatever its ticket.
    Latest,
    /// The one that a subscription with this cursor comes to.
    Next(&'c AtomicU64),
    /// The newest one, from this cursor on.
    NewestFrom(&'c AtomicU64),
}

/// An item that was pinned, and that its subscription has moved past.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) pinned: Pinned,
    /// How many the subscription has passed over just before it; 0 without a subscription.
    pub(crate) missed: u64,
}

impl<'c> Wanted<'c> {
    fn cursor(self) -> Option<&'c AtomicU64> {
        match self {
            Self::Latest => None,
            Self::Next(cursor) | Self::NewestFrom(cursor) => Some(cursor),
        }
    }

    /// The lowest ticket that will do.
    fn first(self) -> u64 {
        // Relaxed: the item comes by its own words; among threads that share a subscription the compare-and-swap of `take` decides.
        self.cursor().map_or(1, |cursor| cursor.load(Ordering::Relaxed))
    }

    /// Moves the subscription from where it was to behind an item; nothing if another thread has moved it meanwhile.
    fn take(self, from: u64, pinned: Pinned) -> Result<Taken, Pinned> {
        let Some(cursor) = self.cursor() else { return Ok(Taken { pinned, missed: 0 }) };
        match cursor.compare_exchange(from, pinned.ticket + 1, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Ok(Taken { missed: pinned.ticket - from, pinned }),
            Err(_) => Err(pinned),
        }
    }
}

/// A call that wants a slot.
#[derive(Clone, Copy)]
struct Putting<'a>(&'a Attached);

impl Waiter for Putting<'_> {
    type Structure = Here;
    type Error = PublishError;

    const COUNTERS: [Counter; 3] = [Counter::Full, Counter::PutWaits, Counter::PutWaitNs];

    fn attached(&self) -> &Attached {
        self.0
    }

    fn event(&self) -> Event<'_> {
        self.0.free_slots()
    }

    fn patience(&self) -> &Patience {
        self.0.publishers()
    }

    fn in_vain(&self) -> PublishError {
        PublishError::Full(Used::of(self.0))
    }

    fn interrupted() -> PublishError {
        PublishError::Interrupted
    }
}

impl Attempt for Putting<'_> {
    type Got = Claim;
    type Error = PublishError;

    fn attempt(&mut self, _: &mut Wait<'_>, _: Option<Seen>) -> Result<Option<Claim>, PublishError> {
        self.0.try_claim()
    }

    fn is_plenty(&self) -> bool {
        self.is_ready()
    }

    fn is_ready(&self) -> bool {
        self.0.board().may_claim() || self.0.is_shut_down()
    }

    fn is_available(&self) -> bool {
        self.0.board().may_claim()
    }

    /// All of them are, by readers or publishers.
    fn is_held(&self) -> bool {
        true
    }
}

/// A call that wants a slot beside one that it keeps.
///
/// Whoever waits here has let its own slot linger first: so whoever holds a slot that is no lingering one does not wait here, and the slot
/// comes back as surely as any that a put waits for. If views keep all of them, such calls would wait for each other for ever.
struct Elsewhere<'a> {
    putting: Putting<'a>,
    without_hope_since: Option<Instant>,
}

impl Attempt for Elsewhere<'_> {
    type Got = Claim;
    type Error = PublishError;

    fn attempt(&mut self, wait: &mut Wait<'_>, seen: Option<Seen>) -> Result<Option<Claim>, PublishError> {
        self.putting.attempt(wait, seen)
    }

    fn is_plenty(&self) -> bool {
        self.putting.is_plenty()
    }

    fn is_ready(&self) -> bool {
        self.putting.is_ready()
    }

    fn is_available(&self) -> bool {
        self.putting.is_available()
    }

    fn is_held(&self) -> bool {
        self.putting.is_held()
    }

    fn has_hope(&mut self) -> Result<ControlFlow<()>, PublishError> {
        if self.putting.0.may_any_become_free() {
            self.without_hope_since = None;
            return Ok(ControlFlow::Continue(()));
        }
        let Some(since) = self.without_hope_since else {
            self.without_hope_since = Some(Instant::now());
            // A slot that was looked at too early may be free by now: another attempt.
            return Ok(ControlFlow::Break(()));
        };
        if since.elapsed() < GRACE { Ok(ControlFlow::Continue(())) } else { Err(PublishError::Kept) }
    }
}

/// A call that wants an item.
#[derive(Clone, Copy)]
struct Getting<'a> {
    attached: &'a Attached,
    wanted: Wanted<'a>,
}

impl Getting<'_> {
    fn try_pin(&mut self) -> Result<Option<Taken>, SubscribeError> {
        let attached = self.attached;
        let flag = attached.shutdown_flag();
        if flag != SHUTDOWN_NONE && shut_down_how(flag)? == How::Immediate {
            return Err(SubscribeError::ShutDown(attached.immediate_shutdown()));
        }
        let (me, board) = (attached.participant().tenant(), attached.board());
        let gave_way = || attached.free_slots().notify();
        // Each round is another thread's progress with the same subscription, or the one more for an item that came before the end.
        loop {
            let first = self.wanted.first();
            let pinned = match self.wanted {
                Wanted::Latest => board.latest(me, gave_way)?,
                Wanted::Next(_) => board.next(first, me, gave_way)?,
                Wanted::NewestFrom(_) => board.newest_from(first, me, gave_way)?,
            };
            if let Some(pinned) = pinned {
                match self.wanted.take(first, pinned) {
                    Ok(taken) => return Ok(Some(taken)),
                    Err(pinned) => attached.let_go(pinned)?,
                }
                continue;
            }
            if !attached.is_shut_down() {
                return Ok(None);
            }
            let holder = attached.holder();
            // Relaxed: a thread sees what it wrote itself.
            let is_own = |slot: &Slot| slot.holder.load(Ordering::Relaxed) == holder;
            match board.at_the_end(first, is_own)? {
                Found::Nothing => return Ok(None),
                Found::Item => {}
                Found::End => return Err(SubscribeError::ShutDown(attached.first_shutdown())),
            }
        }
    }
}

impl Waiter for Getting<'_> {
    type Structure = Here;
    type Error = SubscribeError;

    const COUNTERS: [Counter; 3] = [Counter::Empty, Counter::GetWaits, Counter::GetWaitNs];

    fn attached(&self) -> &Attached {
        self.attached
    }

    fn event(&self) -> Event<'_> {
        self.attached.items()
    }

    fn patience(&self) -> &Patience {
        self.attached.readers()
    }

    fn in_vain(&self) -> SubscribeError {
        SubscribeError::Empty
    }

    fn interrupted() -> SubscribeError {
        SubscribeError::Interrupted
    }
}

impl Attempt for Getting<'_> {
    type Got = Taken;
    type Error = SubscribeError;

    fn attempt(&mut self, _: &mut Wait<'_>, _: Option<Seen>) -> Result<Option<Taken>, SubscribeError> {
        self.try_pin()
    }

    fn is_plenty(&self) -> bool {
        self.is_ready()
    }

    fn is_ready(&self) -> bool {
        self.is_available() || self.attached.is_shut_down()
    }

    fn is_available(&self) -> bool {
        self.attached.may_pin(self.wanted)
    }

    /// A publisher that dies in the middle may have linked its item and notified nobody.
    fn is_held(&self) -> bool {
        self.attached.board().is_any_written(|_| false)
    }
}

//! Put, latest, next: claim and pin, wait, and end what was begun.

use super::board::{Claim, Found, Pinned};
use super::here::{Attached, Here};
use crate::clock::realtime_ns;
use crate::error::{Corrupted, PublishError, SubscribeError, Used};
use crate::format::SHUTDOWN_NONE;
use crate::presence::attached::{How, Waiter, shut_down_how, wait_counted};
use crate::presence::counters::Counter;
use crate::sync::Ordering;
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
    pub(crate) fn pin(&self, wanted: Wanted, wait: Wait<'_>) -> Result<Pinned, SubscribeError> {
        let mut getting = Getting { attached: self, wanted };
        match if wait.has_tried() { None } else { getting.try_pin()? } {
            Some(pinned) => Ok(pinned),
            None => wait_counted(getting, getting, wait),
        }
    }

    /// Pins the item that `wanted` says if it is there now.
    pub(crate) fn pin_now(&self, wanted: Wanted) -> Result<Pinned, SubscribeError> {
        let mut getting = Getting { attached: self, wanted };
        if let Some(pinned) = getting.try_pin()? {
            return Ok(pinned);
        }
        self.count(Counter::Empty, 1);
        // A publisher that died may be in the way of the end.
        let pinned = if self.sweep_for_failing()? { getting.try_pin()? } else { None };
        pinned.ok_or(SubscribeError::Empty)
    }
}

/// Which item a call is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest one, whatever its ticket.
    Latest,
    /// The one that a subscription at this cursor comes to.
    Next(u64),
    /// The newest one, from this ticket on.
    NewestFrom(u64),
}

impl Wanted {
    /// The lowest ticket that will do.
    fn first(self) -> u64 {
        match self {
            Self::Latest => 1,
            Self::Next(cursor) | Self::NewestFrom(cursor) => cursor,
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

/// A call that wants an item.
#[derive(Clone, Copy)]
struct Getting<'a> {
    attached: &'a Attached,
    wanted: Wanted,
}

impl Getting<'_> {
    fn try_pin(&mut self) -> Result<Option<Pinned>, SubscribeError> {
        let attached = self.attached;
        let flag = attached.shutdown_flag();
        if flag != SHUTDOWN_NONE && shut_down_how(flag)? == How::Immediate {
            return Err(SubscribeError::ShutDown(attached.immediate_shutdown()));
        }
        let (me, board) = (attached.participant().tenant(), attached.board());
        let gave_way = || attached.free_slots().notify();
        // Twice at most: once more for an item that came before the end.
        loop {
            let pinned = match self.wanted {
                Wanted::Latest => board.latest(me, gave_way)?,
                Wanted::Next(cursor) => board.next(cursor, me, gave_way)?,
                Wanted::NewestFrom(cursor) => board.newest_from(cursor, me, gave_way)?,
            };
            if pinned.is_some() || !attached.is_shut_down() {
                return Ok(pinned);
            }
            match board.at_the_end(self.wanted.first())? {
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
    type Got = Pinned;
    type Error = SubscribeError;

    fn attempt(&mut self, _: &mut Wait<'_>, _: Option<Seen>) -> Result<Option<Pinned>, SubscribeError> {
        self.try_pin()
    }

    fn is_plenty(&self) -> bool {
        self.is_ready()
    }

    fn is_ready(&self) -> bool {
        self.is_available() || self.attached.is_shut_down()
    }

    fn is_available(&self) -> bool {
        self.attached.board().version() >= self.wanted.first()
    }

    /// A publisher that dies in the middle may have linked its item and notified nobody.
    fn is_held(&self) -> bool {
        self.attached.board().is_any_written()
    }
}

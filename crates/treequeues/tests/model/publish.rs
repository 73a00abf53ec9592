//! Batches that are whole or not at all, also if their producer is killed: the steps of the producer, and of the sweep that
//! completes what it has begun.
//!
//! U1. A batch is named by its first ticket, plus one: no other batch ever has that name.
//! U2. Each slot says its batch, and that nobody has taken its item, before the entry says that the batch is being published; the
//!     entry says so before the first commit. From then on there is no way back.
//! U3. What says a batch and was never taken is an item of it: a put that comes to the slot after that sets the batch first, the
//!     delivery count second.
//! U4. A sweep completes, in the order of the tickets, before it returns anything.
//! U5. Of a batch from elsewhere it is noted that it has arrived, by whoever publishes or completes it: after the entry says so, and
//!     before the first commit. The note is raised, never set back.

use crate::cast::Role;
use crate::explore::{RingModel, State};
use crate::memory::{Fault, Memory, NO_ITEM, Phase, Ticket, Word, bit};
use crate::process::Process;
use crate::protocol::Protocol;
use crate::steps::{Pc, Target, Walk};

impl RingModel {
    /// The first step of a batch of which all is claimed and written.
    pub fn begin_to_publish(&self, memory: &Memory, p: usize, process: &mut Process) -> Pc {
        let mutation = self.protocol.mutation;
        if mutation.publishes_late {
            // Committed as if it came alone.
            let claim = process.kept.take().expect("a batch");
            let slot = memory.slots[self.protocol.slot(claim)];
            debug_assert!(slot.word.phase.is_owned(), "p{p} holds it");
            return Pc::Reserved { c: claim };
        }
        if mutation.publishes_early { Pc::P2 } else { Pc::P1 { i: 0 } }
    }

    /// Whether a process has committed the first item, and says only now that it publishes.
    pub fn publishes_now(&self, process: &Process) -> bool {
        self.protocol.mutation.publishes_late
            && process.ended == 0
            && process.kept.len > 0
            && !process.goes_back
            && !process.publishing
    }

    pub fn publish(&self, state: &mut State, p: usize, pc: Pc) -> Pc {
        let mutation = self.protocol.mutation;
        let State { memory, processes, .. } = state;
        let participant = self.participant(p);
        let is_other = |q: &usize| *q != p && processes[*q].alive && processes[*q].publishing;
        let is_others_turn = self.threads(participant).any(|q| is_other(&q));
        let process = &mut processes[p];
        let batch = match process.kept.first() {
            first if mutation.batches_come_again => 1 + first % self.scenario.capacity,
            first => 1 + first,
        };
        match pc {
            Pc::J2 => {
                if !mutation.no_publishing_reset_at_join {
                    memory.entries[participant].publishing = 0;
                }
                Pc::Idle
            }
            Pc::P1 { i } | Pc::P1Count { i } => {
                let claim = process.kept.iter().nth(usize::from(i)).expect("one of the batch");
                let slot = &mut memory.slots[self.protocol.slot(claim)];
                let is_second = matches!(pc, Pc::P1Count { .. });
                if is_second == mutation.count_before_batch {
                    slot.batch = batch;
                } else {
                    slot.taken = false;
                }
                match i + 1 {
                    _ if !is_second => Pc::P1Count { i },
                    i if i < process.kept.len => Pc::P1 { i },
                    _ if mutation.publishes_early => Pc::Publishing,
                    _ if self.scenario.arrives && mutation.arrives_early => Pc::PN,
                    _ => Pc::P2,
                }
            }
            Pc::P2 => {
                if memory.entries[participant].publishing != 0
                    && !mutation.overwrites_publishing
                    && !mutation.publishes_for_ever
                {
                    if !is_others_turn {
                        memory.ledger.fail(Fault::Damage);
                    }
                    return Pc::P2;
                }
                memory.entries[participant].publishing = batch;
                process.publishing = true;
                memory.ledger.begin_publishing(self.first_item[p] + process.next, process.kept.len);
                match mutation {
                    _ if mutation.publishes_early => Pc::P1 { i: 0 },
                    _ if self.scenario.arrives && !mutation.arrives_early && !mutation.arrives_late => Pc::PN,
                    _ => Pc::Publishing,
                }
            }
            Pc::PN => {
                self.protocol.has_arrived(memory, batch);
                match mutation {
                    _ if mutation.arrives_early => Pc::P2,
                    _ if mutation.arrives_late => Pc::P3,
                    _ => Pc::Publishing,
                }
            }
            Pc::P3 => {
                if !mutation.publishes_for_ever {
                    memory.entries[participant].publishing = 0;
                }
                process.publishing = false;
                Pc::Idle
            }
            _ => unreachable!(),
        }
    }

    /// Writes into the books that `p`, a producer or a sweeper, has committed an item.
    pub fn note_published(&self, state: &mut State, p: usize, item: u8) {
        let process = &state.processes[p];
        let ledger = &mut state.memory.ledger;
        if self.role(p) == Role::Sweeper {
            if item == NO_ITEM || ledger.publishing & bit(item) == 0 {
                return ledger.fail(Fault::NotPublished);
            }
        } else if item != self.first_item[p] + process.next {
            return ledger.fail(Fault::NotFromTheFirst);
        }
        ledger.committed_in_order(item);
    }
}

impl Protocol {
    /// Says that the item of ticket `c` comes alone (U3).
    pub fn mark_single(&self, m: &mut Memory, c: Ticket) -> Pc {
        let slot = &mut m.slots[self.slot(c)];
        if self.mutation.count_before_batch {
            slot.taken = false;
        } else if !self.mutation.no_batch_reset_at_put {
            slot.batch = 0;
        }
        Pc::M2 { c }
    }

    pub fn count_single(&self, m: &mut Memory, c: Ticket) -> Pc {
        let slot = &mut m.slots[self.slot(c)];
        if self.mutation.count_before_batch {
            slot.batch = 0;
        } else {
            slot.taken = false;
        }
        Pc::C1 { c }
    }

    /// Notes that a batch from elsewhere has arrived (U5).
    fn has_arrived(&self, m: &mut Memory, batch: u8) {
        m.arrived = if self.mutation.arrives_by_store { batch } else { m.arrived.max(batch) };
    }

    /// What is said of the batch from elsewhere whose first item has ticket `t`: none while that may still change.
    pub fn arrival_of(&self, m: &Memory, t: Ticket) -> Option<bool> {
        let slot = &m.slots[self.slot(t)];
        let is_written = matches!(slot.word.phase, Phase::Writing | Phase::Late) && slot.ticket == t;
        (!is_written || self.mutation.arrival_told_early).then(|| m.arrived == t + 1)
    }

    /// An item was claimed.
    pub fn taken(&self, s: u8) -> Pc {
        if self.publishes { Pc::Count { s } } else { Pc::Borrowed { s } }
    }

    /// Completes what the target was publishing.
    pub fn complete(&self, m: &mut Memory, pc: Pc) -> Pc {
        let mutation = self.mutation;
        match pc {
            Pc::SP { p } => match m.entries[usize::from(p.0)].publishing {
                0 => self.after_completing(p),
                batch => {
                    let first = if mutation.completes_by_slot { 0 } else { batch - 1 };
                    let passed_by = !mutation.completes_without_raise;
                    let at = Walk { batch, first, t: first, beyond: None, passed_by };
                    if self.arrives && !mutation.completes_without_arrival {
                        Pc::SPNote { p, at }
                    } else {
                        Pc::SPWord { p, at }
                    }
                }
            },
            Pc::SPNote { p, at } => {
                self.has_arrived(m, at.batch);
                Pc::SPWord { p, at }
            }
            Pc::SPWord { p, at } => match self.word(m, at.t) {
                w if self.is_targets(w, p) && matches!(w.phase, Phase::Writing | Phase::Late) => {
                    Pc::SPMeta { p, at, w }
                }
                _ => self.pass_by(p, at),
            },
            Pc::SPMeta { p, mut at, w } => {
                let slot = m.slots[self.slot(at.t)];
                let is_of_batch = slot.batch == at.batch && (!slot.taken || mutation.completes_taken);
                let is_here = slot.ticket == at.t || mutation.completes_by_slot;
                if mutation.completes_all || (is_of_batch && is_here) {
                    return if at.passed_by { Pc::SPAgain { p, at, w } } else { before_completing(p, at, w) };
                }
                if is_of_batch && slot.ticket >= at.first + self.capacity && !mutation.completes_one_lap {
                    at.beyond = Some(at.beyond.map_or(slot.ticket, |beyond| beyond.min(slot.ticket)));
                }
                self.pass_by(p, at)
            }
            Pc::SPAgain { p, mut at, w } => {
                m.tree.bump_root();
                at.passed_by = false;
                before_completing(p, at, w)
            }
            Pc::SPRaise { p, at, w, number } => match self.raise(m, self.slot(at.t) as u8, number) {
                true => Pc::SPCas { p, at, w },
                false => Pc::SPRaise { p, at, w, number: number + 1 },
            },
            Pc::SPCas { p, at, w } => {
                let phase = if w.phase == Phase::Writing { Phase::Ready } else { Phase::Returned };
                match self.cas(m, self.slot(at.t), w, Word::nobodys(phase, w.reach)) {
                    true if phase == Phase::Returned && !mutation.completes_without_second_raise => {
                        Pc::SPRaiseAgain { p, at }
                    }
                    false if !mutation.completes_once => Pc::SPWord { p, at },
                    _ => self.walk_on(p, at),
                }
            }
            Pc::SPRaiseAgain { p, at } => {
                self.raise_again(m, self.slot(at.t) as u8);
                self.walk_on(p, at)
            }
            _ => unreachable!(),
        }
    }

    /// Goes on past a slot that may have been completed by another sweeper.
    fn pass_by(&self, p: Target, at: Walk) -> Pc {
        let raises = !self.mutation.completes_without_raise && !self.mutation.completes_raising_once;
        self.walk_on(p, Walk { passed_by: at.passed_by || raises, ..at })
    }

    fn walk_on(&self, p: Target, at: Walk) -> Pc {
        if at.t + 1 < at.first + self.capacity {
            return Pc::SPWord { p, at: Walk { t: at.t + 1, ..at } };
        }
        match at.beyond {
            Some(t) => Pc::SPWord { p, at: Walk { first: t, t, beyond: None, ..at } },
            None => self.after_completing(p),
        }
    }
}

fn before_completing(p: Target, at: Walk, w: Word) -> Pc {
    if w.phase == Phase::Late { Pc::SPRaise { p, at, w, number: 0 } } else { Pc::SPCas { p, at, w } }
}

//! What a process does around the steps of the ring: counts before a batch, looks at the shutdown, the books.
//!
//! Q1. A batch counts first, without a claim; then it claims one by one; where it falls short, all goes back before it waits.
//! Q2. A call looks at the flag before each claim. A put looks again after each, and gives up all that it has claimed.
//! Q3. A get that found nothing looks at the flag, and then at all slots: where nothing is left, and nobody holds anything that
//!     may still come, the queue is drained. Counts and flags are only looked at in scenarios with batches and shutdowns.

use crate::cast::Role;
use crate::explore::{RingModel, State};
use crate::memory::{Event, Fault, IMMEDIATELY, Items, Memory, NO_ITEM, Phase, SHUT_DOWN, Slot, bit};
use crate::process::{List, NOWHERE, Process};
use crate::steps::{Frees, Pc};
use crate::tree::{Bits, Found, Look};

impl RingModel {
    /// The first step of a call or the next one of a call under way.
    pub fn step(&self, state: &mut State, p: usize) {
        let pc = match state.processes[p].pc {
            Pc::Idle => self.begin(state, p),
            Pc::Enough => self.begin_claim(state, p),
            pc => pc,
        };
        let next = self.access(state, p, pc);
        self.note(state, p);
        self.arrive(state, p, next);
    }

    /// Where a call begins, or goes on after a claim.
    fn begin(&self, state: &mut State, p: usize) -> Pc {
        let process = &state.processes[p];
        let is_first = process.kept.len == 0 && process.ended == 0;
        if let Role::Closer { immediate } = self.role(p) {
            let flag = if immediate { SHUT_DOWN | IMMEDIATELY } else { SHUT_DOWN };
            return Pc::X { flag };
        }
        if is_first && self.batch(p, process) > 1 {
            state.processes[p].throughout = self.there_now(&state.memory, self.role(p));
            return Pc::N0;
        }
        self.begin_claim(state, p)
    }

    /// Where the claim of one slot begins.
    fn begin_claim(&self, state: &mut State, p: usize) -> Pc {
        let is_producer = self.role(p).is_producer();
        let item = self.item(p, &state.processes[p]);
        if is_producer {
            state.memory.ledger.begin_put(item);
        } else if self.scenario.honest {
            state.processes[p].came_back = state.memory.ledger.back_again;
        }
        let bits = if is_producer { SHUT_DOWN } else { IMMEDIATELY };
        state.processes[p].began_after = state.memory.ledger.shut_down & bits != 0;
        state.processes[p].throughout = self.there_now(&state.memory, self.role(p));
        if self.has_closers() && !self.protocol.mutation.no_flag_before {
            return Pc::F0;
        }
        if is_producer { Pc::R0 } else { Pc::B1 }
    }

    /// One access to the shared memory.
    fn access(&self, state: &mut State, p: usize, pc: Pc) -> Pc {
        let me = self.owner(p, state.processes[p].generation);
        let item = self.item(p, &state.processes[p]);
        let is_producer = self.role(p).is_producer();
        let memory = &mut state.memory;
        match pc {
            Pc::J { generation } => {
                let entry = &mut memory.entries[p];
                assert!(
                    !entry.used && entry.generation == generation,
                    "only the lock's holder claims an entry"
                );
                entry.used = true;
                state.processes[p].generation = generation;
                if self.scenario.publishes { Pc::J2 } else { Pc::Idle }
            }
            Pc::J2 | Pc::P1 { .. } | Pc::P1Count { .. } | Pc::P2 | Pc::PN | Pc::P3 => {
                self.publish(state, p, pc)
            }
            Pc::N0 if is_producer => {
                let look = Look { version: Bits::OLD, fresh: true, counts: true };
                Pc::N { look, found: Found::default(), t0: memory.head, t: memory.head, count: 0 }
            }
            Pc::N0 if self.protocol.mutation.counts_in_order => {
                let look = Look { version: memory.tree.root().version, fresh: true, counts: true };
                Pc::NTail { look, found: Found::default() }
            }
            Pc::N0 => match self.valid_list(memory, &state.processes[p]) {
                Some(found) => {
                    let look = Look { version: memory.tree.root().version, fresh: false, counts: true };
                    Pc::NTail { look, found }
                }
                None => self.protocol.begin_look(memory, true),
            },
            Pc::NLook => self.protocol.begin_look(memory, true),
            Pc::NTail { found, .. } if found.len >= self.batch(p, &state.processes[p]) => Pc::Enough,
            Pc::NTail { look, found } => {
                Pc::N { look, found, t0: memory.tail, t: memory.tail, count: found.len }
            }
            Pc::N { .. } | Pc::NTicket { .. } => {
                self.count(memory, is_producer, self.batch(p, &state.processes[p]), pc)
            }
            Pc::NVersion { look } if memory.tree.root().version == look.version && look.fresh => Pc::Short,
            Pc::NVersion { .. } => Pc::NLook,
            Pc::B1 => match self.valid_list(memory, &state.processes[p]) {
                Some(found) => {
                    let look = Look { version: memory.tree.root().version, fresh: false, counts: false };
                    if found.len > 0 { Pc::T6Word { look, found } } else { Pc::B2Tail { look } }
                }
                None => self.protocol.step(memory, me, item, pc),
            },
            Pc::F0 if is_producer && memory.flag & SHUT_DOWN != 0 => Pc::ShutDown,
            Pc::F0 if !is_producer && memory.flag & IMMEDIATELY != 0 => Pc::ShutDown,
            Pc::F0 => {
                if is_producer {
                    Pc::R0
                } else {
                    Pc::B1
                }
            }
            Pc::F1 { c } if memory.flag & SHUT_DOWN != 0 => {
                let process = &mut state.processes[p];
                (process.refused, process.goes_back) = (true, true);
                Pc::A1 { s: c % self.scenario.capacity }
            }
            Pc::F1 { c } => Pc::Reserved { c },
            Pc::D0 if memory.flag & SHUT_DOWN == 0 => Pc::Idle,
            Pc::D0 if is_producer || memory.flag & IMMEDIATELY != 0 => Pc::ShutDown,
            Pc::D0 if self.protocol.mutation.drain_without_a_look => {
                self.drained(memory, p, &state.processes[p], 0)
            }
            Pc::D0 => Pc::D { s: 0, left: 0 },
            Pc::D { s, left } => {
                let mutation = self.protocol.mutation;
                let left = match memory.slots[usize::from(s)].word.phase {
                    Phase::Ready | Phase::Returned => left + 1,
                    Phase::Writing | Phase::Late if !mutation.drain_ignores_writers => return Pc::Idle,
                    Phase::Reading if !mutation.drain_ignores_readers => return Pc::Idle,
                    _ => left,
                };
                if s + 1 < self.scenario.capacity {
                    Pc::D { s: s + 1, left }
                } else {
                    self.drained(memory, p, &state.processes[p], left)
                }
            }
            Pc::X { flag } => {
                let before = if self.protocol.mutation.shutdown_by_store { 0 } else { memory.flag };
                memory.flag = before | flag;
                memory.ledger.shut_down |= flag;
                Pc::Down
            }
            // What an earlier look has found beyond the lap from the tail on may still hold.
            Pc::RV { h } => {
                let is_known = state.processes[p].none_free == Some(memory.frees);
                self.protocol.begin_to_look(h, Frees { version: memory.frees, is_known })
            }
            Pc::R5 { .. } => match self.protocol.step(memory, me, item, pc) {
                Pc::Reserved { c } if self.has_closers() && !self.protocol.mutation.no_flag_after => {
                    Pc::F1 { c }
                }
                next => next,
            },
            pc => self.protocol.step(memory, me, item, pc),
        }
    }

    /// What an earlier look has found, if that still holds.
    fn valid_list(&self, memory: &Memory, process: &Process) -> Option<Found> {
        let list = process.list?;
        let is_valid = list.version == memory.tree.root().version || self.protocol.mutation.keeps_for_ever;
        is_valid.then_some(list.found)
    }

    /// The next look of a count.
    fn count(&self, memory: &Memory, is_put: bool, enough: u8, pc: Pc) -> Pc {
        let (Pc::N { look, found, t0, t, count } | Pc::NTicket { look, found, t0, t, count }) = pc else {
            unreachable!()
        };
        let w = self.protocol.word(memory, t);
        let too_few = if is_put { Pc::Short } else { Pc::NVersion { look } };
        let count = match (w.phase, self.protocol.delta(w, t)) {
            _ if matches!(pc, Pc::NTicket { .. }) => {
                count + u8::from(!found.has(memory.slots[self.protocol.slot(t)].ticket))
            }
            (Phase::Free, _) if is_put => count + 1,
            _ if is_put => count,
            (Phase::Returned, _) if !self.protocol.mutation.counts_in_order => {
                return Pc::NTicket { look, found, t0, t, count };
            }
            (Phase::Ready, 0..) => count + 1,
            (_, ..0) | (Phase::Free, 0) => return too_few,
            _ => count,
        };
        match t + 1 {
            _ if count == enough => Pc::Enough,
            t if t < t0 + self.scenario.capacity => Pc::N { look, found, t0, t, count },
            _ => too_few,
        }
    }

    /// What a get makes of so many items that are left.
    fn drained(&self, memory: &mut Memory, p: usize, process: &Process, left: u8) -> Pc {
        let wanted = self.batch(p, process);
        if left >= wanted {
            return Pc::Idle;
        }
        let told = &mut memory.ledger.fewer_left;
        *told = if *told == 0 { wanted } else { wanted.min(*told) };
        Pc::ShutDown
    }

    /// Writes into the books what the step of `p` did to an item or a slot.
    fn note(&self, state: &mut State, p: usize) {
        let event = std::mem::replace(&mut state.memory.ledger.event, Event::None);
        let process = &mut state.processes[p];
        match event {
            Event::Committed(_) if process.began_after => state.memory.ledger.fail(Fault::PutAfterShutdown),
            Event::Took { .. } if process.began_after => state.memory.ledger.fail(Fault::TookAfterShutdown),
            Event::Committed(item) if self.scenario.publishes => self.note_published(state, p, item),
            Event::Committed(item) if item != self.first_item[p] + process.next => {
                state.memory.ledger.fail(Fault::NotFromTheFirst);
            }
            _ if !self.scenario.honest => return,
            Event::Took { in_order: true, .. } if process.came_back != 0 => {
                state.memory.ledger.fail(Fault::ReturnedNotFirst);
            }
            Event::Took { item, .. } if state.memory.of_lower_tickets(process.came_back, item) != 0 => {
                state.memory.ledger.fail(Fault::ReturnedOrder);
            }
            Event::CameBack(item) => {
                process.came_back |= bit(item);
                process.gave_back |= if process.goes_back { bit(item) } else { 0 };
            }
            _ => {}
        }
        for (other, process) in state.processes.iter_mut().enumerate().take(self.scenario.roles.len()) {
            match (event, self.role(other)) {
                (Event::Claimed(slot), Role::Producer { .. }) => process.throughout &= !bit(slot as u8),
                (Event::Took { item, .. }, Role::Consumer { .. } | Role::Sweeper) => {
                    if process.gave_back & bit(item) != 0 {
                        let slots = &state.memory.slots;
                        let kept = process.kept.iter().map(|s| bit(slots[usize::from(s)].item));
                        if state.memory.of_lower_tickets(kept.fold(0, |all, one| all | one), item) != 0 {
                            state.memory.ledger.fail(Fault::GaveBackOrder);
                        }
                    }
                    process.throughout &= !bit(item);
                    process.came_back &= !bit(item);
                    process.gave_back &= !bit(item);
                }
                _ => {}
            }
        }
    }

    /// What is there for a call that begins now: free slots for a put, items for a get.
    fn there_now(&self, memory: &Memory, role: Role) -> Items {
        if !self.scenario.honest {
            return 0;
        }
        let slots = &memory.slots[..usize::from(self.scenario.capacity)];
        let there = |(s, slot): (usize, &Slot)| match (role, slot.word.phase) {
            // Whoever frees a slot beyond the lap from the tail on has not done so before the version has moved.
            (Role::Producer { .. }, Phase::Free) if memory.ledger.freeing[s] == 0 => bit(s as u8),
            (Role::Consumer { .. }, Phase::Ready | Phase::Returned) => bit(slot.item),
            _ => 0,
        };
        slots.iter().enumerate().map(there).fold(0, |all, one| all | one)
    }

    /// Keeps the books when a process has come to `pc`; ends of calls become [`Pc::Idle`], or the next claim of a batch.
    pub fn arrive(&self, state: &mut State, p: usize, pc: Pc) {
        self.keep_list(state, p, pc);
        if let Pc::Full { looked: Some(looked) } = pc
            && self.scenario.keeps
        {
            let version =
                if self.protocol.mutation.version_of_any_time { state.memory.frees } else { looked };
            state.processes[p].none_free = Some(version);
        }
        let process = &mut state.processes[p];
        let ledger = &mut state.memory.ledger;
        let batch = self.batch(p, process);
        let is_producer = self.role(p).is_producer();
        match pc {
            Pc::Full { .. } if process.throughout != 0 => ledger.fail(Fault::FullWithAFreeSlot),
            Pc::Empty if process.throughout != 0 => ledger.fail(Fault::EmptyWithAnItem),
            Pc::Short if process.throughout.count_ones() >= u32::from(batch) => {
                ledger.fail(if is_producer { Fault::FullWithAFreeSlot } else { Fault::EmptyWithAnItem });
            }
            Pc::PutDone => {
                let item = self.first_item[p] + process.next;
                ledger.end_put(item);
                if process.kept.len > 0 {
                    ledger.published_before(item, item + 1);
                }
                process.next += 1;
            }
            _ => {}
        }
        if matches!(pc, Pc::Full { .. } | Pc::ShutDown) && is_producer && process.ended > 0 {
            ledger.fail(Fault::PartOfABatch);
        }
        let claims_as_it_commits = self.protocol.mutation.commits_as_it_claims && is_producer;
        process.pc = match pc {
            Pc::Full { .. } | Pc::Empty if self.protocol.mutation.waits_holding && process.kept.len > 0 => {
                Pc::Idle
            }
            Pc::Full { .. } | Pc::Empty if process.kept.len > 0 => {
                process.goes_back = true;
                self.next_of_batch(&state.memory, p, process)
            }
            Pc::Full { .. } | Pc::Empty => self.after_a_call_in_vain(&state.memory, p, process),
            Pc::Short if self.has_closers() => Pc::D0,
            Pc::Short => Pc::Idle,
            Pc::ShutDown => {
                (process.refused, process.goes_back) = (true, true);
                self.next_of_batch(&state.memory, p, process)
            }
            Pc::Reserved { .. } if claims_as_it_commits => pc,
            Pc::Reserved { c: claim } | Pc::Borrowed { s: claim } if batch > 1 => {
                process.kept.push(claim);
                if process.kept.len < batch {
                    Pc::Idle
                } else if is_producer && self.scenario.publishes {
                    ledger.claimed_together(self.first_item[p] + process.next, batch);
                    if self.scenario.arrives {
                        ledger.from_elsewhere = (process.kept.first(), self.first_item[p] + process.next);
                    }
                    self.begin_to_publish(&state.memory, p, process)
                } else {
                    self.next_of_batch(&state.memory, p, process)
                }
            }
            Pc::Lingering { s } if is_producer && process.aside == NOWHERE => {
                process.aside = s;
                self.next_of_batch(&state.memory, p, process)
            }
            Pc::LV { .. } if is_producer => {
                process.aside = NOWHERE;
                pc
            }
            Pc::GetDone if is_producer => {
                process.aside = NOWHERE;
                Pc::Idle
            }
            Pc::PutDone if claims_as_it_commits && process.ended + 1 < batch => {
                process.ended += 1;
                Pc::Idle
            }
            Pc::Publishing => self.next_of_batch(&state.memory, p, process),
            Pc::PutDone if self.publishes_now(process) => {
                process.ended += 1;
                Pc::P1 { i: 0 }
            }
            Pc::PutDone | Pc::GetDone | Pc::SweepDone => {
                process.ended += 1;
                self.next_of_batch(&state.memory, p, process)
            }
            other => other,
        };
        // What a batch gives back has come back when the last of it has.
        if matches!(pc, Pc::GetDone | Pc::SweepDone) && !matches!(process.pc, Pc::G0 { .. }) {
            state.memory.ledger.back_again |= process.came_back;
        }
        let has_ended = matches!(pc, Pc::Full { .. } | Pc::Empty | Pc::Short)
            || matches!(
                process.pc,
                Pc::Idle
                    | Pc::Down
                    | Pc::Enough
                    | Pc::R4 { .. }
                    | Pc::B5 { .. }
                    | Pc::Count { .. }
                    | Pc::Borrowed { .. }
            );
        if has_ended {
            process.throughout = 0;
            process.came_back = 0;
        }
        if matches!(process.pc, Pc::Idle | Pc::Down) {
            process.began_after = false;
            process.gave_back = 0;
        }
    }

    /// What a consumer keeps of a look, when it has come to `pc`.
    fn keep_list(&self, state: &mut State, p: usize, pc: Pc) {
        let process = &mut state.processes[p];
        if !self.scenario.keeps || self.role(p).is_producer() {
            return;
        }
        let starts_over = matches!(pc, Pc::B1 | Pc::NLook)
            && !matches!(process.pc, Pc::Idle | Pc::Enough | Pc::F0 | Pc::N0)
            && !self.protocol.mutation.keeps_at_restart;
        process.list = match pc {
            _ if starts_over => None,
            Pc::T7 { look, rest, .. } => Some(List { version: look.version, found: rest }),
            Pc::T6Word { look, found } => Some(List { version: look.version, found }),
            Pc::NTail { look, found } => Some(List { version: look.version, found }),
            Pc::B2Tail { look } => Some(List { version: look.version, found: Found::default() }),
            _ => process.list,
        };
    }

    /// Where a call goes that has found nothing, and holds nothing. A put alone has looked at the flag before that.
    fn after_a_call_in_vain(&self, memory: &Memory, p: usize, process: &mut Process) -> Pc {
        if self.has_closers() && !self.role(p).is_producer() {
            return Pc::D0;
        }
        self.next_of_batch(memory, p, process)
    }

    /// Where a process goes on that has ended one call or claim: to the oldest claim that is left of its batch, or, of one
    /// that goes back, to the one with the lowest ticket.
    pub fn next_of_batch(&self, memory: &Memory, p: usize, process: &mut Process) -> Pc {
        let (is_producer, mutation) = (self.role(p).is_producer(), self.protocol.mutation);
        let goes_by_ticket = process.goes_back && !is_producer && !mutation.gives_back_as_claimed;
        let last = process.kept.len;
        let claim = match mutation {
            _ if goes_by_ticket => process.kept.take_lowest(|s| memory.slots[usize::from(s)].ticket),
            mutation if mutation.commits_backwards && is_producer && !process.goes_back => {
                process.kept.take_lowest(|claim| last.wrapping_sub(claim))
            }
            _ => process.kept.take(),
        };
        let Some(claim) = claim else {
            process.goes_back = false;
            process.ended = 0;
            if process.publishing {
                let is_to_note = self.scenario.arrives && mutation.arrives_late;
                return if is_to_note { Pc::PN } else { Pc::P3 };
            }
            return if process.refused { Pc::Down } else { Pc::Idle };
        };
        match (is_producer, process.goes_back) {
            (true, false) if process.publishing => Pc::C1 { c: claim },
            (true, false) => Pc::Reserved { c: claim },
            (true, true) => Pc::A1 { s: claim % self.scenario.capacity },
            (false, false) => Pc::Borrowed { s: claim },
            (false, true) => Pc::G0 { s: claim, number: 0 },
        }
    }

    /// A borrowed batch goes back whole: where that begins, for a process that has `s` in hand and has ended none.
    pub fn give_back_all(&self, state: &mut State, p: usize, s: u8) {
        let State { memory, processes, .. } = state;
        let process = &mut processes[p];
        process.goes_back = process.kept.len > 0;
        let mut first = s;
        if process.goes_back && !self.protocol.mutation.gives_back_as_claimed {
            process.kept.push(s);
            let lowest = process.kept.take_lowest(|s| memory.slots[usize::from(s)].ticket);
            first = lowest.expect("at least the one that was pushed");
        }
        process.pc = self.protocol.raise_to_give_back(memory, first, 0);
    }

    /// Whether there is a shutdown in this scenario, so that its calls look at the flag.
    pub fn has_closers(&self) -> bool {
        self.scenario.roles.iter().any(|role| matches!(role, Role::Closer { .. }))
    }

    /// The item that a producer is putting, or will put next.
    pub fn item(&self, p: usize, process: &Process) -> u8 {
        match self.role(p) {
            Role::Producer { .. } => self.first_item[p] + process.next + process.kept.len,
            _ => NO_ITEM,
        }
    }
}

//! What a reader does: subscribe, find an item, pin it and look again, read, unpin; and how a subscription comes to its end.

use crate::cast::{Call, Start};
use crate::explore::{Process, State, TopicModel, Watch, start_at};
use crate::memory::{Fault, Memory, Pin, Ticket, Word};
use crate::steps::{For, Pc};

impl TopicModel {
    /// A call begins, with its first step.
    pub fn begin_get(&self, state: &mut State, p: usize, call: Call) {
        let process = &mut state.processes[p];
        (process.call, process.floor) = (call, state.memory.ledger.returned);
        process.pc = self.begin_look(call);
        self.step(state, p);
    }

    /// Where a call looks for its item.
    pub fn begin_look(&self, call: Call) -> Pc {
        if call == Call::Next { Pc::LoadNext } else { Pc::LoadLatest }
    }

    /// One step of a reader: where it stands then.
    pub fn get_step(&self, state: &mut State, p: usize, pc: Pc) -> Pc {
        let place = self.place(p);
        let mutation = self.scenario.mutation;
        let State { memory, processes, .. } = state;
        let process = &mut processes[p];
        match pc {
            Pc::Subscribe => self.subscribe(memory, process),
            Pc::LoadOldest { newest, slot, oldest } => {
                let oldest = match memory.word(slot) {
                    Word::Ready(ticket) if ticket <= newest || mutation.oldest_unbounded => {
                        Some(oldest.map_or(ticket, |other| other.min(ticket)))
                    }
                    _ => oldest,
                };
                match oldest {
                    _ if slot + 1 < self.scenario.slots => Pc::LoadOldest { newest, slot: slot + 1, oldest },
                    None => Pc::Subscribe,
                    Some(oldest) => {
                        memory.expect((1..oldest).all(|it| memory.has_gone(it)), Fault::PassedWhatIsThere);
                        process.cursor = oldest;
                        Pc::Idle
                    }
                }
            }
            Pc::LoadNext | Pc::LoadLatest => self.look(memory, process),
            Pc::LoadReady { newest, slot, next } => {
                let next = match memory.word(slot) {
                    Word::Ready(ticket) if (process.cursor..=newest).contains(&ticket) => {
                        let found = (ticket, slot);
                        Some(next.map_or(found, |other| other.min(found)))
                    }
                    _ => next,
                };
                match next {
                    _ if slot + 1 < self.scenario.slots => Pc::LoadReady { newest, slot: slot + 1, next },
                    None => Pc::LoadNext,
                    Some((ticket, slot)) => Pc::Pin { ticket, slot },
                }
            }
            Pc::Pin { ticket, slot } if mutation.no_fence => Pc::LookPinned { ticket, slot },
            Pc::Pin { ticket, slot } if mutation.counts_by_itself || mutation.counts_and_stores => {
                let counted = &mut memory.pin_mut(slot, place).counted;
                *counted += 1;
                if *counted == 1 || mutation.counts_and_stores {
                    Pc::StorePin { ticket, slot }
                } else {
                    Pc::LookPinned { ticket, slot }
                }
            }
            Pc::Pin { ticket, slot } => {
                self.pin(memory, slot, place);
                if mutation.no_look {
                    return self.arrive(memory, process, ticket, slot);
                }
                Pc::LookPinned { ticket, slot }
            }
            Pc::StorePin { ticket, slot } => {
                let generation = memory.entry(place).generation + 1;
                let pin = memory.pin_mut(slot, place);
                *pin = Pin { generation, count: 1, ..*pin };
                Pc::LookPinned { ticket, slot }
            }
            Pc::LookPinned { ticket, slot } => match memory.word(slot) {
                Word::Ready(other) if other == ticket || mutation.any_ready => {
                    if mutation.no_fence {
                        return Pc::PinLate { ticket, slot };
                    }
                    self.arrive(memory, process, ticket, slot)
                }
                _ if mutation.no_fence => self.begin_look(process.call),
                _ => Pc::Unpin { ticket, slot, has_read: false },
            },
            Pc::PinLate { ticket, slot } => {
                self.pin(memory, slot, place);
                self.arrive(memory, process, ticket, slot)
            }
            Pc::Hold { ticket, slot } => {
                process.bell.slots |= self.scenario.waits && mutation.release_notifies_before;
                Pc::Unpin { ticket, slot, has_read: true }
            }
            Pc::Unpin { ticket, slot, has_read } => {
                let pin = memory.pin_mut(slot, place);
                if mutation.counts_by_itself || mutation.counts_and_stores {
                    pin.counted -= 1;
                    if pin.counted == 0 {
                        return Pc::StoreNoPin { ticket, slot, has_read };
                    }
                } else if pin.is_none() {
                    memory.blame(Fault::PinTaken);
                } else {
                    *pin = if pin.count == 1 { Pin::NONE } else { Pin { count: pin.count - 1, ..*pin } };
                }
                self.unpinned(process, has_read)
            }
            Pc::StoreNoPin { slot, has_read, .. } => {
                let pin = memory.pin_mut(slot, place);
                *pin = Pin { counted: pin.counted, ..Pin::NONE };
                self.unpinned(process, has_read)
            }
            Pc::LookAtEnd | Pc::LoadWriting { .. } | Pc::LoadLast => self.end_step(memory, process, pc),
            _ => unreachable!("not a reader's step"),
        }
    }

    fn subscribe(&self, memory: &Memory, process: &mut Process) -> Pc {
        let newest = memory.newest;
        if let Some(cursor) = start_at(self.scenario.start, newest.ticket) {
            process.cursor = cursor;
            process.begun = if self.scenario.start == Start::Oldest { 0 } else { memory.ledger.returned };
            return Pc::Idle;
        }
        if self.scenario.mutation.lagging_helps_not {
            return Pc::LoadOldest { newest: newest.ticket, slot: 0, oldest: None };
        }
        self.before_help(newest, For::Oldest)
    }

    /// A call's load of `newest`.
    fn look(&self, memory: &mut Memory, process: &mut Process) -> Pc {
        let mutation = self.scenario.mutation;
        let newest = memory.newest;
        if !self.is_there(memory, process) {
            let was_there = match process.call {
                Call::Latest => process.floor > 0,
                Call::Next | Call::Newer => process.floor >= process.cursor,
            };
            memory.expect(!was_there, Fault::EmptyWithAnItem);
            return self.before_end(process);
        }
        let is_in_order = process.call == Call::Next || mutation.newest_in_order;
        if !is_in_order || newest.ticket == process.cursor {
            return self.before_help(newest, For::Newest);
        }
        if mutation.lagging_helps_not {
            return self.after_help(newest, For::Next);
        }
        self.before_help(newest, For::Next)
    }

    fn pin(&self, memory: &mut Memory, slot: u8, place: u8) {
        let is_plain = self.scenario.mutation.pins_without_generation;
        let generation = if is_plain { 1 } else { memory.entry(place).generation + 1 };
        let pin = memory.pin_mut(slot, place);
        *pin = match pin.is_none() {
            true => Pin { generation, count: 1, ..*pin },
            false => Pin { count: pin.count + 1, ..*pin },
        };
    }

    /// The item is the reader's: the cursor moves now.
    fn arrive(&self, memory: &mut Memory, process: &mut Process, ticket: Ticket, slot: u8) -> Pc {
        if process.call != Call::Latest {
            memory.expect(ticket >= process.cursor, Fault::NotInOrder);
            if process.call == Call::Next {
                let all_gone = (process.cursor..ticket).all(|it| memory.has_gone(it));
                memory.expect(all_gone, Fault::PassedWhatIsThere);
            }
            let starts_well = match self.scenario.start {
                Start::New => ticket > process.begun,
                Start::Latest => ticket >= process.begun,
                Start::Oldest => true,
            };
            memory.expect(starts_well, Fault::NotInOrder);
            (process.cursor, process.begun) = (ticket + 1, 0);
        }
        if process.call != Call::Next {
            memory.expect(ticket >= process.floor, Fault::Stale);
            memory.expect(ticket >= process.seen, Fault::WentBack);
        }
        if self.scenario.calls.len() > 1 || self.scenario.calls == [Call::Latest] {
            process.seen = process.seen.max(ticket);
        }
        (process.floor, process.watch) = (0, Watch::None);
        Pc::Hold { ticket, slot }
    }

    fn unpinned(&self, process: &mut Process, has_read: bool) -> Pc {
        let mutation = self.scenario.mutation;
        let is_silent = match has_read {
            true => mutation.release_silent || mutation.release_notifies_before,
            false => mutation.failed_look_silent,
        };
        process.bell.slots |= self.scenario.waits && !is_silent;
        if !has_read {
            return self.begin_look(process.call);
        }
        process.left -= 1;
        process.call = Call::Next;
        self.between(process)
    }

    /// A call has found nothing.
    fn before_end(&self, process: &mut Process) -> Pc {
        match self.scenario.mutation.end_reversed {
            _ if !self.scenario.has_closer() => self.none_there(process),
            true => Pc::LoadWriting { slot: 0 },
            false => Pc::LookAtEnd,
        }
    }

    fn none_there(&self, process: &mut Process) -> Pc {
        if !self.scenario.waits {
            (process.call, process.floor) = (Call::Next, 0);
        }
        self.found_nothing(process, Pc::Idle)
    }

    /// The end: the flag, then all words, then `newest` once more.
    fn end_step(&self, memory: &mut Memory, process: &mut Process, pc: Pc) -> Pc {
        let mutation = self.scenario.mutation;
        match pc {
            Pc::LookAtEnd if !memory.is_shut_down => self.none_there(process),
            Pc::LookAtEnd if mutation.end_ignores_writers || mutation.end_reversed => Pc::LoadLast,
            Pc::LookAtEnd => Pc::LoadWriting { slot: 0 },
            Pc::LoadWriting { slot } if matches!(memory.word(slot), Word::Writing(..)) => {
                self.none_there(process)
            }
            Pc::LoadWriting { slot } if slot + 1 < self.scenario.slots => Pc::LoadWriting { slot: slot + 1 },
            Pc::LoadWriting { .. } if mutation.end_reversed => Pc::LookAtEnd,
            Pc::LoadWriting { .. } => Pc::LoadLast,
            Pc::LoadLast => {
                if self.is_there(memory, process) {
                    if !mutation.end_without_last_look {
                        return self.begin_look(process.call);
                    }
                    memory.blame(Fault::EndBesideAnItem);
                }
                (process.call, process.floor, process.watch) = (Call::Next, 0, Watch::None);
                Pc::Down
            }
            _ => unreachable!("not at the end"),
        }
    }
}

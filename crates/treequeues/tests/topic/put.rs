//! What a publisher does: claim a slot, write its rows, commit; and what anyone does who helps the newest item.

use crate::cast::Silent;
use crate::explore::{Process, State, TopicModel, Watch};
use crate::memory::{Fault, Newest, Pin, Rows, Ticket, Word, is_before, low};
use crate::steps::{Claim, For, Look, Pc, Was};

const BOTH: Silent = Silent { items: false, slots: false };

impl TopicModel {
    /// Where a put begins.
    pub fn begin_put(&self) -> Pc {
        if self.scenario.has_closer() { Pc::LookAtFlag } else { Pc::LoadNewest }
    }

    /// One step of a publisher: where it stands then.
    pub fn put_step(&self, state: &mut State, p: usize, pc: Pc) -> Pc {
        let me = self.me(&state.memory, p);
        let mutation = self.scenario.mutation;
        let State { memory, processes, .. } = state;
        let process = &mut processes[p];
        match pc {
            Pc::LookAtFlag if memory.is_shut_down => refused(process),
            Pc::LookAtFlag => Pc::LoadNewest,
            Pc::LoadNewest => {
                let look = Look { newest: memory.newest.ticket, seen: Default::default() };
                Pc::LoadWord { look, slot: 0 }
            }
            Pc::LoadWord { mut look, slot } => {
                look.seen[usize::from(slot)] = match memory.word(slot) {
                    Word::Free(last) => Some(Was::Free(last)),
                    Word::Ready(ticket) if ticket < look.newest || mutation.takes_the_newest => {
                        Some(Was::Ready(ticket))
                    }
                    _ => None,
                };
                if slot + 1 < self.scenario.slots {
                    Pc::LoadWord { look, slot: slot + 1 }
                } else {
                    self.choose(process, look)
                }
            }
            Pc::LoadPin { look, slot, place } if !memory.pin(slot, place).is_none() => {
                self.pass_by(process, look, slot)
            }
            Pc::LoadPin { look, slot, place } if place + 1 < self.scenario.place_count() => {
                Pc::LoadPin { look, slot, place: place + 1 }
            }
            Pc::LoadPin { look, slot, .. } => Pc::Claim { look, slot },
            Pc::Claim { look, slot } => {
                let was = look.seen[usize::from(slot)].expect("it was chosen");
                if !memory.swap_word(slot, was.word(), Word::Writing(me, low(was.ticket()))) {
                    return self.pass_by(process, look, slot);
                }
                let is_free = matches!(was, Was::Free(_));
                if mutation.no_second_look || (mutation.free_without_pins && is_free) {
                    return self.claimed(process, slot, was);
                }
                Pc::LoadPinAgain { look, slot, was, place: 0 }
            }
            Pc::LoadPinAgain { look, slot, was, place } if !memory.pin(slot, place).is_none() => {
                Pc::BackOff { look, slot, was }
            }
            Pc::LoadPinAgain { look, slot, was, place } if place + 1 < self.scenario.place_count() => {
                Pc::LoadPinAgain { look, slot, was, place: place + 1 }
            }
            Pc::LoadPinAgain { slot, was, .. } => self.claimed(process, slot, was),
            Pc::BackOff { look, slot, was } => {
                let to = if mutation.backs_off_to_ready { was.word() } else { Word::Free(was.ticket()) };
                memory.set_word(slot, to);
                self.owe(process, mutation.back_off_silent);
                self.pass_by(process, look, slot)
            }
            Pc::LookAtFlagAgain(claim) if memory.is_shut_down => Pc::Refuse(claim),
            Pc::LookAtFlagAgain(claim) => Pc::Write(claim),
            Pc::Refuse(Claim { slot, last }) => {
                memory.set_word(slot, Word::Free(last));
                self.owe(process, Silent { items: mutation.refused_silent, slots: true });
                refused(process)
            }
            Pc::Write(claim) => {
                memory.rows[usize::from(claim.slot)] = Rows::Torn;
                Pc::WriteRest(claim)
            }
            Pc::WriteRest(claim) => {
                memory.rows[usize::from(claim.slot)] = Rows::Filled(p as u8);
                Pc::LoadNewestAgain(claim)
            }
            Pc::Abort(Claim { slot, last }) => {
                let is_item = mutation.aborts_to_ready && last > 0;
                memory.set_word(slot, if is_item { Word::Ready(last) } else { Word::Free(last) });
                self.owe(process, mutation.abort_silent);
                self.end_put(process)
            }
            Pc::LingerPin(claim) => {
                let place = self.place(p);
                let generation = memory.entry(place).generation + 1;
                let pin = memory.pin_mut(claim.slot, place);
                *pin = Pin { generation, count: pin.count + 1, ..*pin };
                if mutation.linger_frees_first { Pc::Kept(claim) } else { Pc::LingerFree(claim) }
            }
            Pc::LingerFree(claim) => {
                memory.set_word(claim.slot, Word::Free(claim.last));
                self.owe_both(process);
                if mutation.linger_frees_first { Pc::LingerPin(claim) } else { Pc::Kept(claim) }
            }
            Pc::Kept(claim) => {
                memory.rows[usize::from(claim.slot)] = Rows::Torn;
                Pc::LetGo(claim)
            }
            Pc::LetGo(Claim { slot, .. }) => {
                let pin = memory.pin_mut(slot, self.place(p));
                *pin = if pin.count <= 1 { Pin::NONE } else { Pin { count: pin.count - 1, ..*pin } };
                self.owe(process, Silent { items: true, slots: mutation.let_go_silent });
                self.end_put(process)
            }
            Pc::LoadNewestAgain(claim) => {
                let newest = memory.newest;
                if newest.ticket == 0 {
                    return Pc::Link { claim, newest };
                }
                self.before_help(newest, For::Link(claim))
            }
            Pc::Link { claim, newest } => {
                let is_same = match mutation.commit_modulo {
                    0 => memory.newest == newest,
                    few => {
                        let Newest { ticket, slot } = memory.newest;
                        slot == newest.slot && ticket % few == newest.ticket % few
                    }
                };
                if !is_same && !mutation.commit_stores {
                    return Pc::LoadNewestAgain(claim);
                }
                let ticket = newest.ticket + 1;
                let rows = &mut memory.rows[usize::from(claim.slot)];
                let are_its_own = *rows == Rows::Filled(p as u8);
                *rows = Rows::Item(ticket);
                memory.expect(are_its_own, Fault::NotItsRows);
                memory.expect(memory.newest.ticket < ticket, Fault::NewestWentBack);
                memory.newest = Newest { ticket, slot: claim.slot };
                let is_late =
                    |other: &Process| other.pc == Pc::Down && other.cursor > 0 && ticket >= other.cursor;
                if processes.iter().any(is_late) {
                    memory.blame(Fault::PutAfterTheEnd);
                }
                Pc::MakeReady { claim, ticket }
            }
            Pc::MakeReady { claim: Claim { slot, last }, ticket } => {
                if mutation.ready_stores {
                    memory.set_word(slot, Word::Ready(ticket));
                } else {
                    memory.swap_word(slot, Word::Writing(me, low(last)), Word::Ready(ticket));
                }
                memory.ledger.returned = memory.ledger.returned.max(ticket);
                self.owe(process, mutation.publication_silent);
                self.end_put(process)
            }
            _ => unreachable!("not a publisher's step"),
        }
    }

    /// The candidate that a claim tries next: a FREE slot, else the oldest item.
    fn choose(&self, process: &mut Process, look: Look) -> Pc {
        let mutation = self.scenario.mutation;
        let rank = |was: Was| match was {
            Was::Free(_) => 0,
            Was::Ready(ticket) => ticket,
        };
        let seen = look.seen.iter().enumerate();
        let seen = seen.filter_map(|(slot, was)| was.map(|was| (rank(was), slot as u8, was)));
        let Some((_, slot, was)) = seen.min_by_key(|(rank, slot, _)| (*rank, *slot)) else {
            if mutation.one_look_is_enough && process.watch == Watch::None {
                process.watch = Watch::Stands;
                return Pc::FallAsleep;
            }
            return self.found_nothing(process, self.begin_put());
        };
        let is_free = matches!(was, Was::Free(_));
        if mutation.no_first_look || (mutation.free_without_pins && is_free) {
            return Pc::Claim { look, slot };
        }
        Pc::LoadPin { look, slot, place: 0 }
    }

    /// This candidate is not to be had: the next one.
    fn pass_by(&self, process: &mut Process, mut look: Look, slot: u8) -> Pc {
        look.seen[usize::from(slot)] = None;
        self.choose(process, look)
    }

    fn claimed(&self, process: &mut Process, slot: u8, was: Was) -> Pc {
        process.watch = Watch::None;
        let claim = Claim { slot, last: was.ticket() };
        if self.scenario.has_closer() && !self.scenario.mutation.no_second_look_at_flag {
            return Pc::LookAtFlagAgain(claim);
        }
        Pc::Write(claim)
    }

    fn end_put(&self, process: &mut Process) -> Pc {
        process.left -= 1;
        self.between(process)
    }

    /// Between two calls, or after the last one.
    pub fn between(&self, process: &Process) -> Pc {
        match process.left {
            0 if self.scenario.tenants.is_some() => Pc::Leave,
            0 => Pc::Done,
            _ => Pc::Idle,
        }
    }

    /// Both events are to be notified, but for those that a mutation keeps silent.
    pub fn owe(&self, process: &mut Process, silent: Silent) {
        if self.scenario.waits {
            process.bell.items |= !silent.items;
            process.bell.slots |= !silent.slots;
        }
    }

    pub fn owe_both(&self, process: &mut Process) {
        self.owe(process, BOTH);
    }

    /// The newest item is made READY before whoever looked at it goes on.
    pub fn before_help(&self, newest: Newest, then: For) -> Pc {
        if self.scenario.mutation.no_help {
            return self.after_help(newest, then);
        }
        Pc::LoadHelped { newest, then }
    }

    pub fn help_step(&self, state: &mut State, pc: Pc) -> Pc {
        let mutation = self.scenario.mutation;
        let memory = &mut state.memory;
        match pc {
            Pc::LoadHelped { newest, then } => {
                let needs_help = |last: u8, ticket: Ticket| {
                    let is_another = mutation.helps_another && last != low(ticket);
                    is_before(last, ticket) || is_another || mutation.helps_any
                };
                match memory.word(newest.slot) {
                    Word::Writing(owner, last) if needs_help(last, newest.ticket) => {
                        Pc::Help { newest, owner, last, then }
                    }
                    _ => self.after_help(newest, then),
                }
            }
            Pc::Help { newest, owner, last, then } => {
                memory.swap_word(newest.slot, Word::Writing(owner, last), Word::Ready(newest.ticket));
                self.after_help(newest, then)
            }
            _ => unreachable!("no help"),
        }
    }

    pub fn after_help(&self, newest: Newest, then: For) -> Pc {
        let Newest { ticket, slot } = newest;
        let is_bounded = !self.scenario.mutation.next_unbounded;
        match then {
            For::Link(claim) => Pc::Link { claim, newest },
            For::Oldest => Pc::LoadOldest { newest: ticket, slot: 0, oldest: None },
            For::Next => {
                let newest = if is_bounded { ticket } else { Ticket::MAX };
                Pc::LoadReady { newest, slot: 0, next: None }
            }
            For::Newest => Pc::Pin { ticket, slot },
        }
    }
}

fn refused(process: &mut Process) -> Pc {
    process.watch = Watch::None;
    Pc::Down
}

//! borrow in order, release, linger and give_back.

use crate::memory::{Fault, Memory, Owner, Phase, Ticket, Word, bit};
use crate::protocol::Protocol;
use crate::steps::{End, Leaving, Pc};
use crate::tree::Look;

impl Protocol {
    pub fn borrow_ready(&self, m: &mut Memory, me: Owner, pc: Pc) -> Pc {
        match pc {
            Pc::B2Tail { look } => Pc::BJ { look, t0: m.tail },
            Pc::BJ { look, t0 } => {
                let h = m.head;
                let n = i16::from(h) - i16::from(self.capacity) + i16::from(self.mutation.jumps_too_far);
                if t0 > h + self.capacity {
                    m.ledger.fail(Fault::Damage);
                }
                if n <= i16::from(t0) { Pc::B2 { look, t0, t: t0, fw: None } } else { Pc::BJLook { t0, h } }
            }
            Pc::BJLook { t0, h } => {
                if !(h..=h + self.capacity).contains(&self.used_up_to(self.word(m, h - 1), h - 1)) {
                    return Pc::BJHead { h };
                }
                let n = h - self.capacity + u8::from(self.mutation.jumps_too_far);
                if self.mutation.jumps_without_raise || self.mutation.jumps_before_raise {
                    Pc::BJCas { t0, n }
                } else {
                    Pc::BJRaise { t0, n }
                }
            }
            Pc::BJHead { h } => {
                if m.head == h {
                    m.ledger.fail(Fault::Damage);
                }
                Pc::B1
            }
            Pc::BJRaise { t0, n } => {
                m.tree.bump_root();
                if self.mutation.jumps_before_raise { Pc::B1 } else { Pc::BJCas { t0, n } }
            }
            Pc::BJCas { t0, n } => {
                self.move_tail(m, t0, n);
                if self.mutation.jumps_before_raise { Pc::BJRaise { t0, n } } else { Pc::B1 }
            }
            Pc::B2 { look, t0, t, fw } => {
                let w = self.word(m, t);
                match (w.phase, self.delta(w, t)) {
                    (Phase::Returned, _) => Pc::B1,
                    (Phase::Free, ..0) | (_, ..-1) => {
                        m.ledger.fail(Fault::Damage);
                        Pc::B1
                    }
                    (_, ..0) | (Phase::Free, 0) => self.no_item(look, t0, t, fw, End::Untouched),
                    (Phase::Ready, 0) => match fw {
                        Some(fw) if self.mutation.passes_without_a_look => {
                            self.pass_the_last(m, look, t0, t, fw)
                        }
                        Some(fw) if !self.mutation.no_second_look => {
                            Pc::B3 { look, t0, c: t, fw: None, t: fw, end: End::Candidate }
                        }
                        _ => self.before_taking(look, t0, t, fw),
                    },
                    (Phase::Writing, 0) => self.next_ticket(look, t0, t, fw.or(Some(t))),
                    _ => self.next_ticket(look, t0, t, fw),
                }
            }
            Pc::B3 { look, t0, c, fw, t, end } => {
                let w = self.word(m, t);
                match (w.phase, self.delta(w, t)) {
                    (Phase::Returned, _) => Pc::B1,
                    (Phase::Ready, 0) => Pc::B1,
                    (Phase::Writing, 0) if self.passes && (fw.is_none() || self.mutation.passes_any) => {
                        Pc::B3Pass { look, t0, c, fw, t, w, end }
                    }
                    (Phase::Writing, 0) => self.next_second_look(look, t0, c, fw.or(Some(t)), t, end),
                    _ => self.next_second_look(look, t0, c, fw, t, end),
                }
            }
            Pc::B3Pass { look, t0, c, fw, t, w, end } => {
                let passed = self.cas(m, self.slot(t), w, Word { phase: Phase::Late, ..w });
                if self.mutation.passes_without_a_look {
                    self.before_taking(look, t0, c, None)
                } else if passed || self.mutation.pass_goes_on {
                    self.next_second_look(look, t0, c, fw, t, end)
                } else {
                    Pc::B1
                }
            }
            Pc::B3Version { look, t0, c, fw } => {
                if m.tree.root().version == look.version {
                    Pc::B4 { t0, c, fw }
                } else {
                    Pc::B1
                }
            }
            Pc::B4 { t0, c, fw } => {
                let (s, lap) = (self.slot(c), self.lap(c));
                let ready = Word::nobodys(Phase::Ready, lap);
                if !self.cas(m, s, ready, Word::new(Phase::Reading, me, lap)) {
                    return Pc::B1;
                }
                match fw {
                    Some(fw) if !self.mutation.tail_passes_writing => Pc::B5 { t0, n: fw, s: s as u8 },
                    _ => Pc::B5 { t0, n: c + 1, s: s as u8 },
                }
            }
            Pc::B5 { t0, n, s } => {
                self.move_tail(m, t0, n);
                self.taken(s)
            }
            Pc::B6 { look, t0, n, again } => {
                self.move_tail(m, t0, n);
                if again { Pc::B1 } else { self.nothing(look) }
            }
            _ => unreachable!(),
        }
    }

    fn next_ticket(&self, look: Look, t0: Ticket, t: Ticket, fw: Option<Ticket>) -> Pc {
        if t + 1 < t0 + self.capacity {
            Pc::B2 { look, t0, t: t + 1, fw }
        } else {
            self.no_item(look, t0, t + 1, fw, End::Lap)
        }
    }

    /// No candidate before ticket `x`.
    fn no_item(&self, look: Look, t0: Ticket, x: Ticket, fw: Option<Ticket>, end: End) -> Pc {
        match fw {
            Some(t) => Pc::B3 { look, t0, c: x, fw: None, t, end },
            None => self.after_walk(look, t0, x, end),
        }
    }

    fn next_second_look(
        &self,
        look: Look,
        t0: Ticket,
        c: Ticket,
        fw: Option<Ticket>,
        t: Ticket,
        end: End,
    ) -> Pc {
        match end {
            _ if t + 1 < c => Pc::B3 { look, t0, c, fw, t: t + 1, end },
            End::Candidate => self.before_taking(look, t0, c, fw),
            _ => {
                self.after_walk(look, t0, fw.filter(|_| !self.mutation.tail_passes_writing).unwrap_or(c), end)
            }
        }
    }

    /// A process may leave a ticket unpassed, and then all those behind it.
    pub fn decline_to_pass(&self, pc: Pc) -> Option<Pc> {
        match pc {
            Pc::B3Pass { look, t0, c, fw, t, end, .. } if !self.mutation.passes_without_a_look => {
                Some(self.next_second_look(look, t0, c, fw.or(Some(t)), t, end))
            }
            _ => None,
        }
    }

    /// The mutation that passes the last one of those from `fw` on, at once.
    fn pass_the_last(&self, m: &Memory, look: Look, t0: Ticket, c: Ticket, fw: Ticket) -> Pc {
        let is_written = |t: &Ticket| {
            let w = self.word(m, *t);
            w.phase == Phase::Writing && self.delta(w, *t) == 0
        };
        match (fw..c).rev().find(is_written) {
            Some(t) => Pc::B3Pass { look, t0, c, fw: None, t, w: self.word(m, t), end: End::Candidate },
            None => self.before_taking(look, t0, c, None),
        }
    }

    /// The tail moves to `n`, where it is not there yet.
    fn after_walk(&self, look: Look, t0: Ticket, n: Ticket, end: End) -> Pc {
        let whole = end == End::Lap;
        if n != t0 {
            Pc::B6 { look, t0, n, again: whole }
        } else if whole && self.mutation.start_over_without_progress {
            Pc::B1
        } else {
            self.nothing(look)
        }
    }

    fn before_taking(&self, look: Look, t0: Ticket, c: Ticket, fw: Option<Ticket>) -> Pc {
        if self.mutation.no_version_before_taking {
            Pc::B4 { t0, c, fw }
        } else {
            Pc::B3Version { look, t0, c, fw }
        }
    }

    /// Neither RETURNED nor in order: empty, if the call has looked itself.
    fn nothing(&self, look: Look) -> Pc {
        if look.fresh || self.mutation.empty_by_an_old_look { Pc::Empty } else { Pc::B1 }
    }

    pub fn end_get(&self, m: &mut Memory, me: Owner, pc: Pc) -> Pc {
        let load = |m: &Memory, s: u8| m.slots[usize::from(s)].word;
        match pc {
            Pc::Count { s } => {
                m.slots[usize::from(s)].taken = true;
                Pc::Borrowed { s }
            }
            Pc::Borrowed { s } => self.before_leaving(s, load(m, s), Leaving::Release),
            Pc::L1 { s, linger: true } => Pc::L2 { s, w: load(m, s), linger: true, is_odd: false },
            Pc::L1 { s, linger: false } => self.before_leaving(s, load(m, s), Leaving::Release),
            Pc::LT { s, w, to } if self.used_up_by(s, w) <= m.tail => self.end_hold(s, w, to, false),
            Pc::LT { s, w, to } => Pc::LF { s, w, to },
            Pc::LF { s, w, to } => {
                self.raise_gap(m, self.used_up_by(s, w));
                self.end_hold(s, w, to, true)
            }
            Pc::LV { s } => {
                self.has_freed(m, s);
                Pc::GetDone
            }
            Pc::L2 { s, w, linger, is_odd } => {
                let from = Word::new(Phase::Reading, me, w.reach);
                let to = match linger {
                    true => Word::new(Phase::Lingering, me, w.reach),
                    false => Word::nobodys(Phase::Free, w.reach + 1),
                };
                match (self.cas(m, usize::from(s), from, to), linger) {
                    (false, _) => Pc::L1 { s, linger },
                    (true, true) => Pc::Lingering { s },
                    (true, false) => self.freed(m, me, s, is_odd && !self.mutation.no_version_at_release),
                }
            }
            Pc::Lingering { s } => self.before_leaving(s, load(m, s), Leaving::LetGo),
            Pc::L4 { s, w, is_odd } => {
                let from = Word::new(Phase::Lingering, me, w.reach);
                let further = u8::from(!self.mutation.let_go_without_reach);
                let free = Word::nobodys(Phase::Free, w.reach + further);
                match self.cas(m, usize::from(s), from, free) {
                    true => self.freed(m, me, s, is_odd && !self.mutation.no_version_at_let_go),
                    false => Pc::Lingering { s },
                }
            }
            Pc::G0 { s, number } => self.raise_to_give_back(m, s, number),
            Pc::G1 { s } => self.before_leaving(s, load(m, s), Leaving::GiveBack),
            Pc::G2 { s, w } => {
                let from = Word::new(Phase::Reading, me, w.reach);
                if !self.cas(m, usize::from(s), from, Word::nobodys(Phase::Returned, w.reach)) {
                    return Pc::G1 { s };
                }
                m.ledger.held &= !bit(m.slots[usize::from(s)].item);
                if self.mutation.no_second_raise { Pc::GetDone } else { Pc::G3 { s } }
            }
            Pc::G3 { s } => {
                self.raise_again(m, s);
                Pc::GetDone
            }
            _ => unreachable!(),
        }
    }

    /// The end of a hold, whose word was loaded. The real ring spares the load of the tail where the claim has moved that past the
    /// ticket: the tail never goes back.
    pub fn before_leaving(&self, s: u8, w: Word, to: Leaving) -> Pc {
        let is_left_out = match to {
            Leaving::Release => self.mutation.no_gap_at_release,
            Leaving::LetGo => self.mutation.no_gap_at_let_go,
            Leaving::GiveBack => self.mutation.no_gap_at_give_back,
        };
        if is_left_out || !self.has_gap { self.end_hold(s, w, to, false) } else { Pc::LT { s, w, to } }
    }

    /// A slot is FREE; `is_odd`: its last ticket was not passed by the tail.
    fn freed(&self, m: &mut Memory, me: Owner, s: u8, is_odd: bool) -> Pc {
        if !is_odd {
            return Pc::GetDone;
        }
        self.begin_freeing(m, me, s);
        Pc::LV { s }
    }

    fn end_hold(&self, s: u8, w: Word, to: Leaving, is_odd: bool) -> Pc {
        match to {
            Leaving::Release => Pc::L2 { s, w, linger: false, is_odd },
            Leaving::LetGo => Pc::L4 { s, w, is_odd },
            Leaving::GiveBack => Pc::G2 { s, w },
        }
    }

    /// Give back: what is set before the CAS.
    pub fn raise_to_give_back(&self, m: &mut Memory, s: u8, number: u8) -> Pc {
        match self.raise(m, s, number) {
            true => Pc::G1 { s },
            false => Pc::G0 { s, number: number + 1 },
        }
    }
}

//! borrow, release, linger and give_back.

use crate::memory::{Fault, Memory, Owner, Phase, Ticket, Word, bit};
use crate::protocol::Protocol;
use crate::steps::{Best, End, Pc};

impl Protocol {
    pub fn borrow_returned(&self, m: &mut Memory, me: Owner, pc: Pc) -> Pc {
        match pc {
            Pc::B1 if m.hint_is_up() => Pc::B1Look { hv: m.hint, s: 0, best: None },
            Pc::B1 => Pc::B2Tail,
            Pc::B1Look { hv, s, best } => {
                let w = m.slots[usize::from(s)].word;
                if w.phase == Phase::Returned {
                    Pc::B1Ticket { hv, s, w, best }
                } else {
                    self.next_returned(hv, s, best)
                }
            }
            Pc::B1Ticket { hv, s, w, best } => {
                let ticket = m.slots[usize::from(s)].ticket;
                let better = best.is_none_or(|best| ticket < best.ticket && !self.mutation.any_returned);
                self.next_returned(hv, s, if better { Some(Best { slot: s, ticket, word: w }) } else { best })
            }
            Pc::B1Check { hv, best } => {
                if m.hint == hv {
                    Pc::B1Take { best }
                } else {
                    Pc::B1
                }
            }
            Pc::B1Take { best: Best { slot, word, .. } } => {
                let to = Word::new(Phase::Reading, me, word.reach);
                if self.cas(m, usize::from(slot), word, to) { self.taken(slot) } else { Pc::B1 }
            }
            Pc::B1Clear { hv } => {
                if m.hint == hv || (self.mutation.clear_by_store && m.hint_is_up()) {
                    m.hint += 1;
                }
                Pc::B2Tail
            }
            _ => unreachable!(),
        }
    }

    fn next_returned(&self, hv: u8, s: u8, best: Option<Best>) -> Pc {
        match best {
            _ if s + 1 < self.capacity => Pc::B1Look { hv, s: s + 1, best },
            None => Pc::B1Clear { hv },
            Some(best) if self.mutation.no_hint_check_in_returned => Pc::B1Take { best },
            Some(best) => Pc::B1Check { hv, best },
        }
    }

    pub fn borrow_ready(&self, m: &mut Memory, me: Owner, pc: Pc) -> Pc {
        match pc {
            Pc::B2Tail => Pc::BJ { t0: m.tail },
            Pc::BJ { t0 } => {
                let h = m.head;
                let n = i16::from(h) - i16::from(self.capacity) + i16::from(self.mutation.jumps_too_far);
                if t0 > h + self.capacity {
                    m.ledger.fail(Fault::Damage);
                }
                if n <= i16::from(t0) { Pc::B2 { t0, t: t0, fw: None } } else { Pc::BJLook { t0, h } }
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
                m.raise();
                if self.mutation.jumps_before_raise { Pc::B1 } else { Pc::BJCas { t0, n } }
            }
            Pc::BJCas { t0, n } => {
                self.move_tail(m, t0, n);
                if self.mutation.jumps_before_raise { Pc::BJRaise { t0, n } } else { Pc::B1 }
            }
            Pc::B2 { t0, t, fw } => {
                let w = self.word(m, t);
                match (w.phase, self.delta(w, t)) {
                    (Phase::Returned, _) => Pc::B2Raise,
                    (Phase::Free, ..0) | (_, ..-1) => {
                        m.ledger.fail(Fault::Damage);
                        Pc::B1
                    }
                    (_, ..0) | (Phase::Free, 0) => self.no_item(t0, t, fw, End::Untouched),
                    (Phase::Ready, 0) => match fw {
                        Some(fw) if self.mutation.passes_without_a_look => self.pass_the_last(m, t0, t, fw),
                        Some(fw) if !self.mutation.no_second_look => {
                            Pc::B3 { t0, c: t, fw: None, t: fw, end: End::Candidate }
                        }
                        _ => self.before_taking(t0, t, fw),
                    },
                    (Phase::Writing, 0) => self.next_ticket(t0, t, fw.or(Some(t))),
                    _ => self.next_ticket(t0, t, fw),
                }
            }
            Pc::B2Raise => {
                m.raise();
                Pc::B1
            }
            Pc::B3 { t0, c, fw, t, end } => {
                let w = self.word(m, t);
                match (w.phase, self.delta(w, t)) {
                    (Phase::Returned, _) => Pc::B2Raise,
                    (Phase::Ready, 0) => Pc::B1,
                    (Phase::Writing, 0) if self.passes && (fw.is_none() || self.mutation.passes_any) => {
                        Pc::B3Pass { t0, c, fw, t, w, end }
                    }
                    (Phase::Writing, 0) => self.next_second_look(t0, c, fw.or(Some(t)), t, end),
                    _ => self.next_second_look(t0, c, fw, t, end),
                }
            }
            Pc::B3Pass { t0, c, fw, t, w, end } => {
                let passed = self.cas(m, self.slot(t), w, Word { phase: Phase::Late, ..w });
                if self.mutation.passes_without_a_look {
                    self.before_taking(t0, c, None)
                } else if passed || self.mutation.pass_goes_on {
                    self.next_second_look(t0, c, fw, t, end)
                } else {
                    Pc::B1
                }
            }
            Pc::B3Hint { t0, c, fw } => {
                if m.hint_is_up() {
                    Pc::B1
                } else {
                    Pc::B4 { t0, c, fw }
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
            Pc::B6 { t0, n, again } => {
                self.move_tail(m, t0, n);
                if again { Pc::B1 } else { self.before_empty() }
            }
            Pc::B7 { s } => match m.slots[usize::from(s)].word.phase {
                Phase::Returned => Pc::B2Raise,
                _ if s + 1 < self.capacity => Pc::B7 { s: s + 1 },
                _ => Pc::Empty,
            },
            _ => unreachable!(),
        }
    }

    fn next_ticket(&self, t0: Ticket, t: Ticket, fw: Option<Ticket>) -> Pc {
        if t + 1 < t0 + self.capacity {
            Pc::B2 { t0, t: t + 1, fw }
        } else {
            self.no_item(t0, t + 1, fw, End::Lap)
        }
    }

    /// No candidate before ticket `x`.
    fn no_item(&self, t0: Ticket, x: Ticket, fw: Option<Ticket>, end: End) -> Pc {
        match fw {
            Some(t) => Pc::B3 { t0, c: x, fw: None, t, end },
            None => self.after_walk(t0, x, end),
        }
    }

    fn next_second_look(&self, t0: Ticket, c: Ticket, fw: Option<Ticket>, t: Ticket, end: End) -> Pc {
        match end {
            _ if t + 1 < c => Pc::B3 { t0, c, fw, t: t + 1, end },
            End::Candidate => self.before_taking(t0, c, fw),
            _ => self.after_walk(t0, fw.filter(|_| !self.mutation.tail_passes_writing).unwrap_or(c), end),
        }
    }

    /// A process may leave a ticket unpassed, and then all those behind it.
    pub fn decline_to_pass(&self, pc: Pc) -> Option<Pc> {
        match pc {
            Pc::B3Pass { t0, c, fw, t, end, .. } if !self.mutation.passes_without_a_look => {
                Some(self.next_second_look(t0, c, fw.or(Some(t)), t, end))
            }
            _ => None,
        }
    }

    /// The mutation that passes the last one of those from `fw` on, at once.
    fn pass_the_last(&self, m: &Memory, t0: Ticket, c: Ticket, fw: Ticket) -> Pc {
        let is_written = |t: &Ticket| {
            let w = self.word(m, *t);
            w.phase == Phase::Writing && self.delta(w, *t) == 0
        };
        match (fw..c).rev().find(is_written) {
            Some(t) => Pc::B3Pass { t0, c, fw: None, t, w: self.word(m, t), end: End::Candidate },
            None => self.before_taking(t0, c, None),
        }
    }

    /// The tail moves to `n`, where it is not there yet.
    fn after_walk(&self, t0: Ticket, n: Ticket, end: End) -> Pc {
        let whole = end == End::Lap;
        if n != t0 {
            Pc::B6 { t0, n, again: whole }
        } else if whole && self.mutation.start_over_without_progress {
            Pc::B1
        } else {
            self.before_empty()
        }
    }

    fn before_taking(&self, t0: Ticket, c: Ticket, fw: Option<Ticket>) -> Pc {
        if self.mutation.no_hint_before_taking { Pc::B4 { t0, c, fw } } else { Pc::B3Hint { t0, c, fw } }
    }

    fn before_empty(&self) -> Pc {
        if self.mutation.no_look_before_empty { Pc::Empty } else { Pc::B7 { s: 0 } }
    }

    pub fn end_get(&self, m: &mut Memory, me: Owner, pc: Pc) -> Pc {
        let load = |m: &Memory, s: u8| m.slots[usize::from(s)].word;
        match pc {
            Pc::Count { s } => {
                m.slots[usize::from(s)].taken = true;
                Pc::Borrowed { s }
            }
            Pc::Borrowed { s } => Pc::L2 { s, w: load(m, s), linger: false },
            Pc::L1 { s, linger } => Pc::L2 { s, w: load(m, s), linger },
            Pc::L2 { s, w, linger } => {
                let from = Word::new(Phase::Reading, me, w.reach);
                let to = match linger {
                    true => Word::new(Phase::Lingering, me, w.reach),
                    false => Word::nobodys(Phase::Free, w.reach + 1),
                };
                match (self.cas(m, usize::from(s), from, to), linger) {
                    (false, _) => Pc::L1 { s, linger },
                    (true, true) => Pc::Lingering { s },
                    (true, false) => Pc::GetDone,
                }
            }
            Pc::Lingering { s } => Pc::L4 { s, w: load(m, s) },
            Pc::L4 { s, w } => {
                let from = Word::new(Phase::Lingering, me, w.reach);
                let further = u8::from(!self.mutation.let_go_without_reach);
                let free = Word::nobodys(Phase::Free, w.reach + further);
                if self.cas(m, usize::from(s), from, free) { Pc::GetDone } else { Pc::Lingering { s } }
            }
            Pc::G0 { s } => self.begin_give_back(m, s),
            Pc::G1 { s } => Pc::G2 { s, w: load(m, s) },
            Pc::G2 { s, w } => {
                let from = Word::new(Phase::Reading, me, w.reach);
                if !self.cas(m, usize::from(s), from, Word::nobodys(Phase::Returned, w.reach)) {
                    return Pc::G1 { s };
                }
                m.ledger.held &= !bit(m.slots[usize::from(s)].item);
                if self.mutation.no_second_raise { Pc::GetDone } else { Pc::G3 }
            }
            Pc::G3 => {
                m.raise();
                Pc::GetDone
            }
            _ => unreachable!(),
        }
    }

    /// Give back: the raise before the CAS.
    pub fn begin_give_back(&self, m: &mut Memory, s: u8) -> Pc {
        if !self.mutation.no_first_raise {
            m.raise();
        }
        Pc::G1 { s }
    }
}

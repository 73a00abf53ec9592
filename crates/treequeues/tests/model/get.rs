//! borrow, release, linger and give_back.

use crate::memory::{Memory, Owner, Phase, Ticket, Word, bit};
use crate::protocol::Protocol;
use crate::steps::{Best, Pc};

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
                if self.cas(m, usize::from(slot), word, to) { Pc::Borrowed { s: slot } } else { Pc::B1 }
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
            Pc::B2Tail => Pc::B2 { t0: m.tail, t: m.tail, fw: None },
            Pc::B2 { t0, t, fw } => {
                let w = self.word(m, t);
                match (w.phase, self.delta(w, t)) {
                    (Phase::Returned, _) => Pc::B2Raise,
                    (_, ..0) | (Phase::Free, 0) => self.no_item(t0, t, fw, false),
                    (Phase::Ready, 0) => match fw {
                        Some(fw) if !self.mutation.no_second_look => Pc::B3 { t0, c: t, fw, t: fw },
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
            Pc::B3 { t0, c, fw, t } => {
                let w = self.word(m, t);
                match (w.phase, self.delta(w, t)) {
                    (Phase::Returned, _) => Pc::B2Raise,
                    (Phase::Ready, 0) => Pc::B1,
                    _ if t + 1 < c => Pc::B3 { t0, c, fw, t: t + 1 },
                    _ => self.before_taking(t0, c, Some(fw)),
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
                m.cas_tail(t0, n);
                Pc::Borrowed { s }
            }
            Pc::B6 { t0, n, again } => {
                m.cas_tail(t0, n);
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
            self.no_item(t0, t + 1, fw, true)
        }
    }

    /// No candidate before ticket `x`; `whole`: all tickets of the ring were looked at.
    fn no_item(&self, t0: Ticket, x: Ticket, fw: Option<Ticket>, whole: bool) -> Pc {
        let n = fw.filter(|_| !self.mutation.tail_passes_writing).unwrap_or(x);
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

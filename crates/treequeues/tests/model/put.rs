//! reserve, commit, abort and linger.

use crate::memory::{Fault, Memory, Owner, Phase, Ticket, Word};
use crate::protocol::Protocol;
use crate::steps::{Pc, Seen};

/// How reserve sees a word at a ticket.
#[derive(PartialEq, Eq)]
enum Outlook {
    Candidate,
    /// The ticket is used up; `far` if that of the next lap is, too.
    UsedUp {
        free: bool,
        far: bool,
    },
    InTheWay,
    /// The lap before the last one is not over.
    Behind,
}

impl Protocol {
    fn outlook(&self, w: Word, t: Ticket) -> Outlook {
        match (w.phase, self.delta(w, t)) {
            (Phase::Free, 0) => Outlook::Candidate,
            (Phase::Free, laps @ 1..) => Outlook::UsedUp { free: true, far: laps > 1 },
            (Phase::Free, _) => Outlook::Behind,
            (_, laps @ 0..) => Outlook::UsedUp { free: false, far: laps > 0 },
            (_, -1) => Outlook::InTheWay,
            (_, _) => Outlook::Behind,
        }
    }

    pub fn reserve(&self, m: &mut Memory, me: Owner, item: u8, pc: Pc) -> Pc {
        match pc {
            Pc::R0 => {
                let h = m.head;
                Pc::R1 { h, t: h, lead: 0, in_way: None, free: false, end: h + self.capacity }
            }
            Pc::R1 { h, t, lead, in_way, free, end } => {
                let w = self.word(m, t);
                match self.outlook(w, t) {
                    Outlook::Candidate if in_way.is_some() && !self.mutation.no_burn => {
                        if !self.has_gap || self.mutation.no_gap_at_burn {
                            Pc::R2 { h, c: t, t: h }
                        } else {
                            Pc::RG { h, c: t }
                        }
                    }
                    Outlook::Candidate => Pc::R3 { h, c: t },
                    Outlook::Behind => damage(m),
                    Outlook::InTheWay if t == h && self.has_gap => {
                        Pc::RT { h, lead, in_way: Some(Seen { t, w }), free }
                    }
                    Outlook::InTheWay => {
                        self.next_look(h, t, lead, in_way.or(Some(Seen { t, w })), free, end)
                    }
                    Outlook::UsedUp { far: true, .. } => Pc::R1Head { h },
                    Outlook::UsedUp { free: seen, .. } if t == h && self.has_gap => {
                        Pc::RT { h, lead: 1, in_way, free: seen }
                    }
                    Outlook::UsedUp { free: seen, .. } => match in_way {
                        Some(in_way) => Pc::R1Again { in_way },
                        None => self.next_look(h, t, lead + 1, None, free || seen, end),
                    },
                }
            }
            Pc::RT { h, lead, in_way, free } => Pc::RF { h, lead, in_way, free, tail: m.tail },
            Pc::RF { h, lead, in_way, free, tail } => {
                let tail = if self.mutation.full_without_the_tail { 0 } else { tail };
                let gap = if self.mutation.full_without_the_gap { 0 } else { m.gap };
                let end = (h + self.capacity).min(gap.max(tail) + self.capacity);
                self.next_look(h, h, lead, in_way, free, end)
            }
            Pc::RG { h, c } => {
                self.raise_gap(m, c);
                Pc::R2 { h, c, t: h }
            }
            Pc::R1Head { h } if m.head == h => damage(m),
            Pc::R1Head { .. } => Pc::R0,
            Pc::R1Again { in_way: Seen { t, w } } if self.word(m, t) == w => damage(m),
            Pc::R1Again { .. } => Pc::R0,
            Pc::R2 { h, c, t } => {
                let w = self.word(m, t);
                match self.outlook(w, t) {
                    Outlook::Candidate | Outlook::Behind => Pc::R0,
                    Outlook::UsedUp { .. } => next_burn(h, c, t),
                    Outlook::InTheWay if w.phase == Phase::Ready => Pc::R2Raise { h, c, t, w, number: 0 },
                    Outlook::InTheWay => Pc::R2Cas { h, c, t, w },
                }
            }
            Pc::R2Raise { h, c, t, w, number } => match self.raise(m, self.slot(t) as u8, number) {
                true => Pc::R2Cas { h, c, t, w },
                false => Pc::R2Raise { h, c, t, w, number: number + 1 },
            },
            Pc::R2Cas { h, c, t, w } => {
                let phase = match w.phase {
                    Phase::Writing => Phase::Late,
                    Phase::Ready => Phase::Returned,
                    other => other,
                };
                if !self.cas(m, self.slot(t), w, Word { phase, reach: w.reach + 1, ..w }) {
                    Pc::R0
                } else if w.phase == Phase::Ready && !self.mutation.no_second_raise {
                    Pc::R2RaiseAgain { h, c, t }
                } else {
                    next_burn(h, c, t)
                }
            }
            Pc::R2RaiseAgain { h, c, t } => {
                self.raise_again(m, self.slot(t) as u8);
                next_burn(h, c, t)
            }
            Pc::R3 { h, c } => {
                let lap = self.lap(c);
                let free = Word::nobodys(Phase::Free, lap);
                if self.cas(m, self.slot(c), free, Word::new(Phase::Writing, me, lap)) {
                    Pc::R4 { h, c }
                } else {
                    Pc::R0
                }
            }
            Pc::R4 { h, c } => {
                let slot = &mut m.slots[self.slot(c)];
                slot.ticket = c;
                slot.item = item;
                Pc::R5 { h, c }
            }
            Pc::R5 { h, c } => {
                m.cas_head(h, c + 1);
                Pc::Reserved { c }
            }
            Pc::R6 { h, lead, free } => {
                m.cas_head(h, h + lead);
                no_candidate(free)
            }
            _ => unreachable!(),
        }
    }

    fn next_look(&self, h: Ticket, t: Ticket, lead: u8, in_way: Option<Seen>, free: bool, end: Ticket) -> Pc {
        if t + 1 < end {
            Pc::R1 { h, t: t + 1, lead, in_way, free, end }
        } else if lead > 0 && !self.mutation.no_head_help {
            Pc::R6 { h, lead, free }
        } else {
            no_candidate(free)
        }
    }

    pub fn end_put(&self, m: &mut Memory, me: Owner, pc: Pc) -> Pc {
        match pc {
            Pc::Reserved { c } if self.publishes => self.mark_single(m, c),
            Pc::M2 { c } => self.count_single(m, c),
            Pc::Reserved { c } | Pc::C1 { c } => {
                let lap = self.lap(c);
                let from = Word::new(Phase::Writing, me, lap);
                if self.cas(m, self.slot(c), from, Word::nobodys(Phase::Ready, lap)) {
                    Pc::PutDone
                } else {
                    Pc::C2 { c }
                }
            }
            Pc::C2 { c } => Pc::C2Raise { c, w: self.word(m, c), number: 0 },
            Pc::C2Raise { c, w, number } => match self.raise(m, self.slot(c) as u8, number) {
                true => Pc::C2Cas { c, w },
                false => Pc::C2Raise { c, w, number: number + 1 },
            },
            Pc::C2Cas { c, w } => {
                let from = Word::new(Phase::Late, me, w.reach);
                if !self.cas(m, self.slot(c), from, Word::nobodys(Phase::Returned, w.reach)) {
                    Pc::C2Again { c }
                } else if self.mutation.no_second_raise {
                    Pc::PutDone
                } else {
                    Pc::C2RaiseAgain { c }
                }
            }
            Pc::C2Again { c } => Pc::C2Cas { c, w: self.word(m, c) },
            Pc::C2RaiseAgain { c } => {
                self.raise_again(m, self.slot(c) as u8);
                Pc::PutDone
            }
            Pc::A1 { s } => self.before_abort(s, m.slots[usize::from(s)].word),
            Pc::AF { s, w } => {
                self.raise_gap(m, self.used_up_by(s, w));
                if self.mutation.gap_after_abort { Pc::PutDone } else { Pc::A2 { s, w } }
            }
            Pc::A2 { s, w } => {
                let free = Word::nobodys(Phase::Free, w.reach + 1);
                match self.cas(m, usize::from(s), w, free) {
                    true if self.has_gap && self.mutation.gap_after_abort => Pc::AF { s, w },
                    true => Pc::PutDone,
                    false => Pc::A1 { s },
                }
            }
            Pc::W1 { s } => Pc::W2 { s, w: m.slots[usize::from(s)].word },
            Pc::W2 { s, w } => {
                let unburned = self.mutation.linger_unburns && w.phase == Phase::Late;
                let reach = if unburned { self.lap(m.slots[usize::from(s)].ticket) } else { w.reach };
                let to = Word { phase: Phase::Lingering, reach, ..w };
                if self.cas(m, usize::from(s), w, to) { Pc::Lingering { s } } else { Pc::W1 { s } }
            }
            _ => unreachable!(),
        }
    }
}

impl Protocol {
    /// An abort that has loaded the word.
    pub fn before_abort(&self, s: u8, w: Word) -> Pc {
        if !self.has_gap || self.mutation.no_gap_at_abort || self.mutation.gap_after_abort {
            Pc::A2 { s, w }
        } else {
            Pc::AF { s, w }
        }
    }
}

fn damage(m: &mut Memory) -> Pc {
    m.ledger.fail(Fault::Damage);
    Pc::R0
}

fn next_burn(h: Ticket, c: Ticket, t: Ticket) -> Pc {
    if t + 1 < c { Pc::R2 { h, c, t: t + 1 } } else { Pc::R3 { h, c } }
}

fn no_candidate(free: bool) -> Pc {
    if free { Pc::R0 } else { Pc::Full }
}

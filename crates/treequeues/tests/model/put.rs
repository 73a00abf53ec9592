//! reserve, commit, abort and linger.

use crate::memory::{Fault, Memory, Owner, Phase, Ticket, Word};
use crate::protocol::Protocol;
use crate::steps::{FreeEnd, Frees, Passed, Pc, Seen};
use crate::tree::Bits;

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
            Pc::R0 if self.has_gap => Pc::RV { h: m.head },
            Pc::R0 => self.begin_to_look(m.head, Frees { version: Bits::OLD, is_known: false }),
            Pc::RV { h } => self.begin_to_look(h, Frees { version: m.frees, is_known: false }),
            Pc::R1 { h, t, passed, end } => {
                let w = self.word(m, t);
                let outlook = self.outlook(w, t);
                let next = match outlook {
                    Outlook::Candidate if passed.in_way.is_some() && !self.mutation.no_burn => {
                        let has_gap = self.has_gap && !self.mutation.no_gap_at_burn;
                        return if has_gap { Pc::RG { h, c: t } } else { Pc::R2 { h, c: t, t: h } };
                    }
                    Outlook::Candidate => return Pc::R3 { h, c: t },
                    Outlook::Behind => return damage(m),
                    Outlook::UsedUp { far: true, .. } => return Pc::R1Head { h },
                    Outlook::InTheWay => Passed { in_way: passed.in_way.or(Some(Seen { t, w })), ..passed },
                    Outlook::UsedUp { free, .. } => match passed.in_way {
                        Some(in_way) => return Pc::R1Again { in_way },
                        None => Passed { lead: passed.lead + 1, free: passed.free || free, ..passed },
                    },
                };
                if t == h && self.has_gap {
                    Pc::RT { h, passed: next, frees: end.frees }
                } else {
                    self.next_look(h, t, next, end)
                }
            }
            Pc::RT { h, passed, frees } => Pc::RF { h, passed, frees, tail: m.tail },
            Pc::RF { h, passed, frees, tail } => {
                let tail = if self.mutation.full_without_the_tail { 0 } else { tail };
                let gap = if self.mutation.full_without_the_gap { 0 } else { m.gap };
                let far = (h + self.capacity).min(gap.max(tail) + self.capacity);
                let near = (h + self.capacity).min(tail + self.capacity);
                let is_far = far > near && !frees.is_known;
                let t = if is_far { far } else { near };
                self.next_look(h, h, passed, FreeEnd { t, frees, is_far })
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
            Pc::R6 { h, passed, end } => {
                m.cas_head(h, h + passed.lead);
                no_candidate(passed, end)
            }
            _ => unreachable!(),
        }
    }

    /// The first look, at the head's slot.
    pub fn begin_to_look(&self, h: Ticket, frees: Frees) -> Pc {
        let end = FreeEnd { t: h + self.capacity, frees, is_far: false };
        Pc::R1 { h, t: h, passed: Passed::default(), end }
    }

    fn next_look(&self, h: Ticket, t: Ticket, passed: Passed, end: FreeEnd) -> Pc {
        if t + 1 < end.t {
            Pc::R1 { h, t: t + 1, passed, end }
        } else if passed.lead > 0 && !self.mutation.no_head_help {
            Pc::R6 { h, passed, end }
        } else {
            no_candidate(passed, end)
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
                    true if self.has_gap && !self.mutation.no_version_at_abort => {
                        self.begin_freeing(m, me, s);
                        Pc::AV { s }
                    }
                    true => Pc::PutDone,
                    false => Pc::A1 { s },
                }
            }
            Pc::AV { s } => {
                self.has_freed(m, s);
                Pc::PutDone
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
    /// A slot beyond the lap from the tail on is FREE, and the version is still to be moved.
    pub fn begin_freeing(&self, m: &mut Memory, me: Owner, s: u8) {
        m.ledger.freeing[usize::from(s)] = me.id() as u8 + 1;
    }

    pub fn has_freed(&self, m: &mut Memory, s: u8) {
        m.frees += 1;
        m.ledger.freeing[usize::from(s)] = 0;
    }

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

fn no_candidate(passed: Passed, end: FreeEnd) -> Pc {
    if passed.free { Pc::R0 } else { Pc::Full { looked: end.is_far.then_some(end.frees.version) } }
}

//! sweep: return what a dead participant held, then free its entry.

use crate::memory::{Memory, Owner, Phase, Word};
use crate::protocol::Protocol;
use crate::steps::{Pc, Target};

impl Protocol {
    /// Sweep: the first step, on the entry of a participant.
    pub fn begin_sweep(&self, m: &Memory, p: u8) -> Pc {
        let entry = m.entries[usize::from(p)];
        if self.mutation.lock_before_entry {
            // The mutated order: this first step is the look at the lock.
            return if m.is_locked(usize::from(p)) { Pc::SweepDone } else { Pc::S1Entry { p } };
        }
        if entry.used { Pc::S1 { p: (p, entry.generation) } } else { Pc::SweepDone }
    }

    fn after_lock(&self, p: Target) -> Pc {
        if self.mutation.entry_freed_first {
            Pc::S4 { p }
        } else if self.publishes && !self.mutation.returns_first {
            Pc::SP { p }
        } else {
            Pc::S2 { p, s: 0 }
        }
    }

    /// What the dead was publishing is complete.
    pub fn after_completing(&self, p: Target) -> Pc {
        if self.mutation.returns_first { Pc::S3 { p } } else { Pc::S2 { p, s: 0 } }
    }

    pub fn sweep(&self, m: &mut Memory, pc: Pc) -> Pc {
        match pc {
            Pc::S1 { p } if m.is_locked(usize::from(p.0)) => Pc::SweepDone,
            Pc::S1 { p } => self.after_lock(p),
            Pc::S1Entry { p } => match m.entries[usize::from(p)] {
                entry if entry.used => self.after_lock((p, entry.generation)),
                _ => Pc::SweepDone,
            },
            Pc::S2 { p, s } => {
                let w = m.slots[usize::from(s)].word;
                match w.phase {
                    _ if !self.is_targets(w, p) => self.next_swept(p, s),
                    Phase::Reading => Pc::S2Raise { p, s, w, number: 0 },
                    _ => self.before_sweeping(p, s, w),
                }
            }
            Pc::S2F { p, s, w } => {
                self.raise_gap(m, self.used_up_by(s, w));
                Pc::S2Cas { p, s, w }
            }
            Pc::S2Raise { p, s, w, number } => match self.raise(m, s, number) {
                true => self.before_sweeping(p, s, w),
                false => Pc::S2Raise { p, s, w, number: number + 1 },
            },
            Pc::S2Cas { p, s, w } => {
                let to = match w.phase {
                    Phase::Reading => Word::nobodys(Phase::Returned, w.reach),
                    Phase::Lingering if self.mutation.sweep_returns_lingering => {
                        Word::nobodys(Phase::Returned, w.reach)
                    }
                    _ => Word::nobodys(Phase::Free, w.reach + 1),
                };
                if self.cas(m, usize::from(s), w, to) || self.mutation.sweep_tries_once {
                    self.next_swept(p, s)
                } else {
                    Pc::S2 { p, s }
                }
            }
            Pc::S3 { p } => {
                if self.mutation.raises_after {
                    let is_returned = |s: &u8| m.slots[usize::from(*s)].word.phase == Phase::Returned;
                    for s in (0..self.capacity).filter(is_returned).collect::<Vec<_>>() {
                        self.raise_again(m, s);
                    }
                }
                m.tree.bump_root();
                if self.has_gap && !self.mutation.no_version_at_sweep {
                    Pc::S3V { p }
                } else {
                    self.after_raise(p)
                }
            }
            Pc::S3V { p } => {
                m.frees += 1;
                for owner in &mut m.ledger.freeing {
                    *owner = if *owner == p.0 + 1 { 0 } else { *owner };
                }
                self.after_raise(p)
            }
            Pc::S4 { p } => {
                let entry = &mut m.entries[usize::from(p.0)];
                if entry.used && entry.generation == p.1 {
                    entry.used = false;
                    entry.generation += 1;
                }
                if self.mutation.entry_freed_first { Pc::S2 { p, s: 0 } } else { Pc::SweepDone }
            }
            _ => unreachable!(),
        }
    }

    fn before_sweeping(&self, p: Target, s: u8, w: Word) -> Pc {
        if !self.has_gap || self.mutation.no_gap_at_sweep {
            Pc::S2Cas { p, s, w }
        } else {
            Pc::S2F { p, s, w }
        }
    }

    pub fn is_targets(&self, w: Word, p: Target) -> bool {
        let target = Owner::new(usize::from(p.0), p.1);
        w.phase.is_owned()
            && (w.owner == target || (self.mutation.generation_ignored && w.owner.id() == target.id()))
    }

    fn next_swept(&self, p: Target, s: u8) -> Pc {
        if s + 1 < self.capacity {
            Pc::S2 { p, s: s + 1 }
        } else if self.publishes && self.mutation.returns_first {
            Pc::SP { p }
        } else if self.mutation.sweep_without_raise {
            self.after_raise(p)
        } else {
            Pc::S3 { p }
        }
    }

    fn after_raise(&self, p: Target) -> Pc {
        if self.mutation.entry_freed_first { Pc::SweepDone } else { Pc::S4 { p } }
    }
}

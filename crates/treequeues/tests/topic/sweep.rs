//! What a sweep of a dead tenant does: its slots, its pins, both events, its entry.

use crate::explore::{Process, State, TopicModel};
use crate::memory::{Memory, Owner, Pin, Word, low, whole};
use crate::steps::{Pc, Target};

impl TopicModel {
    /// The load of the entry, by which a sweep begins. What is known to be dead already needs no look at its lock.
    pub fn begin_sweep(&self, memory: &Memory, process: &mut Process, target: Target) -> Pc {
        if target.place >= self.scenario.place_count() {
            return self.ring_first(process, target);
        }
        if memory.locks[usize::from(target.place)] {
            return Pc::LookAtLock(target);
        }
        if self.scenario.mutation.entry_freed_first {
            return Pc::FreeEntryFirst(target);
        }
        Pc::Sweep { target, slot: 0 }
    }

    fn dead(&self, target: Target) -> Owner {
        self.owner(target.place, target.generation)
    }

    /// One step of a sweeper: where it stands then.
    pub fn sweep_step(&self, state: &mut State, p: usize, pc: Pc) -> Pc {
        let mutation = self.scenario.mutation;
        let State { memory, processes, .. } = state;
        let process = &mut processes[p];
        match pc {
            Pc::LookAtLock(target) if memory.locks[usize::from(target.place)] => Pc::Idle,
            Pc::LookAtLock(target) => Pc::Sweep { target, slot: 0 },
            Pc::FreeEntryFirst(target) => {
                free(memory, target);
                Pc::Sweep { target, slot: 0 }
            }
            Pc::Sweep { target, slot } => match memory.word(slot) {
                Word::Writing(owner, last) if owner == self.dead(target) => {
                    Pc::SweepNewest { target, slot, last }
                }
                _ => Pc::SweepPin { target, slot },
            },
            Pc::SweepNewest { target, slot, last } => {
                let newest = memory.newest;
                let is_linked = newest.ticket > 0 && newest.slot == slot && !mutation.sweep_frees_linked;
                let to = match is_linked {
                    true => Word::Ready(newest.ticket),
                    false => Word::Free(whole(last, newest.ticket)),
                };
                // Without newcomers nothing comes of the answer: whoever swept it meanwhile has changed the word.
                if self.scenario.tenants.is_none() || mutation.sweep_asks_not {
                    return Pc::SweepWord { target, slot, last, to };
                }
                Pc::AskEntry { target, slot, last, to }
            }
            Pc::AskEntry { target, slot, last, to } => {
                if !is_still(memory, target) {
                    return self.end_sweep(&mut process.left);
                }
                Pc::SweepWord { target, slot, last, to }
            }
            Pc::SweepWord { target, slot, last, to } => {
                memory.swap_word(slot, Word::Writing(self.dead(target), low(last)), to);
                Pc::SweepPin { target, slot }
            }
            Pc::SweepPin { target, slot } => {
                // Nobody but the dead could have changed the count between a load and its CAS.
                let generation = if mutation.pins_without_generation { 1 } else { target.generation + 1 };
                let pin = memory.pin_mut(slot, target.place);
                if pin.generation == generation {
                    *pin = Pin { counted: pin.counted, ..Pin::NONE };
                }
                if slot + 1 < self.scenario.slots {
                    return Pc::Sweep { target, slot: slot + 1 };
                }
                self.ring_first(process, target)
            }
            Pc::FreeEntry(target) => {
                free(memory, target);
                if mutation.sweep_rings_after {
                    self.owe_both(process);
                }
                self.end_sweep(&mut process.left)
            }
            _ => unreachable!("not a sweeper's step"),
        }
    }

    /// Both events are rung before the entry is freed.
    fn ring_first(&self, process: &mut Process, target: Target) -> Pc {
        let mutation = self.scenario.mutation;
        if !mutation.sweep_silent && !mutation.sweep_rings_after {
            self.owe_both(process);
        }
        Pc::FreeEntry(target)
    }

    fn end_sweep(&self, left: &mut u8) -> Pc {
        if *left < u8::MAX {
            *left -= 1;
        }
        Pc::Idle
    }
}

fn is_still(memory: &Memory, target: Target) -> bool {
    let entry = memory.entry(target.place);
    entry.is_used && entry.generation == target.generation
}

/// By CAS.
fn free(memory: &mut Memory, target: Target) {
    if is_still(memory, target) {
        memory.free_entry(target.place);
    }
}

//! Who has ended, who goes on, who sleeps, and whether rightly so.

use crate::cast::{Call, Role};
use crate::explore::{Process, State, TopicModel, Watch};
use crate::memory::{Memory, Word};
use crate::steps::Pc;

impl TopicModel {
    /// Whether a process has nothing left to do, or cannot do it.
    pub fn is_at_end(&self, process: &Process) -> bool {
        let has_ended = matches!(process.pc, Pc::Done | Pc::Dead | Pc::Down);
        process.bell.next().is_none() && (has_ended || (process.pc == Pc::Idle && process.left == 0))
    }

    /// Whether a process does something of its own accord: it neither sleeps, nor takes its time with an item or rows, nor has ended.
    fn is_under_way(&self, state: &State, p: usize) -> bool {
        let process = &state.processes[p];
        if process.bell.next().is_some() {
            return true;
        }
        match process.pc {
            Pc::Asleep | Pc::Hold { .. } | Pc::Write(_) | Pc::Kept(_) => false,
            Pc::Idle if matches!(self.role(p), Role::Sweeper { .. }) => {
                process.left > 0 && state.memory.has_unswept()
            }
            // The shutdown need not come.
            Pc::Idle if self.role(p) == Role::Closer => false,
            _ => !self.is_at_end(process),
        }
    }

    pub fn is_quiet(&self, state: &State) -> bool {
        (0..self.scenario.roles.len()).all(|p| !self.is_under_way(state, p))
    }

    /// Whether a process sleeps although what it waits for is there.
    pub fn sleeps_in_vain(&self, state: &State, p: usize) -> bool {
        let (memory, process) = (&state.memory, &state.processes[p]);
        if process.pc != Pc::Asleep {
            return false;
        }
        let is_written = || memory.words.iter().any(|word| matches!(word, Word::Writing(..)));
        match self.role(p) {
            Role::Publisher { .. } => memory.is_shut_down || !self.is_full(state),
            _ => self.is_there(memory, process) || (memory.is_shut_down && !is_written()),
        }
    }

    /// Whether no slot is to be had.
    fn is_full(&self, state: &State) -> bool {
        !(0..self.scenario.slots).any(|slot| state.memory.is_claimable(slot))
    }

    /// Whether what a reader's call waits for is there.
    pub fn is_there(&self, memory: &Memory, process: &Process) -> bool {
        match process.call {
            Call::Latest => memory.newest.ticket > 0,
            Call::Next | Call::Newer => memory.newest.ticket >= process.cursor,
        }
    }

    /// Each living process has ended, or waits, and rightly so; and the dead are swept. Where no sweeper is left, nobody can go on for
    /// a slot that the dead hold: a publisher that tries again for ever counts as waiting.
    pub fn is_at_rest(&self, state: &State) -> bool {
        let memory = &state.memory;
        let sweeps = |p: usize| {
            matches!(self.role(p), Role::Sweeper { .. })
                && state.processes[p].left > 0
                && state.processes[p].pc != Pc::Dead
        };
        let roles = 0..self.scenario.roles.len();
        if memory.has_unswept() && roles.clone().any(sweeps) {
            return false;
        }
        roles.into_iter().all(|p| {
            let process = &state.processes[p];
            process.bell.next().is_none()
                && match (process.pc, self.role(p)) {
                    (Pc::Done | Pc::Dead | Pc::Down, _) => true,
                    (Pc::Asleep, _) => !self.sleeps_in_vain(state, p),
                    (Pc::Idle, Role::Reader { .. }) => {
                        process.cursor > memory.newest.ticket && !memory.is_shut_down
                    }
                    (Pc::Idle | Pc::LookAtFlag | Pc::LoadNewest, Role::Publisher { .. }) => {
                        memory.has_unswept() && self.is_full(state)
                    }
                    (Pc::Idle | Pc::LookAtLock(_), Role::Sweeper { .. }) => true,
                    _ => false,
                }
        })
    }

    /// A process is at the end of a call, or sleeps; or it is a publisher that tries again, and there is no slot to be had.
    pub fn has_ended_alone(&self, state: &State, p: usize) -> bool {
        let process = &state.processes[p];
        match process.pc {
            Pc::Asleep => true,
            Pc::LookAtFlag | Pc::LoadNewest if process.watch == Watch::None => {
                !self.scenario.has_enough() && self.is_full(state)
            }
            pc => pc.is_between(),
        }
    }
}

//! One step of any process; waits, notifications, and the ends of processes.

use crate::cast::Role;
use crate::explore::{Process, Stage, State, TopicModel, Watch};
use crate::memory::{Event, Fault};
use crate::steps::Pc;

impl TopicModel {
    /// The event that a process waits for.
    fn event(&self, p: usize) -> Event {
        match self.role(p) {
            Role::Publisher { .. } => Event::Slots,
            _ => Event::Items,
        }
    }

    pub fn sleepers<'s>(&'s self, state: &'s State, event: Event) -> impl Iterator<Item = usize> + 's {
        let sleeps = move |p: &usize| state.processes[*p].pc == Pc::Asleep && self.event(*p) == event;
        (0..self.scenario.places.len()).filter(sleeps)
    }

    pub fn step(&self, state: &mut State, p: usize) {
        if let Some(event) = state.processes[p].bell.next() {
            return self.notify(state, p, event);
        }
        let pc = match (state.processes[p].pc, self.role(p)) {
            (Pc::Idle, Role::Publisher { .. }) => self.begin_put(),
            (Pc::Idle, Role::Closer) => Pc::ShutDown,
            (pc, _) => pc,
        };
        state.processes[p].pc = match pc {
            Pc::SetBit | Pc::FallAsleep => self.wait_step(state, p, pc),
            Pc::ShutDown => {
                state.memory.is_shut_down = true;
                if !self.scenario.mutation.shutdown_silent {
                    self.owe_both(&mut state.processes[p]);
                }
                Pc::Done
            }
            Pc::Leave => return self.leave(state, p),
            Pc::LoadHelped { .. } | Pc::Help { .. } => self.help_step(state, pc),
            _ => match self.role(p) {
                Role::Publisher { .. } => self.put_step(state, p, pc),
                Role::Reader { .. } => self.get_step(state, p, pc),
                Role::Sweeper { .. } => self.sweep_step(state, p, pc),
                Role::Closer => unreachable!("once"),
            },
        };
    }

    fn wait_step(&self, state: &mut State, p: usize, pc: Pc) -> Pc {
        let event = self.event(p);
        let State { memory, processes, .. } = state;
        let process = &mut processes[p];
        match pc {
            Pc::SetBit => {
                memory.waiters[event as usize] = true;
                process.watch = Watch::Stands;
                match event {
                    _ if self.scenario.mutation.no_second_try => Pc::FallAsleep,
                    Event::Slots => self.begin_put(),
                    Event::Items => self.begin_look(process.call),
                }
            }
            _ if process.watch != Watch::Stands => Pc::SetBit,
            _ => {
                let is_full = event == Event::Slots && self.scenario.has_enough();
                memory.expect(!is_full, Fault::FullWithEnough);
                Pc::Asleep
            }
        }
    }

    /// A call has found nothing: it sets the bit and tries again, or sleeps; where calls do not wait it goes on as told.
    pub fn found_nothing(&self, process: &Process, otherwise: Pc) -> Pc {
        match process.watch {
            _ if !self.scenario.waits => otherwise,
            Watch::None => Pc::SetBit,
            Watch::Stands | Watch::Moved => Pc::FallAsleep,
        }
    }

    /// One step of a notification. A sweep rings whether or not somebody waits: the dead may have cleared the bit and woken nobody.
    fn notify(&self, state: &mut State, p: usize, event: Event) {
        let rings = matches!(self.role(p), Role::Sweeper { .. }) && !self.scenario.mutation.sweep_minds_bit;
        match state.processes[p].bell.stage {
            Stage::Load if rings => {
                self.move_event(state, event);
                state.processes[p].bell.stage = Stage::Wake;
            }
            Stage::Load if state.memory.waiters[event as usize] => {
                state.processes[p].bell.stage = Stage::Move { stands: true };
            }
            Stage::Move { stands: true } => {
                self.move_event(state, event);
                state.processes[p].bell.stage = Stage::Wake;
            }
            // Nobody waits, or somebody else has moved it.
            Stage::Load | Stage::Move { stands: false } => self.end_notification(state, p),
            Stage::Wake => {
                let sleepers: Vec<usize> = self.sleepers(state, event).collect();
                sleepers.into_iter().for_each(|sleeper| state.processes[sleeper].pc = Pc::SetBit);
                self.end_notification(state, p);
            }
        }
    }

    pub fn end_notification(&self, state: &mut State, p: usize) {
        let bell = &mut state.processes[p].bell;
        match bell.next() {
            Some(Event::Items) => bell.items = false,
            _ => bell.slots = false,
        }
        bell.stage = Stage::Load;
    }

    /// The event's word gets its next sequence, and no bit.
    fn move_event(&self, state: &mut State, event: Event) {
        state.memory.waiters[event as usize] = false;
        for p in 0..self.scenario.roles.len() {
            let waits_for_it = p < self.scenario.places.len() && self.event(p) == event;
            let process = &mut state.processes[p];
            if waits_for_it && process.watch == Watch::Stands {
                process.watch = Watch::Moved;
            }
            if process.bell.next() == Some(event) && process.bell.stage == (Stage::Move { stands: true }) {
                process.bell.stage = Stage::Move { stands: false };
            }
        }
    }

    /// The tenant leaves: the entry is freed, then the lock dropped.
    fn leave(&self, state: &mut State, p: usize) {
        let place = self.place(p);
        if state.memory.entry(place).is_used {
            return state.memory.free_entry(place);
        }
        state.memory.locks[usize::from(place)] = false;
        for thread in self.threads(place) {
            state.processes[thread] = Process::NOBODY;
        }
    }
}

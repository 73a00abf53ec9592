//! Processes that run the protocol, as a stateright model.
//!
//! In each state every living process may take its next step, and any tenant may die while the scenario's crashes last. A stopped
//! process needs no action of its own: it is one that is never chosen again.
//!
//! X1. A publisher puts its items in order, one put at a time; an item that is aborted is not put again. A reader makes so many gets,
//!     each of any of the scenario's kinds; one that does not wait and finds nothing comes back.
//! X2. A sweeper begins a sweep when the entry of a place is used and its tenant dead. Where a place has several tenants it may also
//!     load the entry of a living one, and look at the lock later.
//! X3. The threads of a tenant die together. A newcomer takes the lock of a place that is free, and then the entry: as one step, since
//!     nobody looks at the lock of an entry that is free.
//! X4. A sleeper whose time is over looks again. Here that happens only where somebody dead is not swept and nobody else goes on:
//!     all else must do without.
//! X5. A sweeper is a participant with a place of its own, since a dead one may leave an event that was moved and sleepers that were not
//!     woken. It holds no slot and no pin, so nobody looks for those of its place. But a newcomer sweeps before it has
//!     one. One sweeper always lives on.

use stateright::{Model, Property};

use crate::cast::{Call, MAX_PROCESSES, Mutation, Role, Scenario, Start};
use crate::memory::{Event, Fault, Memory, Newest, Owner, Pin, Rows, Ticket, Window, Word};
use crate::properties;
use crate::steps::{Pc, Target};

/// The notifications that a process owes, and where it stands with the first of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bell {
    pub items: bool,
    pub slots: bool,
    pub stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stage {
    /// Load the event's word.
    Load,
    /// CAS the word, without the bit and with the next sequence: it has not, or has, moved meanwhile.
    Move { stands: bool },
    /// Wake all that sleep.
    Wake,
}

/// What a waiter knows of its event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Watch {
    /// It has not set the bit.
    None,
    /// The event is as it was when the bit was set.
    Stands,
    Moved,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Process {
    pub pc: Pc,
    /// Items to put, gets to make, or sweeps.
    pub left: u8,
    pub bell: Bell,
    pub watch: Watch,
    /// The next ticket of a subscription.
    pub cursor: Ticket,
    pub call: Call,
    /// What had been put when the call began; for the properties, as are the next two.
    pub floor: Ticket,
    /// What had been put when the subscription began, until its first item.
    pub begun: Ticket,
    /// The newest that calls have given so far.
    pub seen: Ticket,
}

impl Process {
    pub const NOBODY: Process = Process {
        pc: Pc::Done,
        left: 0,
        bell: Bell { items: false, slots: false, stage: Stage::Load },
        watch: Watch::None,
        cursor: 0,
        call: Call::Next,
        floor: 0,
        begun: 0,
        seen: 0,
    };
}

impl Bell {
    pub fn next(self) -> Option<Event> {
        match self {
            Bell { items: true, .. } => Some(Event::Items),
            Bell { slots: true, .. } => Some(Event::Slots),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub memory: Memory,
    pub processes: [Process; MAX_PROCESSES],
    pub crashes: u8,
    /// Tenants that are still to come to the place that has several.
    pub tenants: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Step(u8),
    /// A reader begins a call.
    Call(u8, Call),
    Abort(u8),
    Linger(u8),
    Sweep {
        sweeper: u8,
        place: u8,
    },
    /// In mutations: a wake-up reaches this sleeper alone.
    WakeOne {
        waker: u8,
        sleeper: u8,
    },
    TimeOut(u8),
    /// The tenant of a place dies.
    Crash(u8),
    SweeperDies(u8),
    /// A newcomer takes a place.
    Join(u8),
}

#[derive(Clone, Debug)]
pub struct TopicModel {
    pub scenario: Scenario,
}

impl TopicModel {
    pub fn new(scenario: Scenario) -> TopicModel {
        scenario.check();
        TopicModel { scenario }
    }

    pub fn role(&self, p: usize) -> Role {
        self.scenario.roles[p]
    }

    pub fn place(&self, p: usize) -> u8 {
        self.scenario.places[p]
    }

    pub fn owner(&self, place: u8, generation: u8) -> Owner {
        let mask = (1u16 << self.scenario.generation_bits) - 1;
        Owner { place, generation: generation & mask as u8 }
    }

    /// The owner that a process is in words.
    pub fn me(&self, memory: &Memory, p: usize) -> Owner {
        self.owner(self.place(p), memory.entry(self.place(p)).generation)
    }

    /// The processes that are threads of the tenant of a place.
    pub fn threads(&self, place: u8) -> impl Iterator<Item = usize> {
        (0..self.scenario.places.len()).filter(move |p| self.place(*p) == place)
    }

    fn sweepers(&self) -> impl Iterator<Item = usize> {
        (0..self.scenario.roles.len()).filter(|p| matches!(self.role(*p), Role::Sweeper { .. }))
    }

    fn sweeper_place(&self, p: usize) -> usize {
        let before = self.sweepers().filter(|other| *other < p).count();
        usize::from(self.scenario.place_count()) + before
    }

    fn process(&self, p: usize) -> Process {
        let (pc, left) = match self.role(p) {
            Role::Publisher { items } => (Pc::Idle, items),
            Role::Reader { gets } => (Pc::Subscribe, gets),
            Role::Sweeper { sweeps } => (Pc::Idle, sweeps.unwrap_or(u8::MAX)),
            Role::Closer => (Pc::Idle, 1),
        };
        Process { pc, left, ..Process::NOBODY }
    }

    /// The tenant of a place dies, and all its threads with it.
    fn crash(&self, state: &mut State, place: u8) {
        state.crashes -= 1;
        let threads: Vec<usize> = self.threads(place).collect();
        if self.scenario.waits {
            let of = |process: &Process| match process.bell.stage {
                Stage::Wake => Window::Moved,
                _ if process.bell.next().is_some() => Window::Changed,
                _ if matches!(process.pc, Pc::MakeReady { .. }) => Window::Linked,
                _ => Window::None,
            };
            let windows = threads.iter().map(|p| of(&state.processes[*p]));
            state.memory.ledger.window = windows.max_by_key(|window| *window as u8).unwrap_or(Window::None);
        }
        state.memory.locks[usize::from(place)] = false;
        for slot in 0..self.scenario.slots {
            state.memory.pin_mut(slot, place).counted = 0;
        }
        for p in threads {
            state.processes[p] = Process { pc: Pc::Dead, ..Process::NOBODY };
        }
    }

    /// A sweeper dies. Its own place is to be swept, if it has one. Else what it was sweeping is swept by another one; but that may
    /// have rung both events already.
    fn lose_sweeper(&self, state: &mut State, p: usize) {
        if !self.scenario.outsiders {
            state.memory.locks[self.sweeper_place(p)] = false;
            return;
        }
        if state.processes[p].bell.stage == Stage::Wake {
            state.memory.ledger.window = Window::Outside;
        }
    }

    /// So many items are there from the beginning, in the first slots.
    fn fill(&self, state: &mut State) {
        for ticket in 1..=self.scenario.filled {
            let slot = ticket - 1;
            state.memory.set_word(slot, Word::Ready(ticket));
            state.memory.rows[usize::from(slot)] = Rows::Item(ticket);
            state.memory.newest = Newest { ticket, slot };
            state.memory.ledger.returned = ticket;
        }
    }

    /// Each reader holds an item, the oldest first, and all publishers sleep.
    fn put_to_sleep(&self, state: &mut State) {
        let mut ticket = 0;
        for p in 0..self.scenario.places.len() {
            let process = &mut state.processes[p];
            if matches!(self.role(p), Role::Publisher { .. }) {
                (process.pc, process.watch) = (Pc::Asleep, Watch::Stands);
                continue;
            }
            ticket += 1;
            let slot = ticket - 1;
            (process.pc, process.cursor) = (Pc::Hold { ticket, slot }, ticket + 1);
            *state.memory.pin_mut(slot, self.scenario.places[p]) =
                Pin { generation: 1, count: 1, ..Pin::NONE };
        }
        state.memory.waiters[Event::Slots as usize] = true;
    }

    /// One line for each step of a path, for people.
    pub fn narrate(&self, actions: &[Action]) -> String {
        let mut state = self.init_states().remove(0);
        let mut lines = String::new();
        for action in actions {
            let before = match *action {
                Action::Step(p) | Action::Call(p, _) | Action::Abort(p) | Action::Linger(p) => {
                    let Process { pc, bell, .. } = state.processes[usize::from(p)];
                    format!(
                        "{pc:?}{}",
                        bell.next().map_or(String::new(), |event| format!(" notifies {event:?}"))
                    )
                }
                _ => String::new(),
            };
            state = self.next_state(&state, *action).expect("a path's actions are possible");
            let memory = &state.memory;
            lines += &format!(
                "{action:?} {before}\n      newest {:?} {:?} waiters {:?} fault {:?}\n",
                memory.newest,
                &memory.words[..usize::from(self.scenario.slots)],
                memory.waiters,
                memory.ledger.fault,
            );
        }
        lines
    }

    /// The actions of a process that has a next step.
    fn actions_of(&self, state: &State, p: usize, actions: &mut Vec<Action>) {
        let (process, id) = (&state.processes[p], p as u8);
        if let Some(event) = process.bell.next() {
            let wakes_one = match event {
                Event::Items => self.scenario.mutation.item_wakes_one,
                Event::Slots => self.scenario.mutation.slot_wakes_one,
            };
            let mut sleepers = self.sleepers(state, event).peekable();
            if wakes_one && process.bell.stage == Stage::Wake && sleepers.peek().is_some() {
                actions.extend(sleepers.map(|sleeper| Action::WakeOne { waker: id, sleeper: sleeper as u8 }));
            } else {
                actions.push(Action::Step(id));
            }
            return;
        }
        match (process.pc, self.role(p)) {
            (Pc::Asleep, _) => {
                let is_left = state.memory.is_left_behind() && self.sleeps_in_vain(state, p);
                actions.extend((is_left && self.is_quiet(state)).then_some(Action::TimeOut(id)));
            }
            (Pc::Idle, Role::Reader { .. }) => {
                actions.extend(self.scenario.calls.iter().map(|call| Action::Call(id, *call)));
            }
            (Pc::Idle, Role::Sweeper { .. }) => {
                let memory = &state.memory;
                let is_of_interest = |place: u8| {
                    let may_die = self.scenario.tenants.is_some_and(|(other, _)| place == other)
                        && state.tenants + state.crashes > 0;
                    memory.entry(place).is_used && (!memory.locks[usize::from(place)] || may_die)
                };
                let places = (0..self.scenario.entry_count()).filter(|place| is_of_interest(*place));
                actions.extend(places.map(|place| Action::Sweep { sweeper: id, place }));
            }
            (Pc::Leave, _) => {
                let mut threads = self.threads(self.place(p)).map(|q| &state.processes[q]);
                if threads.all(|thread| thread.pc == Pc::Leave && thread.bell.next().is_none()) {
                    actions.push(Action::Step(id));
                }
            }
            _ => actions.push(Action::Step(id)),
        }
        if self.scenario.aborts && matches!(process.pc, Pc::Write(_) | Pc::WriteRest(_)) {
            actions.push(Action::Abort(id));
        }
        if self.scenario.lingers && matches!(process.pc, Pc::WriteRest(_)) {
            actions.push(Action::Linger(id));
        }
    }
}

impl Model for TopicModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut processes = [Process::NOBODY; MAX_PROCESSES];
        for (p, process) in processes.iter_mut().enumerate().take(self.scenario.roles.len()) {
            *process = self.process(p);
        }
        let memory = Memory::new(usize::from(self.scenario.entry_count()));
        let tenants = self.scenario.tenants.map_or(0, |(_, count)| count - 1);
        let mut state = State { memory, processes, crashes: self.scenario.crashes, tenants };
        self.fill(&mut state);
        if self.scenario.all_asleep {
            self.put_to_sleep(&mut state);
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.memory.ledger.fault != Fault::None {
            return;
        }
        for p in 0..self.scenario.roles.len() {
            if !self.is_at_end(&state.processes[p]) {
                self.actions_of(state, p, actions);
            }
        }
        for place in 0..self.scenario.place_count() {
            let is_alive = state.memory.locks[usize::from(place)];
            if is_alive && state.crashes > 0 && self.scenario.mortal.is_none_or(|mortal| mortal == place) {
                let is_busy = |p: usize| !self.is_at_end(&state.processes[p]);
                actions.extend(self.threads(place).any(is_busy).then_some(Action::Crash(place)));
            }
            let comes_again = self.scenario.tenants.is_some_and(|(other, _)| place == other);
            if comes_again && state.tenants > 0 && !is_alive && !state.memory.entry(place).is_used {
                actions.push(Action::Join(place));
            }
        }
        let lives = |p: &usize| state.processes[*p].pc != Pc::Dead;
        let is_busy =
            |p: &usize| state.processes[*p].pc != Pc::Idle || state.processes[*p].bell.next().is_some();
        if self.scenario.sweepers_die && self.sweepers().filter(lives).count() > 1 {
            let dies = self.sweepers().filter(lives).filter(is_busy);
            actions.extend(dies.map(|p| Action::SweeperDies(p as u8)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Step(p) => self.step(&mut state, usize::from(p)),
            Action::Call(p, call) => self.begin_get(&mut state, usize::from(p), call),
            Action::Abort(p) => {
                let process = &mut state.processes[usize::from(p)];
                let (Pc::Write(claim) | Pc::WriteRest(claim)) = process.pc else { return None };
                process.pc = Pc::Abort(claim);
            }
            Action::Linger(p) => {
                let process = &mut state.processes[usize::from(p)];
                let Pc::WriteRest(claim) = process.pc else { return None };
                let Mutation { linger_frees_first, linger_without_pin, .. } = self.scenario.mutation;
                let frees_now = linger_frees_first || linger_without_pin;
                process.pc = if frees_now { Pc::LingerFree(claim) } else { Pc::LingerPin(claim) };
            }
            Action::Sweep { sweeper, place } => {
                let target = Target { place, generation: state.memory.entry(place).generation };
                let process = &mut state.processes[usize::from(sweeper)];
                process.pc = self.begin_sweep(&state.memory, process, target);
            }
            Action::WakeOne { waker, sleeper } => {
                state.processes[usize::from(sleeper)].pc = Pc::SetBit;
                self.end_notification(&mut state, usize::from(waker));
            }
            Action::TimeOut(p) => state.processes[usize::from(p)].pc = Pc::SetBit,
            Action::Crash(place) => self.crash(&mut state, place),
            Action::SweeperDies(p) => {
                self.lose_sweeper(&mut state, usize::from(p));
                state.processes[usize::from(p)] = Process { pc: Pc::Dead, ..Process::NOBODY };
            }
            Action::Join(place) => {
                state.tenants -= 1;
                state.memory.locks[usize::from(place)] = true;
                state.memory.entries[usize::from(place)].is_used = true;
                for p in self.threads(place) {
                    state.processes[p] = self.process(p);
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<TopicModel>> {
        properties::all()
    }
}

/// Where a subscription of the scenario starts at `newest`; none: at the oldest, which is to be found.
pub fn start_at(start: Start, newest: Ticket) -> Option<Ticket> {
    match start {
        Start::New => Some(newest + 1),
        Start::Latest => Some(newest.max(1)),
        Start::Oldest if newest == 0 => Some(1),
        Start::Oldest => None,
    }
}

//! Processes that run the protocol, as a stateright model.
//!
//! A [`Scenario`] says who takes part and how often things may go wrong. In each state every living process may take
//! its next step, and any of them may die while the scenario's budget of crashes lasts. A stopped process needs no
//! action of its own: it is one that is never chosen again.
//!
//! X1. A producer puts its items in order, one put at a time, each item once; after a put that said full it tries
//!     the same item again. An item whose put was aborted or died is not tried again; one whose slot lingers is.
//! X2. A consumer gets, and releases, for ever. A batch goes back whole, and is published whole or not at all (`calls`); its
//!     claims linger one by one.
//! X3. A sweeper begins a sweep whenever a dead participant's entry is still used. To begin one for a living
//!     participant would only add steps that change nothing.
//! X4. A process that died may start again, under its old id, once its entry is free: lock first, entry second.

use stateright::{Model, Property};

use crate::cast::{Budget, Call, Role, Scenario};
use crate::memory::{Fault, MAX_ITEMS, MAX_PROCESSES, Memory, NO_ITEM, Owner, Phase, bit};
use crate::process::{NOWHERE, Process};
use crate::properties::{self, Newcomers};
use crate::protocol::Protocol;
use crate::steps::{Leaving, Pc};
use crate::tree::{Bits, Shape, renumbered};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub memory: Memory,
    pub processes: [Process; MAX_PROCESSES],
    pub budget: Budget,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Step(u8),
    /// A borrowed item goes back.
    GiveBack(u8),
    /// A borrowed item, or a reserved slot, is done with, but its views live on.
    Linger(u8),
    /// The last view of the slot that a producer set aside has died.
    LetGo(u8),
    /// A reserved slot is not committed.
    Abort(u8),
    /// A ticket that could be passed is left for now.
    Decline(u8),
    /// A list that was kept is dropped.
    Forget(u8),
    Sweep {
        sweeper: u8,
        target: u8,
    },
    Crash(u8),
    /// A dead process's successor takes its id's lock.
    Restart(u8),
}

#[derive(Clone, Debug)]
pub struct RingModel {
    pub scenario: Scenario,
    pub protocol: Protocol,
    pub newcomers: Newcomers,
    /// The id of each producer's first item.
    pub first_item: [u8; MAX_PROCESSES],
}

impl RingModel {
    pub fn new(scenario: Scenario) -> RingModel {
        assert!(scenario.roles.len() <= MAX_PROCESSES);
        let mut first_item = [NO_ITEM; MAX_PROCESSES];
        let mut same_producers = [0; 16];
        let mut items_so_far = 0;
        for (p, role) in scenario.roles.iter().enumerate() {
            if let Role::Producer { items, .. } = *role {
                first_item[p] = items_so_far;
                let end = items_so_far + items;
                let all = (items_so_far..end).map(bit).sum();
                same_producers[usize::from(items_so_far)..usize::from(end)].fill(all);
                items_so_far = end;
            }
        }
        assert!(usize::from(items_so_far) <= MAX_ITEMS);
        let Scenario { capacity, passes, publishes, arrives, has_gap, mutation, .. } = scenario;
        let shape = Shape::new(&scenario.fans);
        let protocol =
            Protocol { capacity, passes, publishes, arrives, has_gap, shape, mutation, same_producers };
        RingModel { scenario, protocol, newcomers: Newcomers::default(), first_item }
    }

    pub fn role(&self, p: usize) -> Role {
        self.scenario.roles[p]
    }

    /// Whether a process has nothing left to do.
    pub fn is_done(&self, p: usize, process: &Process) -> bool {
        match self.role(p) {
            _ if process.pc == Pc::Down => process.aside == NOWHERE,
            Role::Producer { .. } => !self.may_step(p, process) && process.aside == NOWHERE,
            _ => false,
        }
    }

    /// Whether a process that is between two calls has another one to make, or is in the middle of one.
    fn may_step(&self, p: usize, process: &Process) -> bool {
        match self.role(p) {
            _ if process.pc == Pc::Down => false,
            Role::Producer { items, .. } => process.pc != Pc::Idle || process.next + process.kept.len < items,
            _ => true,
        }
    }

    /// How many slots the process claims before it ends any.
    pub fn batch(&self, p: usize, process: &Process) -> u8 {
        match self.role(p) {
            Role::Producer { items, batch } => batch.min(items + process.ended - process.next),
            Role::Consumer { batch } => batch,
            Role::Sweeper | Role::Closer { .. } => 1,
        }
    }

    /// The participant whose thread a process is: itself, but for the second of two threads.
    pub fn participant(&self, p: usize) -> usize {
        self.scenario.threads.filter(|(_, second)| *second == p).map_or(p, |(first, _)| first)
    }

    /// The processes that are threads of one participant.
    pub fn threads(&self, participant: usize) -> impl Iterator<Item = usize> {
        (0..self.scenario.roles.len()).filter(move |p| self.participant(*p) == participant)
    }

    pub fn owner(&self, p: usize, generation: u8) -> Owner {
        Owner::new(self.participant(p), generation)
    }

    /// One call of a process alone, from its beginning to its end.
    fn call(&self, mut state: State, call: Call) -> State {
        let (p, aborts) = match call {
            Call::Put(p) => (p, false),
            Call::Abort(p) => (p, true),
        };
        state.budget.aborts += u8::from(aborts);
        loop {
            let action = match state.processes[usize::from(p)].pc {
                Pc::Reserved { .. } if aborts => Action::Abort(p),
                _ => Action::Step(p),
            };
            state = self.next_state(&state, action).expect("possible");
            if state.processes[usize::from(p)].pc == Pc::Idle {
                return state;
            }
        }
    }

    fn crash(&self, state: &mut State, p: usize) {
        let process = &mut state.processes[p];
        let me = self.owner(p, process.generation);
        if self.role(p).is_producer() {
            for _ in 0..process.items_under_way() {
                state.memory.ledger.forget_put(self.first_item[p] + process.next);
                process.next += 1;
            }
        }
        *process =
            Process { alive: false, generation: process.generation, next: process.next, ..Process::NEW };
        state.memory.locks &= !(1 << p);
        for slot in &state.memory.slots {
            if slot.word.phase == Phase::Reading && slot.word.owner == me {
                state.memory.ledger.held &= !bit(slot.item);
            }
        }
    }

    /// Makes states that differ in nothing but the tree's versions one: see [`Bits::NOW`].
    fn settle(&self, state: &mut State) {
        let tree = &state.memory.tree;
        for process in &mut state.processes {
            process.pc.renumber(self.protocol.shape, tree);
            if let Some(list) = &mut process.list {
                list.version = renumbered(list.version, tree.root().version);
                if list.version == Bits::OLD && !self.protocol.mutation.keeps_for_ever {
                    process.list = None;
                }
            }
        }
        for process in &mut state.processes {
            process.pc.renumber_frees(state.memory.frees);
            process.none_free =
                process.none_free.filter(|version| *version == state.memory.frees).map(|_| Bits::NOW);
        }
        state.memory.frees = Bits::NOW;
        state.memory.tree.settle();
    }

    /// One line for each step of a path, for people.
    pub fn narrate(&self, actions: &[Action]) -> String {
        let mut state = self.init_states().remove(0);
        let mut lines = String::new();
        for action in actions {
            let (Action::Step(p)
            | Action::GiveBack(p)
            | Action::Linger(p)
            | Action::LetGo(p)
            | Action::Abort(p)
            | Action::Decline(p)
            | Action::Forget(p)
            | Action::Sweep { sweeper: p, .. }
            | Action::Crash(p)
            | Action::Restart(p)) = *action;
            let before = state.processes[usize::from(p)].pc;
            state = self.next_state(&state, *action).expect("a path's actions are possible");
            let memory = &state.memory;
            let verb = match action {
                Action::Step(_) => String::new(),
                other => format!("{other:?} "),
            };
            lines += &format!(
                "p{p} {verb}{before:?}\n      {:?} head {} tail {} gap {} tree {:?}\n",
                &memory.slots[..usize::from(self.scenario.capacity)],
                memory.head,
                memory.tail,
                memory.gap,
                memory.tree,
            );
        }
        lines
    }
}

impl Model for RingModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut memory = Memory::new(self.scenario.roles.len());
        if let Some((_, second)) = self.scenario.threads {
            memory.entries[second].used = false;
            memory.locks &= !(1 << second);
        }
        let fresh = State { memory, processes: [Process::NEW; MAX_PROCESSES], budget: self.scenario.budget };
        vec![self.scenario.begun_by.iter().fold(fresh, |state, call| self.call(state, *call))]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.memory.ledger.fault != Fault::None {
            return;
        }
        for (p, process) in state.processes.iter().enumerate().take(self.scenario.roles.len()) {
            let id = p as u8;
            if !process.alive {
                let entry = state.memory.entries[p];
                let is_first = self.participant(p) == p;
                if state.budget.restarts > 0 && is_first && !entry.used && !state.memory.is_locked(p) {
                    actions.push(Action::Restart(id));
                }
                continue;
            }
            let is_busy = |q: usize| !self.is_done(q, &state.processes[q]);
            if state.budget.crashes > 0 && self.participant(p) == p && self.threads(p).any(is_busy) {
                actions.push(Action::Crash(id));
            }
            if self.is_done(p, process) {
                continue;
            }
            if self.role(p) == Role::Sweeper && process.pc == Pc::Idle {
                let dead = |t: &usize| state.memory.entries[*t].used && !state.memory.is_locked(*t);
                let targets = (0..self.scenario.roles.len()).filter(dead);
                actions.extend(targets.map(|t| Action::Sweep { sweeper: id, target: t as u8 }));
                continue;
            }
            if self.may_step(p, process) {
                actions.push(Action::Step(id));
            }
            match process.pc {
                Pc::Borrowed { .. } if state.budget.give_backs > 0 && process.ended == 0 => {
                    actions.push(Action::GiveBack(id))
                }
                Pc::Reserved { .. } if state.budget.aborts > 0 && process.ended == 0 => {
                    actions.push(Action::Abort(id))
                }
                Pc::P1 { i: 0 } if state.budget.aborts > 0 && process.ended == 0 => {
                    actions.push(Action::Abort(id))
                }
                Pc::Idle | Pc::Down if process.aside != NOWHERE => actions.push(Action::LetGo(id)),
                Pc::B3Pass { .. } => actions.push(Action::Decline(id)),
                Pc::Idle if process.list.is_some() || process.none_free.is_some() => {
                    actions.push(Action::Forget(id));
                }
                _ => {}
            }
            let may_linger = match process.pc {
                Pc::Borrowed { .. } => true,
                Pc::Reserved { .. } => process.kept.len == 0 && process.aside == NOWHERE,
                _ => false,
            };
            if may_linger && state.budget.lingers > 0 {
                actions.push(Action::Linger(id));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Step(p) => self.step(&mut state, usize::from(p)),
            Action::GiveBack(p) => {
                let Pc::Borrowed { s } = state.processes[usize::from(p)].pc else { return None };
                state.budget.give_backs -= 1;
                self.give_back_all(&mut state, usize::from(p), s);
            }
            Action::Linger(p) => {
                state.budget.lingers -= 1;
                let slot = |s: u8| state.memory.slots[usize::from(s)].word;
                state.processes[usize::from(p)].pc = match state.processes[usize::from(p)].pc {
                    Pc::Borrowed { s } => Pc::L2 { s, w: slot(s), linger: true, is_odd: false },
                    Pc::Reserved { c } => {
                        let s = c % self.scenario.capacity;
                        Pc::W2 { s, w: slot(s) }
                    }
                    _ => return None,
                };
            }
            Action::LetGo(p) => {
                let s = state.processes[usize::from(p)].aside;
                let w = state.memory.slots.get(usize::from(s))?.word;
                state.processes[usize::from(p)].pc = self.protocol.before_leaving(s, w, Leaving::LetGo);
            }
            Action::Abort(p) if matches!(state.processes[usize::from(p)].pc, Pc::P1 { .. }) => {
                let State { memory, processes, budget } = &mut state;
                let process = &mut processes[usize::from(p)];
                budget.aborts -= 1;
                process.goes_back = true;
                process.pc = self.next_of_batch(memory, usize::from(p), process);
            }
            Action::Abort(p) => {
                let Pc::Reserved { c } = state.processes[usize::from(p)].pc else { return None };
                state.budget.aborts -= 1;
                let s = c % self.scenario.capacity;
                let w = state.memory.slots[usize::from(s)].word;
                state.processes[usize::from(p)].goes_back = true;
                state.processes[usize::from(p)].pc = self.protocol.before_abort(s, w);
            }
            Action::Decline(p) => {
                let pc = self.protocol.decline_to_pass(state.processes[usize::from(p)].pc)?;
                self.arrive(&mut state, usize::from(p), pc);
            }
            Action::Forget(p) => {
                let process = &mut state.processes[usize::from(p)];
                (process.list, process.none_free) = (None, None);
            }
            Action::Sweep { sweeper, target } => {
                let pc = self.protocol.begin_sweep(&state.memory, target);
                self.arrive(&mut state, usize::from(sweeper), pc);
            }
            Action::Crash(p) => {
                state.budget.crashes -= 1;
                for thread in self.threads(usize::from(p)).collect::<Vec<_>>() {
                    self.crash(&mut state, thread);
                }
            }
            Action::Restart(p) => {
                let p = usize::from(p);
                state.budget.restarts -= 1;
                state.memory.locks |= 1 << p;
                state.processes[p].alive = true;
                state.processes[p].pc = Pc::J { generation: state.memory.entries[p].generation };
            }
        }
        self.settle(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<RingModel>> {
        properties::all()
    }
}

//! All steps in any order, sleeps that end, calls that give up, and deaths; and what holds in every state.

use stateright::{Model, Property};

use crate::cast::{Action, Expiry, MAX_MARKS, MAX_PROCESSES, Pc, Process, Role, State, Wakes};

pub const LOST: &str = "K1: nobody sleeps beside what it waits for";
pub const BOUNDED: &str = "K2: a bounded sleep makes up for what the dead have lost";
pub const CALLS: &str = "K3: one system call between two waiters";

impl Model for Wakes {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let nobody = Process {
            pc: Pc::Done,
            is_alive: true,
            left: 0,
            claimed: 0,
            was_woken: false,
            mark: 0,
            seen: false,
            loaded: false,
            rests: false,
            passed_on: false,
            heeds_mark: false,
        };
        let mut processes = [nobody; MAX_PROCESSES];
        for (p, role) in self.roles.iter().enumerate() {
            let (left, pc) = match *role {
                Role::Putter(items) => (items, self.begin_put()),
                Role::Getter { calls, .. } => (calls, self.begin_call(p)),
                Role::Shutter => (1, Pc::ShutDown),
            };
            processes[p] = Process { pc, left, ..nobody };
        }
        vec![State {
            items: 0,
            is_shut_down: false,
            waiters: 0,
            marks: [0; MAX_MARKS],
            processes,
            crashes: self.crashes,
            calls: 0,
            has_crashed: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (p, process) in state.processes.iter().enumerate().take(self.roles.len()) {
            if !process.is_alive || process.pc == Pc::Done {
                continue;
            }
            if state.crashes > 0 {
                actions.push(Action::Crash(p));
            }
            match process.pc {
                Pc::Asleep => actions.push(Action::TimeOut(p)),
                Pc::Wake(_) if self.sleepers(state).next().is_some() => {
                    let wake_up = |sleeper| Action::WakeUp { waker: p, sleeper };
                    actions.extend(self.sleepers(state).map(wake_up));
                }
                // Also an attempt that the spin's look was right about; without one there is nothing to do but look again.
                Pc::Spin if self.is_ready(state, p) => {
                    actions.extend([Action::Step(p), Action::StopSpinning(p)]);
                }
                Pc::Spin => actions.push(Action::StopSpinning(p)),
                Pc::TakeMark(mark) | Pc::LookAtMark(mark, _) if state.marks[usize::from(mark)] != 0 => {
                    if self.expiry != Expiry::AtOnce {
                        actions.push(Action::Step(p));
                    }
                    if self.expiry != Expiry::Never {
                        actions.push(Action::SeeExpired(p));
                    }
                }
                _ => actions.push(Action::Step(p)),
            }
            if process.pc == Pc::FallAsleep && self.wanted(p) > state.items + 1 {
                actions.push(Action::Nap(p));
            }
            // Out of time after an attempt, or interrupted right after a sleep.
            let is_back = process.was_woken && process.pc == self.begin_round(p);
            if self.give_up && (process.pc == Pc::FallAsleep || is_back) {
                actions.push(Action::GiveUp(p));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Step(p) => self.step(&mut state, p),
            Action::WakeUp { waker, sleeper } => {
                self.wake_up(&mut state, sleeper);
                self.step(&mut state, waker);
            }
            Action::Nap(p) => state.processes[p].pc = Pc::Napping,
            Action::StopSpinning(p) => self.stop_spinning(&mut state, p),
            Action::SeeExpired(p) => {
                let (Pc::TakeMark(mark) | Pc::LookAtMark(mark, _)) = state.processes[p].pc else {
                    unreachable!("it looks at a mark")
                };
                self.look_at_free_mark(&mut state, p, mark);
            }
            Action::TimeOut(p) => state.processes[p].pc = self.begin_round(p),
            Action::GiveUp(p) => self.end_call(&mut state, p),
            Action::Crash(p) => {
                state.crashes -= 1;
                state.has_crashed = true;
                let claimed = state.processes[p].claimed;
                state.processes[p] = Process { pc: Pc::Done, is_alive: false, claimed, ..state.processes[p] };
                let dead = &mut state.processes[p];
                (dead.seen, dead.loaded, dead.rests) = (false, false, false);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Wakes>> {
        vec![
            Property::<Wakes>::always(LOST, |model, state| {
                state.has_crashed
                    || model.is_anybody_under_way(state)
                    || model.sleeps_in_vain(state).next().is_none()
            }),
            Property::<Wakes>::always(BOUNDED, |model, state| {
                model.sleeps_in_vain(state).all(|p| model.gets_alone(state, p))
            }),
            Property::<Wakes>::always(CALLS, |_, state| state.calls < 2),
        ]
    }
}

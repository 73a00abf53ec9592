//! Waiting and waking as a model: what the steps of `src/wait.rs` do between processes that sleep, wake each other, and die.
//!
//! Each step makes one access to what is shared: the number of items, the event's word, the kernel's list of sleepers. The word
//! is its waiters bit alone. Its sequence only tells whether it has moved since somebody read it, so each process remembers
//! that instead of a number, and the states stay finite. Every access is sequentially consistent here; why the code may rely on
//! that is E1 of `wait`.
//!
//! K1. No wake-up is lost: while nobody has died, nobody sleeps beside enough items with no other process under way.
//! K2. Whatever was lost with the dead, the end of one bounded sleep makes up for: who sleeps beside enough items gets them alone.
//! K3. Between two waiters that come, wakers make one system call at most: no dead waiter costs every later call one (E4).
//!
//! Each step that is left out in a mutation makes one of them fail.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

const MAX_PROCESSES: usize = 5;
/// More steps than one process alone makes from the end of a sleep to its items.
const STEPS_ALONE: usize = 12;

const LOST: &str = "K1: nobody sleeps beside what it waits for";
const BOUNDED: &str = "K2: a bounded sleep makes up for what the dead have lost";
const CALLS: &str = "K3: one system call between two waiters";

#[derive(Clone, Copy, Debug, Default)]
struct Mutation {
    /// A waiter looks before it sets the bit, and not again.
    no_look_after_the_bit: bool,
    /// A waker looks at the bit before its item is there.
    bit_before_item: bool,
    /// Who was woken and is done sets no bit for the others.
    no_bit_for_others: bool,
    /// Who was woken and is done looks for more before it sets the bit.
    looks_before_the_bit: bool,
    /// Who was woken and is done does not pass the wake-up on.
    keeps_the_rest: bool,
    /// A batch that cannot use what it was woken for does not pass the wake-up on.
    keeps_the_useless: bool,
    /// A batch passes on what it cannot use once, and keeps it if the kernel wakes it for the same again.
    keeps_the_second: bool,
    /// A waker clears the bit, and moves no sequence.
    sequence_stands: bool,
    /// Waiters are counted, and take themselves off the count when they are back.
    counts_waiters: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Puts so many items, one by one.
    Putter(u8),
    /// Gets batches of `wanted` items, in so many calls.
    Getter { wanted: u8, calls: u8 },
}

/// The next step of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pc {
    /// Make an item available.
    Publish,
    /// Set the bit, at the beginning of each round of a wait.
    SetBit,
    /// Count the items: a batch alone.
    Count,
    /// Claim one.
    Claim,
    /// Make a claimed one available again, having fallen short.
    PutBack,
    /// Return what a dead process had claimed, or go on.
    Sweep,
    /// Count the items once more, and decide how to wait.
    Decide,
    /// Sleep, if the word has not moved.
    FallAsleep,
    Asleep,
    /// Asleep for a while whatever happens.
    Napping,
    /// Done, and woken before: set the bit for the others.
    SetForOthers,
    /// Look whether there is more for them.
    LookForOthers,
    /// A wake-up's load of the word, its move of it, and its system call.
    Load(After),
    Move(After),
    Wake(After),
    /// Nothing left to do.
    Done,
}

/// Where a process goes on that has woken others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum After {
    Publishing,
    PuttingBack,
    /// Having passed a wake-up on: the next round.
    Passing,
    /// Having passed one on for the second time: a nap, in which the kernel finds others.
    PassingAgain,
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Process {
    pc: Pc,
    is_alive: bool,
    /// Items to put, or calls to make.
    left: u8,
    claimed: u8,
    was_woken: bool,
    /// Whether the word is still that which the process set the bit in, or was about to move.
    seen: bool,
    loaded: bool,
    /// Whether nothing has moved in the ring since it passed a wake-up on.
    passed_on: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    items: u8,
    /// 1 with the waiters bit; more only in the mutation that counts.
    waiters: u8,
    processes: [Process; MAX_PROCESSES],
    crashes: u8,
    /// System calls of wakers since a waiter came, at most two.
    calls: u8,
    has_crashed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Step(usize),
    /// A wake-up that reaches this sleeper.
    WakeUp {
        waker: usize,
        sleeper: usize,
    },
    /// A batch that lacks more than one item naps instead of sleeping.
    Nap(usize),
    /// A sleep ends by itself.
    TimeOut(usize),
    /// A call's time is over, or it is interrupted.
    GiveUp(usize),
    Crash(usize),
}

#[derive(Clone, Debug)]
struct Wakes {
    roles: Vec<Role>,
    crashes: u8,
    /// Whether calls may give up.
    give_up: bool,
    mutation: Mutation,
}

impl Wakes {
    fn new(roles: &[Role]) -> Wakes {
        Wakes { roles: roles.to_vec(), crashes: 0, give_up: false, mutation: Mutation::default() }
    }

    fn crashes(self, crashes: u8) -> Wakes {
        Wakes { crashes, ..self }
    }

    fn giving_up(self) -> Wakes {
        Wakes { give_up: true, ..self }
    }

    fn mutated(self, mutation: Mutation) -> Wakes {
        Wakes { mutation, ..self }
    }

    fn wanted(&self, p: usize) -> u8 {
        match self.roles[p] {
            Role::Getter { wanted, .. } => wanted,
            Role::Putter(_) => 0,
        }
    }

    /// The first step of an attempt.
    fn attempt(&self, p: usize) -> Pc {
        if self.wanted(p) > 1 { Pc::Count } else { Pc::Claim }
    }

    fn begin_round(&self, p: usize) -> Pc {
        if self.mutation.no_look_after_the_bit { self.attempt(p) } else { Pc::SetBit }
    }

    /// Something was claimed or has come: see `Pace::passed_on_at`.
    fn ring_moved(state: &mut State) {
        state.processes.iter_mut().for_each(|process| process.passed_on = false);
    }

    fn set_bit(&self, state: &mut State, p: usize) {
        state.waiters = if self.mutation.counts_waiters { state.waiters + 1 } else { 1 };
        state.calls = 0;
        state.processes[p].seen = true;
    }

    /// Back from waiting, with or without items.
    fn end_call(&self, state: &mut State, p: usize) {
        let process = &mut state.processes[p];
        let was_woken = std::mem::take(&mut process.was_woken);
        if self.mutation.counts_waiters {
            state.waiters = state.waiters.saturating_sub(1);
        }
        process.pc = match self.mutation {
            _ if !was_woken => return self.begin_next(state, p),
            mutation if mutation.keeps_the_rest => return self.begin_next(state, p),
            mutation if mutation.no_bit_for_others || mutation.looks_before_the_bit => Pc::LookForOthers,
            _ => Pc::SetForOthers,
        };
    }

    fn begin_next(&self, state: &mut State, p: usize) {
        let process = &mut state.processes[p];
        process.left -= 1;
        (process.claimed, process.passed_on) = (0, false);
        process.pc = match self.roles[p] {
            _ if process.left == 0 => Pc::Done,
            Role::Putter(_) if self.mutation.bit_before_item => Pc::Load(After::Publishing),
            Role::Putter(_) => Pc::Publish,
            Role::Getter { .. } => self.begin_round(p),
        };
    }

    /// Where a waker goes on.
    fn after(&self, state: &mut State, p: usize, after: After) {
        state.processes[p].pc = match after {
            After::Publishing if self.mutation.bit_before_item => Pc::Publish,
            After::Publishing | After::Ending => return self.begin_next(state, p),
            After::PuttingBack if state.processes[p].claimed > 0 => Pc::PutBack,
            After::PuttingBack => Pc::Sweep,
            After::Passing => self.begin_round(p),
            After::PassingAgain => Pc::Napping,
        };
    }

    fn step(&self, state: &mut State, p: usize) {
        let wanted = self.wanted(p);
        match state.processes[p].pc {
            Pc::Publish => {
                state.items += 1;
                Wakes::ring_moved(state);
                if self.mutation.bit_before_item {
                    return self.begin_next(state, p);
                }
                state.processes[p].pc = Pc::Load(After::Publishing);
            }
            Pc::SetBit => {
                self.set_bit(state, p);
                state.processes[p].pc =
                    if self.mutation.no_look_after_the_bit { Pc::FallAsleep } else { self.attempt(p) };
            }
            Pc::Count => {
                state.processes[p].pc = if state.items >= wanted { Pc::Claim } else { Pc::Sweep };
            }
            Pc::Claim if state.items > 0 => {
                state.items -= 1;
                Wakes::ring_moved(state);
                state.processes[p].claimed += 1;
                if state.processes[p].claimed == wanted {
                    // They are the caller's from here on; its death would give them back to a queue of others.
                    state.processes[p].claimed = 0;
                    self.end_call(state, p);
                }
            }
            Pc::Claim => {
                state.processes[p].pc = if state.processes[p].claimed > 0 { Pc::PutBack } else { Pc::Sweep }
            }
            Pc::PutBack => {
                state.items += 1;
                state.processes[p].claimed -= 1;
                Wakes::ring_moved(state);
                state.processes[p].pc = Pc::Load(After::PuttingBack);
            }
            Pc::Sweep => {
                let dead = state.processes.iter_mut().find(|other| !other.is_alive && other.claimed > 0);
                let Some(dead) = dead else {
                    state.processes[p].pc =
                        if self.mutation.no_look_after_the_bit { Pc::SetBit } else { Pc::Decide };
                    return;
                };
                // The sweep of a ring is explored in `model`; here it is one step, that tells everyone.
                state.items += std::mem::take(&mut dead.claimed);
                Wakes::ring_moved(state);
                state.processes.iter_mut().for_each(|process| process.seen = false);
                for other in 0..self.roles.len() {
                    if state.processes[other].pc == Pc::Asleep {
                        self.wake_up(state, other);
                    }
                }
                state.waiters = 0;
                state.processes[p].pc = self.begin_round(p);
            }
            Pc::Decide => {
                let process = &mut state.processes[p];
                let again = process.passed_on;
                let keeps = self.mutation.keeps_the_useless || (self.mutation.keeps_the_second && again);
                process.pc = if process.was_woken && state.items > 0 && wanted > 1 && !keeps {
                    (process.was_woken, process.passed_on) = (false, true);
                    Pc::Load(if again { After::PassingAgain } else { After::Passing })
                } else if wanted > 1 && state.items >= wanted {
                    // They are there, but were not to be had.
                    Pc::Napping
                } else {
                    Pc::FallAsleep
                };
            }
            Pc::FallAsleep => {
                let word_stands =
                    if self.mutation.sequence_stands { state.waiters > 0 } else { state.processes[p].seen };
                if word_stands {
                    state.processes[p].pc = Pc::Asleep;
                } else {
                    self.wake_up(state, p);
                }
            }
            Pc::Napping => state.processes[p].pc = self.begin_round(p),
            Pc::SetForOthers => {
                self.set_bit(state, p);
                if self.mutation.looks_before_the_bit {
                    return self.begin_next(state, p);
                }
                state.processes[p].pc = Pc::LookForOthers;
            }
            Pc::LookForOthers if state.items > 0 => state.processes[p].pc = Pc::Load(After::Ending),
            Pc::LookForOthers if self.mutation.looks_before_the_bit => {
                state.processes[p].pc = Pc::SetForOthers
            }
            Pc::LookForOthers => self.begin_next(state, p),
            Pc::Load(after) if state.waiters > 0 => {
                state.processes[p].loaded = true;
                state.processes[p].pc = Pc::Move(after);
            }
            Pc::Load(after) => self.after(state, p, after),
            Pc::Move(after) => {
                let word_stands =
                    if self.mutation.sequence_stands { state.waiters > 0 } else { state.processes[p].loaded };
                if !word_stands && !self.mutation.counts_waiters {
                    return self.after(state, p, after);
                }
                if !self.mutation.counts_waiters {
                    state.waiters = 0;
                }
                state.processes.iter_mut().for_each(|other| (other.seen, other.loaded) = (false, false));
                // The call is sure from here on; counted here, it is not mistaken for one of a waiter that comes in between.
                state.calls = (state.calls + 1).min(2);
                state.processes[p].pc = Pc::Wake(after);
            }
            Pc::Wake(after) => {
                // With sleepers, see `Action::WakeUp`.
                self.after(state, p, after);
            }
            Pc::Asleep | Pc::Done => unreachable!("nothing to do"),
        }
    }

    fn wake_up(&self, state: &mut State, sleeper: usize) {
        state.processes[sleeper].was_woken = true;
        state.processes[sleeper].pc = self.begin_round(sleeper);
    }

    fn sleepers<'s>(&'s self, state: &'s State) -> impl Iterator<Item = usize> + 's {
        (0..self.roles.len()).filter(|p| state.processes[*p].pc == Pc::Asleep)
    }

    /// Sleepers for whom there is enough.
    fn sleeps_in_vain<'s>(&'s self, state: &'s State) -> impl Iterator<Item = usize> + 's {
        self.sleepers(state).filter(|p| state.items >= self.wanted(*p))
    }

    fn is_anybody_under_way(&self, state: &State) -> bool {
        state.processes[..self.roles.len()]
            .iter()
            .any(|process| process.is_alive && !matches!(process.pc, Pc::Asleep | Pc::Done))
    }

    /// Whether the end of its sleep is enough for this process, with everyone else stopped.
    fn gets_alone(&self, state: &State, p: usize) -> bool {
        let mut state = *state;
        let before = state.items;
        state.processes[p].pc = self.begin_round(p);
        for _ in 0..STEPS_ALONE {
            self.step(&mut state, p);
            if state.items + self.wanted(p) == before {
                return true;
            }
        }
        false
    }
}

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
            seen: false,
            loaded: false,
            passed_on: false,
        };
        let mut processes = [nobody; MAX_PROCESSES];
        for (p, role) in self.roles.iter().enumerate() {
            let (left, pc) = match *role {
                Role::Putter(items) if self.mutation.bit_before_item => (items, Pc::Load(After::Publishing)),
                Role::Putter(items) => (items, Pc::Publish),
                Role::Getter { calls, .. } => (calls, self.begin_round(p)),
            };
            processes[p] = Process { pc, left, ..nobody };
        }
        vec![State { items: 0, waiters: 0, processes, crashes: self.crashes, calls: 0, has_crashed: false }]
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
            Action::TimeOut(p) => state.processes[p].pc = self.begin_round(p),
            Action::GiveUp(p) => self.end_call(&mut state, p),
            Action::Crash(p) => {
                state.crashes -= 1;
                state.has_crashed = true;
                let claimed = state.processes[p].claimed;
                state.processes[p] = Process { pc: Pc::Done, is_alive: false, claimed, ..state.processes[p] };
                (state.processes[p].seen, state.processes[p].loaded) = (false, false);
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

/// Explores all states; the property that fails, if one does, and the way there.
fn explore(model: &Wakes) -> Option<(&'static str, String)> {
    let begin = Instant::now();
    let checker =
        model.clone().checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{:?}, {} crashes: {} states, {:.1} s",
        model.roles,
        model.crashes,
        checker.unique_state_count(),
        begin.elapsed().as_secs_f64()
    );
    let (property, path) = checker.discoveries().into_iter().next()?;
    let story: Vec<String> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
    Some((property, story.join("\n")))
}

fn holds(model: &Wakes) {
    if let Some((property, story)) = explore(model) {
        panic!("{:?}: {property}\n{story}", model.roles);
    }
}

/// Holds as it is; mutated, `expected` fails.
fn fails(model: Wakes, mutation: Mutation, expected: &str) {
    holds(&model);
    let (failed, story) = explore(&model.mutated(mutation)).expect("some property fails");
    println!("{mutation:?}: \"{failed}\" failed after {} steps", story.lines().count());
    assert_eq!(failed, expected, "{story}");
}

fn getter(calls: u8) -> Role {
    Role::Getter { wanted: 1, calls }
}

fn batch(wanted: u8) -> Role {
    Role::Getter { wanted, calls: 1 }
}

#[test]
fn two_getters_and_two_putters() {
    holds(&Wakes::new(&[getter(1), getter(1), Role::Putter(1), Role::Putter(1)]));
}

#[test]
fn getters_that_come_again() {
    holds(&Wakes::new(&[getter(2), getter(2), Role::Putter(4)]));
}

#[test]
fn getters_that_give_up() {
    holds(&Wakes::new(&[getter(1), getter(1), getter(1), Role::Putter(2)]).giving_up());
}

#[test]
fn a_batch_beside_a_getter() {
    holds(&Wakes::new(&[batch(2), getter(1), Role::Putter(3)]));
}

#[test]
fn two_batches() {
    holds(&Wakes::new(&[batch(2), batch(2), Role::Putter(3)]));
}

#[test]
fn a_batch_beside_two_getters() {
    holds(&Wakes::new(&[batch(2), getter(1), getter(1), Role::Putter(2)]));
}

#[test]
fn batches_of_two_sizes_that_give_up() {
    holds(&Wakes::new(&[batch(3), batch(2), Role::Putter(3)]).giving_up());
}

#[test]
fn a_waiter_or_a_waker_dies() {
    holds(&Wakes::new(&[getter(1), getter(2), Role::Putter(2), Role::Putter(1)]).crashes(2));
}

#[test]
fn a_batch_dies_beside_others() {
    holds(&Wakes::new(&[batch(2), getter(1), Role::Putter(2)]).crashes(1));
}

#[test]
fn sleeping_without_a_look_after_the_bit() {
    let mutation = Mutation { no_look_after_the_bit: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), Role::Putter(1)]), mutation, LOST);
}

#[test]
fn looking_at_the_bit_before_the_item_is_there() {
    let mutation = Mutation { bit_before_item: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), Role::Putter(1)]), mutation, LOST);
}

#[test]
fn setting_no_bit_for_the_others() {
    let mutation = Mutation { no_bit_for_others: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).giving_up(), mutation, LOST);
}

#[test]
fn looking_for_more_before_the_bit() {
    let mutation = Mutation { looks_before_the_bit: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(2)]).giving_up(), mutation, LOST);
}

#[test]
fn keeping_the_rest_of_a_wake_up() {
    let mutation = Mutation { keeps_the_rest: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), getter(1), Role::Putter(2)]), mutation, LOST);
}

#[test]
fn keeping_a_wake_up_that_is_of_no_use() {
    let mutation = Mutation { keeps_the_useless: true, ..Mutation::default() };
    fails(Wakes::new(&[batch(2), getter(1), Role::Putter(1)]), mutation, LOST);
}

#[test]
fn keeping_a_wake_up_that_comes_again() {
    let mutation = Mutation { keeps_the_second: true, ..Mutation::default() };
    fails(Wakes::new(&[batch(2), getter(1), getter(1), Role::Putter(2)]), mutation, LOST);
}

#[test]
fn clearing_the_bit_without_a_new_sequence() {
    let mutation = Mutation { sequence_stands: true, ..Mutation::default() };
    fails(Wakes::new(&[batch(2), getter(1), Role::Putter(1)]), mutation, LOST);
}

#[test]
fn counting_waiters_costs_every_call_after_a_death() {
    let mutation = Mutation { counts_waiters: true, ..Mutation::default() };
    fails(Wakes::new(&[getter(1), Role::Putter(2)]).crashes(1), mutation, CALLS);
}

#[test]
#[ignore = "a million states, for `make soak`"]
fn soak_two_batches_and_a_getter_one_of_which_dies() {
    holds(&Wakes::new(&[batch(2), batch(2), getter(1), Role::Putter(3)]).crashes(1));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_a_batch_and_getters_that_give_up_and_die() {
    holds(&Wakes::new(&[batch(2), getter(1), Role::Putter(2), Role::Putter(1)]).giving_up().crashes(2));
}

#[test]
#[ignore = "some million states, for `make soak`"]
fn soak_three_sizes_that_give_up() {
    holds(&Wakes::new(&[batch(3), batch(2), getter(1), Role::Putter(3)]).giving_up());
}

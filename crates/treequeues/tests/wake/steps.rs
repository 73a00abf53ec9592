//! The steps, one shared access each; a decision that needs none belongs to the step before it.

use crate::cast::{After, Expiry, Mutation, Pc, Process, Role, State, Wakes};

/// More steps than one process alone makes from the end of a sleep to its items.
pub const STEPS_ALONE: usize = 16;

impl Wakes {
    pub fn new(roles: &[Role]) -> Wakes {
        Wakes {
            roles: roles.to_vec(),
            crashes: 0,
            give_up: false,
            marks: 0,
            expiry: Expiry::AtAnyTime,
            mutation: Mutation::default(),
        }
    }

    pub fn marks(self, marks: u8) -> Wakes {
        Wakes { marks, ..self }
    }

    pub fn expiring(self, expiry: Expiry) -> Wakes {
        Wakes { expiry, ..self }
    }

    pub fn crashes(self, crashes: u8) -> Wakes {
        Wakes { crashes, ..self }
    }

    pub fn giving_up(self) -> Wakes {
        Wakes { give_up: true, ..self }
    }

    pub fn mutated(self, mutation: Mutation) -> Wakes {
        Wakes { mutation, ..self }
    }

    pub fn wanted(&self, p: usize) -> u8 {
        match self.roles[p] {
            Role::Getter { wanted, .. } => wanted,
            Role::Putter(_) | Role::Shutter => 0,
        }
    }

    /// The first step of an attempt.
    pub fn attempt(&self, p: usize) -> Pc {
        if self.wanted(p) > 1 { Pc::Count } else { Pc::Claim }
    }

    pub fn begin_put(&self) -> Pc {
        match self.mutation {
            mutation if mutation.bit_before_item => Pc::Load(After::Publishing),
            mutation if mutation.marks_before_item => Pc::LookAtMark(0, After::Publishing),
            _ => Pc::Publish,
        }
    }

    /// A call that has found nothing.
    pub fn begin_call(&self, p: usize) -> Pc {
        if self.marks > 0 { Pc::TakeMark(0) } else { self.begin_round(p) }
    }

    pub fn begin_round(&self, p: usize) -> Pc {
        if self.mutation.no_look_after_the_bit { self.attempt(p) } else { Pc::SetBit }
    }

    /// Something was claimed or has come: see `Pace::passed_on_at`.
    pub fn ring_moved(state: &mut State) {
        state.processes.iter_mut().for_each(|process| process.passed_on = false);
    }

    pub fn set_bit(&self, state: &mut State, p: usize) {
        state.waiters = if self.mutation.counts_waiters { state.waiters + 1 } else { 1 };
        state.calls = 0;
        state.processes[p].seen = true;
    }

    /// Back from waiting, with or without items.
    pub fn end_call(&self, state: &mut State, p: usize) {
        let process = &mut state.processes[p];
        let was_woken = std::mem::take(&mut process.was_woken);
        if process.mark != 0 {
            process.pc = match self.mutation {
                mutation if mutation.looks_before_the_clearing => Pc::LookForSleepers,
                _ => Pc::ClearMarkWithItems,
            };
            return;
        }
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

    pub fn begin_next(&self, state: &mut State, p: usize) {
        let process = &mut state.processes[p];
        process.left -= 1;
        (process.claimed, process.passed_on, process.rests) = (0, false, false);
        process.pc = match self.roles[p] {
            _ if process.left == 0 => Pc::Done,
            Role::Putter(_) => self.begin_put(),
            Role::Getter { .. } => self.begin_call(p),
            Role::Shutter => unreachable!("once"),
        };
    }

    /// The word is another one than a process has seen.
    fn moved(&self, process: &mut Process) {
        process.seen = false;
        process.rests &= self.mutation.rests_on;
    }

    /// Where a waker goes on.
    pub fn after(&self, state: &mut State, p: usize, after: After) {
        state.processes[p].pc = match after {
            After::Publishing if self.mutation.bit_before_item => Pc::Publish,
            After::Publishing | After::Ending => return self.begin_next(state, p),
            After::PuttingBack if state.processes[p].claimed > 0 => Pc::PutBack,
            After::PuttingBack if state.processes[p].mark != 0 => Pc::ClearMark,
            After::PuttingBack => Pc::Sweep,
            After::Passing => self.begin_round(p),
            After::PassingAgain => Pc::Napping,
        };
    }

    pub fn step(&self, state: &mut State, p: usize) {
        let wanted = self.wanted(p);
        match state.processes[p].pc {
            Pc::Publish => {
                state.items += 1;
                Wakes::ring_moved(state);
                let is_heeded = std::mem::take(&mut state.processes[p].heeds_mark);
                if self.mutation.bit_before_item || is_heeded {
                    return self.begin_next(state, p);
                }
                state.processes[p].pc = Pc::Load(After::Publishing);
            }
            Pc::TakeMark(mark) if state.marks[usize::from(mark)] == 0 => {
                self.look_at_free_mark(state, p, mark);
            }
            Pc::TakeMark(mark) if mark + 1 < self.marks => state.processes[p].pc = Pc::TakeMark(mark + 1),
            Pc::TakeMark(_) => state.processes[p].pc = self.begin_round(p),
            Pc::Spin if self.is_ready(state, p) => state.processes[p].pc = self.attempt(p),
            Pc::Spin => {}
            Pc::ClearMark => {
                self.clear_mark(state, p);
                state.processes[p].pc =
                    if self.mutation.bit_before_the_clearing { Pc::Sweep } else { self.begin_round(p) };
            }
            Pc::ClearMarkWithItems => {
                self.clear_mark(state, p);
                if self.mutation.keeps_what_it_spun_for {
                    return self.begin_next(state, p);
                }
                state.processes[p].pc = if self.mutation.looks_before_the_clearing {
                    Pc::Load(After::Ending)
                } else {
                    Pc::LookForSleepers
                };
            }
            Pc::ClearMarkAtLast => {
                self.clear_mark(state, p);
                self.begin_next(state, p);
            }
            Pc::LookForSleepers if state.waiters > 0 => state.processes[p].pc = Pc::LookForOthers,
            Pc::LookForSleepers if self.mutation.looks_before_the_clearing => {
                state.processes[p].pc = Pc::ClearMarkAtLast;
            }
            Pc::LookForSleepers => self.begin_next(state, p),
            Pc::SetBit => {
                self.set_bit(state, p);
                state.processes[p].pc = match state.processes[p].rests {
                    _ if self.mutation.no_look_after_the_bit => Pc::FallAsleep,
                    true => Pc::Sweep,
                    false => self.attempt(p),
                };
            }
            Pc::Count if state.items >= wanted => state.processes[p].pc = Pc::Claim,
            Pc::Count => {
                state.processes[p].rests = state.processes[p].seen || self.mutation.rests_on;
                self.fall_short(state, p);
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
            Pc::Claim if state.processes[p].claimed > 0 => state.processes[p].pc = Pc::PutBack,
            Pc::Claim => self.fall_short(state, p),
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
                state.processes.iter_mut().for_each(|process| self.moved(process));
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
                } else if wanted > 1 && state.items >= wanted && !process.rests {
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
            Pc::ShutDown => {
                state.is_shut_down = true;
                state.processes[p].pc = Pc::MoveForAll;
            }
            Pc::MoveForAll if self.mutation.all_by_the_bit && state.waiters == 0 => self.begin_next(state, p),
            Pc::MoveForAll => {
                state.waiters = 0;
                for other in &mut state.processes {
                    self.moved(other);
                    other.loaded = false;
                }
                state.processes[p].pc = Pc::WakeAll;
            }
            Pc::WakeAll => {
                let sleepers: Vec<_> = self.sleepers(state).collect();
                sleepers.into_iter().for_each(|sleeper| self.wake_up(state, sleeper));
                self.begin_next(state, p);
            }
            Pc::SetForOthers => {
                self.set_bit(state, p);
                if self.mutation.looks_before_the_bit {
                    return self.begin_next(state, p);
                }
                state.processes[p].pc = Pc::LookForOthers;
            }
            Pc::LookForOthers if state.items > 0 && state.processes[p].mark != 0 => {
                state.processes[p].pc = Pc::ClearMarkWithItems;
            }
            Pc::LookForOthers if state.items > 0 => state.processes[p].pc = Pc::Load(After::Ending),
            Pc::LookForOthers if state.processes[p].mark != 0 => {
                state.processes[p].pc = Pc::ClearMarkAtLast;
            }
            Pc::LookForOthers if self.mutation.looks_before_the_bit => {
                state.processes[p].pc = Pc::SetForOthers
            }
            Pc::LookForOthers => self.begin_next(state, p),
            Pc::Load(after) if state.waiters > 0 => {
                state.processes[p].loaded = true;
                let looks = self.marks > 0 && !self.mutation.marks_before_item;
                state.processes[p].pc = if looks { Pc::LookAtMark(0, after) } else { Pc::Move(after) };
            }
            Pc::Load(after) => self.after(state, p, after),
            Pc::LookAtMark(mark, _) if state.marks[usize::from(mark)] == 0 => {
                self.look_at_free_mark(state, p, mark);
            }
            Pc::LookAtMark(..) if self.mutation.marks_before_item => {
                state.processes[p].heeds_mark = true;
                state.processes[p].pc = Pc::Publish;
            }
            Pc::LookAtMark(_, after) => {
                state.processes[p].loaded = false;
                self.after(state, p, after);
            }
            Pc::Move(after) => {
                let word_stands =
                    if self.mutation.sequence_stands { state.waiters > 0 } else { state.processes[p].loaded };
                if !word_stands && !self.mutation.counts_waiters {
                    return self.after(state, p, after);
                }
                if !self.mutation.counts_waiters {
                    state.waiters = 0;
                }
                for other in &mut state.processes {
                    self.moved(other);
                    other.loaded = false;
                }
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

    /// What a look at a mark that is free, or whose time is over, leads to.
    pub fn look_at_free_mark(&self, state: &mut State, p: usize, mark: u8) {
        let process = &mut state.processes[p];
        process.pc = match process.pc {
            Pc::TakeMark(_) => {
                state.marks[usize::from(mark)] = p as u8 + 1;
                (process.mark, process.was_woken) = (mark + 1, !self.mutation.owes_nothing);
                Pc::Spin
            }
            Pc::LookAtMark(_, after) if mark + 1 < self.marks => Pc::LookAtMark(mark + 1, after),
            Pc::LookAtMark(..) if self.mutation.marks_before_item => Pc::Publish,
            Pc::LookAtMark(_, after) => Pc::Move(after),
            _ => unreachable!("it looks at a mark"),
        };
    }

    /// Unless its time was over, and somebody else has taken it.
    fn clear_mark(&self, state: &mut State, p: usize) {
        let mark = usize::from(std::mem::take(&mut state.processes[p].mark)) - 1;
        if usize::from(state.marks[mark]) == p + 1 {
            state.marks[mark] = 0;
        }
    }

    /// Whether a spin's cheap look says that an attempt is worth it.
    pub fn is_ready(&self, state: &State, p: usize) -> bool {
        state.is_shut_down || state.items >= self.wanted(p)
    }

    pub fn stop_spinning(&self, state: &mut State, p: usize) {
        state.processes[p].pc =
            if self.mutation.bit_before_the_clearing { self.begin_round(p) } else { Pc::ClearMark };
    }

    /// After an attempt in vain.
    fn fall_short(&self, state: &mut State, p: usize) {
        if state.is_shut_down {
            self.end_call(state, p);
        } else if state.processes[p].mark != 0 {
            state.processes[p].pc = Pc::ClearMark;
        } else {
            state.processes[p].pc = Pc::Sweep;
        }
    }

    pub fn wake_up(&self, state: &mut State, sleeper: usize) {
        state.processes[sleeper].was_woken = true;
        state.processes[sleeper].pc =
            if self.mutation.spins_when_woken { self.begin_call(sleeper) } else { self.begin_round(sleeper) };
    }

    pub fn sleepers<'s>(&'s self, state: &'s State) -> impl Iterator<Item = usize> + 's {
        (0..self.roles.len()).filter(|p| state.processes[*p].pc == Pc::Asleep)
    }

    /// Sleepers for whom there is enough, or nothing more to wait for.
    pub fn sleeps_in_vain<'s>(&'s self, state: &'s State) -> impl Iterator<Item = usize> + 's {
        self.sleepers(state).filter(|p| state.is_shut_down || state.items >= self.wanted(*p))
    }

    pub fn is_anybody_under_way(&self, state: &State) -> bool {
        state.processes[..self.roles.len()]
            .iter()
            .any(|process| process.is_alive && !matches!(process.pc, Pc::Asleep | Pc::Done))
    }

    /// Whether the end of its sleep is enough for this process, with everyone else stopped.
    pub fn gets_alone(&self, state: &State, p: usize) -> bool {
        let mut state = *state;
        let (items, calls) = (state.items, state.processes[p].left);
        state.processes[p].pc = self.begin_round(p);
        // It rests for a bounded time, and no longer than until somebody dead is found.
        state.processes[p].rests = false;
        for _ in 0..STEPS_ALONE {
            self.step(&mut state, p);
            if state.items + self.wanted(p) == items || state.processes[p].left < calls {
                return true;
            }
        }
        false
    }
}

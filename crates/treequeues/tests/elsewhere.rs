//! Commits past living views as a model: each needs other slots than its own, which views keep (`batch::elsewhere`, X1 to X3).
//!
//! A slot is free, holds an item, is being written, or lingers for a view. Reserving, claiming and taking are one step each
//! here: how they go on the ring is explored in `model`. What is explored here is who waits for whom.
//!
//! Y1. Nobody waits for ever: where no step is left, every commit has succeeded or failed, also if the views of those that
//!     failed live on.
//! Y2. As few fail as must: the views of one that failed die, and the others go on.
//!
//! Time passes only where nothing else can happen: then the wait without hope fails whose grace ends first.

use stateright::{Checker, HasDiscoveries, Model, Property};

const STANDSTILL: &str = "Y1: nobody waits for ever";
const TOO_MANY: &str = "Y2: as few fail as must";

#[derive(Clone, Copy, Debug, Default)]
struct Mutation {
    /// A call that waits holds its slots, as a writer does, instead of letting them linger.
    holds_while_waiting: bool,
    /// A call waits although its thread has another loan.
    waits_beside_a_loan: bool,
    /// A call without hope waits on.
    waits_without_hope: bool,
    /// All calls without hope fail at once.
    fails_at_once: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Free,
    /// Being written by this process, or in another loan of it.
    Writing(u8),
    Item,
    /// Kept by views of this process, under a ticket.
    Lingering(u8, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pc {
    Reserve,
    /// Its slots are written, and views of them live.
    Commit,
    Wait,
    /// Writing the other slots.
    Copy,
    /// Done, but the views live.
    Views,
    Done,
    Failed,
}

/// One process: it commits `len` slots past views of them, once.
#[derive(Clone, Copy, Debug)]
struct Role {
    len: usize,
    /// Slots of another loan, that ends after the commit.
    beside: usize,
    /// Whether its views live on for ever if the commit fails.
    keeps: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    slots: Vec<Slot>,
    pcs: Vec<Pc>,
    tickets: Vec<u8>,
    next_ticket: u8,
    failures: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Step(usize),
    /// A wait without hope ends.
    Fail(usize),
    /// The last view of a process dies.
    LetGo(usize),
    Get,
}

#[derive(Clone, Debug)]
struct Commits {
    capacity: usize,
    roles: Vec<Role>,
    most_failures: usize,
    mutation: Mutation,
}

impl State {
    fn count(&self, like: impl Fn(Slot) -> bool) -> usize {
        self.slots.iter().filter(|slot| like(**slot)).count()
    }

    fn free(&self) -> usize {
        self.count(|slot| slot == Slot::Free)
    }

    fn change(&mut self, many: usize, like: impl Fn(Slot) -> bool, to: Slot) {
        self.slots.iter_mut().filter(|slot| like(**slot)).take(many).for_each(|slot| *slot = to);
    }
}

impl Commits {
    fn new(capacity: usize, roles: &[Role], most_failures: usize) -> Self {
        Self { capacity, roles: roles.to_vec(), most_failures, mutation: Mutation::default() }
    }

    /// How many calls should fail before that of `p`; `None` while there is hope for it.
    fn calls_above(&self, state: &State, p: usize) -> Option<usize> {
        let Role { len, beside, .. } = self.roles[p];
        if beside > 0 && !self.mutation.waits_beside_a_loan {
            return Some(0);
        }
        let lingers = |slot| matches!(slot, Slot::Lingering(..));
        if self.capacity - state.count(lingers) >= len {
            return None;
        }
        let above = |slot| matches!(slot, Slot::Lingering(_, ticket) if ticket > state.tickets[p]);
        Some(if self.mutation.fails_at_once { 0 } else { state.count(above).div_ceil(len) })
    }

    fn steps(&self, state: &State) -> Vec<Action> {
        let mut steps = Vec::new();
        for (p, (pc, role)) in state.pcs.iter().zip(&self.roles).enumerate() {
            let steps_now = match pc {
                Pc::Reserve => state.free() >= role.len + role.beside,
                Pc::Commit | Pc::Copy => true,
                Pc::Wait => state.free() >= role.len,
                Pc::Views | Pc::Done | Pc::Failed => false,
            };
            if steps_now {
                steps.push(Action::Step(p));
            } else if *pc == Pc::Wait
                && !self.mutation.waits_without_hope
                && self.calls_above(state, p) == Some(0)
            {
                steps.push(Action::Fail(p));
            }
            let has_views =
                state.slots.iter().any(|slot| matches!(slot, Slot::Lingering(q, _) if *q as usize == p));
            if has_views && (*pc == Pc::Views || *pc == Pc::Failed && !role.keeps) {
                steps.push(Action::LetGo(p));
            }
        }
        if state.count(|slot| slot == Slot::Item) > 0 {
            steps.push(Action::Get);
        }
        steps
    }
}

impl Model for Commits {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let processes = self.roles.len();
        vec![State {
            slots: vec![Slot::Free; self.capacity],
            pcs: vec![Pc::Reserve; processes],
            tickets: vec![0; processes],
            next_ticket: 1,
            failures: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(self.steps(state));
        if actions.is_empty() && !self.mutation.waits_without_hope {
            let graces = (0..self.roles.len())
                .filter(|p| state.pcs[*p] == Pc::Wait)
                .filter_map(|p| Some((self.calls_above(state, p)?, p)));
            let first = graces.clone().map(|(grace, _)| grace).min();
            actions.extend(graces.filter(|(grace, _)| Some(*grace) == first).map(|(_, p)| Action::Fail(p)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Step(p) => {
                let (id, Role { len, beside, .. }) = (p as u8, self.roles[p]);
                let (free, own) = (|slot| slot == Slot::Free, |slot| slot == Slot::Writing(id));
                state.pcs[p] = match last.pcs[p] {
                    Pc::Reserve => {
                        state.change(len + beside, free, Slot::Writing(id));
                        (state.tickets[p], state.next_ticket) = (last.next_ticket, last.next_ticket + 1);
                        Pc::Commit
                    }
                    Pc::Commit => {
                        if !self.mutation.holds_while_waiting {
                            state.change(len, own, Slot::Lingering(id, last.tickets[p]));
                        }
                        Pc::Wait
                    }
                    Pc::Wait => {
                        if self.mutation.holds_while_waiting {
                            state.change(len, own, Slot::Lingering(id, last.tickets[p]));
                        }
                        state.change(len, free, Slot::Writing(id));
                        Pc::Copy
                    }
                    Pc::Copy => {
                        // The other loan ends after this one.
                        state.change(len, own, Slot::Item);
                        state.change(beside, own, Slot::Free);
                        Pc::Views
                    }
                    Pc::Views | Pc::Done | Pc::Failed => unreachable!("no step"),
                };
            }
            Action::Fail(p) => {
                // The error ends the other loan, too.
                state.change(self.capacity, |slot| slot == Slot::Writing(p as u8), Slot::Free);
                state.failures += 1;
                state.pcs[p] = Pc::Failed;
            }
            Action::LetGo(p) => {
                let own = |slot| matches!(slot, Slot::Lingering(q, _) if q as usize == p);
                state.change(self.capacity, own, Slot::Free);
                if state.pcs[p] == Pc::Views {
                    state.pcs[p] = Pc::Done;
                }
            }
            Action::Get => state.change(1, |slot| slot == Slot::Item, Slot::Free),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always(STANDSTILL, |model, state| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                // A process that comes later may find all slots kept: that is a put that waits, not a commit.
                let is_ended = |pc: &Pc| matches!(pc, Pc::Done | Pc::Failed | Pc::Reserve);
                !actions.is_empty() || state.pcs.iter().all(is_ended)
            }),
            Property::<Self>::always(TOO_MANY, |model, state| state.failures <= model.most_failures),
        ]
    }
}

/// Explores all states; the property that fails, if one does, and the way there.
fn explore(model: &Commits) -> Option<(&'static str, String)> {
    let checker =
        model.clone().checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{} slots, {:?}: {} states", model.capacity, model.roles, checker.unique_state_count());
    let (property, path) = checker.discoveries().into_iter().next()?;
    Some((property, format!("{:?}", path.into_actions())))
}

fn holds(model: &Commits) {
    if let Some((property, story)) = explore(model) {
        panic!("{property}: {story}");
    }
}

/// Holds as it is; mutated, `expected` fails.
fn fails(model: Commits, mutation: Mutation, expected: &str) {
    holds(&model);
    let (failed, story) = explore(&Commits { mutation, ..model }).expect("some property fails");
    assert_eq!(failed, expected, "{story}");
}

const SINGLE: Role = Role { len: 1, beside: 0, keeps: false };

fn batch(len: usize) -> Role {
    Role { len, ..SINGLE }
}

fn keeping(role: Role) -> Role {
    Role { keeps: true, ..role }
}

#[test]
fn of_as_many_as_there_are_slots_one_fails() {
    for capacity in 2..=4 {
        holds(&Commits::new(capacity, &vec![SINGLE; capacity], 1));
    }
}

#[test]
fn with_a_slot_to_spare_nobody_fails() {
    holds(&Commits::new(3, &[SINGLE; 2], 0));
    holds(&Commits::new(6, &[batch(2); 2], 0));
}

#[test]
fn of_two_batches_that_share_the_ring_one_fails() {
    holds(&Commits::new(4, &[batch(2); 2], 1));
    holds(&Commits::new(5, &[batch(2), batch(2), SINGLE], 2));
}

#[test]
fn nobody_waits_for_ever_for_views_that_live_on() {
    holds(&Commits::new(3, &[keeping(SINGLE); 3], 3));
    holds(&Commits::new(4, &[keeping(batch(2)), batch(2), keeping(SINGLE)], 3));
}

#[test]
fn a_thread_with_another_loan_fails_rather_than_waits() {
    let nested = Role { beside: 1, ..SINGLE };
    holds(&Commits::new(4, &[nested; 2], 2));
    holds(&Commits::new(4, &[nested, SINGLE, SINGLE], 2));
}

#[test]
fn holding_while_waiting_stands_still() {
    let mutation = Mutation { holds_while_waiting: true, ..Mutation::default() };
    fails(Commits::new(2, &[SINGLE; 2], 1), mutation, STANDSTILL);
}

#[test]
fn waiting_beside_a_loan_stands_still() {
    let nested = Role { beside: 1, ..SINGLE };
    let mutation = Mutation { waits_beside_a_loan: true, ..Mutation::default() };
    fails(Commits::new(4, &[nested; 2], 2), mutation, STANDSTILL);
}

#[test]
fn waiting_without_hope_stands_still() {
    let mutation = Mutation { waits_without_hope: true, ..Mutation::default() };
    fails(Commits::new(3, &[SINGLE; 3], 1), mutation, STANDSTILL);
}

#[test]
fn failing_all_at_once_fails_more_than_must() {
    let mutation = Mutation { fails_at_once: true, ..Mutation::default() };
    fails(Commits::new(3, &[SINGLE; 3], 1), mutation, TOO_MANY);
}

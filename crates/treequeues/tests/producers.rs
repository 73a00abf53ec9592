//! The end of a stream as a model: producers come and leave, or die; whoever is last, or finds the last one dead, ends the stream.
//!
//! Each participant's place counts what all its tenants did: blocks that came, that left, and that died, three words that only grow. Each
//! step makes one access to what is shared; the steps are those of `src/queue/producers.rs`, every access in one order.
//!
//! Q1. The stream ends only if at some moment as many blocks had come as were said, and nobody who lives was in one.
//! Q2. What the end says, how many came and how many died, was so at such a moment.
//! Q3. While nobody dies, the last one that leaves ends it. Whoever dies when, a consumer that waits comes to the end alone.
//!
//! Each step that is left out in a mutation makes one of them fail.
//!
//! The long exploration is ignored: `cargo test --release --test producers -- --ignored` runs it.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

const MAX_PROCESSES: usize = 4;
const PLACES: usize = 2;
/// Came, left, died.
const WORDS: usize = 3;
const CAME: usize = 0;
const LEFT: usize = 1;
const DIED: usize = 2;

const MOMENT: &str = "Q1: at some moment all had come and nobody was there";
const SAID: &str = "Q2: the end says what was so";
const AT_ONCE: &str = "Q3: the last one that leaves ends it";
const ALONE: &str = "Q3: a consumer comes to the end alone";

type Counts = [[u8; WORDS]; PLACES];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// So many blocks, one after the other, as the tenant of this place once it is free.
    Producer { place: usize, blocks: u8 },
    /// Waits for the end, and looks for the dead before each sleep.
    Consumer,
}

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// All places are looked at once.
    OneLook,
    /// The number that was said does not count.
    FirstEndsAll,
    /// Who leaves does not look.
    LeavesSilently,
    /// A consumer looks for the dead, and not whether all have left.
    WaitsOnly,
    /// A sweep adds to what died, instead of a compare-and-swap.
    AddsDeaths,
    /// A sweep frees the entry before it counts.
    FreesFirst,
    /// A sweep does not ask whether the entry still is the dead one's.
    DoesNotAsk,
    /// The blocks of the dead are not counted.
    ForgetsTheDead,
}

#[derive(Clone, Debug)]
struct Stream {
    roles: Vec<Role>,
    said: u8,
    crashes: u8,
    /// That anybody has.
    places: usize,
    mutation: Option<Mutation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pc {
    /// Waits for its place to be free.
    Register,
    Flag,
    Come,
    InBlock,
    Leave,
    /// Looks at word `.1` of all, the first or the second time.
    Look {
        second: bool,
        word: usize,
    },
    Decide,
    /// A sweep: looks whether this place's tenant is dead, reads its words, asks, counts, frees.
    Find(usize),
    Read {
        place: usize,
        word: usize,
    },
    Ask(usize),
    Count(usize),
    Free(usize),
    Asleep,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Process {
    pc: Pc,
    is_alive: bool,
    blocks_left: u8,
    /// What was seen: at the first and the second look, or of a dead one.
    seen: [Counts; 2],
    dead: [u8; WORDS],
    /// The generation of the entry that was found dead.
    generation: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Entry {
    is_used: bool,
    generation: u8,
    tenant: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    counts: Counts,
    entries: [Entry; PLACES],
    processes: [Process; MAX_PROCESSES],
    /// What the end says: came, died.
    end: Option<(u8, u8)>,
    crashes: u8,
    has_crashed: bool,
    /// Blocks of the dead.
    dead_blocks: u8,
    /// What was so at the moments at which all had come and nobody who lives was there.
    moments: Vec<(u8, u8)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Step(usize),
    Crash(usize),
}

impl Pc {
    const LOOK: Self = Self::Look { second: false, word: 0 };

    fn is_in_block(self) -> bool {
        matches!(self, Self::InBlock | Self::Leave)
    }
}

impl Stream {
    fn new(roles: &[Role], said: u8, crashes: u8) -> Self {
        let place = |role: &Role| if let Role::Producer { place, .. } = role { place + 1 } else { 0 };
        let places = roles.iter().map(place).max().expect("somebody");
        Self { roles: roles.to_vec(), said, crashes, places, mutation: None }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn came(counts: &Counts) -> u8 {
        counts.iter().map(|words| words[CAME]).sum()
    }

    fn is_anybody_there(counts: &Counts) -> bool {
        counts.iter().any(|words| words[CAME] != words[LEFT].wrapping_add(words[DIED]))
    }

    /// After a look that did not end the stream, or instead of one.
    fn after_look(&self, p: usize, process: &Process) -> Pc {
        match self.roles[p] {
            Role::Producer { .. } if process.blocks_left > 0 => Pc::Flag,
            Role::Producer { .. } => Pc::Done,
            Role::Consumer => Pc::Asleep,
        }
    }

    /// The sweep is through with this place.
    fn after_place(&self, place: usize) -> Pc {
        match place + 1 {
            next if next < self.places => Pc::Find(next),
            _ if self.is(Mutation::WaitsOnly) => Pc::Asleep,
            _ => Pc::LOOK,
        }
    }

    fn step(&self, state: &mut State, p: usize) {
        let mut process = state.processes[p];
        process.pc = match process.pc {
            Pc::Register => {
                let Role::Producer { place, .. } = self.roles[p] else { unreachable!("a producer") };
                let generation = state.entries[place].generation;
                state.entries[place] = Entry { is_used: true, generation, tenant: p };
                Pc::Flag
            }
            Pc::Flag if state.end.is_some() => Pc::Done,
            Pc::Flag => match self.roles[p] {
                Role::Producer { .. } => Pc::Come,
                Role::Consumer => Pc::Find(0),
            },
            Pc::Come => {
                let Role::Producer { place, .. } = self.roles[p] else { unreachable!("a producer") };
                state.counts[place][CAME] += 1;
                process.blocks_left -= 1;
                Pc::InBlock
            }
            Pc::InBlock => Pc::Leave,
            Pc::Leave => {
                let Role::Producer { place, .. } = self.roles[p] else { unreachable!("a producer") };
                state.counts[place][LEFT] += 1;
                if self.is(Mutation::LeavesSilently) { self.after_look(p, &process) } else { Pc::LOOK }
            }
            Pc::Look { second, word } => {
                let (place, which) = (word / WORDS, word % WORDS);
                process.seen[usize::from(second)][place][which] = state.counts[place][which];
                match word + 1 {
                    next if next < self.places * WORDS => Pc::Look { second, word: next },
                    // Somebody is there, and that is all there is to know.
                    _ if !second && Self::is_anybody_there(&process.seen[0]) => {
                        process.seen = Default::default();
                        self.after_look(p, &process)
                    }
                    _ if second || self.is(Mutation::OneLook) => Pc::Decide,
                    _ => Pc::Look { second: true, word: 0 },
                }
            }
            Pc::Decide => {
                let [first, second] = process.seen;
                process.seen = Default::default();
                let is_one_moment = self.is(Mutation::OneLook) || first == second;
                let died: u8 = first.iter().fold(0, |died: u8, words| died.wrapping_add(words[DIED]));
                let said = if self.is(Mutation::FirstEndsAll) { 1 } else { self.said };
                if !is_one_moment {
                    Pc::LOOK
                } else if Self::came(&first) >= said && !Self::is_anybody_there(&first) {
                    // Of several ends, one is told.
                    state.end = state.end.or(Some((Self::came(&first), died)));
                    Pc::Done
                } else {
                    self.after_look(p, &process)
                }
            }
            Pc::Find(place) => {
                let entry = state.entries[place];
                process.generation = entry.generation;
                let is_dead = entry.is_used && !state.processes[entry.tenant].is_alive;
                match is_dead {
                    false => self.after_place(place),
                    true if self.is(Mutation::FreesFirst) => Pc::Free(place),
                    // Died first: a tenant that is there after the reads was there before.
                    true => Pc::Read { place, word: 0 },
                }
            }
            Pc::Read { place, word } => {
                let which = [DIED, CAME, LEFT][word];
                process.dead[which] = state.counts[place][which];
                if word + 1 < WORDS { Pc::Read { place, word: word + 1 } } else { Pc::Ask(place) }
            }
            Pc::Ask(place) => {
                let entry = state.entries[place];
                let is_theirs = entry.is_used && entry.generation == process.generation;
                if is_theirs || self.is(Mutation::DoesNotAsk) || self.is(Mutation::FreesFirst) {
                    Pc::Count(place)
                } else {
                    self.after_place(place)
                }
            }
            Pc::Count(place) => {
                let [came, left, died] = process.dead;
                let now = came.wrapping_sub(left);
                if self.is(Mutation::AddsDeaths) {
                    state.counts[place][DIED] =
                        state.counts[place][DIED].wrapping_add(now.wrapping_sub(died));
                } else if state.counts[place][DIED] == died && !self.is(Mutation::ForgetsTheDead) {
                    state.counts[place][DIED] = now;
                }
                process.dead = Default::default();
                if self.is(Mutation::FreesFirst) { self.after_place(place) } else { Pc::Free(place) }
            }
            Pc::Free(place) => {
                let entry = &mut state.entries[place];
                if entry.is_used && entry.generation == process.generation {
                    (entry.is_used, entry.generation) = (false, entry.generation + 1);
                }
                if self.is(Mutation::FreesFirst) {
                    Pc::Read { place, word: 0 }
                } else {
                    self.after_place(place)
                }
            }
            // The end of a sleep.
            Pc::Asleep => Pc::Flag,
            Pc::Done => unreachable!("no more steps"),
        };
        if process.pc == Pc::Done || process.pc == Pc::Asleep {
            (process.dead, process.generation) = (Default::default(), 0);
        }
        state.processes[p] = process;
        self.look_at_moment(state);
    }

    fn look_at_moment(&self, state: &mut State) {
        let is_anybody_there =
            state.processes.iter().any(|process| process.is_alive && process.pc.is_in_block());
        let now = (Self::came(&state.counts), state.dead_blocks);
        if !is_anybody_there && now.0 >= self.said && !state.moments.contains(&now) {
            state.moments.push(now);
            state.moments.sort_unstable();
        }
    }

    fn are_producers_through(&self, state: &State) -> bool {
        self.roles.iter().enumerate().all(|(p, role)| {
            let process = state.processes[p];
            matches!(role, Role::Consumer) || process.pc == Pc::Done || !process.is_alive
        })
    }

    /// Whether each consumer that lives comes to the end if nobody else does anything more.
    fn ends_alone(&self, state: &State) -> bool {
        self.roles.iter().enumerate().all(|(p, role)| {
            let mut state = state.clone();
            if !matches!(role, Role::Consumer) || !state.processes[p].is_alive {
                return true;
            }
            for _ in 0..100 {
                if state.processes[p].pc == Pc::Done {
                    break;
                }
                self.step(&mut state, p);
            }
            state.end.is_some()
        })
    }
}

impl Model for Stream {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let nobody = Process {
            pc: Pc::Done,
            is_alive: true,
            blocks_left: 0,
            seen: Default::default(),
            dead: Default::default(),
            generation: 0,
        };
        let mut processes = [nobody; MAX_PROCESSES];
        for (p, role) in self.roles.iter().enumerate() {
            processes[p] = match *role {
                Role::Producer { blocks, .. } => Process { pc: Pc::Register, blocks_left: blocks, ..nobody },
                Role::Consumer => Process { pc: Pc::Asleep, ..nobody },
            };
        }
        vec![State {
            counts: Default::default(),
            entries: Default::default(),
            processes,
            end: None,
            crashes: self.crashes,
            has_crashed: false,
            dead_blocks: 0,
            moments: Vec::new(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (p, role) in self.roles.iter().enumerate() {
            let process = state.processes[p];
            if !process.is_alive || process.pc == Pc::Done {
                continue;
            }
            let may_step = match (process.pc, role) {
                (Pc::Register, Role::Producer { place, .. }) => !state.entries[*place].is_used,
                _ => true,
            };
            if may_step {
                actions.push(Action::Step(p));
            }
            if state.crashes > 0 {
                actions.push(Action::Crash(p));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Step(p) => self.step(&mut state, p),
            Action::Crash(p) => {
                let process = &mut state.processes[p];
                state.dead_blocks += u8::from(process.pc.is_in_block());
                *process = Process {
                    is_alive: false,
                    seen: Default::default(),
                    dead: Default::default(),
                    generation: 0,
                    ..*process
                };
                (state.crashes, state.has_crashed) = (state.crashes - 1, true);
                self.look_at_moment(&mut state);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Stream>> {
        vec![
            Property::<Stream>::always(MOMENT, |_, state| state.end.is_none() || !state.moments.is_empty()),
            Property::<Stream>::always(SAID, |_, state| {
                state.end.is_none_or(|said| state.moments.is_empty() || state.moments.contains(&said))
            }),
            Property::<Stream>::always(AT_ONCE, |model, state| {
                let is_over = model.are_producers_through(state) && Stream::came(&state.counts) >= model.said;
                state.has_crashed || !is_over || state.end.is_some()
            }),
            Property::<Stream>::always(ALONE, |model, state| {
                let is_over = model.are_producers_through(state) && Stream::came(&state.counts) >= model.said;
                !is_over || model.ends_alone(state)
            }),
        ]
    }
}

/// Explores all states; the property that fails, if one does, and the way there.
fn explore(model: &Stream) -> Option<(&'static str, String)> {
    let begin = Instant::now();
    let checker =
        model.clone().checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{model:?}: {} states, {:.1} s", checker.unique_state_count(), begin.elapsed().as_secs_f64());
    let (property, path) = checker.discoveries().into_iter().next()?;
    let story: Vec<String> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
    Some((property, story.join("\n")))
}

fn holds(model: &Stream) {
    if let Some((property, story)) = explore(model) {
        panic!("{model:?}: {property}\n{story}");
    }
}

/// Mutated, one of `expected` fails.
fn fails(model: &Stream, mutation: Mutation, expected: &[&str]) {
    let mutated = Stream { mutation: Some(mutation), ..model.clone() };
    let (failed, story) = explore(&mutated).expect("some property fails");
    assert!(expected.contains(&failed), "{mutation:?} fails {failed}:\n{story}");
}

const FIRST: Role = Role::Producer { place: 0, blocks: 1 };
const SECOND: Role = Role::Producer { place: 1, blocks: 1 };
const TWICE: Role = Role::Producer { place: 0, blocks: 2 };

/// Two that come and leave, once or twice, and a consumer.
fn two_producers(crashes: u8) -> Stream {
    Stream::new(&[TWICE, SECOND, Role::Consumer], 2, crashes)
}

/// One that comes to the place of another, and two that sweep.
fn two_tenants(crashes: u8) -> Stream {
    Stream::new(&[FIRST, FIRST, Role::Consumer, Role::Consumer], 2, crashes)
}

#[test]
fn producers_that_all_leave_end_the_stream() {
    holds(&Stream::new(&[FIRST, SECOND, Role::Consumer], 2, 0));
    holds(&Stream::new(&[TWICE, SECOND], 2, 0));
    holds(&Stream::new(&[TWICE, SECOND], 1, 0));
    holds(&Stream::new(&[TWICE, SECOND], 3, 0));
}

#[test]
fn producers_that_die_end_the_stream_too() {
    holds(&Stream::new(&[FIRST, SECOND, Role::Consumer], 2, 1));
    holds(&Stream::new(&[FIRST, Role::Consumer, Role::Consumer], 1, 2));
}

#[test]
#[ignore = "minutes"]
fn producers_of_several_blocks_that_die_end_the_stream_too() {
    holds(&two_producers(2));
    holds(&two_tenants(2));
}

#[test]
fn a_new_tenant_of_a_dead_ones_place_counts_for_itself() {
    holds(&Stream::new(&[FIRST, FIRST, Role::Consumer], 2, 2));
}

#[test]
fn every_step_is_needed() {
    fails(&two_producers(0), Mutation::OneLook, &[MOMENT]);
    fails(&two_producers(0), Mutation::FirstEndsAll, &[MOMENT]);
    fails(&Stream::new(&[TWICE, SECOND], 2, 0), Mutation::LeavesSilently, &[AT_ONCE]);
    fails(&two_producers(1), Mutation::WaitsOnly, &[ALONE]);
    fails(&two_producers(1), Mutation::ForgetsTheDead, &[ALONE]);
    // Counts that are wrong end too early, or never.
    fails(&two_tenants(1), Mutation::AddsDeaths, &[MOMENT, SAID, ALONE]);
    fails(&two_tenants(1), Mutation::FreesFirst, &[MOMENT, SAID, ALONE]);
    fails(&two_tenants(1), Mutation::DoesNotAsk, &[MOMENT, SAID, ALONE]);
}

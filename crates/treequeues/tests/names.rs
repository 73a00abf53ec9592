//! The life and death of a name as a model, explored in every reachable state.
//!
//! Each system call of `src/names.rs` that others can see, and of the registration around it, is one step here; between any
//! two steps any other process may run, stop for ever, or die. What is modelled: which file the name leads to, who has which
//! lock of which file, and whose entries in it are in use. The model shares no code with the library.
//!
//! A process opens the name (attaches, or creates), stays, takes the name away or not, leaves, and opens it again. One that
//! only attaches is told that there is no queue, or that it is stale, where the others create one.
//!
//! The long explorations are ignored: `cargo test --release --test names -- --ignored` runs them.

use std::fmt;

use stateright::{Checker, HasDiscoveries, Model, Property};

/// Files that ever exist at once: each process has one, and looks at another one.
const FILES: usize = 6;
const PROCESSES: usize = 3;
/// Steps of one open by itself, beyond which it is taken to hang.
const STEPS_ALONE: usize = 40;

const IS_NAMED: &str = "a queue that somebody opened has the name, unless a participant took it away";
const ONLY_ITS_OWN: &str = "a name is only taken from the file that was looked at";
const NOTHING_IS_LEFT: &str = "once all have left and nobody died, no name is left";
const STALE_IS_TRUE: &str = "a queue is called stale only if a participant of it died";
const NEWCOMER: &str =
    "a newcomer's open comes to an end, whoever has stopped, unless one has all locks of the file";

type File = u8;
/// The generations of a file's entries, one a process: odd while it is in use.
type Entries = [u8; PROCESSES];

/// A lock of one process on one file. A participant's own byte, the byte of the name, or all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Locks {
    own: bool,
    name: bool,
    all: bool,
}

/// Where a process stands: the step that it takes next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    LookUp,
    WhoLives(File),
    /// What one that only attaches does where nobody lives: whether somebody died there.
    ReadsEntries(File),
    IsStillDeserted(File, Entries),
    ReadsEntriesAgain(File, Entries),
    ToldStale(File),
    Register(File),
    IsStillNamed(File),
    /// What a newcomer that came too late does: as one that leaves.
    Retreat(File),
    RetreatAll(File),
    RetreatSeesName(File),
    RetreatUnlinks(File),
    LockAll(File),
    SeeName(File),
    Unlink(File),
    UnlockAll(File),
    /// A file of its own is made, and registered in.
    Create,
    Link(File),
    Joined(File),
    TakeLockOfName(File),
    TakeSeesName(File),
    TakeUnlinks(File),
    TakeUnlocks(File),
    Leave(File),
    LeaveUnlocks(File),
    LeaveAll(File),
    LeaveSeesName(File),
    LeaveUnlinks(File),
    Close(File),
    Gone,
    Dead,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Process {
    at: At,
    /// Its file without a name, while it looks after what has the name.
    own: Option<File>,
    opens_left: u8,
    only_attaches: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    name: Option<File>,
    locks: [[Locks; PROCESSES]; FILES],
    entries: [Entries; FILES],
    /// Files of which a participant died.
    mourned: [bool; FILES],
    /// Files whose name a participant took away on purpose.
    taken: [bool; FILES],
    processes: [Process; PROCESSES],
    deaths_left: u8,
    somebody_died: bool,
    /// A name was taken from another file than the one looked at.
    took_a_strangers: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name -> {:?}, {:?}", self.name, self.processes.each_ref().map(|process| process.at))
    }
}

/// A step left out.
#[derive(Clone, Copy, Default)]
struct Mutation {
    no_look_after_registering: bool,
    no_look_before_removing: bool,
    no_unlock_before_leaving: bool,
    no_lock_of_the_name: bool,
    no_lock_over_all: bool,
    /// Called stale because nobody lives there.
    no_look_at_entries: bool,
    /// Called stale because an entry was in use before it was seen that nobody lives there.
    no_second_look_at_entries: bool,
    no_freeing_before_unlocking: bool,
}

#[derive(Clone)]
struct Names {
    opens: u8,
    deaths: u8,
    /// How many of the processes only attach.
    attachers: usize,
    mutation: Mutation,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Action {
    Step(usize),
    /// At a choice: takes the name away instead of leaving.
    Take(usize),
    Die(usize),
}

impl State {
    fn others(&self, file: File, me: usize) -> impl Iterator<Item = Locks> {
        let locks = self.locks[usize::from(file)];
        (0..PROCESSES).filter(move |process| *process != me).map(move |process| locks[process])
    }

    fn mine(&mut self, file: File, me: usize) -> &mut Locks {
        &mut self.locks[usize::from(file)][me]
    }

    fn is_free_for(&self, file: File, me: usize, conflict: impl Fn(Locks) -> bool) -> bool {
        !self.others(file, me).any(conflict)
    }

    fn register(&mut self, file: File, me: usize) {
        self.mine(file, me).own = true;
        self.change_entry(file, me);
    }

    fn free_entry(&mut self, file: File, process: usize) {
        self.change_entry(file, process);
    }

    fn change_entry(&mut self, file: File, process: usize) {
        // Only those who attach ever look, and states that nobody can tell apart need not be told apart here.
        if self.processes.iter().any(|process| process.only_attaches) {
            self.entries[usize::from(file)][process] += 1;
        }
    }

    /// Forgets what was said of files that are gone.
    fn forget(&mut self) {
        for file in (0..FILES as File).filter(|file| !self.is_used(*file)).collect::<Vec<_>>() {
            self.entries[usize::from(file)] = Entries::default();
            self.mourned[usize::from(file)] = false;
        }
    }

    /// Frees the entries of the dead.
    fn sweep(&mut self, file: File, me: usize) {
        for process in (0..PROCESSES).filter(|process| *process != me) {
            let is_used = self.entries[usize::from(file)][process] % 2 == 1;
            if is_used && !self.locks[usize::from(file)][process].own {
                self.free_entry(file, process);
            }
        }
    }

    fn ends_an_open(&mut self, me: usize) -> At {
        let process = &mut self.processes[me];
        process.opens_left -= 1;
        if process.opens_left > 0 { At::LookUp } else { At::Gone }
    }

    /// A file that nobody refers to any more.
    fn fresh_file(&self) -> File {
        (0..FILES as File).find(|file| !self.is_used(*file)).expect("each process refers to two at most")
    }

    fn is_used(&self, file: File) -> bool {
        self.name == Some(file)
            || self.locks[usize::from(file)].iter().any(|locks| *locks != Locks::default())
            || self
                .processes
                .iter()
                .any(|process| process.own == Some(file) || process.at.file() == Some(file))
    }

    fn unlink(&mut self, expected: File) {
        self.took_a_strangers |= self.name.is_some_and(|file| file != expected);
        self.name = None;
    }
}

impl At {
    fn file(self) -> Option<File> {
        match self {
            Self::LookUp | Self::Create | Self::Gone | Self::Dead => None,
            Self::WhoLives(file)
            | Self::ReadsEntries(file)
            | Self::IsStillDeserted(file, _)
            | Self::ReadsEntriesAgain(file, _)
            | Self::ToldStale(file)
            | Self::LeaveUnlocks(file)
            | Self::Register(file)
            | Self::IsStillNamed(file)
            | Self::Retreat(file)
            | Self::RetreatAll(file)
            | Self::RetreatSeesName(file)
            | Self::RetreatUnlinks(file)
            | Self::LockAll(file)
            | Self::SeeName(file)
            | Self::Unlink(file)
            | Self::UnlockAll(file)
            | Self::Link(file)
            | Self::Joined(file)
            | Self::TakeLockOfName(file)
            | Self::TakeSeesName(file)
            | Self::TakeUnlinks(file)
            | Self::TakeUnlocks(file)
            | Self::Leave(file)
            | Self::LeaveAll(file)
            | Self::LeaveSeesName(file)
            | Self::LeaveUnlinks(file)
            | Self::Close(file) => Some(file),
        }
    }
}

impl Names {
    fn new(opens: u8, deaths: u8) -> Self {
        Self { opens, deaths, attachers: 0, mutation: Mutation::default() }
    }

    fn with_attachers(self, attachers: usize) -> Self {
        Self { attachers, ..self }
    }

    /// One step of a process that is neither gone nor dead.
    fn step(&self, state: &mut State, me: usize) {
        let mutation = self.mutation;
        let any = |locks: Locks| locks != Locks::default();
        let next = match state.processes[me].at {
            At::LookUp => match state.name {
                Some(file) => At::WhoLives(file),
                None if state.processes[me].only_attaches => state.ends_an_open(me),
                None => At::Create,
            },
            At::WhoLives(file) => {
                if state.others(file, me).any(|locks| locks.all) {
                    At::LookUp
                } else if state.others(file, me).any(any) {
                    At::Register(file)
                } else if state.processes[me].only_attaches {
                    if mutation.no_look_at_entries { At::ToldStale(file) } else { At::ReadsEntries(file) }
                } else if mutation.no_lock_over_all {
                    At::SeeName(file)
                } else {
                    At::LockAll(file)
                }
            }
            At::ReadsEntries(file) => At::IsStillDeserted(file, state.entries[usize::from(file)]),
            At::IsStillDeserted(file, before) => {
                if state.others(file, me).any(any) {
                    At::LookUp
                } else {
                    At::ReadsEntriesAgain(file, before)
                }
            }
            At::ReadsEntriesAgain(file, before) => {
                let after = state.entries[usize::from(file)];
                let is_used = |entry: u8| entry % 2 == 1;
                let is_same =
                    |process: usize| mutation.no_second_look_at_entries || before[process] == after[process];
                if (0..PROCESSES).any(|process| is_used(before[process]) && is_same(process)) {
                    if state.name == Some(file) { At::ToldStale(file) } else { At::LookUp }
                } else if before == after {
                    // All have left: what the last of them has yet to do is done for it.
                    At::LockAll(file)
                } else {
                    At::LookUp
                }
            }
            At::ToldStale(_) => state.ends_an_open(me),
            At::Register(file) => {
                if state.is_free_for(file, me, |locks| locks.all) {
                    state.sweep(file, me);
                    state.register(file, me);
                    if mutation.no_look_after_registering { At::Joined(file) } else { At::IsStillNamed(file) }
                } else {
                    At::LookUp
                }
            }
            At::IsStillNamed(file) if state.name == Some(file) => At::Joined(file),
            At::IsStillNamed(file) => At::Retreat(file),
            At::Retreat(file) => {
                state.free_entry(file, me);
                state.mine(file, me).own = false;
                At::RetreatAll(file)
            }
            At::RetreatAll(file) => {
                if state.is_free_for(file, me, any) {
                    state.mine(file, me).all = true;
                    At::RetreatSeesName(file)
                } else {
                    At::LookUp
                }
            }
            At::RetreatSeesName(file) if state.name == Some(file) => At::RetreatUnlinks(file),
            At::RetreatSeesName(file) => {
                *state.mine(file, me) = Locks::default();
                At::LookUp
            }
            At::RetreatUnlinks(file) => {
                state.unlink(file);
                *state.mine(file, me) = Locks::default();
                At::LookUp
            }
            At::LockAll(file) => {
                if state.is_free_for(file, me, any) {
                    state.mine(file, me).all = true;
                    if mutation.no_look_before_removing { At::Unlink(file) } else { At::SeeName(file) }
                } else {
                    At::LookUp
                }
            }
            At::SeeName(file) if state.name == Some(file) => At::Unlink(file),
            At::SeeName(file) => At::UnlockAll(file),
            At::Unlink(file) => {
                state.unlink(file);
                At::UnlockAll(file)
            }
            At::UnlockAll(file) => {
                *state.mine(file, me) = Locks::default();
                At::LookUp
            }
            At::Create => {
                let file = state.fresh_file();
                state.taken[usize::from(file)] = false;
                state.mourned[usize::from(file)] = false;
                state.entries[usize::from(file)] = Entries::default();
                state.register(file, me);
                state.processes[me].own = Some(file);
                At::Link(file)
            }
            At::Link(file) => {
                state.processes[me].own = None;
                if state.name.is_none() {
                    state.name = Some(file);
                    At::Joined(file)
                } else {
                    // Somebody was faster: the file goes as it came, and the name is looked up again.
                    *state.mine(file, me) = Locks::default();
                    At::LookUp
                }
            }
            At::Joined(file) => At::Leave(file),
            At::TakeLockOfName(file) => {
                if mutation.no_lock_of_the_name {
                    At::TakeSeesName(file)
                } else if state.is_free_for(file, me, |locks| locks.name || locks.all) {
                    state.mine(file, me).name = true;
                    At::TakeSeesName(file)
                } else {
                    At::TakeLockOfName(file)
                }
            }
            At::TakeSeesName(file) if state.name == Some(file) => At::TakeUnlinks(file),
            At::TakeSeesName(file) => At::TakeUnlocks(file),
            At::TakeUnlinks(file) => {
                state.unlink(file);
                state.taken[usize::from(file)] = true;
                At::TakeUnlocks(file)
            }
            At::TakeUnlocks(file) => {
                state.mine(file, me).name = false;
                At::Leave(file)
            }
            At::Leave(file) => {
                if !mutation.no_freeing_before_unlocking {
                    state.free_entry(file, me);
                }
                At::LeaveUnlocks(file)
            }
            At::LeaveUnlocks(file) => {
                if !mutation.no_unlock_before_leaving {
                    state.mine(file, me).own = false;
                }
                At::LeaveAll(file)
            }
            At::LeaveAll(file) => {
                if state.is_free_for(file, me, any) {
                    state.mine(file, me).all = true;
                    At::LeaveSeesName(file)
                } else {
                    At::Close(file)
                }
            }
            At::LeaveSeesName(file) if state.name == Some(file) => At::LeaveUnlinks(file),
            At::LeaveSeesName(file) => At::Close(file),
            At::LeaveUnlinks(file) => {
                state.unlink(file);
                At::Close(file)
            }
            At::Close(file) => {
                *state.mine(file, me) = Locks::default();
                state.ends_an_open(me)
            }
            At::Gone | At::Dead => unreachable!("no action leads here"),
        };
        state.processes[me].at = next;
    }

    /// Whether a process that begins an open now, all others stopped for ever, comes to its end.
    fn comes_in(&self, state: &State, me: usize) -> bool {
        let mut state = state.clone();
        // It is a new process: it has left nothing behind.
        for (locks, entries) in state.locks.iter_mut().zip(&mut state.entries) {
            locks[me] = Locks::default();
            // It has another place in the table.
            entries[me] += entries[me] % 2;
        }
        state.processes[me] = Process { at: At::LookUp, own: None, opens_left: 1, only_attaches: false };
        for _ in 0..STEPS_ALONE {
            if matches!(state.processes[me].at, At::Joined(_)) {
                return true;
            }
            self.step(&mut state, me);
        }
        false
    }
}

impl Model for Names {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let process =
            |only_attaches| Process { at: At::LookUp, own: None, opens_left: self.opens, only_attaches };
        vec![State {
            name: None,
            locks: Default::default(),
            entries: Default::default(),
            mourned: [false; FILES],
            taken: [false; FILES],
            processes: std::array::from_fn(|me| process(me < self.attachers)),
            deaths_left: self.deaths,
            somebody_died: false,
            took_a_strangers: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (me, process) in state.processes.iter().enumerate() {
            if matches!(process.at, At::Gone | At::Dead) {
                continue;
            }
            actions.push(Action::Step(me));
            if matches!(process.at, At::Joined(_)) {
                actions.push(Action::Take(me));
            }
            if state.deaths_left > 0 {
                actions.push(Action::Die(me));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Step(me) => self.step(&mut state, me),
            Action::Take(me) => {
                let At::Joined(file) = state.processes[me].at else { return None };
                state.processes[me].at = At::TakeLockOfName(file);
            }
            Action::Die(me) => {
                for (file, locks) in state.locks.iter_mut().enumerate() {
                    state.mourned[file] |= state.entries[file][me] % 2 == 1;
                    locks[me] = Locks::default();
                }
                state.processes[me] = Process { at: At::Dead, opens_left: 0, ..state.processes[me].clone() };
                state.processes[me].own = None;
                state.deaths_left -= 1;
                state.somebody_died = true;
            }
        }
        state.forget();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(IS_NAMED, |_, state: &State| {
                state.processes.iter().all(|process| match process.at {
                    At::Joined(file) => state.name == Some(file) || state.taken[usize::from(file)],
                    _ => true,
                })
            }),
            Property::always(ONLY_ITS_OWN, |_, state: &State| !state.took_a_strangers),
            Property::always(STALE_IS_TRUE, |_, state: &State| {
                state.processes.iter().all(|process| match process.at {
                    At::ToldStale(file) => state.mourned[usize::from(file)],
                    _ => true,
                })
            }),
            Property::always(NOTHING_IS_LEFT, |_, state: &State| {
                let all_gone = state.processes.iter().all(|process| process.at == At::Gone);
                !all_gone || state.somebody_died || state.name.is_none()
            }),
            Property::always(NEWCOMER, |model: &Self, state: &State| {
                (0..PROCESSES).all(|me| {
                    // In the place of one that is gone or dead.
                    let is_vacant = matches!(state.processes[me].at, At::Gone | At::Dead);
                    let is_in_transit = |file: File| state.others(file, me).any(|locks| locks.all);
                    !is_vacant || state.name.is_some_and(is_in_transit) || model.comes_in(state, me)
                })
            }),
        ]
    }
}

fn holds(model: Names) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.unique_state_count() > 1000, "the exploration went nowhere");
}

fn fails(mutation: Mutation, expected: &str) {
    fails_with(Names { mutation, ..Names::new(2, 0) }, expected);
}

fn fails_with(model: Names, expected: &str) {
    let checker = model.checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let failed = checker.discoveries();
    assert!(failed.contains_key(expected), "expected {expected:?} to fail, but {:?} failed", failed.keys());
}

#[test]
fn three_processes_open_take_and_leave() {
    holds(Names::new(1, 0));
}

#[test]
#[ignore = "3 million states"]
fn three_processes_open_take_and_leave_twice() {
    holds(Names::new(2, 0));
}

#[test]
#[ignore = "4 million states"]
fn three_processes_open_take_leave_twice_and_one_dies() {
    holds(Names::new(2, 1));
}

#[test]
fn two_of_three_processes_die() {
    holds(Names::new(1, 2));
}

#[test]
fn one_of_three_only_attaches() {
    holds(Names::new(1, 0).with_attachers(1));
}

#[test]
fn one_of_three_only_attaches_and_one_dies() {
    holds(Names::new(1, 1).with_attachers(1));
}

#[test]
#[ignore = "millions of states"]
fn one_of_three_only_attaches_and_all_come_twice() {
    holds(Names::new(2, 1).with_attachers(1));
}

#[test]
fn without_the_look_at_entries() {
    let mutation = Mutation { no_look_at_entries: true, ..Mutation::default() };
    fails_with(Names { mutation, ..Names::new(2, 0).with_attachers(1) }, STALE_IS_TRUE);
}

#[test]
fn without_the_second_look_at_entries() {
    let mutation = Mutation { no_second_look_at_entries: true, ..Mutation::default() };
    fails_with(Names { mutation, ..Names::new(2, 0).with_attachers(1) }, STALE_IS_TRUE);
}

#[test]
fn without_freeing_the_entry_before_unlocking() {
    let mutation = Mutation { no_freeing_before_unlocking: true, ..Mutation::default() };
    fails_with(Names { mutation, ..Names::new(2, 0).with_attachers(1) }, STALE_IS_TRUE);
}

#[test]
fn without_the_look_after_registering() {
    fails(Mutation { no_look_after_registering: true, ..Mutation::default() }, IS_NAMED);
}

#[test]
fn without_the_look_before_removing() {
    fails(Mutation { no_look_before_removing: true, ..Mutation::default() }, ONLY_ITS_OWN);
}

#[test]
fn without_unlocking_before_leaving() {
    fails(Mutation { no_unlock_before_leaving: true, ..Mutation::default() }, NOTHING_IS_LEFT);
}

#[test]
fn without_the_lock_of_the_name() {
    fails(Mutation { no_lock_of_the_name: true, ..Mutation::default() }, ONLY_ITS_OWN);
}

#[test]
fn without_the_lock_over_all() {
    fails(Mutation { no_lock_over_all: true, ..Mutation::default() }, IS_NAMED);
}

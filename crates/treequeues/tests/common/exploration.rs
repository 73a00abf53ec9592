//! All reachable states of a model, and what may follow each of them.
//!
//! The checker of stateright looks at each state alone. This one also keeps the steps between the states and walks them backwards, to
//! tell from which states a goal is out of reach. A state is known by a hash of 64 bits, as in stateright; only those that are still
//! to be looked at are kept whole.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::Instant;

use stateright::{Model, Property};

/// What must be within reach of every state.
pub struct Goal<M: Model> {
    pub name: &'static str,
    pub is_reached: Test<M, M::State>,
    /// The actions that may lead there.
    pub goes_by: Test<M, M::Action>,
}

/// Whether something holds for a part of a model.
pub type Test<M, Part> = Box<dyn Fn(&M, &Part) -> bool>;

/// Goals that one exploration may have: their bits fit a number.
const MAX_GOALS: usize = 16;

pub struct Failure<A> {
    /// The property that fails in a state, or the goal that is out of its reach.
    pub name: &'static str,
    /// The actions that lead to the state.
    pub path: Vec<A>,
}

pub struct Explored<A> {
    pub states: usize,
    pub steps: usize,
    /// In how many states each goal is reached.
    pub reached: Vec<usize>,
    pub seconds: f64,
    pub failure: Option<Failure<A>>,
}

/// A step from one state to another, and the goals that it may lead to.
struct Edge {
    from: u32,
    to: u32,
    goals: u16,
}

/// Looks at all states, breadth first, until a property fails; then at all goals.
pub fn explore<M>(model: &M, properties: &[Property<M>], goals: &[Goal<M>]) -> Explored<M::Action>
where
    M: Model,
    M::State: Hash,
    M::Action: Clone,
{
    assert!(goals.len() <= MAX_GOALS);
    let begin = Instant::now();
    let mut known: HashMap<u64, u32, BuildHasherDefault<AsItIs>> = HashMap::default();
    let mut parents: Vec<Option<(u32, M::Action)>> = Vec::new();
    let mut reached: Vec<u16> = Vec::new();
    let mut edges: Vec<Edge> = Vec::new();
    let mut open: VecDeque<(u32, M::State)> = VecDeque::new();
    let mut steps = 0;
    let mut failure = None;
    let mut add = |state: M::State, parent: Option<(u32, M::Action)>, open: &mut VecDeque<_>| {
        let next = parents.len() as u32;
        let index = *known.entry(fingerprint(&state)).or_insert(next);
        if index == next {
            parents.push(parent);
            open.push_back((index, state));
        }
        index
    };
    for state in model.init_states() {
        add(state, None, &mut open);
    }
    let mut actions = Vec::new();
    while let Some((index, state)) = open.pop_front() {
        if let Some(failed) = properties.iter().find(|property| !(property.condition)(model, &state)) {
            failure = Some((failed.name, index));
            break;
        }
        let bits = goals.iter().enumerate().filter(|(_, goal)| (goal.is_reached)(model, &state));
        reached.push(bits.map(|(g, _)| 1 << g).sum());
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let bits = goals.iter().enumerate().filter(|(_, goal)| (goal.goes_by)(model, &action));
            let bits = bits.map(|(g, _)| 1 << g).sum();
            let Some(next) = model.next_state(&state, action.clone()) else { continue };
            steps += 1;
            let to = add(next, Some((index, action)), &mut open);
            if bits != 0 && to != index {
                edges.push(Edge { from: index, to, goals: bits });
            }
        }
    }
    drop((known, open));
    if failure.is_none() {
        failure = out_of_reach(&reached, edges, goals.len()).map(|(g, index)| (goals[g].name, index));
    }
    let path = |mut at: u32| {
        let mut path = Vec::new();
        while let Some((parent, action)) = &parents[at as usize] {
            path.push(action.clone());
            at = *parent;
        }
        path.reverse();
        path
    };
    Explored {
        states: parents.len(),
        steps,
        reached: (0..goals.len())
            .map(|g| reached.iter().filter(|bits| *bits >> g & 1 == 1).count())
            .collect(),
        seconds: begin.elapsed().as_secs_f64(),
        failure: failure.map(|(name, index)| Failure { name, path: path(index) }),
    }
}

/// The first goal that some state cannot reach, and the first such state.
fn out_of_reach(reached: &[u16], edges: Vec<Edge>, goals: usize) -> Option<(usize, u32)> {
    // Sorted by where they lead to: those to state s lie between `ends[s]` and `ends[s + 1]`.
    let mut ends = vec![0u32; reached.len() + 1];
    for edge in &edges {
        ends[edge.to as usize] += 1;
    }
    let mut sum = 0;
    for end in &mut ends {
        sum += *end;
        *end = sum;
    }
    let mut back = vec![(0, 0); edges.len()];
    for edge in edges {
        let end = &mut ends[edge.to as usize];
        *end -= 1;
        back[*end as usize] = (edge.from, edge.goals);
    }
    (0..goals).find_map(|g| {
        let bit = 1 << g;
        let mut comes: Vec<bool> = reached.iter().map(|bits| bits & bit != 0).collect();
        let mut open: Vec<u32> = (0..comes.len() as u32).filter(|at| comes[*at as usize]).collect();
        while let Some(at) = open.pop() {
            let (first, end) = (ends[at as usize] as usize, ends[at as usize + 1] as usize);
            for (from, goals) in &back[first..end] {
                if goals & bit != 0 && !std::mem::replace(&mut comes[*from as usize], true) {
                    open.push(*from);
                }
            }
        }
        Some((g, comes.iter().position(|comes| !comes)? as u32))
    })
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = Mixer::default();
    state.hash(&mut hasher);
    hasher.finish()
}

/// A hash of bytes that come one by one, taken up eight at a time: states are many small fields. It multiplies and folds, as wyhash
/// does.
struct Mixer {
    state: u64,
    pending: u64,
    count: u32,
}

impl Default for Mixer {
    fn default() -> Mixer {
        Mixer { state: 0x243f_6a88_85a3_08d3, pending: 0, count: 0 }
    }
}

impl Mixer {
    #[inline]
    fn fold(&mut self) {
        let product = u128::from(self.state ^ self.pending ^ 0xa409_3822_299f_31d0)
            * u128::from(self.state.rotate_left(29) ^ 0x082e_fa98_ec4e_6c89);
        self.state =
            (product as u64) ^ (product >> 64) as u64 ^ self.pending.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.pending = 0;
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    #[inline]
    fn write_u8(&mut self, byte: u8) {
        self.pending = self.pending << 8 | u64::from(byte);
        self.count += 1;
        if self.count.is_multiple_of(8) {
            self.fold();
        }
    }

    #[inline]
    fn write_isize(&mut self, discriminant: isize) {
        // Of an enum; those here have fewer than 256 variants.
        self.write_u8(discriminant as u8);
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        // Mostly the length of an array.
        if number < usize::from(u8::MAX) {
            return self.write_u8(number as u8);
        }
        self.write_u8(u8::MAX);
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        let mut last = Mixer { ..*self };
        last.pending ^= u64::from(self.count) << 56;
        last.fold();
        last.fold();
        last.state
    }
}

/// For hashes as keys.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are numbers");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

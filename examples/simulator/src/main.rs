//! A simulator in Rust for a learner in Python: see examples/simulator.py.
//!
//! Commands come in one named queue, as values of a type. Transitions go out in another, one for each step: each is written
//! into its slot in place, its picture too. The learner makes both queues and starts this program with their names:
//!
//! ```text
//! simulator COMMANDS TRANSITIONS
//! ```
//!
//! It ends when the queues are shut down, and when the learner is gone.
#![deny(unsafe_code)]

mod pendulum;

use std::env;
use std::error::Error;
use std::process::ExitCode;

use ndarray::Ix2;
use treequeues::{BorrowError, PopError, Queue, ReserveError, Tree, TypedQueue, Wait, WriteLoan};

use pendulum::{Gains, Pendulum};

/// What the learner asks for.
#[derive(Tree)]
struct Command {
    /// Comes back in every transition that answers this command.
    number: i64,
    /// Whether to begin with a new pendulum, and how far from hanging that one is.
    is_new: bool,
    angle: f64,
    /// Transitions to answer with.
    steps: i64,
    /// The force of each step: this controller's, and a constant one.
    gains: Gains,
    force: f64,
}

/// What the learner gets. No value of it is ever made: slots are filled leaf by leaf. The type says which leaves those are.
#[derive(Tree)]
struct Transition {
    number: i64,
    step: i64,
    is_last: bool,
    state: [f32; 4],
    force: f32,
    reward: f32,
    frame: [[u8; 64]; 32],
}

/// Where the leaves of a transition lie: the queue's maker may have them in any order.
struct Leaves {
    number: usize,
    step: usize,
    is_last: usize,
    state: usize,
    force: usize,
    reward: usize,
    frame: usize,
}

/// One step, as what its transition is made of.
struct Step<'p> {
    number: i64,
    step: i64,
    is_last: bool,
    force: f64,
    pendulum: &'p Pendulum,
}

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    let [commands, transitions] = names.as_slice() else {
        eprintln!("usage: simulator COMMANDS TRANSITIONS");
        return ExitCode::from(2);
    };
    // It returns in any case: a queue that is dropped takes its name along, if nobody else has it.
    match serve(commands, transitions) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers commands until the queues are shut down, or the learner is gone.
fn serve(commands: &str, transitions: &str) -> Result<(), Box<dyn Error>> {
    let commands = TypedQueue::<Command>::attach(commands)?;
    let transitions = TypedQueue::<Transition>::attach(transitions)?.into_queue();
    let leaves = Leaves::of(&transitions);
    let mut is_alone = || is_alone(commands.queue());
    let mut pendulum = Pendulum::hanging(0.0);
    loop {
        let command = match commands.pop_with(Wait::forever().or_until(&mut is_alone)) {
            Ok(command) => command,
            Err(PopError::Borrow(BorrowError::ShutDown(_))) => return Ok(()),
            Err(PopError::Borrow(BorrowError::Interrupted)) => return Err("the learner is gone".into()),
            Err(error) => return Err(error.into()),
        };
        if command.is_new {
            pendulum = Pendulum::hanging(command.angle);
        }
        for step in 0..command.steps {
            let wanted = command.gains.force(pendulum.observation()) + command.force;
            let force = pendulum.step(wanted);
            let is_last = step + 1 == command.steps;
            let step = Step { number: command.number, step, is_last, force, pendulum: &pendulum };
            // It waits here while the queue is full: the learner sets the pace.
            let mut slot = match transitions.reserve_with(Wait::forever().or_until(&mut is_alone)) {
                Ok(slot) => slot,
                Err(ReserveError::ShutDown(_)) => return Ok(()),
                Err(ReserveError::Interrupted) => return Err("the learner is gone".into()),
                Err(error) => return Err(error.into()),
            };
            leaves.fill(&mut slot, &step)?;
            slot.commit()?;
        }
    }
}

/// Whether nobody else who lives has the queue. Waits ask this at least twice a second.
fn is_alone(queue: &Queue) -> bool {
    queue.stats().is_ok_and(|stats| stats.participants.iter().filter(|it| it.is_alive).count() < 2)
}

impl Leaves {
    fn of(queue: &Queue) -> Self {
        let leaves = queue.schema().leaves();
        let at = |path| leaves.iter().position(|leaf| leaf.path == path).expect("it is of the type");
        Self {
            number: at("number"),
            step: at("step"),
            is_last: at("is_last"),
            state: at("state"),
            force: at("force"),
            reward: at("reward"),
            frame: at("frame"),
        }
    }

    /// Fills a slot in place.
    fn fill(&self, slot: &mut WriteLoan<'_>, step: &Step<'_>) -> Result<(), Box<dyn Error>> {
        slot.leaf_mut::<i64>(self.number)?[0] = step.number;
        slot.leaf_mut::<i64>(self.step)?[0] = step.step;
        slot.set_bools(self.is_last, &[step.is_last])?;
        let state = slot.leaf_mut::<f32>(self.state)?;
        state.iter_mut().zip(step.pendulum.observation()).for_each(|(leaf, seen)| *leaf = seen as f32);
        slot.leaf_mut::<f32>(self.force)?[0] = step.force as f32;
        slot.leaf_mut::<f32>(self.reward)?[0] = step.pendulum.reward() as f32;
        step.pendulum.draw(slot.array_mut::<u8>(self.frame)?.into_dimensionality::<Ix2>()?);
        Ok(())
    }
}

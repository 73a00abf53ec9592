//! What is killed here: the operations of a structure, on scenes of it; and what a survivor must find.

use crate::ledger::Ledger;
use crate::tracer::{Victim, end};

/// A queue, or a topic: what operations begin on, and the verdict on what a victim of theirs has left.
pub trait Structure: Sized + 'static {
    /// What the names of its operations begin with in the table.
    const PREFIX: &'static str;
    /// What its rows in the record are called.
    const GROUPS: Groups;
    const SCENES: &'static [Scene<Self>];
    const OPERATIONS: &'static [Operation<Self>];
    /// What the survivor has in hand meanwhile.
    type Held<'s>;
    /// What is known of a scene before the victim begins.
    type Known: Copy;
    /// What a victim may have done that was killed half-way.
    type May: Copy;
    /// What the survivor did since the victim began.
    type Account: Default;

    /// One with so many slots.
    fn create(capacity: usize) -> Self;

    /// Makes this process a participant.
    fn join(&self);

    /// Looks for the dead.
    fn sweep(&self);

    /// Does once what is slower at its first use.
    fn warm_up();

    /// Brings a fresh one into the scene's state.
    fn prepare(&self, scene: &Scene<Self>) -> Self::Held<'_> {
        (scene.prepare)(self)
    }

    /// The least that shows that nobody is in the way, changing as little as can be. The victim is dead, and nobody has swept.
    fn glance(&self, held: &mut Self::Held<'_>, scene: &Scene<Self>, may: Self::May) -> Self::Account;

    /// The others go on at once, short of what is held, whether the victim is dead or stopped, and nobody has swept.
    fn go_on(&self, held: &mut Self::Held<'_>, scene: &Scene<Self>, may: Self::May) -> Self::Account;

    /// Enters what somebody put and took who had slept.
    fn slept(account: &mut Self::Account, put: &[u64], taken: Vec<u64>);

    /// What must hold when a victim that was stopped has done its operation, and before anybody sweeps.
    fn assert_it_went_on(&self) {}

    /// Sweeps, takes stock, and holds that against what was there and what the victim did. The victim has ended.
    fn assert_nothing_is_lost(
        &self,
        scene: &Scene<Self>,
        held: Self::Held<'_>,
        account: Self::Account,
        may: Self::May,
        ledger: &Ledger,
    );
}

/// The names of a structure's rows in the record.
pub struct Groups {
    pub short: &'static str,
    pub beside_a_sleeper: &'static str,
    pub sweepers: &'static str,
}

/// How to bring a fresh structure into a state.
pub struct Scene<S: Structure> {
    pub name: &'static str,
    /// Slots.
    pub capacity: usize,
    pub known: S::Known,
    /// Returns what the survivor holds.
    pub prepare: for<'s> fn(&'s S) -> S::Held<'s>,
}

/// One operation of a victim. `life` brings itself to its beginning, does it, and writes into the ledger what came of it.
pub struct Operation<S: Structure> {
    pub name: &'static str,
    pub may: S::May,
    pub life: fn(&S, &Ledger),
}

/// The operation of this name.
pub fn operation<S: Structure>(name: &str) -> &'static Operation<S> {
    S::OPERATIONS.iter().find(|operation| operation.name == name).expect("an operation of the list")
}

/// The scene of this name.
pub fn scene<S: Structure>(name: &str) -> &'static Scene<S> {
    S::SCENES.iter().find(|scene| scene.name == name).expect("a scene of the list")
}

/// The last instructions of every operation.
#[inline(always)]
pub fn finish(ledger: &Ledger) {
    ledger.done();
    end();
}

/// A victim at the beginning of its operation on a fresh structure, and what the survivor holds; nothing if there is nothing for it to do.
pub fn prepare<'s, S: Structure>(
    scene: &Scene<S>,
    operation: &Operation<S>,
    structure: &'s S,
    ledger: &Ledger,
) -> Option<(S::Held<'s>, Victim)> {
    // It is a participant before anybody dies: whoever registers sweeps.
    let mut victim = Victim::start(|| structure.join(), || (operation.life)(structure, ledger));
    let held = structure.prepare(scene);
    victim.begins().then_some((held, victim))
}

//! What must hold in every state, and what must be within reach of every state.

use stateright::Property;

use crate::cast::Scenario;
use crate::exploration::Goal;
use crate::explore::{Action, State, TopicModel};
use crate::memory::{Fault, Pin, Rows, Window, Word, is_before};

pub const TORN: &str = "a reader never holds a torn item, or another one";
pub const ONE_WRITER: &str = "a slot has one writer, and its word says so";
pub const ONE_SLOT: &str = "a ticket is in one slot";
pub const NEWEST: &str = "the newest item is never lost";
pub const FORWARD: &str = "the newest ticket grows by one, with the rows of its publisher";
pub const GONE: &str = "an item that has gone never comes back";
pub const MISSED: &str = "what a subscriber passes over has gone";
pub const ORDER: &str = "a subscription goes forward, from where it starts";
pub const STALE: &str = "no call gives less than what had been put before it";
pub const BACK: &str = "no reader gets an older item than before";
pub const PINS: &str = "a living reader keeps its pin";
pub const FULL: &str = "no put sleeps where readers + writers + 1 slots are";
pub const END: &str = "nothing comes after the end, and nothing is left";
pub const LOST: &str = "nobody sleeps beside what it waits for";
pub const WINDOWS: &str = "before a sweep, a wake-up is lost in the known windows alone";
pub const LEFT: &str = "at rest no slot is lost, no pin left, and each item whole";
pub const REST: &str = "all that live come to rest";
pub const ALONE: &str = "a process that runs alone comes to the end of its call";

pub fn all() -> Vec<Property<TopicModel>> {
    let always = Property::<TopicModel>::always;
    vec![
        always(TORN, |model, state| {
            (0..model.scenario.places.len())
                .filter_map(|p| state.processes[p].pc.read())
                .all(|(ticket, slot)| state.memory.rows[usize::from(slot)] == Rows::Item(ticket))
        }),
        always(ONE_WRITER, |model, state| {
            let writers = 0..model.scenario.places.len();
            let mut written = writers.filter_map(|p| Some((p, state.processes[p].pc.written()?)));
            let mut taken = 0u8;
            written.all(|(p, slot)| {
                let is_first = taken >> slot & 1 == 0;
                taken |= 1 << slot;
                let me = model.me(&state.memory, p);
                is_first && matches!(state.memory.word(slot), Word::Writing(owner, _) if owner == me)
            })
        }),
        always(ONE_SLOT, |_, state| {
            let mut seen = 0u16;
            state.memory.words.iter().all(|word| match word {
                Word::Ready(ticket) => {
                    let is_first = seen >> ticket & 1 == 0;
                    seen |= 1 << ticket;
                    is_first
                }
                _ => true,
            })
        }),
        always(NEWEST, |_, state| {
            let newest = state.memory.newest;
            let is_there = match state.memory.word(newest.slot) {
                Word::Ready(ticket) => ticket == newest.ticket,
                Word::Writing(_, last) => is_before(last, newest.ticket),
                Word::Free(_) => false,
            };
            newest.ticket == 0
                || (is_there && state.memory.rows[usize::from(newest.slot)] == Rows::Item(newest.ticket))
        }),
        always(FORWARD, |_, s| !matches!(fault(s), Fault::NotItsRows | Fault::NewestWentBack)),
        always(GONE, |_, s| fault(s) != Fault::CameBack),
        always(MISSED, |_, s| fault(s) != Fault::PassedWhatIsThere),
        always(ORDER, |_, s| fault(s) != Fault::NotInOrder),
        always(STALE, |_, s| !matches!(fault(s), Fault::Stale | Fault::EmptyWithAnItem)),
        always(BACK, |_, s| fault(s) != Fault::WentBack),
        always(PINS, |_, s| fault(s) != Fault::PinTaken),
        always(FULL, |_, s| fault(s) != Fault::FullWithEnough),
        always(END, |_, s| !matches!(fault(s), Fault::PutAfterTheEnd | Fault::EndBesideAnItem)),
        always(LOST, |model, state| {
            !model.scenario.waits || state.memory.is_left_behind() || nobody_sleeps_in_vain(model, state)
        }),
        always(WINDOWS, |model, state| {
            !model.scenario.waits
                || !state.memory.is_left_behind()
                || state.memory.ledger.window != Window::None
                || nobody_sleeps_in_vain(model, state)
        }),
        always(LEFT, |model, state| {
            let memory = &state.memory;
            let slots = 0..usize::from(model.scenario.slots);
            !model.is_at_rest(state)
                || memory.has_unswept()
                || slots.into_iter().all(|slot| {
                    let is_whole = match memory.words[slot] {
                        Word::Free(_) => true,
                        Word::Ready(ticket) => memory.rows[slot] == Rows::Item(ticket),
                        Word::Writing(..) => false,
                    };
                    is_whole && memory.pins[slot].iter().all(|pin| *pin == Pin::NONE)
                })
        }),
    ]
}

fn fault(state: &State) -> Fault {
    state.memory.ledger.fault
}

fn nobody_sleeps_in_vain(model: &TopicModel, state: &State) -> bool {
    let mut readers_and_writers = 0..model.scenario.places.len();
    readers_and_writers.all(|p| !model.sleeps_in_vain(state, p)) || !model.is_quiet(state)
}

/// From every state all that live come to rest, and each comes to the end of its call alone, all others being stopped where they
/// stand.
pub fn goals(scenario: &Scenario) -> Vec<Goal<TopicModel>> {
    let rest = Goal {
        name: REST,
        is_reached: Box::new(TopicModel::is_at_rest) as Box<_>,
        goes_by: Box::new(|_: &TopicModel, action: &Action| {
            !matches!(action, Action::Crash(_) | Action::SweeperDies(_) | Action::Join(_))
        }) as Box<_>,
    };
    let alone = (0..scenario.roles.len()).map(|p| Goal {
        name: ALONE,
        is_reached: Box::new(move |model: &TopicModel, state: &State| model.has_ended_alone(state, p))
            as Box<_>,
        goes_by: Box::new(move |_: &TopicModel, action: &Action| match *action {
            Action::Step(q)
            | Action::Call(q, _)
            | Action::Abort(q)
            | Action::Linger(q)
            | Action::Sweep { sweeper: q, .. }
            | Action::WakeOne { waker: q, .. } => usize::from(q) == p,
            _ => false,
        }) as Box<_>,
    });
    std::iter::once(rest).chain(alone).collect()
}

//! What must hold in every reachable state.
//!
//! - **all die**: everyone is killed, every dead participant swept; then a newcomer gets exactly the items that were
//!   committed and not released, each once, and finds the whole capacity free.
//! - **all stop**: everyone is stopped for ever; then a newcomer that holds on to all it gets still gets every READY and
//!   RETURNED item before it is told empty, and every FREE slot before it is told full, in a bounded number of steps.
//! - **order**: of two puts that do not overlap, the first is delivered first, as far as first deliveries go: an item
//!   that comes back from a dead taker, or is given back, has had its turn. The order of one producer's items is a
//!   part of this that has a property of its own. When an item counts as delivered: at the CAS to READING.
//!   Of what came back before a get began, the lowest ticket comes first. The items that one batch publishes come in its
//!   order. A batch that falls short counts as a taker that gives back: while it holds the oldest items, others come out.
//! - **delivery**: only what was committed is delivered; nothing after its release, and nothing twice unless its
//!   taker has died or gave it back.
//! - **whole**: of a batch whose publishing has begun when everyone is killed, all comes; of any other, nothing.
//! - **words**: whoever believes to hold a slot is the owner in its word, and no one else is an owner but the
//!   dead; no word's reach goes back; an item's ticket fits its slot and word.
//! - **damage**: no operation sees what it would call a damaged ring; and whoever starts over does so because something has
//!   moved, so a lone call ends (the newcomer's steps are counted).
//! - **tree**: what is RETURNED has all its bits, so that nobody has to look elsewhere.
//! - **size**: where no slot is held, the items are counted by the cursors, the gap, and a look at what lies between tail and gap.
//! - **released**: the look that says whether the item of a ticket is done with says so of every item that is, and of no other.
//! - **arrived**: of the last batch from elsewhere it is said that it has arrived, or not, as soon as its first slot is not being written
//!   any more; and that is so.
//! - **alone**: in every state each process would end its call if all others stopped there.
//! - **honest**: no put says full while one slot was FREE from its beginning to its end, no get says empty while one
//!   item was READY or RETURNED from its beginning to its end.
//!
//! The newcomer takes the same steps as everyone ([`Protocol::step`]), alone.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex};

use stateright::{Model, Property};

use crate::explore::{Action, RingModel, State};
use crate::memory::{Fault, Items, MAX_ITEMS, Memory, NO_ITEM, Owner, Phase, Ticket, bit};
use crate::protocol::Protocol;
use crate::steps::Pc;

/// The newcomer's participant id, past all others.
const NEWCOMER: usize = 30;

/// Steps that a lone call may take at most, beside those for each slot of the ring. A call looks at each slot at most twice in
/// each of its few passes; who starts over for ever is found out by this. The longest calls seen take 20 steps, and 7 a slot.
const STEPS_OF_A_CALL: usize = 24;
const STEPS_PER_SLOT: usize = 8;

pub const DIE: &str = "all die: nothing lost, nothing twice, all capacity back";
pub const STOP: &str = "all stop: a newcomer goes on";
pub const PRODUCER_ORDER: &str = "order: one producer's items";
pub const PUT_ORDER: &str = "order: puts that do not overlap";
pub const RETURNED_FIRST: &str = "order: what came back comes first";
pub const RETURNED_ORDER: &str = "order: what came back, lowest ticket first";
pub const NEWCOMER_ORDER: &str = "order: for a newcomer";
pub const COMMITTED: &str = "delivery: only what was committed";
pub const ONCE: &str = "delivery: twice only from the dead or given back";
pub const WORDS: &str = "words: sound, and held by whom they say";
pub const ALL_OR_NONE: &str = "batch: a put that fails has put nothing";
pub const WHOLE: &str = "batch: whole or not at all when its producer dies";
pub const PUBLISHED: &str = "batch: a sweep completes what was being published alone";
pub const FROM_THE_FIRST: &str = "batch: published from its first item on";
pub const GAVE_BACK_ORDER: &str = "batch: gives back its lowest ticket first";
pub const PUTS_END: &str = "shutdown: no put that begins after it";
pub const GETS_END: &str = "shutdown: no get that begins after an immediate one";
pub const DRAINED: &str = "shutdown: drained, and nothing comes any more";
pub const FULL: &str = "honest: full means full";
pub const TAIL: &str = "words: the tail passes nothing that comes in order";
pub const NO_DAMAGE: &str = "honest: nothing is called damaged";
pub const SIZE: &str = "honest: the size is exact where nobody holds a slot";
pub const RELEASED: &str = "honest: what is said to be released is, and what is released is said to be";
pub const ARRIVED: &str = "honest: a batch from elsewhere is said to have arrived if it has";
pub const BITS: &str = "tree: what is RETURNED has its bits";
pub const ALONE: &str = "alone: each call comes to its end";
pub const EMPTY: &str = "honest: empty means empty";

pub fn all() -> Vec<Property<RingModel>> {
    let always = Property::<RingModel>::always;
    vec![
        always(DIE, |model, state| model.newcomers.verdict(model, &state.memory).all_die),
        always(STOP, |model, state| model.newcomers.verdict(model, &state.memory).all_stop),
        always(NEWCOMER_ORDER, |model, state| model.newcomers.verdict(model, &state.memory).order),
        always(WHOLE, |model, state| model.newcomers.verdict(model, &state.memory).whole),
        always(PUBLISHED, |_, s| fault(s) != Fault::NotPublished),
        always(PRODUCER_ORDER, |_, s| fault(s) != Fault::ProducerOrder),
        always(PUT_ORDER, |_, s| fault(s) != Fault::PutOrder),
        always(RETURNED_FIRST, |_, s| fault(s) != Fault::ReturnedNotFirst),
        always(RETURNED_ORDER, |_, s| fault(s) != Fault::ReturnedOrder),
        always(COMMITTED, |_, s| fault(s) != Fault::NeverCommitted),
        always(ONCE, |_, s| fault(s) != Fault::Twice),
        always(WORDS, words_are_sound),
        always(ALL_OR_NONE, |_, s| fault(s) != Fault::PartOfABatch),
        always(FROM_THE_FIRST, |_, s| fault(s) != Fault::NotFromTheFirst),
        always(GAVE_BACK_ORDER, |_, s| fault(s) != Fault::GaveBackOrder),
        always(PUTS_END, |_, s| fault(s) != Fault::PutAfterShutdown),
        always(GETS_END, |_, s| fault(s) != Fault::TookAfterShutdown),
        always(DRAINED, |_, s| {
            let ledger = &s.memory.ledger;
            let left = (ledger.committed & !ledger.released).count_ones();
            ledger.fewer_left == 0 || left < u32::from(ledger.fewer_left)
        }),
        always(TAIL, |_, s| fault(s) != Fault::TailPassed),
        always(NO_DAMAGE, |_, s| fault(s) != Fault::Damage),
        always(BITS, |model, s| {
            let slots = &s.memory.slots[..usize::from(model.scenario.capacity)];
            slots.iter().enumerate().all(|(index, slot)| {
                slot.word.phase != Phase::Returned
                    || model.protocol.shape.has_bits(&s.memory.tree, index as u8)
            })
        }),
        always(ALONE, |model, s| !model.scenario.lone || each_goes_on_alone(model, s)),
        always(SIZE, size_is_exact),
        always(RELEASED, releases_are_told),
        always(ARRIVED, |model, s| {
            let (ticket, item) = s.memory.ledger.from_elsewhere;
            let said = model.protocol.arrival_of(&s.memory, ticket);
            item == NO_ITEM || said.is_none_or(|said| said == (s.memory.ledger.publishing & bit(item) != 0))
        }),
        always(FULL, |_, s| fault(s) != Fault::FullWithAFreeSlot),
        always(EMPTY, |_, s| fault(s) != Fault::EmptyWithAnItem),
    ]
}

fn fault(state: &State) -> Fault {
    state.memory.ledger.fault
}

/// What newcomers find, for one state of the memory.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    all_die: bool,
    all_stop: bool,
    order: bool,
    whole: bool,
}

/// The verdicts given last, because most steps are loads, and many states share one memory.
#[derive(Clone, Debug, Default)]
pub struct Newcomers {
    last: Arc<Mutex<Verdicts>>,
}

#[derive(Debug, Default)]
struct Verdicts {
    /// That of the property before, asked for in the same state.
    latest: Option<(Memory, Verdict)>,
    by_memory: HashMap<Memory, Verdict, BuildHasherDefault<DefaultHasher>>,
}

/// Verdicts kept at a time; some hundred bytes each.
const VERDICTS_KEPT: usize = 1 << 16;

impl Newcomers {
    fn verdict(&self, model: &RingModel, memory: &Memory) -> Verdict {
        let mut last = self.last.lock().expect("no verdict panics");
        let Verdicts { latest, by_memory } = &mut *last;
        if let Some((_, verdict)) = latest.filter(|(other, _)| other == memory) {
            return verdict;
        }
        if by_memory.len() >= VERDICTS_KEPT {
            by_memory.clear();
        }
        let verdict = *by_memory.entry(*memory).or_insert_with(|| verdict(model, memory));
        *latest = Some((*memory, verdict));
        verdict
    }
}

/// A process that comes when nobody else moves. It passes every ticket that it may pass, or none.
#[derive(Clone)]
struct Newcomer {
    protocol: Protocol,
    memory: Memory,
}

impl Newcomer {
    fn me() -> Owner {
        Owner::new(NEWCOMER, 0)
    }

    /// Steps from `pc` to the next end of a call; none if that takes too long.
    fn run(&mut self, item: u8, mut pc: Pc) -> Option<Pc> {
        for _ in 0..STEPS_OF_A_CALL + STEPS_PER_SLOT * usize::from(self.protocol.capacity) {
            pc = self.protocol.step(&mut self.memory, Newcomer::me(), item, pc);
            let ended = matches!(
                pc,
                Pc::Full { .. }
                    | Pc::Reserved { .. }
                    | Pc::PutDone
                    | Pc::Empty
                    | Pc::Borrowed { .. }
                    | Pc::GetDone
                    | Pc::SweepDone
            );
            if ended {
                return Some(pc);
            }
        }
        None
    }

    fn sweep(&mut self, participant: usize) -> Option<()> {
        match self.protocol.begin_sweep(&self.memory, participant as u8) {
            Pc::SweepDone => Some(()),
            pc => self.run(NO_ITEM, pc).map(|_| ()),
        }
    }

    /// Gets one item: its id, or none when empty.
    fn get(&mut self) -> Option<Option<u8>> {
        match self.run(NO_ITEM, Pc::B1)? {
            Pc::Borrowed { s } => {
                let item = self.memory.slots[usize::from(s)].item;
                (self.run(NO_ITEM, Pc::Borrowed { s })? == Pc::GetDone).then_some(Some(item))
            }
            _ => Some(None),
        }
    }

    /// Puts one item: whether there was room.
    fn put(&mut self, item: u8) -> Option<bool> {
        match self.run(item, Pc::R0)? {
            reserved @ Pc::Reserved { .. } => (self.run(item, reserved)? == Pc::PutDone).then_some(true),
            _ => Some(false),
        }
    }

    /// Kills everyone, and sweeps all.
    fn buries_all(&mut self, participants: usize) -> Option<()> {
        self.memory.locks = 0;
        self.memory.ledger.held = 0;
        for participant in 0..participants {
            self.sweep(participant)?;
        }
        Some(())
    }

    /// Drains, refills, drains again: whether all came out well.
    fn inherits_all(&mut self) -> Option<bool> {
        let waiting = self.memory.ledger.committed & !self.memory.ledger.released;
        let mut got: Items = 0;
        while let Some(item) = self.get()? {
            if bit(item) & waiting & !got == 0 {
                return Some(false);
            }
            got |= bit(item);
        }
        if got != waiting {
            return Some(false);
        }
        // Items past those of any scenario.
        let refills = MAX_ITEMS as u8..MAX_ITEMS as u8 + self.protocol.capacity;
        for item in refills.clone() {
            if !self.put(item)? {
                return Some(false);
            }
        }
        if self.put(NO_ITEM)? {
            return Some(false);
        }
        for item in refills {
            if self.get()? != Some(item) {
                return Some(false);
            }
        }
        Some(self.get()?.is_none())
    }

    /// Borrows until empty, and keeps all: whether it got every item that nobody holds.
    fn takes_all(&mut self) -> Option<bool> {
        for _ in 0..self.count(|phase| matches!(phase, Phase::Ready | Phase::Returned)) {
            if self.run(NO_ITEM, Pc::B1)? == Pc::Empty {
                return Some(false);
            }
        }
        Some(self.run(NO_ITEM, Pc::B1)? == Pc::Empty)
    }

    /// Reserves until full, and keeps all: whether it got every free slot.
    fn claims_all(&mut self) -> Option<bool> {
        for _ in 0..self.count(|phase| phase == Phase::Free) {
            if matches!(self.run(NO_ITEM, Pc::R0)?, Pc::Full { .. }) {
                return Some(false);
            }
        }
        Some(matches!(self.run(NO_ITEM, Pc::R0)?, Pc::Full { .. }))
    }

    fn count(&self, like: impl Fn(Phase) -> bool) -> usize {
        let slots = &self.memory.slots[..usize::from(self.protocol.capacity)];
        slots.iter().filter(|slot| like(slot.word.phase)).count()
    }
}

fn verdict(model: &RingModel, memory: &Memory) -> Verdict {
    if memory.ledger.fault != Fault::None {
        // Another property has failed here.
        return Verdict { all_die: true, all_stop: true, order: true, whole: true };
    }
    let newcomer = |passes| {
        let protocol = Protocol { passes, ..model.protocol.clone() };
        Newcomer { protocol, memory: *memory }
    };
    let [mut heir, mut claimer, mut taker, mut passer] =
        [newcomer(false), newcomer(false), newcomer(false), newcomer(true)];
    let put = memory.ledger.committed | memory.ledger.publishing;
    let buries = heir.buries_all(model.scenario.roles.len()).is_some();
    let buried = heir.memory.ledger;
    let all_die = buries && heir.inherits_all() == Some(true);
    let claims = claimer.claims_all() == Some(true);
    let is_written = taker.count(|phase| phase == Phase::Writing) > 0;
    let takes = taker.takes_all() == Some(true);
    let takes = takes && (!is_written || passer.takes_all() == Some(true));
    let is_order = |fault| matches!(fault, Fault::ProducerOrder | Fault::PutOrder | Fault::ReturnedOrder);
    let is_sound = |newcomer: &Newcomer| {
        let fault = newcomer.memory.ledger.fault;
        fault == Fault::None || is_order(fault)
    };
    Verdict {
        all_die: all_die && is_sound(&heir),
        all_stop: claims && takes && [&claimer, &taker, &passer].into_iter().all(is_sound),
        whole: !buries
            || (buried.committed == put && (!model.scenario.publishes || buried.batches_are_whole())),
        order: ![&heir, &taker, &passer].into_iter().any(|newcomer| is_order(newcomer.memory.ledger.fault)),
    }
}

/// Whether each process that is in the middle of a call ends it, if all others stop here.
fn each_goes_on_alone(model: &RingModel, state: &State) -> bool {
    let steps = 2 * (STEPS_OF_A_CALL + STEPS_PER_SLOT * usize::from(model.scenario.capacity));
    (0..model.scenario.roles.len()).filter(|p| state.processes[*p].alive).all(|p| {
        let mut state = *state;
        for _ in 0..steps {
            let is_between = matches!(
                state.processes[p].pc,
                Pc::Idle
                    | Pc::Down
                    | Pc::Enough
                    | Pc::Reserved { .. }
                    | Pc::Borrowed { .. }
                    | Pc::Lingering { .. }
            );
            if is_between || state.memory.ledger.fault != Fault::None {
                return true;
            }
            state = model.next_state(&state, Action::Step(p as u8)).expect("it may step");
        }
        false
    })
}

/// Where no slot is held, the cursors, the gap and a look at what lies between tail and gap count the items.
fn size_is_exact(model: &RingModel, state: &State) -> bool {
    let (memory, protocol, capacity) = (&state.memory, &model.protocol, model.scenario.capacity);
    let slots = &memory.slots[..usize::from(capacity)];
    if !protocol.has_gap
        || memory.ledger.fault != Fault::None
        || slots.iter().any(|slot| slot.word.phase.is_owned())
    {
        return true;
    }
    let is_ready = |t: &Ticket| {
        let w = protocol.word(memory, *t);
        w.phase == Phase::Ready && protocol.delta(w, *t) == 0
    };
    let used_up = |t: Ticket| protocol.used_up_to(protocol.word(memory, t), t) > t;
    let head = (memory.head..).find(|t| !used_up(*t)).expect("some ticket is not used up");
    let first = memory.tail.max(head.saturating_sub(capacity));
    let tail = (first..head).find(is_ready).unwrap_or(head);
    let end = memory.gap.clamp(tail, head);
    let in_order = (tail..end).filter(is_ready).count() + usize::from(head - end);
    let count = |like: fn(Phase) -> bool| slots.iter().filter(|slot| like(slot.word.phase)).count();
    let returned = count(|phase| phase == Phase::Returned);
    in_order + returned == count(|phase| matches!(phase, Phase::Ready | Phase::Returned))
}

/// Of each slot: the item that is there, and those that were there before it.
fn releases_are_told(model: &RingModel, state: &State) -> bool {
    let (memory, protocol, capacity) = (&state.memory, &model.protocol, model.scenario.capacity);
    (0..capacity).all(|s| {
        let slot = memory.slots[usize::from(s)];
        let is_waiting = matches!(slot.word.phase, Phase::Ready | Phase::Reading | Phase::Returned)
            && bit(slot.item) & memory.ledger.committed & !memory.ledger.released != 0;
        // One past the laps whose items are gone.
        let laps = match slot.word.phase {
            Phase::Free | Phase::Writing | Phase::Ready => slot.word.reach,
            Phase::Reading | Phase::Returned => slot.ticket / capacity,
            // No item of theirs was put. A LATE one may not have said its ticket yet: the one before it stands there, if there was one.
            Phase::Late | Phase::Lingering if slot.ticket % capacity == s => slot.ticket / capacity + 1,
            Phase::Late | Phase::Lingering => 0,
        };
        !(is_waiting && protocol.is_released(memory, slot.ticket))
            && (0..laps).all(|lap| protocol.is_released(memory, lap * capacity + s))
    })
}

fn words_are_sound(model: &RingModel, state: &State) -> bool {
    let capacity = model.scenario.capacity;
    if state.memory.ledger.fault == Fault::Words {
        return false;
    }
    let roles = model.scenario.roles.len();
    let beliefs_hold = state.processes[..roles].iter().enumerate().filter(|(_, process)| process.alive).all(
        |(p, process)| {
            process.holds(model.scenario.roles[p], capacity).all(|(s, phases)| {
                let w = state.memory.slots[usize::from(s)].word;
                w.owner == model.owner(p, process.generation) && phases.contains(&w.phase)
            })
        },
    );
    beliefs_hold
        && state.memory.slots[..usize::from(capacity)].iter().enumerate().all(|(s, slot)| {
            let w = slot.word;
            let lap = slot.ticket / capacity;
            let ticket_fits = usize::from(slot.ticket % capacity) == s;
            let owner_fits = match w.owner {
                Owner::NOBODY => !w.phase.is_owned(),
                owner => w.phase.is_owned() && is_known_by_owner(model, state, owner, s as u8),
            };
            owner_fits
                && match w.phase {
                    Phase::Free | Phase::Writing | Phase::Late => true,
                    Phase::Ready => ticket_fits && lap == w.reach,
                    Phase::Reading | Phase::Returned | Phase::Lingering => ticket_fits && lap <= w.reach,
                }
        })
}

/// Whether the owner of slot `s` knows that it holds it, or is dead and not yet swept.
fn is_known_by_owner(model: &RingModel, state: &State, owner: Owner, s: u8) -> bool {
    let (process, entry) = (state.processes[owner.id()], state.memory.entries[owner.id()]);
    let same = Owner::new(owner.id(), process.generation) == owner;
    if process.alive && same {
        return model.threads(owner.id()).any(|p| {
            let (process, role) = (state.processes[p], model.scenario.roles[p]);
            process.holds(role, model.scenario.capacity).any(|(held, _)| held == s)
        });
    }
    entry.used && Owner::new(owner.id(), entry.generation) == owner
}

//! Who takes part in a scenario, and what may happen in it.

use std::fmt;

use crate::memory::{MAX_ENTRIES, MAX_PLACES, MAX_SLOTS, MAX_TICKET};

pub const MAX_PROCESSES: usize = 7;

/// A step that is left out or made wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mutation {
    /// A claim may take the newest item's slot.
    pub takes_the_newest: bool,
    /// A claim does not look at the pins before it. This one must hold: it costs others their try, and nothing else.
    pub no_first_look: bool,
    /// A claim does not look at the pins again after it.
    pub no_second_look: bool,
    /// A claim of a FREE slot looks at no pins.
    pub free_without_pins: bool,
    /// A claim that backs off makes the slot READY again.
    pub backs_off_to_ready: bool,
    /// A put that found no slot in one look is full.
    pub one_look_is_enough: bool,
    /// A publisher that lingers frees its slot, and pins it then.
    pub linger_frees_first: bool,
    /// ... pins it not at all.
    pub linger_without_pin: bool,
    /// The death of the last view notifies nobody.
    pub let_go_silent: bool,
    /// Nobody helps.
    pub no_help: bool,
    /// Helps whatever is being written in the slot.
    pub helps_any: bool,
    /// Helps whatever is being written there, but over an item of just this ticket.
    pub helps_another: bool,
    /// The commit is a store.
    pub commit_stores: bool,
    /// The commit compares tickets modulo this; 0: whole ones.
    pub commit_modulo: u8,
    /// A word becomes READY by a store.
    pub ready_stores: bool,
    /// An abort makes the slot READY again.
    pub aborts_to_ready: bool,
    /// No fence between the pin and the look at the word.
    pub no_fence: bool,
    /// No look at the word after the pin.
    pub no_look: bool,
    /// Any READY will do after the pin.
    pub any_ready: bool,
    /// A subscription starts at the oldest of all READY, also above the newest that it has read.
    pub oldest_unbounded: bool,
    /// A subscription takes the next of all READY, also above the newest that it has read.
    pub next_unbounded: bool,
    /// A subscription that lags does not help the newest first.
    pub lagging_helps_not: bool,
    /// A call for the newest takes the next in order.
    pub newest_in_order: bool,
    pub release_silent: bool,
    /// A release notifies, then unpins.
    pub release_notifies_before: bool,
    pub failed_look_silent: bool,
    /// A waiter sets the bit and sleeps, without another try.
    pub no_second_try: bool,
    pub item_wakes_one: bool,
    pub slot_wakes_one: bool,
    pub shutdown_silent: bool,
    /// A publisher does not look at the flag after its claim.
    pub no_second_look_at_flag: bool,
    pub refused_silent: bool,
    /// A subscriber that found nothing looks at all words, then at the flag.
    pub end_reversed: bool,
    /// ... minds no slot that is being written.
    pub end_ignores_writers: bool,
    /// ... does not look at `newest` once more.
    pub end_without_last_look: bool,
    /// What a claim that backs off, an abort and a publication do not notify.
    pub back_off_silent: Silent,
    pub abort_silent: Silent,
    pub publication_silent: Silent,
    /// A sweep frees what is linked.
    pub sweep_frees_linked: bool,
    /// Pins have no generation.
    pub pins_without_generation: bool,
    /// A sweep does not ask whether the entry is still that of the dead.
    pub sweep_asks_not: bool,
    /// A sweep notifies only whom a waiters bit stands for.
    pub sweep_minds_bit: bool,
    /// A sweep notifies after it has freed the entry.
    pub sweep_rings_after: bool,
    pub sweep_silent: bool,
    pub entry_freed_first: bool,
    /// A process counts its threads' pins by itself, and stores the pin at 0 to 1 and at 1 to 0.
    pub counts_by_itself: bool,
    /// ... stores it at each pin, and at 1 to 0.
    pub counts_and_stores: bool,
}

/// An event that is not notified.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Silent {
    pub items: bool,
    pub slots: bool,
}

/// The calls of a reader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// `get()` of a subscription.
    Next,
    /// `get(latest=True)` of a subscription.
    Newer,
    /// `latest()` of the topic.
    Latest,
}

/// Where a subscription starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    Oldest,
    Latest,
    New,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Publisher {
        items: u8,
    },
    Reader {
        gets: u8,
    },
    /// Makes so many sweeps, or any number.
    Sweeper {
        sweeps: Option<u8>,
    },
    Closer,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    pub slots: u8,
    pub roles: Vec<Role>,
    /// The place of each publisher and reader.
    pub places: Vec<u8>,
    pub calls: Vec<Call>,
    pub start: Start,
    /// Whether publishers may abort.
    pub aborts: bool,
    /// Whether publishers may linger: they give a slot up to which their views still write.
    pub lingers: bool,
    /// Whether calls that find nothing wait; else a put tries again, and a get is in vain.
    pub waits: bool,
    pub crashes: u8,
    /// The one place whose tenants may die; none: all may.
    pub mortal: Option<u8>,
    /// Whether a sweeper may die, if another one lives, who sweeps it too.
    pub sweepers_die: bool,
    /// Whether sweepers have no place, as newcomers have none yet: nobody sweeps those.
    pub outsiders: bool,
    /// A place that so many tenants have, one after the other.
    pub tenants: Option<(u8, u8)>,
    /// How many bits of a generation an owner in a word has.
    pub generation_bits: u8,
    /// How many items are there from the beginning.
    pub filled: u8,
    /// Whether at the beginning each reader holds an item, the oldest first, and all publishers sleep.
    pub all_asleep: bool,
    pub mutation: Mutation,
}

impl Scenario {
    pub fn new(slots: u8) -> Scenario {
        assert!((1..=MAX_SLOTS).contains(&usize::from(slots)));
        Scenario {
            slots,
            roles: Vec::new(),
            places: Vec::new(),
            calls: vec![Call::Next],
            start: Start::Oldest,
            aborts: false,
            lingers: false,
            waits: false,
            crashes: 0,
            mortal: None,
            sweepers_die: false,
            outsiders: false,
            tenants: None,
            generation_bits: 8,
            filled: 0,
            all_asleep: false,
            mutation: Mutation::default(),
        }
    }

    fn with(mut self, role: Role, count: usize) -> Scenario {
        assert_eq!(self.places.len(), self.roles.len(), "publishers and readers come first");
        for _ in 0..count {
            self.places.push(self.place_count());
            self.roles.push(role);
        }
        self
    }

    /// So many publishers of so many items each.
    pub fn publishers(self, count: usize, items: u8) -> Scenario {
        self.with(Role::Publisher { items }, count)
    }

    /// So many subscribers that get so many items each.
    pub fn readers(self, count: usize, gets: u8) -> Scenario {
        self.with(Role::Reader { gets }, count)
    }

    pub fn sweepers(mut self, count: usize) -> Scenario {
        self.roles.extend(vec![Role::Sweeper { sweeps: None }; count]);
        self.sweepers_die = count > 1;
        self
    }

    /// The same, without places.
    pub fn outsiders(mut self, count: usize) -> Scenario {
        self.outsiders = true;
        self.sweepers(count)
    }

    /// The same, with so many sweeps each, and none of them dies.
    pub fn lasting_sweepers(mut self, count: usize, sweeps: Option<u8>) -> Scenario {
        self.roles.extend(vec![Role::Sweeper { sweeps }; count]);
        self
    }

    pub fn closer(mut self) -> Scenario {
        self.roles.push(Role::Closer);
        self
    }

    /// These processes are threads of one participant.
    pub fn threads(mut self, processes: &[usize]) -> Scenario {
        let first = self.places[processes[0]];
        processes.iter().for_each(|p| self.places[*p] = first);
        let mut known: Vec<u8> = self.places.clone();
        known.sort_unstable();
        known.dedup();
        let rank = |place: &u8| known.iter().position(|other| other == place).unwrap_or_default() as u8;
        self.places = self.places.iter().map(rank).collect();
        self
    }

    pub fn calls(mut self, calls: &[Call]) -> Scenario {
        self.calls = calls.to_vec();
        self
    }

    pub fn start(mut self, start: Start) -> Scenario {
        self.start = start;
        self
    }

    pub fn aborting(mut self) -> Scenario {
        self.aborts = true;
        self
    }

    pub fn lingering(mut self) -> Scenario {
        self.lingers = true;
        self
    }

    pub fn waiting(mut self) -> Scenario {
        self.waits = true;
        self
    }

    pub fn crashes(mut self, crashes: u8) -> Scenario {
        self.crashes = crashes;
        self
    }

    /// The tenant of this place may die, and nobody else.
    pub fn mortal(mut self, place: u8) -> Scenario {
        self.mortal = Some(place);
        self.crashes(1)
    }

    /// The place has so many tenants, all of which but the last may die; nobody else may.
    pub fn tenants(mut self, place: u8, count: u8) -> Scenario {
        self.tenants = Some((place, count));
        self.mortal = Some(place);
        self.crashes(count - 1)
    }

    pub fn generation_bits(mut self, bits: u8) -> Scenario {
        self.generation_bits = bits;
        self
    }

    pub fn filled(mut self, items: u8) -> Scenario {
        self.filled = items;
        self
    }

    pub fn all_asleep(mut self) -> Scenario {
        (self.all_asleep, self.filled) = (true, self.slots);
        self.waiting()
    }

    pub fn mutated(mut self, mutation: Mutation) -> Scenario {
        self.mutation = mutation;
        self
    }

    pub fn place_count(&self) -> u8 {
        self.places.iter().max().map_or(0, |last| last + 1)
    }

    /// All places: those of the publishers and readers, then those of the sweepers.
    pub fn entry_count(&self) -> u8 {
        let has_place = |role: &&Role| matches!(role, Role::Sweeper { .. }) && !self.outsiders;
        let sweepers = self.roles.iter().filter(has_place);
        self.place_count() + sweepers.count() as u8
    }

    /// Whether a shutdown may come.
    pub fn has_closer(&self) -> bool {
        self.roles.contains(&Role::Closer)
    }

    /// Whether no put needs to wait: a slot for each reader, each writer, and the newest item.
    pub fn has_enough(&self) -> bool {
        self.tenants.is_none() && self.places.len() < usize::from(self.slots)
    }

    /// Whether the scenario fits the model.
    pub fn check(&self) {
        let tenants = |place: u8| match self.tenants {
            Some((other, count)) if other == place => count,
            _ => 1,
        };
        let items = self.roles.iter().zip(&self.places).map(|(role, place)| match role {
            Role::Publisher { items } => *items * tenants(*place),
            _ => 0,
        });
        assert!(items.sum::<u8>() + self.filled <= MAX_TICKET);
        assert!(self.roles.len() <= MAX_PROCESSES);
        assert!(
            usize::from(self.place_count()) <= MAX_PLACES && usize::from(self.entry_count()) <= MAX_ENTRIES
        );
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} slots", self.slots)?;
        for role in &self.roles {
            match role {
                Role::Publisher { items } => write!(f, ", publisher of {items}")?,
                Role::Reader { gets } => write!(f, ", reader of {gets}")?,
                Role::Sweeper { sweeps: None } => write!(f, ", sweeper")?,
                Role::Sweeper { sweeps: Some(sweeps) } => write!(f, ", sweeper of {sweeps}")?,
                Role::Closer => write!(f, ", shutdown")?,
            }
        }
        if self.calls != [Call::Next] {
            write!(f, ", {:?}", self.calls)?;
        }
        if self.start != Start::Oldest {
            write!(f, ", from {:?}", self.start)?;
        }
        if usize::from(self.place_count()) < self.places.len() {
            write!(f, ", at {:?}", self.places)?;
        }
        if let Some((place, count)) = self.tenants {
            write!(f, ", {count} tenants of {place}")?;
        }
        for (count, noun) in [(self.crashes, "crashes"), (self.filled, "filled")] {
            if count > 0 {
                write!(f, ", {noun} {count}")?;
            }
        }
        let words = [
            (self.aborts, "aborting"),
            (self.lingers, "lingering"),
            (self.waits, "waiting"),
            (self.all_asleep, "all asleep"),
            (self.outsiders, "sweepers without places"),
        ];
        for (_, word) in words.iter().filter(|(is_said, _)| *is_said) {
            write!(f, ", {word}")?;
        }
        Ok(())
    }
}

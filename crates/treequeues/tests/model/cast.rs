//! Who takes part in a scenario, and how often things may go wrong.

use std::fmt;

use crate::explore::RingModel;
use crate::protocol::Mutation;

/// Claims that one process holds at a time, the one that it works on included.
pub const MAX_BATCH: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Puts so many items, up to `batch` of them at once.
    Producer {
        items: u8,
        batch: u8,
    },
    /// Gets `batch` items at once, for ever.
    Consumer {
        batch: u8,
    },
    Sweeper,
    /// Shuts the queue down, once.
    Closer {
        immediate: bool,
    },
}

impl Role {
    pub fn is_producer(self) -> bool {
        matches!(self, Role::Producer { .. })
    }
}

/// A call that a producer has made before all others begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    Put(u8),
    /// A reserve that was aborted.
    Abort(u8),
}

/// How often, over all processes, something out of the ordinary may happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Budget {
    pub crashes: u8,
    pub give_backs: u8,
    pub lingers: u8,
    pub aborts: u8,
    pub restarts: u8,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    pub capacity: u8,
    pub roles: Vec<Role>,
    pub budget: Budget,
    /// What has happened before the first state.
    pub begun_by: Vec<Call>,
    /// Whether the tickets that are still being written may be passed, as those far behind are: any first few of them.
    pub passes: bool,
    /// Whether the gap is raised and looked at; else a put looks at a whole lap before it says full.
    pub has_gap: bool,
    /// How many bits the words of the tree below the root have, from the last level up; none: there is the root alone.
    pub fans: Vec<u8>,
    /// Whether a consumer keeps what a look has found, and may forget it between two calls.
    pub keeps: bool,
    /// Whether each call is shown to come to an end alone, in every state.
    pub lone: bool,
    /// Whether batches are published as a whole.
    pub publishes: bool,
    /// Whether batches come from elsewhere, so that their arrival is noted.
    pub arrives: bool,
    /// Processes that are two threads of one participant: the second one dies with the first.
    pub threads: Option<(usize, usize)>,
    pub mutation: Mutation,
    /// Whether each call remembers what was there throughout, to tell if its full or empty was true.
    pub honest: bool,
}

impl Scenario {
    pub fn new(capacity: u8) -> Scenario {
        Scenario {
            capacity,
            roles: Vec::new(),
            budget: Budget::default(),
            begun_by: Vec::new(),
            passes: false,
            has_gap: false,
            fans: Vec::new(),
            keeps: false,
            lone: false,
            publishes: false,
            arrives: false,
            threads: None,
            mutation: Mutation::default(),
            honest: false,
        }
    }

    pub fn producers(self, count: usize, items: u8) -> Scenario {
        self.batch_producers(count, items, 1)
    }

    pub fn consumers(self, count: usize) -> Scenario {
        self.batch_consumers(count, 1)
    }

    pub fn batch_producers(mut self, count: usize, items: u8, batch: u8) -> Scenario {
        assert!((1..=MAX_BATCH).contains(&usize::from(batch)));
        self.roles.extend(vec![Role::Producer { items, batch }; count]);
        self
    }

    pub fn batch_consumers(mut self, count: usize, batch: u8) -> Scenario {
        assert!((1..=MAX_BATCH).contains(&usize::from(batch)));
        self.roles.extend(vec![Role::Consumer { batch }; count]);
        self
    }

    pub fn sweepers(mut self, count: usize) -> Scenario {
        self.roles.extend(vec![Role::Sweeper; count]);
        self
    }

    pub fn closer(mut self, immediate: bool) -> Scenario {
        self.roles.push(Role::Closer { immediate });
        self
    }

    pub fn crashes(mut self, crashes: u8) -> Scenario {
        self.budget.crashes = crashes;
        self
    }

    pub fn give_backs(mut self, give_backs: u8) -> Scenario {
        self.budget.give_backs = give_backs;
        self
    }

    pub fn lingers(mut self, lingers: u8) -> Scenario {
        self.budget.lingers = lingers;
        self
    }

    pub fn aborts(mut self, aborts: u8) -> Scenario {
        self.budget.aborts = aborts;
        self
    }

    pub fn restarts(mut self, restarts: u8) -> Scenario {
        self.budget.restarts = restarts;
        self
    }

    pub fn honest(mut self) -> Scenario {
        self.honest = true;
        self
    }

    pub fn begun_by(mut self, calls: &[Call]) -> Scenario {
        self.begun_by = calls.to_vec();
        self
    }

    pub fn passing(mut self) -> Scenario {
        self.passes = true;
        self
    }

    pub fn gap(mut self) -> Scenario {
        self.has_gap = true;
        self
    }

    pub fn fans(mut self, fans: &[u8]) -> Scenario {
        self.fans = fans.to_vec();
        self
    }

    pub fn keeping(mut self) -> Scenario {
        self.keeps = true;
        self
    }

    pub fn lone(mut self) -> Scenario {
        self.lone = true;
        self
    }

    pub fn publishing(mut self) -> Scenario {
        self.publishes = true;
        self
    }

    /// Publishing, and what the batches bring comes from elsewhere.
    pub fn arriving(mut self) -> Scenario {
        self.arrives = true;
        self.publishing()
    }

    /// The first two processes are threads of one participant.
    pub fn two_threads(mut self) -> Scenario {
        self.threads = Some((0, 1));
        self
    }

    pub fn mutated(mut self, mutation: Mutation) -> Scenario {
        self.mutation = mutation;
        self
    }

    pub fn model(self) -> RingModel {
        RingModel::new(self)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "capacity {}", self.capacity)?;
        for role in &self.roles {
            match role {
                Role::Producer { items, batch: 1 } => write!(f, ", producer of {items}")?,
                Role::Producer { items, batch } => write!(f, ", producer of {items} by {batch}")?,
                Role::Consumer { batch: 1 } => write!(f, ", consumer")?,
                Role::Consumer { batch } => write!(f, ", consumer by {batch}")?,
                Role::Sweeper => write!(f, ", sweeper")?,
                Role::Closer { immediate: false } => write!(f, ", drain")?,
                Role::Closer { immediate: true } => write!(f, ", immediate shutdown")?,
            }
        }
        let Budget { crashes, give_backs, lingers, aborts, restarts } = self.budget;
        let counts = [crashes, give_backs, lingers, aborts, restarts];
        for (count, noun) in counts.iter().zip(["crashes", "give-backs", "lingers", "aborts", "restarts"]) {
            if *count > 0 {
                write!(f, ", {noun} {count}")?;
            }
        }
        for (is_said, word) in [
            (self.passes, "passing"),
            (self.publishes, "publishing"),
            (self.arrives, "from elsewhere"),
            (self.threads.is_some(), "the first two are threads of one"),
        ] {
            if is_said {
                write!(f, ", {word}")?;
            }
        }
        if self.has_gap {
            write!(f, ", gap")?;
        }
        if !self.fans.is_empty() {
            write!(f, ", tree of {:?}", self.fans)?;
        }
        if self.keeps {
            write!(f, ", keeping")?;
        }
        if self.lone {
            write!(f, ", each alone")?;
        }
        if !self.begun_by.is_empty() {
            write!(f, ", begun by {:?}", self.begun_by)?;
        }
        Ok(())
    }
}

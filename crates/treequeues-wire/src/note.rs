//! What is said of items beside their leaves: the strings in a message's metadata.
//!
//! | key | value |
//! |---|---|
//! | `treequeues.version` | of this format: `1` |
//! | `treequeues.kind` | `queue` or `topic` |
//! | `treequeues.fingerprint` | of the schema: 16 hexadecimal digits |
//! | `treequeues.structure` | the schema's JSON |
//! | `treequeues.leaves` | the names of the tensors in the order of the schema's leaves, as a JSON list: for readers that know no schema |
//! | `treequeues.host` | the host that the items were put at |
//! | `treequeues.segment` | the id of the segment that they were put into |
//! | `treequeues.tickets` | each item's ticket there, as a JSON list; likewise |
//! | `treequeues.times` | when it was put: nanoseconds since the Unix epoch |
//! | `treequeues.pids` | by which process |
//! | `treequeues.deliveries` | how often it had been delivered before |

use std::collections::HashMap;

use crate::refused::{Refused, shortened};
use crate::{VERSION, Wire};

/// What items come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A queue: each item for one consumer.
    Queue,
    /// A topic: each item for every subscriber.
    Topic,
}

impl Kind {
    /// As messages have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Queue => "queue",
            Kind::Topic => "topic",
        }
    }
}

/// Where the items of a message were put first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What they were put into.
    pub kind: Kind,
    /// The host's name.
    pub host: String,
    /// The segment's id, in hexadecimal digits.
    pub segment: String,
}

/// What is known of one item beside its leaves, as its origin had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemNote {
    /// Its place in the order of all items of the origin.
    pub ticket: u64,
    /// When it was put: nanoseconds since the Unix epoch.
    pub put_time_ns: u64,
    /// Who put it, as that process saw its own number.
    pub producer_pid: u32,
    /// How often it had been delivered before this.
    pub delivery_count: u32,
}

pub(crate) type Metadata = HashMap<String, String>;

const VERSION_KEY: &str = "treequeues.version";
const KIND: &str = "treequeues.kind";
const FINGERPRINT: &str = "treequeues.fingerprint";
const STRUCTURE: &str = "treequeues.structure";
const LEAVES: &str = "treequeues.leaves";
const HOST: &str = "treequeues.host";
const SEGMENT: &str = "treequeues.segment";
const TICKETS: &str = "treequeues.tickets";
const TIMES: &str = "treequeues.times";
const PIDS: &str = "treequeues.pids";
const DELIVERIES: &str = "treequeues.deliveries";

pub(crate) fn write(wire: &Wire, origin: &Origin, items: &[ItemNote]) -> Metadata {
    let list = |of: fn(&ItemNote) -> u64| {
        let numbers: Vec<u64> = items.iter().map(of).collect();
        serde_json::to_string(&numbers).expect("numbers are JSON")
    };
    let pairs = [
        (VERSION_KEY, VERSION.to_owned()),
        (KIND, origin.kind.name().to_owned()),
        (FINGERPRINT, wire.fingerprint.clone()),
        (STRUCTURE, wire.structure.clone()),
        (LEAVES, wire.names_as_json.clone()),
        (HOST, origin.host.clone()),
        (SEGMENT, origin.segment.clone()),
        (TICKETS, list(|item| item.ticket)),
        (TIMES, list(|item| item.put_time_ns)),
        (PIDS, list(|item| item.producer_pid.into())),
        (DELIVERIES, list(|item| item.delivery_count.into())),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

/// What the metadata says, once it is that of items like the reader's.
pub(crate) fn read(wire: &Wire, metadata: &Metadata) -> Result<(Origin, Vec<ItemNote>), Refused> {
    let text = |key| metadata.get(key).map(String::as_str).ok_or(Refused::Missing { key });
    let version = text(VERSION_KEY)?;
    if version != VERSION {
        return Err(Refused::Version { found: shortened(version) });
    }
    // A fingerprint may be equal by chance, or by intent.
    if text(STRUCTURE)? != wire.structure {
        return Err(Refused::of_other_items(wire, text(STRUCTURE)?));
    }
    let fingerprint = text(FINGERPRINT)?;
    if fingerprint != wire.fingerprint {
        return Err(Refused::Note { key: FINGERPRINT, found: shortened(fingerprint) });
    }
    let kind = match text(KIND)? {
        "queue" => Kind::Queue,
        "topic" => Kind::Topic,
        other => return Err(Refused::Note { key: KIND, found: shortened(other) }),
    };
    let origin = Origin { kind, host: text(HOST)?.to_owned(), segment: text(SEGMENT)?.to_owned() };
    let list = |key| -> Result<Vec<u64>, Refused> {
        let found = text(key)?;
        serde_json::from_str(found).map_err(|_| Refused::Note { key, found: shortened(found) })
    };
    let (tickets, times) = (list(TICKETS)?, list(TIMES)?);
    let (pids, deliveries) = (list(PIDS)?, list(DELIVERIES)?);
    for (key, numbers) in [(TIMES, &times), (PIDS, &pids), (DELIVERIES, &deliveries)] {
        if numbers.len() != tickets.len() {
            return Err(Refused::Count { key, found: numbers.len(), items: tickets.len() });
        }
    }
    if tickets.is_empty() {
        return Err(Refused::Note { key: TICKETS, found: "[]".to_owned() });
    }
    let small = |key, number: u64| {
        u32::try_from(number).map_err(|_| Refused::Note { key, found: number.to_string() })
    };
    let mut items = Vec::with_capacity(tickets.len());
    for (index, &ticket) in tickets.iter().enumerate() {
        items.push(ItemNote {
            ticket,
            put_time_ns: times[index],
            producer_pid: small(PIDS, pids[index])?,
            delivery_count: small(DELIVERIES, deliveries[index])?,
        });
    }
    Ok((origin, items))
}

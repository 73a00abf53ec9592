//! Items of queues and topics as bytes, for networks and disks: a run of items is one safetensors file.
//!
//! The leaves are its tensors, stacked: an item a row. What else is known of the items stands in its metadata. So any program that reads
//! safetensors reads them. The documentation's page on the wire format says what stands where, for those who write such a program.
//!
//! | module | what it knows |
//! |---|---|
//! | `names` | what the tensor of each leaf is called |
//! | `dtypes` | which dtype of safetensors a leaf's elements have, or that they are bytes there |
//! | `note` | what is said of items beside their leaves |
//! | `refused` | why bytes are no message |
//! | `encode` | from rows to bytes |
//! | `decode` | from bytes that come from anywhere to rows, all of it checked |
//!
//! R1. A message is decoded against a schema that the reader has. What the message itself says of its items is compared with that, and never
//!     believed.
//! R2. No bytes make it panic, and what is allocated for a message is bounded by its length.
//! R3. What is encoded is decoded to the same rows and notes, whatever bytes the rows are: elements are the business of who reads them, as they
//!     are in shared memory.
#![forbid(unsafe_code)]

mod decode;
mod dtypes;
mod encode;
mod names;
mod note;
mod refused;

use std::collections::HashMap;

use safetensors::Dtype as TensorDtype;
use treequeues::Schema;

pub use decode::Message;
pub use encode::{Rows, Unsendable};
pub use note::{ItemNote, Kind, Origin};
pub use refused::Refused;

/// The version of the format that is written, and the only one that is read.
pub const VERSION: &str = "1";

/// The format of one queue's or topic's items: what is the same for all their messages.
///
/// ```
/// use treequeues::Schema;
/// use treequeues_wire::{ItemNote, Kind, Origin, Wire};
///
/// let schema = Schema::builder().array::<u8>("obs", [2]).scalar::<f64>("reward").build()?;
/// let wire = Wire::new(schema);
/// let origin = Origin { kind: Kind::Queue, host: "actors-3".into(), segment: "0123".into() };
/// let notes = [ItemNote { ticket: 7, put_time_ns: 0, producer_pid: 1, delivery_count: 0 }];
/// // One item: its rows, leaf by leaf.
/// let rows: [&[u8]; 2] = [&[1, 2], &0.5_f64.to_le_bytes()];
///
/// let bytes = wire.encode(&origin, &notes, &rows.as_slice())?;
/// let message = wire.decode(&bytes)?;
/// assert_eq!(message.items()[0].ticket, 7);
/// assert_eq!(message.rows(0), [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Wire {
    schema: Schema,
    /// Its JSON.
    structure: String,
    fingerprint: String,
    names_as_json: String,
    leaves: Vec<Tensor>,
    /// A leaf by its tensor's name.
    by_name: HashMap<String, usize>,
}

/// The tensor of one leaf.
#[derive(Debug)]
struct Tensor {
    name: String,
    dtype: TensorDtype,
    /// The dimensions of one item's part.
    shape: Vec<usize>,
    /// Bytes of one item's part.
    row_nbytes: usize,
}

impl Wire {
    /// The format of items of this schema.
    #[must_use]
    pub fn new(schema: Schema) -> Self {
        let names = names::of(schema.structure());
        let names_as_json = serde_json::to_string(&names).expect("texts are JSON");
        let leaves: Vec<_> = names
            .into_iter()
            .zip(schema.leaves())
            .map(|(name, leaf)| {
                let (dtype, shape) = dtypes::of(leaf);
                Tensor { name, dtype, shape, row_nbytes: leaf.nbytes() }
            })
            .collect();
        let by_name = leaves.iter().enumerate().map(|(leaf, tensor)| (tensor.name.clone(), leaf)).collect();
        let fingerprint = format!("{:016x}", schema.fingerprint());
        Self { structure: schema.to_json(), fingerprint, names_as_json, leaves, by_name, schema }
    }

    /// The schema of the items.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The schema's fingerprint, as messages have it: 16 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The names of the tensors, in the order of the schema's leaves.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.leaves.iter().map(|tensor| &*tensor.name)
    }
}

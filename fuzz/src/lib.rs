//! The long fuzz: workers put and take, a killer kills, stops and continues them at random, and a checker holds their receipts against each
//! other: of queues, with workers in Rust and Python, and of topics.
//!
//! | module | what it is | unsafe |
//! |---|---|---|
//! | `system` | forks, shared words, signals, the clock | yes |
//! | `site` | the machine, the day and the commit, for records | |
//! | `findings` | what must not be | |
//! | `log` | the receipts of one life, in memory that outlives it | |
//! | `history` | what everybody did to a queue, as plain data | |
//! | `items` | what the items look like, and how their value is read | |
//! | `plan` | what an epoch is like: from the seed | |
//! | `nursery` | starting workers, Python's by way of a process that is warm | |
//! | `lives` | everybody who works in an epoch, and how they ended | |
//! | `killer` | who is killed, stopped and continued, and when | |
//! | `receipts` | the words of a queue's receipts | |
//! | `checker` | a history in, a verdict out | |
//! | `worker` | what a worker in Rust does to a queue | |
//! | `epoch` | one queue from its creation to its verdict | |
//! | `report` | lines, and the record | |
//! | `topics` | the same of topics: history, checker, plan, worker, epoch, report | |
//!
//! Each imports only what is above it.
#![deny(unsafe_code)]

pub mod checker;
pub mod epoch;
pub mod findings;
pub mod history;
pub mod items;
pub mod killer;
pub mod lives;
pub mod log;
pub mod nursery;
pub mod plan;
pub mod receipts;
pub mod report;
pub mod site;
#[allow(unsafe_code)]
pub mod system;
pub mod topics;
pub mod worker;

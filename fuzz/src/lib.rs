//! The long fuzz: workers in Rust and Python put and take, a killer kills, stops and continues them at random, and a checker
//! holds their receipts against each other.
//!
//! | module | what it is | unsafe |
//! |---|---|---|
//! | `history` | what everybody did, as plain data | |
//! | `checker` | a history in, a verdict out | |
//! | `system` | forks, shared words, signals, the clock | yes |
//! | `log` | the receipts of one life, in memory that outlives it | |
//! | `items` | what the items look like, and how their value is read | |
//! | `plan` | what an epoch is like: from the seed | |
//! | `worker` | what a worker in Rust does | |
//! | `nursery` | starting workers, Python's by way of a process that is warm | |
//! | `killer` | who is killed, stopped and continued, and when | |
//! | `epoch` | one queue from its creation to its verdict | |
//! | `report` | lines, and the record | |
//! | `site` | the machine, the day and the commit, for records | |
#![deny(unsafe_code)]

pub mod checker;
pub mod epoch;
pub mod history;
pub mod items;
pub mod killer;
pub mod log;
pub mod nursery;
pub mod plan;
pub mod report;
pub mod site;
#[allow(unsafe_code)]
pub mod system;
pub mod worker;

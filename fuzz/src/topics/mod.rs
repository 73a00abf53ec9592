//! The fuzz of topics: publishers, readers, subscriptions and sweepers, of which some are killed and some are stopped.
//!
//! | module | what it is |
//! |---|---|
//! | `history` | what everybody did to a topic, as plain data |
//! | `receipts` | the words of its receipts |
//! | `checker` | a history in, a verdict out |
//! | `plan` | what an epoch is like: from the seed |
//! | `worker` | what a worker does |
//! | `epoch` | one topic from its creation to its verdict |
//! | `report` | what is counted |

pub mod checker;
pub mod epoch;
pub mod history;
pub mod plan;
pub mod receipts;
pub mod report;
pub mod worker;

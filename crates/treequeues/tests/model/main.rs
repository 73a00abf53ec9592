//! The ring protocol as a model, explored in every reachable state.
//!
//! Each load, CAS and store in `src/ring` is one step here, with a label of its own (`steps`);
//! between any two steps any other process may run, stop for ever, or die. The model shares no code with the ring: it is
//! the protocol written a second time, small enough to be explored whole.
//!
//! - `memory`: what the processes share, and a ledger of what happened.
//! - `steps`, `protocol`, `put`, `get`, `tree`, `sweep`: the steps, and the mutations of them.
//! - `calls`: what a process does around them: counts, flags, batches.
//! - `publish`: batches that are whole or not at all, whoever dies; `published`: scenarios and mutations of that.
//! - `cast`, `process`: who takes part, and what each one holds.
//! - `explore`: processes that run the steps, crash and start again, for stateright.
//! - `properties`: what holds in every state.
//! - `live`: from every state all that live come to an end; `exploration`, shared with other models, walks the steps backwards.
//! - `scenarios`: small mixes of processes, explored exhaustively.
//! - `shutdowns`: the same of queues that are shut down.
//! - `returned`, `gap`: the same of items that come back, of full and of the size, with the steps left out that these need.
//! - `released`: the look that tells whether an item was released, done wrong.
//! - `mutations`: the protocol with a step left out, and the property that then fails.
//! - `walks`: larger mixes, walked at random.
//!
//! What the model does not show: memory order (every access is sequentially consistent here, loom looks at the
//! real code), payload bytes, waiting and waking (`tests/wake`), and the wrap-around of reach and of the tree's versions.
//!
//! The long explorations are ignored: `cargo test --release --test model -- --ignored` runs them.

mod arrived;
mod calls;
mod cast;
#[path = "../common/exploration.rs"]
mod exploration;
mod explore;
mod gap;
mod get;
mod live;
mod memory;
mod mutations;
mod process;
mod properties;
mod protocol;
mod publish;
mod published;
mod put;
mod released;
mod returned;
mod scenarios;
mod shutdowns;
mod steps;
mod sweep;
mod tree;
mod walks;

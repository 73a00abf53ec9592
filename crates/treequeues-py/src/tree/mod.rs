//! Trees of Python objects: what an example says about them, and the way of their leaves into a slot and back.
//!
//! | file | what it does | unsafe |
//! |---|---|---|
//! | `build` | example -> schema, with the classes that were met | |
//! | `classes` | classes by module and name; registered nodes | |
//! | `nodes` | schema -> nodes bound to classes and key objects | |
//! | `objects` | what an object has beside its fields, which would be lost | |
//! | `foreign` | arrays of other libraries, and buffers, as NumPy's | |
//! | `flatten` | the walk over a tree that must fit | |
//! | `sources` | `put`: a tree's leaves, checked and held | |
//! | `destinations`, `rebuild` | `get`: arrays to fill, then the tree | |
//! | `stack` | both for stacked trees, an item a row | |
//! | `apart` | whether arrays that are to be filled share memory | |
//! | `rows` | what is copied to | |
//! | `views` | loans: arrays over the slots themselves | yes |
//! | `recycle` | the memory of arrays that died, for the next ones | yes |
//! | `encoding`, `number`, `converted`, `scalar`, `keys`, `dtype` | scalars, keys and dtypes between Python and the schema | |
//! | `misfit`, `mend` | messages: what does not fit, and what to pass instead | |
//! | `memory`, `strided` | copies between rows and arrays, contiguous or not | yes |
//! | `ndarray`, `raw` | what only the C interfaces of NumPy and of CPython give | yes |
//!
//! A copy has three parts, so that the middle one needs no GIL, and nothing has happened where the first one fails:
//! check and hold (`sources`, `allocate`, `destinations`), copy, and make or drop Python objects.

mod apart;
mod at;
mod bound;
mod build;
mod classes;
mod converted;
mod destinations;
mod dtype;
mod encoding;
mod flatten;
mod foreign;
mod keys;
mod leaf;
#[allow(unsafe_code)]
mod memory;
mod mend;
mod misfit;
#[allow(unsafe_code)]
mod ndarray;
mod nodes;
mod number;
mod numpy_types;
mod objects;
#[allow(unsafe_code)]
mod raw;
mod rebuild;
#[allow(unsafe_code)]
mod recycle;
mod rows;
mod scalar;
mod sources;
mod stack;
#[allow(unsafe_code)]
mod strided;
#[allow(unsafe_code)]
mod views;

pub use bound::{SharedTree, Tree};
pub use raw::reference_count;
pub use rows::{RowsMut, SlotOf};
pub use sources::Sources;
pub use stack::Stack;

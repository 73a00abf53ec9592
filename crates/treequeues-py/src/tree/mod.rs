//! Trees of Python objects: what an example says about them, and the way of their leaves into a slot and back.
//!
//! A file imports those of rows above its own, and no others.
//!
//! | file | what it does | unsafe |
//! |---|---|---|
//! | `ndarray`, `raw` | what only the C interfaces of NumPy and of CPython give | yes |
//! | `rows` | what is copied to | |
//! | `strided` | copies between rows and arrays that are not contiguous | yes |
//! | `recycle` | the memory of arrays that died, for the next ones | yes |
//! | `dtype`, `encoding` | dtypes between Python and the schema; how scalars become bytes | |
//! | `numpy_types` | classes of NumPy's, imported once | |
//! | `leaf` | a leaf as walks and copies want it | |
//! | `memory` | copies between rows and arrays | yes |
//! | `number` | numbers as bytes, without NumPy | |
//! | `converted` | what NumPy converts, looked at | |
//! | `scalar` | Python's and NumPy's scalars as the elements of leaves | |
//! | `keys` | keys and aux data between Python and the schema | |
//! | `classes` | classes by module and name; registered nodes | |
//! | `objects` | what an object has beside its fields, which would be lost | |
//! | `nodes` | schema -> nodes bound to classes and key objects | |
//! | `bound` | a schema, bound to the Python of this process | |
//! | `foreign` | arrays of other libraries, and buffers, as NumPy's | |
//! | `mend` | messages: what to pass instead of what does not fit | |
//! | `misfit` | messages: what does not fit | |
//! | `at` | a leaf on the way of a walk, and what is said of it | |
//! | `flatten` | the walk over a tree that must fit | |
//! | `rebuild` | leaves -> a tree | |
//! | `apart` | whether arrays that are to be filled share memory | |
//! | `sources` | `put`: a tree's leaves, checked and held | |
//! | `destinations` | `get`: arrays to fill, then the tree | |
//! | `stack` | both for stacked trees, an item a row | |
//! | `views` | loans: arrays over the slots themselves | yes |
//! | `build` | example -> schema, with the classes that were met | |
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

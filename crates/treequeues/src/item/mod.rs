//! What an item is: a tree whose leaves are arrays.
//!
//! | file | what it is |
//! |---|---|
//! | `dtype` | the kinds of elements |
//! | `schema` | the leaves and the structure that all items of a queue have, and its text in the segment |
//! | `leaf` | one leaf's bytes as a slice of its elements |

pub mod dtype;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub(crate) mod leaf;
pub mod schema;

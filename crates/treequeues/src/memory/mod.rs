//! Where a queue lies: one region of memory that processes share, and what a forked child has of it.
//!
//! | file | what it is |
//! |---|---|
//! | `fork` | descriptors and mappings: what a forked child inherits, and what is taken from it |
//! | `segment` | the mapped region: anonymous, named, or on the heap for one process |

#[allow(unsafe_code)]
pub(crate) mod fork;
#[allow(unsafe_code)]
pub(crate) mod segment;

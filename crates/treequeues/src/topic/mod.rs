//! The topic: each item for every subscriber, and the newest for whoever asks.
//!
//! | file | what it is |
//! |---|---|
//! | `word` | what the words of a topic say: a slot's state, the newest item, a pin |
//! | `board` | the protocol: who may write to which slot, and who reads there |

pub(crate) mod board;
pub(crate) mod word;

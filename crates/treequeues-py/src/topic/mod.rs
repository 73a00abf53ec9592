//! `TreeTopic`, and subscriptions to it.
//!
//! A file imports those of rows above its own, and no others.
//!
//! | file | what it is | unsafe |
//! |---|---|---|
//! | `refused` | why a call was refused, as exceptions | |
//! | `stats` | looks at a topic | |
//! | `wanted` | what the user says of a topic that is to be made | |
//! | `opened` | an open topic and its subscriptions, and what is claimed of them | |
//! | `copies` | the calls that copy: put, latest, get | |
//! | `lending` | what it lends: slots, to be written or read in place | |
//! | `subscription` | the class `Subscription` | |
//! | `class` | the class `TreeTopic` | |

mod class;
mod copies;
mod lending;
mod opened;
mod refused;
mod stats;
mod subscription;
mod wanted;

pub use class::TreeTopic;
pub use subscription::Subscription;

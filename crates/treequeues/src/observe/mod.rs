//! Looks from outside: no participant, in nobody's way, and able to look at what is stale.
//!
//! | file | what it is |
//! |---|---|
//! | `file` | the file of a name, and what never changes in it |
//! | `queue` | a queue |
//! | `topic` | a topic |

mod file;
mod queue;
mod topic;

use crate::error::AttachError;
use crate::format::Kind;
use crate::format::name::QueueName;
pub use file::Observed;
pub use queue::{Observer, PeekedItem};
pub use topic::{PeekedTopicItem, TopicObserver};

/// A look at whatever has a name.
#[derive(Debug)]
pub enum AnyObserver {
    /// It is a queue.
    Queue(Observer),
    /// It is a topic.
    Topic(TopicObserver),
}

impl AnyObserver {
    /// Opens what has this name, live or not.
    ///
    /// # Errors
    /// `NotFound`, or `At` if what is there is sound in no version or form that this one knows.
    pub fn open(name: &QueueName) -> Result<Self, AttachError> {
        let observed = Observed::open(name)?;
        Ok(match observed.kind() {
            Kind::Queue => Self::Queue(Observer::of(observed)?),
            Kind::Topic => Self::Topic(TopicObserver::of(observed)?),
        })
    }

    /// What both have in common.
    pub fn observed(&self) -> &Observed {
        match self {
            Self::Queue(observer) => observer,
            Self::Topic(observer) => observer,
        }
    }
}

//! What a checker can find, of queues and of topics.

use std::fmt;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// Which item, when, and why that must not be.
    pub text: String,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An item was taken or read that cannot be there.
    Phantom,
    /// An item that was put did not come; of a topic, the newest one.
    Lost,
    /// An item was taken more often than it may, or by two at a time.
    Duplicate,
    /// An item came out before one that was put earlier; of a topic, tickets in another order than the puts.
    Order,
    /// A take found nothing where something was.
    Empty,
    /// An item was not whole, or changed while it was being read.
    Torn,
    /// A reader of a topic got an older item than it had to, or none.
    Stale,
    /// A subscription counted other items as missed than those that it missed.
    Missed,
    /// A publisher was refused, or waited, though there were slots enough.
    HeldUp,
    /// A process did not go on, or not end.
    Hang,
    /// A process or call failed.
    Failure,
    /// In the end, slots or places were missing.
    Capacity,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.kind, self.text)
    }
}

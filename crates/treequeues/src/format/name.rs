//! Names of queues.

use std::fmt;
use std::str::FromStr;

use crate::format::NAME_NBYTES;

/// The longest name.
const MAX_NAME_NBYTES: usize = 100;

const _: () = assert!(MAX_NAME_NBYTES < NAME_NBYTES, "in a header, a name ends with a zero");

/// The name of a queue: 1 to 100 letters, digits, `.`, `_` and `-`, not beginning with a dot.
///
/// ```
/// use treequeues::QueueName;
///
/// let name: QueueName = "actors-0".parse()?;
/// assert_eq!(name.as_str(), "actors-0");
/// assert!("../actors".parse::<QueueName>().is_err());
/// # Ok::<(), treequeues::BadName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(Box<str>);

/// Not a name of a queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to {MAX_NAME_NBYTES} letters, digits, '.', '_' and '-', and does not begin with a dot; got {0:?}"
)]
pub struct BadName(String);

impl QueueName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a header has it.
    pub(crate) fn padded(&self) -> [u8; NAME_NBYTES] {
        let mut padded = [0; NAME_NBYTES];
        padded[..self.0.len()].copy_from_slice(self.0.as_bytes());
        padded
    }

    /// From what a header has.
    pub(crate) fn from_padded(padded: &[u8; NAME_NBYTES]) -> Result<Self, BadName> {
        String::from_utf8_lossy(padded).trim_end_matches('\0').parse()
    }
}

impl FromStr for QueueName {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if (1..=MAX_NAME_NBYTES).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(is_allowed)
        {
            Ok(Self(name.into()))
        } else {
            Err(BadName(name.chars().take(2 * MAX_NAME_NBYTES).collect()))
        }
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_short() {
        let longest = "n".repeat(MAX_NAME_NBYTES);
        for good in ["a", "actors", "actors-0.v2_x", "0", "-", "a..b", longest.as_str()] {
            let name: QueueName = good.parse().expect("good");
            assert_eq!(QueueName::from_padded(&name.padded()), Ok(name));
        }
        let too_long = "n".repeat(MAX_NAME_NBYTES + 1);
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "ä", "a\0", "a\n", too_long.as_str()] {
            let error = bad.parse::<QueueName>().expect_err("bad");
            assert!(error.to_string().contains("letters, digits"), "{error}");
        }
    }
}

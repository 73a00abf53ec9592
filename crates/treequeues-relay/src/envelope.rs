//! What stands in a message's headers, beside the items in its payload.

use async_nats::HeaderMap;
use treequeues::SegmentId;

const ORIGIN: &str = "Treequeues-Origin";
const NUMBER: &str = "Treequeues-Number";
const AFTER: &str = "Treequeues-After";
const END: &str = "Treequeues-End";

/// Which message of which origin it is (Y2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The segment's id, as text.
    pub origin: String,
    pub number: u64,
    /// The server had all messages of lower numbers than this when it was published.
    pub after: u64,
    /// It has no items: none will come any more from this origin.
    pub is_end: bool,
}

/// A segment's id, as text: 32 hexadecimal digits.
pub fn text_of(id: SegmentId) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Envelope {
    /// What the server knows the message by, as long as it remembers.
    pub fn id(&self) -> String {
        format!("{}-{}", self.origin, self.number)
    }

    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, self.id());
        headers.insert(ORIGIN, self.origin.as_str());
        headers.insert(NUMBER, self.number.to_string());
        headers.insert(AFTER, self.after.to_string());
        if self.is_end {
            headers.insert(END, "1");
        }
        headers
    }

    /// `None` of a message that no push relay has made.
    pub fn of(headers: Option<&HeaderMap>) -> Option<Self> {
        let headers = headers?;
        let origin = headers.get(ORIGIN)?.as_str();
        let is_id = origin.len() == 32 && origin.bytes().all(|byte| byte.is_ascii_hexdigit());
        let count = |name| headers.get(name)?.as_str().parse::<u64>().ok();
        let (number, after) = (count(NUMBER)?, count(AFTER)?);
        (is_id && after <= number && number < u64::MAX).then(|| Self {
            origin: origin.to_owned(),
            number,
            after,
            is_end: headers.get(END).is_some(),
        })
    }
}

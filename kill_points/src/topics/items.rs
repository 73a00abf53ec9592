//! Topics of items that name themselves.

use std::cell::RefCell;

use treequeues::{
    PublishError, Schema, Start, SubscribeError, Subscriber, Topic, TopicOptions, TopicReadLoan,
    TopicWriteLoan,
};

/// Slots of most topics here: an item that is read, one that is written, and the newest.
pub const CAPACITY: usize = 3;
/// Places in its table: the survivor, the victim, one of whom nothing is known any more, and a newcomer.
const PARTICIPANTS: u64 = 4;
const NUMBERS: usize = 4;

thread_local! {
    /// This process's subscription since it joined.
    static FROM_THE_FIRST: RefCell<Option<Subscriber>> = const { RefCell::new(None) };
}

pub fn topic(capacity: usize) -> Topic {
    let schema = Schema::builder().array::<u64>("numbers", [NUMBERS]).build().expect("one leaf");
    let options = TopicOptions { participants: PARTICIPANTS, ..TopicOptions::default() };
    Topic::create_with(schema, capacity as u64, options).expect("memory")
}

/// Makes this process a participant, with a subscription that begins now.
pub fn join(topic: &Topic) {
    FROM_THE_FIRST.set(Some(subscribe(topic, Start::Oldest)));
}

/// The subscription that this process has had since it joined.
pub fn from_the_first() -> Subscriber {
    FROM_THE_FIRST.take().expect("it has joined")
}

pub fn subscribe(topic: &Topic, start: Start) -> Subscriber {
    topic.subscribe(start).expect("sound")
}

/// A slot with an item in it that is not published; nothing if the topic is full or shut down.
pub fn write(topic: &Topic, value: u64) -> Option<TopicWriteLoan<'_>> {
    match topic.try_reserve() {
        Ok(mut loan) => {
            fill(&mut loan, value);
            Some(loan)
        }
        Err(PublishError::Full(_) | PublishError::ShutDown(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

pub fn fill(loan: &mut TopicWriteLoan<'_>, value: u64) {
    loan.leaf_mut::<u64>("numbers").expect("the leaf").fill(value);
}

/// Puts an item, and says its ticket.
pub fn put(topic: &Topic, value: u64) -> Option<u64> {
    write(topic, value).map(|loan| loan.commit().expect("sound"))
}

/// What was borrowed, if there was anything.
pub fn found<'t>(borrowed: Result<TopicReadLoan<'t>, SubscribeError>) -> Option<TopicReadLoan<'t>> {
    match borrowed {
        Ok(loan) => Some(loan),
        Err(SubscribeError::Empty | SubscribeError::ShutDown(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The value that an item is made of, in every number of it.
pub fn value_of(loan: &TopicReadLoan<'_>) -> u64 {
    let numbers = loan.leaf::<u64>("numbers").expect("the leaf");
    assert!(numbers.iter().all(|number| *number == numbers[0]), "a torn item: {numbers:?}");
    numbers[0]
}

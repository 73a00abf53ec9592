//! The receipts of calls on a topic: what the words of a log say of them.
//!
//! | word of a receipt | what | written |
//! |---|---|---|
//! | 0 | call, with where a subscription begins | last of the first half |
//! | 16 | value | of a put before word 0, of a read before word 2 |
//! | 17 | ticket | of a read before word 2, of a put before word 5 |
//! | 18, 19 | missed just before, and in all | before word 2 |
//! | 20 | 1 if the item has changed while it was read | before word 5 |
//!
//! The word after all receipts says what the life was there for.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use treequeues::Start;

use super::history::{Call, End, Outcome, Receipt, Role};
use crate::log::{END, END_INVOKED, END_RESPONDED, INVOKED, Log, OUTCOME, RESPONDED, Words};
use crate::system::now_ns;

const VALUE: usize = 16;
const TICKET: usize = 17;
const MISSED: usize = 18;
const MISSED_IN_ALL: usize = 19;
const HAS_CHANGED: usize = 20;

const ROLES: [Role; 6] =
    [Role::Publisher, Role::Reader, Role::Follower, Role::Sampler, Role::Both, Role::Sweeper];
const CALLS: [Call; 9] = [
    Call::Publish,
    Call::Latest,
    Call::Version,
    Call::Subscribe(Start::Latest),
    Call::Subscribe(Start::Oldest),
    Call::Subscribe(Start::New),
    Call::Next,
    Call::Newest,
    Call::Sweep,
];
const OUTCOMES: [Outcome; 3] = [Outcome::Done, Outcome::Nothing, Outcome::BrokenOff];
const ENDS: [End; 3] = [End::Commit, End::Abort, End::Release];

/// One life's log of calls on a topic.
#[derive(Debug)]
pub struct TopicLog(pub Log);

/// An item that was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Read {
    /// Its value; 0 if it is not whole.
    pub value: u64,
    /// Its ticket.
    pub ticket: u64,
    /// What its subscription passed over just before.
    pub missed: u64,
    /// What that has passed over in all.
    pub missed_in_all: u64,
}

impl TopicLog {
    /// Makes the file.
    pub fn create(path: &Path, role: Role) -> io::Result<Self> {
        let log = Log::create(path, 1)?;
        log.more()[0].store(code(&ROLES, role), Ordering::Release);
        Ok(Self(log))
    }

    /// Writes the first half of the next receipt.
    pub fn invoke(&mut self, call: Call) {
        self.0.begin(code(&CALLS, call), []);
    }

    /// The same of a put.
    pub fn publish(&mut self, value: u64) {
        self.0.begin(code(&CALLS, Call::Publish), [(VALUE, value)]);
    }

    /// Writes the second half: nothing came of it.
    pub fn came_to_nothing(&self, outcome: Outcome) {
        self.0.respond(now_ns(), [(OUTCOME, code(&OUTCOMES, outcome))]);
        self.0.count();
    }

    /// Writes the second half of a call that has no second phase.
    pub fn done(&self) {
        self.came_to_nothing(Outcome::Done);
    }

    /// Writes the second half: the newest item has this ticket, said at this time.
    pub fn said(&self, at: u64, ticket: u64) {
        self.0.respond(at, [(TICKET, ticket), (OUTCOME, code(&OUTCOMES, Outcome::Done))]);
        self.0.count();
    }

    /// Writes the second half: there is a slot.
    pub fn reserved(&self) {
        self.0.respond(now_ns(), [(OUTCOME, code(&OUTCOMES, Outcome::Done))]);
    }

    /// Writes the second half: this was read, by a call that returned `at` this time.
    pub fn read(&self, at: u64, read: Read) {
        let Read { value, ticket, missed, missed_in_all } = read;
        let words = [(VALUE, value), (TICKET, ticket), (MISSED, missed), (MISSED_IN_ALL, missed_in_all)];
        self.0.respond(at, words.into_iter().chain([(OUTCOME, code(&OUTCOMES, Outcome::Done))]));
    }

    /// Writes the first half of the second phase's end.
    pub fn invoke_end(&self, end: End) {
        self.0.begin_end(code(&ENDS, end));
    }

    /// Writes its second half: the item has this ticket.
    pub fn committed(&self, ticket: u64) {
        self.0.respond_end([(TICKET, ticket)]);
    }

    /// The same of another end.
    pub fn ended(&self) {
        self.0.respond_end([]);
    }

    /// The same where the item has changed while it was being read.
    pub fn ended_changed(&self) {
        self.0.respond_end([(HAS_CHANGED, 1)]);
    }
}

/// The receipts that are there.
pub fn receipts(log: &Log) -> Vec<Receipt> {
    log.written().map_while(receipt).collect()
}

/// The call that was begun last.
pub fn last(log: &Log) -> Option<Receipt> {
    log.last_written().and_then(receipt)
}

/// What the life was there for.
pub fn role(log: &Log) -> Role {
    decoded(&ROLES, log.more()[0].load(Ordering::Acquire)).unwrap_or(Role::Reader)
}

fn receipt(words: Words<'_>) -> Option<Receipt> {
    let call = decoded(&CALLS, words.head())?;
    // What a call that did not return has written so far says nothing.
    let responded = words.time(RESPONDED);
    let end_responded = words.time(END_RESPONDED);
    let is_known = |written: bool, index| if written { words.word(index) } else { 0 };
    let is_put = call == Call::Publish;
    let has_ticket = if is_put { end_responded.is_some() } else { responded.is_some() };
    Some(Receipt {
        call,
        invoked: words.word(INVOKED),
        responded,
        outcome: decoded(&OUTCOMES, words.word(OUTCOME)).unwrap_or(Outcome::BrokenOff),
        value: is_known(is_put || responded.is_some(), VALUE),
        ticket: is_known(has_ticket, TICKET),
        missed: is_known(responded.is_some(), MISSED),
        missed_in_all: is_known(responded.is_some(), MISSED_IN_ALL),
        has_changed: is_known(end_responded.is_some(), HAS_CHANGED) == 1,
        end: decoded(&ENDS, words.word(END)).unwrap_or(End::Release),
        end_invoked: words.time(END_INVOKED),
        end_responded,
    })
}

/// From 1 on: 0 is what was not written.
fn code<T: PartialEq>(all: &[T], one: T) -> u64 {
    1 + all.iter().position(|other| *other == one).expect("of the list") as u64
}

fn decoded<T: Copy>(all: &[T], code: u64) -> Option<T> {
    all.get((code as usize).checked_sub(1)?).copied()
}

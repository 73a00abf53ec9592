//! A worker: calls on a topic drawn at random, each with its receipt, until it is told to leave, or killed.

use std::thread;
use std::time::Duration;

use fastrand::Rng;
use treequeues::{PublishError, Start, SubscribeError, Subscriber, Topic, TopicReadLoan};

use super::history::{Call, End, Outcome, Role};
use super::plan::Plan;
use super::receipts::{Read, TopicLog};
use crate::items::Items;
use crate::lives::is_told_to_leave;
use crate::system::{SharedWords, now_ns};
use crate::worker::Patience;

/// Of a hundred calls of a reader, how many only ask for the version.
const VERSION: u32 = 10;

/// One life.
pub struct Worker<'e> {
    /// Its number in the epoch.
    pub number: u32,
    /// What it is there for.
    pub role: Role,
    /// The epoch.
    pub plan: &'e Plan,
    /// Word 0 is 1 when everybody is to leave.
    pub control: &'e SharedWords,
    /// Its receipts.
    pub log: &'e mut TopicLog,
}

/// What a worker has between its calls.
struct State<'w, 'e> {
    worker: &'w mut Worker<'e>,
    topic: &'w Topic,
    subscriber: Option<Subscriber>,
    rng: Rng,
    items: Items,
    /// Items put or tried so far.
    sequence: u32,
}

impl Worker<'_> {
    /// Works until it is told to leave, or its log is full. An error of the topic is a panic; an item that is torn is in the log.
    pub fn run(&mut self, topic: &Topic) {
        let rng = Rng::with_seed(self.plan.seed ^ u64::from(self.number).wrapping_mul(0x2545_F491_4F6C_DD1D));
        let (items, role) = (self.plan.items(), self.role);
        let mut state = State { worker: self, topic, subscriber: None, rng, items, sequence: 0 };
        while !is_told_to_leave(state.worker.control) && !state.worker.log.0.is_full() {
            match role {
                Role::Publisher => state.put(),
                Role::Reader => state.read_newest(),
                Role::Follower => state.follow(Call::Next),
                Role::Sampler => state.follow(Call::Newest),
                Role::Both if state.rng.bool() => state.put(),
                Role::Both => state.read_newest(),
                Role::Sweeper => state.sweep(),
            }
            if state.percent(state.worker.plan.pause) {
                state.pause(state.worker.plan.pause_us);
            }
        }
    }
}

impl State<'_, '_> {
    fn put(&mut self) {
        self.sequence += 1;
        let value = u64::from(self.worker.number) << 32 | u64::from(self.sequence);
        let patience = Patience::drawn_from(&mut self.rng);
        let (topic, control) = (self.topic, self.worker.control);
        let mut is_told = || is_told_to_leave(control);
        self.worker.log.publish(value);
        let reserved = match patience {
            Patience::Never => topic.try_reserve(),
            patience => topic.reserve_with(patience.wait(&mut is_told)),
        };
        let mut loan = match reserved {
            Ok(loan) => loan,
            Err(PublishError::Full(_)) => return self.worker.log.came_to_nothing(Outcome::Nothing),
            Err(PublishError::Interrupted) => return self.worker.log.came_to_nothing(Outcome::BrokenOff),
            Err(error) => panic!("a reserve failed: {error}"),
        };
        self.worker.log.reserved();
        self.items.write(&mut loan, value);
        self.stall();
        if self.percent(self.worker.plan.abort) {
            self.worker.log.invoke_end(End::Abort);
            if self.rng.bool() {
                loan.abort().expect("a sound topic");
            } else {
                let mut hold = loan.into_hold();
                hold.linger().expect("a sound topic");
                // Views may still write.
                self.stall();
                drop(hold);
            }
            self.worker.log.ended();
        } else {
            self.worker.log.invoke_end(End::Commit);
            let ticket = loan.commit().expect("a sound topic");
            self.worker.log.committed(ticket);
        }
    }

    fn read_newest(&mut self) {
        if self.percent(VERSION) {
            self.worker.log.invoke(Call::Version);
            let version = self.topic.version().expect("a sound topic");
            return self.worker.log.said(now_ns(), version);
        }
        let patience = Patience::drawn_from(&mut self.rng);
        let (topic, control) = (self.topic, self.worker.control);
        let mut is_told = || is_told_to_leave(control);
        self.worker.log.invoke(Call::Latest);
        let borrowed = match patience {
            Patience::Never => topic.try_borrow_latest(),
            patience => topic.borrow_latest_with(patience.wait(&mut is_told)),
        };
        self.read(borrowed, 0);
    }

    fn follow(&mut self, call: Call) {
        if self.percent(self.worker.plan.subscribe) {
            self.subscriber = None;
        }
        let Some(subscriber) = self.subscriber.take() else {
            let start = [Start::Latest, Start::Oldest, Start::New][self.rng.usize(..3)];
            self.worker.log.invoke(Call::Subscribe(start));
            self.subscriber = Some(self.topic.subscribe(start).expect("a sound topic"));
            return self.worker.log.done();
        };
        let patience = Patience::drawn_from(&mut self.rng);
        let control = self.worker.control;
        let mut is_told = || is_told_to_leave(control);
        self.worker.log.invoke(call);
        let borrowed = match (call, patience) {
            (Call::Next, Patience::Never) => subscriber.try_borrow(),
            (Call::Next, patience) => subscriber.borrow_with(patience.wait(&mut is_told)),
            (_, Patience::Never) => subscriber.try_borrow_latest(),
            (_, patience) => subscriber.borrow_latest_with(patience.wait(&mut is_told)),
        };
        self.read(borrowed, subscriber.missed());
        self.subscriber = Some(subscriber);
    }

    fn read(&mut self, borrowed: Result<TopicReadLoan<'_>, SubscribeError>, missed_in_all: u64) {
        let loan = match borrowed {
            Ok(loan) => loan,
            Err(SubscribeError::Empty) => return self.worker.log.came_to_nothing(Outcome::Nothing),
            Err(SubscribeError::Interrupted) => return self.worker.log.came_to_nothing(Outcome::BrokenOff),
            Err(error) => panic!("a borrow failed: {error}"),
        };
        let at = now_ns();
        let value = || self.items.read(|leaf| loan.leaf_bytes(leaf)).unwrap_or(0);
        let first = value();
        let (ticket, missed) = (loan.ticket(), loan.info().missed);
        self.worker.log.read(at, Read { value: first, ticket, missed, missed_in_all });
        let is_stalled = self.rng.u32(..100) < self.worker.plan.stall;
        if is_stalled {
            thread::sleep(Duration::from_micros(self.rng.u64(..=self.worker.plan.stall_us)));
        }
        let has_changed = value() != first;
        self.worker.log.invoke_end(End::Release);
        if self.rng.u8(..8) > 0 {
            loan.release().expect("a sound topic");
        } else {
            let mut hold = loan.into_hold();
            hold.linger().expect("a sound topic");
            drop(hold);
        }
        if has_changed { self.worker.log.ended_changed() } else { self.worker.log.ended() }
    }

    fn sweep(&mut self) {
        self.worker.log.invoke(Call::Sweep);
        self.topic.sweep().expect("a sound topic");
        self.worker.log.done();
    }

    fn stall(&mut self) {
        if self.percent(self.worker.plan.stall) {
            self.pause(self.worker.plan.stall_us);
        }
    }

    fn pause(&mut self, longest_us: u64) {
        thread::sleep(Duration::from_micros(self.rng.u64(..=longest_us)));
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }
}

//! From the stream to the queue.
//!
//! A task receives messages, and acknowledges each when its items are released; a thread puts them into the queue.
//!
//! L1. The messages of an origin are put by their numbers, each once. One that was put is known again: when its items are released it is
//!     acknowledged, however often it comes. One ahead of its turn is kept until those before it have come. Those that the server had
//!     before it was published (`Envelope::after`) have come before it, or others have taken them: they are not waited for.
//! L2. The note says which messages are put, and of those that may not be acknowledged yet, under which tickets. Before each commit it says
//!     what is about to be put, and under which. A successor asks the queue whether that came (`Queue::has_arrived`) before it does
//!     anything else.
//! L3. At the beginning, after each loss of the connection, and when the numbers of deliveries have a gap, the consumer is set back to the first
//!     message that is not acknowledged: so they come in order, and none that was on its way is passed over.

use std::cmp::Ordering as CmpOrdering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, AckKind};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use treequeues::{ArrivalError, BatchSize, ItemOrigin, Queue, ReserveError, SegmentId, Wait, WriteBatch};
use treequeues_wire::{Message, Wire};

use crate::arguments::Pull;
use crate::desk::Desk;
use crate::ending::Ending;
use crate::envelope::{Envelope, text_of};
use crate::failure::Failure;
use crate::ranges::Ranges;
use crate::seat::Seat;
use crate::server::{BackOff, Link, Wanted, connect, stream_name};
use crate::{local, say};

/// The consumer's name: one for a stream.
const CONSUMER: &str = "pull";
/// Between two looks at what consumers have released: from the first to the second, while nothing is.
const LOOKS: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(20)];
/// Messages that the note has beyond those that may not be acknowledged.
const FEW: usize = 16;
/// Between two looks for what a dead relay was putting.
const PAUSE: Duration = Duration::from_millis(5);

/// What a successor must know (L2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Note {
    /// The segment that it was put into.
    here: String,
    origins: BTreeMap<String, Progress>,
    /// Those of which nothing more comes.
    #[serde(default)]
    ended: BTreeSet<String>,
    /// What was put, and may not be acknowledged yet.
    put: VecDeque<Put>,
    /// What is about to be put.
    about: Option<About>,
    /// How many of `put` there are at the next look for those that are released.
    #[serde(skip)]
    looks_at: usize,
}

/// How far the messages of an origin have come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// The number whose turn it is.
    next: u64,
    /// Those before it that have not come. If one does, it is put late.
    missing: Ranges,
    /// Messages of which some items are put.
    parts: BTreeMap<u64, Part>,
}

/// What is put of a message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Part {
    items: usize,
    tickets: Ranges,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Put {
    origin: String,
    number: u64,
    tickets: Ranges,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct About {
    origin: String,
    number: u64,
    /// Items of it that are put then.
    items: usize,
    /// Whether these are all.
    is_last: bool,
    first_ticket: u64,
    tickets: Ranges,
}

/// A message on its way to the thread.
struct Incoming {
    /// Which delivery it is: a message may come more than once.
    delivery: u64,
    envelope: Option<Envelope>,
    payload: Bytes,
}

/// What became of a delivery.
enum Outcome {
    /// Acknowledge it when these are released.
    Put { delivery: u64, tickets: Ranges },
    /// It is no message of ours, or of other items.
    Refused { delivery: u64, why: String },
    /// It has come once more, before its turn.
    Again { delivery: u64 },
}

pub async fn pull(command: &Pull, ending: &Ending) -> Result<(), Failure> {
    let common = &command.common;
    let Some(link) = connect(common, ending).await? else { return ending.outcome() };
    let context = jetstream::new(link.client.clone());
    let mut last = None;
    while let Some(queue) = local::next_queue(&common.name, last, ending).await? {
        last = Some(queue.id());
        let folder = queue.folder().expect("it has a name").to_owned();
        let desk = Desk::take(&folder, &common.name, "pull")?;
        let Some(stream) = Wanted::of(common, &queue).stream(&context, ending).await? else { break };
        let host = local::host_name(common.host.as_deref());
        let stream_name = stream_name(&common.name);
        let replicas = common.replicas.unwrap_or(1);
        let seat =
            Seat::take(&context, &stream_name, &host, &folder, replicas, command.ack_wait, ending).await?;
        let Some(seat) = seat else { break };
        let note = note_of(&desk, queue.id())?;
        let (to_thread, incoming) = mpsc::channel(usize::from(common.window));
        let (outcomes, from_thread) = mpsc::unbounded_channel();
        let queue = Arc::new(queue);
        let putter = Putter {
            wire: Wire::new(queue.schema().as_ref().clone()),
            queue: Arc::clone(&queue),
            desk,
            note,
            ahead: Ahead::new(),
            waiting: BTreeMap::new(),
            patience: command.ack_wait,
            producers: command.producers,
            ends: Vec::new(),
            ending: ending.clone(),
        };
        let thread = thread::spawn(move || putter.run(incoming, &outcomes));
        let receiver = Receiver {
            link: &link,
            stream: &stream,
            queue: &queue,
            command,
            ending,
            seat: &seat,
            deliveries: AtomicU64::new(0),
            has_begun: AtomicBool::new(false),
        };
        // Given up when all else is done.
        let has_ended = Ending::new();
        let received = async {
            let received = receiver.run(to_thread, from_thread).await;
            has_ended.end();
            received
        };
        let (received, ()) = tokio::join!(received, seat.keep(ending, &has_ended));
        received?;
        local::outcome_of(thread).await?;
        if ending.is_over() {
            break;
        }
        say(format_args!(
            "the queue {:?} is shut down; the next one of that name is waited for",
            common.name
        ));
    }
    ending.outcome()
}

/// The note of the relay before, if it put into this segment.
fn note_of(desk: &Desk, id: SegmentId) -> Result<Note, Failure> {
    let here = text_of(id);
    let note = desk.note::<Note>()?.filter(|note| note.here == here);
    Ok(note.unwrap_or(Note { here, ..Note::default() }))
}

/// The task that receives and acknowledges.
struct Receiver<'r> {
    link: &'r Link,
    stream: &'r Stream,
    queue: &'r Queue,
    command: &'r Pull,
    ending: &'r Ending,
    seat: &'r Seat,
    deliveries: AtomicU64,
    has_begun: AtomicBool,
}

/// Deliveries that are not acknowledged, by their numbers.
type Pending = BTreeMap<u64, Delivery>;

struct Delivery {
    acker: Acker,
    /// What is still to be released, once that is known.
    tickets: Option<VecDeque<u64>>,
}

impl Receiver<'_> {
    async fn run(
        &self,
        to_thread: mpsc::Sender<Incoming>,
        mut from_thread: mpsc::UnboundedReceiver<Outcome>,
    ) -> Result<(), Failure> {
        let mut pending = Pending::default();
        let mut back_off = BackOff::new();
        let mut has_said = false;
        // Until the relay ends, or the thread does.
        while !self.ending.is_over() && !to_thread.is_closed() {
            let mut next = None;
            let deliveries = self.deliveries.load(Ordering::Relaxed);
            let received = self.receive(&to_thread, &mut from_thread, &mut pending, &mut next).await;
            if let Some(Incoming { delivery, .. }) = next {
                // It comes again.
                pending.remove(&delivery);
            }
            if self.deliveries.load(Ordering::Relaxed) > deliveries {
                back_off = BackOff::new();
                has_said = false;
            }
            match received {
                Ok(()) => {}
                Err(why) => {
                    if !std::mem::replace(&mut has_said, true) {
                        say(format_args!("nothing is received ({why}); it is tried again"));
                    }
                    if !back_off.pause(self.ending).await {
                        break;
                    }
                }
            }
        }
        drop(to_thread);
        // What is being put comes to its end, and what is released is acknowledged.
        while let Some(outcome) = from_thread.recv().await {
            self.note_outcome(outcome, &mut pending).await;
        }
        // What is put is released by and by, if the queue is shut down and drains.
        pending.retain(|_, delivery| delivery.tickets.is_some());
        let mut progressed = Instant::now();
        let mut looked = Instant::now();
        loop {
            self.acknowledge(&mut pending).await?;
            if pending.is_empty() || self.ending.is_over() {
                break;
            }
            if looked.elapsed() >= Duration::from_secs(1) {
                looked = Instant::now();
                // Nobody is left to take them.
                if self.queue.stats()?.participants.len() < 2 {
                    break;
                }
            }
            if progressed.elapsed() >= self.command.ack_wait / 3 {
                progressed = Instant::now();
                for delivery in pending.values() {
                    // If this does not reach the server, the message comes again.
                    let _ = delivery.acker.ack_with(AckKind::Progress).await;
                }
            }
            tokio::time::sleep(LOOKS[1]).await;
        }
        let _ = self.link.client.flush().await;
        Ok(())
    }

    /// From one beginning at the first message that is not acknowledged (L3) to the next.
    async fn receive(
        &self,
        to_thread: &mpsc::Sender<Incoming>,
        from_thread: &mut mpsc::UnboundedReceiver<Outcome>,
        pending: &mut Pending,
        next: &mut Option<Incoming>,
    ) -> Result<(), String> {
        let mut losses = self.link.losses.clone();
        losses.mark_unchanged();
        // Another host that has it now would lose what it has under way.
        self.seat.renew(self.ending).await?;
        if !self.has_begun.swap(true, Ordering::Relaxed) {
            // With it go the requests of another host, which may be stopped: the server would go on to send there.
            let _ = self.stream.delete_consumer(CONSUMER).await;
        }
        let mut consumer = self.consumer().await?;
        let reset = consumer.reset(None).await.map_err(|error| error.to_string())?;
        let mut delivered = reset.info.delivered.consumer_sequence;
        let window = usize::from(self.command.common.window);
        let messages = consumer.stream().max_messages_per_batch(window).heartbeat(Duration::from_secs(5));
        let mut messages = messages.messages().await.map_err(|error| error.to_string())?;
        let mut look = LOOKS[0];
        let mut next_look = tokio::time::Instant::now();
        let progress_each = self.command.ack_wait / 3;
        let mut progressed = Instant::now();
        loop {
            if progressed.elapsed() >= progress_each {
                progressed = Instant::now();
                for delivery in pending.values() {
                    delivery.acker.ack_with(AckKind::Progress).await.map_err(|error| error.to_string())?;
                }
            }
            let is_waiting = pending.values().any(|delivery| delivery.tickets.is_some());
            tokio::select! {
                permit = to_thread.reserve(), if next.is_some() => match permit {
                    Ok(permit) => permit.send(next.take().expect("one")),
                    Err(_) => return Ok(()),
                },
                message = messages.next(), if next.is_none() => match message {
                    Some(Ok(message)) => {
                        let sequence = message.info().map_err(|error| error.to_string())?.consumer_sequence;
                        if sequence != delivered + 1 {
                            return Err(format!("delivery {} has not come", delivered + 1));
                        }
                        delivered = sequence;
                        *next = Some(self.open(message, pending));
                    }
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("the subscription has ended".to_owned()),
                },
                outcome = from_thread.recv() => match outcome {
                    Some(outcome) => {
                        self.note_outcome(outcome, pending).await;
                        look = LOOKS[0];
                        next_look = next_look.min(tokio::time::Instant::now() + look);
                    }
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(next_look), if is_waiting => {
                    match self.acknowledge(pending).await {
                        Ok(true) => look = LOOKS[0],
                        Ok(false) => look = (look * 2).min(LOOKS[1]),
                        Err(failure) => self.ending.fail(failure),
                    }
                    next_look = tokio::time::Instant::now() + look;
                }
                () = tokio::time::sleep(progress_each), if !is_waiting => {}
                _ = losses.changed() => return Err("the connection was lost".to_owned()),
                () = self.ending.over() => return Ok(()),
            }
        }
    }

    async fn consumer(&self) -> Result<PullConsumer, String> {
        let config = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.command.ack_wait,
            // Those that are ahead of their turn are to hold up nobody.
            max_ack_pending: -1,
            ..pull::Config::default()
        };
        self.stream.create_consumer(config).await.map_err(|error| error.to_string())
    }

    fn open(&self, message: jetstream::Message, pending: &mut Pending) -> Incoming {
        let delivery = self.deliveries.fetch_add(1, Ordering::Relaxed);
        let (message, acker) = message.split();
        pending.insert(delivery, Delivery { acker, tickets: None });
        Incoming { delivery, envelope: Envelope::of(message.headers.as_ref()), payload: message.payload }
    }

    async fn note_outcome(&self, outcome: Outcome, pending: &mut Pending) {
        match outcome {
            Outcome::Put { delivery, tickets } => {
                if let Some(open) = pending.get_mut(&delivery) {
                    open.tickets = Some(tickets.iter().collect());
                }
            }
            Outcome::Refused { delivery, why } => {
                say(format_args!("a message is refused: {why}"));
                if let Some(open) = pending.remove(&delivery) {
                    // If this does not reach the server, it comes again and is refused again.
                    let _ = open.acker.ack_with(AckKind::Term).await;
                }
            }
            Outcome::Again { delivery } => drop(pending.remove(&delivery)),
        }
    }

    /// Acknowledges what consumers have released; whether that was any.
    async fn acknowledge(&self, pending: &mut Pending) -> Result<bool, Failure> {
        let mut done = Vec::new();
        for (delivery, open) in pending.iter_mut() {
            let Some(tickets) = &mut open.tickets else { continue };
            while let Some(ticket) = tickets.front()
                && self.queue.is_released(*ticket)?
            {
                tickets.pop_front();
            }
            if tickets.is_empty() {
                done.push(*delivery);
            }
        }
        for delivery in &done {
            let open = pending.remove(delivery).expect("it was there");
            // If this does not reach the server, the message comes again, and is known.
            let _ = open.acker.ack().await;
        }
        Ok(!done.is_empty())
    }
}

/// Messages by origin and number.
type Ahead = BTreeMap<(String, u64), Incoming>;

fn first_of(ahead: &Ahead, origin: &str) -> Option<u64> {
    let all = (origin.to_owned(), 0)..=(origin.to_owned(), u64::MAX);
    ahead.range(all).next().map(|((_, number), _)| *number)
}

/// The thread that puts.
struct Putter {
    queue: Arc<Queue>,
    wire: Wire,
    desk: Desk,
    note: Note,
    /// Messages ahead of their turn, by origin and number.
    ahead: Ahead,
    /// Since when an origin has some ahead of their turn, and nothing of it was put.
    waiting: BTreeMap<String, Instant>,
    /// How long that may be until they go on.
    patience: Duration,
    /// How many origins must have ended until the queue is shut down.
    producers: Option<u32>,
    /// Deliveries of messages that say so: not acknowledged before the last one, so that another pull host has them too.
    ends: Vec<u64>,
    ending: Ending,
}

/// Why a message is not put to its end.
enum Stopped {
    /// The relay is to end, or the queue is shut down.
    Over,
    Refused(String),
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Putter {
    fn run(
        mut self,
        mut incoming: mpsc::Receiver<Incoming>,
        outcomes: &mpsc::UnboundedSender<Outcome>,
    ) -> Result<(), Failure> {
        let outcome = self.put_all(&mut incoming, outcomes);
        if outcome.is_err() {
            self.ending.end();
        }
        outcome
    }

    fn put_all(
        &mut self,
        incoming: &mut mpsc::Receiver<Incoming>,
        outcomes: &mpsc::UnboundedSender<Outcome>,
    ) -> Result<(), Failure> {
        if !self.find_out_what_came()? {
            return Ok(());
        }
        while let Some(message) = self.next(incoming) {
            if self.ending.is_over() {
                break;
            }
            let envelope = message.envelope.clone();
            let Some(envelope) = envelope else {
                let why = "no push relay has made it".to_owned();
                tell(outcomes, Outcome::Refused { delivery: message.delivery, why });
                continue;
            };
            match self.take(envelope, message, outcomes) {
                Ok(()) => {}
                Err(Stopped::Over) => break,
                Err(Stopped::Failed(failure)) => return Err(failure),
                Err(Stopped::Refused(_)) => unreachable!("`take` tells that"),
            }
        }
        Ok(())
    }

    /// The next message, or one ahead of its turn whose origin has waited for too long.
    ///
    /// That happens if others have taken those before it, and its origin has published nothing since. So this time decides nothing while
    /// there is one pull host.
    fn next(&mut self, incoming: &mut mpsc::Receiver<Incoming>) -> Option<Incoming> {
        loop {
            self.waiting.retain(|origin, _| first_of(&self.ahead, origin).is_some());
            if self.ahead.is_empty() {
                return incoming.blocking_recv();
            }
            for (origin, _) in self.ahead.keys() {
                self.waiting.entry(origin.clone()).or_insert_with(Instant::now);
            }
            let is_late = |since: &Instant| since.elapsed() >= self.patience;
            let late =
                self.waiting.iter().find(|(_, since)| is_late(since)).map(|(origin, _)| origin.clone());
            if let Some(origin) = late
                && let Some(number) = first_of(&self.ahead, &origin)
            {
                say(format_args!(
                    "message {number} of {origin} goes on: those before it have not come for {:?}, and others may have them",
                    self.patience
                ));
                self.note.skip_to(&origin, number);
                self.waiting.remove(&origin);
                return self.ahead.remove(&(origin, number));
            }
            match incoming.try_recv() {
                Ok(message) => return Some(message),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => thread::sleep(PAUSE),
            }
        }
    }

    /// L2, after the death of the relay before. False if the relay is to end before that is known.
    fn find_out_what_came(&mut self) -> Result<bool, Failure> {
        let Some(about) = self.note.about.clone() else { return Ok(true) };
        while !self.ending.is_over() {
            match self.queue.has_arrived(about.first_ticket)? {
                Some(has_come) => {
                    self.note.about = None;
                    if has_come {
                        self.note.has_come(about);
                    }
                    self.desk.leave_note(&self.note)?;
                    return Ok(true);
                }
                None => {
                    self.queue.sweep()?;
                    thread::sleep(PAUSE);
                }
            }
        }
        Ok(false)
    }

    /// Puts a message, and those ahead of their turn whose turn it is then; or knows it, or keeps it for later (L1).
    fn take(
        &mut self,
        envelope: Envelope,
        message: Incoming,
        outcomes: &mpsc::UnboundedSender<Outcome>,
    ) -> Result<(), Stopped> {
        let (origin, after) = (envelope.origin.clone(), envelope.after);
        self.note.see(&envelope);
        // The server had all before `after`, and what of that has not come by now never will: others have it.
        while let Some(next) = first_of(&self.ahead, &origin).filter(|next| *next < after) {
            self.note.skip_to(&origin, next);
            self.take_those_whose_turn_it_is(&origin, outcomes)?;
        }
        if self.note.origins[&origin].next < after {
            self.note.skip_to(&origin, after);
        }
        self.take_one(envelope, message, outcomes)?;
        self.take_those_whose_turn_it_is(&origin, outcomes)
    }

    fn take_those_whose_turn_it_is(
        &mut self,
        origin: &str,
        outcomes: &mpsc::UnboundedSender<Outcome>,
    ) -> Result<(), Stopped> {
        loop {
            let turn = self.note.origins[origin].next;
            let Some(message) = self.ahead.remove(&(origin.to_owned(), turn)) else { return Ok(()) };
            if let Some(envelope) = message.envelope.clone() {
                self.take_one(envelope, message, outcomes)?;
            }
        }
    }

    fn take_one(
        &mut self,
        envelope: Envelope,
        message: Incoming,
        outcomes: &mpsc::UnboundedSender<Outcome>,
    ) -> Result<(), Stopped> {
        let delivery = message.delivery;
        let turn = self.note.turn_of(&envelope);
        if !matches!(turn, Turn::Ahead)
            && let Some(again) = self.ahead.remove(&(envelope.origin.clone(), envelope.number))
        {
            tell(outcomes, Outcome::Again { delivery: again.delivery });
        }
        match turn {
            Turn::Known(_) if envelope.is_end => self.end(delivery, outcomes)?,
            Turn::Known(tickets) => tell(outcomes, Outcome::Put { delivery, tickets }),
            Turn::Ahead => {
                if let Some(again) = self.ahead.insert((envelope.origin, envelope.number), message) {
                    tell(outcomes, Outcome::Again { delivery: again.delivery });
                }
            }
            Turn::Now if envelope.is_end => {
                self.note.go_on(&envelope.origin, envelope.number);
                self.note.ended.insert(envelope.origin);
                self.desk.leave_note(&self.note)?;
                self.end(delivery, outcomes)?;
            }
            Turn::Now => match self.put(&envelope, &message.payload) {
                Ok(tickets) => {
                    self.waiting.remove(&envelope.origin);
                    tell(outcomes, Outcome::Put { delivery, tickets });
                }
                Err(Stopped::Refused(why)) => {
                    // Those behind it are not to wait for it.
                    self.note.go_on(&envelope.origin, envelope.number);
                    self.desk.leave_note(&self.note)?;
                    tell(outcomes, Outcome::Refused { delivery, why });
                }
                Err(stopped) => return Err(stopped),
            },
        }
        Ok(())
    }

    /// An origin has ended: the last of them ends the queue here.
    fn end(&mut self, delivery: u64, outcomes: &mpsc::UnboundedSender<Outcome>) -> Result<(), Failure> {
        self.ends.push(delivery);
        let awaited = self.producers.map_or(0, |producers| producers as usize);
        if self.note.ended.len() < awaited {
            return Ok(());
        }
        if self.producers.is_some() {
            self.queue.shutdown(false)?;
        }
        for delivery in self.ends.drain(..) {
            tell(outcomes, Outcome::Put { delivery, tickets: Ranges::default() });
        }
        Ok(())
    }

    /// Puts the items of a message that are not put yet, a part at a time if there is not room for all.
    fn put(&mut self, envelope: &Envelope, payload: &Bytes) -> Result<Ranges, Stopped> {
        let message = self.wire.decode(payload).map_err(|refused| Stopped::Refused(refused.to_string()))?;
        if message.origin().segment != envelope.origin {
            return Err(Stopped::Refused("its headers and its items are of two origins".to_owned()));
        }
        let origins: Vec<_> = message
            .items()
            .iter()
            .map(|item| ItemOrigin {
                put_time: SystemTime::UNIX_EPOCH + Duration::from_nanos(item.put_time_ns),
                producer_pid: item.producer_pid,
                delivery_count: item.delivery_count,
            })
            .collect();
        let queue = Arc::clone(&self.queue);
        let mut has_said = false;
        loop {
            let done = self.note.items_put(envelope);
            let Some(left) = origins.len().checked_sub(done).filter(|left| *left > 0) else {
                return Err(Stopped::Refused(format!(
                    "{done} of its items were put, and now it has {}",
                    origins.len()
                )));
            };
            let is_over = &mut || self.ending.is_over();
            let size = BatchSize::between(1, left.min(queue.capacity()));
            let mut batch = match queue.reserve_batch_with(size, Wait::forever().or_until(is_over)) {
                Ok(batch) => batch,
                Err(ReserveError::Interrupted | ReserveError::ShutDown(_)) => return Err(Stopped::Over),
                Err(ReserveError::Full) => continue,
                Err(error) => return Err(error.into()),
            };
            let count = batch.len();
            fill(&mut batch, &message, done);
            let tickets: Ranges = batch.tickets().collect();
            let about = About {
                origin: envelope.origin.clone(),
                number: envelope.number,
                items: count,
                is_last: count == left,
                first_ticket: batch.tickets().next().expect("at least one"),
                tickets,
            };
            self.note.forget_released(&queue)?;
            self.note.about = Some(about.clone());
            self.desk.leave_note(&self.note)?;
            match batch.commit_from(&message.origin().host, &origins[done..done + count]) {
                Ok(()) => {
                    self.note.about = None;
                    if let Some(tickets) = self.note.has_come(about) {
                        return Ok(tickets);
                    }
                }
                Err(ArrivalError::HostName(name)) => {
                    return Err(Stopped::Refused(format!("{name:?} is no name of a host")));
                }
                Err(error @ ArrivalError::TooManyHosts) => {
                    if self.ending.is_over() {
                        return Err(Stopped::Over);
                    }
                    if !std::mem::replace(&mut has_said, true) {
                        say(format_args!("{error}; it is waited for"));
                    }
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
            self.note.about = None;
        }
    }
}

fn fill(batch: &mut WriteBatch<'_>, message: &Message<'_>, from: usize) {
    for leaf in 0..batch.schema().leaves().len() {
        let row_nbytes = batch.schema().leaves()[leaf].nbytes();
        let rows = message.rows(leaf);
        batch.for_each_run(leaf, |first, run| {
            let begin = (from + first) * row_nbytes;
            run.copy_from_slice(&rows[begin..begin + run.len()]);
        });
    }
}

/// Whether it is a message's turn.
enum Turn {
    Now,
    /// Others come first.
    Ahead,
    /// It was put, under these tickets; none that are not released, if they are not known any more.
    Known(Ranges),
}

impl Note {
    /// Some message of an origin has come, maybe its first.
    fn see(&mut self, envelope: &Envelope) {
        if !self.origins.contains_key(&envelope.origin) {
            self.origins.insert(envelope.origin.clone(), Progress::default());
            self.skip_to(&envelope.origin, envelope.after);
        }
    }

    fn turn_of(&self, envelope: &Envelope) -> Turn {
        let Envelope { origin, number, .. } = envelope;
        let progress = &self.origins[origin];
        match number.cmp(&progress.next) {
            CmpOrdering::Equal => Turn::Now,
            CmpOrdering::Greater => Turn::Ahead,
            CmpOrdering::Less if progress.missing.contains(*number) => Turn::Now,
            CmpOrdering::Less => {
                let is_it = |put: &&Put| put.origin == *origin && put.number == *number;
                Turn::Known(self.put.iter().find(is_it).map(|put| put.tickets.clone()).unwrap_or_default())
            }
        }
    }

    /// How many items of a message are put that is not put to its end.
    fn items_put(&self, envelope: &Envelope) -> usize {
        self.origins[&envelope.origin].parts.get(&envelope.number).map_or(0, |part| part.items)
    }

    /// Some items of a message were put. The tickets of all of them, if these are the last.
    fn has_come(&mut self, about: About) -> Option<Ranges> {
        let progress = self.origins.get_mut(&about.origin).expect("it was seen");
        let part = progress.parts.entry(about.number).or_default();
        part.items += about.items;
        about.tickets.iter().for_each(|ticket| part.tickets.insert(ticket));
        if !about.is_last {
            return None;
        }
        let tickets = self.go_on(&about.origin, about.number);
        self.put.push_back(Put { origin: about.origin, number: about.number, tickets: tickets.clone() });
        Some(tickets)
    }

    /// A message is done with. The tickets of what was put of it.
    fn go_on(&mut self, origin: &str, number: u64) -> Ranges {
        let progress = self.origins.get_mut(origin).expect("it was seen");
        if number == progress.next {
            progress.next += 1;
        } else {
            progress.missing.remove(number);
        }
        progress.parts.remove(&number).unwrap_or_default().tickets
    }

    /// Those before this number are not waited for any more.
    fn skip_to(&mut self, origin: &str, number: u64) {
        let progress = self.origins.get_mut(origin).expect("it was seen");
        if progress.next < number {
            progress.missing.append(progress.next, number);
            progress.next = number;
        }
    }

    /// What was put and is released: if it comes again, it is acknowledged at once. Looks at all of them whenever they have doubled.
    fn forget_released(&mut self, queue: &Queue) -> Result<(), Failure> {
        if self.put.len() < self.looks_at {
            return Ok(());
        }
        let mut kept = VecDeque::new();
        for put in self.put.drain(..) {
            let mut is_released = true;
            for ticket in put.tickets.iter() {
                is_released &= queue.is_released(ticket)?;
            }
            if !is_released {
                kept.push_back(put);
            }
        }
        self.looks_at = FEW + 2 * kept.len();
        self.put = kept;
        Ok(())
    }
}

/// Where nobody listens any more, nothing is acknowledged.
fn tell(outcomes: &mpsc::UnboundedSender<Outcome>, outcome: Outcome) {
    let _ = outcomes.send(outcome);
}

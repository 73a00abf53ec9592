//! From the stream to the queue.
//!
//! A task receives messages, and acknowledges each when its items are released; a thread puts them into the queue.
//!
//! L1. The messages of an origin are put by their numbers, each once. One that was put is known again: when its items are released it is
//!     acknowledged, however often it comes. One ahead of its turn is kept until those before it have come. Those that the server had
//!     before it was published (`Envelope::after`) have come before it, or never will: others have taken them.
//! L2. The note says which messages are put, and of those that may not be acknowledged yet, under which tickets. Before each commit it says
//!     what is about to be put, and under which. A successor asks the queue whether that came (`Queue::has_arrived`) before it does
//!     anything else.
//! L3. At the beginning, and after each loss of the connection, the consumer is set back to the first message that is not acknowledged: so they
//!     come in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
/// Between two looks for what a dead relay was putting.
const PAUSE: Duration = Duration::from_millis(5);

/// What a successor must know (L2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Note {
    /// The segment that it was put into.
    here: String,
    origins: BTreeMap<String, Progress>,
    /// What was put, and may not be acknowledged yet.
    put: VecDeque<Put>,
    /// What is about to be put.
    about: Option<About>,
}

/// How far the messages of an origin have come.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Progress {
    /// The number whose turn it is.
    next: u64,
    /// How many of its items are put, and under which tickets.
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
        let wanted = Wanted {
            queue: &common.name,
            schema: queue.schema(),
            replicas: common.replicas,
            max_bytes: common.max_bytes,
        };
        let Some(stream) = wanted.stream(&context, ending).await? else { break };
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
            ahead: BTreeMap::new(),
            patience: command.ack_wait,
            ending: ending.clone(),
        };
        let thread = thread::spawn(move || putter.run(incoming, &outcomes));
        let receiver = Receiver {
            link: &link,
            stream: &stream,
            queue: &queue,
            command,
            ending,
            deliveries: AtomicU64::new(0),
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
        match tokio::task::spawn_blocking(move || thread.join()).await {
            Ok(Ok(outcome)) => outcome?,
            Ok(Err(_)) | Err(_) => return Err(Failure::refused("the thread that puts items has panicked")),
        }
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
    deliveries: AtomicU64,
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
            match self.receive(&to_thread, &mut from_thread, &mut pending).await {
                Ok(()) => {
                    back_off = BackOff::new();
                    has_said = false;
                }
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
        self.acknowledge(&mut pending).await?;
        let _ = self.link.client.flush().await;
        Ok(())
    }

    /// From one beginning at the first message that is not acknowledged (L3) to the next.
    async fn receive(
        &self,
        to_thread: &mpsc::Sender<Incoming>,
        from_thread: &mut mpsc::UnboundedReceiver<Outcome>,
        pending: &mut Pending,
    ) -> Result<(), String> {
        let mut losses = self.link.losses.clone();
        losses.mark_unchanged();
        let mut consumer = self.consumer().await?;
        consumer.reset(None).await.map_err(|error| error.to_string())?;
        let window = usize::from(self.command.common.window);
        let messages = consumer.stream().max_messages_per_batch(window).heartbeat(Duration::from_secs(5));
        let mut messages = messages.messages().await.map_err(|error| error.to_string())?;
        let mut next = None;
        let mut look = LOOKS[0];
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
                    Some(Ok(message)) => next = Some(self.open(message, pending)),
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("the subscription has ended".to_owned()),
                },
                outcome = from_thread.recv() => match outcome {
                    Some(outcome) => {
                        self.note_outcome(outcome, pending).await;
                        look = LOOKS[0];
                    }
                    None => return Ok(()),
                },
                () = tokio::time::sleep(look), if is_waiting => {
                    let some = self.acknowledge(pending).await.map_err(|error| error.to_string())?;
                    look = if some { LOOKS[0] } else { (look * 2).min(LOOKS[1]) };
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
        self.stream.get_or_create_consumer(CONSUMER, config).await.map_err(|error| error.to_string())
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

/// The thread that puts.
struct Putter {
    queue: Arc<Queue>,
    wire: Wire,
    desk: Desk,
    note: Note,
    /// Messages ahead of their turn, by origin and number.
    ahead: BTreeMap<(String, u64), Incoming>,
    /// How long nothing comes until those go on that are ahead of their turn.
    patience: Duration,
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
        self.find_out_what_came()?;
        while let Some(message) = self.next(incoming) {
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

    /// The next message, or one ahead of its turn that has waited for too long.
    ///
    /// That happens if others have taken those before it, and its origin has published nothing since. So this time decides nothing while
    /// there is one pull host.
    fn next(&mut self, incoming: &mut mpsc::Receiver<Incoming>) -> Option<Incoming> {
        if self.ahead.is_empty() {
            return incoming.blocking_recv();
        }
        let began = Instant::now();
        while began.elapsed() < self.patience {
            match incoming.try_recv() {
                Ok(message) => return Some(message),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => thread::sleep(PAUSE),
            }
        }
        let ((origin, number), message) = self.ahead.pop_first()?;
        say(format_args!(
            "message {number} of {origin} goes on: those before it have not come for {:?}, and others may have them",
            self.patience
        ));
        self.note.skip_to(&origin, number);
        Some(message)
    }

    /// L2, after the death of the relay before.
    fn find_out_what_came(&mut self) -> Result<(), Failure> {
        let Some(about) = self.note.about.take() else { return Ok(()) };
        while !self.ending.is_over() {
            match self.queue.has_arrived(about.first_ticket)? {
                Some(true) => {
                    self.note.has_come(about);
                    self.desk.leave_note(&self.note)?;
                    return Ok(());
                }
                Some(false) => return Ok(()),
                None => {
                    self.queue.sweep()?;
                    thread::sleep(PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Puts a message, and those behind it whose turn it is then; or knows it, or keeps it for later (L1).
    fn take(
        &mut self,
        envelope: Envelope,
        message: Incoming,
        outcomes: &mpsc::UnboundedSender<Outcome>,
    ) -> Result<(), Stopped> {
        let origin = envelope.origin.clone();
        let mut next = Some((envelope, message));
        while let Some((envelope, message)) = next.take() {
            let delivery = message.delivery;
            match self.note.turn_of(&envelope) {
                Turn::Known(tickets) => tell(outcomes, Outcome::Put { delivery, tickets }),
                Turn::Ahead => {
                    if let Some(again) = self.ahead.insert((origin, envelope.number), message) {
                        tell(outcomes, Outcome::Again { delivery: again.delivery });
                    }
                    return Ok(());
                }
                Turn::Now => match self.put(&envelope, &message.payload) {
                    Ok(tickets) => tell(outcomes, Outcome::Put { delivery, tickets }),
                    Err(Stopped::Refused(why)) => {
                        // Those behind it are not to wait for it.
                        self.note.go_on(&origin);
                        self.desk.leave_note(&self.note)?;
                        tell(outcomes, Outcome::Refused { delivery, why });
                    }
                    Err(stopped) => return Err(stopped),
                },
            }
            let turn = self.note.origins[&origin].next;
            next = self
                .ahead
                .remove(&(origin.clone(), turn))
                .and_then(|message| Some((message.envelope.clone()?, message)));
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
            let done = self.note.origins[&envelope.origin].items;
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
    fn turn_of(&mut self, envelope: &Envelope) -> Turn {
        let Envelope { origin, number, after } = envelope;
        let new = || Progress { next: *after, items: 0, tickets: Ranges::default() };
        let progress = self.origins.entry(origin.clone()).or_insert_with(new);
        if progress.next < *after {
            // The server had all before these, and they have not come: others have them.
            *progress = new();
        }
        if *number == progress.next {
            return Turn::Now;
        }
        if *number > progress.next {
            return Turn::Ahead;
        }
        let is_it = |put: &&Put| put.origin == *origin && put.number == *number;
        Turn::Known(self.put.iter().find(is_it).map(|put| put.tickets.clone()).unwrap_or_default())
    }

    /// Some items of the message whose turn it is were put. The tickets of all of them, if these are the last.
    fn has_come(&mut self, about: About) -> Option<Ranges> {
        let progress = self.origins.get_mut(&about.origin).expect("it was its turn");
        progress.items += about.items;
        about.tickets.iter().for_each(|ticket| progress.tickets.insert(ticket));
        if !about.is_last {
            return None;
        }
        let tickets = self.go_on(&about.origin);
        self.put.push_back(Put { origin: about.origin, number: about.number, tickets: tickets.clone() });
        Some(tickets)
    }

    /// It is the next one's turn. The tickets of what was put.
    fn go_on(&mut self, origin: &str) -> Ranges {
        let progress = self.origins.get_mut(origin).expect("it was its turn");
        progress.next += 1;
        progress.items = 0;
        std::mem::take(&mut progress.tickets)
    }

    fn skip_to(&mut self, origin: &str, number: u64) {
        self.origins
            .insert(origin.to_owned(), Progress { next: number, items: 0, tickets: Ranges::default() });
    }

    /// What was put and is released: if it comes again, it is acknowledged at once.
    fn forget_released(&mut self, queue: &Queue) -> Result<(), Failure> {
        while let Some(put) = self.put.front() {
            for ticket in put.tickets.iter() {
                if !queue.is_released(ticket)? {
                    return Ok(());
                }
            }
            self.put.pop_front();
        }
        Ok(())
    }
}

/// Where nobody listens any more, nothing is acknowledged.
fn tell(outcomes: &mpsc::UnboundedSender<Outcome>, outcome: Outcome) {
    let _ = outcomes.send(outcome);
}

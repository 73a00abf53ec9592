//! From the queue to the stream.
//!
//! A thread takes runs of items and makes messages of them; a task publishes these, so many at a time, and releases the items of each when
//! the server has it.
//!
//! P1. Before a message is handed on, the note says which tickets it has. A message stays in the note until its items are released.
//! P2. A successor makes the messages of the note again, under the same numbers, before any other. What is released of one is left out: then
//!     the server has the message, or somebody else took those items.
//! P3. When the queue is shut down and drained, a last message says so. A successor may say it again.
//! P4. Messages are published in order. When one fails, those after it that are under way are waited for; then all that failed are published
//!     again, one after the other, before any other.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use treequeues::{
    BatchSize, BorrowError, Hold, ItemInfo, Queue, ReadBatch, ReadLoan, Schema, SegmentId, Wait,
};
use treequeues_wire::{ItemNote, Kind, Origin, Rows, Wire};

use crate::arguments::Push;
use crate::desk::Desk;
use crate::ending::Ending;
use crate::envelope::{Envelope, text_of};
use crate::failure::Failure;
use crate::server::{BackOff, HEADROOM, Wanted, connect, subject};
use crate::{local, say};

/// Bytes of items that go into one message, if they are small.
const FULL_NBYTES: usize = 1 << 20;
/// Between two looks for what a dead relay held.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the server is waited for at the end.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// What a successor must know (P1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Note {
    /// Of the segment.
    origin: String,
    /// The number of the next message.
    next: u64,
    messages: VecDeque<Noted>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noted {
    number: u64,
    tickets: Vec<u64>,
    /// How often each item had been delivered before.
    deliveries: Vec<u32>,
}

/// The note, and where it is left.
struct Notes {
    desk: Desk,
    note: Mutex<Note>,
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Note> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down a message that is about to be published.
    fn add(&self, noted: Noted) -> io::Result<()> {
        let mut note = self.lock();
        note.next = noted.number + 1;
        note.messages.push_back(noted);
        self.desk.leave_note(&*note)
    }

    /// Its items are released. The file says so with the next message.
    fn is_released(&self, number: u64) {
        self.lock().messages.retain(|noted| noted.number != number);
    }
}

/// A message, and the items that are in it.
struct Taken {
    envelope: Envelope,
    payload: Bytes,
    /// None of the one that says that nothing more comes.
    holds: Vec<Hold>,
}

pub async fn push(command: &Push, ending: &Ending) -> Result<(), Failure> {
    let common = &command.common;
    let Some(link) = connect(common, ending).await? else { return ending.outcome() };
    let context = jetstream::new(link.client.clone());
    let mut last = None;
    while let Some(queue) = local::next_queue(&common.name, last, ending).await? {
        last = Some(queue.id());
        let folder = queue.folder().expect("it has a name").to_owned();
        if let Some(deaths) = queue.max_deliveries() {
            return Err(Failure::refused(format!(
                "the queue drops an item that {deaths} takers died with, and a relay that is killed is one: make it without max_deliveries"
            )));
        }
        let desk = Desk::take(&folder, &common.name, "push")?;
        let Some(stream) = Wanted::of(common, &queue).stream(&context, ending).await? else { break };
        let max_payload = link.client.server_info().max_payload;
        let origin = Origin {
            kind: Kind::Queue,
            host: local::host_name(common.host.as_deref()),
            segment: text_of(queue.id()),
        };
        let items = items_a_message(&queue, max_payload, stream.cached_info().config.max_bytes)?;
        let notes = Arc::new(Notes { note: Mutex::new(note_of(&desk, queue.id())?), desk });
        let (sender, taken) = mpsc::channel(1);
        let taker = Taker {
            queue,
            origin,
            items,
            linger: command.linger,
            notes: Arc::clone(&notes),
            ending: ending.clone(),
        };
        let thread = thread::spawn(move || taker.run(&sender));
        let publisher = Publisher {
            context: &context,
            subject: subject(&common.name),
            window: usize::from(common.window),
            notes: &notes,
            ending,
        };
        publisher.run(taken).await;
        local::outcome_of(thread).await?;
        if ending.is_over() {
            break;
        }
        say(format_args!("the queue {:?} is drained; the next one of that name is waited for", common.name));
    }
    ending.outcome()
}

/// The note of the relay before, if it was of this segment.
fn note_of(desk: &Desk, id: SegmentId) -> Result<Note, Failure> {
    let origin = text_of(id);
    let note = desk.note::<Note>()?.filter(|note| note.origin == origin);
    Ok(note.unwrap_or(Note { origin, ..Note::default() }))
}

/// How many items go into one message at most: a quarter of the queue, so that its producers go on meanwhile.
fn items_a_message(queue: &Queue, max_payload: usize, max_bytes: i64) -> Result<usize, Failure> {
    let item = queue.schema().item_nbytes().max(1);
    // The notes of an item in the message: four numbers.
    let with_notes = item + 96;
    let room = max_payload.saturating_sub(HEADROOM + 2 * queue.schema().to_json().len());
    if with_notes > room {
        return Err(Failure::refused(format!(
            "an item has {item} bytes, and the server takes messages of {max_payload}: raise `max_payload` in its configuration"
        )));
    }
    // Some messages are to fit into the stream at a time; none of its own is without a limit.
    let stream = usize::try_from(max_bytes).ok().filter(|max_bytes| *max_bytes > 0).unwrap_or(usize::MAX);
    let header = 2 * queue.schema().to_json().len() + 2048;
    if with_notes + header > stream {
        return Err(Failure::refused(format!(
            "an item has {item} bytes, and the stream holds {stream} in all: remove it, and make it with a larger --max-bytes"
        )));
    }
    let room = room.min((stream / 4).saturating_sub(header).max(with_notes));
    let by_size = (FULL_NBYTES / item).clamp(1, room / with_notes);
    Ok(by_size.min(queue.capacity().div_ceil(4)).max(1))
}

/// The thread that takes items.
struct Taker {
    queue: Queue,
    origin: Origin,
    /// The most items of a message.
    items: usize,
    linger: Duration,
    notes: Arc<Notes>,
    ending: Ending,
}

impl Taker {
    fn run(&self, sender: &mpsc::Sender<Taken>) -> Result<(), Failure> {
        let outcome = self.take_all(sender);
        if outcome.is_err() {
            // Whoever publishes ends with the channel; nothing else is to begin.
            self.ending.end();
        }
        outcome
    }

    fn take_all(&self, sender: &mpsc::Sender<Taken>) -> Result<(), Failure> {
        let wire = Wire::new(self.queue.schema().as_ref().clone());
        let of_the_one_before = self.notes.lock().messages.clone();
        for noted in of_the_one_before {
            match self.take_again(&noted)? {
                Again::Message(loans) => {
                    let taken = self.message_again(&wire, loans, &noted)?;
                    if sender.blocking_send(taken).is_err() {
                        return Ok(());
                    }
                }
                // It has no items that could tell whether it was acknowledged.
                Again::Released if noted.tickets.is_empty() => {
                    if sender.blocking_send(self.end(noted.number)).is_err() {
                        return Ok(());
                    }
                }
                Again::Released => self.notes.is_released(noted.number),
                Again::Over => return Ok(()),
            }
        }
        let mut last = Instant::now();
        while let Some(batch) = self.take_next(last)? {
            last = Instant::now();
            let deliveries: Vec<_> = batch.infos().map(|info| info.delivery_count - 1).collect();
            let tickets = batch.infos().map(|info| info.ticket).collect();
            let number = self.notes.lock().next;
            let taken = self.message(&wire, batch, number, &deliveries)?;
            self.notes.add(Noted { number, tickets, deliveries })?;
            if sender.blocking_send(taken).is_err() {
                return Ok(());
            }
        }
        if !self.ending.is_over() {
            let number = self.notes.lock().next;
            self.notes.add(Noted { number, tickets: Vec::new(), deliveries: Vec::new() })?;
            // Where nobody publishes any more, a successor says it.
            let _ = sender.blocking_send(self.end(number));
        }
        Ok(())
    }

    /// The last message (P3).
    fn end(&self, number: u64) -> Taken {
        let envelope = Envelope { is_end: true, ..self.envelope(number) };
        Taken { envelope, payload: Bytes::new(), holds: Vec::new() }
    }

    fn envelope(&self, number: u64) -> Envelope {
        Envelope { origin: self.origin.segment.clone(), number, after: number, is_end: false }
    }

    /// The next items; `None` when there are no more, or the relay is to end.
    ///
    /// Small items go together: while a message was made less than `linger` ago, a full one is waited for. An item that comes after a pause
    /// waits for nobody.
    fn take_next(&self, last: Instant) -> Result<Option<ReadBatch<'_>>, Failure> {
        let full = BatchSize::exactly(self.items);
        let any = BatchSize::between(1, self.items);
        loop {
            if self.ending.is_over() {
                return Ok(None);
            }
            let is_over = &mut || self.ending.is_over();
            let rest = self.linger.saturating_sub(last.elapsed());
            let taken = if rest > Duration::ZERO && self.items > 1 {
                match self.queue.borrow_batch_with(full, Wait::at_most(rest).or_until(is_over)) {
                    Err(BorrowError::Empty) => continue,
                    // Fewer are left.
                    Err(BorrowError::ShutDown(_)) => self.queue.try_borrow_batch(any),
                    taken => taken,
                }
            } else {
                self.queue.borrow_batch_with(any, Wait::forever().or_until(is_over))
            };
            return match taken {
                Ok(batch) => Ok(Some(batch)),
                Err(BorrowError::Interrupted | BorrowError::ShutDown(_)) => Ok(None),
                Err(BorrowError::Empty) => continue,
                Err(error) => Err(error.into()),
            };
        }
    }

    /// The items of a message of the relay before (P2), once a sweep has brought them back. Others that come first are held meanwhile.
    fn take_again(&self, noted: &Noted) -> Result<Again<'_>, Failure> {
        let (mut found, mut others) = (Vec::new(), Vec::new());
        while !self.ending.is_over() {
            let mut missing = 0;
            for ticket in &noted.tickets {
                let is_found = found.iter().any(|loan: &ReadLoan<'_>| loan.ticket() == *ticket);
                missing += usize::from(!is_found && !self.queue.is_released(*ticket)?);
            }
            if missing == 0 {
                for loan in others {
                    ReadLoan::give_back(loan)?;
                }
                found.sort_unstable_by_key(ReadLoan::ticket);
                return Ok(if found.is_empty() { Again::Released } else { Again::Message(found) });
            }
            match self.queue.try_borrow() {
                Ok(loan) if noted.tickets.contains(&loan.ticket()) => found.push(loan),
                Ok(loan) => others.push(loan),
                Err(BorrowError::Empty | BorrowError::ShutDown(_)) => {
                    self.queue.sweep()?;
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
        for loan in found.into_iter().chain(others) {
            loan.give_back()?;
        }
        Ok(Again::Over)
    }

    fn message(
        &self,
        wire: &Wire,
        batch: ReadBatch<'_>,
        number: u64,
        deliveries: &[u32],
    ) -> Result<Taken, Failure> {
        let notes: Vec<_> =
            batch.infos().zip(deliveries).map(|(info, count)| note_of_item(&info, *count)).collect();
        match wire.encode(&self.origin, &notes, &batch) {
            Ok(payload) => {
                let holds = vec![batch.into_hold()];
                Ok(Taken { envelope: self.envelope(number), payload: payload.into(), holds })
            }
            Err(error) => {
                batch.give_back()?;
                Err(error.into())
            }
        }
    }

    fn message_again(&self, wire: &Wire, loans: Vec<ReadLoan<'_>>, noted: &Noted) -> Result<Taken, Failure> {
        let count_of =
            |ticket| noted.tickets.iter().position(|it| *it == ticket).map_or(0, |at| noted.deliveries[at]);
        let notes: Vec<_> =
            loans.iter().map(|loan| note_of_item(&loan.info(), count_of(loan.ticket()))).collect();
        match wire.encode(&self.origin, &notes, &Loans(&loans)) {
            Ok(payload) => {
                let holds = loans.into_iter().map(ReadLoan::into_hold).collect();
                Ok(Taken { envelope: self.envelope(noted.number), payload: payload.into(), holds })
            }
            Err(error) => {
                for loan in loans {
                    loan.give_back()?;
                }
                Err(error.into())
            }
        }
    }
}

fn note_of_item(info: &ItemInfo, delivery_count: u32) -> ItemNote {
    ItemNote {
        ticket: info.ticket,
        put_time_ns: info.put_time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64,
        producer_pid: info.producer_pid,
        delivery_count,
    }
}

/// Rows of loans that lie anywhere, at least one.
struct Loans<'l, 'q>(&'l [ReadLoan<'q>]);

impl Rows for Loans<'_, '_> {
    fn schema(&self) -> Option<&Schema> {
        self.0.first().map(ReadLoan::schema)
    }

    fn rows(&self, leaf: usize) -> Cow<'_, [u8]> {
        let rows: Vec<_> = self.0.iter().map(|loan| loan.leaf_bytes(leaf)).collect();
        rows.concat().into()
    }
}

enum Again<'q> {
    /// What is left of it.
    Message(Vec<ReadLoan<'q>>),
    /// Nothing is left of it.
    Released,
    /// The relay is to end.
    Over,
}

/// The task that publishes.
struct Publisher<'p> {
    context: &'p jetstream::Context,
    subject: String,
    window: usize,
    notes: &'p Notes,
    ending: &'p Ending,
}

/// A message that is under way.
struct UnderWay {
    taken: Taken,
    ack: Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>,
}

impl Publisher<'_> {
    /// Until no message comes any more, and those under way are acknowledged; at the end they are given up if the server does not answer.
    async fn run(&self, mut messages: mpsc::Receiver<Taken>) {
        let mut under_way: VecDeque<UnderWay> = VecDeque::new();
        let mut is_over = false;
        while !(is_over && under_way.is_empty()) {
            let has_room = under_way.len() < self.window;
            tokio::select! {
                biased;
                outcome = first_ack(&mut under_way), if !under_way.is_empty() => {
                    let first = under_way.pop_front().expect("one");
                    match outcome {
                        Ok(()) => self.release(first.taken),
                        Err(error) => {
                            if !self.publish_again(first.taken, error, &mut under_way).await {
                                return;
                            }
                        }
                    }
                }
                taken = messages.recv(), if has_room && !is_over => match taken {
                    Some(mut taken) => {
                        if let Some(first) = under_way.front() {
                            taken.envelope.after = first.taken.envelope.number;
                        }
                        let ack = Box::pin(self.publish(&taken).await);
                        under_way.push_back(UnderWay { taken, ack });
                    }
                    None => is_over = true,
                },
                () = self.ending.over(), if !is_over => is_over = true,
            }
        }
    }

    /// Sends it, and returns what waits for the acknowledgement.
    async fn publish(&self, taken: &Taken) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
        let message =
            PublishMessage::build().payload(taken.payload.clone()).headers(taken.envelope.headers());
        let sent = self.context.send_publish(self.subject.clone(), message).await;
        async move { sent?.await.map(drop) }
    }

    /// P4. False if the relay is to end, and gives up what is not acknowledged.
    async fn publish_again(
        &self,
        first: Taken,
        error: PublishError,
        under_way: &mut VecDeque<UnderWay>,
    ) -> bool {
        let mut failed = VecDeque::from([first]);
        // All at once: each waits as long as the server is given time for one.
        let (taken, acks): (Vec<_>, Vec<_>) = under_way.drain(..).map(|it| (it.taken, it.ack)).unzip();
        for (taken, outcome) in taken.into_iter().zip(join_all(acks).await) {
            match outcome {
                Ok(()) => self.release(taken),
                Err(_) => failed.push_back(taken),
            }
        }
        // Each is published when all before it are acknowledged.
        failed.iter_mut().for_each(|taken| taken.envelope.after = taken.envelope.number);
        let (mut said, mut give_up_at) = (None, None);
        let mut back_off = BackOff::new();
        let mut error = Some(error);
        while let Some(first) = failed.front() {
            if let Some(error) = error.take() {
                if error.kind() == PublishErrorKind::MaxPayloadExceeded {
                    let why = format!("{error}: raise `max_payload` in the server's configuration");
                    self.ending.fail(Failure::refused(why));
                }
                let why = in_words(&error);
                if said.as_ref() != Some(&why) {
                    say(&why);
                    said = Some(why);
                }
                if !back_off.pause(self.ending).await {
                    let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + LAST_PATIENCE);
                    if self.ending.has_failed() || Instant::now() > give_up_at {
                        let left = failed.len();
                        say(format_args!(
                            "{left} messages are not acknowledged; their items stay in the queue"
                        ));
                        return false;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            match self.publish(first).await.await {
                Ok(()) => {
                    self.release(failed.pop_front().expect("one"));
                    back_off = BackOff::new();
                }
                Err(again) => error = Some(again),
            }
        }
        say("the server takes messages again");
        true
    }

    /// The server has the message.
    fn release(&self, taken: Taken) {
        let Taken { envelope, holds, .. } = taken;
        for mut hold in holds {
            if let Err(error) = hold.release() {
                return self.ending.fail(error.into());
            }
        }
        self.notes.is_released(envelope.number);
    }
}

/// Waits for the acknowledgement of the message that was published first, which is still there then.
async fn first_ack(under_way: &mut VecDeque<UnderWay>) -> Result<(), PublishError> {
    under_way.front_mut().expect("asked for when there is one").ack.as_mut().await
}

/// What it means that a message was not taken.
fn in_words(error: &PublishError) -> String {
    let refusal = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    match refusal.map(jetstream::Error::error_code) {
        Some(ErrorCode::STREAM_STORE_FAILED) if error.to_string().contains("maximum") => {
            "the stream is full: the producers wait until consumers have taken more".to_owned()
        }
        _ => format!("the server does not take messages ({error}); it is tried again"),
    }
}

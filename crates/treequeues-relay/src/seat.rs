//! Who pulls a stream: one host at a time, so that items come in order and once. Its name stands in a key-value bucket of the server.
//!
//! E1. The holder is known by its folder of named queues and the boot of its host. A new relay of the same folder takes over at once: the one
//!     before is dead, or it would have the lock there.
//! E2. A holder gives a sign of life in time. Another host takes over when there was none for as long as a message may be unacknowledged, by its
//!     own clock; and only what it saw: if a sign has come since, its write fails.
//! E3. Who ends gives it up. Who finds that another one has it ends.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::jetstream::kv::{self, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::{self, kv::CreateErrorKind};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::say;
use crate::server::BackOff;

const BUCKET: &str = "treequeues";
/// Signs of life in the time after which there is none.
const SIGNS: u32 = 6;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Who has a stream, as the bucket says it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Holder {
    host: String,
    /// The boot and the folder (E1).
    place: String,
    pid: u32,
}

/// The right to pull a stream.
pub struct Seat {
    store: Store,
    key: String,
    value: Vec<u8>,
    revision: Mutex<u64>,
    patience: Duration,
}

impl Seat {
    /// Waits until nobody else has it; `None` if the relay is to end before.
    pub async fn take(
        context: &jetstream::Context,
        stream: &str,
        host: &str,
        folder: &Path,
        replicas: usize,
        patience: Duration,
        ending: &Ending,
    ) -> Result<Option<Self>, Failure> {
        let holder = Holder { host: host.to_owned(), place: place(folder)?, pid: std::process::id() };
        let key = format!("pull.{stream}");
        let mut seen: Option<(u64, Instant)> = None;
        let mut back_off = BackOff::new();
        let mut has_said = false;
        loop {
            match Self::attempt(context, &key, &holder, replicas, &mut seen, patience).await {
                Ok(Attempt::Taken { store, revision }) => {
                    let value = serde_json::to_vec(&holder)?;
                    let revision = Mutex::new(revision);
                    return Ok(Some(Self { store: *store, key, value, revision, patience }));
                }
                Ok(Attempt::Held(by)) => {
                    back_off = BackOff::new();
                    if !std::mem::replace(&mut has_said, true) {
                        say(format_args!("the host {:?} pulls this queue: its turn is waited for", by.host));
                    }
                    tokio::select! {
                        () = tokio::time::sleep(BETWEEN_LOOKS) => {}
                        () = ending.over() => return Ok(None),
                    }
                }
                Err(why) => {
                    if !std::mem::replace(&mut has_said, true) {
                        say(format_args!(
                            "the server does not tell who pulls this queue ({why}); it is tried again"
                        ));
                    }
                    if !back_off.pause(ending).await {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn attempt(
        context: &jetstream::Context,
        key: &str,
        holder: &Holder,
        replicas: usize,
        seen: &mut Option<(u64, Instant)>,
        patience: Duration,
    ) -> Result<Attempt, String> {
        let store = match context.get_key_value(BUCKET).await {
            Ok(store) => store,
            Err(_) => {
                let config =
                    kv::Config { bucket: BUCKET.to_owned(), num_replicas: replicas, ..kv::Config::default() };
                context.create_key_value(config).await.map_err(|error| error.to_string())?
            }
        };
        let value = serde_json::to_vec(holder).map_err(|error| error.to_string())?;
        let entry = store.entry(key).await.map_err(|error| error.to_string())?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
            return match store.create(key, value.into()).await {
                Ok(revision) => Ok(Attempt::Taken { store: Box::new(store), revision }),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                    Err("another one was faster".to_owned())
                }
                Err(error) => Err(error.to_string()),
            };
        };
        // What cannot be read is nobody's.
        let by: Option<Holder> = serde_json::from_slice(&entry.value).ok();
        if let Some(by) = by.filter(|by| by.place != holder.place) {
            let since = match *seen {
                Some((revision, since)) if revision == entry.revision => since,
                _ => seen.insert((entry.revision, Instant::now())).1,
            };
            if since.elapsed() < patience {
                return Ok(Attempt::Held(by));
            }
        }
        let revision =
            store.update(key, value.into(), entry.revision).await.map_err(|error| error.to_string())?;
        Ok(Attempt::Taken { store: Box::new(store), revision })
    }

    /// Signs of life, until all is done; then gives it up. If another host has it, the relay is to end.
    pub async fn keep(&self, ending: &Ending, done: &Ending) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.patience / SIGNS) => {}
                () = done.over() => break,
            }
            // The connection tells by itself that it is lost.
            let _ = self.renew(ending).await;
        }
        let revision = *self.revision.lock().await;
        let _ = self.store.delete_expect_revision(&self.key, Some(revision)).await;
    }

    /// One sign of life. Fails if the server does not take it, and if another host has the seat.
    pub async fn renew(&self, ending: &Ending) -> Result<(), String> {
        let mut revision = self.revision.lock().await;
        let error = match self.store.update(&self.key, self.value.clone().into(), *revision).await {
            Ok(next) => {
                *revision = next;
                return Ok(());
            }
            Err(error) => error,
        };
        if error.kind() == UpdateErrorKind::WrongLastRevision {
            // Its own last sign may have come, and its acknowledgement not.
            match self.store.entry(&self.key).await {
                Ok(Some(entry)) if entry.value == self.value => {
                    *revision = entry.revision;
                    return Ok(());
                }
                Ok(_) => ending.fail(Failure::refused(
                    "another host pulls this queue now: there was no sign of life from here for too long",
                )),
                Err(_) => {}
            }
        }
        Err(error.to_string())
    }
}

enum Attempt {
    Taken { store: Box<Store>, revision: u64 },
    Held(Holder),
}

fn place(folder: &Path) -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let folder = std::fs::metadata(folder)?;
    Ok(format!("{} {} {}", boot.trim(), folder.dev(), folder.ino()))
}

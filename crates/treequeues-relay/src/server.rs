//! The connection, the stream, and what the server says, in words.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError};
use tokio::sync::watch;
use treequeues::{Queue, Schema};

use crate::arguments::Common;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::say;

/// How large a stream may become if nobody says.
const DEFAULT_MAX_BYTES: u64 = 1 << 30;
/// How long the server is waited for before a request is tried again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between tries double from the first to the second.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// The headers of a message of ours and what the server adds count against its `max_payload`.
pub const HEADROOM: usize = 64 << 10;

const NAME: &str = "treequeues.name";
const KIND: &str = "treequeues.kind";
const FINGERPRINT: &str = "treequeues.fingerprint";
const SCHEMA: &str = "treequeues.schema";
/// The server has room for so much of a stream's metadata, all together.
const MAX_SCHEMA_NBYTES: usize = 100 << 10;

/// The connection, and how often it was lost so far.
pub struct Link {
    pub client: Client,
    pub losses: watch::Receiver<u64>,
}

/// Pauses that grow.
pub struct BackOff(Duration);

impl BackOff {
    pub fn new() -> Self {
        Self(PAUSES[0])
    }

    /// False if the relay is to end before.
    pub async fn pause(&mut self, ending: &Ending) -> bool {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSES[1]);
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = ending.over() => false,
        }
    }
}

/// Connects, however long that takes; `None` if the relay is to end before.
///
/// Later the connection is made again by itself whenever it is lost; that is said once each time.
pub async fn connect(common: &Common, ending: &Ending) -> Result<Option<Link>, Failure> {
    let servers = common.server.iter().map(|server| {
        server
            .parse()
            .map_err(|error| Failure::refused(format!("--server is like nats://host:4222 ({error})")))
    });
    let servers: Vec<ServerAddr> = servers.collect::<Result<_, _>>()?;
    let places = places(&servers);
    let mut back_off = BackOff::new();
    let mut has_said = false;
    loop {
        let (lost, losses) = watch::channel(0);
        let error = match options(common, &servers, ending, lost)?.connect(&servers).await {
            Ok(client) => return Ok(Some(Link { client, losses })),
            Err(error) => error,
        };
        match error.kind() {
            ConnectErrorKind::Dns | ConnectErrorKind::TimedOut | ConnectErrorKind::Io => {}
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                return Err(Failure::refused(format!(
                    "{places} refuses these credentials ({error}): --creds FILE, or a user and a password in its address"
                )));
            }
            _ => return Err(Failure::refused(format!("{places}: {error}"))),
        }
        if !has_said {
            say(format_args!("no server answers at {places} ({error}); it is tried again"));
            has_said = true;
        }
        if !back_off.pause(ending).await {
            return Ok(None);
        }
    }
}

/// Where the servers are, without what nobody else is to read.
fn places(servers: &[ServerAddr]) -> String {
    let places: Vec<_> =
        servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect();
    places.join(",")
}

fn options(
    common: &Common,
    servers: &[ServerAddr],
    ending: &Ending,
    lost: watch::Sender<u64>,
) -> Result<ConnectOptions, Failure> {
    let ending = ending.clone();
    let lost = Arc::new(lost);
    let mut options = ConnectOptions::new()
        .name(format!("treequeues-relay {}", common.name))
        .request_timeout(Some(REQUEST_TIMEOUT))
        .reconnect_delay_callback(|tries| {
            PAUSES[1].min(PAUSES[0] * 2_u32.saturating_pow(tries.saturating_sub(1).min(10) as u32))
        })
        .event_callback(move |event| {
            if matches!(event, Event::Disconnected) {
                lost.send_modify(|losses| *losses += 1);
            }
            let ending = ending.clone();
            async move { notice(&event, &ending) }
        });
    // The library leaves those in an address to its user.
    if let Some((user, password)) =
        servers.iter().find_map(|server| Some((server.username()?, server.password())))
    {
        options = match password {
            Some(password) => options.user_and_password(user.to_owned(), password.to_owned()),
            None => options.token(user.to_owned()),
        };
    }
    let unreadable = |path: &Path, error| Failure::refused(format!("{}: {error}", path.display()));
    if let Some(path) = &common.creds {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
        options = options.credentials(&text).map_err(|error| unreadable(path, error))?;
    }
    if let Some(path) = &common.tlsca {
        options = options.add_root_certificates(path.clone()).require_tls(true);
    }
    if let (Some(cert), Some(key)) = (&common.tlscert, &common.tlskey) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    Ok(options)
}

fn notice(event: &Event, ending: &Ending) {
    match event {
        Event::Disconnected if !ending.is_over() => {
            say("the connection is lost; it is made again when the server answers")
        }
        Event::Connected => {}
        Event::ServerError(ServerError::AuthorizationViolation) => {
            ending.fail(Failure::refused("the server refuses these credentials (authorization violation)"));
        }
        Event::ServerError(ServerError::Other(what))
            if what.to_lowercase().contains("permissions violation") =>
        {
            ending.fail(Failure::refused(format!("the server refuses it: {what}")));
        }
        Event::ServerError(error) => say(format_args!("the server says: {error}")),
        _ => {}
    }
}

/// What a queue's stream is to be.
pub struct Wanted<'w> {
    queue: &'w str,
    schema: &'w Schema,
    replicas: Option<usize>,
    max_bytes: Option<u64>,
}

/// Names of queues may have dots, those of streams may not.
pub fn stream_name(queue: &str) -> String {
    format!("treequeues-{}", queue.replace('.', "_"))
}

pub fn subject(queue: &str) -> String {
    format!("treequeues.{}", queue.replace('.', "_"))
}

impl<'w> Wanted<'w> {
    pub fn of(common: &'w Common, queue: &'w Queue) -> Self {
        let Common { name, replicas, max_bytes, .. } = common;
        Self { queue: name, schema: queue.schema(), replicas: *replicas, max_bytes: *max_bytes }
    }

    fn config(&self) -> Config {
        let schema = self.schema.to_json();
        let mut metadata = HashMap::from([
            (NAME.to_owned(), self.queue.to_owned()),
            (KIND.to_owned(), "queue".to_owned()),
            (FINGERPRINT.to_owned(), format!("{:016x}", self.schema.fingerprint())),
        ]);
        if schema.len() <= MAX_SCHEMA_NBYTES {
            metadata.insert(SCHEMA.to_owned(), schema);
        }
        Config {
            name: stream_name(self.queue),
            description: Some(format!("items of the treequeues queue {}", self.queue)),
            subjects: vec![subject(self.queue)],
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            max_bytes: self.max_bytes.unwrap_or(DEFAULT_MAX_BYTES) as i64,
            num_replicas: self.replicas.unwrap_or(1),
            metadata,
            ..Config::default()
        }
    }

    /// The stream, which is made if there is none, and must be as wanted if there is one; `None` if the relay is to end before.
    pub async fn stream(
        &self,
        context: &jetstream::Context,
        ending: &Ending,
    ) -> Result<Option<Stream>, Failure> {
        let mut back_off = BackOff::new();
        let mut has_said = false;
        loop {
            let why = match self.look(context).await? {
                Ok(stream) => return Ok(Some(stream)),
                Err(why) => why,
            };
            if !std::mem::replace(&mut has_said, true) {
                say(format_args!("the server does not answer for the stream ({why}); it is tried again"));
            }
            if !back_off.pause(ending).await {
                return Ok(None);
            }
        }
    }

    /// The inner error is one that may be over soon.
    async fn look(&self, context: &jetstream::Context) -> Result<Result<Stream, String>, Failure> {
        let config = self.config();
        let found = match context.get_stream(&config.name).await {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    match context.create_stream(config).await {
                        Ok(stream) => return Ok(Ok(stream)),
                        Err(error) => match error.kind() {
                            CreateStreamErrorKind::JetStream(error) => return in_words(&error),
                            _ => return Ok(Err(error.to_string())),
                        },
                    }
                }
                GetStreamErrorKind::JetStream(error) => return in_words(&error),
                // One that has it may not be ready yet; and another server may have it.
                _ if is_nobodys(&error) && !context.client().server_info().jetstream => {
                    return Err(no_jetstream());
                }
                _ => return Ok(Err(error.to_string())),
            },
        };
        self.compare(&found.cached_info().config).map(|()| Ok(found))
    }

    /// A stream that is there beside what is wanted.
    fn compare(&self, found: &Config) -> Result<(), Failure> {
        let stream = &found.name;
        let theirs = |key| found.metadata.get(key).map_or("", String::as_str);
        if theirs(NAME) != self.queue {
            return Err(Failure::refused(format!(
                "the stream {stream} is that of the queue {:?}, and {:?} would have the same: name one of them otherwise",
                theirs(NAME),
                self.queue
            )));
        }
        let ours = format!("{:016x}", self.schema.fingerprint());
        if theirs(FINGERPRINT) != ours {
            let difference =
                Schema::from_json(theirs(SCHEMA)).ok().and_then(|it| self.schema.difference(&it));
            let difference = difference.map_or_else(
                || format!("fingerprint {ours} here, {} there", theirs(FINGERPRINT)),
                |difference| difference.to_string(),
            );
            return Err(Failure::refused(format!(
                "the stream {stream} has other items than the queue here; remove it, or rename the queue:\n{difference}"
            )));
        }
        let mut misfits = Vec::new();
        let mut hold = |what: &str, wanted: String, found: String| {
            if wanted != found {
                misfits.push(format!("  {what}: wanted {wanted}, it has {found}"));
            }
        };
        hold("retention", format!("{:?}", RetentionPolicy::WorkQueue), format!("{:?}", found.retention));
        hold("discard", format!("{:?}", DiscardPolicy::New), format!("{:?}", found.discard));
        if let Some(replicas) = self.replicas {
            hold("--replicas", replicas.to_string(), found.num_replicas.to_string());
        }
        if let Some(max_bytes) = self.max_bytes {
            hold("--max-bytes", max_bytes.to_string(), found.max_bytes.to_string());
        }
        if misfits.is_empty() {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "the stream {stream} is there, and another one:\n{}",
            misfits.join("\n")
        )))
    }
}

/// Whether nobody answers for such a thing.
fn is_nobodys(error: &GetStreamError) -> bool {
    let request = error.source().and_then(|source| source.downcast_ref::<RequestError>());
    request.is_some_and(|request| request.kind() == RequestErrorKind::NoResponders)
}

fn no_jetstream() -> Failure {
    Failure::refused(
        "the server has no JetStream: start it with `nats-server --jetstream --store_dir FOLDER`",
    )
}

/// What a server's refusal means here: the inner error is one that may be over soon.
fn in_words<T>(error: &jetstream::Error) -> Result<Result<T, String>, Failure> {
    /// What a server says that is not ready, or has no leader.
    const UNAVAILABLE: usize = 503;
    match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            Err(no_jetstream())
        }
        // Another relay was faster.
        ErrorCode::STREAM_NAME_EXIST => Ok(Err(error.to_string())),
        _ if error.code() == UNAVAILABLE => Ok(Err(error.to_string())),
        _ => Err(Failure::refused(format!("the server refuses the stream: {error}"))),
    }
}

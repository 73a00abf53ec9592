//! What the server and its client reach without any queue: one process publishes messages of one size, another one takes them. For the
//! benchmark of relays.
//!
//! ```text
//! bare push URL NBYTES WINDOW    until it is killed
//! bare pull URL WINDOW SECONDS   prints the bytes a second that it took
//! bare echo URL NBYTES COUNT     prints how long each of so many round trips took, by way of the stream, in seconds
//! ```

use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, Stream};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures_util::StreamExt;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["push", url, nbytes, window] => push(url, nbytes.parse()?, window.parse()?).await,
        ["pull", url, window, seconds] => pull(url, window.parse()?, seconds.parse()?).await,
        ["echo", url, nbytes, count] => echo(url, nbytes.parse()?, count.parse()?).await,
        _ => Err("bare push|pull|echo URL ...".into()),
    }
}

async fn stream(url: &str) -> Result<(Context, Stream), Failure> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let config = Config {
        name: "bare".to_owned(),
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_bytes: 1 << 30,
        ..Config::default()
    };
    let stream = context.get_or_create_stream(config).await?;
    Ok((context, stream))
}

async fn consumer(stream: &Stream) -> Result<PullConsumer, Failure> {
    let config = pull::Config {
        durable_name: Some("pull".to_owned()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: -1,
        ..pull::Config::default()
    };
    Ok(stream.get_or_create_consumer("pull", config).await?)
}

fn message(payload: &Bytes) -> PublishMessage {
    PublishMessage::build().payload(payload.clone())
}

async fn push(url: &str, nbytes: usize, window: usize) -> Result<(), Failure> {
    let (context, _) = stream(url).await?;
    let payload = Bytes::from(vec![7; nbytes]);
    let mut under_way = VecDeque::new();
    loop {
        under_way.push_back(context.send_publish("bare", message(&payload)).await?);
        // A stream that is full: as the relay does, again.
        if under_way.len() == window
            && let Some(first) = under_way.pop_front()
            && first.await.is_err()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn pull(url: &str, window: usize, seconds: f64) -> Result<(), Failure> {
    let (_, stream) = stream(url).await?;
    let consumer = consumer(&stream).await?;
    let mut messages = consumer.stream().max_messages_per_batch(window).messages().await?;
    let mut began = None;
    let mut nbytes = 0;
    while let Some(message) = messages.next().await {
        let message = message?;
        message.ack().await?;
        let began = *began.get_or_insert_with(Instant::now);
        nbytes += message.payload.len();
        if began.elapsed().as_secs_f64() >= seconds {
            println!("{}", nbytes as f64 / began.elapsed().as_secs_f64());
            break;
        }
    }
    Ok(())
}

async fn echo(url: &str, nbytes: usize, count: usize) -> Result<(), Failure> {
    let (context, stream) = stream(url).await?;
    let consumer = consumer(&stream).await?;
    let mut messages = consumer.messages().await?;
    let payload = Bytes::from(vec![7; nbytes]);
    for _ in 0..count {
        let began = Instant::now();
        context.send_publish("bare", message(&payload)).await?.await?;
        let message = messages.next().await.ok_or("no message")??;
        println!("{}", began.elapsed().as_secs_f64());
        message.ack().await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

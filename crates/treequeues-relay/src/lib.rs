//! The relay of treequeues: it carries a queue's items from one host to others, over NATS JetStream.
//!
//! A relay is a participant of the queue like any other, one process for a host and a queue. `push` takes items, and releases them when the
//! server has them; `pull` puts them into the queue of its host, and acknowledges when a consumer has released them.
//!
//! | module | what it is |
//! |---|---|
//! | `arguments` | the command line |
//! | `ending` | when a relay is to end, and why |
//! | `local` | the named queue of this host |
//! | `desk` | the files of a relay beside the named queues: its lock, and what its successor must know |
//! | `server` | the connection, the stream, and what the server says, in words |
//! | `envelope` | what stands in a message's headers |
//! | `ranges` | sets of numbers that are mostly consecutive |
//! | `seat` | who pulls a stream |
//! | `push` | from the queue to the stream |
//! | `pull` | from the stream to the queue |
//! | `failure` | why something was not done, and the exit codes |
//!
//! Y1. **Nothing is lost.** An item is released here when the server has acknowledged its message, and a message is acknowledged when the items
//!     of it were released there. Whoever dies in between has it again, or the server has.
//! Y2. **Nothing comes twice** to one pull host. The messages of one origin, a segment of a queue, are numbered. push notes which tickets
//!     have which number before it publishes them, and its successor makes the same messages. pull notes which numbers it has put, and
//!     before each commit what it is about to put, and where: after its death the queue itself tells whether that came
//!     (`Queue::has_arrived`).
//! Y3. **In order** from one push host to one pull host: pull puts the messages of an origin by their numbers. One that the server has refused,
//!     and that is published again behind later ones, is waited for.
//! Y4. Notes live beside the named queues, in memory: as long as the ring does, and no longer.
#![forbid(unsafe_code)]

mod arguments;
mod desk;
mod ending;
mod envelope;
mod failure;
mod local;
mod pull;
mod push;
mod ranges;
mod seat;
mod server;

use std::ffi::OsString;

use clap::Parser;

use arguments::{Arguments, Command};
use ending::Ending;
use failure::{Failure, GOOD, NOT_DONE, USAGE};

/// Runs the relay with these arguments, its own name first, and returns its exit code: 0 when it ended by SIGTERM or with its stream, 1
/// when it was refused, 2 for a command line that it does not understand.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and versions are no errors. Nobody is there to be told that nobody listens.
            let _ = error.print();
            return if error.use_stderr() { USAGE } else { GOOD };
        }
    };
    match relay(arguments) {
        Ok(()) => GOOD,
        Err(failure) => {
            say(failure);
            NOT_DONE
        }
    }
}

fn relay(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let ending = Ending::by_signals()?;
        match arguments.command {
            Command::Push(command) => push::push(&command, &ending).await,
            Command::Pull(command) => pull::pull(&command, &ending).await,
        }
    });
    // A thread of its own that waits at a queue ends by itself, or with the process.
    runtime.shutdown_background();
    outcome
}

/// Tells the person at the terminal, or the log.
fn say(what: impl std::fmt::Display) {
    eprintln!("treequeues-relay: {what}");
}

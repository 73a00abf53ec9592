//! The command `treequeues`: it lists, shows, watches and cleans up named queues and topics.
//!
//! Almost all of it looks from outside, through [`treequeues::AnyObserver`]: it is no participant, holds no slot,
//! and is in nobody's way. Only `demo` and `bench` put and get, in queues of their own.
//!
//! # A tour in reading order
//!
//! | module | what it is |
//! |---|---|
//! | `arguments` | what can be asked for, and the help |
//! | `failure` | why something was not done, and the exit codes |
//! | `output` | tables, JSON, and a reader that has gone |
//! | `units` | bytes, spans of time and rates, as people read them |
//! | `look` | what is seen of a queue or topic at about one moment, as plain data: the fields of the JSON |
//! | `watcher` | looks, at one of them or at all, again and again |
//! | `tree` | a schema as a tree of lines |
//! | `ls`, `inspect`, `clean`, `peek` | one look each, and what is printed of it |
//! | `prometheus` | looks in the format that Prometheus reads |
//! | `elements` | smallest, largest and mean of the bytes of a leaf |
//! | `top` | looks again and again: a model, its drawing, and the loop around both |
//! | `stop` | the signals that end a command |
//! | `helper` | this command started again, as another process |
//! | `relay` | the relay, which is a program of its own |
//! | `demo`, `bench` | queues to look at; what this machine can do |
#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod clean;
mod demo;
mod elements;
mod failure;
mod helper;
mod inspect;
mod look;
mod ls;
mod output;
mod peek;
mod prometheus;
mod relay;
mod stop;
mod top;
mod tree;
mod units;
mod watcher;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{CommandFactory, Parser};

use crate::arguments::{Arguments, Command, Role};
use crate::failure::{Failure, USAGE};

/// Does what the command line asks for, and returns the exit code: 0 done; 1 what was asked for is not there, or could not
/// be done; 2 not understood.
///
/// `args` begins with the name of the program. `restart` is the beginning of a command line that starts this command again:
/// `demo` and `bench` need more than one process.
pub fn run(args: impl IntoIterator<Item = OsString>, restart: Vec<OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            let text = error.render().to_string();
            let text =
                text.strip_prefix("error: ").map_or(text.clone(), |text| format!("treequeues: {text}"));
            // Nobody is left to tell where this cannot be written.
            let _ = write!(io::stderr(), "{text}");
            return USAGE;
        }
        // Help, or the version.
        Err(error) => return Failure::exit_code_of(error.print().map_err(Failure::Output)),
    };
    let mut out = anstream::stdout();
    let done = dispatch(arguments.command, &restart, &mut out);
    Failure::exit_code_of(done.and_then(|()| out.flush().map_err(Failure::Output)))
}

fn dispatch(command: Command, restart: &[OsString], out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        Command::Ls(asked) => ls::run(&asked, out),
        Command::Inspect(asked) => inspect::run(&asked, out),
        Command::Top(asked) => top::run(&asked, out),
        Command::Clean(asked) => clean::run(&asked, out),
        Command::Peek(asked) => peek::run(&asked, out),
        Command::Bench(asked) => bench::run(&asked, restart, out),
        Command::Demo(asked) => demo::run(&asked, restart, out),
        Command::Relay { arguments } => relay::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "treequeues", &mut script);
            Ok(out.write_all(&script)?)
        }
        Command::Helper(role) => help(&role),
    }
}

/// Does what a helper is started for.
fn help(role: &Role) -> Result<(), Failure> {
    let stop = helper::begin()?;
    match role {
        Role::DemoProducer { queue, per_second, burst } => demo::produce(queue, *per_second, *burst, &stop),
        Role::DemoConsumer { frames, results } => demo::consume(frames, results, &stop),
        Role::BenchEcho { there, back } => bench::echo(there, back, &stop),
        Role::BenchSink { queue } => bench::sink(queue, &stop),
    }
}

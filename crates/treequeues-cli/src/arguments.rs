//! What can be asked for, and the help.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use treequeues::QueueName;

/// The shortest time between two looks: a look at many queues takes milliseconds.
const MIN_INTERVAL_SECONDS: f64 = 0.05;
/// The longest one, for a line of JSON an hour.
const MAX_INTERVAL_SECONDS: f64 = 3600.0;
/// The longest `--seconds`: a year.
const MAX_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

#[derive(Debug, Parser)]
#[command(
    name = "treequeues",
    version,
    about = "Look at queues and topics that carry arrays between processes: who is attached, what is in them, how fast they go",
    after_help = "\
Examples:
  treequeues ls                     the named queues and topics of this user
  treequeues top                    watch them live
  treequeues inspect actors         all about one of them
  treequeues demo                   queues to try it on: watch them from another terminal

Queues and topics have names if they were made with one: TreeQueue(example, 64, name=\"actors\").
Exit codes: 0 done; 1 not there, or could not be done; 2 the command line was not understood."
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the named queues and topics of this user
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Show all about one queue or topic: schema, slots, participants, subscriptions, counters
    Inspect(Inspect),
    /// Watch queues and topics live: depth, rates, waits, what is missed, who holds slots
    Top(Top),
    /// Remove what is left of queues and topics whose participants have all died
    Clean(Clean),
    /// Show the oldest item of a queue, or the newest of a topic, without taking it
    Peek(Peek),
    /// Measure what this machine can do: copies, latency, rates (5 to 20 seconds)
    Bench(Bench),
    /// Run a small pipeline to look at, with `top` in another terminal
    Demo(Demo),
    /// Carry a queue's items to or from other hosts: starts `treequeues-relay`
    #[command(
        disable_help_flag = true,
        after_help = "\
Examples:
  treequeues relay push steps --server nats://hub:4222    on hosts with producers
  treequeues relay pull steps --server nats://hub:4222    on the host with consumers"
    )]
    Relay {
        /// What `treequeues-relay` is asked for: push, pull, --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<OsString>,
    },
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  treequeues completions bash > ~/.local/share/bash-completion/completions/treequeues
  treequeues completions fish > ~/.config/fish/completions/treequeues.fish")]
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
    /// What this command starts itself as
    #[command(hide = true, subcommand)]
    Helper(Role),
}

#[derive(Debug, Args)]
#[command(after_help = "\
States:
  live      somebody is attached
  idle      nobody is attached, and it was made to be kept
  stale     all its participants have died: `treequeues clean` removes it
  broken    a damaged one that nobody is attached to: `treequeues clean` removes it
  foreign   no queue or topic, or one that this version must not touch

Examples:
  treequeues ls
  treequeues ls --json | jq -r '.[] | select(.state == \"stale\").name'")]
pub struct Ls {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  treequeues inspect actors
  treequeues inspect actors --json | jq .slots
  treequeues inspect --prometheus > /var/lib/node_exporter/treequeues.prom")]
pub struct Inspect {
    /// The queue or topic; with --prometheus all of them if none is named
    #[arg(required_unless_present = "prometheus")]
    pub name: Option<QueueName>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print what Prometheus reads
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Keys:
  q, Esc, Ctrl-C    quit
  up, down          select a queue or topic
  Enter             open or close its details: participants, subscriptions, and who holds slots
  s, r              sort by the next column; the other way round
  ?                 help

Columns:
  DEPTH             of a queue its items, of a topic the slots that somebody writes, reads or keeps
  PUT W, GET W      share of the time that producers waited for room, and consumers for items:
                    the mean of those attached
  PROC              processes attached
  MISSED/S, LAG     items that a topic's subscriptions passed over, and that the last of them is
                    behind, where there are 130 columns
  VERSION, SUBS     ticket of its newest item, and how many subscriptions it has, where there are 150

Examples:
  treequeues top
  treequeues top actors --interval 0.2
  treequeues top --json --count 10 | jq '.queues[].puts_per_second'")]
pub struct Top {
    /// Only this one, with its details
    pub name: Option<QueueName>,
    /// Seconds between two looks
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = interval)]
    pub interval: Duration,
    /// End after so many looks
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Print a line of JSON a look, and no screen
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Live queues and topics, and files that are neither, are never touched.

Examples:
  treequeues clean --dry-run        what it would do
  treequeues clean
  treequeues clean actors --idle    also if it was made to be kept, and nobody is attached")]
pub struct Clean {
    /// Only these
    #[arg(value_name = "NAME")]
    pub names: Vec<QueueName>,
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Also kept ones that nobody is attached to, with the items in them
    #[arg(long)]
    pub idle: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Smallest, largest and mean leave NaN and NaT out; of complex numbers they are those of the magnitude.
The exit code is 1 if it is empty.

Examples:
  treequeues peek actors
  treequeues peek actors --json | jq '.leaves[] | {path, mean}'")]
pub struct Peek {
    /// The queue or topic
    pub name: QueueName,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The figures are medians of a few short rounds: a look at this machine, no record of it.
Other work on the machine shows in them.

Examples:
  treequeues bench
  treequeues bench --python .venv/bin/python --json")]
pub struct Bench {
    /// The Python to measure multiprocessing.Queue with [default: python3 where there is one]
    #[arg(long, value_name = "PATH")]
    pub python: Option<OsString>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Three producers (a steady, a slow and a bursty one) put frames into one queue, a consumer takes them and puts a
result each into another.

Examples:
  treequeues demo                   and `treequeues top` in another terminal
  treequeues demo --seconds 10")]
pub struct Demo {
    /// What the names of its queues begin with
    #[arg(long, default_value = "demo")]
    pub name: QueueName,
    /// End after so long [default: at Ctrl-C]
    #[arg(long, value_parser = seconds)]
    pub seconds: Option<Duration>,
}

/// What this command is when it was started by itself. All end when their standard input does: with who started them.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Role {
    /// Puts frames: so many a second, in bursts of so many
    DemoProducer { queue: String, per_second: f64, burst: u32 },
    /// Takes frames, and puts results
    DemoConsumer { frames: String, results: String },
    /// Answers every item of one queue by one of another, spinning
    BenchEcho { there: String, back: String },
    /// Takes items as fast as it can
    BenchSink { queue: String },
}

fn interval(text: &str) -> Result<Duration, String> {
    seconds_between(text, MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS)
}

fn seconds(text: &str) -> Result<Duration, String> {
    seconds_between(text, 0.0, MAX_SECONDS)
}

fn seconds_between(text: &str, min: f64, max: f64) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (min..=max).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("not between {min} and {max} seconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_that_people_see_has_examples() {
        for command in Arguments::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n  treequeues "), "{}: {help}", command.get_name());
        }
    }

    #[test]
    fn intervals_have_bounds() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "nan", "inf", "1e9", "soon"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}

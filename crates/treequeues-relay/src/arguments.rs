//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Carry a queue's items between hosts, over NATS JetStream
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take items from the queue of this name, and publish them
    Push(Push),
    /// Fetch items, and put them into the queue of this name
    Pull(Pull),
}

#[derive(Debug, Args)]
pub struct Push {
    #[command(flatten)]
    pub common: Common,
    /// How long small items wait for others to go with them, after the last message: 2ms
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "2ms")]
    pub linger: Duration,
}

#[derive(Debug, Args)]
pub struct Pull {
    #[command(flatten)]
    pub common: Common,
    /// How long another pull host that says nothing keeps its messages: 30s
    #[arg(long, value_name = "TIME", value_parser = patience, default_value = "30s")]
    pub ack_wait: Duration,
    /// Shut the queue here down when the queues of so many origins were shut down and are drained
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub producers: Option<u32>,
}

/// What push and pull have in common.
#[derive(Debug, Args)]
pub struct Common {
    /// The queue's name
    pub name: String,
    /// The servers, with commas between
    #[arg(long, value_name = "URL", default_value = "nats://localhost:4222", value_delimiter = ',')]
    pub server: Vec<String>,
    /// A file of NATS credentials
    #[arg(long, value_name = "FILE")]
    pub creds: Option<PathBuf>,
    /// A file of certificates that the server's is signed by
    #[arg(long, value_name = "FILE")]
    pub tlsca: Option<PathBuf>,
    /// This relay's certificate
    #[arg(long, value_name = "FILE", requires = "tlskey")]
    pub tlscert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tlscert")]
    pub tlskey: Option<PathBuf>,
    /// How many servers keep the stream, for whoever makes it: 1
    #[arg(long, value_name = "N")]
    pub replicas: Option<usize>,
    /// How large the stream may become, for whoever makes it: 1GiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_bytes: Option<u64>,
    /// Messages that are under way at a time
    #[arg(long, value_name = "N", default_value = "32", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub window: u16,
    /// What this host is called; its own name, unless said
    #[arg(long, value_name = "NAME", value_parser = host)]
    pub host: Option<String>,
}

/// A number, and behind it what it counts.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

fn size(text: &str) -> Result<u64, String> {
    let bytes = number_and_unit(text).and_then(|(number, unit)| {
        let unit: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        Some(number * unit as f64)
    });
    let bytes = bytes.filter(|bytes| (1.0..=i64::MAX as f64 / 2.0).contains(bytes));
    bytes.map(|bytes| bytes as u64).ok_or_else(|| "a size is like 512MiB, 1GiB or 2TiB".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let seconds = number_and_unit(text).and_then(|(number, unit)| {
        let unit = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            _ => return None,
        };
        Some(number * unit)
    });
    let seconds = seconds.filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "a time is like 500us, 2ms, 30s or 1min".to_owned())
}

fn patience(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time < Duration::from_secs(1) { Err("1s is the least".to_owned()) } else { Ok(time) }
}

fn host(text: &str) -> Result<String, String> {
    let is_name = (1..=64).contains(&text.len()) && !text.contains('\0');
    is_name.then(|| text.to_owned()).ok_or_else(|| "a host's name has 1 to 64 bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!([size("7"), size("1KiB"), size("1.5GiB")], [Ok(7), Ok(1024), Ok(3 << 29)]);
        assert_eq!([time("2ms"), time("0s")], [Ok(Duration::from_millis(2)), Ok(Duration::ZERO)]);
        for text in ["", "x", "-1", "1GB", "1 e", "999999999999TiB", "."] {
            assert!(size(text).is_err(), "{text}");
        }
        for text in ["", "5", "2 hours", "-1s", "1e9s"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}

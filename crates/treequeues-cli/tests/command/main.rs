//! The real command, on queues and topics of other processes, each test in a folder of its own.
//!
//! | file | what it is |
//! |---|---|
//! | `folder` | a folder of named queues and topics, commands that look at it, and processes that hold them |
//! | `exposition` | what Prometheus accepts, checked line by line |
//! | `looks` | `ls`, `inspect` and `peek` tell the truth |
//! | `topics` | all of this of topics |
//! | `clean` | what is removed, and what is not |
//! | `lines` | `top --json`, demo and bench |
//! | `shell` | exit codes, closed pipes, completions, help |

mod clean;
mod exposition;
mod folder;
mod lines;
mod looks;
mod shell;
mod topics;

/// What `folder` starts as another process: it makes a queue or a topic, says so, and ends when its input does, or is killed.
#[test]
#[ignore = "not a test: a process for the others"]
fn process_that_holds_one() {
    folder::hold_one();
}

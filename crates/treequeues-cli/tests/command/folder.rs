//! A folder of named queues, commands that look at it, and processes that hold queues in it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use treequeues::schema::{Key, Node};
use treequeues::{CreateOptions, Dtype, LeafKind, LeafSpec, Queue, Schema, Structure};

/// What no command takes on the slowest machine.
pub const WATCHDOG: Duration = Duration::from_secs(120);
pub const CAPACITY: u64 = 8;
const VARIABLE: &str = "TREEQUEUES_DIR";
const READY: &str = "the queue is there";
/// Tells a process that holds a queue its name, items, and whether it is kept, an item is borrowed, and it is shut down.
const ORDER: &str = "TREEQUEUES_TEST_QUEUE";

/// A folder of named queues.
pub struct Folder {
    path: tempfile::TempDir,
}

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Another process that is attached to a queue.
pub struct Holder(Child);

/// What a holder does.
#[derive(Clone, Copy, Default)]
pub struct Order {
    pub items: usize,
    pub keep: bool,
    pub borrow: bool,
    pub shut_down: bool,
    /// Drops its oldest items, and has been told of two producers, of which one has come.
    pub is_stream: bool,
}

/// A command that goes on, and its lines.
pub struct Running {
    pub child: Child,
    lines: Receiver<String>,
}

impl Folder {
    pub fn new() -> Self {
        let path = tempfile::tempdir().expect("a folder");
        fs::set_permissions(path.path(), fs::Permissions::from_mode(0o700)).expect("ours");
        Self { path }
    }

    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.path().join(name)
    }

    pub fn path(&self) -> &Path {
        self.path.path()
    }

    /// A file that is no queue.
    pub fn put_file(&self, name: &str, content: &[u8]) {
        fs::write(self.path_of(name), content).expect("writable");
        fs::set_permissions(self.path_of(name), fs::Permissions::from_mode(0o600)).expect("ours");
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_treequeues"));
        command.args(args).env(VARIABLE, self.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Answer {
        let mut command = self.command(args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        answer_of(child)
    }

    /// What a command prints that does what it is asked for.
    pub fn text(&self, args: &[&str]) -> String {
        let answer = self.run(args);
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{args:?}: {answer:?}");
        answer.stdout
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.text(args)).expect("JSON")
    }

    pub fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = lines_of(child.stdout.take().expect("piped"));
        Running { child, lines }
    }

    /// Starts a process that makes a queue of this name, and waits until it has.
    pub fn hold(&self, name: &str, order: Order) -> Holder {
        let Order { items, keep, borrow, shut_down, is_stream } = order;
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "process_that_holds_a_queue", "--ignored", "--nocapture"])
            .env(VARIABLE, self.path())
            .env(ORDER, format!("{name} {items} {keep} {borrow} {shut_down} {is_stream}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = lines_of(child.stdout.take().expect("piped"));
        let holder = Holder(child);
        while !lines.recv_timeout(WATCHDOG).expect("it makes its queue").contains(READY) {}
        holder
    }

    /// A queue whose only participant was killed.
    pub fn make_stale(&self, name: &str, order: Order) {
        self.hold(name, order).kill();
    }

    /// The state of each name, as `ls` tells it.
    pub fn states(&self) -> Vec<(String, String)> {
        let listed = self.json(&["ls", "--json"]);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let listed = listed.as_array().expect("a list");
        listed.iter().map(|queue| (text(&queue["name"]), text(&queue["state"]))).collect()
    }
}

impl Holder {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn kill(mut self) {
        self.0.kill().expect("it lives");
        self.0.wait().expect("it was ours");
    }

    /// Lets it close its queue and end.
    pub fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(wait_for(&mut self.0).success());
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub fn line(&self) -> String {
        self.lines.recv_timeout(WATCHDOG).expect("one more line")
    }

    pub fn json_line(&self) -> Value {
        serde_json::from_str(&self.line()).expect("JSON")
    }

    /// The lines that are left when it has ended.
    pub fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.lines.recv_timeout(WATCHDOG).ok()).collect()
    }

    /// Asks it to end by a signal, and returns its exit code.
    pub fn end_by(&mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("there is a kill").success());
        wait_for(&mut self.child).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a command's end, and returns what it wrote.
pub fn answer_of(mut child: Child) -> Answer {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let [stdout, stderr] = [thread::spawn(move || text_of(stdout)), thread::spawn(move || text_of(stderr))];
    let code = wait_for(&mut child).code();
    Answer { code, stdout: stdout.join().expect("read"), stderr: stderr.join().expect("read") }
}

pub fn wait_for(child: &mut Child) -> std::process::ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            return status;
        }
        if began.elapsed() > WATCHDOG {
            child.kill().expect("it lives");
            panic!("it did not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// What the other process does: see `process_that_holds_a_queue`.
pub fn hold_a_queue() {
    // Whoever runs all ignored tests gives no order.
    let Ok(order) = std::env::var(ORDER) else { return };
    let words: Vec<&str> = order.split(' ').collect();
    let [name, items, keep, borrow, shut_down, is_stream] = words[..] else { panic!("{order}") };
    let is_stream = is_stream == "true";
    let producers = NonZeroU32::new(2).filter(|_| is_stream);
    let options =
        CreateOptions { keep: keep == "true", drop_oldest: is_stream, producers, ..CreateOptions::default() };
    let queue = Queue::create_named(name, schema(), CAPACITY, options).expect("created");
    for number in 0..items.parse::<u8>().expect("a number") {
        let mut loan = queue.reserve().expect("free");
        loan.leaf_bytes_mut(0).copy_from_slice(&[number, 1, 2, 3, 4, 5]);
        loan.leaf_bytes_mut(1).copy_from_slice(&(0.5 + f64::from(number)).to_le_bytes());
        loan.leaf_bytes_mut(2).copy_from_slice(b"hi\0\0");
        loan.commit().expect("sound");
    }
    let _producing = is_stream.then(|| queue.producing().expect("open"));
    let _held = (borrow == "true").then(|| queue.borrow().expect("an item"));
    if shut_down == "true" {
        queue.shutdown(false).expect("attached");
    }
    println!("\n{READY}");
    io::stdout().flush().expect("read");
    let _ = io::stdin().read(&mut [0]);
}

/// `{"obs": uint8 (2, 3), "reward": float, "tag": S4}`
fn schema() -> Schema {
    let keys = ["obs", "reward", "tag"].map(|key| Key::Str(key.into()));
    let nodes = vec![Node::Dict(keys.into()), Node::Leaf, Node::Leaf, Node::Leaf];
    let leaf = |dtype, shape, kind| LeafSpec::new(Dtype::from_name(dtype).expect("NumPy's"), shape, kind);
    let leaves = vec![
        leaf("uint8", vec![2, 3], LeafKind::Array),
        leaf("float64", vec![], LeafKind::Float),
        leaf("S4", vec![], LeafKind::NumpyScalar),
    ];
    Schema::new(Structure::new(nodes).expect("one tree"), leaves).expect("three leaves")
}

fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Read to the end, also where nobody listens any more: a closed pipe would be a failure over there.
            let _ = sender.send(line);
        }
    });
    receiver
}

fn text_of(pipe: Option<impl Read>) -> String {
    let mut text = String::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_string(&mut text).expect("UTF-8");
    }
    text
}

//! A folder of named queues and topics, commands that look at it, and processes that hold them.

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
use treequeues::{
    CreateOptions, Dtype, LeafKind, LeafSpec, Queue, Schema, Start, Structure, Topic, TopicOptions,
};

/// What no command takes on the slowest machine.
pub const WATCHDOG: Duration = Duration::from_secs(120);
pub const CAPACITY: u64 = 8;
const VARIABLE: &str = "TREEQUEUES_DIR";
const READY: &str = "it is there";
/// Tells a process that holds a queue or a topic which, its name, items, and whether it is kept, an item is borrowed, and it is shut down.
const ORDER: &str = "TREEQUEUES_TEST_ORDER";

/// A folder of named queues and topics.
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

/// Another process that is attached to a queue or a topic.
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
        self.hold_one("queue", name, order)
    }

    /// The same for a topic: see `hold_a_topic`.
    pub fn hold_topic(&self, name: &str, order: Order) -> Holder {
        self.hold_one("topic", name, order)
    }

    fn hold_one(&self, kind: &str, name: &str, order: Order) -> Holder {
        let Order { items, keep, borrow, shut_down, is_stream } = order;
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "process_that_holds_one", "--ignored", "--nocapture"])
            .env(VARIABLE, self.path())
            .env(ORDER, format!("{kind} {name} {items} {keep} {borrow} {shut_down} {is_stream}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = lines_of(child.stdout.take().expect("piped"));
        let holder = Holder(child);
        while !lines.recv_timeout(WATCHDOG).expect("it makes it").contains(READY) {}
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

    /// Lets it close what it holds and end.
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

/// What the other process does: see `process_that_holds_one`.
pub fn hold_one() {
    // Whoever runs all ignored tests gives no order.
    let Ok(order) = std::env::var(ORDER) else { return };
    let words: Vec<&str> = order.split(' ').collect();
    let [kind, name, items, keep, borrow, shut_down, is_stream] = words[..] else { panic!("{order}") };
    let items = items.parse().expect("a number");
    let [keep, borrow, shut_down, is_stream] =
        [keep, borrow, shut_down, is_stream].map(|word| word.parse().expect("true or false"));
    let order = Order { items, keep, borrow, shut_down, is_stream };
    if kind == "topic" { hold_a_topic(name, order) } else { hold_a_queue(name, order) }
}

fn hold_a_queue(name: &str, Order { items, keep, borrow, shut_down, is_stream }: Order) {
    let producers = NonZeroU32::new(2).filter(|_| is_stream);
    let options = CreateOptions { keep, drop_oldest: is_stream, producers, ..CreateOptions::default() };
    let queue = Queue::create_named(name, schema(), CAPACITY, options).expect("created");
    for number in 0..items {
        let mut loan = queue.reserve().expect("free");
        for (leaf, row) in rows(number).iter().enumerate() {
            loan.leaf_bytes_mut(leaf).copy_from_slice(row);
        }
        loan.commit().expect("sound");
    }
    let _producing = is_stream.then(|| queue.producing().expect("open"));
    let _held = borrow.then(|| queue.borrow().expect("an item"));
    if shut_down {
        queue.shutdown(false).expect("attached");
    }
    wait_for_the_end();
}

/// A topic with a subscription that was there before the items, and has read one since; whoever borrows reads the newest item twice.
fn hold_a_topic(name: &str, Order { items, keep, borrow, shut_down, .. }: Order) {
    let options = TopicOptions { keep, ..TopicOptions::default() };
    let topic = Topic::create_named(name, schema(), CAPACITY, options).expect("created");
    let lagging = topic.subscribe(Start::Oldest).expect("attached");
    for number in 0..items {
        let mut loan = topic.reserve().expect("free");
        for (leaf, row) in rows(number).iter().enumerate() {
            loan.leaf_bytes_mut(leaf).copy_from_slice(row);
        }
        loan.commit().expect("sound");
    }
    if items > 0 {
        lagging.borrow().expect("an item").release().expect("sound");
    }
    let _held: Vec<_> =
        (0..if borrow { 2 } else { 0 }).map(|_| topic.borrow_latest().expect("an item")).collect();
    if shut_down {
        topic.shutdown(false).expect("attached");
    }
    wait_for_the_end();
}

fn wait_for_the_end() {
    println!("\n{READY}");
    io::stdout().flush().expect("read");
    let _ = io::stdin().read(&mut [0]);
}

/// The leaves of one item.
fn rows(number: usize) -> [Vec<u8>; 3] {
    let obs = vec![number as u8, 1, 2, 3, 4, 5];
    [obs, (0.5 + number as f64).to_le_bytes().into(), b"hi\0\0".into()]
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

//! Queues with names in Rust, between processes of this very test: what Python's tests show for Python.

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use treequeues::{
    AttachError, CreateError, CreateOptions, LeftBehind, Observer, OpenError, Queue, Schema, Tree,
    TypedQueue, Wait, WhatFor, take_left_behind,
};

/// Says to a child of this test what it is to do, and with which queue.
const ROLE: &str = "TREEQUEUES_TEST_ROLE";
const WATCHDOG: Duration = Duration::from_secs(60);

#[derive(Tree, Debug, PartialEq)]
struct Sample {
    position: [f32; 3],
    step: i64,
}

/// The same leaves in another order.
#[derive(Tree, Debug, PartialEq)]
struct Shuffled {
    step: i64,
    position: [f32; 3],
}

#[derive(Tree, Debug)]
struct Other {
    position: [f64; 3],
    velocity: f32,
    step: i64,
}

fn unique(name: &str) -> String {
    format!("rust-test-{name}-{}", std::process::id())
}

fn sample(step: i64) -> Sample {
    Sample { position: [step as f32, 0.5, -1.0], step }
}

/// Runs this test program again, for the test `child` alone, in a role.
fn start(role: &str, queue: &str) -> std::process::Child {
    Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture"])
        .env(ROLE, format!("{role} {queue}"))
        .stdout(Stdio::null())
        .spawn()
        .expect("this program starts")
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < WATCHDOG, "it did not happen that {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// What the children of the other tests do; in the test run itself, nothing.
#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    let (role, name) = role.split_once(' ').expect("a role and a name");
    let queue = TypedQueue::<Sample>::attach(name).expect("it is there");
    match role {
        "echo" => {
            let mut got = queue.pop_with(Wait::at_most(WATCHDOG)).expect("an item");
            got.step += 1;
            queue.push(&got).expect("room");
        }
        "hold" => {
            let loan = queue.queue().borrow_with(Wait::at_most(WATCHDOG)).expect("an item");
            thread::sleep(WATCHDOG);
            drop(loan);
        }
        role => panic!("no role {role}"),
    }
}

#[test]
fn another_process_attaches_by_the_name() {
    let name = unique("echo");
    let queue = TypedQueue::<Sample>::create_named(&name, 1, CreateOptions::default()).expect("room");
    queue.push(&sample(6)).expect("room");
    let mut echo = start("echo", &name);
    assert!(echo.wait().expect("a child").success());
    assert_eq!(queue.pop_with(Wait::at_most(WATCHDOG)).expect("an item").step, 7);
    drop(queue);
    assert!(matches!(Queue::attach(&name), Err(AttachError::NotFound { .. })));
}

#[test]
fn a_taker_that_is_killed_is_seen_from_outside_and_its_item_comes_again() {
    let name = unique("hold");
    let queue = TypedQueue::<Sample>::create_named(&name, 4, CreateOptions::default()).expect("room");
    queue.push(&sample(1)).expect("room");
    let mut taker = start("hold", &name);
    let observer = Observer::open(&name.parse().expect("a name")).expect("it is there");
    wait_until("the child has borrowed", || observer.look().expect("sound").snapshot.reading == 1);
    let held = observer.look().expect("sound").held[0];
    assert_eq!((held.ticket, held.what_for), (0, WhatFor::Reading));
    assert!(held.held_for.is_some_and(|held_for| held_for < WATCHDOG));
    taker.kill().expect("killed");
    taker.wait().expect("gone");
    let stats = observer.look().expect("sound");
    let dead: Vec<_> = stats.participants.iter().filter(|participant| !participant.is_alive).collect();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].pid, dead[0].reading), (taker.id(), 1));
    assert_eq!(queue.pop_with(Wait::at_most(WATCHDOG)).expect("it came back"), sample(1));
    let stats = observer.look().expect("sound");
    assert_eq!((stats.counters.deaths, stats.counters.redeliveries, stats.participants.len()), (1, 1, 1));
}

#[test]
fn a_type_of_other_leaves_is_refused_with_both_sides() {
    let name = unique("misfit");
    let queue = TypedQueue::<Sample>::create_named(&name, 4, CreateOptions::default()).expect("room");
    let refused = |error: OpenError| {
        let text = error.to_string();
        assert!(matches!(error, OpenError::Misfit { .. }), "{text}");
        let rows: Vec<Vec<&str>> =
            text.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
        assert!(rows.contains(&vec!["position", "float64", "(3,)", "float32", "(3,)"]), "{text}");
        assert!(rows.contains(&vec!["velocity", "a", "float32", "scalar", "-"]), "{text}");
    };
    refused(TypedQueue::<Other>::attach(&name).expect_err("other leaves"));
    refused(TypedQueue::<Other>::open(&name, 4, CreateOptions::default()).expect_err("other leaves"));
    let other_capacity =
        TypedQueue::<Sample>::open(&name, 5, CreateOptions::default()).expect_err("5, not 4");
    assert!(other_capacity.to_string().contains("maxsize"), "{other_capacity}");
    queue.push(&sample(2)).expect("it goes on");
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let name = unique("shuffled");
    let queue = TypedQueue::<Sample>::create_named(&name, 4, CreateOptions::default()).expect("room");
    let shuffled = TypedQueue::<Shuffled>::open(&name, 4, CreateOptions::default()).expect("the same leaves");
    queue.push(&sample(3)).expect("room");
    assert_eq!(shuffled.pop().expect("an item"), Shuffled { step: 3, position: [3.0, 0.5, -1.0] });
}

#[test]
fn a_taken_name_is_refused_and_a_bad_one_too() {
    let name = unique("taken");
    let _queue = TypedQueue::<Sample>::create_named(&name, 4, CreateOptions::default()).expect("room");
    let schema = || Schema::array::<u8>([1]).expect("sound");
    let taken = Queue::create_named(&name, schema(), 4, CreateOptions::default());
    assert!(matches!(taken, Err(CreateError::Exists { .. })));
    let bad = Queue::create_named("no/name", schema(), 4, CreateOptions::default());
    assert!(matches!(bad, Err(CreateError::Name(_))));
    assert!(matches!(Queue::attach("no name"), Err(AttachError::Name(_))));
    let keep = CreateOptions { keep: true, ..CreateOptions::default() };
    assert!(matches!(Queue::create_with(schema(), 4, keep), Err(CreateError::KeepWithoutName)));
}

#[test]
fn a_peek_takes_nothing_and_shows_what_comes_next() {
    let name = unique("peek");
    let queue = TypedQueue::<Sample>::create_named(&name, 4, CreateOptions::default()).expect("room");
    let observer = Observer::open(&name.parse().expect("a name")).expect("it is there");
    assert_eq!(observer.peek().expect("sound"), None);
    for step in 0..3 {
        queue.push(&sample(step)).expect("room");
    }
    let peeked = observer.peek().expect("sound").expect("an item");
    assert_eq!((peeked.ticket, peeked.rows[1].as_slice()), (0, 0_i64.to_le_bytes().as_slice()));
    let first = queue.queue().borrow().expect("an item");
    assert_eq!(observer.peek().expect("sound").expect("an item").ticket, 1);
    first.give_back().expect("sound");
    assert_eq!(observer.peek().expect("sound").expect("a returned item comes first").ticket, 0);
    assert_eq!(queue.queue().snapshot().expect("sound").ready, 3);
    assert_eq!(queue.pop().expect("still there").step, 0);
}

#[test]
fn an_observer_sees_that_its_queue_went_away() {
    let name = unique("away");
    let queue = TypedQueue::<Sample>::create_named(&name, 4, CreateOptions::default()).expect("room");
    let observer = Observer::open(&name.parse().expect("a name")).expect("it is there");
    assert!(observer.has_name());
    drop(queue);
    assert!(!observer.has_name());
    assert_eq!(observer.look().expect("still readable").participants, []);
    assert!(matches!(Observer::open(&name.parse().expect("a name")), Err(AttachError::NotFound { .. })));
}

#[test]
fn a_loan_that_a_panic_drops_gives_its_item_back() {
    let queue = TypedQueue::<Sample>::create(4).expect("room");
    queue.push(&sample(1)).expect("room");
    queue.push(&sample(2)).expect("room");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _loan = queue.queue().borrow().expect("an item");
        panic!("the item was not dealt with");
    }));
    assert!(panicked.is_err());
    drop(queue.queue().borrow().expect("the first item, again"));
    assert_eq!(queue.pop().expect("the drop released the first"), sample(2));
}

#[test]
fn the_last_to_leave_remembers_how_many_items_are_lost() {
    let name = unique("lost");
    let queue = TypedQueue::<Sample>::create_named(&name, 4, CreateOptions::default()).expect("room");
    for step in 0..3 {
        queue.push(&sample(step)).expect("room");
    }
    drop(queue);
    // Other tests of this process leave items too.
    let ours = |left: &LeftBehind| matches!(left, LeftBehind::Items { queue, .. } if queue.as_str() == name);
    let told: Vec<_> = take_left_behind().into_iter().filter(ours).collect();
    assert!(matches!(told[..], [LeftBehind::Items { count: 3, .. }]), "{told:?}");
    assert!(!take_left_behind().iter().any(ours), "it is told once");
}

#[test]
fn a_name_that_this_very_process_has_open_is_refused_with_what_it_holds() {
    let name = unique("here");
    let queue = TypedQueue::<Sample>::create_named(&name, 4, CreateOptions::default()).expect("room");
    let held_here = || match TypedQueue::<Sample>::create_named(&name, 4, CreateOptions::default()) {
        Err(CreateError::Exists { held_here, .. }) => held_here,
        other => panic!("{other:?}"),
    };
    assert_eq!(held_here(), Some(0));
    queue.push(&sample(1)).expect("room");
    let loan = queue.queue().borrow().expect("an item");
    assert_eq!(held_here(), Some(1));
    loan.release().expect("sound");
}

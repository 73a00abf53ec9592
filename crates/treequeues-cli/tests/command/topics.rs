//! The commands tell of topics what they tell of queues, and what only topics have.

use std::fs;

use serde_json::{Value, json};

use crate::exposition;
use crate::folder::{CAPACITY, Folder, Order};

const MORE_THAN_FIT: usize = CAPACITY as usize + 4;
/// The holder's subscription has read the oldest of the 8 items that were left of 12, and two loans of it read the newest.
const READ: Order =
    Order { items: MORE_THAN_FIT, keep: false, borrow: true, shut_down: false, is_stream: false };
const KEPT: Order = Order { items: 3, keep: true, borrow: false, shut_down: false, is_stream: false };

/// The words of a line that begins with this one.
fn words(text: &str, first: &str) -> Vec<String> {
    let mut lines = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    lines
        .find(|words| words.first().is_some_and(|word| word == first))
        .unwrap_or_else(|| panic!("{first} in {text}"))
}

#[test]
fn topics_are_listed_among_queues_in_every_state() {
    let folder = Folder::new();
    let _queue = folder.hold("actors", Order { items: 3, ..Order::default() });
    let _live = folder.hold_topic("live", READ);
    folder.hold_topic("idle", KEPT).end();
    folder.hold_topic("stale", READ).kill();
    let states = folder.states();
    let expected = [("actors", "live"), ("idle", "idle"), ("live", "live"), ("stale", "stale")];
    assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    let text = folder.text(&["ls"]);
    assert_eq!(words(&text, "NAME")[1..6], ["KIND", "STATE", "ITEMS", "CAPACITY", "VERSION"]);
    assert_eq!(words(&text, "actors")[1..5], ["queue", "live", "3", "8"]);
    assert_eq!(words(&text, "idle")[1..6], ["topic", "idle", "3", "8", "3"]);
    assert_eq!(words(&text, "live")[1..6], ["topic", "live", "8", "8", "12"]);
    assert_eq!(words(&text, "stale")[1..6], ["topic", "stale", "8", "8", "12"]);
}

#[test]
fn a_folder_of_queues_alone_has_no_column_of_versions() {
    let folder = Folder::new();
    let _queue = folder.hold("actors", Order::default());
    let text = folder.text(&["ls"]);
    assert!(text.contains("KIND") && !text.contains("VERSION"), "{text}");
}

#[test]
fn the_fields_of_a_topic_are_stable() {
    let folder = Folder::new();
    let holder = folder.hold_topic("weights", READ);
    let topic = &folder.json(&["ls", "--json"])[0];
    let fields: Vec<&str> = topic.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "age_seconds",
        "bytes",
        "capacity",
        "counters",
        "created_at",
        "creator_pid",
        "held",
        "id",
        "item_bytes",
        "items",
        "kept",
        "kind",
        "max_participants",
        "name",
        "participants",
        "shut_down",
        "shut_down_at",
        "shut_down_by",
        "slots",
        "state",
        "subscriptions",
        "version",
    ];
    assert_eq!(fields, expected);
    assert_eq!(
        (&topic["kind"], &topic["version"], &topic["items"]),
        (&json!("topic"), &json!(12), &json!(8))
    );
    assert_eq!(topic["slots"], json!({"free": 0, "writing": 0, "ready": 7, "reading": 1, "lingering": 0}));
    let pid = holder.pid();
    assert_eq!(
        topic["subscriptions"],
        json!([{
            "number": 0, "participant": 0, "pid": pid, "next_ticket": 6, "lag": 7, "missed": 4,
        }])
    );
    assert_eq!(topic["held"].as_array().map(Vec::len), Some(1));
    let held = &topic["held"][0];
    assert_eq!(
        (&held["ticket"], &held["pid"], &held["for"], &held["times"], &held["held_seconds"]),
        (&json!(12), &json!(pid), &json!("reading"), &json!(2), &Value::Null)
    );
    assert_eq!((&topic["counters"]["puts"], &topic["counters"]["missed"]), (&json!(12), &json!(4)));
}

#[test]
fn inspect_tells_who_reads_what_of_a_topic_and_how_far_each_subscription_is() {
    let folder = Folder::new();
    let holder = folder.hold_topic("weights", READ);
    let pid = holder.pid().to_string();
    let text = folder.text(&["inspect", "weights"]);
    assert_eq!(text.lines().next(), Some("weights  live topic"));
    for part in
        ["├─ obs     uint8 (2, 3)", "version: 12; 1 subscription, the last one 7 items behind; 4 missed"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(words(&text, "ready")[1], "7");
    assert_eq!(words(&text, "missed")[1..4], ["4", "items", "that"]);
    let section = |heading: &str| text.split_once(heading).unwrap_or_else(|| panic!("{heading} in {text}")).1;
    let subscriptions = section("\nSUBSCRIPTIONS\n");
    assert_eq!(words(subscriptions, "PLACE")[1..], ["PID", "NEXT", "LAG", "MISSED"]);
    assert_eq!(words(subscriptions, "0")[1..], [pid.as_str(), "6", "7", "4"]);
    let held = section("\nHELD SLOTS\n");
    assert_eq!(words(held, "SLOT")[1..], ["TICKET", "PID", "FOR", "TIMES"], "nobody knows since when");
    assert_eq!(
        held.lines()
            .nth(1)
            .map(|line| words(line, line.split_whitespace().next().expect("a slot"))[1..].to_vec()),
        Some(["12", &pid, "reading", "2"].map(str::to_owned).to_vec())
    );
}

#[test]
fn a_topic_that_is_shut_down_says_by_whom_and_its_newest_item_is_still_shown() {
    let folder = Folder::new();
    let holder = folder.hold_topic("weights", Order { shut_down: true, ..KEPT });
    let text = folder.text(&["inspect", "weights"]);
    let first = format!("weights  live topic, shut down by process {} at ", holder.pid());
    assert!(text.starts_with(&first), "{text}");
    assert!(folder.text(&["ls"]).contains("shut down"));
    assert_eq!(folder.json(&["peek", "weights", "--json"])["ticket"], json!(3));
}

#[test]
fn peek_shows_the_newest_item_of_a_topic() {
    let folder = Folder::new();
    let holder = folder.hold_topic("weights", READ);
    for _ in 0..2 {
        let item = folder.json(&["peek", "weights", "--json"]);
        assert_eq!((&item["ticket"], &item["producer_pid"]), (&json!(12), &json!(holder.pid())));
        assert_eq!(item.get("delivery_count"), None, "nobody takes it away");
        assert_eq!((&item["leaves"][0]["maximum"], &item["leaves"][1]["mean"]), (&json!(11), &json!(11.5)));
    }
    let text = folder.text(&["peek", "weights"]);
    assert!(text.starts_with("weights  item 12, put ") && text.contains("b'hi'"), "{text}");
    let _empty = folder.hold_topic("empty", Order::default());
    let answer = folder.run(&["peek", "empty"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(1), "treequeues: empty is empty\n"));
}

#[test]
fn top_has_a_topic_among_its_lines() {
    let folder = Folder::new();
    let _queue = folder.hold("actors", Order { items: 3, ..Order::default() });
    let _topic = folder.hold_topic("weights", READ);
    let text = folder.text(&["top", "--json", "--interval", "0.05", "--count", "1"]);
    let line: Value = serde_json::from_str(&text).expect("JSON");
    let [queue, topic] = &line["queues"].as_array().expect("a list")[..] else { panic!("two in {line}") };
    let of = |it: &Value| {
        ["kind", "version", "subscriptions", "most_lag", "missed_per_second"].map(|field| it[field].clone())
    };
    assert_eq!(of(queue), [json!("queue"), Value::Null, Value::Null, Value::Null, Value::Null]);
    assert_eq!(of(topic), [json!("topic"), json!(12), json!(1), json!(7), json!(0.0)]);
    assert_eq!((&topic["items"], &topic["participants"]), (&json!(8), &json!(1)));
}

#[test]
fn prometheus_reads_topics_as_it_reads_queues() {
    let folder = Folder::new();
    let _queue = folder.hold("actors", Order { items: 3, ..Order::default() });
    let topic = folder.hold_topic("weights", READ);
    folder.hold_topic("crashed", READ).kill();
    let text = folder.text(&["inspect", "--prometheus"]);
    exposition::parse(&text).expect("valid");
    let pid = topic.pid();
    let place = format!("name=\"weights\",subscription=\"0\",participant=\"0\",pid=\"{pid}\"");
    for line in [
        "treequeues_version{name=\"weights\"} 12".to_owned(),
        "treequeues_items{name=\"weights\"} 8".to_owned(),
        "treequeues_slots{name=\"weights\",state=\"reading\"} 1".to_owned(),
        "treequeues_puts_total{name=\"weights\"} 12".to_owned(),
        "treequeues_missed_total{name=\"weights\"} 4".to_owned(),
        "treequeues_subscriptions{name=\"weights\"} 1".to_owned(),
        format!("treequeues_subscription_lag_items{{{place}}} 7"),
        format!("treequeues_subscription_missed_total{{{place}}} 4"),
        "treequeues_state{name=\"crashed\",state=\"stale\"} 1".to_owned(),
        "treequeues_version{name=\"crashed\"} 12".to_owned(),
        "treequeues_most_deaths{name=\"actors\"} 0".to_owned(),
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
    // What only the other kind has is not told as 0.
    for part in [
        "treequeues_most_deaths{name=\"weights\"}",
        "treequeues_dropped_total{name=\"weights\"}",
        "treequeues_version{name=\"actors\"}",
        "treequeues_missed_total{name=\"actors\"}",
        "name=\"weights\",state=\"returned\"",
    ] {
        assert!(!text.contains(part), "{part} in {text}");
    }
    assert!(
        text.lines().any(|line| line.starts_with("treequeues_info{name=\"weights\",")
            && line.ends_with("kind=\"topic\"} 1")),
        "{text}"
    );
}

#[test]
fn stale_topics_go_as_queues_do() {
    let folder = Folder::new();
    let _live = folder.hold_topic("live", READ);
    folder.hold_topic("idle", KEPT).end();
    folder.make_stale("actors", Order::default());
    folder.hold_topic("stale", READ).kill();
    let text = folder.text(&["clean"]);
    for part in ["removed stale (stale, ", "left idle (idle): ", "removed 1 queue, 1 topic, "] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let report = folder.json(&["clean", "--idle", "--json"]);
    assert_eq!(
        (&report["removed"][0]["name"], &report["removed"][0]["kind"]),
        (&json!("idle"), &json!("topic"))
    );
    assert_eq!(folder.states(), [("live".to_owned(), "live".to_owned())]);
}

#[test]
fn inspect_of_a_stale_topic_tells_what_the_dead_read() {
    let folder = Folder::new();
    folder.hold_topic("weights", READ).kill();
    let report = folder.json(&["inspect", "weights", "--json"]);
    assert_eq!((&report["state"], &report["participants"][0]["alive"]), (&json!("stale"), &json!(false)));
    assert_eq!((&report["held"][0]["ticket"], &report["subscriptions"][0]["lag"]), (&json!(12), &json!(7)));
    let text = folder.text(&["inspect", "weights"]);
    assert!(text.starts_with("weights  stale topic\n") && text.contains("dead"), "{text}");
}

#[test]
fn a_damaged_topic_is_told_with_the_reason() {
    let folder = Folder::new();
    folder.hold_topic("weights", READ).kill();
    let mut bytes = fs::read(folder.path_of("weights")).expect("readable");
    // What the newest item's slot says: its ticket, and a phase below it that no slot has from here on.
    let ready = (12_u64 << 3 | 3).to_le_bytes();
    let places: Vec<_> = (0..bytes.len()).step_by(8).filter(|&at| bytes[at..].starts_with(&ready)).collect();
    let [place] = places[..] else { panic!("{places:?}") };
    bytes[place] |= 7;
    fs::write(folder.path_of("weights"), bytes).expect("writable");
    let look = folder.json(&["inspect", "weights", "--json"]);
    assert!(look["reason"].as_str().is_some_and(|reason| reason.contains("which has no meaning")), "{look}");
    assert_eq!((&look["kind"], look.get("version")), (&json!("topic"), None));
    let answer = folder.run(&["peek", "weights"]);
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.stderr.starts_with("treequeues: weights is stale: the segment is corrupted: "),
        "{answer:?}"
    );
    assert!(folder.text(&["ls"]).contains("which has no meaning"));
}

#[test]
fn the_demo_does_not_take_the_name_of_a_topic() {
    let folder = Folder::new();
    let _topic = folder.hold_topic("show-frames", Order::default());
    let answer = folder.run(&["demo", "--name", "show", "--seconds", "1"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("--name"), "{answer:?}");
    assert_eq!(folder.json(&["inspect", "show-frames", "--json"])["kind"], json!("topic"));
}

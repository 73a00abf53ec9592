//! `ls`, `inspect` and `peek` tell the truth.

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::exposition;
use crate::folder::{CAPACITY, Folder, Order};

const THREE_ITEMS: Order = Order { items: 3, keep: false, borrow: false, shut_down: false, is_stream: false };
const KEPT: Order = Order { items: 3, keep: true, borrow: false, shut_down: false, is_stream: false };

#[test]
fn an_empty_folder_says_so_and_where_it_is() {
    let folder = Folder::new();
    let text = folder.text(&["ls"]);
    assert!(text.starts_with(&format!("No named queues in {}.", folder.path().display())), "{text}");
    assert_eq!(folder.json(&["ls", "--json"]), json!([]));
    assert_eq!(folder.text(&["clean"]), "nothing to remove\n");
}

#[test]
fn every_state_is_told() {
    let folder = Folder::new();
    let _live = folder.hold("live", THREE_ITEMS);
    folder.hold("idle", KEPT).end();
    folder.make_stale("stale", THREE_ITEMS);
    folder.put_file("notes", b"no queue at all");
    symlink(folder.path_of("live"), folder.path_of("link")).expect("free");
    let states = folder.states();
    let expected =
        [("idle", "idle"), ("link", "foreign"), ("live", "live"), ("notes", "foreign"), ("stale", "stale")];
    assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    let text = folder.text(&["ls"]);
    assert!(text.contains("it is a symbolic link") && !text.contains('\x1b'), "{text}");
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).expect("a row").to_owned();
    let words = |line: String| line.split_whitespace().take(5).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(row("live")), ["live", "queue", "live", "3", "8"]);
    assert_eq!(words(row("stale")), ["stale", "queue", "stale", "3", "8"]);
    // Behind the size and its unit: the dead are not counted.
    let processes = |name: &str| row(name).split_whitespace().nth(7).map(str::to_owned);
    assert_eq!(["live", "idle", "stale"].map(processes), ["1", "0", "0"].map(|count| Some(count.to_owned())));
}

#[test]
fn the_fields_of_a_listing_are_stable() {
    let folder = Folder::new();
    let holder = folder.hold("actors", Order { borrow: true, ..KEPT });
    let listed = folder.json(&["ls", "--json"]);
    let queue = &listed[0];
    let fields: Vec<&str> = queue.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "age_seconds",
        "bytes",
        "capacity",
        "counters",
        "created_at",
        "creator_pid",
        "drops_oldest",
        "held",
        "id",
        "item_bytes",
        "items",
        "kept",
        "kind",
        "max_deliveries",
        "max_participants",
        "most_deaths",
        "name",
        "participants",
        "producers",
        "shut_down",
        "shut_down_at",
        "shut_down_by",
        "slots",
        "state",
    ];
    assert_eq!(fields, expected);
    assert_eq!(
        (&queue["capacity"], &queue["items"], &queue["kept"]),
        (&json!(CAPACITY), &json!(2), &json!(true))
    );
    assert_eq!(queue["item_bytes"], json!(2 * 3 + 8 + 4));
    assert_eq!(
        queue["slots"],
        json!({"free": 5, "writing": 0, "ready": 2, "returned": 0, "reading": 1, "lingering": 0})
    );
    assert_eq!((&queue["counters"]["puts"], &queue["counters"]["gets"]), (&json!(3), &json!(0)));
    assert_eq!(queue["creator_pid"], json!(holder.pid()));
}

#[test]
fn who_shut_a_queue_down_and_when_is_told() {
    let folder = Folder::new();
    let holder = folder.hold("actors", Order { shut_down: true, ..THREE_ITEMS });
    let report = folder.json(&["inspect", "actors", "--json"]);
    assert_eq!((&report["shut_down"], &report["shut_down_by"]), (&json!(true), &json!(holder.pid())));
    let at = report["shut_down_at"].as_str().expect("a time");
    let text = folder.text(&["inspect", "actors"]);
    let first = text.lines().next().expect("a line");
    assert_eq!(first, format!("actors  live queue, shut down by process {} at {at}", holder.pid()));
    let open = folder.hold("open", THREE_ITEMS);
    let report = folder.json(&["inspect", "open", "--json"]);
    assert_eq!(report["shut_down_by"], json!(null));
    drop(open);
}

#[test]
fn inspect_tells_who_is_there_and_what_they_hold() {
    let folder = Folder::new();
    let holder = folder.hold("actors", Order { borrow: true, ..THREE_ITEMS });
    let report = folder.json(&["inspect", "actors", "--json"]);
    let who = &report["participants"][0];
    assert_eq!(
        (&who["pid"], &who["alive"], &who["reading"]),
        (&json!(holder.pid()), &json!(true), &json!(1))
    );
    assert_eq!(who["counters"]["puts"], json!(3));
    assert!(
        who["command"].is_string() && who["attached_seconds"].as_f64().is_some_and(|age| age >= 0.0),
        "{who}"
    );
    let held = &report["held"][0];
    assert_eq!(
        (&held["for"], &held["ticket"], &held["pid"]),
        (&json!("reading"), &json!(0), &json!(holder.pid()))
    );
    let paths: Vec<_> =
        report["leaves"].as_array().expect("a list").iter().map(|leaf| &leaf["path"]).collect();
    assert_eq!(paths, [&json!("obs"), &json!("reward"), &json!("tag")]);
    assert_eq!(
        report["leaves"][0],
        json!({
            "path": "obs", "dtype": "uint8", "shape": [2, 3], "kind": "array", "bytes": 6,
        })
    );
    let text = folder.text(&["inspect", "actors"]);
    for part in
        ["├─ obs     uint8 (2, 3)", "└─ tag     S4 (NumPy scalar)", "alive", "reading 1", "as long as its"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_stream_tells_of_its_producers_and_of_what_it_dropped() {
    let folder = Folder::new();
    let order = Order { items: CAPACITY as usize + 2, is_stream: true, ..THREE_ITEMS };
    let _holder = folder.hold("stream", order);
    let report = folder.json(&["inspect", "stream", "--json"]);
    assert_eq!(report["producers"], json!({"said": 2, "came": 1, "left": 0, "died": 0}));
    assert_eq!((&report["drops_oldest"], &report["counters"]["overwritten"]), (&json!(true), &json!(2)));
    let text = folder.text(&["inspect", "stream"]);
    for part in ["producers: 1 of 2 came, 0 left", "drops the oldest item", "overwritten"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let metrics = folder.text(&["inspect", "stream", "--prometheus"]);
    for line in [
        "treequeues_producers{name=\"stream\",count=\"came\"} 1",
        "treequeues_overwritten_total{name=\"stream\"} 2",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} in {metrics}");
    }
    let plain = folder.hold("plain", THREE_ITEMS);
    assert_eq!(folder.json(&["inspect", "plain", "--json"])["producers"], json!(null));
    drop(plain);
}

#[test]
fn inspect_tells_who_died() {
    let folder = Folder::new();
    folder.make_stale("actors", Order { borrow: true, ..THREE_ITEMS });
    let report = folder.json(&["inspect", "actors", "--json"]);
    let who = &report["participants"][0];
    assert_eq!(
        (&report["state"], &who["alive"], &who["reading"]),
        (&json!("stale"), &json!(false), &json!(1))
    );
    assert!(who["command"].is_null(), "a number that is somebody else's by now, perhaps");
    assert_eq!((&report["most_deaths"], &report["counters"]["dropped"]), (&json!(1), &json!(0)));
    assert!(report["max_deliveries"].is_null(), "there is no limit");
    let text = folder.text(&["inspect", "actors"]);
    assert!(text.contains("dead") && text.contains("1 taker died with the worst item"), "{text}");
}

#[test]
fn prometheus_reads_all_queues_or_one() {
    let folder = Folder::new();
    let _live = folder.hold("actors", Order { borrow: true, ..THREE_ITEMS });
    folder.make_stale("crashed", THREE_ITEMS);
    folder.put_file("notes", b"no queue");
    let all = exposition::parse(&folder.text(&["inspect", "--prometheus"])).expect("valid");
    let value = |metric: &str, labels: &[(&str, &str)]| {
        let mut found = all.iter().filter(|(name, found, _)| {
            name == metric
                && labels.iter().all(|(label, value)| found.get(*label).is_some_and(|it| it == value))
        });
        let sample = found.next().unwrap_or_else(|| panic!("{metric} {labels:?} in {all:?}"));
        assert_eq!(found.next(), None, "{metric} {labels:?} is one sample");
        sample.2
    };
    assert_eq!(value("treequeues_puts_total", &[("name", "actors")]), 3.0);
    assert_eq!(value("treequeues_put_bytes_total", &[("name", "actors")]), 3.0 * 18.0);
    assert_eq!(value("treequeues_items", &[("name", "actors")]), 2.0);
    assert_eq!(value("treequeues_slots", &[("name", "actors"), ("state", "reading")]), 1.0);
    assert_eq!(value("treequeues_state", &[("name", "crashed"), ("state", "stale")]), 1.0);
    assert_eq!(value("treequeues_state", &[("name", "notes"), ("state", "foreign")]), 1.0);
    assert_eq!(value("treequeues_most_deaths", &[("name", "actors")]), 0.0);
    assert_eq!(value("treequeues_dropped_total", &[("name", "actors")]), 0.0);
    assert_eq!(value("treequeues_overwritten_total", &[("name", "actors")]), 0.0);
    assert_eq!(value("treequeues_participant_alive", &[("name", "crashed")]), 0.0);
    assert_eq!(value("treequeues_participant_slots", &[("name", "actors"), ("for", "reading")]), 1.0);
    let one = exposition::parse(&folder.text(&["inspect", "crashed", "--prometheus"])).expect("valid");
    assert!(one.iter().all(|(_, labels, _)| labels["name"] == "crashed"), "{one:?}");
}

#[test]
fn peek_shows_the_oldest_item_and_takes_nothing() {
    let folder = Folder::new();
    let holder = folder.hold("actors", THREE_ITEMS);
    for _ in 0..2 {
        let item = folder.json(&["peek", "actors", "--json"]);
        assert_eq!((&item["ticket"], &item["producer_pid"]), (&json!(0), &json!(holder.pid())));
        let obs = &item["leaves"][0];
        assert_eq!((&obs["minimum"], &obs["maximum"], &obs["mean"]), (&json!(0), &json!(5), &json!(2.5)));
        assert_eq!((&item["leaves"][1]["mean"], &item["leaves"][2]["first"]), (&json!(0.5), &json!("b'hi'")));
    }
    let text = folder.text(&["peek", "actors"]);
    assert!(text.starts_with("actors  item 0, put ") && text.contains("b'hi'"), "{text}");
    assert_eq!(folder.json(&["ls", "--json"])[0]["items"], json!(3));
}

#[test]
fn peek_at_an_empty_queue_says_so() {
    let folder = Folder::new();
    let _holder = folder.hold("actors", Order::default());
    let answer = folder.run(&["peek", "actors"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(1), "treequeues: actors is empty\n"));
}

#[test]
fn what_is_no_queue_is_told_with_the_reason() {
    let folder = Folder::new();
    folder.put_file("notes", b"no queue");
    for command in ["inspect", "peek"] {
        let answer = folder.run(&[command, "notes"]);
        assert_eq!(answer.code, Some(1));
        assert!(
            answer.stderr.starts_with("treequeues: notes is foreign: not a treequeues segment"),
            "{answer:?}"
        );
        let answer = folder.run(&[command, "nothing"]);
        assert_eq!(answer.code, Some(1));
        assert!(answer.stderr.starts_with("treequeues: nothing is named \"nothing\""), "{answer:?}");
    }
}

#[test]
fn a_folder_that_lets_others_in_is_refused_with_the_mend() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("ours");
    let answer = folder.run(&["ls"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.starts_with("treequeues: ") && answer.stderr.contains("0700"), "{answer:?}");
}

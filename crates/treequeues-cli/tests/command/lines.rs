//! `top --json`, demo and bench.

use std::fs;

use serde_json::json;

use crate::folder::{Folder, Order, WATCHDOG};

#[test]
fn top_prints_a_line_a_look() {
    let folder = Folder::new();
    let _holder = folder.hold("actors", Order { items: 3, ..Order::default() });
    let text = folder.text(&["top", "--json", "--interval", "0.05", "--count", "3"]);
    assert_eq!(text.lines().count(), 3);
    let line: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    let queue = &line["queues"][0];
    let fields: Vec<&str> = queue.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "bytes_per_second",
        "capacity",
        "get_waiting",
        "gets_per_second",
        "id",
        "items",
        "kind",
        "missed_per_second",
        "most_lag",
        "name",
        "participants",
        "put_waiting",
        "puts_per_second",
        "state",
        "subscriptions",
        "version",
    ];
    assert_eq!(fields, expected);
    assert_eq!((&queue["items"], &queue["puts_per_second"]), (&json!(3), &json!(0.0)));
}

#[test]
fn top_survives_queues_that_go_and_come() {
    let folder = Folder::new();
    let holder = folder.hold("actors", Order::default());
    let mut top = folder.start(&["top", "--json", "--interval", "0.05"]);
    let first = top.json_line();
    let id = first["queues"][0]["id"].clone();
    holder.end();
    let state = |state: &str| {
        let began = std::time::Instant::now();
        loop {
            let line = top.json_line();
            if line["queues"][0]["state"] == state {
                return line;
            }
            assert!(began.elapsed() < WATCHDOG, "never {state}: {line}");
        }
    };
    state("gone");
    let _holder = folder.hold("actors", Order::default());
    assert_ne!(state("live")["queues"][0]["id"], id);
    assert_eq!(top.end_by("-TERM"), Some(0));
}

#[test]
fn top_of_one_queue_shows_no_other() {
    let folder = Folder::new();
    let _holders = ["actors", "critics"].map(|name| folder.hold(name, Order::default()));
    let text = folder.text(&["top", "critics", "--json", "--interval", "0.05", "--count", "1"]);
    assert!(text.contains("critics") && !text.contains("actors"), "{text}");
    let answer = folder.run(&["top", "nobody", "--json"]);
    assert_eq!(answer.code, Some(1));
}

#[test]
fn top_without_a_terminal_says_what_to_use() {
    let answer = Folder::new().run(&["top"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("inspect NAME --json"), "{answer:?}");
}

#[test]
fn the_demo_runs_until_it_is_told_to_end_and_leaves_nothing() {
    let folder = Folder::new();
    let mut demo = folder.start(&["demo", "--name", "show"]);
    assert_eq!(demo.line(), "Watch it from another terminal: treequeues top");
    assert!(demo.line().contains("frames a second"));
    let names: Vec<String> = folder.states().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["show-frames", "show-results"]);
    let report = folder.json(&["inspect", "show-frames", "--json"]);
    assert_eq!(
        report["participants"].as_array().map(Vec::len),
        Some(5),
        "itself, three producers and a consumer"
    );
    let another = folder.run(&["demo", "--name", "show"]);
    assert_eq!(another.code, Some(1));
    assert!(another.stderr.contains("--name"), "{another:?}");
    assert_eq!(demo.end_by("-INT"), Some(0));
    assert_eq!(demo.rest().last().map(String::as_str), Some("Ended: its processes and its queues are gone."));
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
}

#[test]
fn the_demo_does_not_outlive_its_first_process() {
    let folder = Folder::new();
    let mut demo = folder.start(&["demo"]);
    demo.line();
    assert!(demo.line().contains("frames a second"));
    demo.child.kill().expect("it lives");
    // Its helpers see the end of their input, and the last of them removes the names.
    let began = std::time::Instant::now();
    while fs::read_dir(folder.path()).expect("readable").count() > 0 {
        assert!(began.elapsed() < WATCHDOG, "{:?}", folder.states());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn bench_measures_what_it_says() {
    let folder = Folder::new();
    let report = folder.json(&["bench", "--json"]);
    let list = |field: &str| report[field].as_array().expect("a list").clone();
    assert!(
        list("copies").len() == 2
            && list("copies").iter().all(|copy| copy["bytes_per_second"].as_f64() > Some(0.0))
    );
    let latency = &report["latency"];
    assert!(
        latency["p50_seconds"].as_f64() > Some(0.0)
            && latency["p50_seconds"].as_f64() <= latency["p99_seconds"].as_f64()
    );
    let of = |queue: &str| {
        list("rates")
            .iter()
            .filter(|rate| rate["queue"].as_str().is_some_and(|it| it.starts_with(queue)))
            .count()
    };
    assert_eq!(of("treequeues, Rust"), 3);
    // Where there is no Python, a note says so.
    assert!(of("multiprocessing.Queue") == 3 || !list("notes").is_empty(), "{report}");
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0, "its queues have no names");
}

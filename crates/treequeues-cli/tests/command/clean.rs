//! What `clean` removes, and what it leaves.

use std::fs;

use serde_json::json;

use crate::folder::{Folder, Order};

const KEPT: Order = Order { items: 2, keep: true, borrow: false, shut_down: false, is_stream: false };

/// A queue in each state. The live one lives as long as what is returned.
fn one_of_each() -> (Folder, crate::folder::Holder) {
    let folder = Folder::new();
    let live = folder.hold("live", Order::default());
    folder.hold("idle", KEPT).end();
    folder.make_stale("stale", Order::default());
    folder.make_stale("broken", Order::default());
    damage_schema(&folder, "broken");
    folder.put_file("notes", b"no queue at all");
    (folder, live)
}

/// Overwrites the schema's JSON in the segment's file.
fn damage_schema(folder: &Folder, name: &str) {
    let mut bytes = fs::read(folder.path_of(name)).expect("readable");
    let schema = b"{\"version\"";
    let at = bytes.windows(schema.len()).position(|window| window == schema).expect("a schema");
    bytes[at] = b'x';
    fs::write(folder.path_of(name), bytes).expect("writable");
}

fn names(folder: &Folder) -> Vec<String> {
    folder.states().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn stale_and_broken_queues_go_and_all_others_stay() {
    let (folder, _live) = one_of_each();
    let bytes = fs::metadata(folder.path_of("stale")).expect("there").len();
    let report = folder.json(&["clean", "--json"]);
    assert_eq!(
        report["removed"],
        json!([{"name": "broken", "kind": null, "state": "broken", "bytes": bytes}, {"name": "stale", "kind": "queue", "state": "stale", "bytes": bytes}])
    );
    assert_eq!((&report["removed_bytes"], &report["dry_run"]), (&json!(2 * bytes), &json!(false)));
    assert_eq!(names(&folder), ["idle", "live", "notes"]);
    let left: Vec<_> = report["left"].as_array().expect("a list").iter().map(|left| &left["name"]).collect();
    assert_eq!(left, [&json!("idle"), &json!("live"), &json!("notes")]);
}

#[test]
fn a_dry_run_removes_nothing() {
    let (folder, _live) = one_of_each();
    let text = folder.text(&["clean", "--dry-run"]);
    assert!(
        text.contains("would remove stale (stale, ") && text.contains("would remove 2 queues, "),
        "{text}"
    );
    assert!(text.contains("left idle (idle): it was made to be kept; --idle removes it"), "{text}");
    assert_eq!(names(&folder), ["broken", "idle", "live", "notes", "stale"]);
}

#[test]
fn a_queue_that_is_left_is_all_that_is_said() {
    let folder = Folder::new();
    folder.hold("idle", KEPT).end();
    let text = folder.text(&["clean"]);
    assert!(text.starts_with("left idle (idle): ") && text.lines().count() == 1, "{text}");
}

#[test]
fn kept_queues_go_if_asked_for() {
    let (folder, _live) = one_of_each();
    let text = folder.text(&["clean", "--idle"]);
    assert!(text.contains("removed idle (idle, ") && text.contains("removed 3 queues, "), "{text}");
    assert_eq!(names(&folder), ["live", "notes"]);
}

#[test]
fn only_what_is_named_goes() {
    let (folder, _live) = one_of_each();
    folder.make_stale("stale-too", Order::default());
    let text = folder.text(&["clean", "stale"]);
    assert!(text.starts_with("removed stale (stale, "), "{text}");
    assert_eq!(names(&folder), ["broken", "idle", "live", "notes", "stale-too"]);
}

#[test]
fn live_and_foreign_ones_stay_also_if_named() {
    let (folder, _live) = one_of_each();
    for (name, why) in
        [("live", "somebody is attached"), ("notes", "not a treequeues segment"), ("idle", "--idle")]
    {
        let answer = folder.run(&["clean", name]);
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.stdout.contains(why), "{answer:?}");
        assert_eq!(answer.stderr, format!("treequeues: not removed: {name}\n"));
    }
    for name in ["live", "notes"] {
        assert_eq!(folder.run(&["clean", "--idle", name]).code, Some(1));
    }
    assert_eq!(names(&folder).len(), 5);
    let answer = folder.run(&["clean", "nothing", "stale"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("nothing is named \"nothing\""), "{answer:?}");
    assert!(answer.stdout.contains("removed stale"), "the others are cleaned: {answer:?}");
}

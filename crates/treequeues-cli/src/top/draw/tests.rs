//! Screens at 80 by 24 and 160 by 50, compared with the text files beside this one.
//!
//! After a change that is meant, `UPDATE_SCREENS=1 cargo test -p treequeues-cli screen` writes them anew, to be looked at.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::super::testing::{TestLook, look, participant, topic};
use super::list::history;
use super::table::elided;
use super::*;
use crate::look::{Look, State};

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (160, 50);

fn rendered(model: &Model, (width, height): (u16, u16), has_colors: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a buffer");
    let scene = Scene { interval: Duration::from_secs(1), nothing: "No named queues here.", has_colors };
    terminal.draw(|frame| draw(frame, model, scene)).expect("a buffer takes all");
    terminal.backend().buffer().clone()
}

fn text_of(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let lines =
        buffer.content.chunks(width).map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn text(model: &Model, size: (u16, u16)) -> String {
    text_of(&rendered(model, size, false))
}

fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/draw").join(name);
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        fs::write(&path, text).expect("writable");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{name} is now:\n{text}\nand was:\n{expected}");
}

/// A queue whose depth went up and down, with two producers and a consumer.
fn busy(name: &str, id: u32, second: u64) -> TestLook {
    let waited = second as f64;
    look(name, id, (second * 7 % 65) as usize)
        .with(participant(0, 1200 * second, 0).waited(0.25 * waited, 0.0))
        .with(participant(1, 30 * second, 0).waited(0.75 * waited, 0.0))
        .with(participant(2, 0, 1210 * second).waited(0.0, 0.1 * waited))
}

fn gone_stale(name: &str, id: u32) -> Look {
    let mut look = look(name, id, 64).with(participant(0, 64, 0)).look;
    look.state = State::Stale;
    look.content.as_mut().expect("one").participants[0].alive = false;
    look
}

fn foreign(name: &str) -> Look {
    let reason = Some("not a treequeues segment: it is too short".to_owned());
    Look { name: name.into(), kind: None, state: State::Foreign, reason, facts: None, content: None }
}

/// A busy queue, an idle one with a long name, a stale one, one that is gone, and a file that is none.
fn scene() -> Model {
    let mut model = Model::default();
    for second in 0..40 {
        let mut looks = vec![
            busy("actors", 1, second).held_by(2, 3.25).look,
            look("a-queue-with-a-rather-long-name-of-some-project", 2, 3).look,
            gone_stale("crashed", 3),
            foreign("notes.txt"),
        ];
        if second < 38 {
            looks.push(look("short-lived", 4, 10).look);
        }
        model.update(Duration::from_secs(second), looks);
    }
    model.select(1);
    model
}

/// A crowd at one queue.
fn crowd() -> Model {
    let mut model = Model::new(true);
    let mut looks = look("crowd", 1, 20);
    for place in 0..100 {
        looks = looks.with(participant(place, 10, 0));
    }
    for place in 0..30 {
        looks = looks.held_by(place, 100.0 - f64::from(place));
    }
    model.update(Duration::ZERO, vec![looks.look]);
    model
}

/// A queue, and a topic whose publisher puts 60 items a second: two readers keep up, of which one reads an item, the third lags and misses
/// half of what comes.
fn topics() -> Model {
    let mut model = Model::default();
    for second in 0..40 {
        let frames = topic("camera-frames", 2, 60 * second, usize::from(second % 4 > 0) + 1)
            .with(participant(0, 60 * second, 0))
            .with(participant(1, 0, 60 * second).waited(0.0, 0.75 * second as f64))
            .with(participant(2, 0, 60 * second).waited(0.0, 0.25 * second as f64))
            .with(participant(3, 0, 30 * second))
            .subscribed(3, second.min(6), 30 * second)
            .subscribed(1, 0, 0)
            .subscribed(2, u64::from(second > 0), 0)
            .read_by(3, 5, 60 * second - second.min(6), 1)
            .read_by(1, 2, 60 * second, 2);
        let looks = vec![busy("actors", 1, second).look, frames.look, foreign("notes.txt")];
        model.update(Duration::from_secs(second), looks);
    }
    model.select(1);
    model
}

#[test]
fn screen_of_topics_among_queues() {
    compare("topics-80x24.txt", &text(&topics(), SMALL));
    compare("topics-160x50.txt", &text(&topics(), LARGE));
}

#[test]
fn screen_with_the_details_of_a_topic() {
    let mut model = topics();
    model.has_details = true;
    compare("topic-details-80x24.txt", &text(&model, SMALL));
    compare("topic-details-160x50.txt", &text(&model, LARGE));
}

#[test]
fn columns_of_topics_are_for_those_who_have_some() {
    for (model, expected) in [(topics(), true), (scene(), false)] {
        let text = text(&model, LARGE);
        for heading in ["KIND", "VERSION", "MISSED/S", "SUBS", "LAG"] {
            assert_eq!(text.contains(heading), expected, "{heading} in {text}");
        }
    }
    // At every width, names and states are there.
    for width in 80..=160 {
        let text = text(&topics(), (width, 24));
        let row = text.lines().find(|line| line.contains("topic") && line.contains("cam")).expect("a row");
        assert!(row.ends_with("live"), "{width}: {row}");
    }
}

#[test]
fn what_does_not_fit_of_each_section_is_counted() {
    let mut model = Model::new(true);
    let mut looks = topic("crowd", 1, 1000, 8);
    for place in 0..30 {
        looks = looks.with(participant(place, 0, 10));
    }
    for place in 0..30 {
        looks = looks.subscribed(place, 100 - u64::from(place), 5).read_by(place, 3, 900, 1);
    }
    model.update(Duration::ZERO, vec![looks.look]);
    let text = text(&model, SMALL);
    assert_eq!(text.lines().filter(|line| line.starts_with("... and ")).count(), 3, "{text}");
    assert!(text.contains("NEXT ITEM") && text.contains("Slots held, the oldest items first"), "{text}");
}

#[test]
fn screen_of_queues() {
    compare("queues-80x24.txt", &text(&scene(), SMALL));
    compare("queues-160x50.txt", &text(&scene(), LARGE));
}

#[test]
fn screen_with_details() {
    let mut model = scene();
    model.has_details = true;
    compare("details-80x24.txt", &text(&model, SMALL));
    compare("details-160x50.txt", &text(&model, LARGE));
}

#[test]
fn details_tell_of_items_that_kill() {
    let line = |limit, most_deaths, dropped| {
        let mut model = Model::new(true);
        let look = look("a", 1, 1).killing(limit, most_deaths, dropped).look;
        model.update(Duration::ZERO, vec![look]);
        let text = text(&model, SMALL);
        text.lines().find(|line| line.starts_with("killers: ")).map(str::to_owned)
    };
    assert_eq!(line(3, 0, 0), None);
    let text = "killers: 2 takers died with the worst item, dropped after 3";
    assert_eq!(line(3, 2, 0).as_deref(), Some(text));
    assert_eq!(line(3, 0, 1).as_deref(), Some("killers: 1 item dropped"));
    let text = "killers: 1 taker died with the worst item, dropped after 3; 12 items dropped";
    assert_eq!(line(3, 1, 12).as_deref(), Some(text));
}

#[test]
fn a_queue_that_drops_its_oldest_items_says_how_many() {
    let mut model = Model::new(true);
    model.update(Duration::ZERO, vec![look("a", 1, 1).overwriting(10).look, look("b", 2, 1).look]);
    model.update(Duration::from_secs(2), vec![look("a", 1, 1).overwriting(1010).look, look("b", 2, 1).look]);
    let text = text(&model, LARGE);
    assert!(text.contains("overflow: 1010 items dropped for newer ones"), "{text}");
    let heading = text.lines().nth(1).expect("headings");
    let end = heading.find("OVERWR/S").expect("a column") + "OVERWR/S".len();
    let cell = |name: &str| {
        let row = text.lines().find(|line| line.starts_with(name)).expect("a row");
        // Characters, for the history is drawn in wide ones.
        let shown: String = row.chars().take(heading[..end].chars().count()).collect();
        shown.split_whitespace().last().map(str::to_owned)
    };
    assert_eq!((cell("a ").as_deref(), cell("b ").as_deref()), (Some("500"), Some("-")));
    let without = {
        let mut model = Model::new(true);
        model.update(Duration::ZERO, vec![look("b", 2, 1).look]);
        super::tests::text(&model, LARGE)
    };
    assert!(!without.contains("OVERWR/S") && !without.contains("overflow"));
}

#[test]
fn screen_with_help() {
    let mut model = scene();
    model.has_help = true;
    compare("help-80x24.txt", &text(&model, SMALL));
}

#[test]
fn screen_of_a_crowd() {
    compare("crowd-80x24.txt", &text(&crowd(), SMALL));
}

#[test]
fn a_folder_of_many_queues_scrolls_with_the_selection() {
    let mut model = Model::default();
    model.update(Duration::ZERO, (0..40).map(|id| look(&format!("queue-{id:02}"), id, 1).look).collect());
    let top = text(&model, SMALL);
    assert!(
        top.contains("40 queues (1-21 shown)") && top.contains("queue-00") && !top.contains("queue-21"),
        "{top}"
    );
    model.select(30);
    let middle = text(&model, SMALL);
    assert!(middle.contains("(11-31 shown)") && middle.contains("queue-30"), "{middle}");
    assert!(!middle.contains("queue-31") && !middle.contains("queue-09"), "{middle}");
    assert!(!text(&model, LARGE).contains("shown"), "all fit");
}

#[test]
fn nothing_is_wider_or_higher_than_the_screen() {
    for model in [scene(), crowd(), topics(), Model::default()] {
        for has_details in [false, true] {
            for size in [(1, 1), (10, 3), (20, 5), (40, 10), (80, 2), (300, 100)] {
                let mut shown = Model::new(has_details);
                shown.has_help = true;
                let looks = model.sorted().iter().map(|watched| watched.look.clone()).collect();
                shown.update(Duration::ZERO, looks);
                text(&shown, size);
            }
        }
    }
}

#[test]
fn no_queue_at_all_says_so() {
    assert!(text(&Model::default(), SMALL).contains("No named queues here."));
}

#[test]
fn trouble_is_told_in_place_of_the_keys() {
    let mut model = scene();
    model.trouble = Some("the folder is closed".into());
    let text = text(&model, SMALL);
    assert!(text.ends_with("the folder is closed\n"), "{text}");
}

#[test]
fn colors_are_for_those_who_want_them() {
    let has_color = |buffer: Buffer| buffer.content.iter().any(|cell| cell.fg != Color::Reset);
    assert!(has_color(rendered(&scene(), SMALL, true)));
    assert!(!has_color(rendered(&scene(), SMALL, false)));
}

#[test]
fn names_lose_their_middle() {
    assert_eq!(elided("abcdefghij", 10), "abcdefghij");
    assert_eq!(elided("abcdefghijk", 10), "abcde…hijk");
    assert_eq!(elided("abc", 1), "…");
    assert_eq!(elided("abc", 0), "");
}

#[test]
fn a_bar_is_empty_only_if_the_queue_is() {
    let depths = VecDeque::from([Some(0), Some(1), Some(500), Some(1000), None]);
    assert_eq!(history(&depths, 1000, 7), "  ▁▂▅█ ");
    assert_eq!(history(&depths, 1000, 2), "█ ");
    assert_eq!(history(&VecDeque::from([Some(5)]), 0, 1), "█");
}

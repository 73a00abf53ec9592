//! A row a queue or topic.
//!
//! Columns are as wide as what can stand in them, and names and history share what is left. So a screen of 80 columns has
//! all that matters, and a wider one more of the past. What only some of those listed have is a column if one of them does.

use std::collections::VecDeque;

use ratatui::style::{Color, Modifier, Style};

use super::super::model::{Rates, SortBy, Watched};
use super::color;
use super::table::{Column, elided, percent};
use crate::look::{Kind, State};
use crate::units;

/// Depth as a bar, from empty to full.
pub const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// More of the past than this is a stripe that nobody reads.
const MAX_HISTORY_WIDTH: usize = 60;
/// Less is no history.
const MIN_HISTORY_WIDTH: usize = 4;
const MIN_NAME_WIDTH: usize = 8;
/// From these widths on there is room for what matters less, and for still less.
const WIDE: usize = 110;
const WIDER: usize = 130;
const WIDEST: usize = 150;

pub fn columns(all: &[&Watched], has_colors: bool, width: usize) -> Vec<Column<Watched>> {
    let widest = |text: fn(&Watched) -> usize, least| {
        all.iter().map(|watched| text(watched)).max().unwrap_or(0).max(least)
    };
    let has_topics = all.iter().any(|watched| watched.is_topic());
    let mut rest = numbers(all, width, has_topics);
    rest.push(Column::styled(
        "STATE",
        widest(|watched| watched.state_word().len(), 5),
        move |watched: &Watched| (watched.state_word().to_owned(), state_style(has_colors, watched)),
    ));
    let taken: usize = rest.iter().map(|column| column.width + 1).sum();
    let left = width.saturating_sub(taken + 1);
    let name_width = widest(|watched| watched.look.name.len(), MIN_NAME_WIDTH).min(
        left.saturating_sub(MIN_HISTORY_WIDTH).max(MIN_NAME_WIDTH).min(left * 2 / 3 + 1).max(MIN_NAME_WIDTH),
    );
    let history_width = left.saturating_sub(name_width).min(MAX_HISTORY_WIDTH);
    let name = move |watched: &Watched| (elided(&watched.look.name, name_width), Style::new());
    let heading = if has_topics { "NAME" } else { "QUEUE" };
    let mut columns = vec![Column::styled(heading, name_width, name).sorted_by(SortBy::Name)];
    if history_width >= MIN_HISTORY_WIDTH {
        let style = color(has_colors, Color::Cyan);
        columns.push(Column::styled("DEPTH", history_width, move |watched: &Watched| {
            (history(&watched.depths, watched.capacity().unwrap_or(0), history_width), style)
        }));
    }
    columns.extend(rest);
    columns
}

/// The columns between history and state, of those that there is room and use for.
fn numbers(all: &[&Watched], width: usize, has_topics: bool) -> Vec<Column<Watched>> {
    let of_rates = |heading, width, text: fn(Rates) -> String| {
        Column::plain(heading, width, move |watched: &Watched| rated(watched, text))
    };
    let of_facts = |heading, text: fn(&crate::look::Facts) -> String| {
        Column::plain(heading, 8, move |watched: &Watched| {
            watched.look.facts.as_ref().map_or("-".to_owned(), text)
        })
    };
    let is_wide = width >= WIDE;
    let drop_oldest = all.iter().any(|watched| watched.drops_oldest());
    // The text of the capacity, twice, is the widest.
    let capacity_width =
        all.iter().map(|watched| number_or_dash(watched.capacity()).len()).max().unwrap_or(0);
    let kind = |watched: &Watched| watched.look.kind.map_or("-", Kind::word).to_owned();
    let items = |watched: &Watched| {
        format!("{}/{}", number_or_dash(watched.items()), number_or_dash(watched.capacity()))
    };
    let full = |watched: &Watched| watched.fill().map_or("-".to_owned(), percent);
    let overwritten = |watched: &Watched| match watched.drops_oldest() {
        true => rated(watched, |rates| units::rate(rates.overwritten_per_second)),
        false => "-".to_owned(),
    };
    let missed = |watched: &Watched| match watched.is_topic() {
        true => rated(watched, |rates| units::rate(rates.missed_per_second)),
        false => "-".to_owned(),
    };
    let bytes = |watched: &Watched| rated(watched, |_| units::bytes(watched.bytes_per_second()));
    let processes = |watched: &Watched| number_or_dash(watched.processes());
    let version = |watched: &Watched| watched.version().map_or("-".to_owned(), |version| version.to_string());
    let columns = [
        (has_topics, Column { is_left: true, ..Column::plain("KIND", 5, kind) }),
        (true, Column::plain("ITEMS", (2 * capacity_width + 1).max(6), items).sorted_by(SortBy::Items)),
        (is_wide, Column::plain("FULL", 5, full).sorted_by(SortBy::Full)),
        (has_topics && width >= WIDEST, Column::plain("VERSION", 9, version)),
        (true, of_rates("PUTS/S", 7, |rates| units::rate(rates.puts_per_second)).sorted_by(SortBy::Puts)),
        (true, of_rates("GETS/S", 7, |rates| units::rate(rates.gets_per_second)).sorted_by(SortBy::Gets)),
        (is_wide && drop_oldest, Column::plain("OVERWR/S", 8, overwritten)),
        (has_topics && width >= WIDER, Column::plain("MISSED/S", 8, missed)),
        (true, Column::plain("BYTES/S", 8, bytes).sorted_by(SortBy::Bytes)),
        (true, of_rates("PUT W", 6, |rates| percent(rates.put_waiting)).sorted_by(SortBy::PutWaits)),
        (true, of_rates("GET W", 6, |rates| percent(rates.get_waiting)).sorted_by(SortBy::GetWaits)),
        (true, Column::plain("PROC", 5, processes).sorted_by(SortBy::Processes)),
        (
            has_topics && width >= WIDEST,
            Column::plain("SUBS", 5, |watched: &Watched| number_or_dash(watched.subscriptions())),
        ),
        (
            has_topics && width >= WIDER,
            Column::plain("LAG", 6, |watched: &Watched| {
                number_or_dash(watched.most_lag().map(|lag| lag as usize))
            }),
        ),
        (is_wide, of_facts("SIZE", |facts| units::bytes(facts.bytes as f64))),
        (is_wide, of_facts("AGE", |facts| units::age(facts.age_seconds))),
    ];
    columns.into_iter().filter_map(|(is_shown, column)| is_shown.then_some(column)).collect()
}

/// What is known of rates; a file that cannot be looked into has none.
fn rated(watched: &Watched, text: impl Fn(Rates) -> String) -> String {
    if watched.look.content.is_some() { text(watched.rates) } else { "-".to_owned() }
}

/// The last depths, oldest first, at the right end of `width` characters.
pub fn history(depths: &VecDeque<Option<usize>>, capacity: usize, width: usize) -> String {
    let shown = depths.len().min(width);
    let bars = depths.iter().skip(depths.len() - shown).map(|depth| match depth {
        None => ' ',
        Some(depth) => {
            let level = (*depth as f64 / capacity.max(1) as f64 * (BARS.len() - 1) as f64).ceil() as usize;
            BARS[level.min(BARS.len() - 1)]
        }
    });
    std::iter::repeat_n(' ', width - shown).chain(bars).collect()
}

fn state_style(has_colors: bool, watched: &Watched) -> Style {
    match watched.look.state {
        _ if watched.is_gone() => Style::new().add_modifier(Modifier::DIM),
        State::Live => color(has_colors, Color::Green),
        State::Idle => color(has_colors, Color::Cyan),
        State::Stale => color(has_colors, Color::Yellow),
        State::Broken | State::Foreign => color(has_colors, Color::Red),
    }
}

fn number_or_dash(number: Option<usize>) -> String {
    number.map_or("-".to_owned(), |number| {
        if number < 10_000 { number.to_string() } else { units::count(number as f64) }
    })
}

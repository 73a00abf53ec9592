//! The screen of `top`, drawn from the model.
//!
//! ```text
//! title    how many queues, the interval, the order
//! table    a row a queue
//! details  of the selected one, if open: its slots, its participants, and who holds slots
//! keys
//! ```
//!
//! Columns are as wide as what can stand in them, and names and history share what is left. So a screen of 80 columns has
//! all that matters, and a wider one more of the past.

use std::collections::VecDeque;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::model::{Model, Queue, Rates, SortBy};
use crate::look::{Content, Participant, State};
use crate::units;

/// Depth as a bar, from empty to full.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// More of the past than this is a stripe that nobody reads.
const MAX_HISTORY_WIDTH: usize = 60;
/// Less is no history.
const MIN_HISTORY_WIDTH: usize = 4;
const MIN_NAME_WIDTH: usize = 8;
/// From this width on there is room for what matters less.
const WIDE: usize = 110;
/// Lines that the table keeps when the details are open: headings and a few rows.
const MIN_TABLE_HEIGHT: usize = 5;
/// Lines of held slots that stay when there are many participants.
const MIN_HELD_LINES: usize = 4;
const KEYS: &str = "q quit  ↑↓ select  Enter details  s sort  r reverse  ? help";
const HELP: [(&str, &str); 14] = [
    ("q Esc Ctrl-C", "quit"),
    ("up down", "select a queue"),
    ("Enter", "open or close its details"),
    ("s", "sort by the next column"),
    ("r", "sort the other way round"),
    ("?", "close this help"),
    ("", ""),
    ("DEPTH", "items over time, empty to full"),
    ("ITEMS", "items now, and how many fit in"),
    ("BYTES/S", "bytes of the items put"),
    ("PUT W", "share of time producers wait for room"),
    ("GET W", "share of time consumers wait for items"),
    ("PROC", "processes attached"),
    ("STATE", "live, idle, stale, broken, foreign"),
];

/// What is drawn beside the model.
#[derive(Clone, Copy)]
pub struct Scene<'s> {
    pub interval: Duration,
    /// What is said where no queue is.
    pub nothing: &'s str,
    pub has_colors: bool,
}

/// The text of a column in one row, and how it looks.
type CellOf<T> = Box<dyn Fn(&T) -> (String, Style)>;

/// A column of the table of queues or of participants.
struct Column<T: ?Sized> {
    heading: &'static str,
    width: usize,
    is_left: bool,
    sort: Option<SortBy>,
    cell: CellOf<T>,
}

pub fn draw(frame: &mut Frame<'_>, model: &Model, scene: Scene<'_>) {
    let [title, table, details, keys] = areas(frame.area(), model);
    frame.render_widget(title_line(model, scene, table.height), title);
    if model.sorted().is_empty() {
        frame.render_widget(
            Paragraph::new(vec![Line::default(), Line::from(scene.nothing.to_owned())]),
            table,
        );
    } else {
        draw_queues(frame, model, scene, table);
    }
    if let Some(queue) = model.selected().filter(|_| model.has_details) {
        let lines = detail_lines(queue, scene, usize::from(details.width), usize::from(details.height));
        frame.render_widget(Paragraph::new(lines), details);
    }
    let keys_line = match &model.trouble {
        Some(trouble) => Line::styled(trouble.clone(), color(scene.has_colors, Color::Red)),
        None => Line::styled(KEYS, Style::new().add_modifier(Modifier::DIM)),
    };
    frame.render_widget(keys_line, keys);
    if model.has_help {
        draw_help(frame);
    }
}

fn areas(screen: Rect, model: &Model) -> [Rect; 4] {
    let rows = model.sorted().len().max(2) + 1;
    let table = if model.has_details && model.selected().is_some() {
        let most = (usize::from(screen.height) / 3).max(MIN_TABLE_HEIGHT);
        Constraint::Length(rows.min(most) as u16 + 1)
    } else {
        Constraint::Fill(1)
    };
    let details = if model.has_details { Constraint::Fill(1) } else { Constraint::Length(0) };
    Layout::vertical([Constraint::Length(1), table, details, Constraint::Length(1)]).areas(screen)
}

fn title_line(model: &Model, scene: Scene<'_>, table_height: u16) -> Line<'static> {
    let count = model.sorted().len();
    let (first, last) = shown(model, table_height);
    let range = if last - first < count { format!(" ({}-{last} shown)", first + 1) } else { String::new() };
    let order = match (model.sort, model.is_reversed) {
        (sort, false) => sort.word().to_owned(),
        (sort, true) => format!("{}, reversed", sort.word()),
    };
    Line::from(vec![
        Span::styled("treequeues", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!(
            "  {}{range}  every {}  by {order}",
            units::plural(count, "queue"),
            units::age(scene.interval.as_secs_f64())
        )),
    ])
}

/// The rows that are on the screen: those around the selected one.
fn shown(model: &Model, table_height: u16) -> (usize, usize) {
    let count = model.sorted().len();
    let visible = usize::from(table_height).saturating_sub(1).max(1);
    let first = model.selected_place().map_or(0, |place| (place + 1).saturating_sub(visible));
    (first, (first + visible).min(count))
}

fn draw_queues(frame: &mut Frame<'_>, model: &Model, scene: Scene<'_>, area: Rect) {
    let queues = model.sorted();
    let columns = queue_columns(&queues, scene.has_colors, usize::from(area.width));
    let (first, last) = shown(model, area.height);
    let mut lines = vec![headings(&columns, Some((model.sort, model.is_reversed)))];
    for (place, queue) in queues.iter().enumerate().take(last).skip(first) {
        let line = row(&columns, *queue);
        let is_selected = Some(place) == model.selected_place();
        lines.push(if is_selected {
            line.patch_style(Style::new().add_modifier(Modifier::REVERSED))
        } else {
            line
        });
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn queue_columns(queues: &[&Queue], has_colors: bool, width: usize) -> Vec<Column<Queue>> {
    let plain = |text: String| (text, Style::new());
    let widest = |text: fn(&Queue) -> usize, least| {
        queues.iter().map(|queue| text(queue)).max().unwrap_or(0).max(least)
    };
    let column = |heading, width, sort, cell: fn(&Queue) -> String| Column::<Queue> {
        heading,
        width,
        is_left: false,
        sort,
        cell: Box::new(move |queue| plain(cell(queue))),
    };
    // A full queue's text is the widest.
    let items_width = widest(|queue| 2 * number_or_dash(queue.capacity()).len() + 1, 6);
    let mut rest = vec![column("ITEMS", items_width, Some(SortBy::Items), |queue| {
        format!("{}/{}", number_or_dash(queue.items()), number_or_dash(queue.capacity()))
    })];
    if width >= WIDE {
        rest.push(column("FULL", 5, Some(SortBy::Full), |queue| queue.fill().map_or("-".into(), percent)));
    }
    rest.push(column("PUTS/S", 7, Some(SortBy::Puts), |queue| {
        rated(queue, |rates| units::rate(rates.puts_per_second))
    }));
    rest.push(column("GETS/S", 7, Some(SortBy::Gets), |queue| {
        rated(queue, |rates| units::rate(rates.gets_per_second))
    }));
    // For those who have such queues.
    if width >= WIDE && queues.iter().any(|queue| queue.drops_oldest()) {
        rest.push(column("OVERWR/S", 8, None, |queue| match queue.drops_oldest() {
            true => rated(queue, |rates| units::rate(rates.overwritten_per_second)),
            false => "-".to_owned(),
        }));
    }
    rest.push(column("BYTES/S", 8, Some(SortBy::Bytes), |queue| {
        rated(queue, |_| units::bytes(queue.bytes_per_second()))
    }));
    rest.push(column("PUT W", 6, Some(SortBy::PutWaits), |queue| {
        rated(queue, |rates| percent(rates.put_waiting))
    }));
    rest.push(column("GET W", 6, Some(SortBy::GetWaits), |queue| {
        rated(queue, |rates| percent(rates.get_waiting))
    }));
    rest.push(column("PROC", 5, Some(SortBy::Processes), |queue| number_or_dash(queue.processes())));
    if width >= WIDE {
        rest.push(column("SIZE", 8, None, |queue| {
            queue.look.facts.as_ref().map_or("-".into(), |facts| units::bytes(facts.bytes as f64))
        }));
        rest.push(column("AGE", 8, None, |queue| {
            queue.look.facts.as_ref().map_or("-".into(), |facts| units::age(facts.age_seconds))
        }));
    }
    rest.push(Column {
        heading: "STATE",
        width: widest(|queue| queue.state_word().len(), 5),
        is_left: true,
        sort: None,
        cell: Box::new(move |queue| (queue.state_word().to_owned(), state_style(has_colors, queue))),
    });
    let taken: usize = rest.iter().map(|column| column.width + 1).sum();
    let left = width.saturating_sub(taken + 1);
    let name_width = widest(|queue| queue.look.name.len(), MIN_NAME_WIDTH).min(
        left.saturating_sub(MIN_HISTORY_WIDTH).max(MIN_NAME_WIDTH).min(left * 2 / 3 + 1).max(MIN_NAME_WIDTH),
    );
    let history_width = left.saturating_sub(name_width).min(MAX_HISTORY_WIDTH);
    let mut columns = vec![Column {
        heading: "QUEUE",
        width: name_width,
        is_left: true,
        sort: Some(SortBy::Name),
        cell: Box::new(move |queue: &Queue| plain(elided(&queue.look.name, name_width))),
    }];
    if history_width >= MIN_HISTORY_WIDTH {
        let style = color(has_colors, Color::Cyan);
        columns.push(Column {
            heading: "DEPTH",
            width: history_width,
            is_left: true,
            sort: None,
            cell: Box::new(move |queue: &Queue| {
                (history(&queue.depths, queue.capacity().unwrap_or(0), history_width), style)
            }),
        });
    }
    columns.extend(rest);
    columns
}

/// What is known of a queue's rates; a file that cannot be looked into has none.
fn rated(queue: &Queue, text: impl Fn(Rates) -> String) -> String {
    if queue.look.content.is_some() { text(queue.rates) } else { "-".to_owned() }
}

fn detail_lines(queue: &Queue, scene: Scene<'_>, width: usize, height: usize) -> Vec<Line<'static>> {
    let name = elided(&queue.look.name, width.saturating_sub(4));
    let rule = "─".repeat(width.saturating_sub(name.chars().count() + 4));
    let mut lines = vec![Line::from(vec![
        Span::raw("── "),
        Span::styled(name, Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!(" {rule}")),
    ])];
    if let Some(reason) = &queue.look.reason {
        lines.push(Line::styled(reason.clone(), color(scene.has_colors, Color::Red)));
    }
    if let Some(facts) = &queue.look.facts {
        let kept = if facts.kept { ", kept" } else { "" };
        lines.push(Line::from(format!(
            "{} of {}, {} in all{kept}; created {} ago by {}",
            units::plural(facts.capacity, "slot"),
            units::bytes(facts.item_bytes as f64),
            units::bytes(facts.bytes as f64),
            units::age(facts.age_seconds),
            facts.creator_pid
        )));
    }
    let Some(content) = &queue.look.content else { return lines };
    lines.push(slots_line(content));
    lines.extend(killers_line(content, queue.look.facts.as_ref().and_then(|facts| facts.max_deliveries)));
    lines.extend(overflow_line(queue, content));
    lines.extend(content.producers.map(|producers| Line::from(producers.text())));
    lines.push(Line::default());
    let left = height.saturating_sub(lines.len());
    let held_lines = (content.held.len() + 2).min(MIN_HELD_LINES);
    let columns = participant_columns(queue, scene.has_colors, width);
    lines.push(headings(&columns, None));
    let fit = left.saturating_sub(1 + if content.held.is_empty() { 0 } else { held_lines });
    lines.extend(at_most(content.participants.len(), fit, |place| {
        row(&columns, &content.participants[place])
    }));
    if content.participants.is_empty() {
        lines.push(Line::from("nobody is attached"));
    }
    if !content.held.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("Slots held, the longest first", Style::new().add_modifier(Modifier::BOLD)));
        let fit = height.saturating_sub(lines.len());
        lines.extend(at_most(content.held.len(), fit, |place| held_line(&content.held[place])));
    }
    lines
}

fn slots_line(content: &Content) -> Line<'static> {
    let slots = &content.slots;
    let parts = [
        ("free", slots.free),
        ("writing", slots.writing),
        ("ready", slots.ready),
        ("returned", slots.returned),
        ("reading", slots.reading),
        ("lingering", slots.lingering),
    ];
    let parts = parts.iter().filter(|(what, count)| *count > 0 || matches!(*what, "free" | "ready"));
    let text: Vec<String> = parts.map(|(what, count)| format!("{count} {what}")).collect();
    let deaths = match content.counters.deaths {
        0 => String::new(),
        count => format!("; {} since it was created", units::plural(count as usize, "death")),
    };
    Line::from(format!("slots: {}{deaths}", text.join(", ")))
}

/// What is known of items that kill their takers, if there are any.
fn killers_line(content: &Content, limit: Option<u32>) -> Option<Line<'static>> {
    let mut parts = Vec::new();
    if content.most_deaths > 0 {
        let takers = units::plural(content.most_deaths as usize, "taker");
        let of = limit.map_or(String::new(), |limit| format!(", dropped after {limit}"));
        parts.push(format!("{takers} died with the worst item{of}"));
    }
    if content.counters.dropped > 0 {
        parts.push(format!("{} dropped", units::plural(content.counters.dropped as usize, "item")));
    }
    (!parts.is_empty()).then(|| Line::from(format!("killers: {}", parts.join("; "))))
}

/// What a queue that drops its oldest items has dropped.
fn overflow_line(queue: &Queue, content: &Content) -> Option<Line<'static>> {
    let items = units::plural(content.counters.overwritten as usize, "item");
    queue.drops_oldest().then(|| Line::from(format!("overflow: {items} dropped for newer ones")))
}

fn held_line(held: &crate::look::Held) -> Line<'static> {
    let who = held.pid.map_or("somebody who is gone".to_owned(), |pid| format!("process {pid}"));
    let what = match held.purpose.word() {
        "lingering" => "kept by arrays of",
        "writing" => "written by",
        _ => "read by",
    };
    Line::from(format!(
        "slot {} (item {}) {what} {who} for {}",
        held.slot,
        held.ticket,
        units::hold(held.held_seconds)
    ))
}

fn participant_columns(queue: &Queue, has_colors: bool, width: usize) -> Vec<Column<Participant>> {
    let rates: std::collections::BTreeMap<u32, Rates> = queue
        .look
        .content
        .iter()
        .flat_map(|content| &content.participants)
        .map(|who| (who.place, queue.rates_of(who.place)))
        .collect();
    let column = |heading, width, cell: fn(&Participant, Rates) -> String| {
        let rates = rates.clone();
        Column::<Participant> {
            heading,
            width,
            is_left: false,
            sort: None,
            cell: Box::new(move |who| {
                let rates = rates.get(&who.place).copied().unwrap_or_default();
                (cell(who, rates), Style::new())
            }),
        }
    };
    let dead = color(has_colors, Color::Red);
    let mut columns = vec![
        column("PID", 8, |who, _| who.pid.to_string()),
        Column {
            heading: "COMMAND",
            width: 15,
            is_left: true,
            sort: None,
            cell: Box::new(move |who| match (&who.command, who.alive) {
                (_, false) => ("dead".to_owned(), dead),
                (Some(command), true) => (elided(command, 15), Style::new()),
                (None, true) => ("-".to_owned(), Style::new()),
            }),
        },
        column("ATTACHED", 8, |who, _| units::age(who.attached_seconds)),
        column("PUTS/S", 6, |_, rates| units::rate(rates.puts_per_second)),
        column("GETS/S", 6, |_, rates| units::rate(rates.gets_per_second)),
        column("PUT W", 5, |_, rates| percent(rates.put_waiting)),
        column("GET W", 5, |_, rates| percent(rates.get_waiting)),
        column("LONGEST", 7, |who, _| {
            who.longest_hold_seconds.map_or(String::new(), |hold| units::hold(Some(hold)))
        }),
    ];
    let taken: usize = columns.iter().map(|column| column.width + 1).sum();
    let holds_width = width.saturating_sub(taken);
    columns.push(Column {
        heading: "HOLDS",
        width: holds_width,
        is_left: true,
        sort: None,
        cell: Box::new(move |who| (elided(&who.holds(), holds_width), Style::new())),
    });
    columns
}

/// So many lines of `count`, the last of which says how many are missing if they do not fit.
fn at_most(count: usize, fit: usize, line: impl Fn(usize) -> Line<'static>) -> Vec<Line<'static>> {
    if count <= fit {
        return (0..count).map(line).collect();
    }
    let shown = fit.saturating_sub(1);
    let mut lines: Vec<_> = (0..shown).map(line).collect();
    lines.push(Line::from(format!("... and {} more", count - shown)));
    lines
}

fn headings<T: ?Sized>(columns: &[Column<T>], order: Option<(SortBy, bool)>) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    cells(columns, |column| match order {
        Some((sort, is_reversed)) if column.sort == Some(sort) => {
            // Names go up by themselves, all others down.
            let goes_up = (sort == SortBy::Name) != is_reversed;
            (format!("{}{}", column.heading, if goes_up { '▲' } else { '▼' }), bold)
        }
        _ => (column.heading.to_owned(), bold),
    })
}

fn row<T: ?Sized>(columns: &[Column<T>], of: &T) -> Line<'static> {
    cells(columns, |column| (column.cell)(of))
}

fn cells<T: ?Sized>(columns: &[Column<T>], cell: impl Fn(&Column<T>) -> (String, Style)) -> Line<'static> {
    let mut spans = Vec::with_capacity(2 * columns.len());
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            spans.push(Span::raw(" "));
        }
        let (text, style) = cell(column);
        let padding = " ".repeat(column.width.saturating_sub(text.chars().count()));
        let text = if column.is_left { format!("{text}{padding}") } else { format!("{padding}{text}") };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

fn draw_help(frame: &mut Frame<'_>) {
    let lines: Vec<Line<'_>> =
        HELP.iter().map(|(key, what)| Line::from(format!(" {key:<13} {what}"))).collect();
    let screen = frame.area();
    let (width, height) = (56.min(screen.width), (lines.len() as u16 + 2).min(screen.height));
    let area = Rect::new((screen.width - width) / 2, (screen.height - height) / 2, width, height);
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" treequeues top ")), area);
}

/// The last depths, oldest first, at the right end of `width` characters.
fn history(depths: &VecDeque<Option<usize>>, capacity: usize, width: usize) -> String {
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

fn state_style(has_colors: bool, queue: &Queue) -> Style {
    match queue.look.state {
        _ if queue.is_gone() => Style::new().add_modifier(Modifier::DIM),
        State::Live => color(has_colors, Color::Green),
        State::Idle => color(has_colors, Color::Cyan),
        State::Stale => color(has_colors, Color::Yellow),
        State::Broken | State::Foreign => color(has_colors, Color::Red),
    }
}

fn color(has_colors: bool, color: Color) -> Style {
    if has_colors { Style::new().fg(color) } else { Style::new() }
}

fn number_or_dash(number: Option<usize>) -> String {
    number.map_or("-".to_owned(), |number| {
        if number < 10_000 { number.to_string() } else { units::count(number as f64) }
    })
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// Without its middle, where it is too long.
fn elided(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let (head, tail) = (width / 2, width.saturating_sub(width / 2 + 1));
    let chars = text.chars();
    chars.clone().take(head).chain(['…']).chain(chars.skip(count - tail)).take(width).collect()
}

#[cfg(test)]
mod tests;

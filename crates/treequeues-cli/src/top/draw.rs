//! The screen of `top`, drawn from the model.
//!
//! ```text
//! title    how many queues and topics, the interval, the order
//! list     a row each
//! details  of the selected one, if open: its slots, participants and subscriptions, and who holds slots
//! keys
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `table` | columns, headings and rows |
//! | `list` | a row a queue or topic |
//! | `details` | all about one of them |

mod details;
mod list;
mod table;

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use self::table::{headings, row};
use super::model::Model;
use crate::look::Kind;
use crate::units;

/// Lines that the table keeps when the details are open: headings and a few rows.
const MIN_TABLE_HEIGHT: usize = 5;
const KEYS: &str = "q quit  ↑↓ select  Enter details  s sort  r reverse  ? help";
const HELP: [(&str, &str); 18] = [
    ("q Esc Ctrl-C", "quit"),
    ("up down", "select another row"),
    ("Enter", "open or close its details"),
    ("s", "sort by the next column"),
    ("r", "sort the other way round"),
    ("?", "close this help"),
    ("", ""),
    ("DEPTH", "items over time; of topics, used slots"),
    ("ITEMS", "items now, and how many fit in"),
    ("BYTES/S", "bytes of the items put"),
    ("PUT W", "share of time producers wait for room"),
    ("GET W", "share of time consumers wait for items"),
    ("PROC", "processes attached"),
    ("VERSION", "a topic's newest ticket"),
    ("SUBS", "its subscriptions"),
    ("LAG", "items that the last of them is behind"),
    ("MISSED/S", "items that they passed over"),
    ("STATE", "live, idle, stale, broken, foreign"),
];

/// What is drawn beside the model.
#[derive(Clone, Copy)]
pub struct Scene<'s> {
    pub interval: Duration,
    /// What is said where nothing is.
    pub nothing: &'s str,
    pub has_colors: bool,
}

pub fn draw(frame: &mut Frame<'_>, model: &Model, scene: Scene<'_>) {
    let [title, list, details, keys] = areas(frame.area(), model);
    frame.render_widget(title_line(model, scene, list.height), title);
    if model.sorted().is_empty() {
        frame
            .render_widget(Paragraph::new(vec![Line::default(), Line::from(scene.nothing.to_owned())]), list);
    } else {
        draw_list(frame, model, scene, list);
    }
    if let Some(watched) = model.selected().filter(|_| model.has_details) {
        let lines = details::lines(
            watched,
            scene.has_colors,
            usize::from(details.width),
            usize::from(details.height),
        );
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
            Kind::counted(model.sorted().iter().map(|watched| watched.look.kind)),
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

fn draw_list(frame: &mut Frame<'_>, model: &Model, scene: Scene<'_>, area: Rect) {
    let all = model.sorted();
    let columns = list::columns(&all, scene.has_colors, usize::from(area.width));
    let (first, last) = shown(model, area.height);
    let mut lines = vec![headings(&columns, Some((model.sort, model.is_reversed)))];
    for (place, watched) in all.iter().enumerate().take(last).skip(first) {
        let line = row(&columns, *watched);
        let is_selected = Some(place) == model.selected_place();
        lines.push(if is_selected {
            line.patch_style(Style::new().add_modifier(Modifier::REVERSED))
        } else {
            line
        });
    }
    frame.render_widget(Paragraph::new(lines), area);
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

/// This color, for those who want colors.
fn color(has_colors: bool, color: Color) -> Style {
    if has_colors { Style::new().fg(color) } else { Style::new() }
}

#[cfg(test)]
mod tests;

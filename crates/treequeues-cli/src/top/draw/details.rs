//! All about one queue or topic: its slots, its participants, its subscriptions, and who holds slots.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::super::model::{Rates, Watched};
use super::color;
use super::table::{Column, at_most, elided, headings, percent, row};
use crate::look::{Content, Held, Participant, Purpose, Subscription};
use crate::units;

/// Lines of a section that stay when there is much in those before it: an empty one, its heading, and some of it.
const MIN_SECTION_LINES: usize = 4;
/// The most of a command's name that is shown.
const COMMAND_WIDTH: usize = 15;

/// A heading, and what stands below it: as much as fits. What does not fit is never drawn.
struct Section<'c> {
    heading: Line<'static>,
    count: usize,
    row: Box<dyn Fn(usize) -> Line<'static> + 'c>,
}

pub fn lines(watched: &Watched, has_colors: bool, width: usize, height: usize) -> Vec<Line<'static>> {
    let mut lines = head(watched, has_colors, width);
    let Some(content) = &watched.look.content else { return lines };
    let sections = [
        participants(watched, content, has_colors, width),
        subscriptions(watched, content, has_colors),
        held(content),
    ];
    let mut later: usize = sections.iter().map(Section::min_lines).sum();
    for section in sections.into_iter().filter(|section| section.count > 0) {
        later -= section.min_lines();
        lines.extend([Line::default(), section.heading]);
        let fit = height.saturating_sub(lines.len() + later);
        lines.extend(at_most(section.count, fit, section.row));
    }
    lines
}

impl Section<'_> {
    fn min_lines(&self) -> usize {
        if self.count == 0 { 0 } else { (self.count + 2).min(MIN_SECTION_LINES) }
    }
}

/// What is said of all of it.
fn head(watched: &Watched, has_colors: bool, width: usize) -> Vec<Line<'static>> {
    let name = elided(&watched.look.name, width.saturating_sub(4));
    let rule = "─".repeat(width.saturating_sub(name.chars().count() + 4));
    let mut lines = vec![Line::from(vec![
        Span::raw("── "),
        Span::styled(name, Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!(" {rule}")),
    ])];
    if let Some(reason) = &watched.look.reason {
        lines.push(Line::styled(reason.clone(), color(has_colors, Color::Red)));
    }
    let Some(facts) = &watched.look.facts else { return lines };
    let kept = if facts.kept { ", kept" } else { "" };
    lines.push(Line::from(format!(
        "{} of {}, {} in all{kept}; created {} ago by {}",
        units::plural(facts.capacity, "slot"),
        units::bytes(facts.item_bytes as f64),
        units::bytes(facts.bytes as f64),
        units::age(facts.age_seconds),
        facts.creator_pid
    )));
    if let Some(content) = &watched.look.content {
        lines.push(slots_line(content));
        let notes = content.notes(facts).into_iter();
        lines.extend(notes.map(|(what, text)| Line::from(format!("{what}: {text}"))));
    }
    lines
}

fn slots_line(content: &Content) -> Line<'static> {
    let text: Vec<String> =
        content.slots.told().map(|slots| format!("{} {}", slots.count, slots.state)).collect();
    let deaths = match content.counters.deaths {
        0 => String::new(),
        count => format!("; {} since it was created", units::plural(count as usize, "death")),
    };
    Line::from(format!("slots: {}{deaths}", text.join(", ")))
}

fn participants<'c>(watched: &Watched, content: &'c Content, has_colors: bool, width: usize) -> Section<'c> {
    let columns = participant_columns(watched, content, has_colors, width);
    Section {
        heading: headings(&columns, None),
        count: content.participants.len().max(1),
        row: Box::new(move |place| match content.participants.get(place) {
            Some(who) => row(&columns, who),
            None => Line::from("nobody is attached"),
        }),
    }
}

fn subscriptions<'c>(watched: &Watched, content: &'c Content, has_colors: bool) -> Section<'c> {
    let columns = subscription_columns(watched, content, has_colors);
    Section {
        heading: headings(&columns, None),
        count: content.subscriptions().len(),
        row: Box::new(move |place| row(&columns, &content.subscriptions()[place])),
    }
}

fn held(content: &Content) -> Section<'_> {
    let heading = format!("Slots held, {}", content.held_order);
    Section {
        heading: Line::styled(heading, Style::new().add_modifier(Modifier::BOLD)),
        count: content.held.len(),
        row: Box::new(|place| held_line(&content.held[place])),
    }
}

fn held_line(held: &Held) -> Line<'static> {
    let who = held.pid.map_or("somebody who is gone".to_owned(), |pid| format!("process {pid}"));
    let what = match held.purpose {
        Purpose::Lingering => "kept by arrays of",
        Purpose::Writing => "written by",
        Purpose::Reading => "read by",
    };
    let item = held.ticket.map_or(String::new(), |ticket| format!(" (item {ticket})"));
    let times =
        held.times.filter(|times| *times > 1).map_or(String::new(), |times| format!(", {times} times"));
    let how_long = held.since.text().map_or(String::new(), |since| format!(" for {since}"));
    Line::from(format!("slot {}{item} {what} {who}{times}{how_long}", held.slot))
}

fn participant_columns(
    watched: &Watched,
    content: &Content,
    has_colors: bool,
    width: usize,
) -> Vec<Column<Participant>> {
    let rates: std::collections::BTreeMap<u32, Rates> =
        content.participants.iter().map(|who| (who.place, watched.rates_of(who.place))).collect();
    let of_rates = |heading, width, cell: fn(Rates) -> String| {
        let rates = rates.clone();
        Column::plain(heading, width, move |who: &Participant| {
            cell(rates.get(&who.place).copied().unwrap_or_default())
        })
    };
    let mut columns = vec![
        Column::plain("PID", 8, |who: &Participant| who.pid.to_string()),
        Column::styled("COMMAND", COMMAND_WIDTH, move |who: &Participant| command(Some(who), has_colors)),
        Column::plain("ATTACHED", 8, |who: &Participant| units::age(who.attached_seconds)),
        of_rates("PUTS/S", 6, |rates| units::rate(rates.puts_per_second)),
        of_rates("GETS/S", 6, |rates| units::rate(rates.gets_per_second)),
        of_rates("PUT W", 5, |rates| percent(rates.put_waiting)),
        of_rates("GET W", 5, |rates| percent(rates.get_waiting)),
        Column::plain("LONGEST", 7, |who: &Participant| {
            who.longest_hold_seconds.map_or(String::new(), |hold| units::hold(Some(hold)))
        }),
    ];
    let taken: usize = columns.iter().map(|column| column.width + 1).sum();
    let holds_width = width.saturating_sub(taken);
    columns.push(Column::styled("HOLDS", holds_width, move |who: &Participant| {
        (elided(&who.holds(), holds_width), Style::new())
    }));
    columns
}

fn subscription_columns(watched: &Watched, content: &Content, has_colors: bool) -> Vec<Column<Subscription>> {
    let participants = content.participants.clone();
    let missed: std::collections::BTreeMap<usize, f64> =
        content.subscriptions().iter().map(|it| (it.number, watched.missed_per_second(it.number))).collect();
    vec![
        Column::plain("PID", 8, |it: &Subscription| it.pid.map_or("?".to_owned(), |pid| pid.to_string())),
        Column::styled("COMMAND", COMMAND_WIDTH, move |it: &Subscription| {
            command(participants.iter().find(|who| who.place == it.participant), has_colors)
        }),
        Column::plain("NEXT ITEM", 12, |it: &Subscription| it.next_ticket.to_string()),
        Column::plain("LAG", 10, |it: &Subscription| it.lag.to_string()),
        Column::plain("MISSED", 12, |it: &Subscription| it.missed.to_string()),
        Column::plain("MISSED/S", 8, move |it: &Subscription| {
            units::rate(missed.get(&it.number).copied().unwrap_or_default())
        }),
    ]
}

/// What a participant's process is called, where that is known.
fn command(who: Option<&Participant>, has_colors: bool) -> (String, Style) {
    match who {
        Some(who) if !who.alive => ("dead".to_owned(), color(has_colors, Color::Red)),
        Some(Participant { command: Some(command), .. }) => (elided(command, COMMAND_WIDTH), Style::new()),
        _ => ("-".to_owned(), Style::new()),
    }
}

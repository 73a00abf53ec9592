//! Tables of a screen: columns, headings and rows.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::super::model::SortBy;

/// The text of a column in one row, and how it looks.
type CellOf<T> = Box<dyn Fn(&T) -> (String, Style)>;

/// A column of a table, whose rows are each drawn from a `T`.
pub struct Column<T: ?Sized> {
    pub heading: &'static str,
    pub width: usize,
    pub is_left: bool,
    pub sort: Option<SortBy>,
    pub cell: CellOf<T>,
}

impl<T> Column<T> {
    /// Numbers, on the right side of their column.
    pub fn plain(heading: &'static str, width: usize, cell: impl Fn(&T) -> String + 'static) -> Self {
        let cell: CellOf<T> = Box::new(move |of| (cell(of), Style::new()));
        Self { heading, width, is_left: false, sort: None, cell }
    }

    /// The same, by which rows can be sorted.
    pub fn sorted_by(self, sort: SortBy) -> Self {
        Self { sort: Some(sort), ..self }
    }

    /// Text in a style, on the left side of its column.
    pub fn styled(
        heading: &'static str,
        width: usize,
        cell: impl Fn(&T) -> (String, Style) + 'static,
    ) -> Self {
        Self { heading, width, is_left: true, sort: None, cell: Box::new(cell) }
    }
}

/// So many lines of `count`, the last of which says how many are missing if they do not fit.
pub fn at_most(count: usize, fit: usize, line: impl Fn(usize) -> Line<'static>) -> Vec<Line<'static>> {
    if count <= fit {
        return (0..count).map(line).collect();
    }
    let shown = fit.saturating_sub(1);
    let mut lines: Vec<_> = (0..shown).map(line).collect();
    lines.push(Line::from(format!("... and {} more", count - shown)));
    lines
}

pub fn headings<T: ?Sized>(columns: &[Column<T>], order: Option<(SortBy, bool)>) -> Line<'static> {
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

pub fn row<T: ?Sized>(columns: &[Column<T>], of: &T) -> Line<'static> {
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

pub fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// Without its middle, where it is too long.
pub fn elided(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let (head, tail) = (width / 2, width.saturating_sub(width / 2 + 1));
    let chars = text.chars();
    chars.clone().take(head).chain(['…']).chain(chars.skip(count - tail)).take(width).collect()
}

//! What is printed: tables, JSON, headings.
//!
//! Commands write styled text; `anstream` takes the styles out again where standard output is no terminal, or `NO_COLOR` is
//! set.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::look::State;

/// Between two columns.
const GAP: &str = "  ";
pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
/// No style at all.
pub const PLAIN: Style = Style::new();

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    Left,
    Right,
}

/// A cell of a table.
pub struct Cell {
    text: String,
    style: Style,
}

/// Rows under headings, aligned.
pub struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<Cell>>,
    indent: &'static str,
}

impl Cell {
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, PLAIN)
    }
}

impl Table {
    pub fn new(columns: impl IntoIterator<Item = (&'static str, Side)>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new(), indent: "" }
    }

    /// The same, moved to the right.
    pub fn indented(self, indent: &'static str) -> Self {
        Self { indent, ..self }
    }

    pub fn add(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "a cell a column");
        self.rows.push(row);
    }

    /// Writes headings and rows. Columns that are empty in all rows are left out.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let headings = self.columns.iter().map(|(heading, _)| Cell::styled(*heading, BOLD)).collect();
        self.write_under(Some(&headings), out)
    }

    /// Writes the rows alone.
    pub fn write_rows(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_under(None, out)
    }

    fn write_under(&self, headings: Option<&Vec<Cell>>, out: &mut dyn Write) -> io::Result<()> {
        let widest = |column: usize| self.rows.iter().map(|row| width(&row[column].text)).max().unwrap_or(0);
        let columns: Vec<(usize, usize)> = (0..self.columns.len())
            .map(|column| (column, widest(column)))
            .filter(|&(_, widest)| widest > 0)
            .map(|(column, widest)| (column, widest.max(width(self.columns[column].0))))
            .collect();
        for row in headings.into_iter().chain(&self.rows) {
            let mut line = self.indent.to_owned();
            for (place, &(column, wide)) in columns.iter().enumerate() {
                let Cell { text, style } = &row[column];
                let padding = " ".repeat(wide - width(text));
                let gap = if place == 0 { "" } else { GAP };
                line += &match self.columns[column].1 {
                    Side::Left => format!("{gap}{style}{text}{style:#}{padding}"),
                    Side::Right => format!("{gap}{padding}{style}{text}{style:#}"),
                };
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// How a state looks.
pub fn style_of(state: State) -> Style {
    match state {
        State::Live => AnsiColor::Green.on_default(),
        State::Idle => AnsiColor::Cyan.on_default(),
        State::Stale => AnsiColor::Yellow.on_default(),
        State::Broken | State::Foreign => AnsiColor::Red.on_default(),
    }
}

/// Writes indented JSON and a line's end.
pub fn write_json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let mut table = Table::new([("NAME", Side::Left), ("ITEMS", Side::Right), ("NOTE", Side::Left)]);
        table.add(vec!["a".into(), "12/64".into(), "".into()]);
        table.add(vec!["actors".into(), "".into(), "".into()]);
        let mut out = anstream::StripStream::new(Vec::new());
        table.write(&mut out).expect("a vector takes all");
        let text = String::from_utf8(out.into_inner()).expect("UTF-8");
        assert_eq!(text, "NAME    ITEMS\na       12/64\nactors\n");
    }
}

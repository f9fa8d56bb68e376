//! All printing goes through here: results on standard output, everything else on standard error.
//!
//! Colours appear on a terminal only, or as `--color` says; `NO_COLOR` is kept. While a live view is
//! drawn, lines are printed above it.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use factmill_core::diagnostic::Diagnostics;
use indicatif::MultiProgress;
use serde::Serialize;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Bold.
pub(crate) const BOLD: Style = Style::new().bold();
/// For what went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// For what needs a look.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// For what failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// How a table column lines up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Prints. Clones print to the same place.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    live: MultiProgress,
}

impl Printer {
    /// A printer on the process's own streams.
    pub(crate) fn new(color: Color) -> Self {
        let choice = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        choice.write_global();
        Self {
            live: MultiProgress::new(),
        }
    }

    /// The bars of the live view, drawn on standard error when that is a terminal.
    pub(crate) fn live(&self) -> &MultiProgress {
        &self.live
    }

    /// Whether a person looks at standard error.
    pub(crate) fn is_interactive(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Whether a person can be asked: standard input and standard error are a terminal.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && self.is_interactive()
    }

    /// Asks a person for a line.
    ///
    /// # Errors
    /// When the terminal is gone, or the answer is its end (Ctrl-D).
    pub(crate) fn ask(&self, question: &str) -> io::Result<String> {
        let mut error = AutoStream::auto(io::stderr());
        write!(error, "{question}")?;
        error.flush()?;
        let mut answer = String::new();
        match io::stdin().read_line(&mut answer)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer")),
            _ => Ok(answer),
        }
    }

    /// A result, one line.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn line(&self, text: impl Display) -> io::Result<()> {
        self.live
            .suspend(|| writeln!(AutoStream::auto(io::stdout()).lock(), "{text}"))
    }

    /// A result as one line of JSON.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(value)?;
        self.live
            .suspend(|| writeln!(io::stdout().lock(), "{text}"))?;
        Ok(())
    }

    /// Bytes of a result as they are.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.live.suspend(|| io::stdout().lock().write_all(bytes))
    }

    /// A result as a table whose columns line up.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn table(
        &self,
        columns: &[(&str, Align)],
        rows: Vec<Vec<String>>,
    ) -> io::Result<()> {
        self.line(layout(columns, rows))
    }

    /// Something the user may want to know, on standard error.
    pub(crate) fn note(&self, text: impl Display) {
        self.say(format_args!("{text}"));
    }

    /// Something that needs a look, on standard error.
    pub(crate) fn warn(&self, text: impl Display) {
        self.say(format_args!("{WARN}warning{WARN:#}: {text}"));
    }

    /// What went wrong, on standard error.
    pub(crate) fn error(&self, text: impl Display) {
        self.say(format_args!("{BAD}error{BAD:#}: {text}"));
    }

    /// Everything that is wrong in the user's files, on standard error.
    pub(crate) fn diagnostics(&self, diagnostics: &Diagnostics) {
        for diagnostic in diagnostics.iter() {
            let place = diagnostic
                .location
                .as_ref()
                .map(|place| format!("{BOLD}{place}{BOLD:#}: "));
            self.error(format_args!(
                "{}{}",
                place.unwrap_or_default(),
                diagnostic.message
            ));
            if let Some(help) = &diagnostic.help {
                self.say(format_args!("  {GOOD}help{GOOD:#}: {help}"));
            }
        }
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        self.live.suspend(|| {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(AutoStream::auto(io::stderr()).lock(), "{text}");
        });
    }
}

/// The text of a table: a header, a rule, the rows, two spaces between columns.
fn layout(columns: &[(&str, Align)], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(name, _)| *name));
    for row in rows {
        table.add_row(row);
    }
    for (index, (_, align)) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let text = layout(
            &[("name", Align::Left), ("rows", Align::Right)],
            vec![
                vec!["dim_date".into(), "2922".into()],
                vec!["é".into(), "1".into()],
            ],
        );
        assert_eq!(text, "name      rows\ndim_date  2922\né            1");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}

//! SQL after Jinja, and the way back from a place in it to the model's file.

use factmill_core::diagnostic::Location;

/// Rendered SQL.
///
/// Text that the template had verbatim is traced to its own place, also inside loops and macros;
/// what an expression printed is traced to the expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    text: String,
    start: Location,
}

impl Rendered {
    /// SQL that stands in a file exactly as it is.
    pub fn verbatim(text: impl Into<String>, start: Location) -> Self {
        Self {
            text: text.into(),
            start,
        }
    }

    /// The SQL.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where line `line` and column `column` of the SQL (from 1, in characters) come from.
    ///
    /// A place behind the end is the end.
    pub fn locate(&self, line: usize, column: usize) -> Location {
        Location {
            file: self.start.file.clone(),
            line: self.start.line + line.saturating_sub(1),
            column,
        }
    }
}

//! SQL after Jinja, and the way back from a place in it to the model's file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use factmill_core::diagnostic::Location;

/// Rendered SQL.
///
/// Text that the template had verbatim is traced to its own place, also inside loops and macros;
/// what an expression printed is traced to the expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    text: String,
    file: PathBuf,
    origins: Arc<[Origin]>,
}

/// Where a part of rendered text came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The byte of the rendered text at which the part begins.
    pub(crate) at: usize,
    pub(crate) file: Arc<Path>,
    /// Line of the part in its file, from 1.
    pub(crate) line: usize,
    /// Column of the part in its file, from 1, in characters.
    pub(crate) column: usize,
    /// How many bytes are the file's own text; what follows them was printed by a tag.
    pub(crate) verbatim: usize,
}

impl Rendered {
    /// SQL that stands in a file exactly as it is, from a place on.
    pub fn verbatim(text: impl Into<String>, start: Location) -> Self {
        let text = text.into();
        let whole = Origin {
            at: 0,
            file: start.file.as_path().into(),
            line: start.line,
            column: start.column,
            verbatim: text.len(),
        };
        Self::new(text, start.file, vec![whole])
    }

    /// `origins` are in the order of `at`.
    pub(crate) fn new(text: String, file: PathBuf, origins: Vec<Origin>) -> Self {
        Self {
            text,
            file,
            origins: origins.into(),
        }
    }

    /// The SQL.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where line `line` and column `column` of the SQL (from 1, in characters) come from.
    ///
    /// A place behind the end of the text or of a line is that end. Where nothing is known, the
    /// first line of the model's file.
    pub fn locate(&self, line: usize, column: usize) -> Location {
        let at = self.offset(line, column);
        let known = self.origins.partition_point(|origin| origin.at <= at);
        let Some(origin) = known.checked_sub(1).map(|index| &self.origins[index]) else {
            return Location {
                file: self.file.clone(),
                line: 1,
                column: 1,
            };
        };
        let within = &self.text[origin.at..at.min(origin.at + origin.verbatim)];
        let below = within.matches('\n').count();
        let last = within
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count();
        Location {
            file: origin.file.to_path_buf(),
            line: origin.line + below,
            column: if below == 0 {
                origin.column + last
            } else {
                last + 1
            },
        }
    }

    fn offset(&self, line: usize, column: usize) -> usize {
        let mut start = 0;
        for _ in 1..line {
            match self.text[start..].find('\n') {
                Some(end) => start += end + 1,
                None => return self.text.len(),
            }
        }
        let rest = self.text[start..].split('\n').next().unwrap_or_default();
        let within = rest
            .char_indices()
            .nth(column.saturating_sub(1))
            .map_or(rest.len(), |(at, _)| at);
        start + within
    }
}

//! The way back from rendered text to its template.
//!
//! A template is rendered a second time with a mark before each piece of verbatim text and each
//! expression; the marks come out wherever the pieces do, also from loops and macros, and are taken
//! out again. A template that looks at its own rendered text (a filter over a `call` block, say)
//! could come out differently with marks, so the marked text counts only where, without its marks,
//! it is the same as the text rendered without them.

use std::path::Path;
use std::sync::Arc;

use factmill_core::diagnostic::Location;

use super::scan::{Piece, pieces};
use crate::rendered::Origin;

const OPEN: char = '\u{F0AC}';
const CLOSE: char = '\u{F0AD}';

/// The places that the marks of one load stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    places: Vec<Origin>,
}

impl Marks {
    /// The template with its marks.
    pub(super) fn mark(&mut self, template: &str, file: &Path) -> String {
        let file: Arc<Path> = file.into();
        let mut lines = LineCounter::new(template);
        let mut marked = String::with_capacity(template.len() * 2);
        let mut copied = 0;
        for piece in pieces(template) {
            // the mark of a text stands before its first visible character, that of an expression
            // before its braces unless they trim: `-%}` and `{{-` take white space away from text,
            // and a mark in between would keep it
            let (at, verbatim) = match piece {
                Piece::Text(range) => {
                    let text = &template[range.clone()];
                    let visible = text.trim_start();
                    if visible.is_empty() {
                        continue;
                    }
                    (range.start + text.len() - visible.len(), visible.len())
                }
                Piece::Output(range) if !template[range.clone()].starts_with("{{-") => {
                    (range.start, 0)
                }
                _ => continue,
            };
            marked.push_str(&template[copied..at]);
            copied = at;
            let (line, column) = lines.position(at);
            marked.push_str(&format!("{OPEN}{}{CLOSE}", self.places.len()));
            self.places.push(Origin {
                at: 0,
                file: file.clone(),
                line,
                column,
                verbatim,
            });
        }
        marked.push_str(&template[copied..]);
        marked
    }

    /// Takes the marks out: the text, and where each of its parts came from, in order.
    pub(super) fn strip(&self, marked: &str) -> (String, Vec<Origin>) {
        let mut text = String::with_capacity(marked.len());
        let mut origins: Vec<Origin> = Vec::new();
        let mut rest = marked;
        while let Some(open) = rest.find(OPEN) {
            text.push_str(&rest[..open]);
            let after = &rest[open + OPEN.len_utf8()..];
            let number = after
                .find(CLOSE)
                .and_then(|close| Some((close, after[..close].parse::<usize>().ok()?)));
            match number.and_then(|(close, number)| Some((close, self.places.get(number)?))) {
                Some((close, place)) => {
                    origins.push(Origin {
                        at: text.len(),
                        ..place.clone()
                    });
                    rest = &after[close + CLOSE.len_utf8()..];
                }
                None => {
                    text.push(OPEN);
                    rest = after;
                }
            }
        }
        text.push_str(rest);
        (text, origins)
    }
}

/// Lines and columns of byte offsets that only grow.
struct LineCounter<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    column: usize,
}

impl<'t> LineCounter<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            column: 1,
        }
    }

    fn position(&mut self, to: usize) -> (usize, usize) {
        for c in self.text[self.at..to].chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.at = to;
        (self.line, self.column)
    }
}

/// The place of a byte of a file.
pub(crate) fn location(file: &Path, text: &str, byte: usize) -> Location {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (line, column) = LineCounter::new(text).position(end);
    Location {
        file: file.to_owned(),
        line,
        column,
    }
}

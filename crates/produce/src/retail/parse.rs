//! Pieces of a response into records: JSON lines, or server-sent events.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::stream::StreamFormat;
use crate::http::{Lines, TooLong};

/// What a record is called, to go on behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Id {
    /// A number; JSON lines are counted.
    Number(u64),
    /// Any other id of a server-sent event.
    Text(Box<str>),
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Id {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        match text.parse::<u64>() {
            // `+1` and `01` are numbers to the parser, and other ids.
            Ok(number) if text.len() == 1 || !text.starts_with(['0', '+']) => {
                Some(Self::Number(number))
            }
            _ => Some(Self::Text(text.into())),
        }
    }
}

/// Records one behind the other, each with its id where the service gives one.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// The end of each record in `bytes`, and what it is called.
    records: Vec<(usize, Option<Id>)>,
    /// Records that were taken.
    taken: usize,
}

impl Batch {
    fn push(&mut self, record: &[u8], id: Option<Id>) {
        self.bytes.extend_from_slice(record);
        self.records.push((self.bytes.len(), id));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The id of the last record that has one.
    pub(super) fn last_id(&self) -> Option<&Id> {
        self.records.iter().rev().find_map(|(_, id)| id.as_ref())
    }

    /// The bounds of the next record for [`Batch::bytes`], and its id.
    pub(super) fn take(&mut self) -> Option<(Range<usize>, Option<Id>)> {
        let start = match self.taken.checked_sub(1) {
            Some(before) => self.records[before].0,
            None => 0,
        };
        let (end, id) = self.records.get_mut(self.taken)?;
        self.taken += 1;
        Some((start..*end, id.take()))
    }

    pub(super) fn bytes(&self, bounds: Range<usize>) -> &[u8] {
        &self.bytes[bounds]
    }
}

/// The parser of one response.
#[derive(Debug)]
pub(super) struct Parser {
    lines: Lines,
    longest: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The number of the next line.
    JsonLines { next: u64 },
    /// The event that has begun.
    ServerSentEvents {
        data: Vec<u8>,
        has_data: bool,
        id: Option<Id>,
    },
}

impl Parser {
    /// A parser of records of at most `longest` bytes; the response begins behind `after`.
    pub(super) fn new(format: StreamFormat, after: Option<&Id>, longest: usize) -> Self {
        let kind = match format {
            StreamFormat::JsonLines => Kind::JsonLines {
                next: match after {
                    Some(Id::Number(number)) => number + 1,
                    _ => 0,
                },
            },
            StreamFormat::ServerSentEvents => Kind::ServerSentEvents {
                data: Vec::new(),
                has_data: false,
                id: None,
            },
        };
        Self {
            lines: Lines::new(longest),
            longest,
            kind,
        }
    }

    /// The records that `piece` ends.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Batch, TooLong> {
        let mut batch = Batch::default();
        let (kind, longest) = (&mut self.kind, self.longest);
        let mut fits = Ok(());
        self.lines.push(piece, |line| match kind {
            Kind::JsonLines { next } => {
                // A server sends an empty line to show that it is there.
                if !line.is_empty() {
                    batch.push(line, Some(Id::Number(*next)));
                    *next += 1;
                }
            }
            Kind::ServerSentEvents { data, has_data, id } => {
                if line.is_empty() {
                    if std::mem::take(has_data) {
                        batch.push(data, id.take());
                    }
                    data.clear();
                    return;
                }
                let (field, value) = field(line);
                match field {
                    b"data" if data.len() + value.len() >= longest => fits = Err(TooLong),
                    b"data" => {
                        if std::mem::replace(has_data, true) {
                            data.push(b'\n');
                        }
                        data.extend_from_slice(value);
                    }
                    b"id" => *id = Id::parse(value),
                    // Comments, `event`, `retry` and what may come in future.
                    _ => {}
                }
            }
        })?;
        fits.map(|()| batch)
    }
}

/// The name and the value of a line of an event, without the space in front of the value.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&byte| byte == b':') {
        None => (line, b""),
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// Records and ids of a text that arrives in pieces of every size.
    fn parsed(format: StreamFormat, after: Option<Id>, text: &str) -> Vec<(String, Option<Id>)> {
        let of_size = |size| {
            let mut parser = Parser::new(format, after.as_ref(), 60);
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                let mut batch = parser.push(piece).unwrap();
                while let Some((bounds, id)) = batch.take() {
                    let record = batch.bytes(bounds).to_vec();
                    found.push((String::from_utf8(record).unwrap(), id));
                }
            }
            found
        };
        let whole = of_size(text.len());
        (1..text.len()).for_each(|size| assert_eq!(of_size(size), whole, "{size}"));
        whole
    }

    #[test]
    fn json_lines_are_counted_from_where_the_response_begins() {
        let text = "{\"a\":1}\r\n\n{\"b\":2}\n{\"cut";
        let records = |after| parsed(StreamFormat::JsonLines, after, text);
        let number = |number| Some(Id::Number(number));
        assert_eq!(
            records(None),
            [
                ("{\"a\":1}".into(), number(0)),
                ("{\"b\":2}".into(), number(1))
            ]
        );
        assert_eq!(records(number(6))[1].1, number(8));
    }

    #[test]
    fn server_sent_events_are_read_as_the_standard_says() {
        let text = ": hello\n\nid: 7\nevent: sale\ndata: {\"a\":\ndata: 1}\n\ndata:x\nid: a b\n\nid: 9\n\ndata: no id\n\ndata: cut";
        let records = parsed(StreamFormat::ServerSentEvents, None, text);
        assert_eq!(
            records,
            [
                ("{\"a\":\n1}".into(), Some(Id::Number(7))),
                ("x".into(), Some(Id::Text("a b".into()))),
                ("no id".into(), Some(Id::Number(9))),
            ]
        );
        for (text, id) in [
            ("0", Id::Number(0)),
            ("01", Id::Text("01".into())),
            ("+1", Id::Text("+1".into())),
        ] {
            assert_eq!(Id::parse(text.as_bytes()), Some(id));
        }
    }

    #[test]
    fn a_record_without_end_is_refused() {
        let mut parser = Parser::new(StreamFormat::ServerSentEvents, None, 60);
        let piece = b"data: 0123456789\n".repeat(10);
        assert!(parser.push(&piece).is_err());
        assert!(
            Parser::new(StreamFormat::JsonLines, None, 60)
                .push(&[b'x'; 61])
                .is_err()
        );
    }
}

//! Records of a CSV file (RFC 4180), one after the other, in bounded memory.
//!
//! As most readers do it takes LF, CRLF and CR as line ends, skips blank lines and a byte order mark,
//! lets a quote in the middle of a field stand for itself, and appends what follows a closing quote.
//! A quote that is never closed would swallow the rest of the file; here it costs its line.

use std::io::{self, Read};

/// No record is longer, in bytes.
pub(super) const LONGEST: usize = 1 << 20;
/// How many bytes are asked of the system at once.
const READ: usize = 1 << 18;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads records.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where the next record begins in the buffer.
    start: usize,
    at_end: bool,
    line: u64,
    bytes: u64,
}

/// The fields of one record, in memory that is used again for the next.
#[derive(Debug, Default)]
pub(super) struct Fields {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// What stands at the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A record that begins at this line.
    Record(u64),
    /// A record without an end begins at this line, which is skipped.
    Endless(u64),
    /// Nothing more.
    End,
}

impl Fields {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The field at a place; `None` behind the last.
    pub(super) fn get(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..end])
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push_end(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

/// How much of the buffer a record takes, and how many lines.
struct Extent {
    bytes: usize,
    lines: u64,
}

impl<R: Read> Records<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            start: 0,
            at_end: false,
            line: 1,
            bytes: 0,
        }
    }

    /// What was read from, once everything is.
    pub(super) fn input(&self) -> &R {
        &self.input
    }

    /// Bytes of the records and lines that were given so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next record into `fields`.
    ///
    /// # Errors
    /// What the input says.
    pub(super) fn next(&mut self, fields: &mut Fields) -> io::Result<Found> {
        if self.bytes == 0 {
            self.skip_byte_order_mark()?;
        }
        loop {
            let line = self.line;
            match parse(&self.buffer[self.start..], self.at_end, fields) {
                Some(extent) if extent.bytes == 0 => return Ok(Found::End),
                Some(extent) => {
                    self.pass(extent.bytes);
                    self.line += extent.lines;
                    let is_blank = fields.len() == 1 && fields.bytes.trim_ascii().is_empty();
                    if !is_blank {
                        return Ok(Found::Record(line));
                    }
                }
                None if self.at_end || self.buffer.len() - self.start > LONGEST => {
                    self.skip_line()?;
                    return Ok(Found::Endless(line));
                }
                None => self.fill()?,
            }
        }
    }

    fn skip_byte_order_mark(&mut self) -> io::Result<()> {
        while !self.at_end && self.buffer.len() < BYTE_ORDER_MARK.len() {
            self.fill()?;
        }
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.pass(BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    /// Passes the rest of the line, however long it is.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let rest = &self.buffer[self.start..];
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            match end.map(|at| line_end(&rest[at..], self.at_end).map(|length| at + length)) {
                Some(Some(bytes)) => {
                    self.pass(bytes);
                    self.line += 1;
                    return Ok(());
                }
                None if self.at_end => {
                    self.pass(rest.len());
                    return Ok(());
                }
                // All but a carriage return, whose line feed may come next.
                None => self.pass(rest.len()),
                Some(None) => {}
            }
            self.fill()?;
        }
    }

    fn pass(&mut self, bytes: usize) {
        self.start += bytes;
        self.bytes += bytes as u64;
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let read = (&mut self.input)
            .take(READ as u64)
            .read_to_end(&mut self.buffer)?;
        self.at_end = read == 0;
        Ok(())
    }
}

/// Takes the record at the start of `text` apart. `None`: its end is not in the text. Without text
/// its extent is 0 bytes.
fn parse(text: &[u8], is_all: bool, fields: &mut Fields) -> Option<Extent> {
    fields.clear();
    if text.is_empty() {
        return is_all.then_some(Extent { bytes: 0, lines: 0 });
    }
    let (mut at, mut lines) = (0, 0);
    loop {
        if text.get(at) == Some(&b'"') {
            (at, lines) = parse_quoted(text, at + 1, is_all, lines, fields)?;
        }
        let rest = &text[at..];
        let plain = rest
            .iter()
            .position(|byte| matches!(byte, b',' | b'\n' | b'\r'));
        let length = match plain {
            Some(length) => length,
            None if is_all => rest.len(),
            None => return None,
        };
        fields.bytes.extend_from_slice(&rest[..length]);
        fields.push_end();
        at += length;
        match text.get(at) {
            Some(b',') => at += 1,
            Some(_) => {
                at += line_end(&text[at..], is_all)?;
                return Some(Extent {
                    bytes: at,
                    lines: lines + 1,
                });
            }
            None => return Some(Extent { bytes: at, lines }),
        }
    }
}

/// Reads from behind an opening quote to behind the closing one.
fn parse_quoted(
    text: &[u8],
    mut at: usize,
    is_all: bool,
    mut lines: u64,
    fields: &mut Fields,
) -> Option<(usize, u64)> {
    loop {
        let length = text[at..].iter().position(|&byte| byte == b'"')?;
        let part = &text[at..at + length];
        lines += part.iter().filter(|&&byte| byte == b'\n').count() as u64;
        fields.bytes.extend_from_slice(part);
        at += length + 1;
        match text.get(at) {
            Some(b'"') => {
                fields.bytes.push(b'"');
                at += 1;
            }
            None if !is_all => return None,
            _ => return Some((at, lines)),
        }
    }
}

/// The length of the line end that `text` begins with; `None` where its second byte is not there yet.
fn line_end(text: &[u8], is_all: bool) -> Option<usize> {
    match text {
        [b'\r', b'\n', ..] => Some(2),
        [b'\r'] if !is_all => None,
        _ => Some(1),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, so that every place is a border once.
    struct Drip<'t>(&'t [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(self.1).min(into.len());
            into[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn all(input: impl Read) -> Vec<(Found, Vec<String>)> {
        let (mut records, mut fields) = (Records::new(input), Fields::default());
        let mut all = Vec::new();
        loop {
            let found = records.next(&mut fields).unwrap();
            let texts = (0..fields.len()).map(|at| fields.get(at).unwrap());
            match found {
                Found::End => return all,
                Found::Endless(_) => all.push((found, Vec::new())),
                Found::Record(_) => all.push((
                    found,
                    texts
                        .map(|text| String::from_utf8_lossy(text).into())
                        .collect(),
                )),
            }
        }
    }

    fn record(line: u64, fields: &[&str]) -> (Found, Vec<String>) {
        (
            Found::Record(line),
            fields.iter().map(|&field| field.into()).collect(),
        )
    }

    const ODD: &[u8] = b"\xEF\xBB\xBFa,\"b\"\r\n\n  \n\"two\nlines, one comma\",\"say \"\"hi\"\"\"\rx\"y,\"q\"tail\n,\n\"\"\nlast";

    fn odd() -> Vec<(Found, Vec<String>)> {
        vec![
            record(1, &["a", "b"]),
            record(4, &["two\nlines, one comma", "say \"hi\""]),
            record(6, &["x\"y", "qtail"]),
            record(7, &["", ""]),
            record(9, &["last"]),
        ]
    }

    #[test]
    fn records_are_those_of_rfc_4180_and_more() {
        assert_eq!(all(ODD), odd());
    }

    #[test]
    fn no_border_of_a_read_changes_a_record() {
        for size in 1..ODD.len() {
            assert_eq!(all(Drip(ODD, size)), odd(), "{size} bytes at a time");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_its_line() {
        let text = b"a,b\n\"never,1\nc,d\n";
        let wanted = [
            record(1, &["a", "b"]),
            (Found::Endless(2), vec![]),
            record(3, &["c", "d"]),
        ];
        assert_eq!(all(&text[..]), wanted);
    }

    #[test]
    fn a_line_of_many_megabytes_is_skipped_in_bounded_memory() {
        let long = (b"x,".as_slice()).chain(io::repeat(b'y').take(9 << 20));
        let mut records = Records::new(long.chain(&b"\nc,d\n"[..]));
        let mut fields = Fields::default();
        assert_eq!(records.next(&mut fields).unwrap(), Found::Endless(1));
        assert_eq!(records.next(&mut fields).unwrap(), Found::Record(2));
        assert_eq!(fields.get(1).unwrap(), b"d");
        assert!(records.buffer.capacity() < 4 * LONGEST);
    }

    #[test]
    fn all_bytes_are_counted() {
        let mut records = Records::new(ODD);
        while records.next(&mut Fields::default()).unwrap() != Found::End {}
        assert_eq!(records.bytes(), ODD.len() as u64);
    }
}

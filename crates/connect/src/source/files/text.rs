//! Text files: lines or CSV records, a chunk at a time.

use std::io::{self, Read};
use std::sync::Arc;

use super::chunk::{Behind, Chunk, Entry};
use super::open::Bytes;
use super::place::{FINGERPRINTED, Mark, fingerprint};
use crate::decode::csv::{Dialect, End, record_end};

/// How much is read at a time.
const STEP: usize = 256 << 10;

/// What ends a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Splitting {
    Lines,
    Csv(Dialect),
}

/// A text file being read; blocks.
pub(super) struct TextFile {
    source: Box<dyn Read + Send>,
    splitting: Splitting,
    columns: Option<Arc<[u8]>>,
    /// The next record is the header line.
    header_follows: bool,
    max_record: usize,
    /// Whether what stands behind the last line end is a record.
    last_is_whole: bool,
    /// The size to note at the end, of a packed file.
    size: Option<u64>,
    /// `handed` bytes that were handed over, for the fingerprint, then those that were not.
    buffer: Vec<u8>,
    handed: usize,
    /// The place of `buffer[0]` in the file.
    base: u64,
    lines: u64,
    ended: bool,
}

/// How a text file is to be read.
pub(super) struct TextOptions {
    pub(super) splitting: Splitting,
    /// The header line, where one was read before; `None` at the file's start.
    pub(super) columns: Option<Arc<[u8]>>,
    /// The file begins with a header line.
    pub(super) header: bool,
    pub(super) max_record: usize,
    pub(super) last_is_whole: bool,
    pub(super) size: Option<u64>,
}

impl TextFile {
    /// A file that was opened at `mark`.
    pub(super) fn new(bytes: Bytes, mark: &Mark, options: TextOptions) -> Self {
        Self {
            header_follows: options.header && mark.bytes == 0,
            base: mark.bytes - bytes.before.len() as u64,
            handed: bytes.before.len(),
            buffer: bytes.before,
            lines: mark.lines,
            source: bytes.source,
            splitting: options.splitting,
            columns: options.columns,
            max_record: options.max_record,
            last_is_whole: options.last_is_whole,
            size: options.size,
            ended: false,
        }
    }

    /// The first record of a file that was opened at its start: its header line.
    pub(super) fn header(mut self) -> io::Result<Option<Arc<[u8]>>> {
        self.header_follows = true;
        while self.columns.is_none() && !self.ended {
            self.chunk()?;
        }
        Ok(self.columns)
    }

    /// The next records; none at the end, or where what is there is no whole record yet.
    pub(super) fn chunk(&mut self) -> io::Result<Chunk> {
        let mut entries = Vec::new();
        loop {
            let consumed = self.split(&mut entries);
            if consumed > self.handed || self.ended {
                return Ok(self.hand_over(entries, consumed));
            }
            if self.buffer.len() - self.handed > self.max_record {
                return self.cut();
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut step = self.source.by_ref().take(STEP as u64);
        let read = step.read_to_end(&mut self.buffer)?;
        self.ended = read < STEP;
        Ok(())
    }

    /// Finds the whole records in the buffer; gives where the first that is not whole begins.
    fn split(&mut self, entries: &mut Vec<Entry>) -> usize {
        let mut at = self.handed;
        while at < self.buffer.len() {
            let Some((content, next)) = self.record(at) else {
                break;
            };
            let line = self.lines + 1;
            let feeds = self.buffer[at..next].iter().filter(|byte| **byte == b'\n');
            // a last line without an end is a line too
            self.lines += (feeds.count() as u64).max(1);
            let begins = at + usize::from(self.base + at as u64 == 0) * self.bom(at);
            if std::mem::take(&mut self.header_follows) {
                self.columns = Some(self.buffer[begins..content].into());
            } else if !self.buffer[begins..content].trim_ascii().is_empty() {
                entries.push(Entry {
                    start: begins,
                    end: content.min(begins + self.max_record),
                    cut: content > begins + self.max_record,
                    next,
                    line,
                    lines: self.lines,
                });
            }
            at = next;
        }
        at
    }

    fn bom(&self, at: usize) -> usize {
        const BOM: &[u8] = b"\xEF\xBB\xBF";
        if self.buffer[at..].starts_with(BOM) {
            BOM.len()
        } else {
            0
        }
    }

    /// Where the content of the record at `at` ends and the next one begins, if it is whole.
    fn record(&self, at: usize) -> Option<(usize, usize)> {
        let rest = &self.buffer[at..];
        let last = self.ended && self.last_is_whole;
        let end = match self.splitting {
            Splitting::Lines => line_end(rest),
            // quotes that nothing closes, or only much later: the line is all there is of the record
            Splitting::Csv(dialect) => match record_end(rest, dialect) {
                End::At { content, .. } if content > self.max_record => line_end(rest),
                End::At { content, next } => Some((content, next)),
                End::Open { .. } if rest.len() > self.max_record => line_end(rest),
                End::Open { quoted: true } if last => line_end(rest),
                End::Open { .. } => None,
            },
        };
        match end {
            Some((content, next)) => Some((at + content, at + next)),
            None if last => Some((self.buffer.len(), self.buffer.len())),
            None => None,
        }
    }

    /// Takes the first `consumed` bytes of the buffer out as a chunk.
    fn hand_over(&mut self, entries: Vec<Entry>, consumed: usize) -> Chunk {
        let rest = consumed - consumed.min(FINGERPRINTED);
        let kept = self.buffer[rest..].to_vec();
        let mut bytes = std::mem::replace(&mut self.buffer, kept);
        bytes.truncate(consumed);
        let base = self.base;
        self.base += rest as u64;
        self.handed = consumed - rest;
        Chunk {
            bytes,
            base,
            entries,
            end: Behind::Bytes { lines: self.lines },
            columns: self.columns.clone(),
            at_end: self.ended.then_some(self.size),
        }
    }

    /// A record that is too long: its first bytes, as one chunk; the rest of its line is dropped.
    fn cut(&mut self) -> io::Result<Chunk> {
        let mut bytes = self.buffer.split_off(self.handed);
        let mut place = self.base + self.handed as u64;
        let begins = if place == 0 && bytes.starts_with(b"\xEF\xBB\xBF") {
            3
        } else {
            0
        };
        let mut last = std::mem::take(&mut self.buffer);
        let mut rest = bytes.split_off(self.max_record.min(bytes.len()));
        place += bytes.len() as u64;
        last.extend_from_slice(&bytes);
        loop {
            if let Some((_, next)) = line_end(&rest) {
                last.extend_from_slice(&rest[..next]);
                place += next as u64;
                rest.drain(..next);
                break;
            }
            place += rest.len() as u64;
            last.extend_from_slice(&rest);
            last.drain(..last.len().saturating_sub(FINGERPRINTED));
            rest.clear();
            if self.ended {
                break;
            }
            let mut step = self.source.by_ref().take(STEP as u64);
            self.ended = step.read_to_end(&mut rest)? < STEP;
        }
        last.drain(..last.len().saturating_sub(FINGERPRINTED));
        self.lines += 1;
        self.base = place - last.len() as u64;
        self.handed = last.len();
        let mark = Mark {
            bytes: place,
            lines: self.lines,
            print: fingerprint(&last),
            ..Mark::default()
        };
        self.buffer = last;
        self.buffer.extend_from_slice(&rest);
        let entry = Entry {
            start: begins,
            end: bytes.len(),
            cut: true,
            next: bytes.len(),
            line: self.lines,
            lines: self.lines,
        };
        let is_header = std::mem::take(&mut self.header_follows);
        if is_header {
            self.columns = Some(bytes[begins..].into());
        }
        Ok(Chunk {
            bytes,
            base: 0,
            entries: if is_header { Vec::new() } else { vec![entry] },
            end: Behind::Mark(mark),
            columns: self.columns.clone(),
            at_end: None,
        })
    }
}

/// The end of the first line, without a CR before it, and the start of the next one.
fn line_end(text: &[u8]) -> Option<(usize, usize)> {
    let feed = text.iter().position(|byte| *byte == b'\n')?;
    let content = feed - usize::from(feed > 0 && text[feed - 1] == b'\r');
    Some((content, feed + 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    fn file(text: &[u8], splitting: Splitting, header: bool, last_is_whole: bool) -> TextFile {
        let bytes = Bytes {
            source: Box::new(io::Cursor::new(text.to_vec())),
            before: Vec::new(),
        };
        let options = TextOptions {
            splitting,
            columns: None,
            header,
            max_record: 40,
            last_is_whole,
            size: None,
        };
        TextFile::new(bytes, &Mark::default(), options)
    }

    type Found = Vec<(u64, String)>;

    /// Line number and text of every record, and the place behind the last one.
    fn all(mut file: TextFile) -> (Found, Mark) {
        let (mut found, mut mark) = (Vec::new(), Mark::default());
        loop {
            let chunk = file.chunk().unwrap();
            for entry in &chunk.entries {
                let text = String::from_utf8_lossy(&chunk.bytes[entry.start..entry.end]);
                found.push((entry.line, text.into_owned()));
            }
            mark = if chunk.entries.is_empty() && chunk.bytes.is_empty() {
                mark
            } else {
                chunk.behind(chunk.entries.len())
            };
            if chunk.at_end.is_some() {
                return (found, mark);
            }
        }
    }

    fn found(pairs: &[(u64, &str)]) -> Found {
        pairs
            .iter()
            .map(|(line, text)| (*line, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_passed_over() {
        let text = "\u{feff}{\"a\":1}\r\n\n  \n{\"a\":2}\n{\"half";
        let (records, mark) = all(file(text.as_bytes(), Splitting::Lines, false, false));
        assert_eq!(records, found(&[(1, "{\"a\":1}"), (4, "{\"a\":2}")]));
        assert_eq!((mark.bytes, mark.lines), (24, 4));
        let (records, mark) = all(file(text.as_bytes(), Splitting::Lines, false, true));
        assert_eq!(records[2], (5, "{\"half".to_owned()));
        assert_eq!((mark.bytes, mark.lines), (30, 5));
    }

    #[test]
    fn csv_records_go_over_lines() {
        let text = "a,b\n1,\"x\ny\"\n2,z\n";
        let csv = Splitting::Csv(Dialect::default());
        let (records, mark) = all(file(text.as_bytes(), csv, true, false));
        assert_eq!(records, found(&[(2, "1,\"x\ny\""), (4, "2,z")]));
        assert_eq!((mark.bytes, mark.lines), (16, 4));
        let header = file(text.as_bytes(), csv, true, false).header().unwrap();
        assert_eq!(header.as_deref(), Some(&b"a,b"[..]));
    }

    #[test]
    fn a_quote_that_nothing_closes_costs_one_record() {
        let csv = Splitting::Csv(Dialect::default());
        let text = "1,\"x\n2,y\n";
        let (records, _) = all(file(text.as_bytes(), csv, false, true));
        assert_eq!(records, found(&[(1, "1,\"x"), (2, "2,y")]));
        let (records, mark) = all(file(text.as_bytes(), csv, false, false));
        assert_eq!(
            (records.len(), mark.bytes),
            (0, 0),
            "it may still be closed"
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_is_read() {
        let text = format!("{}\n{{}}\n", "x".repeat(3 * STEP));
        let (records, mark) = all(file(text.as_bytes(), Splitting::Lines, false, false));
        assert_eq!(records, found(&[(1, &"x".repeat(40)), (2, "{}")]));
        assert_eq!((mark.bytes, mark.lines), (text.len() as u64, 2));
    }
}

//! The lines of a streamed answer, bounded in bytes and time.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::Response;
use tokio::time::Instant;

use super::client::Attempt;
use super::error::HttpSourceError;

/// Bytes as they come in; the error says why no more do.
pub(super) type Chunks = BoxStream<'static, Result<Bytes, reqwest::Error>>;

/// Which bytes end a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// LF, with or without CR before it: JSON lines.
    Lf,
    /// LF, CR, or both: server-sent events.
    Any,
}

/// Cuts an answer into lines. Dropping the future of [`Lines::next`] loses nothing.
pub(super) struct Lines {
    chunks: Chunks,
    ending: Ending,
    buffer: Vec<u8>,
    /// Where the line begins in `buffer`, and how far it was looked through.
    start: usize,
    seen: usize,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    ended: bool,
    bound: Bound,
}

/// A line, until the next one is asked for.
pub(super) struct Line(Range<usize>);

/// How large a record may be and how long its bytes may take.
struct Bound {
    place: String,
    bytes: usize,
    whole: Duration,
    /// Bytes of earlier lines of the same record.
    earlier: usize,
    since: Option<Instant>,
}

impl Lines {
    pub(super) fn new(
        place: &str,
        response: Response,
        ending: Ending,
        bytes: usize,
        whole: Duration,
    ) -> Self {
        Self::of(place, response.bytes_stream().boxed(), ending, bytes, whole)
    }

    fn of(place: &str, chunks: Chunks, ending: Ending, bytes: usize, whole: Duration) -> Self {
        Self {
            chunks,
            ending,
            buffer: Vec::new(),
            start: 0,
            seen: 0,
            after_cr: false,
            ended: false,
            bound: Bound {
                place: place.to_owned(),
                bytes,
                whole,
                earlier: 0,
                since: None,
            },
        }
    }

    /// The next line, without its end; `None` behind the last one. A last line without an end is one
    /// where the answer is whole, and is dropped where it broke off.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, Attempt> {
        loop {
            if let Some(line) = self.cut() {
                return Ok(Some(line));
            }
            if self.ended {
                let start = std::mem::replace(&mut self.start, self.buffer.len());
                let rest = start..self.buffer.len();
                return Ok((!rest.is_empty()).then_some(Line(rest)));
            }
            self.compact();
            self.bound.check(self.buffer.len())?;
            match self.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => self.ended = true,
            }
        }
    }

    /// The bytes of the line that came last.
    pub(super) fn text(&self, line: &Line) -> &[u8] {
        &self.buffer[line.0.clone()]
    }

    /// Whether bytes came of a record that is not whole.
    pub(super) fn is_within_record(&self) -> bool {
        self.bound.earlier > 0 || self.start < self.buffer.len()
    }

    /// The lines before this one are a whole record.
    pub(super) fn record_ends(&mut self) {
        self.bound.earlier = 0;
        self.bound.since = None;
    }

    /// The lines up to this one belong to a record that goes on.
    pub(super) fn record_goes_on(&mut self, bytes: usize) {
        self.bound.earlier += bytes;
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Attempt> {
        let chunk = self.chunks.next();
        let chunk = match self.bound.since {
            None => chunk.await,
            Some(since) => {
                let deadline = since + self.bound.whole;
                match tokio::time::timeout_at(deadline, chunk).await {
                    Ok(chunk) => chunk,
                    Err(_) => return Err(self.bound.slow().into()),
                }
            }
        };
        chunk.transpose().map_err(|source| Attempt::Broken {
            what: "the answer broke off",
            source: source.without_url(),
        })
    }

    /// The next whole line in the buffer.
    fn cut(&mut self) -> Option<Line> {
        if self.after_cr && self.seen < self.buffer.len() {
            self.after_cr = false;
            if self.start == self.seen && self.buffer[self.seen] == b'\n' {
                self.start += 1;
                self.seen += 1;
            }
        }
        let rest = &self.buffer[self.seen..];
        let ends = |byte: &u8| *byte == b'\n' || (self.ending == Ending::Any && *byte == b'\r');
        let Some(found) = rest.iter().position(ends) else {
            self.seen = self.buffer.len();
            return None;
        };
        let (start, mut end) = (self.start, self.seen + found);
        self.start = end + 1;
        self.seen = end + 1;
        self.after_cr = self.buffer[end] == b'\r';
        if self.ending == Ending::Lf && end > start && self.buffer[end - 1] == b'\r' {
            end -= 1;
        }
        Some(Line(start..end))
    }

    /// Keeps only the line that is not whole yet.
    fn compact(&mut self) {
        self.buffer.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
    }
}

impl Bound {
    /// Before more bytes are waited for, with `open` bytes of a line that is not whole.
    fn check(&mut self, open: usize) -> Result<(), HttpSourceError> {
        let bytes = self.earlier + open;
        if bytes == 0 {
            self.since = None;
            return Ok(());
        }
        if bytes > self.bytes {
            return Err(HttpSourceError::TooLarge {
                place: self.place.clone(),
                what: "a record",
                limit: self.bytes,
            });
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > self.whole {
            return Err(self.slow());
        }
        Ok(())
    }

    fn slow(&self) -> HttpSourceError {
        HttpSourceError::Slow {
            place: self.place.clone(),
            what: "a single record",
            waited: self.whole,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The lines of an answer that comes in these pieces.
    pub(in super::super) fn of(pieces: &[&str], ending: Ending) -> Lines {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok(Bytes::copy_from_slice(piece.as_bytes())))
            .collect();
        let chunks = futures::stream::iter(pieces).boxed();
        Lines::of("http://h/", chunks, ending, 20, Duration::from_secs(60))
    }

    async fn all(pieces: &[&str], ending: Ending) -> Vec<String> {
        let mut lines = of(pieces, ending);
        let mut found = Vec::new();
        while let Ok(Some(line)) = lines.next().await {
            found.push(String::from_utf8_lossy(lines.text(&line)).into_owned());
        }
        found
    }

    #[tokio::test]
    async fn lines_are_the_same_however_they_are_cut_into_pieces() {
        let text = "{\"a\":1}\n\r\nb\r\nlast";
        let wanted = ["{\"a\":1}", "", "b", "last"];
        assert_eq!(all(&[text], Ending::Lf).await, wanted);
        let pieces: Vec<_> = (0..text.len()).map(|at| &text[at..=at]).collect();
        assert_eq!(all(&pieces, Ending::Lf).await, wanted);
    }

    #[tokio::test]
    async fn events_end_their_lines_in_three_ways() {
        let text = "a\r\nb\rc\n\r\r\n\nd";
        let wanted = ["a", "b", "c", "", "", "", "d"];
        assert_eq!(all(&[text], Ending::Any).await, wanted);
        let pieces: Vec<_> = (0..text.len()).map(|at| &text[at..=at]).collect();
        assert_eq!(all(&pieces, Ending::Any).await, wanted);
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused_once_it_is_too_large() {
        let mut lines = of(&["0123456789", "0123456789", "0123456789"], Ending::Lf);
        let refused = lines.next().await;
        assert!(matches!(
            refused,
            Err(Attempt::Final(HttpSourceError::TooLarge { limit: 20, .. }))
        ));
    }
}

//! The events of a file, and the place from which a later run goes on.

use std::collections::VecDeque;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use factmill_core::source::{BoxedError, boxed};

use super::error::PaymentsError;
use super::event::{EventChunk, Writer};
use super::fault::Faults;
use super::pipeline::{self, Chunks, Work};
use super::report::PaymentsMeter;
use super::rows::{self, Rows};
use super::scaler::Scaler;
use super::state::{Place, State};
use crate::event::{Event, EventSource, Next};

/// Rows of a chunk, where nothing else is said.
pub const DEFAULT_CHUNK_SIZE: NonZeroUsize = NonZeroUsize::new(1000).expect("1000 is not 0");
/// Chunks in work at once, where nothing else is said.
pub const DEFAULT_TASKS: NonZeroUsize = NonZeroUsize::new(5).expect("5 is not 0");

/// What the events of a file depend on, and how it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentsSettings {
    /// The CSV file.
    pub input: PathBuf,
    /// The scaler file.
    pub scaler: PathBuf,
    /// Rows of a chunk; a chunk of long rows ends sooner.
    pub chunk_size: NonZeroUsize,
    /// Chunks in work at once.
    pub tasks: NonZeroUsize,
    /// How many of a hundred events are broken on purpose, 0 to 100.
    pub bad_percent: f64,
    /// Which ones: the same seed breaks the same events.
    pub seed: u64,
    /// Where the place is kept from which a later run of the same file goes on; `None` for none.
    pub state: Option<PathBuf>,
    /// Begin with the first row, whatever the state says.
    pub again: bool,
}

impl PaymentsSettings {
    /// Every row of a file once, nothing broken, no place kept.
    pub fn new(input: impl Into<PathBuf>, scaler: impl Into<PathBuf>) -> Self {
        Self {
            input: input.into(),
            scaler: scaler.into(),
            chunk_size: DEFAULT_CHUNK_SIZE,
            tasks: DEFAULT_TASKS,
            bad_percent: 0.0,
            seed: 0,
            state: None,
            again: false,
        }
    }

    pub(super) fn work(&self, after: u64) -> Work {
        Work {
            chunk_size: self.chunk_size,
            tasks: self.tasks,
            after,
            last: u64::MAX,
        }
    }
}

/// The events of a file in the order of its rows.
#[derive(Debug)]
pub struct PaymentsSource {
    input: PathBuf,
    hash: String,
    sequence: String,
    after: u64,
    meter: PaymentsMeter,
    state: Option<State>,
    sent: Sent,
    /// `None` once the file is at its end.
    chunks: Option<Chunks<EventChunk>>,
    current: Option<EventChunk>,
    at: usize,
    key: Vec<u8>,
}

impl PaymentsSource {
    /// Opens a file: reads the scaler, checks the header, hashes the content, looks up the place and
    /// starts the threads.
    ///
    /// It reads the whole file once, so call it where blocking is allowed.
    ///
    /// # Errors
    /// [`PaymentsError`]: the file, a column, or the scaler is missing or unreadable, or the state.
    pub fn open(settings: PaymentsSettings) -> Result<Self, PaymentsError> {
        let scaler = Scaler::load(&settings.scaler)?;
        let faults = Faults::new(settings.seed, settings.bad_percent)?;
        let rows = Rows::open(&settings.input)?;
        let (hash, bytes) = rows::content_hash(&settings.input)?;
        let state = settings.state.as_deref().map(State::open).transpose()?;
        let place = state.as_ref().and_then(|state| state.place(&hash));
        let place = place.filter(|_| !settings.again).cloned();
        let (after, is_finished) = place.map_or((0, false), |place| (place.row, place.finished));
        let sequence = format!("{hash} {}..{}", scaler.data_min(), scaler.data_max());
        let writer = Writer {
            scaler,
            faults,
            file: format!("\"{hash}\""),
        };
        let work = settings.work(after);
        let chunks =
            (!is_finished).then(|| Chunks::start(rows, work, move |chunk| writer.write(chunk)));
        Ok(Self {
            input: settings.input,
            hash,
            sequence,
            after,
            meter: PaymentsMeter::new(bytes),
            state,
            sent: Sent::after(after),
            chunks,
            current: None,
            at: 0,
            key: Vec::new(),
        })
    }

    /// What becomes of the rows, to look at while they are sent and afterwards.
    pub fn meter(&self) -> PaymentsMeter {
        self.meter.clone()
    }

    /// The file that is read.
    pub fn input(&self) -> &Path {
        &self.input
    }

    /// SHA-256 of the file's content.
    pub fn content_hash(&self) -> &str {
        &self.hash
    }

    /// What the sequence of events follows from: the file and the scaler, by their content.
    pub fn sequence(&self) -> &str {
        &self.sequence
    }

    /// The last row that an earlier run has sent; 0 where this one begins with the first row.
    pub fn resumes_after(&self) -> u64 {
        self.after
    }

    /// Whether every row of the file was sent by now, so that there are no events.
    pub fn is_finished(&self) -> bool {
        self.chunks.is_none()
    }

    /// Takes the next chunk; `false` at the end of the file.
    fn advance(&mut self) -> Result<bool, PaymentsError> {
        let Some(chunks) = &self.chunks else {
            return Ok(false);
        };
        match chunks.next()? {
            pipeline::Next::End(hash) => {
                if hash != self.hash {
                    return Err(PaymentsError::Changed {
                        path: self.input.clone(),
                    });
                }
                self.chunks = None;
                self.current = None;
                Ok(false)
            }
            pipeline::Next::Chunk(mut chunk) => {
                let refused = std::mem::take(&mut chunk.refused);
                self.meter.add(chunk.rows_read, refused, chunk.bytes_read);
                self.sent.push(Arc::clone(&chunk.rows), chunk.last_row);
                self.current = Some(chunk);
                self.at = 0;
                Ok(true)
            }
        }
    }

    /// Fills the next event of the chunk at hand.
    fn fill(&mut self, event: &mut Event) -> bool {
        let Some(chunk) = &self.current else {
            return false;
        };
        if !chunk.fill(self.at, event) {
            return false;
        }
        self.key.clear();
        // Writing to memory cannot fail.
        let _ = write!(self.key, "{}:{}", &self.hash[..32], chunk.rows[self.at]);
        event.set_key(&self.key);
        self.at += 1;
        true
    }
}

impl EventSource for PaymentsSource {
    fn next(&mut self, event: &mut Event) -> Result<Next, BoxedError> {
        loop {
            if self.fill(event) {
                return Ok(Next::Event);
            }
            if !self.advance().map_err(boxed)? {
                return Ok(Next::End);
            }
        }
    }

    fn acknowledged(&mut self, count: u64) -> Result<(), BoxedError> {
        let row = self.sent.acknowledged(count);
        let finished = self.chunks.is_none() && self.sent.is_empty();
        let Some(state) = &mut self.state else {
            return Ok(());
        };
        let place = Place {
            file: self.hash.clone(),
            row,
            finished,
        };
        state.keep(place).map_err(boxed)
    }
}

/// The rows of the events that were given and are not acknowledged yet.
#[derive(Debug)]
struct Sent {
    /// The rows of each chunk's events, and the chunk's last row, refused or not.
    chunks: VecDeque<(Arc<[u64]>, u64)>,
    /// Events of the run before those chunks.
    before: u64,
    /// The last row before those chunks.
    row: u64,
}

impl Sent {
    fn after(row: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            before: 0,
            row,
        }
    }

    fn push(&mut self, rows: Arc<[u64]>, last_row: u64) {
        self.chunks.push_back((rows, last_row));
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The last row up to which every row is acknowledged or refused, once the first `count` events
    /// of the run are acknowledged.
    fn acknowledged(&mut self, count: u64) -> u64 {
        while let Some((rows, last_row)) = self.chunks.front()
            && self.before + rows.len() as u64 <= count
        {
            self.before += rows.len() as u64;
            self.row = *last_row;
            self.chunks.pop_front();
        }
        let begun = count.saturating_sub(self.before).checked_sub(1);
        let row = self
            .chunks
            .front()
            .zip(begun)
            .map(|((rows, _), at)| rows[at as usize]);
        row.unwrap_or(self.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_the_last_row_before_the_first_that_is_missing() {
        let mut sent = Sent::after(10);
        assert_eq!(sent.acknowledged(0), 10);
        // Row 12 is refused, so is 16, and all of the second chunk.
        sent.push([11, 13, 14, 15].into(), 16);
        sent.push([].into(), 20);
        sent.push([21, 22].into(), 22);
        assert_eq!(sent.acknowledged(0), 10);
        assert_eq!(sent.acknowledged(1), 11);
        assert_eq!(sent.acknowledged(3), 14);
        assert_eq!(sent.acknowledged(4), 20);
        assert_eq!(sent.acknowledged(5), 21);
        assert!(!sent.is_empty());
        assert_eq!(sent.acknowledged(6), 22);
        assert!(sent.is_empty());
    }
}

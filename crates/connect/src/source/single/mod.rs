//! Sources that one reader reads, without groups: a change stream, a polled collection, files, HTTP.
//!
//! A [`Reader`] says how its source is read; [`SingleSource`] makes it a [`Source`]. A task reads
//! ahead into a buffer that holds at most one pull ([`SingleRead::max_rows`],
//! [`SingleRead::max_bytes`]), so memory does not grow with lag; [`Source::next`] takes it whole.
//!
//! Positions: a partition whose records have offsets of their own is stored as its next offset; any
//! other one as `{"read": n, "at": "<place>"}`, where n counts its records in this incarnation and
//! gives them their offsets n, n + 1, … ([`Place`]). A lease in the warehouse lets one process read;
//! another one waits until it ends. The compare-and-swap of the positions makes two readers harmless
//! all the same: the slower one is fenced and rewinds.

mod batch;
mod buffer;
mod error;
mod lease;
mod reader;
mod task;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use factmill_core::epoch;
use factmill_core::position::{Interval, PartitionId, SourceName};
use factmill_core::records::Pulled;
use factmill_core::source::{
    BoxedError, InFlight, InFlightToken, PositionStore, Pull, Source, boxed,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use batch::{Batch, Record, Slot};
pub use error::{Lost, SingleSourceError};
pub use reader::{InvalidPlace, Place, Read, Reader};

use buffer::Buffer;
use lease::OneReader;
use task::{Shared, State, Task};

/// What is read, and how much at a time.
#[derive(Debug, Clone)]
pub struct SingleRead {
    /// The source that models name.
    pub source: SourceName,
    /// What the order of records calls it: collection, file set, URL.
    pub topic: String,
    /// Whose positions.
    pub reader: epoch::Reader,
    /// A pull holds at most this many records.
    pub max_rows: usize,
    /// A pull is closed once payloads, keys and headers reach this many bytes; one record may
    /// exceed it.
    pub max_bytes: usize,
    /// How long a pull that has something may wait to grow.
    pub max_wait: Duration,
}

/// A source that is being read by its one reader. Dropping it ends the reading.
#[derive(Debug)]
pub struct SingleSource {
    read: SingleRead,
    what: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl SingleSource {
    /// Begins to read. A reader that can be wrong in configuration or meet no server says so before
    /// it is given here; what it meets later, gaps too, is told by [`Source::next`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(reader: impl Reader, read: SingleRead, positions: Arc<dyn PositionStore>) -> Self {
        let what = reader.describe();
        let buffer = Buffer::new(read.source.clone(), read.max_rows, read.max_bytes);
        let shared = Arc::new(Shared::new(buffer));
        let task = Task {
            reader,
            read: read.clone(),
            what: what.clone(),
            lease: OneReader::new(Arc::clone(&positions), read.source.clone()),
            positions,
            shared: Arc::clone(&shared),
        };
        Self {
            read,
            what,
            shared,
            task: tokio::spawn(task.run()),
        }
    }

    /// What is there, if it is time to take it; else until when to wait for more.
    fn take(&self, state: &mut State) -> Result<Pull, Option<Instant>> {
        let Some(since) = state.buffer.since() else {
            return Err(None);
        };
        let due = Instant::from_std(since + self.read.max_wait);
        if due > Instant::now() && !state.is_filled() {
            return Err(Some(due));
        }
        let taken = state.buffer.take().ok_or(None)?;
        Ok(Pull {
            source: self.read.source.clone(),
            pulled: Pulled {
                topic: self.read.topic.clone(),
                partitions: taken.partitions,
                records: taken.records,
            },
            intervals: taken.intervals,
            in_flight: InFlight::new(NothingWaits),
        })
    }

    /// What the state says about the next pull; `Err` holds until when to wait.
    fn look(&self) -> Result<Result<Option<Pull>, SingleSourceError>, Option<Instant>> {
        let mut state = self.shared.lock();
        if let Some(failure) = state.failure.take() {
            return Ok(Err(failure));
        }
        match self.take(&mut state) {
            Ok(pull) => Ok(Ok(Some(pull))),
            Err(None) if state.at_end => Ok(Ok(None)),
            Err(None) if self.task.is_finished() => Ok(Err(SingleSourceError::Stopped {
                what: self.what.clone(),
            })),
            Err(until) => Err(until),
        }
    }
}

#[async_trait]
impl Source for SingleSource {
    fn name(&self) -> &SourceName {
        &self.read.source
    }

    async fn next(&mut self) -> Result<Option<Pull>, BoxedError> {
        loop {
            // made before the look, so that a wake-up in between is not missed
            let readable = self.shared.readable.notified();
            match self.look() {
                Ok(next) => {
                    self.shared.room.notify_one();
                    return next.map_err(boxed);
                }
                Err(None) => readable.await,
                Err(Some(until)) => {
                    // either way the state is looked at again
                    let _ = tokio::time::timeout_at(until, readable).await;
                }
            }
        }
    }

    async fn filled(&mut self) {
        loop {
            let readable = self.shared.readable.notified();
            if self.shared.lock().is_filled() || self.task.is_finished() {
                return;
            }
            readable.await;
        }
    }

    /// Returns at once; that the place is found again is told by [`Source::next`].
    async fn rewind(&mut self) -> Result<(), BoxedError> {
        self.shared.rewind();
        Ok(())
    }

    async fn committed(&mut self, _intervals: &[Interval]) {}

    fn lag(&self) -> HashMap<PartitionId, i64> {
        let state = self.shared.lock();
        let mut waiting = state.buffer.waiting();
        let behind = state.lag.iter().map(|(partition, lag)| {
            let waiting = waiting.remove(partition.as_str()).unwrap_or(0);
            (state.buffer.id(partition), lag + waiting)
        });
        behind.collect()
    }
}

impl Drop for SingleSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Nothing is given away while records are in flight.
#[derive(Debug)]
struct NothingWaits;

impl InFlightToken for NothingWaits {}

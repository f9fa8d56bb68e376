//! What the epoch loop asks of a source of records.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::ErrorKind;
use crate::position::{Incarnation, Interval, PartitionId, Position, SourceName};
use crate::records::Pulled;

/// An error that knows what it means for the run.
pub trait Classified: std::error::Error + Send + Sync + 'static {
    /// Retry, rewind or stop: see [`crate::error::policy`].
    fn kind(&self) -> ErrorKind;
}

/// A boxed [`Classified`] error.
pub type BoxedError = Box<dyn Classified>;

/// A [`BoxedError`] as the source of another error, which a box cannot be, or of several: it shows and
/// leads to what the boxed one does.
pub type SharedError = Arc<dyn Classified>;

impl Classified for SharedError {
    fn kind(&self) -> ErrorKind {
        self.as_ref().kind()
    }
}

/// Boxes an error, for `map_err`.
pub fn boxed(error: impl Classified) -> BoxedError {
    Box::new(error)
}

/// One pull: records and the intervals they cover, owned until committed or dropped.
///
/// A source that has to give a partition away waits until every `Pull` that covers it is gone, so
/// hold it no longer than its epoch lives: drop it after the commit, or to give the epoch up.
#[derive(Debug)]
pub struct Pull {
    /// The source read.
    pub source: SourceName,
    /// The records, possibly none where positions moved without rows.
    pub pulled: Pulled,
    /// `[from, to)` of every partition that moved, in the order of [`PartitionId`].
    pub intervals: Vec<Interval>,
    /// Held while the epoch is in flight.
    pub in_flight: InFlight,
}

/// Says that records are in flight; the source counts the clones of it.
#[derive(Debug, Clone)]
pub struct InFlight(
    #[expect(dead_code, reason = "held for its reference count")] std::sync::Arc<dyn InFlightToken>,
);

/// What a source puts behind [`InFlight`]; its `Drop` tells the source.
pub trait InFlightToken: std::fmt::Debug + Send + Sync {}

impl InFlight {
    /// Wraps the source's token.
    pub fn new(token: impl InFlightToken + 'static) -> Self {
        Self(std::sync::Arc::new(token))
    }
}

/// A stream of records with positions.
///
/// Ordering: within a partition, pulls follow each other without gap or overlap. Duplicates: none
/// between two rewinds. Cancellation: dropping the future of [`Source::next`] loses nothing.
#[async_trait]
pub trait Source: Send {
    /// The source that models name.
    fn name(&self) -> &SourceName;

    /// Waits for the next pull: whatever is there, at most the trigger's `max_rows` and the
    /// configured bytes. `None` is the end of a bounded read; nothing follows.
    async fn next(&mut self) -> Result<Option<Pull>, BoxedError>;

    /// Waits until waiting makes the next pull no larger: it is as large as the trigger allows, the
    /// bounded read is at its end, or there is a failure to tell. Cancelling it loses nothing.
    async fn filled(&mut self);

    /// Drops everything read and not committed and begins again at the stored positions.
    async fn rewind(&mut self) -> Result<(), BoxedError>;

    /// Tells the source what was committed, so that it can show the progress to its server's own
    /// tools. Correctness never depends on it.
    async fn committed(&mut self, intervals: &[Interval]);

    /// How many records lie between the last pull and the end of each partition, as far as known.
    fn lag(&self) -> HashMap<PartitionId, i64>;
}

/// Where committed positions are read.
#[async_trait]
pub trait PositionStore: Send + Sync {
    /// The stored positions of those `partitions` that have one.
    async fn positions(
        &self,
        partitions: &[PartitionId],
    ) -> Result<HashMap<PartitionId, Position>, BoxedError>;

    /// Whether any partition of a source has a stored position.
    async fn has_read(&self, source: &SourceName) -> Result<bool, BoxedError>;

    /// The ordinal of an incarnation of a source, recorded with the next number when it is new.
    ///
    /// `identity` is what the server calls it; see [`Incarnation`].
    async fn incarnation(
        &self,
        source: &SourceName,
        identity: &str,
    ) -> Result<Incarnation, BoxedError>;

    /// Takes or renews the lease of a source that has one reader; `holder` names the reader. It saves
    /// double work: positions are guarded by their compare-and-swap.
    ///
    /// A store that one process uses gives it to whoever asks, as this one does.
    async fn lease(
        &self,
        _source: &SourceName,
        _holder: &str,
        _duration: Duration,
    ) -> Result<Lease, BoxedError> {
        Ok(Lease::Held)
    }

    /// Gives a lease back, where `holder` has it.
    async fn release(&self, _source: &SourceName, _holder: &str) -> Result<(), BoxedError> {
        Ok(())
    }
}

/// A store in which nothing is: every source begins at its start, in its first incarnation.
#[derive(Debug, Clone, Copy)]
pub struct NoPositions;

#[async_trait]
impl PositionStore for NoPositions {
    async fn positions(
        &self,
        _partitions: &[PartitionId],
    ) -> Result<HashMap<PartitionId, Position>, BoxedError> {
        Ok(HashMap::new())
    }

    async fn has_read(&self, _source: &SourceName) -> Result<bool, BoxedError> {
        Ok(false)
    }

    async fn incarnation(
        &self,
        _source: &SourceName,
        identity: &str,
    ) -> Result<Incarnation, BoxedError> {
        Ok(Incarnation {
            ordinal: 1,
            identity: identity.to_owned(),
        })
    }
}

/// Whether a reader may read a source that has one reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lease {
    /// It may, for the duration that it asked for.
    Held,
    /// Another one does.
    HeldBy {
        /// Who, for people.
        holder: String,
        /// How long its lease runs, unless it renews.
        expires_in: Duration,
    },
}

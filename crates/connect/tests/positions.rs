//! A position store in memory that compares and swaps like the warehouse.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use factmill_core::error::ErrorKind;
use factmill_core::position::{Incarnation, Interval, PartitionId, Position, SourceName};
use factmill_core::source::{BoxedError, Classified, PositionStore};

#[derive(Debug, Default)]
pub(crate) struct MemoryPositions {
    stored: Mutex<HashMap<PartitionId, Position>>,
    incarnations: Mutex<Vec<String>>,
    /// How many of the next requests fail.
    pub(crate) failures: AtomicUsize,
}

/// The store is away.
#[derive(Debug, thiserror::Error)]
#[error("the store is away")]
struct Away;

impl Classified for Away {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Transient
    }
}

impl MemoryPositions {
    /// Moves all positions or none; names the first partition that stands elsewhere.
    pub(crate) fn commit(&self, intervals: &[Interval]) -> Result<(), String> {
        let mut stored = self.stored.lock().unwrap();
        for interval in intervals {
            let position = stored.get(interval.partition());
            let same = position.is_none_or(|it| &it.incarnation == interval.incarnation());
            if !same || position.map(|it| &it.cursor) != interval.from() {
                return Err(format!("{interval:?} does not follow {position:?}"));
            }
        }
        for interval in intervals {
            stored.insert(interval.partition().clone(), interval.end());
        }
        Ok(())
    }

    pub(crate) fn set(&self, partition: PartitionId, position: Position) {
        self.stored.lock().unwrap().insert(partition, position);
    }

    pub(crate) fn get(&self, partition: &PartitionId) -> Option<Position> {
        self.stored.lock().unwrap().get(partition).cloned()
    }

    fn fail_if_told(&self) -> Result<(), BoxedError> {
        let left = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        left.map_or(Ok(()), |_| Err(Box::new(Away)))
    }
}

#[async_trait]
impl PositionStore for MemoryPositions {
    async fn positions(
        &self,
        partitions: &[PartitionId],
    ) -> Result<HashMap<PartitionId, Position>, BoxedError> {
        self.fail_if_told()?;
        let stored = self.stored.lock().unwrap();
        let known = partitions
            .iter()
            .filter_map(|id| Some((id.clone(), stored.get(id)?.clone())));
        Ok(known.collect())
    }

    async fn has_read(&self, source: &SourceName) -> Result<bool, BoxedError> {
        self.fail_if_told()?;
        let stored = self.stored.lock().unwrap();
        Ok(stored.keys().any(|id| id.source == *source))
    }

    async fn incarnation(
        &self,
        _source: &SourceName,
        identity: &str,
    ) -> Result<Incarnation, BoxedError> {
        self.fail_if_told()?;
        let mut known = self.incarnations.lock().unwrap();
        if !known.iter().any(|it| it == identity) {
            known.push(identity.to_owned());
        }
        let at = known.iter().position(|it| it == identity).unwrap();
        Ok(Incarnation {
            ordinal: at as i32 + 1,
            identity: identity.to_owned(),
        })
    }
}

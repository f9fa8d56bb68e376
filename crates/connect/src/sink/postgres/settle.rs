//! What became of an epoch whose COMMIT was not answered.
//!
//! A lost connection decides nothing. The old backend is ended, so that nothing can commit any more,
//! and the epoch is looked up by the attempt that this process chose for it.

use std::collections::HashMap;

use factmill_core::epoch::Epoch;
use factmill_core::error::backoff;
use factmill_core::position::{Cursor, Interval, PartitionId};
use uuid::Uuid;

use super::commit::EpochChanges;
use super::connection::{Backend, Patience};
use super::error::WarehouseError;
use super::positions::{self, Stored};
use super::{CONTROL_SESSION, Warehouse};

impl Warehouse {
    /// Finds out what became of an epoch whose COMMIT was not answered.
    pub(super) async fn settle(
        &self,
        changes: &EpochChanges,
        attempt: Uuid,
        backend: &Backend,
        lost: WarehouseError,
    ) -> Result<Epoch, WarehouseError> {
        tracing::warn!(
            error = &lost as &dyn std::error::Error,
            "connection lost at commit; reading the positions again"
        );
        let mut tries = 0;
        let (epoch, stored) = loop {
            match self.look_up(changes, attempt, backend).await {
                Ok(found) => break found,
                // About ten seconds: a server that restarts is back by then, and otherwise the
                // caller's own retry finds the stored positions.
                Err(error) if tries == 7 => {
                    return Err(WarehouseError::CommitUnknown {
                        source: Box::new(error),
                    });
                }
                Err(_) => {
                    tries += 1;
                    tokio::time::sleep(backoff(tries)).await;
                }
            }
        };
        match decide(&changes.intervals, epoch, &stored) {
            Outcome::Committed(epoch) => Ok(epoch),
            Outcome::NotCommitted => Err(lost),
            Outcome::Fenced(interval) => Err(WarehouseError::Fenced {
                partition: interval.partition().clone(),
                expected: interval.from().map_or("none".to_owned(), Cursor::to_text),
                found: stored
                    .get(interval.partition())
                    .map_or("none".to_owned(), |stored| stored.position.cursor.to_text()),
            }),
        }
    }

    /// Ends the old backend and reads the epoch of `attempt`, if it was committed, and the positions.
    async fn look_up(
        &self,
        changes: &EpochChanges,
        attempt: Uuid,
        backend: &Backend,
    ) -> Result<(Option<Epoch>, HashMap<PartitionId, Stored>), WarehouseError> {
        let session = self.open(Patience::UNLIMITED, CONTROL_SESSION).await?;
        let wrong =
            |source| WarehouseError::query("finding out whether an epoch was committed", source);
        // Waits up to 5 s until that backend is gone; one that is gone already is not found.
        let ended = session
            .client
            .query(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity \
                 where pid = $1 and backend_start::text = $2",
                &[&backend.pid, &backend.started],
            )
            .await
            .map_err(wrong)?;
        if ended.iter().any(|row| !row.get::<_, bool>(0)) {
            return Err(WarehouseError::Broken(format!(
                "backend {} does not end",
                backend.pid
            )));
        }
        let epoch = session
            .client
            .query_opt(
                "select epoch from factmill.epochs where attempt = $1",
                &[&attempt],
            )
            .await
            .map_err(wrong)?
            .map(|row| Epoch::new(row.get(0)));
        let partitions: Vec<_> = changes
            .intervals
            .iter()
            .map(|interval| interval.partition().clone())
            .collect();
        let stored = positions::read(&session.client, &changes.reader, &partitions).await?;
        Ok((epoch, stored))
    }
}

/// What became of an epoch.
#[derive(Debug, PartialEq)]
enum Outcome<'a> {
    Committed(Epoch),
    NotCommitted,
    /// Not committed, and somebody else moved this partition.
    Fenced(&'a Interval),
}

/// Decides by what is stored once nothing of the attempt can change any more: the epoch that the
/// attempt left, else whether every position is still where the epoch began.
fn decide<'a>(
    intervals: &'a [Interval],
    epoch: Option<Epoch>,
    stored: &HashMap<PartitionId, Stored>,
) -> Outcome<'a> {
    if let Some(epoch) = epoch {
        return Outcome::Committed(epoch);
    }
    let moved = intervals.iter().find(|interval| {
        let stored = stored
            .get(interval.partition())
            .filter(|stored| !stored.ended);
        match (interval.from(), stored) {
            (None, None) => false,
            (Some(from), Some(stored)) => {
                stored.position.cursor != *from
                    || stored.position.incarnation != *interval.incarnation()
            }
            _ => true,
        }
    });
    moved.map_or(Outcome::NotCommitted, Outcome::Fenced)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use factmill_core::position::{Incarnation, Position, SourceName};

    fn partition() -> PartitionId {
        PartitionId {
            source: SourceName::new("banking", "transactions"),
            partition: "0".into(),
        }
    }

    fn incarnation(ordinal: i32) -> Incarnation {
        Incarnation {
            ordinal,
            identity: format!("cluster/{ordinal}"),
        }
    }

    fn interval(from: Option<i64>) -> Vec<Interval> {
        vec![
            Interval::new(
                partition(),
                incarnation(1),
                from.map(Cursor::Offset),
                Cursor::Offset(10),
            )
            .unwrap(),
        ]
    }

    fn stored(offset: i64, ordinal: i32) -> HashMap<PartitionId, Stored> {
        let position = Position {
            incarnation: incarnation(ordinal),
            cursor: Cursor::Offset(offset),
        };
        HashMap::from([(
            partition(),
            Stored {
                position,
                ended: false,
            },
        )])
    }

    #[test]
    fn the_attempt_decides_whatever_the_positions_say_by_now() {
        let later = stored(99, 1);
        assert_eq!(
            decide(&interval(Some(5)), Some(Epoch::new(7)), &later),
            Outcome::Committed(Epoch::new(7))
        );
    }

    #[test]
    fn without_the_attempt_an_unmoved_position_means_not_committed() {
        assert_eq!(
            decide(&interval(Some(5)), None, &stored(5, 1)),
            Outcome::NotCommitted
        );
        assert_eq!(
            decide(&interval(None), None, &HashMap::new()),
            Outcome::NotCommitted
        );
    }

    #[test]
    fn without_the_attempt_a_moved_position_means_another_owner() {
        let begun = interval(Some(5));
        assert_eq!(
            decide(&begun, None, &stored(10, 1)),
            Outcome::Fenced(&begun[0])
        );
        assert_eq!(
            decide(&begun, None, &stored(5, 2)),
            Outcome::Fenced(&begun[0])
        );
        assert_eq!(
            decide(&begun, None, &HashMap::new()),
            Outcome::Fenced(&begun[0])
        );
        let first = interval(None);
        assert_eq!(
            decide(&first, None, &stored(10, 1)),
            Outcome::Fenced(&first[0])
        );
    }
}

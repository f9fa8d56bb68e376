//! Gaps that a person accepts: positions that move without records.

use std::sync::Arc;

use async_recursion::async_recursion as boxed;
use chrono::Utc;
use factmill_core::epoch::{Epoch, Reader};
use factmill_core::position::{Cursor, Interval, PartitionId, SourceName};

use super::Warehouse;
use super::commit::{EpochChanges, LakeChanges, Observed, job_lock};
use super::error::WarehouseError;
use super::identifier::source_text;
use super::positions::{END_INCARNATIONS, LOCK_INCARNATIONS, RECORD_INCARNATION};
use super::tables::Generations;

impl Warehouse {
    /// Moves positions over records that are lost, in an epoch of no records: the lineage keeps the
    /// intervals, `lake` is its empty part.
    ///
    /// # Errors
    /// As [`Warehouse::commit`]; [`WarehouseError::Fenced`] when a position has moved meanwhile.
    #[boxed]
    pub async fn pass_over(
        &self,
        reader: &Reader,
        intervals: Vec<Interval>,
        lake: Arc<dyn LakeChanges>,
    ) -> Result<Epoch, WarehouseError> {
        let changes = EpochChanges {
            reader: reader.clone(),
            intervals,
            tables: Arc::new([]),
            generations: Generations::default(),
            changes: Vec::new(),
            dead_letters: Vec::new(),
            lake,
            rows_in: 0,
            started_at: Utc::now(),
            code_version: concat!(env!("CARGO_PKG_VERSION"), " accept-gap").to_owned(),
            observed: Observed::default(),
        };
        Ok(self.commit(&changes).await?.epoch)
    }

    /// Closes the incarnation of `source` that the server calls `identity` and opens the next one under
    /// that name, in which each of these partitions is read from its offset; all of it, or nothing.
    ///
    /// For a log whose offsets stand for other records than those that were read.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn renew_incarnation(
        &self,
        reader: &Reader,
        source: &SourceName,
        identity: &str,
        next: &[(PartitionId, i64)],
    ) -> Result<(), WarehouseError> {
        let name = source_text(source);
        let wrong =
            |source| WarehouseError::query(format!("renewing the incarnation of {name}"), source);
        let partitions: Vec<&str> = next
            .iter()
            .map(|(partition, _)| partition.partition.as_str())
            .collect();
        let offsets: Vec<String> = next
            .iter()
            .map(|(_, offset)| Cursor::Offset(*offset).to_text())
            .collect();
        let mut session = self.control().await?;
        let tx = session.client.transaction().await.map_err(wrong)?;
        // no epoch is under way meanwhile
        tx.execute(
            "select pg_advisory_xact_lock(hashtextextended($1, 0))",
            &[&job_lock(reader)],
        )
        .await
        .map_err(wrong)?;
        let (target, job) = (&reader.target, &reader.job);
        tx.execute(LOCK_INCARNATIONS, &[target, job])
            .await
            .map_err(wrong)?;
        tx.execute(END_INCARNATIONS, &[target, job, &name, &None::<&str>])
            .await
            .map_err(wrong)?;
        let renewed = tx
            .query_one(RECORD_INCARNATION, &[target, job, &name, &identity])
            .await
            .map_err(wrong)?;
        tx.execute(
            "update factmill.positions p \
             set incarnation = $4, identity = $5, position = w.next, updated_at = now() \
             from unnest($6::text[], $7::text[]) as w(partition, next) \
             where p.target = $1 and p.job = $2 and p.source = $3 and p.partition = w.partition",
            &[
                target,
                job,
                &name,
                &renewed.get::<_, i32>(0),
                &identity,
                &partitions,
                &offsets,
            ],
        )
        .await
        .map_err(wrong)?;
        tx.commit().await.map_err(wrong)
    }
}

//! Committed epochs, for summaries and for people.

use async_recursion::async_recursion as boxed;
use chrono::{DateTime, Utc};
use factmill_core::epoch::{Epoch, Reader};
use tokio_postgres::GenericClient;

use super::Warehouse;
use super::error::WarehouseError;

/// A committed epoch as the lineage keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct CommittedEpoch {
    /// Its number.
    pub epoch: Epoch,
    /// When its pull began.
    pub started_at: DateTime<Utc>,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// Records read.
    pub rows_in: i64,
    /// Rows offered to tables.
    pub rows_out: i64,
    /// Records set aside.
    pub dead_letters: i64,
    /// The version of the program that committed it.
    pub code_version: String,
}

impl Warehouse {
    /// The newest epoch that any process of `reader` has committed.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn newest_epoch(&self, reader: &Reader) -> Result<Option<Epoch>, WarehouseError> {
        let session = self.control().await?;
        newest_epoch(&session.client, reader).await
    }

    /// The newest epochs of `reader`, at most `limit`, newest first.
    ///
    /// # Errors
    /// [`WarehouseError::Query`].
    #[boxed]
    pub async fn list_epochs(
        &self,
        reader: &Reader,
        limit: u32,
    ) -> Result<Vec<CommittedEpoch>, WarehouseError> {
        let session = self.control().await?;
        let rows = session
            .client
            .query(
                "select epoch, started_at, committed_at, rows_in, rows_out, dead_letters, code_version \
                 from factmill.epochs where target = $1 and job = $2 order by epoch desc limit $3",
                &[&reader.target, &reader.job, &i64::from(limit)],
            )
            .await
            .map_err(|source| WarehouseError::query("listing epochs", source))?;
        let epochs = rows.iter().map(|row| CommittedEpoch {
            epoch: Epoch::new(row.get(0)),
            started_at: row.get(1),
            committed_at: row.get(2),
            rows_in: row.get(3),
            rows_out: row.get(4),
            dead_letters: row.get(5),
            code_version: row.get(6),
        });
        Ok(epochs.collect())
    }
}

pub(super) async fn newest_epoch(
    client: &impl GenericClient,
    reader: &Reader,
) -> Result<Option<Epoch>, WarehouseError> {
    let row = client
        .query_one(
            "select max(epoch) from factmill.epochs where target = $1 and job = $2",
            &[&reader.target, &reader.job],
        )
        .await
        .map_err(|source| WarehouseError::query("reading the newest epoch", source))?;
    Ok(row.get::<_, Option<i64>>(0).map(Epoch::new))
}

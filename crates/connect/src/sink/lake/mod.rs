//! The lake: the decoded records of all sources as a DuckLake 1.0.
//!
//! Its catalog lies in schema `lake` of the warehouse, its Parquet files in a folder or a bucket. An
//! epoch's rows are written before the epoch's transaction ([`Lake::write`]): large ones as a file
//! under a name never used before, small ones kept to be inlined in the catalog. Within the
//! transaction [`Lake::stage`] brings inlined rows to the server, and the SQL function
//! `factmill.lake_commit` makes everything visible as one snapshot, with the lake's lock held only from
//! there to `COMMIT`. A failed attempt leaves at most files that no catalog row names.

mod catalog;
mod column;
mod error;
mod file;
mod inline;
mod location;
mod plan;
mod stage;
mod statistics;
mod table;
mod text;
mod write;

pub use error::LakeError;
pub use location::LakeLocation;
pub use table::{LakeTable, LakeTableRef};
pub use write::Staged;

use arrow::record_batch::RecordBatch;
use async_recursion::async_recursion as boxed;
use tokio_postgres::{Client, GenericClient, Transaction};

/// Rows up to which an epoch's rows of a table are inlined, unless [`Lake::inline_rows`] says else.
pub const INLINE_ROWS: usize = 1000;

/// A lake whose catalog is there.
#[derive(Debug, Clone)]
pub struct Lake {
    location: LakeLocation,
    inline_rows: usize,
}

impl Lake {
    /// Opens the lake at `location`, making it where the warehouse has none. The warehouse must have
    /// been migrated before.
    ///
    /// # Errors
    /// [`LakeError::Moved`] and [`LakeError::Unsupported`] when the catalog is of another lake or
    /// version; [`LakeError::Catalog`].
    #[boxed]
    pub async fn open(client: &Client, location: LakeLocation) -> Result<Self, LakeError> {
        catalog::open(client, &location).await?;
        Ok(Self {
            location,
            inline_rows: INLINE_ROWS,
        })
    }

    /// The same lake, inlining at most this many rows of a table per epoch; 0 never inlines.
    #[must_use]
    pub fn inline_rows(self, rows: usize) -> Self {
        Self {
            inline_rows: rows,
            ..self
        }
    }

    /// Where its files are.
    pub fn location(&self) -> &LakeLocation {
        &self.location
    }

    /// The newest committed snapshot.
    ///
    /// # Errors
    /// [`LakeError::Catalog`].
    pub async fn snapshot(client: &impl GenericClient) -> Result<i64, LakeError> {
        catalog::snapshot(client).await
    }

    /// Makes sure that the lake has `table`: creates it, or adds the nullable columns that it does
    /// not have yet, as a snapshot of its own. Runs a transaction of its own.
    ///
    /// # Errors
    /// [`LakeError::Misfit`] for any other change of columns, [`LakeError::Column`] for columns that
    /// cannot be kept, [`LakeError::Catalog`], [`LakeError::File`].
    #[boxed]
    pub async fn ensure_table(
        &self,
        client: &mut Client,
        table: &LakeTable,
    ) -> Result<LakeTableRef, LakeError> {
        let table = table::ensure(client, table).await?;
        self.location.prepare(table.folder()).await?;
        Ok(table)
    }

    /// Writes rows of one epoch, in the table's columns and order, and makes nothing visible.
    ///
    /// More than [`Lake::inline_rows`] become a Parquet file on stable storage when this returns.
    /// What a failed attempt to commit leaves may be used by the next one, see [`Lake::is_there`].
    ///
    /// # Errors
    /// [`LakeError::Rows`] when the rows do not have the table's columns, [`LakeError::File`] and
    /// [`LakeError::Object`] when the storage fails.
    #[boxed]
    pub async fn write(
        &self,
        table: &LakeTableRef,
        rows: &RecordBatch,
    ) -> Result<Staged, LakeError> {
        write::write(&self.location, self.inline_rows, table, rows).await
    }

    /// Whether what is staged can still be committed: its file may have been cleared away by another
    /// client of the lake, as no catalog names it.
    ///
    /// # Errors
    /// [`LakeError::File`] and [`LakeError::Object`] when the storage does not say.
    #[boxed]
    pub async fn is_there(&self, staged: &Staged) -> Result<bool, LakeError> {
        write::is_there(&self.location, staged).await
    }

    /// Brings the inlined rows to the server, into temporary tables of the session, and returns the
    /// argument for `factmill.lake_commit`, which must be called in the same transaction. The caller
    /// may set `message` and `extra` in it, texts for the snapshot.
    ///
    /// # Errors
    /// [`LakeError::Catalog`].
    #[boxed]
    pub async fn stage(
        &self,
        tx: &Transaction<'_>,
        staged: &[Staged],
    ) -> Result<serde_json::Value, LakeError> {
        stage::stage(tx, staged).await
    }
}

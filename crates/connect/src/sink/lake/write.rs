//! What is done with an epoch's rows before its transaction.

use arrow::compute::{CastOptions, cast_with_options};
use arrow::record_batch::RecordBatch;
use uuid::Uuid;

use super::error::LakeError;
use super::location::LakeLocation;
use super::statistics::{self, LeafStatistics};
use super::table::LakeTableRef;
use super::{file, inline};

/// Rows of one epoch and one table, written and not yet visible.
#[derive(Debug, Clone)]
pub struct Staged {
    pub(super) table: LakeTableRef,
    pub(super) rows: usize,
    pub(super) kept: Kept,
    /// In the order of the table's leaves.
    pub(super) statistics: Vec<LeafStatistics>,
}

/// Where the rows are until they are committed.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    /// In memory, as Postgres will keep them.
    Inlined(RecordBatch),
    /// In a file of the table's folder.
    File(WrittenFile),
}

#[derive(Debug, Clone)]
pub(super) struct WrittenFile {
    pub(super) name: String,
    pub(super) bytes: usize,
    pub(super) footer: usize,
    pub(super) leaf_bytes: Vec<i64>,
}

impl WrittenFile {
    /// Below the lake's location.
    fn path(&self, table: &LakeTableRef) -> String {
        format!("{}{}", table.folder(), self.name)
    }
}

impl Staged {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether they will be inlined in the catalog.
    pub fn is_inlined(&self) -> bool {
        matches!(self.kept, Kept::Inlined(_))
    }
}

pub(super) async fn write(
    location: &LakeLocation,
    inline_rows: usize,
    table: &LakeTableRef,
    rows: &RecordBatch,
) -> Result<Staged, LakeError> {
    let (of, rows) = (table.clone(), rows.clone());
    let encoded = tokio::task::spawn_blocking(move || encode(of, &rows, inline_rows));
    let (mut staged, content) = encoded.await.map_err(LakeError::Stopped)??;
    if let Kept::File(file) = &mut staged.kept {
        file.bytes = content.len();
        location.write_new(file.path(table), content).await?;
    }
    Ok(staged)
}

/// Whether what is staged can still be committed: nobody has taken its file away.
pub(super) async fn is_there(location: &LakeLocation, staged: &Staged) -> Result<bool, LakeError> {
    match &staged.kept {
        Kept::Inlined(_) => Ok(true),
        Kept::File(file) => location.has(&file.path(&staged.table)).await,
    }
}

/// Everything but the I/O: stored columns, statistics, inlined rows or a file's content.
fn encode(
    table: LakeTableRef,
    rows: &RecordBatch,
    inline_rows: usize,
) -> Result<(Staged, Vec<u8>), LakeError> {
    let failed = |source| LakeError::Rows {
        table: table.name().to_owned(),
        source,
    };
    let stored = stored(&table, rows).map_err(failed)?;
    let columns = table.columns();
    let rows = stored.num_rows();
    if rows <= inline_rows
        && table.inlined().is_some()
        && let Ok(inlined) = inline::physical(columns, &stored)
    {
        let statistics = statistics::of_columns(columns, stored.columns(), &[]);
        let kept = Kept::Inlined(inlined);
        return Ok((
            Staged {
                table,
                rows,
                kept,
                statistics,
            },
            Vec::new(),
        ));
    }
    let encoded = file::encode(columns, &stored).map_err(|source| LakeError::Parquet {
        table: table.name().to_owned(),
        source,
    })?;
    let statistics = statistics::of_columns(columns, stored.columns(), &encoded.bounds);
    let file = WrittenFile {
        name: format!("{}.parquet", Uuid::now_v7()),
        bytes: encoded.content.len(),
        footer: encoded.footer_size,
        leaf_bytes: encoded.leaf_bytes,
    };
    Ok((
        Staged {
            table,
            rows,
            kept: Kept::File(file),
            statistics,
        },
        encoded.content,
    ))
}

/// The rows in the types that the lake keeps, matched by position.
fn stored(
    table: &LakeTableRef,
    rows: &RecordBatch,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    // a cast that cannot keep a value is an error, never a null
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let schema = file::stored_schema(table.columns());
    if rows.num_columns() != schema.fields().len() {
        let message = format!(
            "{} columns came, the table has {}",
            rows.num_columns(),
            schema.fields().len()
        );
        return Err(arrow::error::ArrowError::SchemaError(message));
    }
    let arrays = rows.columns().iter().zip(schema.fields());
    let arrays = arrays.map(|(array, field)| cast_with_options(array, field.data_type(), &strict));
    RecordBatch::try_new(schema.clone(), arrays.collect::<Result<_, _>>()?)
}

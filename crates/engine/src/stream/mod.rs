//! A job's incremental models, compiled once and run over the new rows of each epoch.

mod compile;
mod compiled;
mod epoch_rows;
mod rebuild;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, new_null_array};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SessionState, TaskContext};
use factmill_core::document::{Collection, DocumentChange};
use factmill_core::position::SourceName;
use factmill_core::source_schema::provenance;
use factmill_core::table::{Table, TableChange, TableName};
use factmill_project::ProjectSource;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinSet;

pub use rebuild::Rebuild;

use crate::error::{ModelError, Work};
use crate::functions::record_order;
use compiled::CompiledModel;
use epoch_rows::EpochRows;

/// Epochs of fewer rows are run on the calling task: waking other threads costs more than it saves.
const ROWS_WORTH_A_TASK: usize = 4096;

/// The incremental models of a job, ready to run.
///
/// Cheap to share: an epoch changes nothing in it.
#[derive(Debug)]
pub struct StreamPlan {
    tables: Arc<[Table]>,
    models: Vec<Arc<CompiledModel>>,
    collections: Arc<[Collection]>,
    documents: Vec<CompiledModel>,
    statics: Vec<StaticTable>,
    rebuilds: Vec<Rebuild>,
    inputs: HashMap<SourceName, SourceInput>,
    unchanging: BTreeMap<TableName, Arc<MemTable>>,
    contracts: Vec<ProjectSource>,
    state: SessionState,
    /// Rebuilds have memory of their own, so that they do not starve an epoch.
    rebuild_state: SessionState,
}

/// A table that reads no stream, computed when the plan was compiled.
#[derive(Debug, Clone)]
pub struct StaticTable {
    /// Index in [`StreamPlan::tables`].
    pub table: usize,
    /// Its rows; columns as in the table.
    pub rows: Vec<RecordBatch>,
}

/// How a source's decoded rows become the rows of an epoch.
#[derive(Debug)]
struct SourceInput {
    schema: SchemaRef,
    event_time: Option<usize>,
}

impl StreamPlan {
    /// The job's tables, each behind those that it reads: seeds, static tables, and models of every
    /// maintenance.
    pub fn tables(&self) -> &Arc<[Table]> {
        &self.tables
    }

    /// Seeds and tables that read no stream, to be loaded before the first epoch.
    pub fn statics(&self) -> &[StaticTable] {
        &self.statics
    }

    /// The collections that the job's models go to.
    pub fn collections(&self) -> &Arc<[Collection]> {
        &self.collections
    }

    /// The documents that the new rows of an epoch make, of each collection once and in the order of
    /// [`StreamPlan::collections`]; collections without a change are left out. `inputs` are those of
    /// [`StreamPlan::transform`].
    ///
    /// # Errors
    /// As [`StreamPlan::transform`].
    pub async fn documents(
        &self,
        inputs: Vec<(SourceName, RecordBatch)>,
    ) -> Result<Vec<DocumentChange>, ModelError> {
        let mut changes = Vec::with_capacity(self.documents.len());
        if self.documents.is_empty() {
            return Ok(changes);
        }
        let context = self.context(inputs)?;
        for documents in &self.documents {
            let rows = documents.run(Arc::clone(&context)).await?;
            if rows.num_rows() > 0 {
                let collection = documents.target;
                changes.push(DocumentChange { collection, rows });
            }
        }
        Ok(changes)
    }

    /// Runs the incremental models over the new rows of an epoch.
    ///
    /// `inputs` are decoded rows as [`factmill_core::source_schema::SourceSchema::arrow_schema`]
    /// lays them out; a source may come more than once or not at all. The changes come in the order
    /// of [`StreamPlan::tables`]; tables without a change are left out.
    ///
    /// # Errors
    /// [`ModelError`], when a model fails on a value, has a null in its key, or runs out of memory.
    pub fn transform(
        &self,
        inputs: Vec<(SourceName, RecordBatch)>,
    ) -> BoxFuture<'_, Result<Vec<TableChange>, ModelError>> {
        async move {
            let rows: usize = inputs.iter().map(|(_, rows)| rows.num_rows()).sum();
            if rows == 0 {
                return Ok(Vec::new());
            }
            let context = self.context(inputs)?;
            let mut changes = Vec::with_capacity(self.models.len());
            if rows < ROWS_WORTH_A_TASK {
                for model in &self.models {
                    changes.push(TableChange {
                        table: model.target,
                        rows: model.run(Arc::clone(&context)).await?,
                    });
                }
            } else {
                let mut running = JoinSet::new();
                for model in &self.models {
                    let (model, context) = (Arc::clone(model), Arc::clone(&context));
                    running.spawn(async move { (model.target, model.run(context).await) });
                }
                while let Some(finished) = running.join_next().await {
                    let (table, rows) = finished.map_err(|error| ModelError::Engine {
                        model: Work::model("of this epoch"),
                        source: error.into(),
                    })?;
                    changes.push(TableChange { table, rows: rows? });
                }
                changes.sort_unstable_by_key(|change| change.table);
            }
            changes.retain(|change| change.rows.num_rows() > 0);
            Ok(changes)
        }
        .boxed()
    }

    fn context(
        &self,
        inputs: Vec<(SourceName, RecordBatch)>,
    ) -> Result<Arc<TaskContext>, ModelError> {
        let mut epoch = EpochRows::default();
        for (source, rows) in inputs {
            // A source that no incremental model reads: only the lake takes its rows.
            let Some(input) = self.inputs.get(&source) else {
                continue;
            };
            let rows = input
                .with_order(&rows)
                .map_err(|error| ModelError::Engine {
                    model: Work::Model(format!("that reads source {source}")),
                    source: error.into(),
                })?;
            epoch.0.entry(source).or_default().push(rows);
        }
        let context = TaskContext::from(&self.state);
        let config = context
            .session_config()
            .clone()
            .with_extension(Arc::new(epoch));
        Ok(Arc::new(context.with_session_config(config)))
    }
}

impl SourceInput {
    fn new(table: &dyn TableProvider, event_time: Option<&str>) -> Result<Self> {
        let schema = table.schema();
        let event_time = event_time
            .map(|column| schema.index_of(column))
            .transpose()?;
        Ok(Self { schema, event_time })
    }

    /// The decoded rows and the order of each.
    fn with_order(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let decoded = self.schema.fields().len() - 1;
        if rows.num_columns() != decoded {
            return Err(DataFusionError::Internal(format!(
                "decoded rows have {} columns, the source declares {decoded}",
                rows.num_columns()
            )));
        }
        let event_time: ArrayRef = match self.event_time {
            Some(column) => Arc::clone(rows.column(column)),
            None => new_null_array(&DataType::Null, rows.num_rows()),
        };
        let [topic, incarnation, partition, offset] = [
            provenance::TOPIC,
            provenance::INCARNATION,
            provenance::PARTITION,
            provenance::OFFSET,
        ]
        .map(|column| self.schema.index_of(column));
        let order = record_order::encode(
            &event_time,
            rows.column(topic?),
            rows.column(incarnation?),
            rows.column(partition?),
            rows.column(offset?),
        )?;
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(order));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

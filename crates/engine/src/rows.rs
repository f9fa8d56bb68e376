//! The rows that a model or query gives, as a stream of batches.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use factmill_planner as planner;
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::error::{ModelError, Work};

/// Rows on their way: batches come as they are computed, dropping the stream ends the work.
pub struct Rows {
    /// The columns of every batch.
    pub schema: SchemaRef,
    /// The batches; an error ends them.
    pub batches: BoxStream<'static, Result<RecordBatch, ModelError>>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// Starts a bound plan. Its columns are put under `schema`, whose nullability is the table's.
pub(crate) async fn start(
    state: &SessionState,
    work: &Work,
    plan: &LogicalPlan,
    schema: SchemaRef,
) -> Result<Rows, ModelError> {
    let failed = |error| ModelError::running(work, error);
    let plan = planner::physical(state, plan).await.map_err(failed)?;
    let batches = execute_stream(plan, Arc::new(TaskContext::from(state))).map_err(failed)?;
    let (work, under) = (work.clone(), Arc::clone(&schema));
    let batches = batches.map(move |batch| {
        batch
            .and_then(|batch| Ok(with_schema(&batch, &under)?))
            .map_err(|error| ModelError::running(&work, error))
    });
    Ok(Rows {
        schema,
        batches: batches.boxed(),
    })
}

/// The same columns under another schema of the same types.
pub(crate) fn with_schema(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    with_columns(
        Arc::clone(schema),
        batch.columns().to_vec(),
        batch.num_rows(),
    )
}

/// A batch that knows its rows even when it has no column.
pub(crate) fn with_columns(
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let rows = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &rows)
}

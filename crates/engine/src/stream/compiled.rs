//! One model's physical plan, made once and run each epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::execution::SessionState;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::{ExecutionPlan, collect};

use super::epoch_rows::EpochScan;
use super::newest::newest_by_key;
use crate::error::ModelError;

/// A join's kept hash table keeps its counters too, so it is built anew after this many epochs:
/// rare enough to cost nothing, often enough for the counters to stay small.
const EPOCHS_BETWEEN_RESETS: u64 = 1024;

/// What becomes of a model's rows after its plan.
#[derive(Debug)]
pub(super) enum Keep {
    /// All of them.
    All,
    /// The newest of each key: indices of the key columns; the order of records is the last column.
    NewestByKey(Vec<usize>),
}

/// A model's plan over new rows.
#[derive(Debug)]
pub(super) struct CompiledModel {
    pub(super) model: String,
    /// Index in the job's tables.
    pub(super) table: usize,
    pub(super) keep: Keep,
    schema: SchemaRef,
    plan: Arc<dyn ExecutionPlan>,
    runs: AtomicU64,
}

impl CompiledModel {
    pub(super) async fn new(
        state: &SessionState,
        model: String,
        table: usize,
        keep: Keep,
        schema: SchemaRef,
        plan: &LogicalPlan,
    ) -> Result<Self> {
        let mut plan = state.create_physical_plan(plan).await?;
        if plan.properties().partitioning.partition_count() > 1 {
            plan = Arc::new(CoalescePartitionsExec::new(plan));
        }
        Ok(Self {
            model,
            table,
            keep,
            schema,
            plan,
            runs: AtomicU64::new(0),
        })
    }

    /// The model's rows over the epoch in `context`.
    pub(super) async fn run(&self, context: Arc<TaskContext>) -> std::result::Result<RecordBatch, ModelError> {
        let failed = |error: DataFusionError| ModelError::running(&self.model, error);
        let plan = self.fresh().map_err(failed)?;
        let batches = collect(plan, context).await.map_err(failed)?;
        self.finish(&batches)
    }

    /// Joins the parts of an epoch.
    pub(super) fn finish(&self, batches: &[RecordBatch]) -> std::result::Result<RecordBatch, ModelError> {
        let failed = |error: datafusion::arrow::error::ArrowError| ModelError::running(&self.model, error.into());
        let rows = match batches {
            [only] => RecordBatch::try_new(Arc::clone(&self.schema), only.columns().to_vec()).map_err(failed)?,
            // Nullability is the table's, not the plan's, so the columns are put under its schema.
            several => {
                let several = several
                    .iter()
                    .map(|batch| RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec()))
                    .collect::<std::result::Result<Vec<_>, _>>()
                    .map_err(failed)?;
                concat_batches(&self.schema, &several).map_err(failed)?
            }
        };
        let Keep::NewestByKey(keys) = &self.keep else {
            return Ok(rows);
        };
        for key in keys {
            if rows.column(*key).logical_null_count() > 0 {
                return Err(ModelError::NullKey {
                    model: self.model.clone(),
                    column: self.schema.field(*key).name().clone(),
                });
            }
        }
        newest_by_key(&rows, keys, self.schema.fields().len() - 1).map_err(failed)
    }

    /// The plan, ready to run once more.
    ///
    /// Operators start anew, except hash joins whose build side does not change: their table is
    /// built once and probed in every epoch.
    fn fresh(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let keep_tables = self.runs.fetch_add(1, Ordering::Relaxed) % EPOCHS_BETWEEN_RESETS != 0;
        Arc::clone(&self.plan)
            .transform_up(|node| {
                if keep_tables && builds_on_unchanging(&node) {
                    let children = node.children().into_iter().cloned().collect();
                    let kept = node.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))?;
                    return Ok(Transformed::yes(kept));
                }
                Ok(Transformed::yes(node.reset_state()?))
            })
            .data()
    }
}

/// Whether the node is a hash join that only reads what it built from a relation that stays the
/// same. Joins that keep unmatched rows of the build side mark what they matched in it.
fn builds_on_unchanging(node: &Arc<dyn ExecutionPlan>) -> bool {
    use datafusion::common::JoinType;
    let Some(join) = node.downcast_ref::<HashJoinExec>() else {
        return false;
    };
    matches!(join.partition_mode(), PartitionMode::CollectLeft)
        && matches!(
            join.join_type(),
            JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti
        )
        && !reads_epoch(join.left())
}

fn reads_epoch(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<EpochScan>() || plan.children().into_iter().any(reads_epoch)
}

//! One model's physical plan, made once and run each epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::{concat_batches, filter_record_batch, not};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::{ExecutionPlan, collect};

use factmill_core::table::Column;
use factmill_core::types::DeclaredType;
use factmill_planner as planner;

use super::epoch_rows::EpochScan;
use crate::error::{LONGEST_KEY, ModelError, Work};
use crate::newest::{check_keys, newest_by_key};
use crate::rows::with_schema;

/// A join's kept hash table keeps its counters too, so it is built anew after this many epochs:
/// rare enough to cost nothing, often enough for the counters to stay small.
const EPOCHS_BETWEEN_RESETS: u64 = 1024;

/// A model's plan over new rows.
#[derive(Debug)]
pub(super) struct CompiledModel {
    work: Work,
    /// Index in the job's tables, or in its collections.
    pub(super) target: usize,
    kept: Kept,
    schema: SchemaRef,
    plan: Arc<dyn ExecutionPlan>,
    runs: AtomicU64,
}

/// Which rows of a model its table or collection keeps.
#[derive(Debug)]
pub(super) struct Kept {
    /// Columns of the `unique_key`, whose newest rows are kept; empty where all rows are.
    pub(super) key: Vec<usize>,
    /// Columns that are declared `not_null`.
    pub(super) not_null: Vec<usize>,
    /// Columns of text that hold so many characters at most.
    limits: Vec<(usize, u32)>,
    /// How many columns the table has. Behind them stands the order of records where there is a key,
    /// then the mark of deleted rows where keys may go away.
    pub(super) columns: usize,
}

impl Kept {
    pub(super) fn of(columns: &[Column], key: Vec<usize>) -> Self {
        let not_null = columns.iter().enumerate();
        let not_null = not_null.filter(|(_, column)| column.not_null);
        let limits = columns.iter().enumerate();
        let limits = limits.filter_map(|(index, column)| match column.data_type {
            DeclaredType::Varchar(most) | DeclaredType::Char(most) => Some((index, most)),
            _ => None,
        });
        Self {
            key,
            not_null: not_null.map(|(index, _)| index).collect(),
            limits: limits.collect(),
            columns: columns.len(),
        }
    }
}

impl CompiledModel {
    pub(super) async fn new(
        state: &SessionState,
        work: Work,
        target: usize,
        kept: Kept,
        schema: SchemaRef,
        plan: &LogicalPlan,
    ) -> Result<Self> {
        let mut plan = planner::physical(state, plan).await?;
        if plan.properties().partitioning.partition_count() > 1 {
            plan = Arc::new(CoalescePartitionsExec::new(plan));
        }
        Ok(Self {
            work,
            target,
            kept,
            schema,
            plan,
            runs: AtomicU64::new(0),
        })
    }

    /// The model's rows over the epoch in `context`.
    pub(super) async fn run(
        &self,
        context: Arc<TaskContext>,
    ) -> std::result::Result<RecordBatch, ModelError> {
        let failed = |error: DataFusionError| ModelError::running(&self.work, error);
        let plan = self.fresh().map_err(failed)?;
        let batches = collect(plan, context).await.map_err(failed)?;
        self.finish(&batches)
    }

    /// Joins the parts of an epoch.
    fn finish(&self, batches: &[RecordBatch]) -> std::result::Result<RecordBatch, ModelError> {
        let failed = |error: datafusion::arrow::error::ArrowError| {
            ModelError::running(&self.work, error.into())
        };
        for batch in batches {
            self.check_nulls(batch)?;
            self.check_lengths(batch)?;
        }
        let batches = batches
            .iter()
            .map(|batch| with_schema(batch, &self.schema))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(failed)?;
        let rows = match &batches[..] {
            [only] => only.clone(),
            several => concat_batches(&self.schema, several).map_err(failed)?,
        };
        if self.kept.key.is_empty() {
            return Ok(rows);
        }
        self.check_length_of_keys(&rows)?;
        newest_by_key(&rows, &self.kept.key, self.kept.columns).map_err(failed)
    }

    /// What the table would refuse: a null in its key, or where `not_null` is declared.
    fn check_nulls(&self, rows: &RecordBatch) -> std::result::Result<(), ModelError> {
        check_keys(rows, &self.kept.key, &self.work)?;
        let is_empty = |index: &&usize| rows.column(**index).logical_null_count() > 0;
        let Some(empty) = self.kept.not_null.iter().find(is_empty) else {
            return Ok(());
        };
        let empty = match rows.columns().get(self.kept.columns + 1) {
            // A deleted row has its key and nothing else.
            Some(deleted) => {
                let live = not(deleted.as_boolean())
                    .and_then(|live| filter_record_batch(rows, &live))
                    .map_err(|error| ModelError::running(&self.work, error.into()))?;
                let is_empty = |index: &&usize| live.column(**index).logical_null_count() > 0;
                self.kept.not_null.iter().find(is_empty)
            }
            None => Some(empty),
        };
        match empty {
            Some(index) => Err(ModelError::NullNotAllowed {
                model: self.work.clone(),
                column: self.schema.field(*index).name().clone(),
            }),
            None => Ok(()),
        }
    }

    /// What the table would refuse: a text that is longer than its column. Spaces at the end do not
    /// count, as Postgres cuts them off.
    fn check_lengths(&self, rows: &RecordBatch) -> std::result::Result<(), ModelError> {
        for &(index, most) in &self.kept.limits {
            let Some(texts) = rows.column(index).as_string_opt::<i32>() else {
                continue;
            };
            // a text has no more characters than bytes
            let is_long = |text: &&str| text.len() > most as usize;
            let too_long = texts.iter().flatten().filter(is_long).find_map(|text| {
                let characters = text.trim_end_matches(' ').chars().count();
                (characters > most as usize).then_some(characters)
            });
            if let Some(characters) = too_long {
                return Err(ModelError::LongText {
                    model: self.work.clone(),
                    column: self.schema.field(index).name().clone(),
                    characters,
                    most,
                });
            }
        }
        Ok(())
    }

    /// What the index of the table's key would refuse.
    fn check_length_of_keys(&self, rows: &RecordBatch) -> std::result::Result<(), ModelError> {
        let texts = self
            .kept
            .key
            .iter()
            .filter_map(|index| rows.column(*index).as_string_opt::<i32>());
        let mut lengths = vec![0; rows.num_rows()];
        for text in texts {
            for (length, offsets) in lengths.iter_mut().zip(text.value_offsets().windows(2)) {
                *length += (offsets[1] - offsets[0]) as usize;
            }
        }
        match lengths.into_iter().find(|length| *length > LONGEST_KEY) {
            Some(bytes) => Err(ModelError::LongKey {
                model: self.work.clone(),
                bytes,
            }),
            None => Ok(()),
        }
    }

    /// The plan, ready to run once more.
    ///
    /// Operators start anew, except hash joins whose build side does not change: their table is
    /// built once and probed in every epoch.
    fn fresh(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let keep_tables = !run.is_multiple_of(EPOCHS_BETWEEN_RESETS);
        Arc::clone(&self.plan)
            .transform_up(|node| {
                if keep_tables && builds_on_unchanging(&node) {
                    let children = node.children().into_iter().cloned().collect();
                    let kept = node.replace_children(
                        children,
                        ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep),
                    )?;
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

//! The leaf of a stream's physical plans: rows that are swapped with every epoch.
//!
//! A plan is made once. Each run hands the epoch's rows over in the task's context, so that the
//! plan itself never changes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_datafusion_err, project_schema};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use factmill_core::position::SourceName;
use factmill_core::source_schema::SourceSchema;
use factmill_core::table::ORDER_COLUMN;

use crate::scan::{Scan, Scanned};

/// The rows of one epoch by source, in the schema of [`EpochTable`].
#[derive(Debug, Default)]
pub(crate) struct EpochRows(pub(crate) HashMap<SourceName, Vec<RecordBatch>>);

/// A source as the stream reads it: what was decoded, then [`ORDER_COLUMN`].
#[derive(Debug)]
pub(crate) struct EpochTable {
    source: SourceName,
    schema: SchemaRef,
}

impl EpochTable {
    /// The table of a source.
    pub(crate) fn table(source: SourceName, contract: &SourceSchema) -> Arc<dyn TableProvider> {
        let decoded = contract.arrow_schema();
        let fields: Vec<_> = decoded
            .fields()
            .iter()
            .cloned()
            .chain([Arc::new(Field::new(ORDER_COLUMN, DataType::Binary, false))])
            .collect();
        Arc::new(Scanned(Self {
            source,
            schema: Arc::new(Schema::new(fields)),
        }))
    }
}

impl Scan for EpochTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn plan(
        &self,
        projection: Option<&Vec<usize>>,
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = project_schema(&self.schema, projection)?;
        Ok(Arc::new(EpochScan {
            source: self.source.clone(),
            projection: projection.cloned(),
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(schema),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )),
        }))
    }
}

/// Reads one source's rows of the epoch that the task's context carries.
#[derive(Debug)]
pub(crate) struct EpochScan {
    source: SourceName,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for EpochScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochScan: source={}", self.source)
    }
}

impl ExecutionPlan for EpochScan {
    fn name(&self) -> &'static str {
        "EpochScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let epoch = context
            .session_config()
            .get_extension::<EpochRows>()
            .ok_or_else(|| internal_datafusion_err!("a stream's plan was run outside an epoch"))?;
        let rows = epoch.0.get(&self.source).cloned().unwrap_or_default();
        Ok(Box::pin(MemoryStream::try_new(
            rows,
            Arc::clone(self.properties.eq_properties.schema()),
            self.projection.clone(),
        )?))
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        // Larger than any relation that stays the same: hash joins then build on that one, and
        // keep what they built from epoch to epoch.
        const MANY: usize = 1 << 40;
        let mut statistics = Statistics::new_unknown(self.properties.eq_properties.schema());
        statistics.num_rows = Precision::Inexact(MANY);
        statistics.total_byte_size = Precision::Inexact(MANY);
        Ok(Arc::new(statistics))
    }
}

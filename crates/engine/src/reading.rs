//! Tables outside the engine as inputs of its plans.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::project_schema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use factmill_core::error::ErrorKind;
use factmill_core::source::BoxedError;
use factmill_core::table_reader::TableReader;
use futures::{StreamExt, TryStreamExt};

use crate::scan::{Scan, Scanned};

/// A failure of a [`TableReader`] on its way through DataFusion.
#[derive(Debug)]
struct InputFailure(BoxedError);

impl fmt::Display for InputFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for InputFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_ref())
    }
}

/// A reader's failure as DataFusion carries it.
pub(crate) fn external(error: BoxedError) -> DataFusionError {
    DataFusionError::External(Box::new(InputFailure(error)))
}

/// What a failed input means for the run; `None` when no input failed.
pub(crate) fn input_failure(error: &DataFusionError) -> Option<ErrorKind> {
    let mut at: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(failure) = at.downcast_ref::<InputFailure>() {
            return Some(failure.0.kind());
        }
        at = at.source()?;
    }
}

/// A table that is scanned through its reader, only the columns that the plan needs.
#[derive(Debug)]
struct ReaderTable(Arc<dyn TableReader>);

/// The table of a reader.
pub(crate) fn table(reader: Arc<dyn TableReader>) -> Arc<dyn TableProvider> {
    Arc::new(Scanned(ReaderTable(reader)))
}

impl Scan for ReaderTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn plan(
        &self,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = project_schema(&self.0.schema(), projection)?;
        let partition = ReaderPartition {
            reader: Arc::clone(&self.0),
            projection: projection.cloned(),
            schema: Arc::clone(&schema),
        };
        let partitions: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(partition)];
        let scan = StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?;
        Ok(Arc::new(scan))
    }
}

#[derive(Debug)]
struct ReaderPartition {
    reader: Arc<dyn TableReader>,
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
}

impl PartitionStream for ReaderPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reader = Arc::clone(&self.reader);
        // To count rows a plan asks for no column; one is read, and only the count is kept.
        let only_count = self.projection.as_ref().is_some_and(Vec::is_empty);
        let projection = if only_count {
            Some(vec![0])
        } else {
            self.projection.clone()
        };
        let rows = futures::stream::once(async move {
            let rows = reader.scan(projection.as_deref()).await.map_err(external)?;
            Ok::<_, DataFusionError>(rows.map(move |batch| {
                let batch = batch.map_err(external)?;
                Ok(if only_count {
                    batch.project(&[])?
                } else {
                    batch
                })
            }))
        })
        .try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            rows,
        ))
    }
}

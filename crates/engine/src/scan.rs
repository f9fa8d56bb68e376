//! Tables that DataFusion scans, seen from here: nothing is awaited before the rows are.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// A table whose scan is planned at once, whoever asks.
pub(crate) trait Scan: fmt::Debug + Send + Sync + 'static {
    /// All of its columns.
    fn schema(&self) -> SchemaRef;

    /// The plan that reads the projected columns; it may end after `limit` rows.
    fn plan(
        &self,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>>;
}

/// Such a table as DataFusion knows it.
#[derive(Debug)]
pub(crate) struct Scanned<T>(pub(crate) T);

impl<T: Scan> TableProvider for Scanned<T> {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    // What `async_trait` makes of an `async fn`, without a future of its own: whether one that holds
    // expressions may change threads takes the compiler seconds to find out, for each such method.
    fn scan<'this, 'state, 'projection, 'filters, 'future>(
        &'this self,
        _: &'state dyn Session,
        projection: Option<&'projection Vec<usize>>,
        _: &'filters [Expr],
        limit: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'future>>
    where
        'this: 'future,
        'state: 'future,
        'projection: 'future,
        'filters: 'future,
        Self: 'future,
    {
        Box::pin(std::future::ready(self.0.plan(projection, limit)))
    }
}

//! Reading tables as columns: what the engine asks of the warehouse without knowing it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::source::BoxedError;
use crate::table::TableName;

/// Batches of a scan, in no particular order; an error ends them.
pub type RowStream = BoxStream<'static, Result<RecordBatch, BoxedError>>;

/// One table that can be scanned as a whole.
#[async_trait]
pub trait TableReader: fmt::Debug + Send + Sync {
    /// Its columns as Arrow types, see [`crate::types::DeclaredType::arrow`].
    fn schema(&self) -> SchemaRef;

    /// Reads all rows; `projection` names columns by their index in [`TableReader::schema`], `None`
    /// means all of them. The batches have exactly the projected columns in that order.
    ///
    /// Dropping the stream ends the scan on the server too.
    async fn scan(&self, projection: Option<&[usize]>) -> Result<RowStream, BoxedError>;
}

/// The tables of a database, by name.
#[async_trait]
pub trait Relations: fmt::Debug + Send + Sync {
    /// The table or view of that name; `None` where there is none.
    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn TableReader>>, BoxedError>;

    /// All tables and views that can be read, in order of name.
    async fn list(&self) -> Result<Vec<TableName>, BoxedError>;
}

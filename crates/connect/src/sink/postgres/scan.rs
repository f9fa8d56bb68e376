//! Reading tables and queries as columns, through `COPY … TO STDOUT (FORMAT binary)`.

use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_recursion::async_recursion as boxed;
use async_trait::async_trait;
use factmill_core::source::BoxedError;
use factmill_core::table::TableName;
use factmill_core::table_reader::{Relations, RowStream, TableReader};
use futures::StreamExt;
use tokio_postgres::CopyOutStream;

use super::connection::{Patience, Session};
use super::decode::{ColumnKind, ResultColumn, RowDecoder, schema};
use super::error::WarehouseError;
use super::identifier::{list, qualified};
use super::{CONTROL_SESSION, Warehouse};

/// A table or a query of the warehouse whose columns are known and that can be read, as often as
/// wanted; each scan sees the rows that are committed when it begins.
///
/// Every column may be null. A type without a form in Arrow is read as text.
#[derive(Debug, Clone)]
pub struct QueryReader {
    warehouse: Warehouse,
    /// What is read, for messages.
    what: String,
    /// A query without a semicolon at its end.
    query: String,
    columns: Vec<ResultColumn>,
    schema: SchemaRef,
}

impl Warehouse {
    /// Looks at the columns of a query, one statement that returns rows.
    ///
    /// # Errors
    /// [`WarehouseError::Query`] with what the server says about the query.
    #[boxed]
    pub async fn reader(&self, query: &str) -> Result<QueryReader, WarehouseError> {
        let query = query.trim().trim_end_matches(';').trim_end();
        self.describe(query.to_owned(), "a query".to_owned()).await
    }

    /// Looks at the columns of a table or view; those that factmill keeps for itself, whose names
    /// begin with `_factmill_`, are left out.
    ///
    /// # Errors
    /// [`WarehouseError::Query`]; `None` when there is no such table.
    #[boxed]
    pub async fn table_reader(
        &self,
        table: &TableName,
    ) -> Result<Option<QueryReader>, WarehouseError> {
        let columns = self.table_columns(table).await?;
        let Some(columns) = columns else {
            return Ok(None);
        };
        let user = columns
            .iter()
            .map(String::as_str)
            .filter(|name| !name.starts_with("_factmill_"));
        let query = format!("select {} from {}", list(user), qualified(table));
        self.describe(query, table.to_string()).await.map(Some)
    }

    async fn describe(&self, query: String, what: String) -> Result<QueryReader, WarehouseError> {
        let session = self.control().await?;
        let statement = session.client.prepare(&query).await.map_err(|source| {
            WarehouseError::query(format!("looking at the columns of {what}"), source)
        })?;
        let columns: Vec<_> = statement
            .columns()
            .iter()
            .map(|column| ResultColumn {
                name: column.name().to_owned(),
                kind: ColumnKind::of(column.type_(), column.type_modifier()),
            })
            .collect();
        Ok(QueryReader {
            warehouse: self.clone(),
            what,
            query,
            schema: schema(&columns),
            columns,
        })
    }
}

impl QueryReader {
    /// The columns; every one may be null.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Reads the rows over a connection of its own, in the order of the query. `projection` names
    /// columns by their index, `None` means all. Dropping the stream ends the scan on the server.
    ///
    /// # Errors
    /// [`WarehouseError::Connect`], [`WarehouseError::Query`]; the stream itself ends with
    /// [`WarehouseError::Query`] or [`WarehouseError::Decode`].
    #[boxed]
    pub async fn scan(
        &self,
        projection: Option<&[usize]>,
    ) -> Result<
        Pin<Box<dyn futures::Stream<Item = Result<RecordBatch, WarehouseError>> + Send>>,
        WarehouseError,
    > {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let projection = projection.unwrap_or(&all);
        let (columns, sql) = self.copy_sql(projection)?;
        let session = self
            .warehouse
            .open(Patience::UNLIMITED, CONTROL_SESSION)
            .await?;
        let rows =
            session.client.copy_out(&sql).await.map_err(|source| {
                WarehouseError::query(format!("reading {}", self.what), source)
            })?;
        let scan = Scan {
            session,
            rows: Box::pin(rows),
            decoder: RowDecoder::new(columns),
            what: self.what.clone(),
            ended: false,
        };
        let batches = futures::stream::try_unfold(scan, async |mut scan| {
            Ok(scan.next().await?.map(|batch| (batch, scan)))
        });
        Ok(batches.boxed())
    }

    /// The COPY of these columns. They get names of their own, because a query may give one name to
    /// several.
    fn copy_sql(
        &self,
        projection: &[usize],
    ) -> Result<(Vec<ResultColumn>, String), WarehouseError> {
        let mut columns = Vec::with_capacity(projection.len());
        let mut selected = Vec::with_capacity(projection.len());
        for &index in projection {
            let column = self.columns.get(index).ok_or_else(|| {
                WarehouseError::Broken(format!(
                    "{} has {} columns, {index} was asked for",
                    self.what,
                    self.columns.len()
                ))
            })?;
            selected.push(match column.kind {
                ColumnKind::CastToText => format!("c{index}::text"),
                _ => format!("c{index}"),
            });
            columns.push(column.clone());
        }
        let names: Vec<_> = (0..self.columns.len())
            .map(|index| format!("c{index}"))
            .collect();
        let sql = format!(
            "copy (select {} from (\n{}\n) as q({})) to stdout (format binary)",
            selected.join(", "),
            self.query,
            names.join(", ")
        );
        Ok((columns, sql))
    }
}

/// A scan under way.
struct Scan {
    session: Session,
    rows: Pin<Box<CopyOutStream>>,
    decoder: RowDecoder,
    what: String,
    ended: bool,
}

impl Scan {
    async fn next(&mut self) -> Result<Option<RecordBatch>, WarehouseError> {
        while !self.ended && !self.decoder.is_full() {
            match self.rows.next().await {
                Some(Ok(piece)) => self.decoder.push(&piece)?,
                Some(Err(source)) => {
                    self.ended = true;
                    return Err(WarehouseError::query(
                        format!("reading {}", self.what),
                        source,
                    ));
                }
                None => {
                    self.ended = true;
                    self.decoder.finish()?;
                }
            }
        }
        Ok(self.decoder.take()?)
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        if !self.ended {
            // Else the rest of the rows would be read and thrown away before the connection ends.
            self.session.abort();
        }
    }
}

fn boxed(error: WarehouseError) -> BoxedError {
    Box::new(error)
}

#[async_trait]
impl TableReader for QueryReader {
    fn schema(&self) -> SchemaRef {
        self.schema()
    }

    async fn scan(&self, projection: Option<&[usize]>) -> Result<RowStream, BoxedError> {
        let batches = self.scan(projection).await.map_err(boxed)?;
        Ok(batches.map(|batch| batch.map_err(boxed)).boxed())
    }
}

#[async_trait]
impl Relations for Warehouse {
    async fn table(&self, name: &TableName) -> Result<Option<Arc<dyn TableReader>>, BoxedError> {
        let reader = self.table_reader(name).await.map_err(boxed)?;
        Ok(reader.map(|reader| Arc::new(reader) as Arc<dyn TableReader>))
    }

    async fn list(&self) -> Result<Vec<TableName>, BoxedError> {
        let tables = self.list_tables().await.map_err(boxed)?;
        Ok(tables.into_iter().map(|table| table.name).collect())
    }
}

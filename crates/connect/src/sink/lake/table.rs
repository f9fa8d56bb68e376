//! Tables of the lake: what the catalog says of them, and how they come to be and grow.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use tokio_postgres::Client;

use super::column::LakeColumn;
use super::error::LakeError;
use super::plan::Plan;

/// A table that a job wants in the lake.
#[derive(Debug, Clone)]
pub struct LakeTable {
    /// Its schema: the group of the source.
    pub schema: String,
    /// Its name: the table of the source.
    pub name: String,
    /// Its columns, those of the decoded batches.
    pub columns: SchemaRef,
}

impl LakeTable {
    /// `schema.name`, for messages.
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// A table of the lake as it stood when it was last ensured.
#[derive(Debug, Clone)]
pub struct LakeTableRef(Arc<Described>);

#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) id: i64,
    pub(super) schema_version: i64,
    pub(super) columns: Vec<LakeColumn>,
    pub(super) folder: String,
    pub(super) inlined: Option<String>,
}

impl LakeTableRef {
    /// `schema.name`, for messages.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// `table_id` of the catalog.
    pub fn id(&self) -> i64 {
        self.0.id
    }

    /// The schema version at which the table got its columns.
    pub fn schema_version(&self) -> i64 {
        self.0.schema_version
    }

    pub(super) fn columns(&self) -> &[LakeColumn] {
        &self.0.columns
    }

    /// The table's folder below the lake's location, with a slash at its end.
    pub(super) fn folder(&self) -> &str {
        &self.0.folder
    }

    /// The catalog's table of inlined rows; `None` where the columns cannot be inlined.
    pub(super) fn inlined(&self) -> Option<&str> {
        self.0.inlined.as_deref()
    }
}

/// Creates the table or adds columns to it where that is needed, as a snapshot of its own.
pub(super) async fn ensure(
    client: &mut Client,
    table: &LakeTable,
) -> Result<LakeTableRef, LakeError> {
    loop {
        let plan = Plan::new(client, table).await?;
        if let Some(described) = plan.described(table) {
            return Ok(LakeTableRef(Arc::new(described)));
        }
        // made by us now, or by another process meanwhile: the next look tells
        plan.apply(client, table).await?;
    }
}

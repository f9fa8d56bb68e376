//! Warehouse tables as the plan declares them.

use std::fmt;

use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::types::DeclaredType;

/// The column that keeps the order of records beside each row of a table with a `unique_key`:
/// `bytea`, see [`crate::order`]. Not part of the user's columns.
pub const ORDER_COLUMN: &str = "_factmill_order";

/// The column that marks the row of a deleted key in changes of a keyed source: `boolean`. Only its
/// key columns hold values. Never a column of a table.
pub const DELETED_COLUMN: &str = "_factmill_deleted";

/// A table in the warehouse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// Its schema, for a model the name of its job.
    pub schema: String,
    /// Its name within the schema.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, in the words of design's type table.
    pub data_type: DeclaredType,
    /// Whether `not null` is declared.
    pub not_null: bool,
    /// What the column means, for `comment on column`.
    pub description: Option<String>,
}

/// How a materialized model is brought up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Maintenance {
    /// New rows are added.
    Append,
    /// One row per key, the newest by the order of records wins.
    Upsert {
        /// The key columns, at least one, in the declared order.
        unique_key: Vec<String>,
        /// Whether keys may go away: it is made from a keyed source.
        deletes: bool,
    },
    /// Recomputed as a whole on a schedule and swapped in one transaction.
    Rebuild {
        /// The least time between the starts of two rebuilds.
        every: std::time::Duration,
    },
    /// Reads no stream: computed once, before the job's first epoch.
    Static,
}

impl Maintenance {
    /// The word of design section 5.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Upsert { .. } => "upsert",
            Self::Rebuild { .. } => "rebuild",
            Self::Static => "static",
        }
    }
}

/// A table that a job writes, as its plan declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Where it lies.
    pub name: TableName,
    /// The model that fills it.
    pub model: String,
    /// The user's columns, in the model's order, without [`ORDER_COLUMN`].
    pub columns: Vec<Column>,
    /// How it is kept.
    pub maintenance: Maintenance,
    /// What the table is, for `comment on table`.
    pub description: Option<String>,
}

/// What one epoch does to one table.
#[derive(Debug, Clone)]
pub struct TableChange {
    /// Index of the table in the job's tables, which are in model order.
    pub table: usize,
    /// New rows: the table's columns in their order, then, for `upsert`, [`ORDER_COLUMN`] as
    /// `Binary`, not null. For `upsert` one row per key, sorted by key. A table of a keyed source has
    /// [`DELETED_COLUMN`] behind it, which says of each row whether its key goes away.
    pub rows: RecordBatch,
}

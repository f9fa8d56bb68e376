//! A declared source: its contract, and what the YAML says of it.

use std::time::Duration;

use factmill_core::diagnostic::Location;
use factmill_core::position::SourceName;
use factmill_core::source_schema::SourceSchema;
use factmill_core::table::TableName;

use crate::model::DataTest;

/// One table of a dbt `sources:` block.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectSource {
    /// `source('<group>', '<table>')`.
    pub name: SourceName,
    /// Columns, types, and what a record must keep.
    pub schema: SourceSchema,
    /// What the source is.
    pub description: Option<String>,
    /// Column name and what it means, for the described ones, in their order.
    pub column_descriptions: Vec<(String, String)>,
    /// Tags, each once, sorted.
    pub tags: Vec<String>,
    /// The data tests of the table and of its columns.
    pub tests: Vec<DataTest>,
    /// Where it is declared.
    pub location: Location,
    /// The table that it is, where it is kept in Postgres by somebody else; no job reads it then.
    pub reference: Option<Reference>,
}

/// A table of Postgres that models read as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The database by its name in the profile; `None`: the warehouse's own.
    pub database: Option<String>,
    /// The table or view.
    pub table: TableName,
    /// How often a stream looks whether it changed.
    pub refresh: Duration,
    /// The column whose largest value tells a change, together with the number of rows; without it
    /// every look counts as a change.
    pub watermark: Option<String>,
}

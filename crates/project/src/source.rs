//! A declared source: its contract, and what the YAML says of it.

use factmill_core::diagnostic::Location;
use factmill_core::position::SourceName;
use factmill_core::source_schema::SourceSchema;

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
}

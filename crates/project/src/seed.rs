//! A seed: a CSV file that becomes a table.

use std::path::PathBuf;

use factmill_core::table::TableName;
use factmill_core::types::DeclaredType;

use crate::model::{ColumnProperty, DataTest};

/// A CSV file under a seed path. Its rows are read by the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Seed {
    /// The file's stem.
    pub name: String,
    /// Where it lands.
    pub relation: TableName,
    /// The CSV file, relative to the project.
    pub file: PathBuf,
    /// The separator of its fields, `,` unless `config.delimiter` says otherwise.
    pub delimiter: u8,
    /// The columns of the header, in the file's order.
    pub columns: Vec<SeedColumn>,
    /// What the YAML says of the columns.
    pub properties: Vec<ColumnProperty>,
    /// What the seed is.
    pub description: Option<String>,
    /// Tags, each once, sorted.
    pub tags: Vec<String>,
    /// The data tests of the seed and of its columns.
    pub tests: Vec<DataTest>,
}

/// One column of a seed.
#[derive(Debug, Clone, PartialEq)]
pub struct SeedColumn {
    /// Its name in the header.
    pub name: String,
    /// Its type from `config.column_types`; `None`: inferred from the values.
    pub data_type: Option<DeclaredType>,
}

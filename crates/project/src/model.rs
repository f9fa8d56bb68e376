//! A SQL model: what it reads, where it lands, what its YAML says of it.

use std::path::PathBuf;
use std::time::Duration;

use factmill_core::diagnostic::Location;
use factmill_core::document::CollectionName;
use factmill_core::position::SourceName;
use factmill_core::table::TableName;
use factmill_core::types::DeclaredType;

use crate::rendered::Rendered;

/// A model, rendered for a batch or for a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The file's stem; it stands once in the project.
    pub name: String,
    /// Where it lands: schema, and `alias` or else the name.
    pub relation: TableName,
    /// The `.sql` file, relative to the project.
    pub file: PathBuf,
    /// The SQL after Jinja.
    pub sql: Rendered,
    /// How it is kept.
    pub materialized: Materialized,
    /// The columns of `unique_key`, in their order; empty where none is declared.
    pub unique_key: Vec<String>,
    /// What `ref()` and `source()` named, each once, in the order of first use.
    pub depends_on: Vec<Dependency>,
    /// Columns that the YAML describes, in its order; a model may have more than these.
    pub columns: Vec<ColumnProperty>,
    /// What the model is.
    pub description: Option<String>,
    /// Tags, each once, sorted.
    pub tags: Vec<String>,
    /// The data tests of the model and of its columns.
    pub tests: Vec<DataTest>,
    /// What stands under `config.meta.factmill`.
    pub factmill: ModelMeta,
}

impl Model {
    /// The models that it reads, by name, as they stand in [`Model::depends_on`].
    pub fn models_read(&self) -> impl Iterator<Item = &str> {
        self.depends_on.iter().filter_map(|read| match read {
            Dependency::Model(name) => Some(name.as_str()),
            Dependency::Seed(_) | Dependency::Source(_) => None,
        })
    }
}

/// dbt's `materialized`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Materialized {
    /// Computed by whoever reads it.
    View,
    /// Computed as a whole.
    Table,
    /// Brought up to date.
    Incremental,
    /// Inlined into the models that read it, never a relation in the warehouse.
    Ephemeral,
}

impl Materialized {
    /// All of them, as they are written.
    pub const NAMES: [&'static str; 4] = ["view", "table", "incremental", "ephemeral"];

    /// dbt's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Table => "table",
            Self::Incremental => "incremental",
            Self::Ephemeral => "ephemeral",
        }
    }

    /// Reads dbt's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::View, Self::Table, Self::Incremental, Self::Ephemeral]
            .into_iter()
            .find(|materialized| materialized.as_str() == word)
    }

    /// Whether users of the model compute it for themselves: a view or ephemeral.
    pub fn is_inlined(self) -> bool {
        matches!(self, Self::View | Self::Ephemeral)
    }
}

/// What a model reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependency {
    /// `ref('name')` of a model.
    Model(String),
    /// `ref('name')` of a seed.
    Seed(String),
    /// `source('group', 'table')`.
    Source(SourceName),
}

/// What the YAML says of one column of a model or a seed.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnProperty {
    /// The column.
    pub name: String,
    /// What it means.
    pub description: Option<String>,
    /// The type that it must have, where one is declared.
    pub data_type: Option<DeclaredType>,
    /// Whether a constraint `not_null` is declared.
    pub not_null: bool,
    /// Where the YAML names it.
    pub location: Location,
}

/// A dbt data test of a model, seed or source.
#[derive(Debug, Clone, PartialEq)]
pub struct DataTest {
    /// The test: `unique`, `not_null`, `accepted_values`, `relationships`, or a macro `test_<kind>`.
    pub kind: String,
    /// The column, for a test that stands at one.
    pub column: Option<String>,
    /// Its arguments, as the YAML has them.
    pub arguments: serde_json::Map<String, serde_json::Value>,
    /// Whether a failure warns only.
    pub warn_only: bool,
    /// Where the YAML declares it.
    pub location: Location,
}

/// `config.meta.factmill` of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelMeta {
    /// The maintenance that the model expects; another one is a compile error.
    pub maintenance: Option<ExpectedMaintenance>,
    /// The least time between the starts of two rebuilds.
    pub rebuild_every: Option<Duration>,
    /// Where `maintenance` stands, to point at on a mismatch.
    pub location: Option<Location>,
    /// The collection that its rows go to too.
    pub mongo: Option<ModelCollection>,
}

/// A collection that a model's rows go to, and where the YAML names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCollection {
    /// The collection.
    pub name: CollectionName,
    /// Where the YAML names it.
    pub location: Location,
}

/// A maintenance by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedMaintenance {
    /// New rows are added.
    Append,
    /// Newest row of each key.
    Upsert,
    /// Merged aggregate states.
    Aggregate,
    /// Touched keys computed anew.
    Recompute,
    /// Computed as a whole on a schedule.
    Rebuild,
}

impl ExpectedMaintenance {
    /// The word of the YAML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Upsert => "upsert",
            Self::Aggregate => "aggregate",
            Self::Recompute => "recompute",
            Self::Rebuild => "rebuild",
        }
    }
}

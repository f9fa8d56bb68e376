//! Failures of a model on data.

use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use factmill_core::dead_letter::Reason;
use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;

/// Bytes of text in a key. An entry of a B-tree index is at most 2,704 bytes, a third of a page, its
/// headers and what aligns them included (`BTMaxItemSize`); that a text may be compressed there is
/// not counted on.
pub(crate) const LONGEST_KEY: usize = 2_600;

/// What was being computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A model, by name.
    Model(String),
    /// An ad-hoc query.
    Query,
}

impl Work {
    pub(crate) fn model(name: &str) -> Self {
        Self::Model(name.to_owned())
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Model(name) => write!(f, "model `{name}`"),
            Self::Query => f.write_str("the query"),
        }
    }
}

/// A model or query that compiled could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A value that the model's SQL cannot compute: a cast, a division by zero, an overflow.
    #[error("{model} failed on a value: {source}")]
    Value {
        /// What was computed.
        model: Work,
        /// What DataFusion or Arrow said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row without a value in a column of the `unique_key`.
    #[error(
        "{model} has a row whose key column `{column}` is null; \
         filter such rows in the model or declare the source's column not_null"
    )]
    NullKey {
        /// What was computed.
        model: Work,
        /// The column of its `unique_key`.
        column: String,
    },
    /// A row without a value in a column that is declared `not_null`.
    #[error("{model} has a row whose column `{column}` is null, which is declared not_null")]
    NullNotAllowed {
        /// What was computed.
        model: Work,
        /// The column.
        column: String,
    },
    /// A text that is longer than its column.
    #[error(
        "{model} has a text of {characters} characters in column `{column}`, which takes at most {most}"
    )]
    LongText {
        /// What was computed.
        model: Work,
        /// The column.
        column: String,
        /// Of the text, without spaces at its end.
        characters: usize,
        /// What `varchar(n)` or `char(n)` says.
        most: u32,
    },
    /// A key that no index of Postgres takes.
    #[error("{model} has a key of {bytes} bytes, an index of Postgres takes at most {LONGEST_KEY}")]
    LongKey {
        /// What was computed.
        model: Work,
        /// Bytes of its texts.
        bytes: usize,
    },
    /// Not enough memory or disk; no record is to blame.
    #[error(
        "{model} ran out of memory or disk: {source}; give it more memory or fewer rows an epoch"
    )]
    Resources {
        /// What was computed.
        model: Work,
        /// What ran out.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An input could not be read.
    #[error("an input of {model} could not be read: {source}")]
    Input {
        /// What was computed.
        model: Work,
        /// What the lake or the warehouse said.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What it means for the run.
        kind: ErrorKind,
    },
    /// A broken invariant of the engine.
    #[error("{model} met a fault of the engine: {source}")]
    Engine {
        /// What was computed.
        model: Work,
        /// What was broken.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A file of the lake that is gone, or not ours to read, does not come back by waiting.
fn of_store(error: &object_store::Error) -> ErrorKind {
    use object_store::Error;
    match error {
        Error::NotFound { .. } => ErrorKind::Internal,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::Configuration,
        _ => ErrorKind::Transient,
    }
}

/// A file that is broken stays so; what the store said while it was read is the store's.
fn of_parquet(error: &ParquetError) -> ErrorKind {
    match error {
        ParquetError::External(source) => {
            source.downcast_ref().map_or(ErrorKind::Transient, of_store)
        }
        _ => ErrorKind::Internal,
    }
}

impl ModelError {
    /// Sorts what DataFusion reports while it runs `model`.
    pub(crate) fn running(model: &Work, error: DataFusionError) -> Self {
        let model = model.clone();
        if let Some(input) = crate::reading::input_failure(&error) {
            return Self::Input {
                model,
                kind: input,
                source: error.into(),
            };
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) | DataFusionError::IoError(_) => {
                Self::Resources {
                    model,
                    source: error.into(),
                }
            }
            DataFusionError::ObjectStore(store) => Self::Input {
                model,
                kind: of_store(store),
                source: error.into(),
            },
            DataFusionError::ParquetError(parquet) => Self::Input {
                model,
                kind: of_parquet(parquet),
                source: error.into(),
            },
            DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => Self::Engine {
                model,
                source: error.into(),
            },
            _ => Self::Value {
                model,
                source: error.into(),
            },
        }
    }

    /// Why a record is set aside that alone makes it fail, and the column at fault; `None` where no
    /// record is to blame.
    pub fn blames_a_record(&self) -> Option<(Reason, Option<&str>)> {
        match self {
            Self::Value { .. } => Some((Reason::ModelFailed, None)),
            Self::NullKey { column, .. }
            | Self::NullNotAllowed { column, .. }
            | Self::LongText { column, .. } => Some((Reason::ConstraintFailed, Some(column))),
            Self::LongKey { .. } => Some((Reason::ConstraintFailed, None)),
            Self::Resources { .. } | Self::Input { .. } | Self::Engine { .. } => None,
        }
    }

    /// What failed.
    pub fn work(&self) -> &Work {
        match self {
            Self::Value { model, .. }
            | Self::NullKey { model, .. }
            | Self::NullNotAllowed { model, .. }
            | Self::LongText { model, .. }
            | Self::LongKey { model, .. }
            | Self::Resources { model, .. }
            | Self::Input { model, .. }
            | Self::Engine { model, .. } => model,
        }
    }
}

impl Classified for ModelError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Value { .. }
            | Self::NullKey { .. }
            | Self::NullNotAllowed { .. }
            | Self::LongText { .. }
            | Self::LongKey { .. } => ErrorKind::Model,
            Self::Resources { .. } | Self::Engine { .. } => ErrorKind::Internal,
            Self::Input { kind, .. } => *kind,
        }
    }
}

//! Failures of a model on data.

use datafusion::error::DataFusionError;
use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;

/// A model that compiled could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A value that the model's SQL cannot compute: a cast, a division by zero, an overflow.
    #[error("model `{model}` failed on a value: {source}")]
    Value {
        /// The model.
        model: String,
        /// What DataFusion or Arrow said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row without a value in a column of the `unique_key`.
    #[error(
        "model `{model}` has a row whose key column `{column}` is null; \
         filter such rows in the model or declare the source's column not_null"
    )]
    NullKey {
        /// The model.
        model: String,
        /// The column of its `unique_key`.
        column: String,
    },
    /// Not enough memory or disk; no record is to blame.
    #[error("model `{model}` ran out of memory or disk: {source}; give it more memory or fewer rows an epoch")]
    Resources {
        /// The model.
        model: String,
        /// What ran out.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An input could not be read.
    #[error("an input of model `{model}` could not be read: {source}")]
    Input {
        /// The model.
        model: String,
        /// What the lake or the warehouse said.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What it means for the run.
        kind: ErrorKind,
    },
    /// A broken invariant of the engine.
    #[error("model `{model}` met a fault of the engine: {source}")]
    Engine {
        /// The model.
        model: String,
        /// What was broken.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ModelError {
    /// Sorts what DataFusion reports while it runs `model`.
    pub(crate) fn running(model: &str, error: DataFusionError) -> Self {
        let model = model.to_owned();
        if let Some(input) = crate::reading::input_failure(&error) {
            return Self::Input {
                model,
                kind: input,
                source: error.into(),
            };
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) | DataFusionError::IoError(_) => Self::Resources {
                model,
                source: error.into(),
            },
            DataFusionError::ObjectStore(_) | DataFusionError::ParquetError(_) => Self::Input {
                model,
                kind: ErrorKind::Transient,
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

    /// The model that failed.
    pub fn model(&self) -> &str {
        match self {
            Self::Value { model, .. }
            | Self::NullKey { model, .. }
            | Self::Resources { model, .. }
            | Self::Input { model, .. }
            | Self::Engine { model, .. } => model,
        }
    }
}

impl Classified for ModelError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Value { .. } | Self::NullKey { .. } => ErrorKind::Model,
            Self::Resources { .. } | Self::Engine { .. } => ErrorKind::Internal,
            Self::Input { kind, .. } => *kind,
        }
    }
}

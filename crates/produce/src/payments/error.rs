//! Why a file of payments cannot be read, cleaned or sent.

use std::path::PathBuf;

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use polars_core::error::PolarsError;

/// What ends the work on a file of payments. What is wrong with one row ends nothing: see
/// [`Refusal`](super::Refusal).
#[derive(Debug, thiserror::Error)]
pub enum PaymentsError {
    /// The input is missing or cannot be read.
    #[error("cannot read payments from `{}`; name a readable CSV file as the input", .path.display())]
    Input {
        /// The input.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The input has no line that could be a header.
    #[error("`{}` has no header; its first line has to name `Description` and `Amount`", .path.display())]
    NoHeader {
        /// The input.
        path: PathBuf,
    },
    /// The header lacks a column.
    #[error("`{}` has no column `{column}`, but {found}; rename the column that holds it", .path.display())]
    MissingColumn {
        /// The input.
        path: PathBuf,
        /// The column that is missing.
        column: &'static str,
        /// The columns there are.
        found: String,
    },
    /// The input is not any more what it was when the work began.
    #[error("`{}` was changed while it was read; start again once nobody writes to it", .path.display())]
    Changed {
        /// The input.
        path: PathBuf,
    },
    /// The scaler file cannot be read, or holds no scaler.
    #[error("cannot read a scaler from `{}`; make one with --fit", .path.display())]
    Scaler {
        /// The scaler file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ScalerError,
    },
    /// No row has an amount that a scaler could be made of.
    #[error("no row of `{}` has an amount, so there is nothing to fit a scaler to", .path.display())]
    NothingToFit {
        /// The input.
        path: PathBuf,
    },
    /// The file that keeps the place cannot be read or written.
    #[error("cannot keep the place in `{}`; make it writable, or remove it to begin with the first row", .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write `{}`; choose an output that can be written", .path.display())]
    Output {
        /// The output.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Writing the output would destroy the input.
    #[error("`{}` is input and output; choose another output", .path.display())]
    OutputIsInput {
        /// The file.
        path: PathBuf,
    },
    /// A share of broken events that is no percentage.
    #[error("{0} percent of broken events is not between 0 and 100")]
    BadPercent(f64),
    /// The columns of a chunk do not fit together.
    #[error("the columns of a chunk do not fit together; this is a fault of factmill")]
    Columns(#[from] PolarsError),
    /// A thread that reads or cleans ended without its result.
    #[error("a thread that reads or cleans payments ended early; its panic stands in the log")]
    Thread,
}

impl Classified for PaymentsError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Columns(_) | Self::Thread => ErrorKind::Internal,
            _ => ErrorKind::Configuration,
        }
    }
}

/// What is wrong with a scaler file.
#[derive(Debug, thiserror::Error)]
pub enum ScalerError {
    /// It cannot be read.
    #[error("the file cannot be read")]
    File(#[from] std::io::Error),
    /// It is not JSON with the numbers `data_min` and `data_max`.
    #[error("it is not JSON with the numbers `data_min` and `data_max`")]
    Json(#[from] serde_json::Error),
    /// Its least amount lies above its greatest.
    #[error("data_min {data_min} lies above data_max {data_max}")]
    UpsideDown {
        /// The least amount.
        data_min: f64,
        /// The greatest amount.
        data_max: f64,
    },
    /// Its bounds are so far apart that their distance is no number.
    #[error("the distance of data_min {data_min} and data_max {data_max} is beyond any number")]
    TooWide {
        /// The least amount.
        data_min: f64,
        /// The greatest amount.
        data_max: f64,
    },
}

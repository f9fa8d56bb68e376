//! What a source of files is told.

use std::path::PathBuf;
use std::time::Duration;

use crate::decode::csv::Dialect;

/// How records stand in the files of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// CSV; `header` says whether each file begins with its columns' names.
    Csv {
        /// How fields are written; the decoder needs the same.
        dialect: Dialect,
        /// The first record names the columns.
        header: bool,
    },
    /// A JSON object a line.
    JsonLines,
    /// Parquet, not packed.
    Parquet,
}

/// Which files are read, and how.
#[derive(Debug, Clone)]
pub struct FilesRead {
    /// A folder, whose files are all read; or a path whose last part is a name, in which `*` stands
    /// for any characters and `?` for one: `data/in/*.csv.gz`.
    pub path: PathBuf,
    /// How records stand in them. Files whose names end in `.gz` or `.zst` are unpacked.
    pub format: FileFormat,
    /// How often the folder is listed.
    pub interval: Duration,
    /// How long a file that may still be written must stay unchanged; see the module's page.
    pub quiet: Duration,
    /// The largest record, in bytes.
    pub max_record_bytes: usize,
    /// Whether to end with what is there at the start.
    pub bounded: bool,
    /// What a stored position belongs to: `None`: the path, made absolute.
    pub identity: Option<String>,
}

impl FilesRead {
    /// A watched folder: listed every second, files quiet after five, records up to 8 MiB.
    pub fn new(path: impl Into<PathBuf>, format: FileFormat) -> Self {
        Self {
            path: path.into(),
            format,
            interval: Duration::from_secs(1),
            quiet: Duration::from_secs(5),
            max_record_bytes: 8 << 20,
            bounded: false,
            identity: None,
        }
    }
}

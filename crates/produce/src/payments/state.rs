//! The place in a file from which a run goes on.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::PaymentsError;
use super::files;

/// How far a file is sent, as JSON: the file by its content, and the last row up to which every row
/// is acknowledged or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// SHA-256 of the file, in hexadecimal digits.
    pub(super) file: String,
    /// The row, 0 before the first.
    pub(super) row: u64,
    /// Whether that is the file's last row.
    pub(super) finished: bool,
}

/// Keeps the place of one input.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    kept: Option<Place>,
}

impl State {
    /// Reads what an earlier run has kept.
    pub(super) fn open(path: &Path) -> Result<Self, PaymentsError> {
        let read = || match std::fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        Ok(Self {
            kept: read().map_err(|source| failed(path, source))?,
            path: path.to_owned(),
        })
    }

    /// The place in the file with this content hash, if it is the one that was sent last.
    pub(super) fn place(&self, file: &str) -> Option<&Place> {
        self.kept.as_ref().filter(|place| place.file == file)
    }

    /// Keeps the place, if it is another one.
    pub(super) fn keep(&mut self, place: Place) -> Result<(), PaymentsError> {
        if self.kept.as_ref() == Some(&place) {
            return Ok(());
        }
        let text = format!("{}\n", serde_json::json!(place));
        files::replace(&self.path, text.as_bytes()).map_err(|source| failed(&self.path, source))?;
        self.kept = Some(place);
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> PaymentsError {
    PaymentsError::State {
        path: path.to_owned(),
        source,
    }
}

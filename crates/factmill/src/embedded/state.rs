//! `state.json`: what the process that holds the folder tells the others.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Who runs the servers of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The process.
    pub(crate) pid: u32,
    /// What it runs, such as `factmill stream banking`.
    pub(crate) command: String,
    /// Since when.
    pub(crate) since: DateTime<Utc>,
    /// Set once its servers take connections.
    pub(crate) ready: bool,
    /// The address of its broker, where it runs one.
    pub(crate) kafka: Option<String>,
    /// The URL of its MongoDB, where it runs one.
    pub(crate) mongo: Option<String>,
}

impl State {
    /// The state of this process before its servers run.
    pub(crate) fn starting(command: impl Into<String>) -> Self {
        Self {
            pid: std::process::id(),
            command: command.into(),
            since: Utc::now(),
            ready: false,
            kafka: None,
            mongo: None,
        }
    }

    /// Writes the state so that a reader sees the old or the new one, never half of one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.persist(path(folder))?;
        Ok(())
    }

    /// Reads the state; `None` when nobody has written one.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub(crate) fn read(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(path(folder)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the state; none is no error.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn remove(folder: &Path) -> io::Result<()> {
        match fs::remove_file(path(folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(State::read(folder.path()).unwrap(), None);
        let mut state = State::starting("factmill stream banking");
        state.kafka = Some("127.0.0.1:9092".into());
        state.write(folder.path()).unwrap();
        assert_eq!(State::read(folder.path()).unwrap(), Some(state));
        State::remove(folder.path()).unwrap();
        State::remove(folder.path()).unwrap();
        assert_eq!(State::read(folder.path()).unwrap(), None);
    }
}

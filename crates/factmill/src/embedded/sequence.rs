//! Which events of a producer are committed already, and so left out at the next start.
//!
//! What is committed of a partition is a number of records, and says nothing of what they were. So
//! the folder keeps, for each job, the sequence of events that is being sent and what was committed
//! when it began: the records since then are its first ones. A sequence that nobody knew before
//! leaves nothing out; what of it was committed earlier is sent again and counts once, by its ids.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use factmill_core::epoch::Reader;
use serde::{Deserialize, Serialize};

/// By partition, a number of events.
pub(super) type Counts = HashMap<i32, u64>;

/// A sequence that is being sent.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    /// What its events follow from.
    sequence: String,
    /// What was committed before.
    before: Counts,
}

/// The name of events that no start has again, such as those of a live service.
const LIVE: &str = "live";

/// How many events of `sequence` each partition of the job's topic was given and committed, out of
/// all that is `committed`; `None` is a sequence that never comes again.
///
/// # Errors
/// When the folder cannot be read or written.
pub(super) fn left_out(
    folder: &Path,
    reader: &Reader,
    sequence: Option<&str>,
    committed: &Counts,
) -> io::Result<Counts> {
    let path = path(folder, reader);
    let kept = match std::fs::read(&path) {
        // What is torn names no sequence.
        Ok(bytes) => serde_json::from_slice::<Begun>(&bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let wanted = sequence.unwrap_or(LIVE);
    let begun = match kept {
        Some(begun) if begun.sequence == wanted => begun,
        _ => {
            let begun = Begun {
                sequence: wanted.to_owned(),
                before: committed.clone(),
            };
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&path, serde_json::to_vec(&begun)?)?;
            begun
        }
    };
    if sequence.is_none() {
        return Ok(Counts::new());
    }
    let since = committed.iter().map(|(partition, count)| {
        let before = begun.before.get(partition).copied().unwrap_or(0);
        (*partition, count.saturating_sub(before))
    });
    Ok(since.filter(|(_, count)| *count > 0).collect())
}

/// Forgets which sequence a job sends: somebody else sends to its topic too, so that the number of
/// records does not tell any more how far the sequence is.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn forget(folder: &Path, reader: &Reader) -> io::Result<()> {
    match std::fs::remove_file(path(folder, reader)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn path(folder: &Path, reader: &Reader) -> PathBuf {
    let folder = folder.join("sequences").join(&reader.target);
    folder.join(format!("{}.json", reader.job))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn reader() -> Reader {
        Reader {
            target: "embedded".to_owned(),
            job: "payments".to_owned(),
        }
    }

    fn left(folder: &Path, sequence: Option<&str>, committed: [u64; 2]) -> [u64; 2] {
        let committed = (0..).zip(committed).collect();
        let left = left_out(folder, &reader(), sequence, &committed).unwrap();
        [0, 1].map(|partition| left.get(&partition).copied().unwrap_or(0))
    }

    #[test]
    fn only_events_of_the_same_sequence_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(left(folder, Some("sample"), [0, 0]), [0, 0]);
        assert_eq!(left(folder, Some("sample"), [30, 5]), [30, 5]);
        // The user's own file is sent from its first row on, whatever was committed of the sample.
        assert_eq!(left(folder, Some("own"), [40, 50]), [0, 0]);
        assert_eq!(left(folder, Some("own"), [47, 50]), [7, 0]);
        assert_eq!(left(folder, Some("sample"), [47, 50]), [0, 0]);
    }

    #[test]
    fn nothing_of_a_live_service_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(left(folder, Some("seed 1"), [0, 0]), [0, 0]);
        assert_eq!(left(folder, Some("seed 1"), [9, 9]), [9, 9]);
        assert_eq!(left(folder, None, [9, 9]), [0, 0]);
        assert_eq!(left(folder, None, [12, 20]), [0, 0]);
        assert_eq!(left(folder, Some("seed 1"), [12, 20]), [0, 0]);
    }

    #[test]
    fn what_others_sent_makes_a_sequence_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(left(folder, Some("sample"), [0, 0]), [0, 0]);
        forget(folder, &reader()).unwrap();
        forget(folder, &reader()).unwrap();
        assert_eq!(left(folder, Some("sample"), [30, 5]), [0, 0]);
        // A data folder that began anew holds less than before, and nothing of the sequence.
        assert_eq!(left(folder, Some("sample"), [2, 5]), [0, 0]);
    }
}

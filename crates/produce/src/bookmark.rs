//! Where a source of events goes on after a restart: a small file beside the run.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Why a place cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum BookmarkError {
    /// The file cannot be read or written.
    #[error("{} cannot be read or written; make its folder writable or name another file", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} does not hold a place to go on from; remove it to begin anew", .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The file belongs to another sequence of events.
    #[error(
        "{} belongs to {found}, not to {wanted}; remove it to begin anew, or name another file", .file.display()
    )]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What it belongs to.
        found: String,
        /// What is run.
        wanted: String,
    },
}

impl Classified for BookmarkError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Configuration
    }
}

/// Keeps the place behind the last event up to which all are acknowledged.
#[derive(Debug)]
pub(crate) struct Bookmark<P> {
    file: Option<PathBuf>,
    belongs_to: String,
    /// Places behind the events that are not acknowledged, oldest first.
    places: VecDeque<P>,
    acknowledged: u64,
}

#[derive(Serialize, Deserialize)]
struct Page<T, P> {
    belongs_to: T,
    place: P,
}

impl<P: Serialize + DeserializeOwned> Bookmark<P> {
    /// Opens a file, which may be missing, and reads the place in it. Without a file nothing is kept.
    pub(crate) fn open(
        file: Option<PathBuf>,
        belongs_to: String,
    ) -> Result<(Self, Option<P>), BookmarkError> {
        let place = file
            .as_deref()
            .map_or(Ok(None), |file| read(file, &belongs_to))?;
        let bookmark = Self {
            file,
            belongs_to,
            places: VecDeque::new(),
            acknowledged: 0,
        };
        Ok((bookmark, place))
    }

    /// The next event of the run was given; `place` is behind it, asked for where it is kept.
    pub(crate) fn given(&mut self, place: impl FnOnce() -> P) {
        if self.file.is_some() {
            self.places.push_back(place());
        }
    }

    /// The first `count` events of the run are acknowledged: keeps the place behind them.
    pub(crate) fn acknowledged(&mut self, count: u64) -> Result<(), BookmarkError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let news = count.saturating_sub(self.acknowledged);
        let news = usize::try_from(news)
            .unwrap_or(usize::MAX)
            .min(self.places.len());
        let Some(place) = self.places.drain(..news).next_back() else {
            return Ok(());
        };
        self.acknowledged = count;
        let page = Page {
            belongs_to: &self.belongs_to,
            place,
        };
        write(file, &page).map_err(|source| BookmarkError::Io {
            file: file.clone(),
            source,
        })
    }
}

fn read<P: DeserializeOwned>(file: &Path, wanted: &str) -> Result<Option<P>, BookmarkError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(BookmarkError::Io {
                file: file.to_owned(),
                source,
            });
        }
    };
    let page: Page<String, P> =
        serde_json::from_str(&text).map_err(|source| BookmarkError::Malformed {
            file: file.to_owned(),
            source,
        })?;
    if page.belongs_to != wanted {
        return Err(BookmarkError::Foreign {
            file: file.to_owned(),
            found: page.belongs_to,
            wanted: wanted.to_owned(),
        });
    }
    Ok(Some(page.place))
}

/// Replaces the file at once, so that a crash leaves the old place or the new one.
fn write(file: &Path, page: &impl Serialize) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let mut new = File::create(&beside)?;
    serde_json::to_writer(&mut new, page)?;
    new.write_all(b"\n")?;
    new.sync_all()?;
    std::fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn open(file: &Path) -> (Bookmark<u64>, Option<u64>) {
        Bookmark::open(Some(file.to_owned()), "shop".into()).unwrap()
    }

    #[test]
    fn the_place_behind_the_acknowledged_events_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("place");
        let (mut bookmark, place) = open(&file);
        assert_eq!(place, None);
        (1..=5).for_each(|event| bookmark.given(|| event * 10));
        bookmark.acknowledged(0).unwrap();
        assert_eq!(open(&file).1, None);
        bookmark.acknowledged(2).unwrap();
        assert_eq!(open(&file).1, Some(20));
        bookmark.acknowledged(2).unwrap();
        bookmark.given(|| 60);
        bookmark.acknowledged(6).unwrap();
        assert_eq!(open(&file).1, Some(60));

        let foreign = Bookmark::<u64>::open(Some(file.clone()), "bank".into()).unwrap_err();
        assert!(
            foreign.to_string().contains("belongs to shop, not to bank"),
            "{foreign}"
        );
        std::fs::write(&file, "{").unwrap();
        let torn = Bookmark::<u64>::open(Some(file), "shop".into()).unwrap_err();
        assert!(
            torn.to_string().contains("remove it to begin anew"),
            "{torn}"
        );
    }

    #[test]
    fn without_a_file_nothing_is_kept() {
        let (mut bookmark, _) = Bookmark::<u64>::open(None, "shop".into()).unwrap();
        bookmark.given(|| 1);
        bookmark.acknowledged(1).unwrap();
        assert!(bookmark.places.is_empty());
    }
}

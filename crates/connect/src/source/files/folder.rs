//! The files of a folder, by name.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::FileSourceError;
use super::place::fingerprint;

/// The files that a declared path means. Whether it is a folder is asked anew with each listing: it
/// may come later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileSet {
    path: PathBuf,
    /// What it means where it is no folder; `None`: it ends in `/` and can only be one.
    named: Option<Named>,
}

/// A path as a name within a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    folder: PathBuf,
    name: String,
    is_pattern: bool,
}

/// The files that were found, by name, and the folder that they are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) folder: PathBuf,
    pub(super) files: BTreeMap<String, Listed>,
    /// Nothing is there under the one name that the path stands for.
    pub(super) is_missing: bool,
}

/// A file as it was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) size: u64,
    modified: Option<SystemTime>,
}

impl Listed {
    fn of(about: &Metadata) -> Self {
        Self {
            size: about.len(),
            modified: about.modified().ok(),
        }
    }

    /// Tells the time of the last change from others: 16 bits, since each file's is in the position.
    pub(super) fn modified(&self) -> Option<String> {
        let since = self.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let mut print = fingerprint(&since.as_nanos().to_le_bytes());
        print.truncate(4);
        Some(print)
    }
}

impl FileSet {
    /// The files that a declared path means.
    pub(super) fn new(path: &Path) -> Result<Self, FileSourceError> {
        let refused = |detail| FileSourceError::Path {
            path: path.to_owned(),
            detail,
        };
        let text = path
            .to_str()
            .ok_or_else(|| refused("the path is not UTF-8; rename the folder"))?;
        let is_pattern = |text: &str| text.contains(['*', '?']);
        let set = |named| Self {
            path: path.to_owned(),
            named,
        };
        if text.ends_with('/') {
            return Ok(set(None));
        }
        // `.` and `..` are folders too
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Ok(set(None));
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if folder.to_str().is_some_and(is_pattern) && !path.is_dir() {
            return Err(refused(
                "only the last part of a path may hold `*` and `?`; name one folder",
            ));
        }
        Ok(set(Some(Named {
            folder: folder.to_owned(),
            name: name.to_owned(),
            is_pattern: is_pattern(name),
        })))
    }

    /// The one name that the path stands for, where it has no `*` or `?`.
    pub(super) fn literal(&self) -> Option<&str> {
        let named = self.named.as_ref().filter(|named| !named.is_pattern)?;
        Some(&named.name)
    }

    /// Lists the files; blocks. Where `was_folder`, all else at the path is an error: what was read
    /// there must not be forgotten.
    pub(super) fn list(&self, was_folder: bool) -> Result<Listing, FileSourceError> {
        let Some(named) = &self.named else {
            return list(&self.path, None);
        };
        let there = match std::fs::metadata(&self.path) {
            Ok(about) => Some(about),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !was_folder => None,
            Err(source) => {
                return Err(FileSourceError::Folder {
                    folder: self.path.clone(),
                    source,
                });
            }
        };
        if there.as_ref().is_some_and(Metadata::is_dir) {
            return list(&self.path, None);
        }
        if was_folder {
            return Err(FileSourceError::Folder {
                folder: self.path.clone(),
                source: io::ErrorKind::NotADirectory.into(),
            });
        }
        if named.is_pattern {
            return list(&named.folder, Some(&named.name));
        }
        let file = there.filter(Metadata::is_file);
        let file = file.map(|about| (named.name.clone(), Listed::of(&about)));
        Ok(Listing {
            folder: named.folder.clone(),
            is_missing: file.is_none(),
            files: file.into_iter().collect(),
        })
    }
}

fn list(folder: &Path, pattern: Option<&str>) -> Result<Listing, FileSourceError> {
    let failed = |source| FileSourceError::Folder {
        folder: folder.to_owned(),
        source,
    };
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let storable = name
            .to_str()
            .filter(|name| !name.chars().any(char::is_control));
        let Some(name) = storable else {
            return Err(FileSourceError::Name { name: name.into() });
        };
        if !takes(pattern, name) {
            continue;
        }
        // follows links
        let about = match std::fs::metadata(entry.path()) {
            Ok(about) => about,
            // gone by now: it was never there
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // there, though it cannot be looked at: passed over it would be forgotten, and read
            // again once it can
            Err(source) => {
                return Err(FileSourceError::Read {
                    file: entry.path(),
                    source,
                });
            }
        };
        if about.is_file() {
            files.insert(name.to_owned(), Listed::of(&about));
        }
    }
    Ok(Listing {
        folder: folder.to_owned(),
        files,
        is_missing: false,
    })
}

fn takes(pattern: Option<&str>, name: &str) -> bool {
    let unfinished = name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part");
    let wanted = |pattern: &str| matches(pattern.as_bytes(), name.as_bytes());
    !unfinished && pattern.is_none_or(wanted)
}

/// Whether a name fits a pattern of `*` and `?`; `?` stands for one byte or one character.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // where the last `*` stood, and the byte of the name it is tried up to
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                n += 1;
                while name.get(n).is_some_and(|byte| byte & 0xC0 == 0x80) {
                    n += 1;
                }
            }
            Some(byte) if *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        let fits = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        assert!(fits("*.csv", "a.csv") && fits("*.csv", ".csv") && !fits("*.csv", "a.csv.gz"));
        assert!(fits("a?c*", "abcd") && fits("a?c", "aéc") && !fits("a?c", "ac"));
        assert!(fits("*a*b*", "xxaxxbxx") && !fits("*a*b", "ba"));
        assert!(fits("a.csv", "a.csv") && !fits("a.csv", "b.csv"));
    }

    #[test]
    fn only_the_last_part_is_a_pattern() {
        assert!(FileSet::new(Path::new("in/*.csv")).is_ok());
        assert!(FileSet::new(Path::new("*.csv")).is_ok());
        assert!(FileSet::new(Path::new("in/*/a.csv")).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_looked_at_is_told() {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("a.csv"), "x\n").unwrap();
        let set = FileSet::new(folder.path()).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("b.csv")).unwrap();
        let names: Vec<_> = set.list(false).unwrap().files.into_keys().collect();
        assert_eq!(names, ["a.csv"], "a link to nothing is no file");
        std::os::unix::fs::symlink("c.csv", folder.path().join("c.csv")).unwrap();
        let text = set.list(false).unwrap_err().to_string();
        assert!(text.contains("c.csv"), "{text}");
    }

    #[test]
    fn a_path_may_become_a_folder() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("in");
        let set = FileSet::new(&path).unwrap();
        assert_eq!(set.literal(), Some("in"));
        assert!(set.list(false).unwrap().is_missing);
        assert!(
            set.list(true).is_err(),
            "what was read there is not forgotten"
        );
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("a.csv"), "x\n").unwrap();
        let listing = set.list(false).unwrap();
        assert_eq!(listing.folder, path);
        assert!(listing.files.contains_key("a.csv"));
    }
}

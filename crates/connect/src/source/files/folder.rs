//! The files of a folder, by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::FileSourceError;

/// Which files of which folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileSet {
    pub(super) folder: PathBuf,
    /// `None`: all of them.
    pattern: Option<String>,
}

/// A file as it was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) size: u64,
    modified: Option<SystemTime>,
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
        if text.ends_with('/') || path.is_dir() {
            return Ok(Self {
                folder: path.to_owned(),
                pattern: None,
            });
        }
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| refused("the path names neither a folder nor files"))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if folder.to_str().is_some_and(is_pattern) {
            return Err(refused(
                "only the last part of a path may hold `*` and `?`; name one folder",
            ));
        }
        Ok(Self {
            folder: folder.to_owned(),
            pattern: Some(name.to_owned()),
        })
    }

    /// Lists the files; blocks.
    pub(super) fn list(&self) -> Result<BTreeMap<String, Listed>, FileSourceError> {
        let failed = |source| FileSourceError::Folder {
            folder: self.folder.clone(),
            source,
        };
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let storable = name
                .to_str()
                .filter(|name| !name.chars().any(char::is_control));
            let Some(name) = storable else {
                return Err(FileSourceError::Name { name: name.into() });
            };
            if !self.takes(name) {
                continue;
            }
            // follows links; a file that is gone by now was never there
            let Ok(about) = std::fs::metadata(entry.path()) else {
                continue;
            };
            if about.is_file() {
                let listed = Listed {
                    size: about.len(),
                    modified: about.modified().ok(),
                };
                files.insert(name.to_owned(), listed);
            }
        }
        Ok(files)
    }

    fn takes(&self, name: &str) -> bool {
        let unfinished = name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".part");
        let wanted = |pattern: &String| matches(pattern.as_bytes(), name.as_bytes());
        !unfinished && self.pattern.as_ref().is_none_or(wanted)
    }
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
}

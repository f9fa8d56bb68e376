//! Where a person says that records are: `kafka:TOPIC`, `mongo:DB.COLLECTION`, a file, a URL.

use std::path::{Path, PathBuf};

use factmill_project::job::FileFormat;
use factmill_project::nearest;

use crate::failure::Failure;

/// A place that holds records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A Kafka topic.
    Kafka {
        /// The topic.
        topic: String,
    },
    /// A MongoDB collection.
    Mongo {
        /// The database.
        database: String,
        /// The collection.
        collection: String,
    },
    /// A file, a folder or a pattern, absolute.
    Files {
        /// Its path.
        path: PathBuf,
    },
    /// An HTTP endpoint, `${VAR}` in it as in a job file. It may hold secrets and is never printed.
    Url {
        /// The URL.
        url: String,
    },
}

/// The words before a colon, as they are written.
const SCHEMES: [&str; 4] = ["kafka", "mongo", "http", "https"];

/// The endings that say how records stand in a file.
const ENDINGS: &str =
    ".csv, .tsv, .json, .jsonl, .ndjson, .parquet, the text ones also with .gz or .zst behind";

impl Place {
    /// Reads what was written; a path is one from the present folder on.
    ///
    /// # Errors
    /// What is wrong with it. What stands behind an unknown scheme is not shown: it may be a secret.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme))
        else {
            return Self::file(text);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "kafka" if rest.starts_with("//") => Err(Failure::usage(
                "write `kafka:TOPIC`; the brokers stand in factmill.yml",
            )),
            "kafka" if !rest.is_empty() => Ok(Self::Kafka {
                topic: rest.to_owned(),
            }),
            "mongo" if !rest.starts_with("//") => {
                let named = rest.split_once('.').filter(|(database, collection)| {
                    !database.is_empty() && !collection.is_empty()
                });
                let (database, collection) = named.ok_or_else(|| {
                    Failure::usage(
                        "write `mongo:DATABASE.COLLECTION`; the server stands in factmill.yml",
                    )
                })?;
                Ok(Self::Mongo {
                    database: database.to_owned(),
                    collection: collection.to_owned(),
                })
            }
            "mongo" | "mongodb" | "mongodb+srv" => Err(Failure::usage(
                "did you mean `mongo:DATABASE.COLLECTION`? the server's URL stands in factmill.yml",
            )),
            "http" | "https" if rest.starts_with("//") => Ok(Self::Url {
                url: text.to_owned(),
            }),
            _ if Path::new(text).exists() => Self::file(text),
            other => {
                let help = nearest::help(other, "schemes", SCHEMES);
                Err(Failure::usage(format!(
                    "`{other}:` is no source: {help}; write kafka:TOPIC, mongo:DATABASE.COLLECTION, a URL, or the path of a file"
                )))
            }
        }
    }

    fn file(text: &str) -> Result<Self, Failure> {
        let path = std::path::absolute(text)
            .map_err(|error| Failure::usage(format!("`{text}` is no path: {error}")))?;
        let is_pattern = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains(['*', '?']));
        if path.exists() || is_pattern {
            return Ok(Self::Files { path });
        }
        let scheme = nearest::nearest(text, SCHEMES);
        let other = scheme.map_or(String::new(), |scheme| {
            format!("; did you mean `{scheme}:…`?")
        });
        Err(Failure::usage(format!(
            "there is no file or folder `{text}`{other}"
        )))
    }
}

fn is_scheme(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.len() > 1 && text.as_bytes()[0].is_ascii_alphabetic() && text.bytes().all(rest)
}

/// How records stand in files, by their endings; of a folder by those of its first file.
///
/// # Errors
/// An ending that says nothing, or a folder without a file.
pub(super) fn format_of(path: &Path) -> Result<FileFormat, Failure> {
    let name = match path.is_dir() {
        false => path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned()),
        true => first_file(path)?,
    };
    let Some(name) = name else {
        return Err(Failure::usage(format!(
            "folder `{}` holds no file",
            path.display()
        )));
    };
    let lower = name.to_lowercase();
    let packed = [".gz", ".zst"]
        .iter()
        .find_map(|ending| lower.strip_suffix(ending));
    let plain = packed.unwrap_or(&lower);
    Ok(match plain.rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv") => FileFormat::Csv { delimiter: b',' },
        Some("tsv") => FileFormat::Csv { delimiter: b'\t' },
        Some("json" | "jsonl" | "ndjson") => FileFormat::JsonLines,
        Some("parquet") if packed.is_none() => FileFormat::Parquet,
        _ => {
            return Err(Failure::usage(format!(
                "the name of file `{name}` does not say how records stand in it; names end in {ENDINGS}"
            )));
        }
    })
}

fn first_file(folder: &Path) -> Result<Option<String>, Failure> {
    let failed = |error| {
        Failure::usage(format!(
            "cannot list folder `{}`: {error}",
            folder.display()
        ))
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && !name.starts_with('.') {
            names.push(name);
        }
    }
    Ok(names.into_iter().min())
}

/// What stands between the fields of a header line: of the usual signs the one that comes most often.
pub(super) fn delimiter(header: &[u8]) -> Option<u8> {
    let count = |sign: u8| header.iter().filter(|byte| **byte == sign).count();
    let counted = [b',', b';', b'\t', b'|'].map(|sign| (count(sign), sign));
    // of equals the first
    let most = counted.iter().rev().max_by_key(|(count, _)| *count)?;
    (most.0 > 0).then_some(most.1)
}

/// A path as a job file says it: relative where it lies in the project.
///
/// # Errors
/// A path that is no text.
pub(super) fn in_project(path: &Path, project: &Path) -> Result<PathBuf, Failure> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let (folder, name) = match (path.is_dir(), path.parent(), path.file_name()) {
        (false, Some(folder), Some(name)) => (real(folder), Some(name)),
        _ => (real(path), None),
    };
    let project = real(project);
    let folder = folder
        .strip_prefix(&project)
        .map_or(folder.clone(), Path::to_path_buf);
    let found = name.map_or(folder.clone(), |name| folder.join(name));
    if found.to_str().is_none() {
        return Err(Failure::usage(format!(
            "{} is no text; rename it",
            found.display()
        )));
    }
    Ok(match found.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => found,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn refused(text: &str) -> String {
        Place::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        let topic = "weather.v1".to_owned();
        assert_eq!(
            Place::parse("kafka:weather.v1").unwrap(),
            Place::Kafka { topic }
        );
        assert_eq!(
            Place::parse("mongo:shop.orders.eu").unwrap(),
            Place::Mongo {
                database: "shop".into(),
                collection: "orders.eu".into()
            }
        );
        let url = "https://h/x?key=1".to_owned();
        assert_eq!(Place::parse(&url).unwrap(), Place::Url { url });
    }

    #[test]
    fn a_slip_is_mended_and_a_secret_is_not_shown() {
        assert!(refused("kafak:weather").contains("did you mean `kafka`?"));
        assert!(refused("gopher://me:hunter2@h/x").contains("known schemes"));
        for text in [
            "ftp://me:hunter2@h/x",
            "mongodb://me:hunter2@h/x",
            "postgres://me:hunter2@h/x",
            "kafka://me:hunter2@h",
            "mongo://me:hunter2@h",
        ] {
            assert!(!refused(text).contains("hunter2"), "{text}");
        }
        assert!(refused("nothing-here.jsonl").contains("no file or folder"));
    }

    #[test]
    fn endings_say_how_records_stand() {
        let of = |name: &str| format_of(Path::new(name)).ok();
        assert_eq!(of("a.CSV.gz"), Some(FileFormat::Csv { delimiter: b',' }));
        assert_eq!(of("*.ndjson"), Some(FileFormat::JsonLines));
        assert_eq!(of("a.parquet"), Some(FileFormat::Parquet));
        assert_eq!(of("a.parquet.gz"), None);
        assert_eq!(of("a"), None);
        assert_eq!(delimiter(b"a;b;c"), Some(b';'));
        assert_eq!(delimiter(b"a"), None);
        assert_eq!(delimiter(b"a,b;c"), Some(b','));
    }
}

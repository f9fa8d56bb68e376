//! Files of the project that a function's argument names: read when a query is planned, once a
//! session.

use std::any::Any;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::common::{ScalarValue, plan_datafusion_err, plan_err};
use datafusion::error::Result;
use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use serde::de::DeserializeOwned;

/// Bytes that a file may have: a model of a million words is a tenth of it.
const LARGEST: u64 = 256 << 20;

/// A file that a function names cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// A path that may lead out of the project.
    #[error(
        "file `{file}`: write its path from the project's folder, without `..` and not absolute"
    )]
    Outside {
        /// The path as it was written.
        file: String,
    },
    /// It is not there, or not readable.
    #[error("file `{file}` cannot be read: {source}; its path counts from the project's folder")]
    Unreadable {
        /// The path as it was written.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is a folder, a pipe, or too large.
    #[error("file `{file}` is not a file of at most {LARGEST} bytes")]
    NotAFile {
        /// The path as it was written.
        file: String,
    },
    /// It is not JSON, or lacks what it should hold.
    #[error("file `{file}`: {source}; {expected}")]
    Malformed {
        /// The path as it was written.
        file: String,
        /// What a good one looks like.
        expected: &'static str,
        /// Line, column and fault.
        source: serde_json::Error,
    },
    /// Its values do not go together.
    #[error("file `{file}`: {reason}")]
    Refused {
        /// The path as it was written.
        file: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl Classified for FileError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Configuration
    }
}

/// What a function reads from a file of JSON.
pub(crate) trait ProjectFile: DeserializeOwned + Send + Sync + 'static {
    /// What a good file looks like, for the error of a bad one.
    const EXPECTED: &'static str;

    /// Holds the values to what the types do not say.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    fn check(&self) -> std::result::Result<(), String>;
}

/// The files of one project as one session's functions read them.
#[derive(Debug)]
pub(crate) struct ProjectFiles {
    dir: PathBuf,
    read: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
}

impl ProjectFiles {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            read: Mutex::default(),
        }
    }

    /// The content of the file that a literal argument names.
    ///
    /// # Errors
    /// A planning error that names the function: the argument is no literal, or [`FileError`].
    pub(crate) fn named<T: ProjectFile>(
        &self,
        function: &str,
        argument: Option<&ScalarValue>,
    ) -> Result<Arc<T>> {
        let Some(Some(file)) = argument.and_then(ScalarValue::try_as_str) else {
            return plan_err!(
                "call to '{function}': its file must be a literal, as in 'data/x.json'"
            );
        };
        self.get(file)
            .map_err(|error| plan_datafusion_err!("call to '{function}': {error}"))
    }

    fn get<T: ProjectFile>(&self, file: &str) -> std::result::Result<Arc<T>, FileError> {
        let known = self.files().get(file).cloned();
        if let Some(Ok(content)) = known.map(Arc::downcast::<T>) {
            return Ok(content);
        }
        let content = Arc::new(self.load::<T>(file)?);
        self.files().insert(file.to_owned(), content.clone());
        Ok(content)
    }

    fn files(&self) -> MutexGuard<'_, HashMap<String, Arc<dyn Any + Send + Sync>>> {
        // What is inserted is whole, so a panic elsewhere leaves nothing half done.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load<T: ProjectFile>(&self, file: &str) -> std::result::Result<T, FileError> {
        let outside = Path::new(file)
            .components()
            .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
        if outside || file.is_empty() {
            return Err(FileError::Outside { file: file.into() });
        }
        let unreadable = |source| FileError::Unreadable {
            file: file.into(),
            source,
        };
        let path = self.dir.join(file);
        // Looked at before it is opened: to open a pipe waits for its writer.
        let metadata = std::fs::metadata(&path).map_err(unreadable)?;
        if !metadata.is_file() || metadata.len() > LARGEST {
            return Err(FileError::NotAFile { file: file.into() });
        }
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|opened| opened.take(LARGEST).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        let content: T = serde_json::from_slice(&bytes).map_err(|source| FileError::Malformed {
            file: file.into(),
            expected: T::EXPECTED,
            source,
        })?;
        content.check().map_err(|reason| FileError::Refused {
            file: file.into(),
            reason,
        })?;
        Ok(content)
    }
}

/// For functions that are told apart by name: in one session there is one of each.
macro_rules! same_by_name_and_files {
    ($function:ty) => {
        impl PartialEq for $function {
            fn eq(&self, other: &Self) -> bool {
                self.name() == other.name() && std::sync::Arc::ptr_eq(&self.files, &other.files)
            }
        }

        impl Eq for $function {}

        impl std::hash::Hash for $function {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.name().hash(state);
            }
        }
    };
}
pub(crate) use same_by_name_and_files;

/// The literal of an argument when a query is planned, `None` where it is a column or missing.
pub(crate) fn literal<'a>(
    arguments: &'a [Option<&'a ScalarValue>],
    index: usize,
) -> Option<&'a ScalarValue> {
    arguments.get(index).copied().flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Number(i64);

    impl ProjectFile for Number {
        const EXPECTED: &'static str = "expected a number";

        fn check(&self) -> std::result::Result<(), String> {
            if self.0 < 0 {
                return Err("it is negative".into());
            }
            Ok(())
        }
    }

    fn message(files: &ProjectFiles, file: &str) -> String {
        files.get::<Number>(file).unwrap_err().to_string()
    }

    #[test]
    fn a_path_leads_to_a_file_of_the_project() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("data/n.json"), "7").unwrap();
        let files = ProjectFiles::new(&dir.path().join("data"));
        assert_eq!(files.get::<Number>("n.json").unwrap().0, 7);
        assert_eq!(files.get::<Number>("./n.json").unwrap().0, 7);
        for outside in ["../data/n.json", "/etc/hostname", "x/../n.json", ""] {
            let said = message(&files, outside);
            assert!(said.contains("without `..` and not absolute"), "{said}");
        }
    }

    #[test]
    fn an_error_names_file_and_reason() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("text.json"), "\"seven\"").unwrap();
        std::fs::write(dir.path().join("negative.json"), "-1").unwrap();
        let files = ProjectFiles::new(dir.path());
        assert!(
            message(&files, "missing.json").starts_with("file `missing.json` cannot be read: ")
        );
        assert_eq!(
            message(&files, "text.json"),
            "file `text.json`: invalid type: string \"seven\", expected i64 at line 1 column 7; expected a number"
        );
        assert_eq!(
            message(&files, "negative.json"),
            "file `negative.json`: it is negative"
        );
        assert!(message(&files, ".").starts_with("file `.` is not a file"));
    }

    #[test]
    fn a_file_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("n.json");
        std::fs::write(&file, "1").unwrap();
        let files = ProjectFiles::new(dir.path());
        let first = files.get::<Number>("n.json").unwrap();
        std::fs::write(&file, "2").unwrap();
        assert!(Arc::ptr_eq(&first, &files.get::<Number>("n.json").unwrap()));
    }
}

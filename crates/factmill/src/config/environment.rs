//! Variables: the process's environment, and `.env` beside `factmill.yml` for those it lacks.

use std::collections::BTreeMap;
use std::path::Path;

use factmill_core::diagnostic::{Diagnostic, Diagnostics};

/// The variables that `${VAR}` can name.
///
/// `Debug` shows names only: values may be secrets.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's environment over the `.env` in `directory`, where there is one.
    ///
    /// # Errors
    /// When `.env` cannot be read or has a line that is no `NAME=value`.
    pub(crate) fn load(directory: &Path) -> Result<Self, Diagnostics> {
        Self::over(
            directory,
            std::env::vars_os().filter_map(|(name, value)| {
                // A variable that is not text cannot be written into a YAML value.
                Some((name.into_string().ok()?, value.into_string().ok()?))
            }),
        )
    }

    pub(super) fn over(
        directory: &Path,
        process: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Diagnostics> {
        let mut variables = BTreeMap::new();
        let path = directory.join(".env");
        if path.exists() {
            let wrong = |error: dotenvy::Error| {
                // The parser quotes the whole line, which may hold a secret.
                let what = match error {
                    dotenvy::Error::LineParse(_, at) => {
                        format!(
                            "a line of .env is no NAME=value (at its character {})",
                            at + 1
                        )
                    }
                    other => format!("cannot read {}: {other}", path.display()),
                };
                Diagnostics::from(
                    Diagnostic::bare(what).help("quote values that hold spaces, `#` or quotes"),
                )
            };
            for variable in dotenvy::from_path_iter(&path).map_err(wrong)? {
                let (name, value) = variable.map_err(wrong)?;
                variables.insert(name, value);
            }
        }
        variables.extend(process);
        Ok(Self(variables))
    }

    /// All variables by name.
    pub(crate) fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn the_process_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".env"), "A=file\nB='two words'\n").unwrap();
        let process = [("A".to_owned(), "process".to_owned())];
        let environment = Environment::over(folder.path(), process.into_iter()).unwrap();
        assert_eq!(environment.all()["A"], "process");
        assert_eq!(environment.all()["B"], "two words");
    }

    #[test]
    fn a_bad_line_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".env"), "PASSWORD hunter2\n").unwrap();
        let message = Environment::over(folder.path(), std::iter::empty())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(".env") && !message.contains("hunter2"),
            "{message}"
        );
    }
}

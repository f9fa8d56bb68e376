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
        Self::over(directory, std::env::vars_os().filter_map(|(name, value)| {
            // A variable that is not text cannot be written into a YAML value.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    fn over(
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
                        format!("a line of .env is no NAME=value (at its character {})", at + 1)
                    }
                    other => format!("cannot read {}: {other}", path.display()),
                };
                Diagnostics::from(Diagnostic::bare(what).help("quote values that hold spaces, `#` or quotes"))
            };
            for variable in dotenvy::from_path_iter(&path).map_err(wrong)? {
                let (name, value) = variable.map_err(wrong)?;
                variables.insert(name, value);
            }
        }
        variables.extend(process);
        Ok(Self(variables))
    }

    /// The value of a variable; an empty one counts as not set, as in a shell's `${VAR:-…}`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All variables, for templates that may read any.
    pub(crate) fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Fills in `${VAR}` and `${VAR:-default}`; `$$` stands for one `$`.
    ///
    /// # Errors
    /// Every variable that is not set and has no default, and every reference that does not end.
    pub(crate) fn expand(&self, text: &str) -> Result<String, Vec<ExpandError>> {
        let mut out = String::with_capacity(text.len());
        let mut errors = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let Some((inside, behind)) = after.split_once('}') else {
                    errors.push(ExpandError::Open);
                    break;
                };
                match self.reference(inside) {
                    Ok(value) => out.push_str(value),
                    Err(error) => errors.push(error),
                }
                rest = behind;
            } else {
                out.push('$');
            }
        }
        out.push_str(rest);
        if errors.is_empty() { Ok(out) } else { Err(errors) }
    }

    fn reference<'a>(&'a self, inside: &'a str) -> Result<&'a str, ExpandError> {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(ExpandError::Name(name.to_owned()));
        }
        self.get(name).or(default).ok_or_else(|| ExpandError::Missing {
            name: name.to_owned(),
            nearest: self.nearest(name),
        })
    }

    /// The set variable whose name is a slip away.
    fn nearest(&self, name: &str) -> Option<String> {
        self.0
            .keys()
            .map(|known| (strsim::damerau_levenshtein(name, known), known))
            .filter(|(distance, _)| *distance <= name.len() / 4)
            .min()
            .map(|(_, known)| known.clone())
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A `${…}` that cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    /// A variable that is not set.
    #[error("environment variable `{name}` is not set")]
    Missing {
        /// The variable.
        name: String,
        /// A variable that is set and has nearly this name.
        nearest: Option<String>,
    },
    /// No variable's name.
    #[error("`{0}` is not the name of an environment variable")]
    Name(String),
    /// A `${` without its `}`.
    #[error("`${{` without a closing `}}`")]
    Open,
}

impl ExpandError {
    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::Missing { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::Missing { name, nearest: None } => {
                format!("set it in the environment or in .env, or give a default: ${{{name}:-…}}")
            }
            Self::Name(_) | Self::Open => "write ${NAME} or ${NAME:-default}, and $$ for a `$`".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn environment() -> Environment {
        let pairs = [("HOST", "db"), ("EMPTY", ""), ("DATABASE_URL", "postgres://x")];
        Environment(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        let expand = |text| environment().expand(text).unwrap();
        assert_eq!(expand("postgres://${HOST}:${PORT:-5432}/b"), "postgres://db:5432/b");
        assert_eq!(expand("${EMPTY:-default}"), "default");
        assert_eq!(expand("${EMPTY2:-}"), "");
        assert_eq!(expand("cost $5, $$HOST, $${HOST}"), "cost $5, $HOST, ${HOST}");
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let errors = environment().expand("${DATABASE_URI} ${NOWHERE} ${bad name} ${open").unwrap_err();
        let shown: Vec<_> = errors.iter().map(|error| (error.to_string(), error.help())).collect();
        assert_eq!(shown.len(), 4);
        assert_eq!(shown[0].0, "environment variable `DATABASE_URI` is not set");
        assert_eq!(shown[0].1, "did you mean `DATABASE_URL`?");
        assert!(shown[1].1.contains("${NOWHERE:-…}"), "{}", shown[1].1);
        assert_eq!(shown[2].0, "`bad name` is not the name of an environment variable");
        assert_eq!(shown[3].0, "`${` without a closing `}`");
    }

    #[test]
    fn the_process_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".env"), "A=file\nB='two words'\n").unwrap();
        let process = [("A".to_owned(), "process".to_owned())];
        let environment = Environment::over(folder.path(), process.into_iter()).unwrap();
        assert_eq!(environment.get("A"), Some("process"));
        assert_eq!(environment.get("B"), Some("two words"));
    }

    #[test]
    fn a_bad_line_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".env"), "PASSWORD hunter2\n").unwrap();
        let message = Environment::over(folder.path(), std::iter::empty()).unwrap_err().to_string();
        assert!(message.contains(".env") && !message.contains("hunter2"), "{message}");
    }
}

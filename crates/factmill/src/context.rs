//! What every command starts from: where the project lies, which profile, how to print.

use std::env;
use std::path::{Path, PathBuf};

use factmill_core::diagnostic::{Diagnostic, Diagnostics};

use crate::cli::Global;
use crate::printer::Printer;

/// The names of files that mark a project's folder.
const MARKERS: [&str; 2] = ["factmill.yml", "dbt_project.yml"];

/// What the flags say, before any file is read.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// How to print.
    pub(crate) printer: Printer,
    /// The name of the chosen profile.
    pub(crate) profile: String,
    project_dir: Option<PathBuf>,
}

impl Context {
    /// The context of these flags.
    pub(crate) fn new(global: &Global, printer: Printer) -> Self {
        Self {
            printer,
            profile: global.profile.clone(),
            project_dir: global.project_dir.clone(),
        }
    }

    /// The project's folder: the one named, else the nearest upwards that looks like one.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn project_dir(&self) -> Result<PathBuf, Diagnostics> {
        match &self.project_dir {
            Some(directory) if is_project(directory) => Ok(directory.clone()),
            Some(directory) => Err(Diagnostic::bare(format!(
                "no factmill project in {}",
                directory.display()
            ))
            .help(format!("name a folder that holds {}", MARKERS.join(" or ")))
            .into()),
            None => env::current_dir()
                .ok()
                .and_then(|start| nearest_project(&start))
                .ok_or_else(|| {
                    Diagnostic::bare("no factmill project here or in any folder above")
                        .help("change into one, or name it with --project-dir")
                        .into()
                }),
        }
    }
}

fn is_project(directory: &Path) -> bool {
    MARKERS
        .iter()
        .any(|marker| directory.join(marker).is_file())
}

fn nearest_project(start: &Path) -> Option<PathBuf> {
    start
        .ancestors()
        .find(|directory| is_project(directory))
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn the_nearest_project_upwards_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("project/models/banking");
        std::fs::create_dir_all(&inner).unwrap();
        assert_eq!(nearest_project(&inner), None);
        std::fs::write(root.path().join("project/dbt_project.yml"), "name: x\n").unwrap();
        assert_eq!(nearest_project(&inner), Some(root.path().join("project")));
    }
}

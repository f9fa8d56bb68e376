//! The files of a project, by kind.

use std::path::{Path, PathBuf};

use factmill_core::diagnostic::{Diagnostic, Location};
use walkdir::WalkDir;

use crate::dbt_project::DbtProject;
use crate::jinja::SourceFile;

/// What lies in the project's folders, each kind in order of path.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// `.sql` below the model paths.
    pub(crate) models: Vec<ModelFile>,
    /// `.csv` below the seed paths; their text is not read.
    pub(crate) seeds: Vec<SeedFile>,
    /// `.yml` below the model and seed paths.
    pub(crate) properties: Vec<SourceFile>,
    /// `.sql` below the macro paths.
    pub(crate) macros: Vec<SourceFile>,
    /// `jobs/*.yml`.
    pub(crate) jobs: Vec<SourceFile>,
}

/// A model's file.
#[derive(Debug)]
pub(crate) struct ModelFile {
    pub(crate) file: SourceFile,
    /// The path below its model path, without the ending: what dbt calls its fqn, without the
    /// project's name.
    pub(crate) fqn: Vec<String>,
}

/// A seed's file.
#[derive(Debug)]
pub(crate) struct SeedFile {
    pub(crate) path: PathBuf,
    /// As for models.
    pub(crate) fqn: Vec<String>,
}

/// The file that makes a folder a project.
pub(crate) const PROJECT_FILE: &str = "dbt_project.yml";

impl Files {
    /// Looks for the files that `dbt_project.yml` names the folders of, and the jobs. A folder that
    /// is not there is empty.
    pub(crate) fn discover(dir: &Path, dbt: &DbtProject, found: &mut Vec<Diagnostic>) -> Self {
        let mut files = Self::default();
        for (root, path) in below(dir, &dbt.model_paths, &["sql"]) {
            files
                .models
                .extend(read(dir, &path, found).map(|file| ModelFile {
                    fqn: fqn(&root, &path),
                    file,
                }));
        }
        for (root, path) in below(dir, &dbt.seed_paths, &["csv"]) {
            files.seeds.push(SeedFile {
                fqn: fqn(&root, &path),
                path,
            });
        }
        let documented: Vec<String> = dbt
            .model_paths
            .iter()
            .chain(&dbt.seed_paths)
            .cloned()
            .collect();
        let kinds: [(&[String], &[&str], &mut Vec<SourceFile>); 3] = [
            (&documented, &["yml", "yaml"], &mut files.properties),
            (&dbt.macro_paths, &["sql"], &mut files.macros),
            (&["jobs".into()], &["yml", "yaml"], &mut files.jobs),
        ];
        for (paths, endings, list) in kinds {
            list.extend(
                below(dir, paths, endings)
                    .iter()
                    .filter_map(|(_, path)| read(dir, path, found)),
            );
        }
        files
    }
}

/// Files with one of the endings below the folders, relative to `dir`, each once, with the folder
/// that they were found below.
fn below(dir: &Path, folders: &[String], endings: &[&str]) -> Vec<(PathBuf, PathBuf)> {
    let mut paths: Vec<(PathBuf, PathBuf)> = Vec::new();
    for folder in folders {
        let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(entry.path());
        let entries = WalkDir::new(dir.join(folder))
            .follow_links(true)
            .into_iter()
            .filter_entry(visible);
        for entry in entries.flatten() {
            let ending = entry.path().extension().and_then(|ending| ending.to_str());
            if entry.file_type().is_file()
                && ending.is_some_and(|ending| endings.contains(&ending))
                && let Ok(path) = entry.path().strip_prefix(dir)
            {
                paths.push((PathBuf::from(folder), path.to_owned()));
            }
        }
    }
    paths.sort_by(|(_, a), (_, b)| a.cmp(b));
    paths.dedup_by(|(_, a), (_, b)| a == b);
    paths
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with('.'))
}

/// Reads a file as text; `path` is relative to `dir`.
pub(crate) fn read(dir: &Path, path: &Path, found: &mut Vec<Diagnostic>) -> Option<SourceFile> {
    let problem = match std::fs::read(dir.join(path)) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => {
                return Some(SourceFile {
                    path: path.to_owned(),
                    text,
                });
            }
            Err(error) => format!(
                "not UTF-8 text at byte {}",
                error.utf8_error().valid_up_to()
            ),
        },
        Err(error) => format!("could not be read: {error}"),
    };
    found.push(Diagnostic::at(beginning(path), problem));
    None
}

/// The first place of a file.
pub(crate) fn beginning(path: &Path) -> Location {
    Location {
        file: path.to_owned(),
        line: 1,
        column: 1,
    }
}

fn fqn(root: &Path, path: &Path) -> Vec<String> {
    let inside = path.strip_prefix(root).unwrap_or(path).with_extension("");
    inside
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect()
}

//! Projects on disk for tests.

use std::path::Path;

use factmill_project::{LoadOptions, Project};
use tempfile::TempDir;

/// A folder with a dbt project in it.
pub(crate) struct Folder {
    dir: TempDir,
    pub(crate) options: LoadOptions,
}

impl Folder {
    /// A project named `shop` with one source, `crm.events(id text, at timestamptz)`.
    pub(crate) fn new() -> Self {
        let folder = Self {
            dir: TempDir::new().unwrap(),
            options: LoadOptions::default(),
        };
        folder.with("dbt_project.yml", "name: shop\n").with(
            "models/_sources.yml",
            "sources:\n  - name: crm\n    tables:\n      - name: events\n        columns:\n          - { name: id, data_type: text }\n          - { name: at, data_type: timestamptz }\n",
        )
    }

    /// Writes a file.
    pub(crate) fn with(self, path: &str, text: &str) -> Self {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The project, which has nothing wrong.
    pub(crate) fn load(&self) -> Project {
        match Project::load(self.path(), &self.options) {
            Ok(project) => project,
            Err(diagnostics) => panic!("the project does not load:\n{diagnostics}"),
        }
    }

    /// What is wrong, each as it is shown.
    pub(crate) fn refused(&self) -> Vec<String> {
        let diagnostics =
            Project::load(self.path(), &self.options).expect_err("the project is refused");
        diagnostics.iter().map(ToString::to_string).collect()
    }
}

/// The repository's own project.
pub(crate) fn shipped() -> Project {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match Project::load(&root, &LoadOptions::default()) {
        Ok(project) => project,
        Err(diagnostics) => panic!("the shipped project does not load:\n{diagnostics}"),
    }
}

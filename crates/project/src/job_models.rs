//! The models of a job: what it selects, checked and rendered for the job's schema.

use std::collections::BTreeSet;

use factmill_core::diagnostic::{Diagnostic, Location};

use crate::job::Job;
use crate::model::{Dependency, Model};
use crate::project::Project;
use crate::select::Selectable;

/// The job's models in topological order; what is wrong is added to `found`. `place` tells where a
/// path of keys of the job file stands.
pub(crate) fn of(
    project: &Project,
    job: &Job,
    place: &dyn Fn(&[&str]) -> Location,
    found: &mut Vec<Diagnostic>,
) -> Vec<Model> {
    let names = selected(project, job, place, found);
    let mut models: Vec<Model> = project
        .models
        .iter()
        .filter(|model| names.contains(&model.name))
        .cloned()
        .collect();
    for model in &models {
        refuse_other_sources(project, job, model, place, found);
    }
    refuse_this(project, job, &models, found);
    if models
        .iter()
        .any(|model| model.relation.schema != job.schema)
    {
        for model in &mut models {
            model.relation.schema.clone_from(&job.schema);
        }
        project.templates.render_into(&mut models, found);
    }
    models
}

/// The selected models, and the views and ephemeral models that they read.
fn selected(
    project: &Project,
    job: &Job,
    place: &dyn Fn(&[&str]) -> Location,
    found: &mut Vec<Diagnostic>,
) -> BTreeSet<String> {
    let selectable = Selectable::new(project);
    let mut names = BTreeSet::new();
    for (index, term) in job.models.iter().enumerate() {
        let mut wrong = Vec::new();
        for node in selectable.union(std::slice::from_ref(term), &mut wrong) {
            if let Dependency::Model(name) = node {
                names.insert(name);
            }
        }
        found.extend(wrong.into_iter().map(|diagnostic| Diagnostic {
            location: Some(place(&["models", &index.to_string()])),
            ..diagnostic
        }));
    }
    // readers stand behind what they read, so one pass from the end reaches every inlined model
    for model in project.models.iter().rev() {
        if names.contains(&model.name) {
            let read = model.models_read().filter_map(|name| project.model(name));
            names.extend(
                read.filter(|read| read.materialized.is_inlined())
                    .map(|read| read.name.clone()),
            );
        }
    }
    names
}

fn refuse_other_sources(
    project: &Project,
    job: &Job,
    model: &Model,
    place: &dyn Fn(&[&str]) -> Location,
    found: &mut Vec<Diagnostic>,
) {
    for read in &model.depends_on {
        if let Dependency::Source(source) = read
            // a table of Postgres is read as it is, by whoever asks
            && project.source(source).is_none_or(|read| read.reference.is_none())
            && !job.sources.iter().any(|known| known.source == *source)
        {
            let message = format!(
                "model `{}` reads source `{source}`, which job `{}` does not read",
                model.name, job.name
            );
            let help =
                format!("add `{source}` under `sources`, or leave the model out of `models`");
            found.push(Diagnostic::at(place(&["sources"]), message).help(help));
        }
    }
}

/// A model over a stream gets the new rows only, and what it wrote is not among its inputs.
fn refuse_this(project: &Project, job: &Job, models: &[Model], found: &mut Vec<Diagnostic>) {
    let mut streams: BTreeSet<&str> = BTreeSet::new();
    for model in models {
        let is_stream = model.depends_on.iter().any(|read| match read {
            Dependency::Source(_) => true,
            Dependency::Model(name) => streams.contains(name.as_str()),
            Dependency::Seed(_) => false,
        });
        if !is_stream {
            continue;
        }
        streams.insert(&model.name);
        if let Some(at) = project.templates.this_in(&model.name) {
            let message = format!(
                "model `{}` of job `{}` reads `this`, its own table",
                model.name, job.name
            );
            let help = "a stream hands it the new rows and keeps its table by `unique_key`; \
                        put what needs the table inside `{% if is_incremental() %}`";
            let diagnostic = Diagnostic::at(at.clone(), message).help(help);
            if !found.contains(&diagnostic) {
                found.push(diagnostic);
            }
        }
    }
}

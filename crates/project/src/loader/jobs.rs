//! Jobs, checked against the project.

use std::collections::BTreeMap;

use factmill_core::diagnostic::{Diagnostic, Location};
use factmill_core::source_schema::{ColumnOrigin, SourceColumn};
use factmill_core::table::TableName;

use crate::discover::beginning;
use crate::identifier;
use crate::jinja::SourceFile;
use crate::job::{self, Follow, Origin, ReadJob};
use crate::job_models;
use crate::nearest;
use crate::project::{LoadOptions, Project};
use crate::properties::{DeclaredSource, Properties};
use crate::source::ProjectSource;
use crate::yaml::{Found, Variables};

/// Reads all job files into the project. The models of jobs are checked where all models could be
/// read: else what is missing has been said already.
pub(super) fn load(
    project: &mut Project,
    properties: &Properties,
    files: &[SourceFile],
    options: &LoadOptions,
    models_are_whole: bool,
    found: &mut Found,
) {
    let variables = Variables::new(&options.environment);
    let mut written: BTreeMap<TableName, String> = BTreeMap::new();
    for file in files {
        let name = file
            .path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if project.jobs.iter().any(|job| job.name == name) {
            found.error(&beginning(&file.path), format!("job `{name}` stands twice"));
            continue;
        }
        let settings: Vec<&str> = options
            .overrides
            .iter()
            .filter(|(job, _)| job == name)
            .map(|(_, setting)| setting.as_str())
            .collect();
        let Some(read) = job::read(
            &file.text,
            &file.path,
            &settings,
            &variables,
            &mut found.errors,
        ) else {
            continue;
        };
        check_sources(&read, properties, found);
        let schema = if read.node.get("schema").is_some() {
            read.node.locate(&["schema"]).clone()
        } else {
            beginning(&file.path)
        };
        identifier::check_schema(&read.job.schema, &schema, found);
        if models_are_whole {
            check_models(project, &read, &mut written, found);
        }
        project.jobs.push(read.job);
    }
    project.jobs.sort_by(|a, b| a.name.cmp(&b.name));
    check_overrides(project, files, options, found);
}

fn check_sources(read: &ReadJob, properties: &Properties, found: &mut Found) {
    for source in &read.job.sources {
        let written = source.source.to_string();
        let at = read.node.locate_key(&["sources", &written]);
        let declared = properties
            .sources
            .iter()
            .find(|declared| declared.source.name == source.source);
        let Some(declared) = declared else {
            let known: Vec<String> = properties
                .sources
                .iter()
                .map(|declared| declared.source.name.to_string())
                .collect();
            let help = nearest::help(&written, "sources", known.iter().map(String::as_str));
            found.error_with_help(at, format!("no source `{written}`"), help);
            continue;
        };
        if declared.source.reference.is_some() {
            let message = format!("source `{written}` is a table of Postgres");
            let help = "models read it without the job's help: take it out of `sources`";
            found.error_with_help(at, message, help);
            continue;
        }
        for (column, place) in &declared.untyped {
            let message = format!("column `{column}` of source `{written}` has no data_type");
            let help = format!(
                "job `{}` decodes it, and has to know its type",
                read.job.name
            );
            let diagnostic = Diagnostic::at(place.clone(), message).help(help);
            if !found
                .errors
                .iter()
                .any(|known| known.location == diagnostic.location)
            {
                found.errors.push(diagnostic);
            }
        }
        if declared.source.schema.columns.is_empty() && declared.untyped.is_empty() {
            let message = format!("source `{written}` declares no columns");
            let help = format!(
                "job `{}` decodes what is declared; add `columns` with a `data_type` each",
                read.job.name
            );
            found.error_with_help(&declared.source.location, message, help);
        }
        let follows =
            matches!(&source.origin, Origin::Mongo(mongo) if mongo.follow == Follow::Changes);
        if follows && declared.untyped.is_empty() {
            check_key_of_changes(&read.job.name, declared, found);
        }
    }
}

/// A change stream tells of a deletion nothing but the document's `_id`, and tells of one document
/// more than once: only by `_id` does the table become what the collection is.
fn check_key_of_changes(job: &str, declared: &DeclaredSource, found: &mut Found) {
    let ProjectSource { name, schema, .. } = &declared.source;
    let path = |column: &SourceColumn| match &column.origin {
        ColumnOrigin::Field(path) if path[0] == "_id" => Some(path.len()),
        _ => None,
    };
    let key = || {
        let of_key = |column: &&SourceColumn| schema.key.contains(&column.name);
        schema.columns.iter().filter(of_key).map(path)
    };
    if schema.columns.is_empty() || key().count() < schema.key.len() {
        // said already
        return;
    }
    let is_id = schema.key.len() == 1 && key().all(|path| path == Some(1));
    // one that is a document is told by what stands in it
    let is_in_id = schema.is_keyed() && key().all(|path| path.is_some_and(|length| length > 1));
    if is_id || is_in_id {
        return;
    }
    let message = match schema.key.as_slice() {
        [] => format!("source `{name}` has no `key`, and job `{job}` follows its changes"),
        key => format!(
            "the key `{}` of source `{name}` is not the `_id` of its documents, and job `{job}` follows their changes",
            key.join("`, `")
        ),
    };
    let id = schema.columns.iter().find(|column| path(column) == Some(1));
    let help = match id {
        Some(id) => format!(
            "a deletion names nothing but the `_id`: write `config: {{ meta: {{ factmill: {{ key: [{}] }} }} }}` here, \
             or `poll_by` in the job",
            id.name
        ),
        None => "a deletion names nothing but the `_id`: write `config: { meta: { factmill: { key: [_id] } } }` here and \
                 `{ name: _id, data_type: text }` among the columns, or `poll_by` in the job"
            .to_owned(),
    };
    let diagnostic = Diagnostic::at(declared.key_place.clone(), message).help(help);
    found.errors.push(diagnostic);
}

/// The job's models can be selected and rendered, and no other job writes their tables.
fn check_models(
    project: &Project,
    read: &ReadJob,
    written: &mut BTreeMap<TableName, String>,
    found: &mut Found,
) {
    let place = |path: &[&str]| -> Location { read.node.locate(path).clone() };
    let models = job_models::of(project, &read.job, &place, &mut found.errors);
    let mut own: BTreeMap<TableName, &str> = BTreeMap::new();
    for model in models
        .iter()
        .filter(|model| !model.materialized.is_inlined())
    {
        let relation = &model.relation;
        if let Some(other) = own.insert(relation.clone(), &model.name) {
            let message = format!(
                "models `{other}` and `{}` both land in {relation}",
                model.name
            );
            found.error_with_help(
                &place(&["models"]),
                message,
                "give one of them another `alias`",
            );
        } else if let Some(other) = written.get(relation) {
            let message = format!("table {relation} is written by job `{other}` already");
            let help = format!(
                "a table has one writing job: give `{}` a `schema` of its own",
                read.job.name
            );
            found.error_with_help(&place(&["schema"]), message, help);
        }
    }
    written.extend(
        own.into_keys()
            .map(|relation| (relation, read.job.name.clone())),
    );
}

/// An override of a job that is not there would do nothing.
fn check_overrides(
    project: &Project,
    files: &[SourceFile],
    options: &LoadOptions,
    found: &mut Found,
) {
    for (job, setting) in &options.overrides {
        let stands =
            |file: &SourceFile| file.path.file_stem().and_then(|stem| stem.to_str()) == Some(job);
        if !files.iter().any(stands) {
            let help = nearest::help(
                job,
                "jobs",
                project.jobs.iter().map(|job| job.name.as_str()),
            );
            found
                .errors
                .push(Diagnostic::bare(format!("no job `{job}` to set `{setting}` of")).help(help));
        }
    }
}

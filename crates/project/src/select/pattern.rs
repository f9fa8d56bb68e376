//! What a term matches: names, folders, paths, tags, with shell wildcards.

use std::path::Path;

use factmill_core::diagnostic::Diagnostic;
use regex::Regex;

use super::term::{Method, Term};
use crate::model::Dependency;
use crate::nearest;
use crate::project::Project;

/// Whether a node is what a term names, leaving parents and children aside.
pub(super) fn matches(project: &Project, node: &Dependency, term: &Term<'_>) -> bool {
    let value = term.value;
    match term.method {
        Method::Fqn => names(project, &project.fqn(node), value),
        Method::Path => file(project, node).is_some_and(|file| is_below(file, value)),
        Method::File => file(project, node).is_some_and(|file| {
            let same = |part: Option<&std::ffi::OsStr>| {
                part.and_then(|part| part.to_str())
                    .is_some_and(|part| like(value, part))
            };
            same(file.file_name()) || same(file.file_stem())
        }),
        Method::Tag => tags(project, node).iter().any(|tag| like(value, tag)),
        Method::Source => match node {
            Dependency::Source(name) => match value.split_once('.') {
                Some((group, table)) => like(group, name.group()) && like(table, name.table()),
                None => like(value, name.group()),
            },
            _ => false,
        },
        Method::ResourceType => like(value, kind(node)),
        Method::Config(key) => setting(project, node, key)
            .iter()
            .any(|setting| like(value, setting)),
    }
}

/// The diagnostic for a term that matches nothing.
pub(super) fn nothing(project: &Project, term: &Term<'_>) -> Diagnostic {
    let value = term.value;
    let all = project.nodes();
    let (what, known): (&str, Vec<String>) = match term.method {
        Method::Fqn => {
            let parts = all.iter().flat_map(|node| project.fqn(node));
            ("models and folders", parts.collect())
        }
        Method::Path | Method::File => {
            let files = all.iter().filter_map(|node| file(project, node));
            (
                "files",
                files.map(|file| file.display().to_string()).collect(),
            )
        }
        Method::Tag => (
            "tags",
            all.iter()
                .flat_map(|node| tags(project, node).to_vec())
                .collect(),
        ),
        Method::Source => (
            "sources",
            project
                .sources
                .iter()
                .map(|source| source.name.to_string())
                .collect(),
        ),
        Method::ResourceType => (
            "types",
            ["model", "seed", "source"].map(str::to_owned).to_vec(),
        ),
        Method::Config(key) => (
            "values",
            all.iter()
                .flat_map(|node| setting(project, node, key))
                .collect(),
        ),
    };
    let known: std::collections::BTreeSet<&str> = known.iter().map(String::as_str).collect();
    Diagnostic::bare(format!("selection `{value}` matches nothing"))
        .help(nearest::help(value, what, known))
}

/// dbt's rule for names: the last part alone, or the parts from the top, with or without the
/// project's name.
fn names(project: &Project, fqn: &[String], value: &str) -> bool {
    if fqn.last().is_some_and(|name| like(value, name)) {
        return true;
    }
    let written: Vec<&str> = value.split('.').collect();
    let from_top = |parts: &[String]| {
        written.len() <= parts.len()
            && written
                .iter()
                .zip(parts)
                .all(|(pattern, part)| like(pattern, part))
    };
    from_top(fqn)
        || (written.first() == Some(&project.name.as_str()) && written.len() > 1 && {
            let inside = &written[1..];
            inside.len() <= fqn.len()
                && inside
                    .iter()
                    .zip(fqn)
                    .all(|(pattern, part)| like(pattern, part))
        })
        || value == project.name
}

fn is_below(file: &Path, value: &str) -> bool {
    let value = value.trim_start_matches("./").trim_end_matches('/');
    file.ancestors()
        .any(|part| part.to_str().is_some_and(|part| like(value, part)))
}

fn file<'p>(project: &'p Project, node: &Dependency) -> Option<&'p Path> {
    match node {
        Dependency::Model(name) => project.model(name).map(|model| model.file.as_path()),
        Dependency::Seed(name) => project.seed(name).map(|seed| seed.file.as_path()),
        Dependency::Source(name) => project
            .source(name)
            .map(|source| source.location.file.as_path()),
    }
}

fn tags<'p>(project: &'p Project, node: &Dependency) -> &'p [String] {
    match node {
        Dependency::Model(name) => project.model(name).map(|model| model.tags.as_slice()),
        Dependency::Seed(name) => project.seed(name).map(|seed| seed.tags.as_slice()),
        Dependency::Source(name) => project.source(name).map(|source| source.tags.as_slice()),
    }
    .unwrap_or_default()
}

fn kind(node: &Dependency) -> &'static str {
    match node {
        Dependency::Model(_) => "model",
        Dependency::Seed(_) => "seed",
        Dependency::Source(_) => "source",
    }
}

/// The values of a configuration, one for each item of a list.
fn setting(project: &Project, node: &Dependency, key: &str) -> Vec<String> {
    let model = match node {
        Dependency::Model(name) => project.model(name),
        Dependency::Seed(_) if key == "materialized" => return vec!["seed".into()],
        _ => None,
    };
    let Some(model) = model else {
        return if key == "tags" {
            tags(project, node).to_vec()
        } else {
            Vec::new()
        };
    };
    match key {
        "materialized" => vec![model.materialized.as_str().to_owned()],
        "schema" => vec![model.relation.schema.clone()],
        "alias" => vec![model.relation.name.clone()],
        "unique_key" => model.unique_key.clone(),
        "tags" => model.tags.clone(),
        _ => Vec::new(),
    }
}

/// Whether text matches a pattern of `*`, `?` and `[…]`.
fn like(pattern: &str, text: &str) -> bool {
    if !pattern.contains(['*', '?', '[']) {
        return pattern == text;
    }
    let mut regex = String::from("^(?s:");
    let mut in_set = false;
    for c in pattern.chars() {
        match c {
            '*' if !in_set => regex.push_str(".*"),
            '?' if !in_set => regex.push('.'),
            '[' if !in_set => {
                in_set = true;
                regex.push('[');
            }
            ']' if in_set => {
                in_set = false;
                regex.push(']');
            }
            '!' if regex.ends_with('[') => regex.push('^'),
            '-' if in_set => regex.push('-'),
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
    }
    regex.push_str(")$");
    // a set that does not end is text after all
    Regex::new(&regex).map_or(pattern == text, |regex| regex.is_match(text))
}

//! Models: rendered once to learn what they say of themselves, then with their relations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use factmill_core::diagnostic::{Diagnostic, Location};
use factmill_core::table::TableName;

use super::Context;
use crate::discover::{ModelFile, beginning};
use crate::graph::{self, Reads};
use crate::identifier;
use crate::jinja::{Captured, Names, Reference, SourceFile, find_word};
use crate::model::{Dependency, Materialized, Model, ModelMeta};
use crate::nearest;
use crate::properties::NodeProperties;
use crate::seed::Seed;
use crate::settings::Settings;
use crate::yaml::{Found, Node};

mod meta;

/// Model files with what is known of them before rendering.
pub(super) struct Drafts<'l> {
    drafts: Vec<Draft<'l>>,
    disabled: BTreeSet<String>,
}

struct Draft<'l> {
    name: String,
    file: &'l SourceFile,
    properties: Option<&'l NodeProperties>,
    settings: Settings,
}

/// Models as they are in the project.
pub(super) struct Resolved {
    /// In topological order.
    pub(super) models: Vec<Model>,
    pub(super) names: Names,
    pub(super) files: BTreeMap<String, SourceFile>,
    /// Where models read `this`.
    pub(super) uses_this: BTreeMap<String, Location>,
    /// Whether every model could be rendered and ordered.
    pub(super) is_whole: bool,
}

impl Drafts<'_> {
    /// The names of all models, disabled ones too.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.drafts
            .iter()
            .map(|draft| draft.name.as_str())
            .chain(self.disabled.iter().map(String::as_str))
    }
}

/// The files with their settings from the tree and from YAML.
pub(super) fn drafts<'l>(
    context: &Context<'l>,
    files: &'l [ModelFile],
    found: &mut Found,
) -> Drafts<'l> {
    let mut drafts: Vec<Draft<'l>> = Vec::new();
    let mut disabled = BTreeSet::new();
    for file in files {
        let Some(name) = file.fqn.last().cloned() else {
            continue;
        };
        let properties = context
            .properties
            .models
            .iter()
            .find(|properties| properties.name == name);
        let mut settings = Settings::of_tree(
            context.dbt.models.as_ref(),
            &context.dbt.name,
            &file.fqn,
            found,
        );
        settings.apply_properties(properties, found);
        settings.render(context.jinja, found);
        if let Some(first) = drafts.iter().find(|draft| draft.name == name) {
            let message = format!(
                "model `{name}` stands twice, first in {}",
                first.file.path.display()
            );
            let help = format!(
                "a model name stands once in a project: name the file `<job>__{name}.sql` and set `alias: {name}`"
            );
            found.error_with_help(&beginning(&file.file.path), message, help);
            continue;
        }
        if !settings.is_enabled(found) {
            disabled.insert(name);
            continue;
        }
        drafts.push(Draft {
            name,
            file: &file.file,
            properties,
            settings,
        });
    }
    Drafts { drafts, disabled }
}

/// Renders, names and orders the models.
pub(super) fn resolve(
    context: &Context<'_>,
    drafts: Drafts<'_>,
    seeds: &[Seed],
    found: &mut Found,
) -> Resolved {
    let mut names = Names {
        project: context.dbt.name.clone(),
        refs: seeds
            .iter()
            .map(|seed| (seed.name.clone(), seed.relation.clone()))
            .collect(),
        disabled: drafts.disabled,
        sources: context
            .properties
            .sources
            .iter()
            .map(|declared| declared.source.name.clone())
            .collect(),
    };
    for draft in &drafts.drafts {
        if let Some(seed) = seeds.iter().find(|seed| seed.name == draft.name) {
            let message = format!(
                "model `{}` has the name of the seed {}",
                draft.name,
                seed.file.display()
            );
            found.error(&beginning(&draft.file.path), message);
        }
        // until its own configuration is known, a model's relation is its name
        let relation = TableName {
            schema: String::new(),
            name: draft.name.clone(),
        };
        names.refs.insert(draft.name.clone(), relation);
    }
    let (mut captured, mut is_whole) = (Vec::new(), true);
    let known = Arc::new(names.clone());
    for mut draft in drafts.drafts {
        let nowhere = known.refs[&draft.name].clone();
        match context
            .jinja
            .render(draft.file, &known, &nowhere, &mut found.errors)
        {
            Some((_, said)) => {
                let at = config_place(draft.file);
                for (key, value) in &said.config {
                    draft
                        .settings
                        .apply(key, &at, &Node::from_json(value, &at), found);
                }
                if draft.settings.is_enabled(found) {
                    captured.push((draft, said));
                } else {
                    names.refs.remove(&draft.name);
                    names.disabled.insert(draft.name);
                }
            }
            None => is_whole = false,
        }
    }
    finish(context, captured, names, seeds, is_whole, found)
}

/// The second rendering, with every relation in its place.
fn finish(
    context: &Context<'_>,
    captured: Vec<(Draft<'_>, Captured)>,
    mut names: Names,
    seeds: &[Seed],
    mut is_whole: bool,
    found: &mut Found,
) -> Resolved {
    for (draft, _) in &captured {
        names
            .refs
            .insert(draft.name.clone(), relation(context, draft, found));
    }
    refuse_shared_relations(&captured, &names, seeds, found);
    let names = Arc::new(names);
    let mut models = BTreeMap::new();
    let (mut files, mut uses_this) = (BTreeMap::new(), BTreeMap::new());
    for (draft, said) in captured {
        let relation = names.refs[&draft.name].clone();
        let Some((sql, _)) = context
            .jinja
            .render(draft.file, &names, &relation, &mut found.errors)
        else {
            is_whole = false;
            continue;
        };
        if said.uses_this {
            uses_this.insert(draft.name.clone(), place_of_word(draft.file, "this"));
        }
        files.insert(draft.name.clone(), draft.file.clone());
        let depends_on = said
            .references
            .into_iter()
            .map(|reference| match reference {
                Reference::Ref(name) if seeds.iter().any(|seed| seed.name == name) => {
                    Dependency::Seed(name)
                }
                Reference::Ref(name) => Dependency::Model(name),
                Reference::Source(name) => Dependency::Source(name),
            });
        let depends_on = depends_on.collect();
        let model = model(&draft, relation, sql, depends_on, found);
        models.insert(model.name.clone(), model);
    }
    let names = Arc::unwrap_or_clone(names);
    check_tests(&models, context, &names, found);
    let models = ordered(models, &mut is_whole, found);
    Resolved {
        models,
        names,
        files,
        uses_this,
        is_whole,
    }
}

fn model(
    draft: &Draft<'_>,
    relation: TableName,
    sql: crate::rendered::Rendered,
    depends_on: Vec<Dependency>,
    found: &mut Found,
) -> Model {
    let (description, columns, tests) = draft
        .properties
        .map(|properties| {
            (
                properties.description.clone(),
                properties.columns.clone(),
                properties.tests.clone(),
            )
        })
        .unwrap_or_default();
    let unique_key = draft.settings.texts("unique_key", found);
    Model {
        name: draft.name.clone(),
        relation,
        file: draft.file.path.clone(),
        sql,
        materialized: materialized(&draft.settings, found),
        unique_key,
        depends_on,
        columns,
        description,
        tags: draft.settings.tags(),
        tests,
        factmill: draft
            .settings
            .factmill()
            .map_or_else(ModelMeta::default, |node| meta::read(node, found)),
    }
}

fn materialized(settings: &Settings, found: &mut Found) -> Materialized {
    let Some(word) = settings.text("materialized", found) else {
        return Materialized::View;
    };
    Materialized::parse(&word).unwrap_or_else(|| {
        if let Some(node) = settings.get("materialized") {
            let help = nearest::help_with_all(&word, "materializations", Materialized::NAMES);
            let diagnostic = Diagnostic::at(
                node.location.clone(),
                format!("no materialization `{word}`"),
            )
            .help(help);
            if !found.errors.contains(&diagnostic) {
                found.errors.push(diagnostic);
            }
        }
        Materialized::View
    })
}

fn relation(context: &Context<'_>, draft: &Draft<'_>, found: &mut Found) -> TableName {
    let at = beginning(&draft.file.path);
    let schema = draft.settings.text("schema", found);
    let relation = TableName {
        schema: context
            .jinja
            .schema_name(schema.as_deref(), &draft.name, &mut found.errors),
        name: draft
            .settings
            .text("alias", found)
            .unwrap_or_else(|| draft.name.clone()),
    };
    let place = |key: &str| draft.settings.get(key).map_or(&at, |node| &node.location);
    identifier::check_schema(&relation.schema, place("schema"), found);
    identifier::check_table(&relation.name, place("alias"), found);
    relation
}

/// Two models, or a model and a seed, cannot be one table.
fn refuse_shared_relations(
    captured: &[(Draft<'_>, Captured)],
    names: &Names,
    seeds: &[Seed],
    found: &mut Found,
) {
    let mut taken: BTreeMap<&TableName, String> = seeds
        .iter()
        .map(|seed| (&seed.relation, format!("seed `{}`", seed.name)))
        .collect();
    for (draft, _) in captured {
        let relation = &names.refs[&draft.name];
        let this = format!("model `{}`", draft.name);
        if let Some(other) = taken.get(relation) {
            let message = format!("{this} lands in {relation}, as {other} does");
            found.error_with_help(
                &beginning(&draft.file.path),
                message,
                "give one of them another `alias` or `schema`",
            );
        } else {
            taken.insert(relation, this);
        }
    }
}

fn ordered(
    mut models: BTreeMap<String, Model>,
    is_whole: &mut bool,
    found: &mut Found,
) -> Vec<Model> {
    let reads: Reads = models
        .values()
        .map(|model| {
            let read = model.depends_on.iter().filter_map(|read| match read {
                Dependency::Model(name) => Some(name.clone()),
                _ => None,
            });
            (model.name.clone(), read.collect())
        })
        .collect();
    match graph::order(&reads) {
        Ok(order) => order
            .iter()
            .filter_map(|name| models.remove(name))
            .collect(),
        Err(cycles) => {
            *is_whole = false;
            for cycle in cycles {
                let first = cycle[0].clone();
                let at = models.get(&first).map(|model| beginning(&model.file));
                let way = cycle
                    .iter()
                    .chain([&first])
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(" -> ");
                found.errors.push(Diagnostic {
                    location: at,
                    message: format!("models read each other in a circle: {way}"),
                    help: Some("take one of these refs out".into()),
                });
            }
            models.into_values().collect()
        }
    }
}

/// Tests that are not dbt's own have a macro; `relationships` name a model.
fn check_tests(
    models: &BTreeMap<String, Model>,
    context: &Context<'_>,
    names: &Names,
    found: &mut Found,
) {
    const GENERIC: [&str; 4] = ["unique", "not_null", "accepted_values", "relationships"];
    let of_macros = context.jinja.tests();
    for test in models.values().flat_map(|model| &model.tests) {
        let known = || {
            GENERIC
                .into_iter()
                .chain(of_macros.iter().map(String::as_str))
        };
        // tests of packages, `package.test`, are the package's
        if !test.kind.contains('.') && !known().any(|known| known == test.kind) {
            let help = nearest::help(&test.kind, "tests", known());
            found.error_with_help(&test.location, format!("no test `{}`", test.kind), help);
        }
        let to = test.arguments.get("to").and_then(serde_json::Value::as_str);
        let referred = to
            .filter(|_| test.kind == "relationships")
            .and_then(referred);
        if let Some(name) = referred.filter(|name| !names.refs.contains_key(*name)) {
            let help = nearest::help(
                name,
                "models and seeds",
                names.refs.keys().map(String::as_str),
            );
            found.error_with_help(&test.location, format!("no model or seed `{name}`"), help);
        }
    }
}

/// The name in `ref('name')`.
fn referred(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("ref(")?.strip_suffix(')')?.trim();
    let quote = inside
        .chars()
        .next()
        .filter(|quote| matches!(quote, '\'' | '"'))?;
    let name = inside.strip_prefix(quote)?.strip_suffix(quote)?;
    (!name.contains(quote)).then_some(name)
}

/// Where the file calls `config()`: the place of what it configures.
fn config_place(file: &SourceFile) -> Location {
    place_of_word(file, "config")
}

fn place_of_word(file: &SourceFile, word: &str) -> Location {
    match find_word(&file.text, word) {
        Some(at) => crate::jinja::location(&file.path, &file.text, at),
        None => beginning(&file.path),
    }
}

//! The configuration of one model or seed, put together from where dbt lets it stand: the tree in
//! `dbt_project.yml`, then the YAML beside the SQL, then `config()` in the file; the later wins,
//! tags add up, and `meta` is merged by key.

use std::collections::{BTreeMap, BTreeSet};

use factmill_core::diagnostic::{Diagnostic, Location};

use crate::jinja::Jinja;
use crate::nearest;
use crate::properties::NodeProperties;
use crate::yaml::{Content, Entry, Found, Node, Plain, Scalar};

/// The configurations that dbt knows for models and seeds, the Postgres adapter's among them.
const KNOWN: [&str; 43] = [
    "enabled",
    "materialized",
    "schema",
    "alias",
    "database",
    "tags",
    "meta",
    "unique_key",
    "description",
    "docs",
    "pre-hook",
    "pre_hook",
    "post-hook",
    "post_hook",
    "persist_docs",
    "quoting",
    "full_refresh",
    "grants",
    "contract",
    "group",
    "access",
    "on_schema_change",
    "on_configuration_change",
    "on_error",
    "packages",
    "freshness",
    "event_time",
    "batch_size",
    "begin",
    "lookback",
    "concurrent_batches",
    "incremental_strategy",
    "incremental_predicates",
    "merge_update_columns",
    "merge_exclude_columns",
    "indexes",
    "unlogged",
    "sql_header",
    "column_types",
    "delimiter",
    "quote_columns",
    "static_analysis",
    "constraints",
];

/// One node's settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    values: BTreeMap<String, Node>,
    tags: BTreeSet<String>,
    meta: BTreeMap<String, Node>,
}

impl Settings {
    /// What the tree of `dbt_project.yml` says of the node with this fqn.
    pub(crate) fn of_tree(
        tree: Option<&Node>,
        project: &str,
        fqn: &[String],
        found: &mut Found,
    ) -> Self {
        let mut settings = Self::default();
        let Some(mut level) = tree else {
            return settings;
        };
        settings.apply_level(level, found);
        for folder in std::iter::once(project).chain(fqn.iter().map(String::as_str)) {
            match level.get(folder) {
                Some(deeper) if !is_setting(folder, deeper) => level = deeper,
                _ => break,
            }
            settings.apply_level(level, found);
        }
        settings
    }

    fn apply_level(&mut self, level: &Node, found: &mut Found) {
        for entry in level.entries() {
            match entry.key.strip_prefix('+') {
                Some(key) => self.apply(key, &entry.key_location, &entry.value, found),
                None if is_setting(&entry.key, &entry.value) => {
                    self.apply(&entry.key, &entry.key_location, &entry.value, found);
                }
                None => {}
            }
        }
    }

    /// What the YAML beside the file says.
    pub(crate) fn apply_properties(
        &mut self,
        properties: Option<&NodeProperties>,
        found: &mut Found,
    ) {
        let Some(properties) = properties else {
            return;
        };
        if let Some(meta) = &properties.meta {
            self.apply("meta", &meta.location, meta, found);
        }
        if let Some(config) = &properties.config {
            self.apply_map(config, found);
        }
    }

    /// What a `config:` map says.
    fn apply_map(&mut self, config: &Node, found: &mut Found) {
        if !matches!(config.content, Content::Map(_)) {
            found.error(
                &config.location,
                format!("expected a map for `config`, found {}", config.describe()),
            );
        }
        for entry in config.entries() {
            self.apply(&entry.key, &entry.key_location, &entry.value, found);
        }
    }

    /// One setting; what was said before gives way.
    pub(crate) fn apply(&mut self, key: &str, at: &Location, value: &Node, found: &mut Found) {
        match key {
            "tags" => self.tags.extend(texts(value, key, found)),
            "meta" => {
                let entries = value.entries().iter();
                self.meta
                    .extend(entries.map(|entry| (entry.key.clone(), entry.value.clone())));
            }
            _ if KNOWN.contains(&key) => {
                self.values.insert(key.to_owned(), value.clone());
            }
            _ => unknown(key, at, found),
        }
    }

    /// The value of a setting that is not null.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// A setting that is text.
    pub(crate) fn text(&self, key: &str, found: &mut Found) -> Option<String> {
        let node = self.get(key)?;
        let text = node.text().map(str::to_owned);
        if text.is_none() {
            found.error(
                &node.location,
                format!("expected text for `{key}`, found {}", node.describe()),
            );
        }
        text
    }

    /// A setting that is one text or several.
    pub(crate) fn texts(&self, key: &str, found: &mut Found) -> Vec<String> {
        self.get(key)
            .map(|node| texts(node, key, found))
            .unwrap_or_default()
    }

    /// Whether the node is part of the project; true unless `enabled: false` is said.
    pub(crate) fn is_enabled(&self, found: &mut Found) -> bool {
        match self.get("enabled") {
            None => true,
            Some(node) => match &node.content {
                Content::Scalar(scalar) if let Plain::Boolean(enabled) = scalar.plain_value() => {
                    enabled
                }
                _ => {
                    found.error(
                        &node.location,
                        format!(
                            "expected true or false for `enabled`, found {}",
                            node.describe()
                        ),
                    );
                    true
                }
            },
        }
    }

    /// Tags, sorted.
    pub(crate) fn tags(&self) -> Vec<String> {
        self.tags.iter().cloned().collect()
    }

    /// What stands under `meta.factmill`.
    pub(crate) fn factmill(&self) -> Option<&Node> {
        self.meta.get("factmill").filter(|node| !node.is_null())
    }

    /// Renders the Jinja in settings: `schema: "{{ env_var('SCHEMA') }}"`.
    pub(crate) fn render(&mut self, jinja: &Jinja, found: &mut Found) {
        for node in self.values.values_mut().chain(self.meta.values_mut()) {
            render(node, jinja, found);
        }
    }
}

fn render(node: &mut Node, jinja: &Jinja, found: &mut Found) {
    match &mut node.content {
        Content::Scalar(scalar) => {
            if scalar.text().contains("{{") || scalar.text().contains("{%") {
                let rendered =
                    jinja.render_setting(scalar.text(), &node.location, &mut found.errors);
                // what comes out is what YAML would take it for, as in dbt
                *scalar = rendered.map_or_else(|| Scalar::quoted(""), Scalar::plain);
            }
        }
        Content::List(items) => items.iter_mut().for_each(|item| render(item, jinja, found)),
        Content::Map(entries) => entries
            .iter_mut()
            .for_each(|entry| render(&mut entry.value, jinja, found)),
    }
}

/// In the tree, a key without `+` is a setting where dbt has one of that name, unless a map stands
/// behind it: then it is a folder.
fn is_setting(key: &str, value: &Node) -> bool {
    KNOWN.contains(&key)
        && (!matches!(value.content, Content::Map(_)) || matches!(key, "meta" | "grants"))
}

fn unknown(key: &str, at: &Location, found: &mut Found) {
    let diagnostic = Diagnostic::at(at.clone(), format!("unknown configuration `{key}`"));
    let (list, help) = match nearest::nearest(key, KNOWN) {
        Some(near) => (&mut found.errors, format!("did you mean `{near}`?")),
        None => (
            &mut found.warnings,
            "it is ignored; what is yours goes under `meta`".to_owned(),
        ),
    };
    let diagnostic = diagnostic.help(help);
    // one line of the tree speaks for many models
    if !list.contains(&diagnostic) {
        list.push(diagnostic);
    }
}

/// One text or a list of them.
fn texts(node: &Node, key: &str, found: &mut Found) -> Vec<String> {
    crate::yaml::texts(node, key, found)
}

/// Folders that a tree of `dbt_project.yml` names and that hold nothing: likely a typing error.
pub(crate) fn unused_folders(
    tree: Option<&Node>,
    project: &str,
    fqns: &[Vec<String>],
    found: &mut Found,
) {
    let Some(tree) = tree else {
        return;
    };
    for entry in folders(tree) {
        if entry.key == project {
            let fqns: Vec<&[String]> = fqns.iter().map(Vec::as_slice).collect();
            unused_below(&entry.value, &fqns, found);
        } else {
            let help = nearest::help(&entry.key, "projects", [project]);
            let message = format!("no project or package `{}`", entry.key);
            found
                .warnings
                .push(Diagnostic::at(entry.key_location.clone(), message).help(help));
        }
    }
}

fn folders(level: &Node) -> impl Iterator<Item = &Entry> {
    let is_folder =
        |entry: &&Entry| !entry.key.starts_with('+') && !is_setting(&entry.key, &entry.value);
    level.entries().iter().filter(is_folder)
}

fn unused_below(level: &Node, fqns: &[&[String]], found: &mut Found) {
    for entry in folders(level) {
        let inside: Vec<&[String]> = fqns
            .iter()
            .filter(|fqn| fqn.first() == Some(&entry.key))
            .map(|fqn| &fqn[1..])
            .collect();
        if inside.is_empty() {
            let known: BTreeSet<&str> = fqns
                .iter()
                .filter_map(|fqn| fqn.first())
                .map(String::as_str)
                .collect();
            let message = format!("nothing lies in `{}`, so this has no effect", entry.key);
            let help = nearest::help(&entry.key, "names", known);
            found
                .warnings
                .push(Diagnostic::at(entry.key_location.clone(), message).help(help));
        } else {
            unused_below(&entry.value, &inside, found);
        }
    }
}

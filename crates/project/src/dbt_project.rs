//! `dbt_project.yml`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::yaml::{Content, Fields, Found, Node};

/// What factmill takes from `dbt_project.yml`.
#[derive(Debug, Clone, Default)]
pub(crate) struct DbtProject {
    pub(crate) name: String,
    pub(crate) model_paths: Vec<String>,
    pub(crate) seed_paths: Vec<String>,
    pub(crate) macro_paths: Vec<String>,
    pub(crate) vars: BTreeMap<String, serde_json::Value>,
    /// The tree under `models:`.
    pub(crate) models: Option<Node>,
    /// The tree under `seeds:`.
    pub(crate) seeds: Option<Node>,
}

/// Keys of dbt that do not change what factmill reads.
const OTHERS: [&str; 35] = [
    "version",
    "config-version",
    "profile",
    "require-dbt-version",
    "analysis-paths",
    "test-paths",
    "snapshot-paths",
    "docs-paths",
    "asset-paths",
    "function-paths",
    "target-path",
    "log-path",
    "packages-install-path",
    "clean-targets",
    "query-comment",
    "quoting",
    "dispatch",
    "flags",
    "on-run-start",
    "on-run-end",
    "snapshots",
    "sources",
    "tests",
    "data_tests",
    "unit_tests",
    "exposures",
    "metrics",
    "semantic-models",
    "saved-queries",
    "restrict-access",
    "dbt-cloud",
    "analyses",
    "functions",
    "state-path",
    "validation",
];

impl DbtProject {
    /// Reads the parsed file.
    pub(crate) fn read(node: &Node, found: &mut Found) -> Self {
        let Some(fields) = Fields::of(node, "a dbt project", found) else {
            return Self::default();
        };
        let name = fields.required_text("name", found).unwrap_or_default();
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            let help = "letters, digits and `_`, not beginning with a digit";
            found.error_with_help(
                node.locate(&["name"]),
                format!("`{name}` cannot be a project's name"),
                help,
            );
        }
        let paths = |key: &'static str, default: &str, found: &mut Found| match fields.get(key) {
            Some(_) => inside(fields.texts(key, found), node.locate(&[key]), found),
            None => vec![default.to_owned()],
        };
        let project = Self {
            model_paths: paths("model-paths", "models", found),
            seed_paths: paths("seed-paths", "seeds", found),
            macro_paths: paths("macro-paths", "macros", found),
            vars: fields
                .get("vars")
                .map(|vars| variables(vars, &name, found))
                .unwrap_or_default(),
            models: fields.get("models").cloned(),
            seeds: fields.get("seeds").cloned(),
            name,
        };
        fields.finish(&OTHERS, found);
        project
    }
}

/// Paths stay in the project: what lies outside is not the project's to read.
fn inside(
    paths: Vec<String>,
    at: &factmill_core::diagnostic::Location,
    found: &mut Found,
) -> Vec<String> {
    let is_inside = |path: &String| {
        let parts = Path::new(path).components();
        parts.into_iter().all(|part| {
            matches!(
                part,
                std::path::Component::Normal(_) | std::path::Component::CurDir
            )
        })
    };
    if let Some(outside) = paths.iter().find(|path| !is_inside(path)) {
        found.error(at, format!("path `{outside}` leads out of the project"));
    }
    paths.into_iter().filter(is_inside).collect()
}

/// `vars:`, those under the project's own name winning over those for all packages.
fn variables(node: &Node, project: &str, found: &mut Found) -> BTreeMap<String, serde_json::Value> {
    if !matches!(node.content, Content::Map(_)) {
        found.error(
            &node.location,
            format!("expected a map for `vars`, found {}", node.describe()),
        );
    }
    let own = node.get(project).map(Node::entries).unwrap_or_default();
    let general = node.entries().iter().filter(|entry| entry.key != project);
    general
        .chain(own)
        .map(|entry| (entry.key.clone(), entry.value.to_json()))
        .collect()
}

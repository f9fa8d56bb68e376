//! The YAML beside the SQL: what it says of models, seeds and sources.

mod columns;
mod contract;
mod tests;

use factmill_core::diagnostic::Location;

use crate::model::{ColumnProperty, DataTest};
use crate::source::ProjectSource;
use crate::unit_test::{self, UnitTest};
use crate::yaml::{Content, Fields, Found, Node};

/// All properties of a project.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    pub(crate) models: Vec<NodeProperties>,
    pub(crate) seeds: Vec<NodeProperties>,
    pub(crate) sources: Vec<DeclaredSource>,
    pub(crate) unit_tests: Vec<UnitTest>,
}

/// What YAML says of one model or seed.
#[derive(Debug, Clone)]
pub(crate) struct NodeProperties {
    pub(crate) name: String,
    pub(crate) location: Location,
    pub(crate) description: Option<String>,
    pub(crate) columns: Vec<ColumnProperty>,
    pub(crate) tests: Vec<DataTest>,
    /// The `config:` map.
    pub(crate) config: Option<Node>,
    /// A `meta:` outside `config`, dbt's older form.
    pub(crate) meta: Option<Node>,
}

/// A source, and what keeps it from being read by a job.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredSource {
    pub(crate) source: ProjectSource,
    /// Columns without a `data_type`: fine for dbt, not for a job that has to decode them.
    pub(crate) untyped: Vec<(String, Location)>,
    /// Where its key is declared, or the source where it has none.
    pub(crate) key_place: Location,
}

/// Sections of property files that factmill does not read.
const OTHER_SECTIONS: [&str; 13] = [
    "version",
    "snapshots",
    "analyses",
    "exposures",
    "macros",
    "data_tests",
    "tests",
    "groups",
    "metrics",
    "semantic_models",
    "saved_queries",
    "functions",
    "anchors",
];

/// Keys of a model or a seed that factmill does not read.
const OTHER_KEYS: [&str; 13] = [
    "docs",
    "latest_version",
    "deprecation_date",
    "access",
    "versions",
    "constraints",
    "group",
    "data_type",
    "schema",
    "patch_path",
    "time_spine",
    "agg_time_dimension",
    "semantic_model",
];

impl Properties {
    /// Reads one parsed file.
    pub(crate) fn read(&mut self, file: &Node, found: &mut Found) {
        if file.is_null() {
            return;
        }
        let Some(fields) = Fields::of(file, "a properties file", found) else {
            return;
        };
        for node in fields.list("models", found) {
            self.models.extend(node_properties(node, "a model", found));
        }
        for node in fields.list("seeds", found) {
            self.seeds.extend(node_properties(node, "a seed", found));
        }
        for node in fields.list("sources", found) {
            self.source_group(node, found);
        }
        for node in fields.list("unit_tests", found) {
            self.unit_tests.extend(unit_test::read(node, found));
        }
        fields.finish(&OTHER_SECTIONS, found);
    }

    fn source_group(&mut self, node: &Node, found: &mut Found) {
        let Some(fields) = Fields::of(node, "a source", found) else {
            return;
        };
        let group = fields.required_text("name", found);
        let mut tags = fields.texts("tags", found);
        let config = fields.get("config");
        tags.extend(config_tags(config, found));
        fields.text("description", found);
        let tables = fields.list("tables", found);
        fields.finish(&contract::OTHER_GROUP_KEYS, found);
        let Some(group) = group else {
            return;
        };
        for table in tables {
            let Some(declared) = contract::table(table, &group, &tags, found) else {
                continue;
            };
            let name = &declared.source.name;
            if let Some(first) = self.sources.iter().find(|known| known.source.name == *name) {
                let message = format!(
                    "source `{name}` is declared twice, first at {}",
                    first.source.location
                );
                found.error(&declared.source.location, message);
                continue;
            }
            self.sources.push(declared);
        }
    }

    /// The properties of a model or seed among `list`, and of no other: naming one twice is an error.
    pub(crate) fn duplicates(list: &[NodeProperties], what: &str, found: &mut Found) {
        for (index, properties) in list.iter().enumerate() {
            if let Some(first) = list[..index]
                .iter()
                .find(|first| first.name == properties.name)
            {
                let message = format!(
                    "{what} `{}` is described twice, first at {}",
                    properties.name, first.location
                );
                found.error(&properties.location, message);
            }
        }
    }
}

fn node_properties(node: &Node, what: &'static str, found: &mut Found) -> Option<NodeProperties> {
    let fields = Fields::of(node, what, found)?;
    let name = fields.required_text("name", found);
    let mut tests = tests::of(&fields, None, found);
    let description = fields.text("description", found);
    let mut columns = Vec::new();
    for column in fields.list("columns", found) {
        let Some((property, column_tests)) = columns::property(column, found) else {
            continue;
        };
        columns::refuse_second(&columns, &property, found);
        tests.extend(column_tests);
        columns.push(property);
    }
    let properties = NodeProperties {
        location: node.locate(&["name"]).clone(),
        description,
        columns,
        tests,
        config: fields.get("config").cloned(),
        meta: fields.get("meta").cloned(),
        name: name.clone().unwrap_or_default(),
    };
    fields.finish(&OTHER_KEYS, found);
    name.map(|_| properties)
}

fn config_tags(config: Option<&Node>, found: &mut Found) -> Vec<String> {
    let tags = config
        .and_then(|config| config.get("tags"))
        .filter(|tags| !tags.is_null());
    tags.map(|tags| crate::yaml::texts(tags, "tags", found))
        .unwrap_or_default()
}

/// `meta.factmill`, from `config:` or from dbt's older place beside it.
fn factmill_meta<'n>(fields: &Fields<'n>, found: &mut Found) -> Option<&'n Node> {
    let config = fields.get("config");
    if let Some(config) = config
        && !matches!(config.content, Content::Map(_))
    {
        found.error(
            &config.location,
            format!("expected a map for `config`, found {}", config.describe()),
        );
    }
    let newer = config.and_then(|config| config.get("meta"));
    let older = fields.get("meta");
    [newer, older]
        .into_iter()
        .flatten()
        .find_map(|meta| meta.get("factmill"))
        .filter(|node| !node.is_null())
}

//! dbt's data tests of tables and columns.

use crate::model::DataTest;
use crate::yaml::{Content, Fields, Found, Node};

/// Keys of a test that are not its arguments.
const SETTINGS: [&str; 6] = [
    "config",
    "name",
    "test_name",
    "description",
    "arguments",
    "meta",
];
/// Settings that dbt also takes beside the arguments, its older form.
const OLDER: [&str; 9] = [
    "severity",
    "where",
    "limit",
    "warn_if",
    "error_if",
    "fail_calc",
    "store_failures",
    "tags",
    "enabled",
];

/// The tests under `data_tests:` and, its older name, `tests:`.
pub(super) fn of(fields: &Fields<'_>, column: Option<&str>, found: &mut Found) -> Vec<DataTest> {
    let nodes: Vec<&Node> = fields
        .list("data_tests", found)
        .iter()
        .chain(fields.list("tests", found))
        .collect();
    nodes
        .into_iter()
        .filter_map(|node| test(node, column, found))
        .collect()
}

fn test(node: &Node, column: Option<&str>, found: &mut Found) -> Option<DataTest> {
    let simple = |kind: &str| DataTest {
        kind: kind.to_owned(),
        column: column.map(str::to_owned),
        arguments: serde_json::Map::new(),
        warn_only: false,
        location: node.location.clone(),
    };
    match &node.content {
        Content::Scalar(_) if let Some(kind) = node.text() => Some(simple(kind)),
        // `- test_name: unique`, with its settings beside
        Content::Map(_) if let Some(kind) = node.get("test_name").and_then(Node::text) => {
            Some(with_settings(simple(kind), node))
        }
        Content::Map(entries) if let [entry] = entries.as_slice() => {
            Some(with_settings(simple(&entry.key), &entry.value))
        }
        _ => {
            let help = "`- unique`, or a map of one test and its settings: `- accepted_values: { arguments: … }`";
            found.error_with_help(
                &node.location,
                format!("expected a test, found {}", node.describe()),
                help,
            );
            None
        }
    }
}

fn with_settings(mut test: DataTest, settings: &Node) -> DataTest {
    let beside = settings.entries().iter().filter(|entry| {
        !SETTINGS.contains(&entry.key.as_str()) && !OLDER.contains(&entry.key.as_str())
    });
    let arguments = settings
        .get("arguments")
        .map(Node::entries)
        .unwrap_or_default();
    test.arguments = beside
        .chain(arguments)
        .map(|entry| (entry.key.clone(), entry.value.to_json()))
        .collect();
    let severity = settings
        .get("config")
        .and_then(|config| config.get("severity"))
        .or_else(|| settings.get("severity"));
    test.warn_only = severity
        .and_then(Node::text)
        .is_some_and(|severity| severity.eq_ignore_ascii_case("warn"));
    test
}

//! dbt's unit tests: a model's SQL over given rows, held to expected ones.

use std::collections::BTreeMap;

use factmill_core::diagnostic::{Diagnostic, Location};
use factmill_core::position::SourceName;

use crate::yaml::{Content, Fields, Found, Node};

/// One of `unit_tests:`.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitTest {
    /// Its name.
    pub name: String,
    /// The model that it is about.
    pub model: String,
    /// What it shows.
    pub description: Option<String>,
    /// What the model reads in it.
    pub given: Vec<Given>,
    /// What the model must give; only columns that are named here are compared.
    pub expect: GivenRows,
    /// `overrides.vars`.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// `overrides.env_vars`.
    pub environment: BTreeMap<String, String>,
    /// What dbt has and factmill does not; a test with any of it cannot be run.
    pub unsupported: Vec<Diagnostic>,
    /// Where its name stands.
    pub location: Location,
}

/// The rows that stand in the place of one input.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// The input.
    pub input: Input,
    /// Its rows; columns that they do not name are null.
    pub rows: GivenRows,
    /// Where it begins.
    pub location: Location,
}

/// What a model reads, as a unit test writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// `ref('name')` of a model or a seed.
    Ref(String),
    /// `source('group', 'table')`.
    Source(SourceName),
}

/// Rows as they are written.
#[derive(Debug, Clone, PartialEq)]
pub enum GivenRows {
    /// `format: dict`, the usual one, and `format: csv`.
    Rows(Vec<GivenRow>),
    /// `format: sql`: a query that gives them.
    Sql {
        /// The query.
        text: String,
        /// Where it begins.
        location: Location,
    },
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenRow {
    /// Its values by column: null, true, false, text (numbers too, as they are written), arrays and
    /// objects of these.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// Where it begins.
    pub location: Location,
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ref(name) => write!(f, "ref('{name}')"),
            Self::Source(name) => write!(f, "source('{}', '{}')", name.group(), name.table()),
        }
    }
}

/// Reads one of `unit_tests:`.
pub(crate) fn read(node: &Node, found: &mut Found) -> Option<UnitTest> {
    /// Keys that say nothing about the outcome.
    const OTHER: [&str; 3] = ["config", "versions", "meta"];
    let fields = Fields::of(node, "a unit test", found)?;
    let name = fields.required_text("name", found);
    let model = fields.required_text("model", found);
    let description = fields.text("description", found);
    let mut unsupported = Vec::new();
    let given = fields.list("given", found).iter();
    let given = given
        .filter_map(|node| given_of(node, &mut unsupported, found))
        .collect();
    let expect = match fields.get("expect") {
        Some(expect) => {
            let fields = Fields::of(expect, "`expect` of a unit test", found)?;
            let rows = rows(&fields, &mut unsupported, found);
            fields.finish(&[], found);
            rows
        }
        None => {
            found.error(fields.location(), "missing key `expect` in a unit test");
            None
        }
    };
    let (mut vars, mut environment) = (BTreeMap::new(), BTreeMap::new());
    if let Some(overrides) = fields.get("overrides") {
        for entry in overrides.entries() {
            let values = entry.value.entries().iter();
            match entry.key.as_str() {
                "vars" => {
                    vars.extend(values.map(|var| (var.key.clone(), var.value.to_json())));
                }
                "env_vars" => environment.extend(values.map(|var| {
                    let text = var.value.text().unwrap_or_default();
                    (var.key.clone(), text.to_owned())
                })),
                _ => unsupported.extend(entry.value.entries().iter().filter_map(overridden)),
            }
        }
    }
    let location = node.locate(&["name"]).clone();
    fields.finish(&OTHER, found);
    Some(UnitTest {
        name: name?,
        model: model?,
        description,
        given,
        expect: expect?,
        vars,
        environment,
        unsupported,
        location,
    })
}

/// What cannot be put in the place of a macro: anything but `is_incremental: false`, which is so.
fn overridden(of_macro: &crate::yaml::Entry) -> Option<Diagnostic> {
    let is_so = of_macro.key == "is_incremental" && of_macro.value.text() == Some("false");
    (!is_so).then(|| {
        let message = format!("the macro `{}` cannot be overridden", of_macro.key);
        Diagnostic::at(of_macro.key_location.clone(), message).help(
            "override a variable in `vars` instead; `is_incremental` is false in every unit test",
        )
    })
}

fn given_of(node: &Node, unsupported: &mut Vec<Diagnostic>, found: &mut Found) -> Option<Given> {
    let fields = Fields::of(node, "an input of a unit test", found)?;
    let written = fields.required_text("input", found);
    let rows = rows(&fields, unsupported, found);
    fields.finish(&[], found);
    let written = written?;
    let Some(input) = input(&written) else {
        let at = node.locate(&["input"]);
        if written.trim() == "this" {
            let message = "`this` is read only where `is_incremental()` is true";
            unsupported.push(Diagnostic::at(at.clone(), message).help("leave it out"));
        } else {
            found.error_with_help(
                at,
                format!("`{written}` is no input"),
                "write ref('model') or source('group', 'table')",
            );
        }
        return None;
    };
    Some(Given {
        input,
        rows: rows?,
        location: node.location.clone(),
    })
}

/// `ref('name')`, `ref('package', 'name')`, `source('group', 'table')`.
fn input(written: &str) -> Option<Input> {
    let (function, arguments) = written.trim().split_once('(')?;
    let arguments: Vec<&str> = arguments
        .trim_end()
        .strip_suffix(')')?
        .split(',')
        .map(|argument| argument.trim().trim_matches(['\'', '"']))
        .collect();
    match (function.trim(), arguments.as_slice()) {
        ("ref", [name] | [_, name]) => Some(Input::Ref((*name).to_owned())),
        ("source", [group, table]) => Some(Input::Source(SourceName::new(*group, *table))),
        _ => None,
    }
}

/// `rows` in the `format` that is named beside them.
fn rows(
    fields: &Fields<'_>,
    unsupported: &mut Vec<Diagnostic>,
    found: &mut Found,
) -> Option<GivenRows> {
    let format = fields.text("format", found);
    if let Some(fixture) = fields.get("fixture") {
        let message = "rows of a fixture file are not read";
        let help = "write them as `rows` beside it";
        unsupported.push(Diagnostic::at(fixture.location.clone(), message).help(help));
        return Some(GivenRows::Rows(Vec::new()));
    }
    let node = fields.get("rows");
    match format.as_deref() {
        None | Some("dict") => {
            let items = fields.list("rows", found).iter();
            Some(GivenRows::Rows(
                items.filter_map(|row| dict(row, found)).collect(),
            ))
        }
        Some("sql") => {
            let node = node?;
            let text = node.text()?.to_owned();
            let location = node.location.clone();
            Some(GivenRows::Sql { text, location })
        }
        Some("csv") => Some(GivenRows::Rows(csv(node?))),
        Some(other) => {
            let at = fields
                .get("format")
                .map_or(fields.location(), |node| &node.location);
            let message = format!("no format `{other}` of rows");
            found.error_with_help(at, message, "it is dict, csv or sql");
            None
        }
    }
}

fn dict(node: &Node, found: &mut Found) -> Option<GivenRow> {
    if !matches!(node.content, Content::Map(_)) {
        let message = format!("expected a row as a map, found {}", node.describe());
        found.error(&node.location, message);
        return None;
    }
    let values = node.entries().iter();
    Some(GivenRow {
        values: values
            .map(|entry| (entry.key.clone(), written(&entry.value)))
            .collect(),
        location: node.location.clone(),
    })
}

/// A value with its numbers as they are written: what they are says the column's type.
fn written(node: &Node) -> serde_json::Value {
    match &node.content {
        Content::Scalar(scalar) => match node.to_json() {
            serde_json::Value::Number(_) => scalar.text().into(),
            other => other,
        },
        Content::List(items) => items.iter().map(written).collect(),
        Content::Map(entries) => {
            let entries = entries.iter();
            let fields = entries.map(|entry| (entry.key.clone(), written(&entry.value)));
            serde_json::Value::Object(fields.collect())
        }
    }
}

/// Lines of values between commas under a line of names; nothing between two is null.
fn csv(node: &Node) -> Vec<GivenRow> {
    let mut lines = node
        .text()
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let cells = |line: &str| -> Vec<String> {
        line.split(',')
            .map(|cell| cell.trim().trim_matches('"').to_owned())
            .collect()
    };
    let names = lines.next().map(cells).unwrap_or_default();
    let row = |line: &str| {
        let values = cells(line).into_iter().map(|cell| match cell.is_empty() {
            true => serde_json::Value::Null,
            false => cell.into(),
        });
        GivenRow {
            values: names.iter().cloned().zip(values).collect(),
            location: node.location.clone(),
        }
    };
    lines.map(row).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::yaml::parse;

    fn read_text(text: &str) -> (Option<UnitTest>, Found) {
        let node = parse(text, Path::new("m.yml")).unwrap();
        let mut found = Found::default();
        (read(&node, &mut found), found)
    }

    #[test]
    fn values_are_kept_as_they_are_written() {
        let (test, found) = read_text(
            "name: t\nmodel: m\ngiven:\n  - input: ref('a')\n    rows:\n      - { n: 1.50, b: true, x: null, l: [{ p: 007 }] }\n\
             \x20 - input: source(\"s\", 't')\n    format: csv\n    rows: |\n      a,b\n      1,\nexpect: { rows: [] }\n",
        );
        assert!(found.errors.is_empty(), "{:?}", found.errors);
        let test = test.unwrap();
        let GivenRows::Rows(rows) = &test.given[0].rows else {
            unreachable!("rows are given as a list")
        };
        let values = serde_json::Value::Object(rows[0].values.clone());
        assert_eq!(
            values,
            serde_json::json!({ "n": "1.50", "b": true, "x": null, "l": [{ "p": "007" }] })
        );
        assert_eq!(
            test.given[1].input,
            Input::Source(SourceName::new("s", "t"))
        );
        let GivenRows::Rows(rows) = &test.given[1].rows else {
            unreachable!("CSV is a list of rows too")
        };
        let values = serde_json::Value::Object(rows[0].values.clone());
        assert_eq!(values, serde_json::json!({ "a": "1", "b": null }));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let (test, found) = read_text("name: t\nmodel: m\ngiven:\n  - { input: m.a, rows: [] }\n");
        assert!(test.is_none());
        let told: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        assert!(
            told.iter()
                .any(|one| one.starts_with("m.yml:4:14: `m.a` is no input"))
                && told.iter().any(|one| one.contains("missing key `expect`")),
            "{told:?}"
        );
    }

    #[test]
    fn a_macro_that_is_put_in_the_place_of_another_is_not_supported() {
        let (test, found) = read_text(
            "name: t\nmodel: m\noverrides:\n  vars: { a: 1 }\n  macros: { is_incremental: true }\nexpect: { rows: [] }\n",
        );
        assert!(found.errors.is_empty(), "{:?}", found.errors);
        let test = test.unwrap();
        assert_eq!(test.vars["a"], 1);
        assert_eq!(test.unsupported.len(), 1);
    }
}

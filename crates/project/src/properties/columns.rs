//! Columns of models and seeds.

use factmill_core::types::DeclaredType;

use super::tests;
use crate::model::{ColumnProperty, DataTest};
use crate::yaml::{Fields, Found, Node};

/// Keys of a column that factmill does not read.
pub(super) const OTHER_KEYS: [&str; 9] = [
    "quote",
    "tags",
    "policy_tags",
    "granularity",
    "entity",
    "dimension",
    "databricks_tags",
    "column_types",
    "docs",
];

/// One column of a model or a seed, and its tests.
pub(super) fn property(node: &Node, found: &mut Found) -> Option<(ColumnProperty, Vec<DataTest>)> {
    let fields = Fields::of(node, "a column", found)?;
    let name = fields.required_text("name", found);
    let property = ColumnProperty {
        description: fields.text("description", found),
        data_type: data_type(&fields, found),
        not_null: is_not_null(&fields, found),
        location: node.locate(&["name"]).clone(),
        name: name.clone().unwrap_or_default(),
    };
    let tests = tests::of(&fields, name.as_deref(), found);
    // the column's own configuration is for dbt
    fields.get("config");
    fields.get("meta");
    fields.finish(&OTHER_KEYS, found);
    name.map(|_| (property, tests))
}

/// The declared type; a wrong one is an error at its place.
pub(super) fn data_type(fields: &Fields<'_>, found: &mut Found) -> Option<DeclaredType> {
    let text = fields.text("data_type", found)?;
    let at = fields.get("data_type")?;
    match DeclaredType::parse(&text) {
        Ok(data_type) => Some(data_type),
        Err(error) => {
            found.error(&at.location, error.to_string());
            None
        }
    }
}

fn is_not_null(fields: &Fields<'_>, found: &mut Found) -> bool {
    fields.list("constraints", found).iter().any(|constraint| {
        let kind = constraint.get("type").and_then(Node::text);
        matches!(kind, Some("not_null" | "primary_key"))
    })
}

/// A column has one description.
pub(super) fn refuse_second(
    columns: &[ColumnProperty],
    column: &ColumnProperty,
    found: &mut Found,
) {
    if let Some(first) = columns.iter().find(|first| first.name == column.name) {
        let line = first.location.line;
        found.error(
            &column.location,
            format!(
                "column `{}` is described twice, first on line {line}",
                column.name
            ),
        );
    }
}

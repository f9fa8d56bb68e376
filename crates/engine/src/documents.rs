//! Models whose rows go to a collection: a document for each record, or for each key of a keyed
//! source.

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::JoinType;
use datafusion::logical_expr::LogicalPlan;
use factmill_core::diagnostic::{Diagnostic, Location};
use factmill_core::document::Collection;
use factmill_core::source_schema::deleted_field;
use factmill_core::table::Column;
use factmill_core::types::DeclaredType;
use factmill_project::model::ModelCollection;
use factmill_project::{Materialized, Model};
use std::sync::Arc;

use crate::columns;
use crate::graph::PlannedModel;
use crate::maintenance::order_field;

/// Digits of BSON's Decimal128.
const DECIMAL_DIGITS: u8 = 34;

/// A collection and the plan of its documents.
#[derive(Debug)]
pub(crate) struct DocumentChoice {
    pub(crate) collection: Collection,
    /// Reads placeholders; its last columns are the order of records and, where rows are changes of
    /// keys, whether the key goes away.
    pub(crate) plan: LogicalPlan,
    /// The plan's columns as batches carry them.
    pub(crate) schema: SchemaRef,
}

impl DocumentChoice {
    /// `key` are the columns that name a document; empty where each record has one.
    pub(crate) fn new(
        planned: &PlannedModel,
        to: &ModelCollection,
        key: Vec<usize>,
        plan: LogicalPlan,
    ) -> Self {
        let fields = columns::arrow_schema(&planned.columns).fields().clone();
        let deleted = (!key.is_empty()).then(|| Arc::new(deleted_field()));
        let fields = fields.iter().cloned().chain([order_field()]).chain(deleted);
        Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            collection: Collection {
                name: to.name.clone(),
                model: planned.model.name.clone(),
                columns: planned.columns.clone(),
                key,
            },
            plan,
        }
    }
}

/// What a model that goes to a collection must be, as far as its plan over new rows does not tell:
/// one row for each record, in columns that a document can hold.
///
/// # Errors
/// Everything that is in the way, at its place.
pub(crate) fn check(
    planned: &PlannedModel,
    to: &ModelCollection,
    is_keyed: bool,
) -> Result<(), Diagnostic> {
    let Model {
        name, materialized, ..
    } = &planned.model;
    if *materialized == Materialized::Table {
        let message = format!(
            "model `{name}` is computed as a whole, and {} takes new rows",
            to.name
        );
        return Err(Diagnostic::at(to.location.clone(), message)
            .help("materialize it as `incremental`, `view` or `ephemeral`"));
    }
    // Of a keyed source the plan over new rows allows none of this.
    if !is_keyed && let Some(operator) = repeats(&planned.plan) {
        let message = format!(
            "model `{name}` goes to {}, which has one document for each record, but {operator} can make several rows of one",
            to.name
        );
        return Err(Diagnostic::at(to.location.clone(), message).help(
            "send the model to the collection that stands before it, and leave what multiplies rows to its readers",
        ));
    }
    for column in &planned.columns {
        field(&column.name, &column.data_type, true).map_err(|fault| {
            let place = column_place(planned, column, to);
            let message = format!(
                "column `{}` of model `{name}` cannot go to {}: {}",
                column.name, to.name, fault.0
            );
            Diagnostic::at(place, message).help(fault.1)
        })?;
    }
    Ok(())
}

/// Where the YAML declares a column, else where it names the collection.
fn column_place(planned: &PlannedModel, column: &Column, to: &ModelCollection) -> Location {
    let declared = planned
        .model
        .columns
        .iter()
        .find(|declared| declared.name == column.name);
    declared.map_or_else(|| to.location.clone(), |declared| declared.location.clone())
}

/// The operator that can make several rows of one record. Aggregates and the like have no plan over
/// new rows, so they are not looked for.
fn repeats(plan: &LogicalPlan) -> Option<&'static str> {
    match plan {
        LogicalPlan::Unnest(unnest) if !unnest.list_type_columns.is_empty() => {
            Some("an unnest of a list")
        }
        LogicalPlan::Union(_) => Some("a union"),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => repeats(&join.left),
            JoinType::RightSemi | JoinType::RightAnti => repeats(&join.right),
            _ => Some("a join"),
        },
        other => other.inputs().into_iter().find_map(repeats),
    }
}

/// Why a column or a field of a struct cannot be a field of a document, and what to do.
struct Fault(String, &'static str);

fn field(name: &str, data_type: &DeclaredType, outermost: bool) -> Result<(), Fault> {
    const RENAME: &str = "give it another name with `as`";
    if outermost && name == "_id" {
        return Err(Fault("`_id` is the id of its record".into(), RENAME));
    }
    if name.is_empty() || name.starts_with('$') || name.contains(['.', '\0']) {
        let message = format!(
            "a field of a document is not named `{}`",
            name.escape_default()
        );
        return Err(Fault(message, RENAME));
    }
    value(data_type)
}

fn value(data_type: &DeclaredType) -> Result<(), Fault> {
    match data_type {
        DeclaredType::Numeric(digits)
            if digits.is_none_or(|digits| digits.digits() > DECIMAL_DIGITS) =>
        {
            Err(Fault(
                format!(
                    "{data_type} can have more than the {DECIMAL_DIGITS} digits of BSON's decimals"
                ),
                "cast it, as in `cast(… as numeric(34, 6))` or `cast(… as text)`",
            ))
        }
        DeclaredType::List(item) => value(item),
        DeclaredType::Struct(fields) => fields
            .iter()
            .try_for_each(|inner| field(&inner.name, &inner.data_type, false)),
        _ => Ok(()),
    }
}

//! The columns of a model: what its SQL computes, held to what its YAML declares.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use factmill_core::diagnostic::Diagnostic;
use factmill_core::table::Column;
use factmill_core::types::DeclaredType;
use factmill_project::Model;

use crate::diagnose::nearest;

/// Postgres cuts longer names in silence, so they are refused.
const LONGEST_NAME: usize = 63;

/// The columns of a model whose SQL has this schema.
///
/// # Errors
/// Every column that has no declared type, no usable name, or not the type that the YAML declares.
pub(crate) fn columns(
    model: &Model,
    schema: &DFSchema,
) -> std::result::Result<Vec<Column>, Vec<Diagnostic>> {
    let start = model.sql.locate(1, 1);
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    let mut columns = Vec::new();
    for field in schema.fields() {
        let name = field.name();
        if !names.insert(name.as_str()) {
            wrong.push(
                Diagnostic::at(
                    start.clone(),
                    format!("model `{}` has two columns `{name}`", model.name),
                )
                .help("give one of them another name with `as`"),
            );
            continue;
        }
        if name.len() > LONGEST_NAME || name.is_empty() || name.starts_with("_factmill_") {
            wrong.push(
                Diagnostic::at(
                    start.clone(),
                    format!("`{name}` cannot be the name of a column"),
                )
                .help("give it a name with `as`: 1 to 63 bytes, not beginning with `_factmill_`"),
            );
            continue;
        }
        let computed = match computed_type(field.data_type()) {
            Ok(computed) => computed,
            Err(error) => {
                wrong.push(
                    Diagnostic::at(
                        start.clone(),
                        format!("column `{name}` of model `{}`: {error}", model.name),
                    )
                    .help("cast it to a declared type, as in `cast(… as text)`"),
                );
                continue;
            }
        };
        let property = model.columns.iter().find(|property| property.name == *name);
        let data_type = match property
            .and_then(|property| Some((property, property.data_type.as_ref()?)))
        {
            Some((property, declared)) if !keeps_every_value(&computed, declared) => {
                wrong.push(
                    Diagnostic::at(
                        property.location.clone(),
                        format!("column `{name}` is declared {declared}, but model `{}` computes {computed}", model.name),
                    )
                    .help(format!("cast it in the model, or declare `data_type: {computed}`")),
                );
                continue;
            }
            Some((_, declared)) => declared.clone(),
            None => computed,
        };
        columns.push(Column {
            name: name.clone(),
            data_type,
            not_null: property.is_some_and(|property| property.not_null),
            description: property.and_then(|property| property.description.clone()),
        });
    }
    for property in &model.columns {
        if !names.contains(property.name.as_str()) {
            let unknown = Diagnostic::at(
                property.location.clone(),
                format!("model `{}` has no column `{}`", model.name, property.name),
            );
            wrong.push(match nearest(&property.name, names.iter().copied()) {
                Some(nearest) => unknown.help(format!("did you mean `{nearest}`?")),
                None => unknown,
            });
        }
    }
    if wrong.is_empty() {
        Ok(columns)
    } else {
        Err(wrong)
    }
}

/// The Arrow schema of rows with these columns; any of them may hold nulls.
pub(crate) fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|column| Field::new(&column.name, column.data_type.arrow(), true));
    std::sync::Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The plan with exactly these columns, each of its declared Arrow type.
pub(crate) fn project(plan: LogicalPlan, columns: &[Column]) -> Result<LogicalPlan> {
    let exprs: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(plan.schema().fields().iter().zip(columns))
        .map(|(from, (field, column))| {
            let expr = Expr::Column(from);
            let wanted = column.data_type.arrow();
            if *field.data_type() == wanted {
                expr.alias(&column.name)
            } else {
                cast(expr, wanted).alias(&column.name)
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

fn computed_type(
    data_type: &DataType,
) -> std::result::Result<DeclaredType, factmill_core::types::TypeError> {
    match data_type {
        // What `row_number` and `array_length` return; a value above the largest bigint is an error.
        DataType::UInt64 => Ok(DeclaredType::BigInt),
        // `null` without a type is text, as in Postgres.
        DataType::Null => Ok(DeclaredType::Text),
        other => DeclaredType::from_arrow(other),
    }
}

/// Whether every value of `computed` is the same value as `declared`. Lengths of text are looked at
/// row by row.
pub(crate) fn keeps_every_value(computed: &DeclaredType, declared: &DeclaredType) -> bool {
    use DeclaredType as T;
    if computed == declared {
        return true;
    }
    match (computed, declared) {
        (T::SmallInt, T::Integer | T::BigInt | T::Real | T::Double)
        | (T::Integer, T::BigInt | T::Double)
        | (T::Real, T::Double)
        | (T::Text, T::Varchar(_) | T::Char(_) | T::Json)
        | (T::Numeric(_) | T::SmallInt | T::Integer | T::BigInt, T::Numeric(None)) => true,
        (T::Numeric(Some(computed)), T::Numeric(Some(declared))) => {
            declared.scale() >= computed.scale()
                && declared.digits() - declared.scale() >= computed.digits() - computed.scale()
        }
        (whole @ (T::SmallInt | T::Integer | T::BigInt), T::Numeric(Some(declared))) => {
            let digits = match whole {
                T::SmallInt => 5,
                T::Integer => 10,
                _ => 19,
            };
            declared.digits() - declared.scale() >= digits
        }
        (T::List(computed), T::List(declared)) => keeps_every_value(computed, declared),
        _ => false,
    }
}

//! The rows of a unit test as Arrow columns.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::json::writer::JsonArray;
use datafusion::arrow::json::{ReaderBuilder, WriterBuilder};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::{SessionState, TaskContext};
use datafusion::physical_plan::collect;
use factmill_core::diagnostic::{Diagnostic, Location};
use factmill_core::table::Column;
use factmill_planner::{self as planner, Parsed};
use factmill_project::unit_test::{GivenRow, GivenRows};
use factmill_project::{Rendered, nearest};
use serde_json::{Map, Value};

use crate::columns::arrow_schema;
use crate::diagnose::Text;

/// Expected rows, with as many columns as they name.
pub(super) struct Expected {
    pub(super) batch: RecordBatch,
    /// Where each row stands.
    pub(super) locations: Vec<Location>,
}

/// Rows under a schema; columns that they do not name are null.
///
/// # Errors
/// Every row that names another column or has a value of another type, each with its place; a query
/// that is wrong.
pub(super) async fn batch(
    state: &SessionState,
    schema: &SchemaRef,
    rows: &GivenRows,
) -> Result<RecordBatch, Vec<Diagnostic>> {
    match rows {
        GivenRows::Rows(rows) => typed(schema, rows),
        GivenRows::Sql { text, location } => {
            let (_, rows) = queried(state, text, location).await?;
            typed(schema, &rows)
        }
    }
}

/// The rows that a test expects, of a model with these columns.
///
/// # Errors
/// As [`batch`].
pub(super) async fn expected(
    state: &SessionState,
    columns: &[Column],
    rows: &GivenRows,
) -> Result<Expected, Vec<Diagnostic>> {
    let queried;
    let (named, rows): (Vec<&str>, &[GivenRow]) = match rows {
        GivenRows::Rows(rows) => {
            let names = rows.iter().flat_map(|row| row.values.keys());
            (names.map(String::as_str).collect(), rows.as_slice())
        }
        GivenRows::Sql { text, location } => {
            queried = self::queried(state, text, location).await?;
            let names = queried.0.iter().map(String::as_str);
            (names.collect(), queried.1.as_slice())
        }
    };
    let whole = arrow_schema(columns);
    refuse_unknown(&whole, rows)?;
    // No row names a column: all of them are meant.
    let fields = whole.fields().iter();
    let fields = fields.filter(|field| named.is_empty() || named.contains(&&field.name()[..]));
    let known = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
    Ok(Expected {
        batch: typed(&known, rows)?,
        locations: rows.iter().map(|row| row.location.clone()).collect(),
    })
}

/// The rows of a query, as if they were written out, and the names of its columns.
async fn queried(
    state: &SessionState,
    text: &str,
    location: &Location,
) -> Result<(Vec<String>, Vec<GivenRow>), Vec<Diagnostic>> {
    let sql = Rendered::verbatim(text, location.clone());
    let relations = std::collections::BTreeSet::new();
    let statement = Parsed::parse(state, text);
    let place = Text {
        sql: &sql,
        statement: None,
        relations: &relations,
        state,
    };
    let statement = statement.map_err(|error| place.diagnose(&error))?;
    let plan = statement.plan(state).await;
    let plan = plan.map_err(|error| place.diagnose(&error))?;
    let run = async {
        let plan = planner::physical(state, &plan).await?;
        let schema = plan.schema();
        let batches = collect(plan, Arc::new(TaskContext::from(state))).await?;
        let names = schema.fields().iter().map(|field| field.name().clone());
        Ok((names.collect(), written(&batches)?))
    };
    let (names, rows): (Vec<String>, Vec<Map<String, Value>>) =
        run.await.map_err(|error: DataFusionError| {
            let message = format!("the query of rows failed: {}", error.strip_backtrace());
            vec![Diagnostic::at(location.clone(), message)]
        })?;
    let rows = rows.into_iter().map(|values| GivenRow {
        values,
        location: location.clone(),
    });
    Ok((names, rows.collect()))
}

fn written(batches: &[RecordBatch]) -> EngineResult<Vec<Map<String, Value>>> {
    let mut text = Vec::new();
    let builder = WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, JsonArray>(&mut text);
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&text).map_err(|error| DataFusionError::External(error.into()))
}

fn typed(schema: &SchemaRef, rows: &[GivenRow]) -> Result<RecordBatch, Vec<Diagnostic>> {
    refuse_unknown(schema, rows)?;
    let mut wrong = Vec::new();
    let mut batches = Vec::with_capacity(rows.len());
    for row in rows {
        match one(schema, row) {
            Ok(batch) => batches.extend(batch),
            Err(error) => wrong.push(Diagnostic::at(
                row.location.clone(),
                format!("a value of the row does not fit its column: {error}"),
            )),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    concat_batches(schema, &batches)
        .map_err(|error| vec![Diagnostic::bare(format!("rows of a unit test: {error}"))])
}

fn refuse_unknown(schema: &SchemaRef, rows: &[GivenRow]) -> Result<(), Vec<Diagnostic>> {
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    let unknown = rows.iter().flat_map(|row| {
        let others = row.values.keys();
        let others = others.filter(move |name| !names().any(|known| known == name.as_str()));
        others.map(move |name| {
            let help = nearest::help(name, "columns", names());
            Diagnostic::at(row.location.clone(), format!("no column `{name}`")).help(help)
        })
    });
    let unknown: Vec<Diagnostic> = unknown.collect();
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(unknown),
    }
}

fn one(schema: &SchemaRef, row: &GivenRow) -> EngineResult<Option<RecordBatch>> {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema))
        .with_coerce_primitive(true)
        .with_strict_mode(true)
        .build_decoder()?;
    let mut values = Map::new();
    for field in schema.fields() {
        let value = row.values.get(field.name()).cloned();
        values.insert(
            field.name().clone(),
            fitting(value.unwrap_or_default(), field.data_type()),
        );
    }
    decoder.serialize(&[values])?;
    Ok(decoder.flush()?)
}

/// A value in the form in which the decoder takes it for a column of this type.
fn fitting(value: Value, data_type: &DataType) -> Value {
    match (value, data_type) {
        (Value::String(text), DataType::FixedSizeBinary(16)) => text.replace('-', "").into(),
        (Value::Array(items), DataType::List(item)) => items
            .into_iter()
            .map(|value| fitting(value, item.data_type()))
            .collect(),
        (Value::Object(fields), DataType::Struct(of)) => {
            let kind = |name: &str| of.iter().find(|field: &&Arc<Field>| field.name() == name);
            let fields = fields.into_iter().map(|(name, value)| {
                let value = match kind(&name) {
                    Some(field) => fitting(value, field.data_type()),
                    None => value,
                };
                (name, value)
            });
            Value::Object(fields.collect())
        }
        // a column of JSON is a text here
        (value @ (Value::Array(_) | Value::Object(_)), DataType::Utf8) => value.to_string().into(),
        (value, _) => value,
    }
}

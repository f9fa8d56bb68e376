//! Small epochs: rows kept in the catalog's own table, as every DuckLake client reads them there.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use futures::SinkExt;
use serde_json::{Value, json};
use tokio_postgres::Transaction;

use super::column::LakeColumn;
use super::error::LakeError;
use super::text::{self, NoText};
use super::write::{Kept, Staged};

/// The columns of the staged rows as Postgres keeps them, without the row id and the snapshots.
///
/// Text becomes bytes; days, instants, structs and lists become DuckDB's text; the rest stays.
///
/// # Errors
/// [`NoText`] when a value has no text that all readers understand: such rows belong in a file.
pub(super) fn physical(columns: &[LakeColumn], rows: &RecordBatch) -> Result<RecordBatch, NoText> {
    let arrays = rows
        .columns()
        .iter()
        .map(physical_array)
        .collect::<Result<Vec<_>, _>>()?;
    let fields = columns.iter().zip(&arrays);
    let fields: Vec<Field> = fields
        .map(|(column, array)| Field::new(&column.name, array.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|_| NoText)
}

fn physical_array(array: &ArrayRef) -> Result<ArrayRef, NoText> {
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            if texts.value_data().contains(&0) {
                return Err(NoText);
            }
            Arc::new(BinaryArray::from(texts.clone()))
        }
        DataType::Date32 | DataType::Timestamp(..) | DataType::Struct(_) | DataType::List(_) => {
            Arc::new(text::texts(array)?)
        }
        _ => array.clone(),
    })
}

/// Copies the rows of `part` into a temporary table of the session and describes it for
/// `factmill.lake_commit`. `number` tells apart the parts of one table within a transaction.
pub(super) async fn stage(
    tx: &Transaction<'_>,
    part: &Staged,
    number: usize,
) -> Result<Value, LakeError> {
    let (Kept::Inlined(rows), Some(into)) = (&part.kept, part.table.inlined()) else {
        return Ok(Value::Null);
    };
    let wrong = |source| LakeError::catalog(format!("stage rows of {}", part.table.name()))(source);
    let stage = format!(
        "factmill_lake_{}_{}_{number}",
        part.table.id(),
        part.table.schema_version()
    );
    // emptied by every commit, so that a session makes it once
    tx.batch_execute(&format!(
        "set local client_min_messages = warning; \
         create temp table if not exists {stage} (like lake.{}) on commit delete rows",
        quoted(into)
    ))
    .await
    .map_err(wrong)?;
    let schema = rows.schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let list: String = names
        .iter()
        .map(|name| format!(", {}", quoted(name)))
        .collect();
    let copy = tx
        .copy_in(&format!("copy pg_temp.{stage} (row_id{list}) from stdin"))
        .await
        .map_err(wrong)?;
    let mut copy = std::pin::pin!(copy);
    copy.send(copy_text(rows)).await.map_err(wrong)?;
    copy.finish().await.map_err(wrong)?;
    Ok(json!({ "into": into, "stage": stage, "columns": names, "rows": part.rows }))
}

fn copy_text(rows: &RecordBatch) -> Bytes {
    let mut out = String::new();
    for row in 0..rows.num_rows() {
        out.push_str(&row.to_string());
        for array in rows.columns() {
            out.push('\t');
            if array.is_null(row) {
                out.push_str("\\N");
            } else if let Some(bytes) = array.as_binary_opt::<i32>() {
                out.push_str("\\\\x");
                out.extend(bytes.value(row).iter().map(|byte| format!("{byte:02x}")));
            } else if let Some(text) = array.as_string_opt::<i32>() {
                for character in text.value(row).chars() {
                    match character {
                        '\\' => out.push_str("\\\\"),
                        '\n' => out.push_str("\\n"),
                        '\r' => out.push_str("\\r"),
                        '\t' => out.push_str("\\t"),
                        other => out.push(other),
                    }
                }
            } else {
                let _ = text::write_value(&mut out, array.as_ref(), row);
            }
        }
        out.push('\n');
    }
    out.into()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

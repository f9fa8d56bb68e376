//! Small epochs: rows kept in the catalog's own table, as every DuckLake client reads them there.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::{BufMut, Bytes, BytesMut};
use factmill_core::types::DeclaredType;
use futures::SinkExt;
use serde_json::{Value, json};
use tokio_postgres::Transaction;

use super::column::LakeColumn;
use super::error::LakeError;
use super::text::{self, NoText};
use super::write::{Kept, Staged};
use crate::sink::postgres::encode::{EncodeError, HEADER, RowEncoder, TRAILER};

/// The first column of the table of inlined rows.
const ROW_ID: &str = "row_id";

/// The rows as Postgres keeps them: `row_id`, counted from 0, then the columns.
///
/// Text becomes bytes; days, instants, structs and lists become DuckDB's text; the rest stays.
///
/// # Errors
/// [`NoText`] when a value has no text that all readers understand: such rows belong in a file.
pub(super) fn physical(columns: &[LakeColumn], rows: &RecordBatch) -> Result<RecordBatch, NoText> {
    let mut fields = vec![Field::new(ROW_ID, DataType::Int64, false)];
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(
        0..rows.num_rows() as i64,
    ))];
    for (column, array) in columns.iter().zip(rows.columns()) {
        let array = physical_array(array)?;
        fields.push(Field::new(&column.name, array.data_type().clone(), true));
        arrays.push(array);
    }
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
    let encoded = copy_bytes(part.table.columns(), rows).map_err(|source| LakeError::Encode {
        table: part.table.name().to_owned(),
        source,
    })?;
    let stage = format!(
        "factmill_lake_{}_{}_{number}",
        part.table.id(),
        part.table.schema_version()
    );
    let schema = rows.schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .skip(1)
        .map(|field| field.name().as_str())
        .collect();
    let list: String = names
        .iter()
        .map(|name| format!(", {}", quoted(name)))
        .collect();
    // a session makes it once and `lake_commit` takes the rows out; `on commit delete rows` was seen to
    // cost 3 ms at each COMMIT of the session
    let create = format!(
        "set local client_min_messages = warning; \
         create temp table if not exists {stage} (like lake.{})",
        quoted(into)
    );
    let copy = format!("copy pg_temp.{stage} ({ROW_ID}{list}) from stdin (format binary)");
    // both are sent at once, the server takes them in this order
    let (created, prepared) = futures::join!(tx.batch_execute(&create), tx.prepare(&copy));
    created.map_err(wrong)?;
    let sink = tx.copy_in(&prepared.map_err(wrong)?).await.map_err(wrong)?;
    let mut sink = std::pin::pin!(sink);
    sink.send(encoded).await.map_err(wrong)?;
    sink.finish().await.map_err(wrong)?;
    Ok(json!({ "into": into, "stage": stage, "columns": names, "rows": part.rows }))
}

/// The rows as one binary COPY: they are few.
fn copy_bytes(columns: &[LakeColumn], rows: &RecordBatch) -> Result<Bytes, EncodeError> {
    let types: Vec<DeclaredType> = columns.iter().map(LakeColumn::inlined_type).collect();
    let names = rows.schema();
    let described = names.fields().iter().map(|field| field.name().as_str());
    let described: Vec<_> = described
        .zip(std::iter::once(&DeclaredType::BigInt).chain(&types))
        .collect();
    let encoder = RowEncoder::new(rows, described.into_iter())?;
    let mut out = BytesMut::with_capacity(rows.get_array_memory_size());
    out.put_slice(HEADER);
    for row in 0..rows.num_rows() {
        encoder.encode(row, &mut out)?;
    }
    out.put_slice(TRAILER);
    Ok(out.freeze())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

//! Query results as text and files.

mod table;

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::csv::WriterBuilder;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{
    JsonArray, LineDelimited, WriterBuilder as JsonWriterBuilder,
};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use crate::error::ModelError;
use crate::rows::Rows;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A drawn table, for people.
    Table,
    /// Comma-separated, with a header; structs and lists as JSON.
    Csv,
    /// One JSON array of objects.
    Json,
    /// A Parquet file, zstd.
    Parquet,
}

/// Rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The rows themselves failed.
    #[error(transparent)]
    Rows(#[from] ModelError),
    /// A value cannot be shown in this format, or the output was closed.
    #[error("rows could not be written")]
    Arrow(#[from] ArrowError),
    /// The file could not be written.
    #[error("the Parquet file could not be written")]
    Parquet(#[from] ParquetError),
    /// The output could not be written to.
    #[error("the output could not be written to")]
    Io(#[from] std::io::Error),
}

/// Rows that are drawn as one table; more of them begin another one, so that a large result needs
/// little memory.
const ROWS_OF_A_DRAWING: usize = 10_000;

/// Writes all rows and says how many there were.
///
/// # Errors
/// [`OutputError`]; what was written before stays written.
pub fn write(
    mut rows: Rows,
    format: Format,
    out: &mut (dyn Write + Send),
) -> BoxFuture<'_, Result<u64, OutputError>> {
    async move {
        let mut count = 0;
        let mut writer = Writer::new(format, &rows.schema, out)?;
        while let Some(batch) = rows.batches.next().await {
            let batch = batch?;
            count += batch.num_rows() as u64;
            writer.batch(batch)?;
        }
        writer.finish()?;
        Ok(count)
    }
    .boxed()
}

enum Writer<'a> {
    Table {
        schema: SchemaRef,
        drawn: bool,
        rows: usize,
        batches: Vec<RecordBatch>,
        out: &'a mut (dyn Write + Send),
    },
    Csv(Box<datafusion::arrow::csv::Writer<&'a mut (dyn Write + Send)>>),
    Json(Box<datafusion::arrow::json::Writer<&'a mut (dyn Write + Send), JsonArray>>),
    Parquet(Box<ArrowWriter<&'a mut (dyn Write + Send)>>),
}

impl<'a> Writer<'a> {
    fn new(
        format: Format,
        schema: &SchemaRef,
        out: &'a mut (dyn Write + Send),
    ) -> Result<Self, OutputError> {
        Ok(match format {
            Format::Table => Self::Table {
                schema: Arc::clone(schema),
                drawn: false,
                rows: 0,
                batches: Vec::new(),
                out,
            },
            Format::Csv => {
                let mut writer = WriterBuilder::new().with_header(true).build(out);
                // A result of no rows has its header all the same.
                writer.write(&readable(
                    &RecordBatch::new_empty(Arc::clone(schema)),
                    true,
                )?)?;
                Self::Csv(Box::new(writer))
            }
            Format::Json => Self::Json(Box::new(
                JsonWriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build(out),
            )),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .build();
                Self::Parquet(Box::new(ArrowWriter::try_new(
                    out,
                    Arc::clone(schema),
                    Some(properties),
                )?))
            }
        })
    }

    fn batch(&mut self, batch: RecordBatch) -> Result<(), OutputError> {
        match self {
            Self::Table { rows, batches, .. } => {
                *rows += batch.num_rows();
                batches.push(batch);
                if *rows >= ROWS_OF_A_DRAWING {
                    self.draw()?;
                }
            }
            Self::Csv(writer) => writer.write(&readable(&batch, true)?)?,
            Self::Json(writer) => writer.write(&readable(&batch, false)?)?,
            Self::Parquet(writer) => writer.write(&batch)?,
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<(), OutputError> {
        if let Self::Table {
            schema,
            drawn,
            rows,
            batches,
            out,
        } = self
        {
            let shown = batches
                .drain(..)
                .map(|batch| readable(&batch, false))
                .collect::<Result<Vec<_>, _>>()?;
            let schema = shown
                .first()
                .map_or_else(|| Arc::clone(schema), RecordBatch::schema);
            writeln!(out, "{}", table::draw(&schema, &shown)?)?;
            *drawn = true;
            *rows = 0;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), OutputError> {
        if let Self::Table { drawn, rows, .. } = &self
            && (*rows > 0 || !*drawn)
        {
            self.draw()?;
        }
        match self {
            Self::Table { out, .. } => out.flush()?,
            Self::Csv(writer) => writer.into_inner().flush()?,
            Self::Json(mut writer) => {
                writer.finish()?;
                let out = writer.into_inner();
                writeln!(out)?;
                out.flush()?;
            }
            Self::Parquet(mut writer) => {
                writer.finish()?;
            }
        }
        Ok(())
    }
}

/// The batch with uuids as their text and, where the format has no structure, structs and lists as
/// JSON.
fn readable(batch: &RecordBatch, flat: bool) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let column: ArrayRef = match column.data_type() {
            DataType::FixedSizeBinary(16) => Arc::new(uuid_text(column)),
            nested if flat && nested.is_nested() => Arc::new(json_text(column)?),
            _ => Arc::clone(column),
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    crate::rows::with_columns(Arc::new(Schema::new(fields)), columns, batch.num_rows())
}

fn uuid_text(column: &ArrayRef) -> StringArray {
    let values = column.as_fixed_size_binary();
    (0..values.len())
        .map(|row| {
            let bytes = values.is_valid(row).then(|| values.value(row))?;
            Some(uuid::Uuid::from_slice(bytes).ok()?.hyphenated().to_string())
        })
        .collect()
}

fn json_text(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    const NAME: &str = "v";
    let field = Field::new(NAME, column.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::clone(column)])?;
    let mut lines = Vec::new();
    let mut writer = JsonWriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(&mut lines);
    writer.write(&batch)?;
    writer.finish()?;
    let text =
        String::from_utf8(lines).map_err(|error| ArrowError::JsonError(error.to_string()))?;
    // Each line is `{"v":<value>}`.
    let values = text
        .lines()
        .map(|line| line.strip_prefix("{\"v\":")?.strip_suffix('}'));
    let is_null = (0..column.len()).map(|row| column.is_null(row));
    Ok(values
        .zip(is_null)
        .map(|(value, is_null)| if is_null { None } else { value })
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::fixture::{Event, rows as banking_rows};

    async fn written(
        format: Format,
        batches: Vec<RecordBatch>,
        schema: SchemaRef,
    ) -> (u64, Vec<u8>) {
        let rows = Rows {
            schema,
            batches: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
        };
        let mut out = Vec::new();
        let count = write(rows, format, &mut out).await.unwrap();
        (count, out)
    }

    fn sample() -> RecordBatch {
        let event = Event {
            id: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
            time: 1_704_412_800_000_000,
            account: "A, \"B\"".into(),
            city: "Sète".into(),
            amount: -5,
            partition: 0,
            offset: 7,
        };
        banking_rows(&[event]).project(&[0, 1, 2, 3, 4, 6]).unwrap()
    }

    #[tokio::test]
    async fn every_text_format_shows_uuids_decimals_and_nested_values() {
        let text = |(_, out)| String::from_utf8(out).unwrap();
        let batch = sample();
        let csv = text(written(Format::Csv, vec![batch.clone()], batch.schema()).await);
        assert_eq!(
            csv,
            "transaction_id,timestamp,account_id,customer,amount,tags\n\
             01234567-89ab-cdef-0123-456789abcdef,2024-01-05T00:00:00Z,\"A, \"\"B\"\"\",\
             \"{\"\"customer_id\"\":\"\"C-A, \\\"\"B\\\"\"\"\",\"\"name\"\":\"\"Name of A, \\\"\"B\\\"\"\"\",\"\"city\"\":\"\"Sète\"\"}\",\
             -0.05,\"[\"\"t0\"\"]\"\n"
        );
        let json: serde_json::Value = serde_json::from_str(&text(
            written(Format::Json, vec![batch.clone()], batch.schema()).await,
        ))
        .unwrap();
        assert_eq!(
            json[0]["transaction_id"],
            "01234567-89ab-cdef-0123-456789abcdef"
        );
        assert_eq!(json[0]["customer"]["city"], "Sète");
        let table = text(written(Format::Table, vec![batch.clone()], batch.schema()).await);
        assert!(
            table.contains("| 01234567-89ab-cdef-0123-456789abcdef | 2024-01-05T00:00:00Z |"),
            "{table}"
        );
    }

    #[tokio::test]
    async fn no_rows_are_still_a_result() {
        let schema = sample().schema();
        let (count, csv) = written(Format::Csv, Vec::new(), Arc::clone(&schema)).await;
        assert_eq!(
            (count, csv.iter().filter(|byte| **byte == b'\n').count()),
            (0, 1)
        );
        let (_, json) = written(Format::Json, Vec::new(), Arc::clone(&schema)).await;
        assert_eq!(String::from_utf8(json).unwrap().trim(), "[]");
        let (_, table) = written(Format::Table, Vec::new(), schema).await;
        assert!(String::from_utf8(table).unwrap().contains("transaction_id"));
    }

    #[tokio::test]
    async fn parquet_reads_back() {
        use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReader;
        let batch = sample();
        let (count, bytes) = written(Format::Parquet, vec![batch.clone()], batch.schema()).await;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let read: Vec<_> = ParquetRecordBatchReader::try_new(file, 1024)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!((count, read.len()), (1, 1));
        assert_eq!(read[0].columns(), batch.columns());
    }
}

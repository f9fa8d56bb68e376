//! Parquet files: their rows as JSON objects, a batch at a time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{
    Encoder, EncoderFactory, EncoderOptions, LineDelimited, NullableEncoder,
};
use arrow::json::{Writer, WriterBuilder};

use super::chunk::{Behind, Chunk, Entry};
use super::error::FileSourceError;
use super::open::NotThere;
use super::place::{FINGERPRINTED, Mark, fingerprint};
use crate::decode::write;

/// Rows that are decoded at a time.
const BATCH: usize = 4096;

/// A Parquet file being read; blocks.
pub(super) struct ParquetFile {
    rows: ParquetRecordBatchReader,
    print: String,
    row: u64,
    size: u64,
}

/// Why a Parquet file does not open.
pub(super) enum Unopened {
    NotThere(NotThere),
    Error(FileSourceError),
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self::NotThere(NotThere::Io(error))
    }
}

impl ParquetFile {
    /// Opens a file behind `mark`.
    pub(super) fn open(path: &Path, mark: &Mark) -> Result<Self, Unopened> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let print = footer(&mut file, size)?;
        if mark.lines > 0 && mark.print != print {
            let found = format!(
                "it was read up to row {} and was replaced since",
                mark.lines
            );
            return Err(Unopened::NotThere(NotThere::Changed(found)));
        }
        let broken = |source| {
            Unopened::Error(FileSourceError::Parquet {
                file: path.to_owned(),
                source,
            })
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(broken)?;
        let read = usize::try_from(mark.lines).unwrap_or(usize::MAX);
        let rows = builder
            .with_batch_size(BATCH)
            .with_offset(read)
            .build()
            .map_err(broken)?;
        Ok(Self {
            rows,
            print,
            row: mark.lines,
            size,
        })
    }

    /// The next rows; none at the end.
    pub(super) fn chunk(&mut self, path: &Path) -> Result<Chunk, FileSourceError> {
        let rows_failed = |source| FileSourceError::Rows {
            file: path.to_owned(),
            source,
        };
        let batch = self.rows.next().transpose().map_err(rows_failed)?;
        let bytes = match &batch {
            Some(batch) => json_lines(batch).map_err(rows_failed)?,
            None => Vec::new(),
        };
        let mut entries = Vec::with_capacity(batch.as_ref().map_or(0, RecordBatch::num_rows));
        let mut start = 0;
        // JSON writes line feeds of texts as `\n`, so each one ends a row
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.row += 1;
            entries.push(Entry {
                start,
                end: start + line.len() - 1,
                cut: false,
                next: start + line.len(),
                line: self.row,
                lines: self.row,
            });
            start += line.len();
        }
        Ok(Chunk {
            bytes,
            base: 0,
            entries,
            end: Behind::Mark(Mark {
                bytes: 0,
                lines: self.row,
                print: self.print.clone(),
                ..Mark::default()
            }),
            columns: None,
            at_end: batch.is_none().then_some(Some(self.size)),
        })
    }
}

/// The footer holds the places and sizes of all columns: its end tells one file from another.
fn footer(file: &mut File, size: u64) -> io::Result<String> {
    let mut last = Vec::new();
    file.seek(SeekFrom::Start(size.saturating_sub(FINGERPRINTED as u64)))?;
    file.read_to_end(&mut last)?;
    file.rewind()?;
    Ok(fingerprint(&last))
}

fn json_lines(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer: Writer<Vec<u8>, LineDelimited> = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(Exact))
        .build(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// What Arrow's writer would say in another form than our JSON decoder reads: bytes as `\x00ff`
/// instead of digits that look like Base64, and floats that JSON has no number for as a text, which
/// is refused, instead of null.
#[derive(Debug)]
struct Exact;

impl EncoderFactory for Exact {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Binary => {
                let array = array.as_binary::<i32>();
                Box::new(Bytes(|index| array.value(index)))
            }
            DataType::LargeBinary => {
                let array = array.as_binary::<i64>();
                Box::new(Bytes(|index| array.value(index)))
            }
            DataType::BinaryView => {
                let array = array.as_binary_view();
                Box::new(Bytes(|index| array.value(index)))
            }
            DataType::FixedSizeBinary(_) => {
                let array = array.as_fixed_size_binary();
                Box::new(Bytes(|index| array.value(index)))
            }
            DataType::Float64 => {
                let array = array.as_primitive::<Float64Type>();
                Box::new(Float(|index| array.value(index)))
            }
            DataType::Float32 => {
                let array = array.as_primitive::<Float32Type>();
                Box::new(Float(|index| array.value(index)))
            }
            DataType::Float16 => {
                let array = array.as_primitive::<Float16Type>();
                Box::new(Float(|index| array.value(index).to_f32()))
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Bytes<F>(F);

impl<'a, F: Fn(usize) -> &'a [u8]> Encoder for Bytes<F> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        write::bytes(out, (self.0)(index));
    }
}

struct Float<F>(F);

impl<T: std::fmt::Debug, F: Fn(usize) -> T> Encoder for Float<F> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        write::float(out, (self.0)(index));
    }
}

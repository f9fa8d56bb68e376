//! The bytes of `COPY … TO STDOUT (FORMAT binary)` to Arrow columns.
//!
//! The reverse of [`super::encode`]. Rows are appended to one builder per column; a batch is cut
//! when it has enough rows or bytes, so memory stays bounded whatever the size of the result.

mod column;
mod numeric;

use std::sync::Arc;

use arrow::array::ArrayRef;
#[cfg(test)]
use arrow::datatypes::DataType;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use column::ColumnBuilder;
pub(super) use column::ColumnKind;

use super::encode::{HEADER, TRAILER};

/// A batch is cut after this many rows, DataFusion's own batch size.
const BATCH_ROWS: usize = 8192;
/// A batch is cut after about this many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A result that cannot be represented in Arrow.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The server sent something that is not binary COPY.
    #[error("the server sent a broken COPY stream: {0}")]
    Broken(&'static str),
    /// A value that the column's Arrow type does not hold.
    #[error("column `{column}` has {problem}")]
    Value {
        /// The column.
        column: String,
        /// What it has, and what to do.
        problem: ValueProblem,
    },
    /// The columns do not make a batch.
    #[error("the columns of a result do not make a batch")]
    Batch(#[from] ArrowError),
}

/// Why a value has no Arrow form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueProblem {
    /// `NaN` or an infinity where Arrow knows only numbers.
    #[error("a numeric that is NaN or infinite; select it as text or as double precision")]
    NotANumber,
    /// More digits than the widest decimal.
    #[error("a numeric of more digits than numeric(76,38) holds; round it or select it as text")]
    TooManyDigits,
    /// An infinite date, timestamp or interval.
    #[error("an infinite date or time; select it as text")]
    Infinite,
    /// A time outside Arrow's range.
    #[error("a date or time outside the range of its Arrow type; select it as text")]
    OutOfRange,
    /// An array of more than one dimension.
    #[error("an array of several dimensions; select it with to_jsonb")]
    Dimensions,
    /// Bytes of another length or form than the type has.
    #[error("a value that is not of its type's form")]
    Malformed,
}

/// One column of a result.
#[derive(Debug, Clone)]
pub(super) struct ResultColumn {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
}

/// The Arrow schema of a result; every column may be null.
pub(super) fn schema(columns: &[ResultColumn]) -> SchemaRef {
    let fields: Vec<_> = columns
        .iter()
        .map(|column| Field::new(&column.name, column.kind.arrow(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// Takes the pieces of one COPY and gives batches.
pub(super) struct RowDecoder {
    columns: Vec<ResultColumn>,
    builders: Vec<ColumnBuilder>,
    schema: SchemaRef,
    /// The end of a piece that holds no whole row.
    rest: Vec<u8>,
    begun: bool,
    ended: bool,
    rows: usize,
    bytes: usize,
}

impl RowDecoder {
    pub(super) fn new(columns: Vec<ResultColumn>) -> Self {
        Self {
            builders: columns
                .iter()
                .map(|column| ColumnBuilder::new(&column.kind))
                .collect(),
            schema: schema(&columns),
            columns,
            rest: Vec::new(),
            begun: false,
            ended: false,
            rows: 0,
            bytes: 0,
        }
    }

    /// Takes one piece of the stream.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            let used = self.rows_of(piece)?;
            self.rest.extend_from_slice(&piece[used..]);
        } else {
            self.rest.extend_from_slice(piece);
            let joined = std::mem::take(&mut self.rest);
            let used = self.rows_of(&joined)?;
            self.rest.extend_from_slice(&joined[used..]);
        }
        Ok(())
    }

    /// Whether a batch should be taken now.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// The rows so far; `None` when there are none.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>, DecodeError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let arrays: Vec<ArrayRef> = self
            .builders
            .iter_mut()
            .map(ColumnBuilder::finish)
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        Ok(Some(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &options,
        )?))
    }

    /// Whether the stream ended as it should.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        if !self.ended || !self.rest.is_empty() {
            return Err(DecodeError::Broken("it ends within a row"));
        }
        Ok(())
    }

    /// Appends the whole rows at the start of `bytes`; answers how many bytes they take.
    fn rows_of(&mut self, bytes: &[u8]) -> Result<usize, DecodeError> {
        let mut at = 0;
        if !self.begun {
            let Some(header) = bytes.first_chunk::<19>() else {
                return Ok(0);
            };
            // Flags and the length of an extension are 0 in every released version.
            if header != HEADER {
                return Err(DecodeError::Broken(
                    "it does not begin with the signature of binary COPY",
                ));
            }
            self.begun = true;
            at = header.len();
        }
        while let Some(length) = row_length(&bytes[at..])? {
            let row = &bytes[at..at + length];
            at += length;
            if row == TRAILER {
                self.ended = true;
                break;
            }
            self.append(row)?;
        }
        Ok(at)
    }

    fn append(&mut self, row: &[u8]) -> Result<(), DecodeError> {
        let (fields, mut rest) = row.split_at(2);
        if usize::from(u16::from_be_bytes([fields[0], fields[1]])) != self.builders.len() {
            return Err(DecodeError::Broken(
                "a row has another number of fields than the query",
            ));
        }
        for (builder, column) in self.builders.iter_mut().zip(&self.columns) {
            let (value, after) =
                field(rest).ok_or(DecodeError::Broken("a row ends within a field"))?;
            rest = after;
            builder
                .append(value)
                .map_err(|problem| DecodeError::Value {
                    column: column.name.clone(),
                    problem,
                })?;
        }
        self.rows += 1;
        self.bytes += row.len();
        Ok(())
    }
}

/// The length of the row at the start of `bytes`; `None` when not all of it is there.
fn row_length(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some((fields, mut rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    if fields == TRAILER {
        return Ok(Some(TRAILER.len()));
    }
    for _ in 0..u16::from_be_bytes(*fields) {
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = match i32::from_be_bytes(*length) {
            -1 => 0,
            length => usize::try_from(length)
                .map_err(|_| DecodeError::Broken("a field has a negative length"))?,
        };
        let Some(after) = after.get(length..) else {
            return Ok(None);
        };
        rest = after;
    }
    Ok(Some(bytes.len() - rest.len()))
}

/// The value at the start of `bytes`, `None` inside for null, and what follows it.
pub(super) fn field(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match i32::from_be_bytes(*length) {
        -1 => Some((None, rest)),
        length => rest
            .split_at_checked(usize::try_from(length).ok()?)
            .map(|(value, rest)| (Some(value), rest)),
    }
}

/// The Arrow type of `numeric` without limits, as for declared columns.
#[cfg(test)]
const UNLIMITED_NUMERIC: DataType = DataType::Decimal256(76, 38);

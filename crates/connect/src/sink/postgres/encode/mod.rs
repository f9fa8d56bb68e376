//! Arrow columns to the bytes of `COPY … FROM STDIN (FORMAT binary)`.
//!
//! An encoder for each column is chosen once per batch; a value then costs one match and one copy
//! into the buffer, and no allocation. The formats are those of Postgres's `*_recv` functions
//! (`src/backend/utils/adt`), which no released version has changed.

mod choose;
mod column;
mod json;
mod numeric;

use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, BytesMut};
use factmill_core::types::DeclaredType;

use column::ColumnEncoder;

/// What starts a binary COPY: signature, no flags, no header extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What ends it.
pub const TRAILER: &[u8] = &[0xff, 0xff];

/// Rows that cannot be encoded for their columns.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// The batch has another number of columns than the table.
    #[error("the rows have {found} columns, the table has {expected}")]
    Columns {
        /// In the table.
        expected: usize,
        /// In the batch.
        found: usize,
    },
    /// An Arrow type that is not the declared one.
    #[error("column `{column}` is declared {declared} and the rows bring {found}")]
    Type {
        /// The column.
        column: String,
        /// Its declared type.
        declared: String,
        /// What came.
        found: DataType,
    },
    /// A value that Postgres's type cannot hold unchanged.
    #[error("column `{column}`: {problem}")]
    Value {
        /// The column.
        column: String,
        /// The row, from 0 in the batch.
        row: usize,
        /// What is wrong with the value.
        problem: ValueProblem,
    },
}

/// Why a value cannot be encoded unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueProblem {
    /// Finer than a microsecond.
    #[error(
        "a time finer than a microsecond; round it in the model, as in date_trunc('microsecond', …)"
    )]
    FinerThanMicroseconds,
    /// Outside the range of Postgres's type.
    #[error("a value outside the range of the column's type")]
    OutOfRange,
    /// JSON knows no such number.
    #[error("NaN or an infinite number inside a JSON document")]
    NotInJson,
    /// Not JSON.
    #[error("a text that is not JSON where JSON is declared")]
    InvalidJson,
    /// One field has at most a gibibyte in Postgres.
    #[error("a value of more than a gibibyte")]
    TooLarge,
}

impl EncodeError {
    /// The column at fault; empty when it is none.
    pub fn column(&self) -> &str {
        match self {
            Self::Columns { .. } => "",
            Self::Type { column, .. } | Self::Value { column, .. } => column,
        }
    }

    /// The row at fault, where it is one.
    pub fn row(&self) -> Option<usize> {
        match self {
            Self::Value { row, .. } => Some(*row),
            _ => None,
        }
    }
}

/// Encodes the rows of one batch.
pub struct RowEncoder {
    columns: Vec<ColumnEncoder>,
    names: Vec<String>,
    rows: usize,
}

impl RowEncoder {
    /// An encoder of `batch` for columns of these names and types, in the batch's order.
    ///
    /// # Errors
    /// [`EncodeError::Columns`] and [`EncodeError::Type`], when the batch does not fit the columns.
    pub fn new<'a>(
        batch: &RecordBatch,
        columns: impl ExactSizeIterator<Item = (&'a str, &'a DeclaredType)>,
    ) -> Result<Self, EncodeError> {
        if columns.len() != batch.num_columns() {
            return Err(EncodeError::Columns {
                expected: columns.len(),
                found: batch.num_columns(),
            });
        }
        let mut encoder = Self {
            columns: Vec::with_capacity(columns.len()),
            names: Vec::with_capacity(columns.len()),
            rows: batch.num_rows(),
        };
        for (array, (name, declared)) in batch.columns().iter().zip(columns) {
            let column = ColumnEncoder::new(array, declared).ok_or_else(|| EncodeError::Type {
                column: name.to_owned(),
                declared: declared.to_string(),
                found: array.data_type().clone(),
            })?;
            encoder.columns.push(column);
            encoder.names.push(name.to_owned());
        }
        Ok(encoder)
    }

    /// How many rows the batch has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends one row.
    ///
    /// # Errors
    /// [`EncodeError::Value`]; part of the row may have been appended then.
    ///
    /// # Panics
    /// When `row` is not below [`RowEncoder::rows`].
    #[inline]
    pub fn encode(&self, row: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_u16(self.columns.len() as u16);
        for (index, column) in self.columns.iter().enumerate() {
            if let Err(problem) = column.encode(row, out) {
                return Err(EncodeError::Value {
                    column: self.names[index].clone(),
                    row,
                    problem,
                });
            }
        }
        Ok(())
    }
}
